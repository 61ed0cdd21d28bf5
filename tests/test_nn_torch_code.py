"""Network classes written for torch run unchanged: same logits, gradients, statistics, training."""

import copy

import numpy as np
import pytest
import torch
import torch_sources
from helpers import assert_same, compare_with_torch

import tinynet as tn

NAMES = ["MOBILENET", "BLOCK_TABLE", "RESIDUAL", "TORCH_FUNCTIONS", "FEATURES"]
BATCH, CLASSES = 9, 5


def network(name, library):
    """The source's Net, built with `library` in the place of torch."""
    imports = torch_sources.IMPORTS
    if library is tn:
        imports = imports.replace("import torch\n", "import tinynet as torch\n")
        imports = imports.replace("torch.nn", "tinynet.nn")
    namespace = {}
    exec(compile(imports + getattr(torch_sources, name), name, "exec"), namespace)
    return namespace["Net"](num_classes=CLASSES)


def twin_networks(name, dtype=np.float64):
    ours, theirs = network(name, tn), network(name, torch)
    if dtype == np.float64:
        ours.double()
        theirs.double()
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def batch(rng, dtype=np.float64):
    return rng.standard_normal((BATCH, 3, 16, 16)).astype(dtype), rng.integers(0, CLASSES, BATCH)


def assert_same_state(ours, theirs, tolerance):
    expected = theirs.state_dict()
    assert list(ours.state_dict()) == list(expected)
    for key, tensor in ours.state_dict().items():
        assert_same(tensor, expected[key], key, tolerance, tolerance)


@pytest.mark.parametrize("name", NAMES)
def test_the_model_looks_the_same(name):
    ours, theirs = network(name, tn), network(name, torch)
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for (key, p), (key_of_torch, q) in zip(
        ours.named_parameters(), theirs.named_parameters(), strict=True
    ):
        assert (key, p.shape) == (key_of_torch, tuple(q.shape))
        # the initial weights are not equal, but drawn from the same distribution
        assert p.numpy().std() == pytest.approx(q.detach().numpy().std(), rel=6 / p.numel() ** 0.5)


@pytest.mark.parametrize("name", NAMES)
def test_training_step_by_step(rng, name):
    """Three SGD steps: logits, loss, every gradient and all of the state after each; then eval."""
    ours, theirs = twin_networks(name)
    options = {"lr": 0.05, "momentum": 0.9, "weight_decay": 1e-3, "nesterov": True}
    steps = [
        (tn.optim.SGD(ours.parameters(), **options), tn.nn.CrossEntropyLoss(label_smoothing=0.1)),
        (
            torch.optim.SGD(theirs.parameters(), **options),
            torch.nn.CrossEntropyLoss(label_smoothing=0.1),
        ),
    ]
    for _ in range(3):
        x, labels = batch(rng)
        outcomes = []
        for model, library, (optimizer, criterion) in zip(
            (ours, theirs), (tn, torch), steps, strict=True
        ):
            model.train()
            optimizer.zero_grad()
            logits = model(library.tensor(x))
            loss = criterion(logits, library.tensor(labels))
            loss.backward()
            outcomes.append([logits, loss, *(p.grad for p in model.parameters())])
            optimizer.step()
        keys = ["logits", "loss", *(key for key, _ in theirs.named_parameters())]
        for key, a, b in zip(keys, *outcomes, strict=True):
            assert_same(a, b, key)
        assert_same_state(ours, theirs, 1e-9)
    x, _ = batch(rng)
    ours.eval()
    theirs.eval()
    with tn.no_grad(), torch.no_grad():
        assert_same(ours(tn.tensor(x)), theirs(torch.tensor(x)), "evaluation")
    assert_same_state(ours, theirs, 1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_float32(rng, name):
    ours, theirs = twin_networks(name, np.float32)
    x, labels = batch(rng, np.float32)
    for model, library in ((ours, tn), (theirs, torch)):
        criterion = library.nn.CrossEntropyLoss()
        criterion(model(library.tensor(x)), library.tensor(labels)).backward()
    for (key, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert p.grad.dtype == np.float32
        assert_same(p.grad, q.grad, key, rtol=1e-3, atol=1e-4 * float(q.grad.abs().max()) + 1e-6)
    assert_same_state(ours, theirs, 1e-4)
    assert_same(
        ours.eval()(tn.tensor(x)), theirs.eval()(torch.tensor(x)), "eval", rtol=1e-3, atol=1e-3
    )


@pytest.mark.parametrize("name", NAMES)
def test_input_gradient_in_evaluation(rng, name):
    """What saliency maps are made of: the gradient of one logit by the pixels, statistics fixed."""
    ours, theirs = twin_networks(name)
    x, _ = batch(rng)
    gradients = []
    for model, library in ((ours, tn), (theirs, torch)):
        pixels = library.tensor(x, requires_grad=True)
        model.eval()(pixels)[:, 1].sum().backward()
        gradients.append(pixels.grad)
    assert_same(*gradients, "pixels")


@pytest.mark.parametrize("name", NAMES)
def test_copies_and_batches_of_one(rng, name):
    ours, theirs = twin_networks(name)
    twin = copy.deepcopy(ours).eval()
    x, _ = batch(rng)
    assert_same(twin(tn.tensor(x[:1])), theirs.eval()(torch.tensor(x[:1])))
    assert ours.training


CALLS = {
    "flatten": lambda t, x: t.flatten(x, 1),
    "reshape": lambda t, x: t.reshape(x, (2, -1)),
    "transpose": lambda t, x: t.transpose(x, 1, 2),
    "permute": lambda t, x: t.permute(x, (2, 0, 1)),
    "unsqueeze, squeeze": lambda t, x: t.squeeze(t.unsqueeze(x, 1), 1) * 2,
    "add, mul": lambda t, x: t.add(t.mul(x, 3), x),
    "matmul": lambda t, x: t.matmul(x, t.transpose(x, 1, 2)),
    "exp, log, sqrt, pow": lambda t, x: t.sqrt(t.log(t.exp(t.pow(x, 2)) + 1)),
    "clamp": lambda t, x: t.clamp(x, 0, 0.5) + t.clamp(x, max=0.1) + t.clamp(x, min=0),
    "sum, mean": lambda t, x: t.sum(x, 1) + t.mean(x, dim=1) * t.sum(x),
    "max": lambda t, x: t.max(x, dim=1)[0] + t.max(x, 1, keepdim=True).values[:, 0] * t.max(x),
    "relu, softmax": lambda t, x: t.relu(x) * t.softmax(x, dim=1) + t.log_softmax(x, 2),
    "cat, stack": lambda t, x: t.cat([x, x * 2], dim=2) + t.stack((x, x), 1).view(2, 3, -1),
}


@pytest.mark.parametrize("what", CALLS)
def test_functions_of_the_package(rng, what):
    """`torch.flatten(x, 1)` and the like, with tinynet in torch's place."""
    compare_with_torch(
        lambda x: CALLS[what](tn, x),
        lambda x: CALLS[what](torch, x),
        rng.standard_normal((2, 3, 4)),
    )


def test_functions_refuse_what_is_no_tensor():
    with pytest.raises(TypeError, match="flatten: expected a Tensor, got ndarray"):
        tn.flatten(np.zeros(3))
    assert tn.argmax(tn.tensor([[1.0, 3.0, 2.0]]), dim=1).tolist() == [1]


@pytest.mark.parametrize("library", [tn, torch])
def test_frozen_backbone(rng, library):
    """Transfer learning: the backbone's weights want no gradient, the head's do."""
    model = network("MOBILENET", library)
    for parameter in model.model.parameters():
        parameter.requires_grad = False
    x, labels = batch(rng, np.float32)
    loss = library.nn.functional.cross_entropy(model(library.tensor(x)), library.tensor(labels))
    loss.backward()
    got = [key for key, p in model.named_parameters() if p.grad is not None]
    assert got == ["fc.weight", "fc.bias"]
