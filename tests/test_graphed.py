"""Graphed: a step that is recorded and replayed learns what it learns otherwise, bit for bit."""

import warnings

import numpy as np
import pytest
from device import strict

import mobilenet
import tinynet as tn
import train_cifar100
from tinynet import nn, optim
from tinynet.fast.cuda import graph
from tinynet.nn import functional as F
from tinynet.training import checkpoint

pytestmark = pytest.mark.fast_only


@pytest.fixture(autouse=True)
def gpu():
    """The real one, or the stand-in."""
    with strict.gpu():
        yield


@pytest.fixture(autouse=True)
def _no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def network():
    tn.manual_seed(0)
    return mobilenet.build("cifar-4x4", 7, 0.05).to("cuda")


def batches(rng, count, N=4):
    for _ in range(count):
        memory = rng.standard_normal((3, 12, 12, N)).astype(np.float32)
        labels = rng.integers(0, 7, N)
        yield tn.Tensor(memory.transpose(3, 0, 1, 2)).to("cuda"), tn.Tensor(labels).to("cuda")


def learner(model):
    def learn(x, labels):
        logits = model(x)
        loss = F.cross_entropy(logits, labels, label_smoothing=0.1)
        loss.backward()
        return loss.detach(), logits.detach()

    return learn


def trained(graphed, steps=6, between=lambda step, model: None):
    """What a training leaves: losses, logits, gradients, parameters and statistics."""
    model, found = network(), []
    learn, optimizer = learner(model), optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    run = tn.Graphed(learn, model.parameters()) if graphed else learn
    for step, (x, labels) in enumerate(batches(np.random.default_rng(1), steps)):
        between(step, model)
        optimizer.zero_grad()
        loss, logits = run(x, labels)
        for group in optimizer.param_groups:
            group["lr"] = 0.1 / (1 + step)
        found += [loss.numpy().copy(), logits.numpy().copy()]
        found += [p.grad.numpy().copy() for p in model.parameters() if p.grad is not None]
        optimizer.step()
    return found + [tensor.numpy() for tensor in model.state_dict().values()], run


def assert_same(ours, expected):
    for a, b in zip(ours, expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_bit_for_bit():
    (ours, run), (expected, _) = trained(True), trained(False)
    assert_same(ours, expected)
    assert run.recording.graph is not None and not run.recording.refused


def test_in_plain_mode_and_on_a_cpu_nothing_is_recorded(rng):
    with tn.plain():
        (ours, run), (expected, _) = trained(True, 4), trained(False, 4)
    assert_same(ours, expected)
    assert run.recording is None
    x = tn.Tensor(rng.standard_normal(3), requires_grad=True)
    double = tn.Graphed(lambda t: (x * t).sum().backward(), [x])
    for _ in range(4):  # gradients do not add up over calls
        double(tn.tensor([1.0, 2.0, 3.0], dtype="float64"))
        assert x.grad.tolist() == [1, 2, 3]
    assert double.recording is None


def test_it_is_replayed_and_not_run():
    calls = []
    weight = tn.tensor([1.0, 2.0]).to("cuda").detach().requires_grad_()

    def learn(x):
        calls.append(len(calls))
        (weight * x * x).sum().backward()
        return (x + 1).sum()

    run = tn.Graphed(learn, [weight])
    for number in range(1, 7):
        result = run(tn.tensor([1.0, number]).to("cuda"))
        assert result.item() == number + 3
        assert weight.grad.tolist() == [1, number**2]
    assert calls == [0, 1, 2] and graph.WARM_UP == 2


def test_other_shapes_run_as_usual_and_the_graph_serves_again():
    model = network()
    run, plain = tn.Graphed(learner(model), model.parameters()), network()
    for N in (4, 4, 4, 2, 4, 3, 4):
        ((x, labels),) = batches(np.random.default_rng(N), 1, N)
        loss, _ = run(x, labels)
        expected, _ = learner(plain)(x, labels)
        assert loss.item() == expected.item()
        assert_same(*([t.numpy() for t in m.buffers()] for m in (model, plain)))
        plain.zero_grad()


def test_parameters_that_move_or_are_frozen_are_recorded_anew():
    def change(step, model):
        weight = model.classifier.weight
        if step == 4:
            weight.data = tn.Tensor(weight.array.copy())
        if step == 8:
            model.stem[0].weight.requires_grad_(False)

    found = [trained(graphed, 12, change) for graphed in (True, False)]
    assert_same(found[0][0], found[1][0])
    assert found[0][1].recording.graph is not None


def warned(function, parameters=(), calls=4):
    """What a function gives in several calls, and the one warning."""
    run, x = tn.Graphed(function, parameters), tn.tensor([1.0, 2.0, 3.0] * 20).to("cuda")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = [run(x) for _ in range(calls)]
    (warning,) = caught
    assert "Graphed: works without a CUDA graph, more slowly" in str(warning.message)
    assert run.recording.refused
    return found, str(warning.message)


def test_random_numbers_are_not_repeated():
    tn.manual_seed(0)
    found, said = warned(lambda x: F.dropout(x), calls=6)
    assert len({tuple(y.tolist()) for y in found}) == 6
    assert "random numbers" in said


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (lambda x: x * x.sum().item(), ""),  # CUDA's own words
        (lambda x: x * x.sum().numpy().max(), "between CPU and GPU"),
        (lambda x: x[:3] + tn.tensor([1.0, 2.0, 3.0]).to("cuda"), "between CPU and GPU"),
    ],
)
def test_what_moves_between_cpu_and_gpu_is_told(function, why):
    found, said = warned(function)
    assert all(y.tolist() == found[0].tolist() for y in found)
    assert why in said


def test_plain_numbers_are_part_of_the_recording():
    run = tn.Graphed(lambda x: (2 * x + 1) / 4 - x**3 * (x > 1), [])
    for number in range(6):
        assert run(tn.tensor([float(number)]).to("cuda")).item() == (
            (2 * number + 1) / 4 - number**3 * (number > 1)
        )
    assert run.recording.graph is not None


def test_an_optimiser_inside_is_told():
    weight = tn.tensor([1.0]).to("cuda").detach().requires_grad_()
    optimizer = optim.SGD([weight], lr=1.0)

    def step(x):
        (weight * x.sum()).sum().backward()
        optimizer.step()
        return weight.detach().clone()

    found, said = warned(step, [weight])
    assert [y.item() for y in found] == [-119, -239, -359, -479]
    assert "learning rate" in said


def test_an_error_of_the_function_is_its_own():
    def learn(x):
        raise ZeroDivisionError("ours")

    run = tn.Graphed(learn, [])
    for _ in range(2):
        with pytest.raises(ZeroDivisionError, match="ours"):
            run(tn.ones(2).to("cuda"))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: tn.Graphed(3, []), "function must be callable, got int"),
        (lambda: tn.Graphed(len, [])(np.ones(3)), "takes Tensors, got ndarray"),
    ],
)
def test_misuse(make, message):
    with pytest.raises(TypeError, match=message):
        make()


@pytest.mark.parametrize("options", [(), ("--mixup", "0.2", "--clip-grad-norm", "1")])
def test_the_training_script(tmp_path, monkeypatch, options):
    """It records, and learns what it learns without."""
    small = ["--dataset", "shapes", "--per-class", "2", "--val-per-class", "1", "--width", "0.05"]
    small += ["--batch-size", "20", "--epochs", "2", "--device", "cuda", *options, "--out"]
    records = []
    record = graph.Recording.record
    monkeypatch.setattr(
        graph.Recording, "record", lambda *arguments: records.append(record(*arguments))
    )
    train_cifar100.main([*small, str(tmp_path / "graphed")])
    monkeypatch.setattr(graph, "WARM_UP", 10**9)
    train_cifar100.main([*small, str(tmp_path / "plain")])
    assert len(records) == 1
    names = "graphed", "plain"
    found = [checkpoint.load(tmp_path / name / "checkpoint.npz")["model"] for name in names]
    assert_same(found[0].values(), found[1].values())


def test_the_training_script_with_dropout_records_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(graph, "Recording", None)
    small = ["--dataset", "shapes", "--per-class", "2", "--val-per-class", "1", "--width", "0.05"]
    small += ["--batch-size", "20", "--epochs", "1", "--device", "cuda", "--dropout", "0.1"]
    train_cifar100.main([*small, "--out", str(tmp_path / "run")])
    assert (tmp_path / "run" / "network.npz").exists()


def test_groups_of_a_convolution():
    """CuPy's product serves them, which cannot be recorded."""
    tn.manual_seed(0)
    conv = nn.Conv2d(4, 4, 1, groups=2).to("cuda")
    run = tn.Graphed(lambda x: conv(x).detach(), conv.parameters())
    x = tn.randn(2, 4, 3, 3).to("cuda")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = [run(x).numpy() for _ in range(4)]
    assert len(caught) == 1 and "matrix products" in str(caught[0].message)
    for y in found:
        np.testing.assert_array_equal(y, found[0])
