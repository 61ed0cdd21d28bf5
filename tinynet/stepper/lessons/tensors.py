"""Small tensors for the lessons' graphs, in float64."""

import numpy as np

import tinynet as tn


def leaf(values, shape=None):
    """A float64 tensor that requires a gradient."""
    array = np.array(values, np.float64)
    return tn.Tensor(array if shape is None else array.reshape(shape), requires_grad=True)


def constant(values, shape=None):
    return leaf(values, shape).detach()


def digits(seed, *shape):
    """Whole numbers from -2 to 2, easy to follow by hand."""
    return np.random.default_rng(seed).integers(-2, 3, shape).astype(np.float64)
