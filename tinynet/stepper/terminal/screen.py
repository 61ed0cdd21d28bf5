"""What the terminal shows of a walk: the forward pass, a step, the leaves at the end."""

from itertools import accumulate

from tinynet.stepper.formula import formula, input_names, with_shapes
from tinynet.stepper.numbers import relative_error
from tinynet.stepper.text import (
    array_lines,
    block,
    count,
    element,
    field,
    not_finite,
    number,
    table,
)
from tinynet.stepper.worked import Worked, largest

MANY = 200  # steps: more are listed one line each, and leaves are checked only on request
MOST_ROWS = 200  # of a table
MOST_ELEMENTS = (
    2_000_000  # of one op's tensors (or of all): above, numbers are worked out only on request
)
NOT_RECORDED = (
    "not recorded; to see the values, and the chain rule in numbers, compute the loss inside "
    "`with stepper.record():`"
)


def called(node):
    """What a node is called: the user's name for it, or what it is and its number."""
    return (node.label if node.op else node.name) or f"{node.name or node.kind} #{node.number}"


class Screens:
    """The screens of one trace, each a list of lines. bold: marks what is important."""

    def __init__(self, trace, bold=str):
        self.trace, self.bold = trace, bold
        self._worked = None
        self._freed = list(accumulate(step.freed_bytes for step in trace.steps))  # after each
        self.bad_node = next((n for n in trace.nodes if not_finite(n.value)), None)
        self.bad_step = next((s for s in trace.steps if any(map(not_finite, s.gxs))), None)

    @property
    def worked(self):
        """What works out elements, made when first asked for: it runs the graph again.

        Raises what that raises, for an op of the user's may raise anything.
        """
        if self._worked is None:
            try:
                self._worked = Worked(self.trace)
            except Exception as error:
                self._worked = error  # once is enough
        if isinstance(self._worked, Exception):
            raise self._worked
        return self._worked

    def forward(self, everything=False):
        """The table of the nodes, and what is worth knowing before the first step."""
        nodes = self.trace.nodes
        if len(nodes) > 40:  # parameters are named in the rows of their ops
            nodes = [node for node in nodes if node.op]
        lines = [self.bold(f"Forward: {count(len(self.trace.steps), 'op')}")]
        most = None if everything else MOST_ROWS
        lines += table(nodes, self._node_row, lambda node: (node.name, node.shape), most)
        if not self.trace.recorded:
            lines += field("values", NOT_RECORDED)
        if self.bad_node:
            found = not_finite(self.bad_node.value)
            lines += field("NaN, Inf", f"first the values of {_place(self.bad_node)}: {found}")
        if self.bad_step:
            step = self.bad_step
            where = f"backward step {step.number + 1}, {_place(step.node)}"
            lines += field("NaN, Inf", f"first the gradients that leave {where}")
        return lines

    def _node_row(self, node):
        rule = called(node)
        if node.op:
            inputs = ", ".join(self._argument(node, i) for i in node.inputs)
            rule = f"{node.label} = " * bool(node.label) + f"{node.name}({inputs})"
        what = node.path if node.op else "leaf" if node.kind == "input" else node.kind
        if node.value is not None and node.value.ndim == 0:
            what = f"{number(node.value)}  {what}".rstrip()
        return f"#{node.number}", rule, str(node.shape), what

    def _argument(self, node, i):
        if i is None:
            return "?"
        source = self.trace.nodes[i]
        name = (source.label if source.op else source.name) or f"#{i}"
        return name.removeprefix(f"{node.path}.") if node.path else name

    def step(self, number, choice=None):
        """A step. choice: (which input, index) of the gradient element shown in numbers; None
        takes the largest of each gradient."""
        step = self.trace.steps[number]
        node, op = step.node, step.node.op
        title = f"Step {number + 1} of {len(self.trace.steps)}: {node.title} (#{node.number})"
        lines = [self.bold(title + (f" in {node.path}" if node.path else ""))]
        if node is self.bad_node:
            lines += field("NaN, Inf", self.bold("the first NaN or Inf in the values is here"))
        if step is self.bad_step:
            lines += field("NaN, Inf", self.bold("the first NaN or Inf in the gradient is here"))
        forward, backward, where = formula(op)
        lines += field("forward", forward)
        lines += field("backward", backward or "(the op states no rule)")
        lines += field("where", where) if where else []
        options = ", ".join(f"{name}={_short(value)}" for name, value in node.options.items())
        lines += field("options", options) if options else []
        lines += field("shapes", "\n".join(with_shapes(op)))
        lines += self._values(node)
        lines += _tensor("came in", f"gy, the gradient of {called(node)},", step.gy)
        lines += self._numbers(step, choice)
        for i, name in enumerate(input_names(op)):
            lines += self._goes_out("" if i else "goes out", step, i, f"g{name}")
        saved = count(step.freed_bytes, "byte") if step.freed_bytes else "nothing"
        so_far = count(self._freed[number], "byte")
        return lines + field("memory", f"the op had saved {saved}; freed by now: {so_far}")

    def _values(self, node):
        label, lines, shown = "values", [], set()
        names = (*input_names(node.op), "y")
        for name, i in zip(names, (*node.inputs, node.number), strict=True):
            known = None if i is None else self.trace.nodes[i]
            if known is not None and known.value is not None:
                who = "" if name == called(known) else f" = {called(known)}"
                if i in shown and known.value.size > 1:
                    lines += field(label, f"{name}{who}, as above")
                else:
                    lines += _tensor(label, name + who, known.value, corner=False)
                label = ""
                shown.add(i)
        return lines + ([] if self.trace.recorded else field(label, NOT_RECORDED))

    def _numbers(self, step, choice):
        if not self.trace.recorded:
            return []
        nodes = [self.trace.nodes[i] for i in (*step.node.inputs, step.node.number)]
        size = sum(node.value.size for node in nodes)
        if size > MOST_ELEMENTS and choice is None:
            return field(
                "numbers", f"left out, {size:,} elements are many; `e INDEX` works one out"
            )
        label, lines = "numbers", []
        for i, gx in enumerate(step.gxs):
            if gx is None or gx.size == 0 or (choice and choice[0] != i):
                continue
            index = choice[1] if choice else largest(gx)
            try:
                found = self.worked.element(step, i, index, with_output=bool(label))
            except Exception as error:  # whatever an op of the user's raises when it is run again
                return field("numbers", f"none: the graph cannot be run again: {error}")
            lines += field(label, "\n".join(found))
            label = ""
        return lines

    def _goes_out(self, label, step, i, name):
        target = step.node.inputs[i]
        node = None if target is None else self.trace.nodes[target]
        gx, expected, arrived = step.gxs[i], getattr(node, "contributions", 0), step.arrived[i]
        who = "an input" if node is None else called(node)
        if gx is None:
            why = "passed on by this op" if step.node.op.needs[i] else "needed: a constant"
            return field(label, f"{name}: no gradient for {who} is {why}")
        state = f"contribution {arrived} of {expected}"
        state += ", so complete" if arrived == expected == 1 else ""
        lines = _tensor(label, f"{name} to {who} ({state})", gx)
        if arrived < expected:
            lines += field("", f"{who}: gradient not known yet, {arrived} of {expected} arrived")
        elif expected > 1:
            lines += _tensor("", f"{who}: all {expected} arrived, the gradient", step.totals[i])
        return lines

    def tensor(self, node, number, index=None):
        """A node's value, and its gradient as far as it is known after step `number`."""
        arrived, total = self.trace.arrived(node, number)
        expected, lines = node.contributions, [self.bold(f"{_place(node)} {node.shape}")]
        if node.value is None:
            lines += field("value", NOT_RECORDED)
        else:
            lines += _part("value", node.value, index)
        if node.kind == "constant":
            return lines + field("gradient", "none: a constant requires no gradient")
        if not expected:
            return lines + field("gradient", "none: no op passes one on to it")
        if arrived == expected:
            return lines + _part("gradient", total, index)
        lines += field("gradient", f"not known yet: {arrived} of {expected} arrived")
        return lines + (_part("so far", total, index) if arrived else [])

    def check(self, step, i, index):
        """An element of an input's gradient beside its finite difference."""
        node = self.trace.nodes[step.node.inputs[i]]
        arrived, _ = self.trace.arrived(node, step.number)
        found = self.worked.check(node, index)
        if arrived < node.contributions:
            found[0] += f" (once complete: {arrived} of {node.contributions} arrived)"
        what = element(called(node), index)
        return field("check", "\n".join([f"d loss / d {what}:", *found]))

    def leaves(self, everything=False):
        """The table of the leaves and their complete gradients, checked by differences."""
        nodes = [node for node in self.trace.nodes if node.kind in ("parameter", "input")]
        sizes = sum(node.value.size for node in self.trace.nodes if node.value is not None)
        few = len(self.trace.steps) <= MANY and sizes <= MOST_ELEMENTS
        checked = self.trace.recorded and few
        lines = [self.bold("The end: every gradient is complete")]
        if checked:
            text = "the largest element of each leaf's gradient; the same by finite difference, "
            lines += field("shown", text + "in float64; the relative error between them")
        else:
            lines += field("shown", "the largest element of each leaf's gradient")

        def row(node):
            return self._leaf(node, checked)

        most = None if everything else MOST_ROWS
        return lines + table(nodes, row, lambda node: (node.shape, node.kind), most)

    def _leaf(self, node, checked):
        gradient = self.trace.gradient(node)
        if gradient is None or gradient.size == 0:
            return called(node), "", "none", "", ""
        index = largest(gradient)
        value = float(gradient[index])
        found = called(node), element("", index), f"{value:.5g}"
        if not checked or not_finite(gradient):
            return *found, not_finite(gradient), ""
        try:
            difference = self.worked.replay.finite_difference(node.number, index)
        except Exception as error:  # of a user's op
            return *found, str(error), ""
        return *found, f"{difference:.5g}", f"{relative_error(value, difference):.0e}"

    def row(self, number):
        """A step in one line."""
        step = self.trace.steps[number]
        node = step.node
        sizes = [abs(gx[largest(gx)]) for gx in step.gxs if gx is not None and gx.size]
        most = f"|gx| <= {max(map(float, sizes)):.3g}" if sizes else ""
        if any(map(not_finite, step.gxs)):
            most = "NaN or Inf"
        return str(number + 1), node.title, str(node.shape), most, node.path


def _tensor(label, name, array, corner=True):
    """An array behind its name: whole if it is small, else sampled."""
    shown = array_lines(array, corner=corner)
    bad = not_finite(array)
    if len(shown) == 1 and " so sampled" not in shown[0]:
        lines = field(label, f"{name} = {shown[0]}".replace(", =", " ="))
    else:
        lines = field(label, f"{name} {array.shape}:") + block(shown)
    return lines + (field("", bad) if bad and bad not in shown else [])


def _part(label, array, index):
    if index is not None:
        return field(label, f"{element('', index)} = {number(array[index])}")
    shown = array_lines(array, whole=400, most_lines=40)
    return field(label, shown[0]) if len(shown) == 1 else field(label, "") + block(shown)


def _place(node):
    return f"{called(node)}" + (f" in {node.path}" if node.path else "")


def _short(option):
    """An option as a user would write it; of an array only its shape."""
    shape = getattr(option, "shape", None)
    return repr(option) if shape is None else f"an array of shape {shape}"
