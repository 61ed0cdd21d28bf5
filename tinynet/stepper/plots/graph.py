"""The graph's part of a figure: boxes, edges, and what is known of each node at a step.

Lengths are inches of the figure. The colours are Okabe and Ito's, told apart by readers of every
colour vision, and every colour has a word and a pattern beside it.
"""

import numpy as np

from tinynet.stepper.plots.layout import neighbourhood

SMALL, TEXT, HEAD = 9, 10, 16  # points
DARK, GREY, LIGHT, MARK = "#222222", "#666666", "#D8D8D8", "#D55E00"
# What is known of a node: colour and pattern of the bar at its left, and words for the legend.
STATES = {
    "unknown": ("#FFFFFF", "", "not visited: no value recorded"),
    "value": ("#56B4E9", "", "value known, no gradient yet"),
    "partial": ("#F0E442", "/////", "gradient partial: k of m arrived"),
    "complete": ("#009E73", "....", "gradient complete"),
}
MOST_ROWS, MOST_COLUMNS = 7, 4
BAR = 0.14


def states(trace, number):
    """{node number: (state, contributions arrived, their sum or None)} at frame `number`."""
    found = {}
    for node in trace.nodes:
        count, total = trace.arrived(node, number)
        if not count:
            state = "unknown" if node.value is None else "value"
        else:
            state = "partial" if count < node.contributions else "complete"
        found[node.number] = state, count, total
    return found


def draw_graph(figure, box, trace, number):
    """Draw the graph, or the part of it around frame `number`, into box = (x, y, width, height)."""
    width, height = box[2:]
    frame = trace.frames[number]
    step = frame.step
    layout = neighbourhood(trace, step.node.number, MOST_ROWS, MOST_COLUMNS)
    axes = figure.add_axes(share(figure, box), label="graph")
    axes.set(xlim=(0, width), ylim=(0, height))
    axes.axis("off")
    known = states(trace, number)
    _legend(axes, width)
    bottom, top = 0.85, height - 0.05
    if layout.earlier:
        top -= 0.25
        _say(axes, width / 2, top + 0.13, _ops(layout.earlier, "earlier"))
    if layout.later:
        bottom += 0.25
        _say(axes, width / 2, bottom - 0.15, _ops(layout.later, "later") + ", towards the loss")
    pitch = min(1.15, (top - bottom) / layout.rows)
    column = min(2.1, width / layout.columns)
    size = min(1.75, column - 0.08), 0.56
    rise = (top - bottom - pitch * layout.rows) / 2 + bottom + pitch / 2
    aside = (width - column * layout.columns) / 2 + column / 2
    at = {
        id(place): (aside + column * place.x, rise + pitch * place.row) for place in layout.places
    }
    shown = {place.node.number for place in layout.places if place.node is not None}
    _draw_edges(axes, trace, frame, layout, at, size)
    for place in layout.places:
        if place.node is not None:
            centre = at[id(place)]
            _stubs(axes, trace, place.node, shown, centre, size, pitch)
            _draw_node(axes, place.node, known[place.node.number], step, centre, size)


def share(figure, box):
    """A box in inches as shares of the figure, as matplotlib expects it."""
    width, height = figure.get_size_inches()
    x, y, w, h = box
    return x / width, y / height, w / width, h / height


def write(figure, x, y, text, **options):
    """Text at a place in inches, its middle at height y; a $ is a $."""
    width, height = figure.get_size_inches()
    figure.text(x / width, y / height, text, va="center", parse_math=False, **options)


def _say(axes, x, y, text, **options):
    options = {"size": SMALL, "color": GREY, "ha": "center", "va": "center", **options}
    return axes.text(x, y, text, parse_math=False, **options)


def _ops(count, word):
    return f"⋮ {count} {word} op{'s' if count > 1 else ''}"


def _draw_node(axes, node, known, step, centre, size):
    from matplotlib.patches import FancyBboxPatch, Rectangle

    state, arrived, total = known
    colour, pattern, _ = STATES[state]
    current = node is step.node
    x, y, (w, h) = centre[0] - size[0] / 2, centre[1] - size[1] / 2, size
    line = {"linestyle": ":"} if state == "unknown" else {}
    axes.add_patch(
        FancyBboxPatch(
            (x, y),
            w,
            h,
            boxstyle="square,pad=0",
            facecolor="#FDEBDD" if current else "white" if node.op else "#F3F3F3",
            edgecolor=MARK if current else DARK,
            linewidth=3 if current else 0.9,
            zorder=3,
            **line,
        )
    )
    if node.kind != "constant":
        bar = Rectangle((x, y), BAR, h, facecolor=colour, hatch=pattern, edgecolor=DARK, lw=0.6)
        bar.set_zorder(4)
        axes.add_patch(bar)
    room = w - BAR - 0.12
    lines = (
        ([node_name(node), node.name], {"weight": "bold", "color": DARK}),
        (_where(node), {"color": GREY}),
        (_state_words(node, state, arrived, total), {"color": DARK}),
    )
    for i, (texts, options) in enumerate(lines):
        short = [fit(text, room, SMALL, options.get("weight", "normal")) for text in texts]
        whole = [text for text in texts if text in short]
        middle = centre[1] + (1 - i) * 0.165
        text = (whole or short[-1:])[0]
        _say(axes, x + BAR + 0.06, middle, text, ha="left", zorder=5, **options)


def _where(node):
    if node.value is not None and node.value.size == 1:
        return [f"value {node.value.item() + 0.0:.4g}"]
    if not node.path:
        return [str(node.shape)]
    # the end of a path says more than its beginning
    parts = node.path.split(".")
    return [node.path, *("…" + ".".join(parts[i:]) for i in range(1, len(parts)))]


def node_name(node):
    """The node's title, a parameter's by the end of its name: the op beside it says the module."""
    if node.kind == "parameter":
        return node.name.rpartition(".")[2]
    return node.title


def _state_words(node, state, arrived, total):
    """The state, in words of falling length."""
    if node.kind == "constant":
        return ["needs no gradient", "no gradient"]
    if state == "unknown":
        return ["not visited"]
    if state == "value":
        return ["value known"]
    words = "complete" if state == "complete" else f"{arrived} of {node.contributions}"
    number = [f"grad {total.item() + 0.0:.4g}, {words}"] if np.size(total) == 1 else []
    return [*number, f"grad {words}", words]


def _draw_edges(axes, trace, frame, layout, at, size):
    ends = {}  # of each input: its edges, which share its lower side
    for edge in layout.edges:
        ends.setdefault(id(edge.places[-1]), []).append(edge)
    for share in ends.values():
        share.sort(key=lambda edge: at[id(edge.places[-2])][0] + 0.01 * edge.slot)
    for edge in layout.edges:
        points = [at[id(place)] for place in edge.places]
        slots = len(edge.consumer.inputs)
        share = ends[id(edge.places[-1])]
        points[0] = _port(points[0], size, 1, edge.slot, slots)
        points[-1] = _port(points[-1], size, -1, share.index(edge), len(share))
        given = edge.consumer is frame.node and edge.slot in frame.sent
        _curve(axes, points, given)
        if given:
            name = trace.nodes[edge.consumer.inputs[edge.slot]].gradient_symbol
            _name_edge(axes, points[:2], name, edge.slot, slots)


def _name_edge(axes, ends, name, slot, count):
    """What flows along an edge: on a slanting one, beside a steep one; near the end of many."""
    (x0, y0), (x1, y1) = ends
    along, up = (0.6, 0.55) if count < 4 else (0.84, 0.7)
    x, place = x0 + along * (x1 - x0), "center"
    if abs(x1 - x0) < 0.5 and count < 4:
        x, place = (max(x0, x1) + 0.1, "left") if slot else (min(x0, x1) - 0.1, "right")
    box = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}
    y, style = y0 + up * (y1 - y0), {"color": MARK, "weight": "bold", "bbox": box}
    _say(axes, x, y, name, ha=place, zorder=2.6, **style)


def _port(centre, size, side, k, count):
    """Where the k-th of `count` edges meets the upper (side 1) or the lower (-1) edge of a box."""
    spread = 0.55 * size[0] * ((k + 0.5) / count - 0.5) * (1 if count < 3 else 1.3)
    return centre[0] + spread, centre[1] + side * size[1] / 2


def _curve(axes, points, marked):
    """From a consumer up to its input; marked: the way that this step's gradient takes."""
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path

    vertices, codes = [points[0]], [Path.MOVETO]
    for (x0, y0), (x1, y1) in zip(points, points[1:], strict=False):
        middle = (y0 + y1) / 2
        vertices += [(x0, middle), (x1, middle), (x1, y1)]
        codes += [Path.CURVE4] * 3
    axes.add_patch(
        FancyArrowPatch(
            path=Path(vertices, codes),
            arrowstyle="-|>" if marked else "<|-",
            mutation_scale=14 if marked else 8,
            color=MARK if marked else "#999999",
            linewidth=2.6 if marked else 1,
            shrinkA=0,
            shrinkB=0,
            zorder=2.5 if marked else 1,
        )
    )


def _stubs(axes, trace, node, shown, centre, size, pitch):
    """Short dashed ends where an op goes on to ops that are not shown."""
    length = min(0.16, (pitch - size[1]) / 2)
    left_out = [slot for slot, i in enumerate(node.inputs) if i is None or i not in shown]
    if len(left_out) > 1:
        x, y = _port(centre, size, 1, left_out[-1], len(node.inputs))
        _say(axes, x + 0.08, y + 0.1, f"{len(left_out)} more", ha="left")
    for slot in left_out:
        x, y = _port(centre, size, 1, slot, len(node.inputs))
        axes.plot([x, x], [y, y + length], color=GREY, lw=1, ls=":")
    users = [other.number for other in trace.nodes if node.number in other.inputs]
    if node.op is not None and any(user not in shown for user in users):
        x, y = _port(centre, size, -1, 0, 1)
        axes.plot([x, x], [y, y - length], color=GREY, lw=1, ls=":")


def _legend(axes, width):
    from matplotlib.patches import Rectangle

    for i, (colour, pattern, words) in enumerate(STATES.values()):
        x, y = i % 2 * width / 2 + 0.05, 0.42 - i // 2 * 0.22
        axes.add_patch(
            Rectangle((x, y), BAR, 0.16, facecolor=colour, hatch=pattern, edgecolor=DARK, lw=0.6)
        )
        _say(axes, x + BAR + 0.07, y + 0.075, words, ha="left")
    axes.plot([0.05, 0.05 + BAR], [0.06, 0.06], color=MARK, lw=2.6)
    words = "this step's op, and where its gradient goes (grey arrows: forward)"
    _say(axes, 0.05 + BAR + 0.07, 0.06, words, ha="left")


def fit(text, room, points, weight="normal"):
    """The text, shortened with an ellipsis until it is at most `room` inches wide."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(size=points, weight=weight)

    def width(text):
        return text_to_path.get_text_width_height_descent(text, font, ismath=False)[0] / 72

    if width(text) <= room:
        return text
    keep = len(text) - 1
    while keep > 1 and width(text[:keep] + "…") > room:
        keep -= 1
    return text[:keep] + "…"
