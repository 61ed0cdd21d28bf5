"""Where the nodes of a graph stand in a figure: rows from the inputs (top) to the loss (bottom).

Every op stands one row above the first op that uses it, a leaf right above its user. An edge that
passes rows without stopping gets a place in each, so that no node is drawn over it (Sugiyama,
Tagawa and Toda, "Methods for visual understanding of hierarchical system structures", 1981).
"""

import bisect
from dataclasses import dataclass

BEND = 0.3  # of a column: the room of an edge that passes
MOST_LEAVES = 4  # of one op
MOST_OPS = 25


@dataclass
class Place:
    """Row 0 is the lowest; x counts columns, from 0; node is None for a bend of a long edge."""

    node: object
    row: int
    x: float = 0.0


@dataclass
class Edge:
    """From the consumer's place, over bends, to that of its input `slot`."""

    consumer: object
    slot: int
    places: list


@dataclass
class Layout:
    """Of the ops not shown, `earlier` ones come before the current one in forward order."""

    places: list
    edges: list
    earlier: int
    later: int

    @property
    def rows(self):
        return 1 + max(place.row for place in self.places)

    @property
    def columns(self):
        return 1 + max(place.x for place in self.places)


def neighbourhood(trace, number, most_rows, most_columns):
    """The layout of the whole graph if it fits, else of what lies around the node `number`.

    Ops join in the order of their distance from it as long as the figure has room; each brings
    the leaves that it uses, the first four of them.
    """
    ops = _by_distance(trace, number)

    def too_many(count):
        layout = _arranged(trace, ops[:count])
        return layout.rows > most_rows or layout.columns > most_columns

    if len(ops) <= MOST_OPS and not too_many(len(ops)):
        return _arranged(trace, ops)
    # One op alone is shown whatever its size.
    counts = range(2, min(len(ops), MOST_OPS) + 1)
    return _arranged(trace, ops[: 1 + bisect.bisect_left(counts, True, key=too_many)])


def _by_distance(trace, number):
    """All ops' numbers, the nearest to `number` first, from op to op: that ops share a parameter
    does not make them near."""
    neighbours = {node.number: [] for node in trace.nodes if node.op is not None}
    for i, near in neighbours.items():
        for k in trace.nodes[i].inputs:
            if k in neighbours:
                near.append(k)
                neighbours[k].append(i)
    found, seen = [number], {number}
    for here in found:
        new = [there for there in neighbours[here] if there not in seen]
        found += dict.fromkeys(new)
        seen.update(new)
    return found


def _arranged(trace, numbers):
    chosen = set(numbers)
    ops = [trace.nodes[i] for i in sorted(chosen, reverse=True)]  # consumers before their inputs
    places, edges, waiting = {}, [], {}
    for op in ops:
        users = waiting.get(op.number, [])
        row = 1 + max((places[user.number].row for user, _ in users), default=-1)
        places[op.number] = Place(op, row)
        leaves = 0
        for slot, i in enumerate(op.inputs):
            leaves += i is not None and _is_leaf(trace.nodes[i])
            if i in chosen or (
                i is not None and _is_leaf(trace.nodes[i]) and leaves <= MOST_LEAVES
            ):
                waiting.setdefault(i, []).append((op, slot))
    for i, users in waiting.items():
        if i not in places:
            row = 1 + max(places[user.number].row for user, _ in users)
            places[i] = Place(trace.nodes[i], row)
        for user, slot in users:
            lowest, top = places[user.number], places[i]
            bends = [Place(None, row) for row in range(lowest.row + 1, top.row)]
            edges.append(Edge(user, slot, [lowest, *bends, top]))
    everything = {id(place): place for edge in edges for place in edge.places}
    everything.update((id(place), place) for place in places.values())
    _set_columns(list(everything.values()), edges)
    hidden = [node for node in trace.nodes if node.op is not None and node.number not in chosen]
    earlier = sum(node.number < numbers[0] for node in hidden)
    return Layout(list(everything.values()), edges, earlier, len(hidden) - earlier)


def _set_columns(places, edges):
    """Each row from the lowest up: a place is put over those that use it."""
    wishes = {id(place): [] for place in places}
    for edge in edges:
        for below, above in zip(edge.places, edge.places[1:], strict=False):
            aside = 0 if below.node is None else _aside(edge)
            if above.node is None:
                aside *= (1 + BEND) / 2
            wishes[id(above)].append((below, aside))
    rows = {}
    for place in places:
        rows.setdefault(place.row, []).append(place)
    for row in sorted(rows):
        wanted = []
        for place in rows[row]:
            over = [below.x + aside for below, aside in wishes[id(place)]]
            wanted.append((sum(over) / len(over) if over else 0.0, place))
        wanted.sort(key=lambda wish: wish[0])
        for (_, place), x in zip(wanted, _apart(wanted), strict=True):
            place.x = x
    left = min(place.x for place in places)
    for place in places:
        place.x -= left


def _aside(edge):
    """How far from right above its user an input should stand: ops in the middle, parameters
    and constants to their right, in the order of the inputs."""
    op = edge.consumer
    kinds = [parent is not None and hasattr(parent, "parents") for parent in op.op.parents]
    ops = sum(kinds)
    if not ops:
        return edge.slot - (min(len(kinds), MOST_LEAVES) - 1) / 2
    if kinds[edge.slot]:
        return sum(kinds[: edge.slot]) - (ops - 1) / 2
    return (ops - 1) / 2 + 1 + edge.slot - sum(kinds[: edge.slot])


def _apart(wanted):
    """The places nearest to the wanted ones (in weighted squares) that keep clear of each other:
    pool adjacent violators."""
    offsets, end = [], 0.0  # of each place from the first, if all stood as near as they may
    for _, place in wanted:
        wide = 1.0 if place.node is not None else BEND
        offsets.append(end + wide / 2)
        end += wide
    blocks = []  # [sum of weights, mean of wanted x less the offset, how many]
    for (x, place), offset in zip(wanted, offsets, strict=True):
        blocks.append([0.1 if _is_leaf(place.node) else 1.0, x - offset, 1])
        while len(blocks) > 1 and blocks[-2][1] >= blocks[-1][1]:
            weight, mean, count = blocks.pop()
            last = blocks[-1]
            last[1] = (last[0] * last[1] + weight * mean) / (last[0] + weight)
            last[0] += weight
            last[2] += count
    means = [mean for _, mean, count in blocks for _ in range(count)]
    return [mean + offset for mean, offset in zip(means, offsets, strict=True)]


def _is_leaf(node):
    return node is not None and node.op is None
