"""Random programs of views and in-place changes, step by step beside torch.

After every step all tensors must hold torch's values and agree on requires_grad; at the end all
gradients must agree. tinynet may refuse with a sentence what torch allows (counted, to be rare),
but never differ silently.
"""

import collections

import numpy as np
import pytest
import torch

import tinynet as tn
import tinynet.nn.functional as F

REFUSALS = (RuntimeError, ValueError, TypeError, IndexError)
SEEDS, STEPS = 400, 14
FT = torch.nn.functional


def pick(rng, values):
    return values[rng.integers(len(values))]


# what a step may be: given the generator and the tensor's shape, a function that is the same in
# both libraries, of a tensor and another one, or None where it does not apply


def reshape(rng, shape):
    total = int(np.prod(shape))
    divisors = [d for d in range(1, total + 1) if total and total % d == 0] or [1]
    first = pick(rng, divisors)
    new = pick(rng, [(total,), (first, total // first), (*shape[:1], -1), (1, *shape)])
    if -1 in new and not total:
        return None
    return lambda x, _: x.reshape(new)


def sliced(rng, shape):
    index = []
    for size in shape[: rng.integers(1, len(shape) + 1)] if shape else ():
        start = int(rng.integers(0, max(size, 1)))
        kinds = [slice(start, None), slice(None, None, 2), slice(0, start + 1), slice(None)]
        index.append(pick(rng, [*kinds, start] if size else kinds))
    if rng.random() < 0.2:
        index.insert(0, pick(rng, [None, ...]))
    return (lambda x, _: x[tuple(index)]) if index else None


def two_dims(rng, shape):
    if len(shape) < 2:
        return None
    i, j = rng.integers(0, len(shape), 2).tolist()
    return lambda x, _: x.transpose(i, j)


def permuted(rng, shape):
    dims = rng.permutation(len(shape)).tolist()
    return (lambda x, _: x.permute(*dims)) if shape else None


def expanded(rng, shape):
    new = [int(rng.integers(2, 4)) if size == 1 else size for size in shape]
    return lambda x, _: x.expand(2, *new) if len(shape) < 3 else x.expand(*new)


def one_of(views, x, dim=None):
    """The last of several views; in torch by itself, for it lets several not be changed."""
    if isinstance(x, tn.Tensor):
        return views[-1]
    return (
        x[-1]
        if dim is None
        else x.narrow(dim, x.shape[dim] - views[-1].shape[dim], views[-1].shape[dim])
    )


def parts(rng, shape):
    if not shape or 0 in shape:
        return None
    dim, way = int(rng.integers(len(shape))), pick(rng, ["chunk", "split"])
    number = int(rng.integers(1, 4))
    return lambda x, _: one_of(getattr(x, way)(number, dim), x, dim)


VIEWS = {
    "reshape": reshape,
    "view": lambda rng, shape: lambda x, _: x.view(*shape[:-2], -1) if len(shape) > 1 else x,
    "slice": sliced,
    "transpose": two_dims,
    "permute": permuted,
    "T": lambda rng, shape: (lambda x, _: x.T) if len(shape) == 2 else None,
    "unsqueeze": lambda rng, shape: lambda x, _: x.unsqueeze(len(shape)),
    "squeeze": lambda rng, shape: lambda x, _: x.squeeze(),
    "expand": expanded,
    "parts": parts,
    "flatten": lambda rng, shape: lambda x, _: x.flatten(),
    "iterate": lambda rng, shape: (lambda x, _: one_of(list(x), x)) if shape and shape[0] else None,
    "row, then slice": lambda rng, shape: (
        (lambda x, _: x[0][1:]) if len(shape) > 1 and shape[0] else None
    ),
    "detach": lambda rng, shape: lambda x, _: x.detach(),
    "data": lambda rng, shape: lambda x, _: x.data,
    "same": lambda rng, shape: lambda x, _: x.to(x.dtype),
}
READS = {
    "square": lambda rng, shape: lambda x, _: x * x,
    "exp": lambda rng, shape: lambda x, _: (x * 0.3).exp(),
    "double": lambda rng, shape: lambda x, _: x * 2,
    "shift": lambda rng, shape: lambda x, _: x + 1,
    "product": lambda rng, shape: lambda x, y: x * (y.sum() + 2),
    "clone": lambda rng, shape: lambda x, _: x.clone(),
    "mean": lambda rng, shape: (lambda x, _: x.mean(0)) if shape and shape[0] else None,
    "pick": lambda rng, shape: (lambda x, _: x[[0, 0]]) if shape and shape[0] else None,
    "relu": lambda rng, shape: lambda x, _: relu(x, False),
}


def relu(x, inplace=True):
    return (F if isinstance(x, tn.Tensor) else FT).relu(x, inplace=inplace)


def relu6(x, inplace=True):
    return (F if isinstance(x, tn.Tensor) else FT).relu6(x, inplace=inplace)


def iadd(x, y):
    x += y


def imul(x, y):
    x *= y


def assign(index, of=lambda y: 0.5):
    def step(x, y):
        x[index] = of(y)

    return step


def nested(x, y):
    x[0][...] = 2.0


INPLACE = {
    "add_": lambda rng, shape: lambda x, y: x.add_(y.mean()),
    "add_ self": lambda rng, shape: lambda x, y: x.add_(x),
    "add_ other": lambda rng, shape: lambda x, y: x.add_(y),
    "sub_ alpha": lambda rng, shape: lambda x, y: x.sub_(1.5, alpha=0.5),
    "mul_": lambda rng, shape: lambda x, y: x.mul_(0.7),
    "mul_ by tensor": lambda rng, shape: lambda x, y: x.mul_(y.mean()),
    "div_": lambda rng, shape: lambda x, y: x.div_(1.3),
    "clip_": lambda rng, shape: lambda x, y: x.clip_(-1, 2),
    "+=": lambda rng, shape: lambda x, y: iadd(x, 0.25),
    "*=": lambda rng, shape: lambda x, y: imul(x, y.mean()),
    "relu_": lambda rng, shape: lambda x, y: relu(x),
    "relu6_": lambda rng, shape: lambda x, y: relu6(x),
    "fill_": lambda rng, shape: lambda x, y: x.fill_(0.3),
    "zero_": lambda rng, shape: lambda x, y: x.zero_(),
    "copy_": lambda rng, shape: lambda x, y: x.copy_(y),
    "copy_ itself": lambda rng, shape: lambda x, y: x.copy_(x.detach()),
    "assign": lambda rng, shape: assign(0) if shape and shape[0] else None,
    "assign mask": lambda rng, shape: lambda x, y: x.__setitem__(x < 0, 0.1),
    "assign value": lambda rng, shape: (
        assign(..., lambda y: y.detach().mean()) if shape else assign(...)
    ),
    "assign nested": lambda rng, shape: nested if len(shape) > 1 and shape[0] else None,
    "through data": lambda rng, shape: lambda x, y: x.data.mul_(1.1),
}
RULES = ("cannot be overwritten", "overwriting would lose", "read-only", "made inside no_grad")


def is_rule(result):
    """Whether tinynet has refused by a rule of its own, which torch does not have."""
    return isinstance(result, Exception) and any(rule in str(result) for rule in RULES)


KINDS = [VIEWS] * 5 + [INPLACE] * 5 + [READS] * 3


def conv(x):
    lib, new = (F, tn.Tensor) if isinstance(x, tn.Tensor) else (FT, torch.tensor)
    weight = np.random.default_rng(5).standard_normal((2, 2, 1, 1))
    y = lib.conv2d(x, new(weight))
    return lib.avg_pool2d(y, 1)


def batch_norm(x):
    lib = F if isinstance(x, tn.Tensor) else FT
    return lib.batch_norm(x, None, None, training=True) + 0.3  # a mean of 0 is a kink


BEGINNINGS = {
    "leaf": (None, (3, 4), True),
    "computed": (lambda x: x * 1.5, (2, 3, 2), True),
    "constant": (None, (4, 3), False),
    "conv": (conv, (3, 2, 2, 2), True),
    "conv of a constant": (conv, (2, 2, 3, 1), False),
    "batch norm": (batch_norm, (3, 2, 2, 1), True),
    "max pool": (
        lambda x: (F if isinstance(x, tn.Tensor) else FT).max_pool2d(conv(x), 1),
        (2, 2, 2, 2),
        True,
    ),
}


class Run:
    """One program: tensors of tinynet's beside torch's, and what was refused by one only."""

    def __init__(self, seed):
        self.rng = rng = np.random.default_rng(seed)
        self.log, self.ours, self.theirs = [], [], []
        name = pick(rng, list(BEGINNINGS))
        make, shape, wanted = BEGINNINGS[name]
        values = rng.standard_normal(shape)
        other = rng.standard_normal((3,))
        self.leaves = (
            [tn.Tensor(values.copy(), wanted), tn.Tensor(other.copy(), True)],
            [torch.tensor(values, requires_grad=wanted), torch.tensor(other, requires_grad=True)],
        )
        for world, leaves in zip((self.ours, self.theirs), self.leaves, strict=True):
            world.extend(leaves)
            if make is not None:
                world.append(make(leaves[0]))
        self.log.append(f"begin: {name}")

    def go(self):
        """None, or why the program ended: what only one of the two refuses."""
        for _ in range(STEPS):
            kinds = pick(self.rng, KINDS)
            name = pick(self.rng, list(kinds))
            at, other = self.rng.integers(0, len(self.ours), 2).tolist()
            at = pick(self.rng, [at, len(self.ours) - 1])
            quiet = self.rng.random() < 0.2
            step = kinds[name](self.rng, tuple(self.theirs[at].shape))
            if step is None:
                continue
            results = [self.apply(step, self.ours, at, other, quiet)]
            if kinds is INPLACE and is_rule(results[0]):
                continue
            results.append(self.apply(step, self.theirs, at, other, quiet))
            self.note(name, at, other, quiet, results)
            refused = [isinstance(result, Exception) for result in results]
            if refused == [False, True] and kinds is INPLACE:
                return f"allowed: {name}"
            if refused == [True, False]:
                return f"refused: {name}: {results[0]}"
            if not any(refused) and kinds is not INPLACE:
                self.ours.append(results[0])
                # torch lets what an op makes of a transposed tensor lie transposed in memory too
                self.theirs.append(results[1].contiguous() if kinds is READS else results[1])
            self.compare()
        return self.backward()

    def note(self, name, at, other, quiet, results):
        said = [r if isinstance(r, Exception) else "" if r is None else "made" for r in results]
        made = len(self.ours) if said[0] == "made" else ""
        quietly = " in no_grad" if quiet else ""
        self.log.append(f"{made or '  '} {name} of {at} (and {other}){quietly} {said[0]} {said[1]}")

    @property
    def worlds(self):
        return self.ours, self.theirs

    def apply(self, step, world, at, other, quiet):
        lib = tn if world is self.ours else torch
        try:
            with lib.no_grad() if quiet else lib.enable_grad():
                result = step(world[at], world[other])
            if quiet and result is not None:
                return result.detach()  # a view of no_grad asks for a gradient of its own in torch
            return result
        except REFUSALS as error:
            assert world is self.theirs or ": " in str(error), f"{self}\n{error!r}"
            return error

    def compare(self):
        for place, (a, b) in enumerate(zip(self.ours, self.theirs, strict=True)):
            where = f"tensor {place} of\n{self}"
            assert a.shape == tuple(b.shape), where
            np.testing.assert_allclose(a.numpy(), b.detach().numpy(), atol=1e-9, err_msg=where)
            assert a.requires_grad == b.requires_grad, where

    def backward(self):
        losses, errors = [], []
        for world in self.worlds:
            terms = [
                (x * (0.3 + i)).sum() for i, x in enumerate(world) if x.requires_grad and x.numel()
            ]
            losses.append(sum(terms[1:], terms[0]))
        for loss in losses:
            try:
                loss.backward()
                errors.append(None)
            except RuntimeError as error:
                errors.append(error)
        if errors[1] is not None:  # only without the hooks
            return "torch refuses: backward"
        if errors[0] is not None:
            return f"refused: backward: {errors[0]}"
        for x, xt in zip(*self.leaves, strict=True):
            assert (x.grad is None) == (xt.grad is None), str(self)
            if x.grad is not None:
                np.testing.assert_allclose(x.grad, xt.grad, atol=1e-9, err_msg=str(self))
        return None

    def __str__(self):
        return "\n".join(self.log)


def outcome(seed):
    """How a program ends. torch keeps copies of what its ops save here, so that it knows the right
    gradients after any change; what tinynet refuses is tried again without the copies."""
    with torch.autograd.graph.saved_tensors_hooks(lambda t: t.detach().clone(), lambda t: t):
        end = Run(seed).go()
    if end is not None and end.startswith("refused: backward"):
        return Run(seed).go()
    return end


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
@pytest.mark.parametrize("block", range(20))
def test_random_programs(block):
    """Refused at the end is what was changed through .data, which torch does not notice."""
    seeds = range(block * SEEDS // 20, (block + 1) * SEEDS // 20)
    with tn.plain() if block % 4 == 3 else tn.enable_grad():
        ends = [outcome(seed) or "the same" for seed in seeds]
    kinds = collections.Counter(end.split(":")[0] for end in ends)
    assert kinds["refused"] + kinds["allowed"] <= 2, ends
    assert kinds["the same"] >= 13, ends
