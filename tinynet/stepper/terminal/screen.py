"""What the terminal shows of a walk: the forward pass, a step, the leaves at the end."""

from itertools import accumulate

from tinynet.stepper.formula import fill, formula, input_names, use
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
    """What a node is called: a parameter by its whole name."""
    return node.name if node.kind == "parameter" else node.symbol


class Screens:
    """The screens of one trace, each a list of lines. bold: marks what is important. told: what a
    lesson says and asks, `Guide.told()`."""

    def __init__(self, trace, bold=str, told=None):
        self.told = told or {}
        self.trace, self.bold = trace, bold
        self._worked = None
        self._freed = list(accumulate(step.freed_bytes for step in trace.steps))  # after each
        self.bad_node, self.bad_step = trace.first_not_finite

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
        ops = sum(node.op is not None for node in self.trace.nodes)
        last = len(self.trace.frames) - 1
        first = f"step {ops}" if ops == 1 else f"steps 1 to {ops:,}"
        lines = [self.bold(f"Forward: {count(ops, 'op')}, {first} of {last:,}")]
        most = None if everything else MOST_ROWS
        lines += table(nodes, self._node_row, lambda node: (node.name, node.shape), most)
        if not self.trace.recorded:
            lines += field("values", NOT_RECORDED)
        if self.bad_node:
            found = not_finite(self.bad_node.value)
            made = "made by" if self.bad_node.op else "given in"
            lines += field(
                "NaN, Inf", f"in the values first {made} {_place(self.bad_node)}: {found}"
            )
        if self.bad_step:
            step = self.bad_step
            where = f"step {self.trace.frame_of(step)}, {_place(step.node)}"
            lines += field("NaN, Inf", f"in the gradients first made by {where}")
        seed = self.trace.loss_gradient
        one = number(seed) if seed.size == 1 else "the one given"
        name = self.trace.loss.symbol
        for node in self.trace.nodes:
            said = self._lesson(f"forward {node.number}")
            lines += [f"#{node.number} {called(node)}", *said] if said else []
        return lines + field(
            f"step {self.trace.seed}", f"the gradient of {name} with respect to itself is {one}"
        )

    def _node_row(self, node):
        rule = called(node)
        if node.op:
            inputs = ", ".join(self._argument(node, i) for i in node.inputs)
            rule = f"{node.symbol} = {node.name}({inputs})"
        what = node.path if node.op else "leaf" if node.kind == "input" else node.kind
        if node.value is not None and node.value.ndim == 0:
            what = f"{number(node.value)}  {what}".rstrip()
        return f"#{node.number}", rule, str(node.shape), what

    def _argument(self, node, i):
        if i is None:
            return "?"
        source = self.trace.nodes[i]
        name = called(source)
        return name.removeprefix(f"{node.path}.") if node.path else name

    def step(self, number, choice=None):
        """A frame of the backward phase. choice: (which input, index) of the gradient element shown
        in numbers; None takes the largest of each gradient."""
        frame = self.trace.frames[number]
        step, node = frame.step, frame.node
        last = len(self.trace.frames) - 1
        title = f"Step {number} of {last}: {node.title} (#{node.number})"
        lines = [self.bold(title + (f" in {node.path}" if node.path else ""))]
        lines += self._lesson(self.moment(number))
        if node is self.bad_node:
            lines += field("NaN, Inf", self.bold("the first NaN or Inf in the values is made here"))
        if step is self.bad_step:
            lines += field(
                "NaN, Inf", self.bold("the first NaN or Inf in the gradient is made here")
            )
        rule = formula(self.trace, node)
        lines += field("forward", rule.forward)
        lines += field("backward", rule.backward or _no_rule(node.op))
        lines += field("where", rule.where) if rule.where else []
        options = ", ".join(f"{name}={_short(value)}" for name, value in node.options.items())
        lines += field("options", options) if options else []
        lines += field("shapes", "\n".join(filter(None, (rule.shapes, rule.shapes_back))))
        lines += self._values(node)
        lines += _tensor("came in", f"{node.gradient_symbol}", step.gy)
        lines += self._numbers(frame, choice)
        lines += self._goes_out(frame)
        if self.trace.frames[number + 1 : number + 2] and (
            self.trace.frames[number + 1].step is step
        ):
            return lines + field("memory", "kept for the next use")
        saved = count(step.freed_bytes, "byte") if step.freed_bytes else "nothing"
        so_far = count(self._freed[step.number], "byte")
        return lines + field("memory", f"the op had saved {saved}; freed by now: {so_far}")

    def moment(self, number):
        """What a lesson calls the moment of a frame of the backward phase."""
        step, before = (self.trace.frames[n].step for n in (number, number - 1))
        return f"backward {step.number}" + (" again" if before is step else "")

    def _lesson(self, moment):
        """What the lesson says there, and what it asked before, with the answer."""
        entry = self.told.get(moment, {})
        lines = field("lesson", entry["text"]) if "text" in entry else []
        if "ask" in entry:
            question, answer, why = (entry["ask"][part] for part in ("question", "answer", "why"))
            lines += field("question", question) + field("answer", f"{number(answer)}. {why}")
        return lines

    def _values(self, node):
        label, lines = "values", []
        for i in dict.fromkeys((*node.inputs, node.number)):
            known = None if i is None else self.trace.nodes[i]
            if known is None or known.value is None:
                continue
            if known.kind == "constant" and not known.shape and not known.name:
                continue  # its name is its number
            lines += _tensor(label, called(known), known.value, corner=False)
            label = ""
        return lines + ([] if self.trace.recorded else field(label, NOT_RECORDED))

    def _numbers(self, frame, choice):
        if not self.trace.recorded:
            return []
        step = frame.step
        nodes = [self.trace.nodes[i] for i in (*step.node.inputs, step.node.number)]
        size = sum(node.value.size for node in nodes)
        if size > MOST_ELEMENTS and choice is None:
            return field(
                "numbers", f"left out, {size:,} elements are many; `e INDEX` works one out"
            )
        label, lines = "numbers", []
        for i in frame.sent if choice is None else (choice[0],):
            gx = step.gxs[i]
            if gx.size == 0:
                continue
            index = choice[1] if choice else largest(gx)
            try:
                found = self.worked.element(step, i, index, with_output=bool(label))
            except Exception as error:  # whatever an op of the user's raises when it is run again
                return field("numbers", f"none: the graph cannot be run again: {error}")
            lines += field(label, "\n".join(found))
            label = ""
        return lines

    def _goes_out(self, frame):
        step, node = frame.step, frame.node
        label, lines = "goes out", []
        for i in frame.sent:
            target = self.trace.nodes[node.inputs[i]]
            expected, arrived = target.contributions, step.arrived[i]
            name = fill(f"{{g{i}}} {{is{i}}}", self.trace, node)
            said = use(node, i, self.trace)
            if expected > 1:
                said += f", contribution {arrived} of {expected}"
            lines += _tensor(label, name, step.gxs[i], after=said)
            label = ""
            if expected > 1:
                now = "so far, not complete" if arrived < expected else "in all, complete"
                lines += _tensor("", f"{target.gradient_symbol} =", step.totals[i], after=f" {now}")
        if frame is self.trace.frames[self.trace.frame_of(step)]:  # of two uses, said once
            for i in (i for i, gx in enumerate(step.gxs) if gx is None):
                known = node.inputs[i] is not None
                who = called(self.trace.nodes[node.inputs[i]]) if known else input_names(node.op)[i]
                why = "passed on by this op" if node.op.needs[i] else "needed: it is a constant"
                lines += field(label, f"no gradient for {who} is {why}")
                label = ""
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
        arrived = step.arrived[i]
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
            check = self.worked.replay.check(node.number, index)
        except Exception as error:  # of a user's op
            return *found, str(error), ""
        verdict = "" if check.verdict == "agrees" else f" {check.verdict}"
        return *found, f"{check.difference:.5g}", f"{check.error:.0e}{verdict}"

    def row(self, number):
        """A backward step in one line."""
        step = self.trace.steps[number]
        node = step.node
        sizes = [abs(gx[largest(gx)]) for gx in step.gxs if gx is not None and gx.size]
        most = f"max |g| {max(map(float, sizes)):.3g}" if sizes else ""
        if any(map(not_finite, step.gxs)):
            most = "NaN or Inf"
        return str(self.trace.frame_of(step)), node.title, str(node.shape), most, node.path


def _tensor(label, name, array, corner=True, after=""):
    """An array behind its name: whole if it is small, else sampled."""
    shown = array_lines(array, corner=corner)
    bad = not_finite(array)
    sign = "" if name.endswith("=") else " ="
    if len(shown) == 1 and " so sampled" not in shown[0]:
        lines = field(label, f"{name}{sign} {shown[0]}{after}")
    else:
        name = name.removesuffix(" =")
        lines = field(label, f"{name} {array.shape}{after}:") + block(shown)
    return lines + (field("", bad) if bad and bad not in shown else [])


def _part(label, array, index):
    if index is not None:
        return field(label, f"{element('', index)} = {number(array[index])}")
    shown = array_lines(array, whole=400, most_lines=40)
    return field(label, shown[0]) if len(shown) == 1 else field(label, "") + block(shown)


def _no_rule(op):
    return "(no input needs a gradient)" if op.rule else "(the op states no rule)"


def _place(node):
    return f"{called(node)}" + (f" in {node.path}" if node.path else "")


def _short(option):
    """An option as a user would write it; of an array only its shape."""
    shape = getattr(option, "shape", None)
    return repr(option) if shape is None else f"an array of shape {shape}"
