"""Where a NaN or an infinity comes from: the sentence, and that looking changes nothing."""

import math

import numpy as np
import pytest

import mobilenet
import tinynet as tn
from tinynet import backend, nn
from tinynet.autograd.mode import mode
from tinynet.training.nonfinite import first_nonfinite, nonfinite_place


class Head(nn.Module):
    """`change` before the linear layer, after another module has run."""

    def __init__(self, change):
        super().__init__()
        self.flatten, self.linear = nn.Flatten(), nn.Linear(36, 3)
        self.change = change

    def forward(self, x):
        return self.linear(self.change(self.flatten(x)))


class Net(nn.Module):
    def __init__(self, change=lambda x: x):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU6(), nn.Dropout(0.5)
        )
        self.head = Head(change)

    def forward(self, x):
        return self.head(self.body(x))


def batch(n=4):
    return tn.Tensor(np.random.default_rng(1).standard_normal((n, 3, 5, 5)).astype(np.float32))


def loss_of(y):
    labels = tn.Tensor(np.arange(len(y)) % 3).to(y.device)
    return nn.functional.cross_entropy(y, labels)


def test_nothing_is_wrong():
    text = "no NaN and no infinity was found again"
    assert first_nonfinite(Net(), batch(), loss_of) == text
    text = "no NaN and no infinity was found again"
    assert first_nonfinite(Net(), batch()) == text
    assert first_nonfinite(Net(), batch().array) == text


@pytest.mark.parametrize(
    ("kind", "name"), [("parameter", "body.1.bias"), ("buffer", "body.1.running_var")]
)
def test_a_tensor_of_the_model(kind, name):
    model = Net()
    path, last = name.rsplit(".", 1)
    with tn.no_grad():
        getattr(model.get_submodule(path), last)[:] = tn.tensor([1, math.nan, math.inf, -math.inf])
    text = f"the {kind} {name} is not finite: 1 NaN and 2 infinite of 4 values, shape (4,)"
    assert first_nonfinite(model, batch(), loss_of) == text


def test_the_input():
    x = batch()
    x[1, 2, 3, 4] = math.nan
    text = "the input x is not finite: 1 NaN and 0 infinite of 300 values, shape (4, 3, 5, 5)"
    assert first_nonfinite(Net(), x) == text


CHANGES = {  # what happens in the head -> the op that is named
    "a logarithm": (lambda x: x.log(), "Log", "finite inputs"),
    "a division": (lambda x: 1 / (x - x), "Divide", "finite inputs"),
    "exp, and what follows": (lambda x: ((x * 1e5 + 100).exp() * 2).sqrt(), "Exp", "finite inputs"),
    "a constant": (
        lambda x: x + tn.full((36,), math.nan).to(x.device),
        "Add",
        "a constant that was not finite before",
    ),
    "an infinity that is harmless, then one that is not": (
        lambda x: (x + tn.full((36,), -math.inf).to(x.device)).exp() + (-1 - x).sqrt(),
        "Sqrt",
        "finite inputs",
    ),
}


@pytest.mark.parametrize(("change", "op", "came"), CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("loss_fn", [None, loss_of], ids=["output", "loss"])
def test_an_op_in_a_module(change, op, came, loss_fn):
    found = first_nonfinite(Net(change), batch(), loss_fn)
    what = "output" if loss_fn is None else "loss"
    assert found.startswith(f"the {what} is not finite; {op} in head (Head) made it, out of {came}")
    assert found.endswith("of 144 values, shape (4, 36)")


def test_an_op_in_a_layer_and_one_in_the_model_itself():
    model = Net()
    with tn.no_grad():
        model.body[0].weight.fill_(3e38)
    found = first_nonfinite(model, batch())
    assert found.startswith("the output is not finite; Conv2d in body.0 (Conv2d) made it")
    alone = nn.Linear(75, 2)
    alone.forward = lambda x: x.flatten(1).abs().log() - math.inf  # such a forward is kept
    forward = alone.forward
    found = first_nonfinite(alone, batch())
    assert "Subtract in the model itself (Linear) made it" in found
    assert alone.forward is forward


def test_a_harmless_infinity_is_not_blamed():
    change = lambda x: (x * 0).log().exp()  # noqa: E731  (-inf, then 0)
    text = "no NaN and no infinity was found again"
    assert first_nonfinite(Net(change), batch()) == text


def test_the_loss_itself():
    found = first_nonfinite(Net(), batch(), lambda y: (y - y).log().sum())
    assert found.startswith("the loss is not finite; Log in the loss made it, out of finite inputs")


def test_a_nan_that_no_op_made():
    class Writes(nn.Module):
        def forward(self, x):
            y = x.detach().clone()
            y.array[...] = np.nan
            return y

    text = "the output is not finite; no op made it, it was written into a tensor"
    assert first_nonfinite(Writes(), batch()) == text


def test_a_gradient():
    """The root of 0 has an infinite slope; the gradient of a parameter after it is finite."""
    model = Net(lambda x: (x * 0).sqrt())
    found = first_nonfinite(model, batch(), loss_of)
    assert found.startswith("the loss is 1.")
    # 0 times infinity, in the backward of the multiplication
    assert "but the gradient of body.1.weight is not finite: 4 NaN and 0 infinite of 4" in found
    before = "the backward of BatchNorm in body.1 (BatchNorm2d) made it, after that of Sqrt in "
    assert found.endswith(before + "head (Head) had made the first")


def test_a_gradient_whose_op_is_the_first():
    model = nn.Linear(75, 1, bias=False)
    with tn.no_grad():
        model.weight.zero_()
    flat = batch().flatten(1)
    found = first_nonfinite(model, flat, lambda y: (y * 1e38).sum() * 1e38)
    assert "of weight is not finite" in found and "Multiply in the loss had made the" in found
    big = flat / flat.abs().max() * 3e38
    found = first_nonfinite(model, big, lambda y: (y * 10).sum())
    assert found.startswith("the loss is 0, but the gradient of weight is not finite: ")
    assert found.endswith("the backward of Linear in the model itself (Linear) made it")


def test_a_sum_of_finite_gradients():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(np.zeros(1, np.float32))

        def forward(self, x):
            return x * self.weight + x * self.weight

    found = first_nonfinite(Twice(), tn.full((1,), 3e38), lambda y: y.sum())
    assert found.endswith("Multiply in the model itself (Twice) made it, a sum of finite ones")


@pytest.mark.parametrize("change", [lambda x: x, lambda x: x.log(), lambda x: (x * 0).sqrt()])
def test_looking_changes_nothing(change):
    model, x = Net(change), batch()
    loss_of(model(x)).backward()
    x.requires_grad_()
    gradients = [p.grad for p in model.parameters()]
    values = [g.numpy().copy() for g in gradients]
    state = {name: t.numpy().copy() for name, t in model.state_dict().items()}
    buffers, pixels = list(model.buffers()), x.numpy().copy()
    bits = backend.random_generator().bit_generator.state
    first_nonfinite(model, x, loss_of)
    assert backend.random_generator().bit_generator.state == bits
    assert all(p.grad is g for p, g in zip(model.parameters(), gradients, strict=True))
    for gradient, before in zip(gradients, values, strict=True):
        np.testing.assert_array_equal(gradient.numpy(), before)
    assert all(a is b for a, b in zip(model.buffers(), buffers, strict=True))
    for name, before in state.items():
        np.testing.assert_array_equal(model.state_dict()[name].numpy(), before, name)
    np.testing.assert_array_equal(x.numpy(), pixels)
    assert x.grad is None and model.training and not mode.observers
    assert not any("forward" in vars(module) for module in model.modules())


def test_an_error_in_the_model_changes_nothing_either():
    def refuse(x):
        raise RuntimeError("no")

    model = Net(refuse)
    state = {name: t.numpy().copy() for name, t in model.state_dict().items()}
    with pytest.raises(RuntimeError, match="no"):
        first_nonfinite(model, batch(), loss_of)
    for name, before in state.items():
        np.testing.assert_array_equal(model.state_dict()[name].numpy(), before, name)
    assert not any("forward" in vars(module) for module in model.modules())
    with pytest.raises(TypeError, match="model must be a Module, got function"):
        first_nonfinite(refuse, batch())


def test_a_buffer_that_the_model_replaces():
    class Counts(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("seen", tn.zeros(1))

        def forward(self, x):
            self.seen = self.seen + 1
            return x

    model = Counts()
    seen = model.seen
    first_nonfinite(model, batch())
    assert model.seen is seen and model.seen.item() == 0


def test_a_mobilenet():
    model = mobilenet.build("cifar-4x4", 10, 0.1)
    x = tn.Tensor(np.random.default_rng(2).standard_normal((2, 3, 32, 32)).astype(np.float32))
    with tn.no_grad():
        model.blocks[7].pointwise[1].weight.fill_(3e38)
        model.blocks[7].pointwise[1].bias.fill_(3e38)
        model.blocks[7].pointwise[2].forward = lambda y: y * 10
    found = first_nonfinite(model, x, lambda y: y.sum())
    assert "in blocks.7.pointwise.1 (BatchNorm2d) made it, out of finite inputs" in found


def test_a_tree():
    model = Net()
    optimizer = tn.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    loss_of(model(batch())).backward()
    optimizer.step()
    tree = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "others": (1, "text", None, math.inf, [np.arange(3), np.float32(3e38)]),
    }
    assert nonfinite_place(tree) is None
    assert all(nonfinite_place(sound) is None for sound in (optimizer.state, 3, {}))
    large = np.full(4, 3e38, np.float32)  # finite, although the sum is not
    assert nonfinite_place([large, tn.Tensor(large)]) is None
    third = list(model.parameters())[2]
    optimizer.state[third]["momentum_buffer"][1] = math.nan
    assert nonfinite_place(optimizer.state) == "2.momentum_buffer"
    tree["optimizer"] = optimizer.state_dict()
    assert nonfinite_place(tree) == "optimizer.state.2.momentum_buffer"
    with tn.no_grad():
        third[0] = -math.inf
    assert nonfinite_place(tree) == "model.body.1.weight"
    assert nonfinite_place(third) == "the array"
    assert nonfinite_place([1, (np.array([1, np.nan]),)]) == "1.0"
