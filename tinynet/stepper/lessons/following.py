"""A lesson's text as data, from which the page makes it anew when values are changed.

An expression becomes a tree that names no variable: ["value", 3] is the tensor of node 3,
["grad", 3] its gradient, ["sent", 0, 1] what step 0 sends to its input 1, ["labels", 5] the labels
of a cross-entropy. Inner nodes are [operator, *operands]; numbers stand for themselves.
"""

import ast

OPERATORS = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.FloorDiv: "//",
    ast.Pow: "**",
    ast.MatMult: "@",
    ast.BitAnd: "and",
    ast.And: "and",
    ast.USub: "neg",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Eq: "==",
    ast.NotEq: "!=",
}
TENSORS = ("value", "grad", "fd", "uses", "sent_by")  # of a name: the node is found here


class Following:
    """Turns the expressions of one lesson about one trace into trees. words: its `Words`."""

    def __init__(self, words):
        self.words, self.trace = words, words.trace

    def parts(self, text, op=None):
        """A text as a list: what is said as it is, and for each {expression} a pair of its tree and
        whether a negative number stands in brackets. op: the node that the text is about."""
        found, end = [], 0
        for start, stop, expression, signed in self.words.fields(text):
            found += [text[end:start], [self.tree(expression, op), signed]]
            end = stop
        return [*found, text[end:]]

    def tree(self, expression, op=None):
        """The tree of an expression. Raises ValueError for what the page cannot compute."""
        return self._of(ast.parse(expression.strip(), mode="eval").body, op)

    def _of(self, part, op):
        def of(one):
            return self._of(one, op)

        match part:
            case ast.Constant(value=number):
                return number
            case ast.Name(id=name):
                return self._name(name, op)
            case ast.Attribute(value=owner, attr=name):
                return ["attr", of(owner), name]
            case ast.Subscript(value=owner, slice=ast.Tuple(elts=places)):
                return ["at", of(owner), *map(of, places)]
            case ast.Subscript(value=owner, slice=place):
                return ["at", of(owner), of(place)]
            case ast.Slice(lower=lower, upper=upper, step=step):
                return ["slice", *(one and of(one) for one in (lower, upper, step))]
            case ast.Call(func=ast.Name(id="arg" | "sent" as name), args=[ast.Constant(value=i)]):
                return ["value", op.inputs[i]] if name == "arg" else self._sent(op, i)
            case ast.Call(func=ast.Name(id=name), args=[ast.Constant(value=node), *places]) if (
                name in TENSORS
            ):
                return self._tensor(name, self.words.node(node), list(map(of, places)))
            case ast.Call(func=ast.Name(id=name), args=given):
                return ["call", name, *map(of, given)]
            case ast.Call(func=ast.Attribute(value=owner, attr=name), args=given):
                return ["call", name, of(owner), *map(of, given)]
            case ast.Tuple(elts=parts) | ast.List(elts=parts):
                return ["list", *map(of, parts)]
            case ast.UnaryOp(op=operator, operand=one):
                return [OPERATORS[type(operator)], of(one)]
            case ast.BinOp(left=left, op=operator, right=right):
                return [OPERATORS[type(operator)], of(left), of(right)]
            case ast.BoolOp(op=ast.And(), values=parts):
                return ["and", *map(of, parts)]
            case ast.Compare(left=left, ops=operators, comparators=others):
                sides = [of(one) for one in (left, *others)]
                pairs = zip(operators, sides[:-1], sides[1:], strict=True)
                return ["and", *([OPERATORS[type(one)], a, b] for one, a, b in pairs)]
        raise ValueError(f"lesson: the page cannot compute {ast.unparse(part)!r}")

    def _name(self, name, op):
        if op is not None and name in ("out", "gout"):
            return ["value" if name == "out" else "grad", op.number]
        if name in self.words.extra:
            return self.tree(self.words.extra[name])
        if name == "labels" and self.words.labelled:
            return ["labels", self.words.labelled.number]
        kind, node = self.words.tensor(name)
        return [kind, node.number]

    def _tensor(self, name, node, places):
        if name == "uses":
            return node.contributions
        if name == "sent_by":
            return self._sent(node, *places)
        return [name, node.number, *places]

    def _sent(self, op, i):
        return ["sent", self.words.step(op).number, i]
