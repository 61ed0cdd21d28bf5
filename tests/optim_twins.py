"""The same parameters and the same gradients, for an optimizer of ours and one of torch's."""

import functools

import numpy as np
import torch

from tinynet.autograd import Tensor

SHAPES = [(), (5,), (3, 4, 3, 3), (9, 20), (6, 4)]  # the last one in column-major order
STEPS = 8


def make_twins(dtype=np.float64, shapes=SHAPES, seed=0):
    """Parameters of equal values: ours and torch's."""
    rng = np.random.default_rng(seed)
    arrays = [np.asarray(rng.standard_normal(shape), dtype) for shape in shapes]
    arrays[-1] = np.asfortranarray(arrays[-1])
    ours = [Tensor(array, requires_grad=True) for array in arrays]
    theirs = [torch.tensor(array.copy(), requires_grad=True) for array in arrays]
    return ours, theirs


@functools.cache
def make_gradient(shape, dtype, step):
    return np.asarray(np.random.default_rng(1000 + step).standard_normal(shape), dtype)


def set_gradients(ours, theirs, step, missing=None):
    for i, (p, q) in enumerate(zip(ours, theirs, strict=True)):
        gradient = make_gradient(p.shape, p.dtype, step)
        p.grad = None if i == missing else Tensor(gradient)
        q.grad = None if i == missing else torch.tensor(gradient.copy())


def run(ours, theirs, optimizer, reference, steps=range(STEPS)):
    """Some steps with a learning rate that changes, and with gradients missing now and then."""
    for step in steps:
        for group in optimizer.param_groups + reference.param_groups:
            group["lr"] *= 0.5 if step == 3 else 1.1
        set_gradients(ours, theirs, step, missing=step % 7)
        optimizer.step()
        reference.step()


def assert_equal(ours, theirs):
    for p, q in zip(ours, theirs, strict=True):
        assert p.dtype == q.detach().numpy().dtype
        tolerance = 1e-12 if p.dtype == np.float64 else 1e-6
        np.testing.assert_allclose(p.numpy(), q.detach().numpy(), rtol=tolerance, atol=tolerance)
