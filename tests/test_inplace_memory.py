"""Whose memory a tensor's is: elements, memory of other libraries, and what layers return."""

import numpy as np
import pytest
import torch

import tinynet as tn
import tinynet.nn.functional as F

FT = torch.nn.functional


@pytest.mark.parametrize("lib", [tn, torch], ids=["tinynet", "torch"])
def test_an_element_is_a_view_too(lib):
    x = lib.tensor([[1.0, 2.0], [3.0, 4.0]])
    x[0, 1].mul_(10)
    x[1][0].add_(5)
    for element in x[1]:
        element += 1
    assert x.tolist() == [[1, 20], [9, 5]]


@pytest.mark.parametrize("lib", [tn, torch], ids=["tinynet", "torch"])
def test_two_recorded_changes_of_an_element(lib):
    x = lib.tensor([1.0, 2.0, 3.0], requires_grad=True)
    a = x[2] + 1
    row = a.unsqueeze(0)
    row.mul_(0.5)
    row.mul_(0.5)
    (row * 2).sum().backward()
    assert x.grad.tolist() == [0, 0, 0.5]


def foreign_memory(tmp_path, way):
    """An array whose memory belongs to something else than an array of NumPy's."""
    values = np.arange(6.0).reshape(2, 3)
    if way == "torch":
        return torch.tensor(values).numpy()
    if way == "buffer":
        return np.frombuffer(bytearray(values.tobytes())).reshape(2, 3)
    if way == "matrix":
        return np.asmatrix(values.copy())
    np.save(tmp_path / "values.npy", values)
    return np.load(tmp_path / "values.npy", mmap_mode="r+")


@pytest.mark.filterwarnings("ignore:the matrix subclass")
@pytest.mark.parametrize("way", ["torch", "buffer", "matrix", "file"])
def test_memory_that_is_not_an_arrays(tmp_path, way):
    """Views of it are views, and what an op saved of it is watched."""
    x = tn.Tensor(foreign_memory(tmp_path, way))
    w = tn.ones(6, dtype=np.float64, requires_grad=True)
    y = w * x.view(6)
    x[0].add_(1)
    assert x.view(-1).tolist() == [1, 2, 3, 3, 4, 5]
    with pytest.raises(RuntimeError, match="Multiply saved"):
        y.sum().backward()
    h = x * w[0]
    h.view(-1)[2:4].mul_(2)
    h.sum().backward()
    assert w.grad.tolist() == [18 + 6, 0, 0, 0, 0, 0]


def image_outputs():
    x = np.random.default_rng(3).standard_normal((9, 2, 4, 3))
    layers = {
        "conv": lambda f, w, x: f.conv2d(x, w),
        "depthwise": lambda f, w, x: f.conv2d(x, w[:, :1], groups=2),
        "batch norm": lambda f, w, x: f.batch_norm(x, None, None, training=True),
        "average pool": lambda f, w, x: f.avg_pool2d(f.conv2d(x, w), 2),
        "max pool": lambda f, w, x: f.max_pool2d(f.conv2d(x, w), 2),
        "adaptive pool": lambda f, w, x: f.adaptive_avg_pool2d(f.conv2d(x, w), 2),
        "global pool": lambda f, w, x: f.adaptive_avg_pool2d(x, 1),
        "relu": lambda f, w, x: f.relu(f.conv2d(x, w)),
    }
    for name, layer in layers.items():
        for dims in ("flatten", "view", "transpose", "slice", "channels first"):
            yield pytest.param(x, layer, dims, id=f"{name}, {dims}")


@pytest.mark.parametrize(("array", "layer", "way"), list(image_outputs()))
def test_views_of_what_layers_return_reach_it(array, layer, way):
    """Their memory is (C, H, W, N): what is a view and what a copy is as in torch all the same."""
    views = {
        "flatten": lambda y: y.flatten(1)[2:],
        "view": lambda y: y.view(-1)[1::2],
        "transpose": lambda y: y.transpose(0, 1).flatten(2)[1],
        "slice": lambda y: y[:, 1:].view(9, -1)[1],
        "channels first": lambda y: y.permute(1, 2, 3, 0).reshape(2, -1)[1],  # copies in torch
    }
    weight = np.random.default_rng(4).standard_normal((2, 2, 1, 1))
    results = []
    for f, new, library in ((F, tn.tensor, tn), (FT, torch.tensor, torch)):
        x = new(array).requires_grad_()
        y = layer(f, new(weight), x)
        y = y + 0 if library is torch else y * 1  # nothing has saved this
        view = views[way](y)
        view.mul_(3)
        with library.no_grad():
            view += 1
            y[0] = 0.5
        (view * view).sum().backward(retain_graph=False)
        results.append([y, view, x.grad])
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(
            ours.detach().numpy(), theirs.detach().numpy(), rtol=1e-9, atol=1e-9
        )
