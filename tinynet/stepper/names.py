"""What each tensor of a graph is called in sentences and formulas: one symbol, never shared."""

from collections import Counter

from tinynet.stepper.text import number


def give_symbols(nodes):
    """Set `symbol` and `gradient_symbol` of every node.

    A symbol is the user's own name where there is one: the variable, or the end of a parameter's
    name ('weight' of 'stem.0.weight'). A variable that names several results is numbered, in the
    order of the graph: b_1, b_2. A constant of one element is its number. What has no name is
    called by its place in the graph: t7.
    """
    own = {node.number: node.label if node.op else node.name for node in nodes}
    variables = Counter(own[node.number] for node in nodes if node.kind != "parameter")
    taken, seen = {*own.values(), *map(_end, own.values())}, Counter()
    kept_long = {*variables, *_doubled(nodes)}
    for node in nodes:
        name = own[node.number]
        if node.kind == "parameter":
            node.symbol = name if _end(name) in kept_long else _end(name)
        elif name and variables[name] > 1:
            seen[name] += 1
            node.symbol = _free(f"{name}_{seen[name]}", taken)
        elif node.kind == "constant" and not name and node.value is not None and not node.shape:
            node.symbol = number(node.value)
        else:
            node.symbol = name or _free(f"t{node.number}", taken)
        taken.add(node.symbol)
    for node in nodes:
        prefix = "g"
        while prefix + node.symbol in taken:  # the user has a tensor of that name
            prefix = "grad_" if prefix == "g" else prefix + "_"
        node.gradient_symbol = prefix + node.symbol


def _end(name):
    return name.rpartition(".")[2]


def _free(symbol, taken):
    while symbol in taken:
        symbol += "_"
    return symbol


def _doubled(nodes):
    """Ends of names that two parameters of one op share."""
    for node in nodes:
        inputs = {i for i in node.inputs if i is not None and nodes[i].kind == "parameter"}
        ends = Counter(_end(nodes[i].name) for i in inputs)
        yield from (end for end, times in ends.items() if times > 1)
