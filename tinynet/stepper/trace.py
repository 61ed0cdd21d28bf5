"""A graph and a walk back through it, as data: what the terminal, the page and the plots show.

    trace = Trace(loss)
    for node in trace.nodes: ...    # forward: inputs, parameters, constants, ops
    for step in trace.steps: ...    # backward, the loss first
    for frame in trace.frames: ...  # both, numbered as the page and the terminal number them

Nothing of the graph is used up: the walk keeps it, and every `.grad` is left as it was.
"""

import functools
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from tinynet import backend
from tinynet.autograd.tape import Function, backprop, sorted_ops
from tinynet.stepper.names import give_symbols
from tinynet.stepper.recording import call_of, result_name


@dataclass(eq=False)
class Node:
    """An op's result, or a tensor that no op made.

    Attributes:
        number: its place in `Trace.nodes`; every node comes after its inputs.
        kind: 'op', 'parameter' (named by a model), 'input' (another leaf that requires a gradient)
            or 'constant' (requires none).
        name: the op's class, or the leaf's name ('' if it has none).
        label: what the user calls the result: a variable's name, or ''.
        path: the module that applied the op, 'blocks.0.depthwise', or ''.
        inputs: numbers of the input nodes; None where the input was not recorded.
        value: its array on the CPU, or None if it was not recorded.
        op: the op itself, None for a leaf. saved_bytes: what it keeps for backward.
        contributions: how many gradients it will be given; their sum is its gradient.
        symbol, gradient_symbol: what it and its gradient are called: 'b' and 'gb' (see names.py).
    """

    number: int
    kind: str
    name: str
    shape: tuple
    dtype: Any
    label: str = ""
    path: str = ""
    inputs: tuple = ()
    value: Any = None
    op: Any = None
    options: dict = field(default_factory=dict)
    saved_bytes: int = 0
    contributions: int = 0
    symbol: str = ""
    gradient_symbol: str = ""

    @property
    def title(self):
        """'c = Add', 't4 = Conv2d', 'stem.0.weight': for headings."""
        return f"{self.symbol} = {self.name}" if self.op else self.name or self.symbol


@dataclass(eq=False)
class Step:
    """One op's backward.

    Attributes:
        number: from 0. node: the op's. gy: the gradient that came in, complete.
        gxs: for each input the gradient that goes there, None where none does.
        arrived: for each input, how many of its `contributions` have come with this step.
        totals: for each input, the sum of what has come so far.
        freed_bytes: what the op had saved until then.
    """

    number: int
    node: Node
    gy: Any
    gxs: tuple
    arrived: tuple
    totals: tuple
    freed_bytes: int


class Frame(NamedTuple):
    """One step of the page and of the terminal. phase: 'start', 'forward' (an op computes its
    value), 'seed' (the loss has its own gradient), or 'backward'. step: of a backward frame. sent:
    the inputs to which it sends a gradient; an op that uses one tensor twice takes a frame for each
    use, for otherwise that gradient would never be seen half complete."""

    phase: str
    node: Node
    step: Step | None = None
    sent: tuple = ()


class Trace:
    """Args: loss: a Tensor with a graph, of one element (or give `gradient`, of its shape).

    Raises what `backprop` raises: for a tensor without a graph, a graph that was freed already,
    a missing gradient.
    """

    def __init__(self, loss, gradient=None):
        self.nodes, self.steps = [], []
        self._of = {}  # id of an op, a leaf or a constant's array: its node
        self.loss_gradient = None
        leaves = []
        walked = backprop(loss, gradient, retain_graph=True)
        if loss.grad_fn is None:
            raise ValueError(
                "stepper: this tensor is a leaf: no op made it, so there is nothing to step "
                "through; pass the result of a computation"
            )
        for op in reversed(sorted_ops(loss.grad_fn)):
            self._add_op(op, leaves)
        self.loss = self._of[id(loss.grad_fn)]
        before = [(leaf, leaf.grad) for leaf in leaves]
        for leaf in leaves:
            leaf.grad = None
        try:
            self._walk(walked)
        finally:
            for leaf, grad in before:
                leaf.grad = grad
        give_symbols(self.nodes)

    def _add_op(self, op, leaves):
        call = call_of(op)
        inputs = []
        for i, parent in enumerate(op.parents):
            inputs.append(self._input(op, i, parent, call, leaves))
        node = Node(
            number=len(self.nodes),
            kind="op",
            name=op.name,
            shape=op.output_shape,
            dtype=op.input_dtypes[0] if call is None else call.output.dtype,
            label=result_name(op),
            path="" if call is None else call.path,
            inputs=tuple(None if node is None else node.number for node in inputs),
            value=None if call is None else _on_cpu(call.output),
            op=op,
            options={} if call is None else call.options,
            saved_bytes=sum(a.nbytes for a in op.saved if backend.is_array(a)),
        )
        self.nodes.append(node)
        self._of[id(op)] = node

    def _input(self, op, i, parent, call, leaves):
        """The node of input `i`, made if it is a leaf seen for the first time."""
        name = "" if call is None else call.names[i]
        if isinstance(parent, Function):
            node = self._of[id(parent)]
            node.label = node.label or name
        elif parent is None and call is None:
            return None
        else:
            tensor = parent if parent is not None else call.leaves[i]
            key = (id(op), i) if tensor is None else id(tensor)  # a constant that an op made
            node = self._of.get(key)
            if node is None or (parent is None and _changed(node.value, call.inputs[i])):
                node = self._leaf(op, i, parent, call, name)
                self._of[key] = node
                if parent is not None:
                    leaves.append(parent)
        return node

    def _leaf(self, op, i, parent, call, name):
        kind = "constant" if parent is None else "parameter" if "." in name else "input"
        array = call.inputs[i] if call is not None else parent.array
        node = Node(len(self.nodes), kind, name, op.input_shapes[i], op.input_dtypes[i])
        node.value = _on_cpu(array)
        self.nodes.append(node)
        return node

    @np.errstate(all="ignore")  # infinities are there to be shown
    def _walk(self, walked):
        arrivals = {}  # number of a node: (frame, the sum so far) of each contribution
        ops = [node for node in self.nodes if node.op]
        self.frames = [Frame("start", self.nodes[0]), *(Frame("forward", node) for node in ops)]
        self._frame_of = []
        self.seed = len(self.frames)  # the number of that frame
        self.frames.append(Frame("seed", self.loss))
        for number, (op, gy, gxs) in enumerate(walked):
            node = self._of[id(op)]
            gy, gxs = _on_cpu(gy), tuple(None if gx is None else _on_cpu(gx) for gx in gxs)
            if number == 0:
                self.loss_gradient = gy
                arrivals[self.loss.number] = [(self.seed, gy)]
            counts, sums, sent = [], [], [[]]
            for i, (target, gx) in enumerate(zip(node.inputs, gxs, strict=True)):
                so_far = arrivals.setdefault(target, []) if gx is not None else []
                if gx is not None:
                    if target in (node.inputs[k] for k in sent[-1]):
                        sent.append([])
                    sent[-1].append(i)
                    frame = len(self.frames) + len(sent) - 1
                    so_far.append((frame, so_far[-1][1] + gx if so_far else gx))
                counts.append(len(so_far))
                sums.append(so_far[-1][1] if so_far else None)
            step = Step(number, node, gy, gxs, tuple(counts), tuple(sums), node.saved_bytes)
            self.steps.append(step)
            self._frame_of.append(len(self.frames))
            self.frames += [Frame("backward", node, step, tuple(inputs)) for inputs in sent]
        for node in self.nodes:  # an op may return None for an input that requires a gradient
            node.contributions = len(arrivals.get(node.number, ()))
        self._arrivals = arrivals
        self.gradients = {number: sums[-1][1] for number, sums in arrivals.items()}

    def gradient(self, node):
        """The complete gradient of a node, None for a constant."""
        return self.gradients.get(node.number)

    def frame_of(self, step):
        """The number of a backward step's first frame."""
        return self._frame_of[step.number]

    def arrived(self, node, number):
        """At frame `number`: how many contributions of a node's gradient are in; their sum."""
        sums = [total for frame, total in self._arrivals.get(node.number, ()) if frame <= number]
        return len(sums), sums[-1] if sums else None

    @functools.cached_property
    def first_not_finite(self):
        """(the first node with NaN or Inf in its values though all its inputs are finite, the first
        step of which the same is true of gradients); None where there is none."""
        bad = {node.number for node in self.nodes if not _is_finite(node.value)}
        node = next((n for n in self.nodes if n.number in bad and not bad & {*n.inputs}), None)
        steps = [step for step in self.steps if not all(map(_is_finite, step.gxs))]
        made = [step for step in steps if _is_finite(step.gy)]
        return node, (made or steps or [None])[0]

    @functools.cached_property
    def names(self):
        """What its tensors and their gradients are called."""
        return {name for node in self.nodes for name in (node.symbol, node.gradient_symbol)}

    @functools.cached_property
    def recorded(self):
        """Whether all values are known: the graph was made inside `stepper.record()`."""
        return all(node.value is not None and None not in node.inputs for node in self.nodes)


def _changed(value, array):
    """Whether a constant was overwritten between two uses: then it is two nodes."""
    array = _on_cpu(array)
    return value.shape != array.shape or not np.array_equal(value, array, equal_nan=True)


def _is_finite(array):
    return array is None or bool(np.isfinite(array).all())


def _on_cpu(array):
    return np.array(backend.to_device(array, "cpu"), copy=True)
