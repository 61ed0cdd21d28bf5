"""Module against torch's: what is registered, listed, switched, moved, hooked and refused."""

import copy
import itertools

import numpy as np
import pytest
import torch

import tinynet as tn
import tinynet.nn as nn


def build(library):
    """The same nested model in either library; a block and a parameter are shared."""
    module, make = library.nn, library.ones

    class Block(module.Module):
        def __init__(self, width):
            super().__init__()
            self.scale = module.Parameter(make(width))
            self.conv = module.Conv2d(width, width, 3, padding=1)
            self.register_buffer("seen", library.zeros(1))
            self.register_buffer("scratch", library.zeros(2), persistent=False)
            self.register_buffer("nothing", None)
            self.bn = module.BatchNorm2d(width)
            self.shift = module.Parameter(make(width))

        def extra_repr(self):
            return "a block"

    class Net(module.Module):
        def __init__(self):
            self.width = 4  # plain values may come first
            super().__init__()
            self.features = module.Sequential(Block(4), module.ReLU(inplace=True))
            self.blocks = module.ModuleList([module.ReLU(), module.ReLU(), Block(2)])
            self.again = self.features[0]
            self.tied = self.features[0].scale
            self.downsample = None
            self.add_module("empty", None)
            self.register_parameter("none", None)
            self.head = module.Sequential()
            self.head.add_module("flat", module.Flatten())
            self.head.add_module("fc", module.Linear(8, 3, bias=False))
            self.plain = [module.ReLU()]  # in a list: not registered

    return Net()


LISTINGS = {
    "named_parameters": lambda m: [(n, tuple(p.shape)) for n, p in m.named_parameters()],
    "own parameters": lambda m: [n for n, _ in m.named_parameters(recurse=False)],
    "prefixed parameters": lambda m: [n for n, _ in m.named_parameters(prefix="net")],
    "parameters": lambda m: [tuple(p.shape) for p in m.parameters()],
    "named_buffers": lambda m: [(n, tuple(b.shape)) for n, b in m.named_buffers()],
    "own buffers": lambda m: [n for n, _ in m.features[0].named_buffers(recurse=False)],
    "named_modules": lambda m: [(n, type(x).__name__) for n, x in m.named_modules()],
    "prefixed modules": lambda m: [n for n, _ in m.named_modules(prefix="net")],
    "modules": lambda m: [type(x).__name__ for x in m.modules()],
    "named_children": lambda m: [(n, type(x).__name__) for n, x in m.named_children()],
    "children": lambda m: [type(x).__name__ for x in m.children()],
    "state_dict": lambda m: [(n, tuple(t.shape)) for n, t in m.state_dict().items()],
    "repr": repr,
    "get_submodule": lambda m: type(m.get_submodule("features.0.bn")).__name__,
    "plain attribute": lambda m: m.width,
}


@pytest.mark.parametrize("what", LISTINGS)
def test_listings_are_torchs(what):
    assert LISTINGS[what](build(tn)) == LISTINGS[what](build(torch))


class TestAssigning:
    def make(self, library):
        model = library.nn.Module()
        model.weight = library.nn.Parameter(library.ones(2))
        model.layer = library.nn.ReLU()
        model.register_buffer("count", library.zeros(1))
        model.plain = 3
        return model

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("weight", "number"),
            ("weight", "tensor"),
            ("weight", "module"),
            ("layer", "number"),
            ("layer", "tensor"),
            ("count", "number"),
        ],
    )
    def test_wrong_values_are_refused_and_change_nothing(self, name, value):
        for library in (tn, torch):
            model = self.make(library)
            before = getattr(model, name)
            values = {"number": 3, "tensor": library.zeros(2), "module": library.nn.ReLU()}
            with pytest.raises(TypeError, match=name):
                setattr(model, name, values[value])
            assert getattr(model, name) is before

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            pair
            for pair in itertools.product(
                ["weight", "layer", "count", "plain", "new"], ["none", "parameter", "module"]
            )
            if pair != ("weight", "module")
        ],
    )
    def test_a_name_is_in_one_place(self, name, value):
        found = []
        for library in (tn, torch):
            model = self.make(library)
            values = {
                "none": None,
                "parameter": library.nn.Parameter(library.ones(3)),
                "module": library.nn.Linear(2, 2),
            }
            setattr(model, name, values[value])
            assert getattr(model, name) is values[value]
            found.append(
                [
                    [n for n, _ in model.named_parameters()],
                    [n for n, _ in model.named_buffers()],
                    [n for n, _ in model.named_children()],
                    list(model.state_dict()),
                ]
            )
        assert found[0] == found[1]

    def test_deleting(self):
        model = self.make(tn)
        for name in ("weight", "layer", "count", "plain"):
            delattr(model, name)
            assert not hasattr(model, name)
        assert not model.state_dict()
        with pytest.raises(AttributeError, match="Module has no attribute 'weight'"):
            _ = model.weight
        with pytest.raises(AttributeError):
            del model.weight

    def test_a_buffer_made_persistent_again_is_saved(self):
        model = nn.Module()
        model.register_buffer("b", tn.zeros(1), persistent=False)
        assert not model.state_dict()
        del model.b
        model.register_buffer("b", tn.zeros(1))
        assert list(model.state_dict()) == ["b"]

    @pytest.mark.parametrize("what", ["parameter", "module", "register_buffer", "add_module"])
    def test_forgetting_super_init(self, what):
        class Forgetful(nn.Module):
            def __init__(self):
                if what == "parameter":
                    self.weight = nn.Parameter(tn.ones(2))
                elif what == "module":
                    self.layer = nn.ReLU()
                else:
                    getattr(self, what)("name", None)

        with pytest.raises(AttributeError, match=r"Forgetful: call super\(\).__init__\(\) first"):
            Forgetful()

    @pytest.mark.parametrize(
        ("call", "error", "message"),
        [
            (lambda m: m.register_parameter("a.b", None), ValueError, "without dots, got 'a.b'"),
            (lambda m: m.register_parameter("", None), ValueError, "non-empty string"),
            (lambda m: m.register_buffer(3, None), ValueError, "got 3"),
            (lambda m: m.add_module("forward", None), ValueError, "already has an attribute"),
            (lambda m: m.register_buffer("plain", None), ValueError, "'plain'"),
            (lambda m: m.register_parameter("p", tn.ones(2)), TypeError, "expected a Parameter"),
            (lambda m: m.register_buffer("p", np.ones(2)), TypeError, "expected a Tensor"),
            (lambda m: m.add_module("p", tn.ones(2)), TypeError, "expected a Module"),
            (
                lambda m: m.get_submodule("layer.deep"),
                AttributeError,
                "ReLU has no submodule 'deep'",
            ),
            (lambda m: m(tn.ones(2)), NotImplementedError, r"must define forward\(\)"),
            (lambda m: m.train("yes"), TypeError, "mode must be True or False"),
            (lambda m: m.to(np.int64), TypeError, "dtype must be floating"),
            (lambda m: m.to("tpu"), TypeError, "tpu"),
            (lambda m: m.missing, AttributeError, "Module has no attribute 'missing'"),
        ],
    )
    def test_wrong_calls(self, call, error, message):
        with pytest.raises(error, match=message):
            call(self.make(tn))


class TestModes:
    def test_train_and_eval_reach_everything(self):
        model = build(tn)
        assert model.eval() is model
        assert not any(module.training for module in model.modules())
        assert model.train() is model
        assert all(module.training for module in model.modules())

    @pytest.mark.parametrize("library", [tn, torch])
    def test_a_child_may_override_train(self, library):
        """Freezing BatchNorm inside a backbone is written so in torch."""

        class Frozen(library.nn.Sequential):
            def train(self, mode=True):
                super().train(mode)
                for module in self.modules():
                    if isinstance(module, library.nn.BatchNorm2d):
                        module.eval()
                return self

        model = library.nn.Sequential(Frozen(library.nn.BatchNorm2d(2), library.nn.ReLU()))
        model.train()
        assert [m.training for m in model.modules()] == [True, True, False, True]

    def test_dtype(self):
        model = build(tn)
        weight, count = model.head.fc.weight, model.again.bn.num_batches_tracked
        weight.grad = tn.ones(3, 8)
        assert model.double() is model
        assert model.head.fc.weight is weight
        assert weight.dtype == weight.grad.dtype == model.again.bn.running_var.dtype == np.float64
        assert model.again.bn.num_batches_tracked is count
        assert count.dtype == np.int64
        assert {p.dtype for p in model.float().parameters()} == {np.dtype(np.float32)}
        assert {p.dtype for p in model.to(dtype=np.float64).parameters()} == {np.dtype(np.float64)}
        assert {p.device for p in model.to("cpu").parameters()} == {"cpu"}

    @pytest.mark.parametrize("set_to_none", [True, False])
    def test_zero_grad(self, set_to_none):
        model = nn.Linear(2, 2)
        model.weight.grad = tn.ones(2, 2)
        model.zero_grad(set_to_none)
        assert model.bias.grad is None
        assert model.weight.grad is None or not model.weight.grad.numpy().any()
        assert (model.weight.grad is None) == set_to_none

    def test_requires_grad(self):
        model = build(tn).requires_grad_(False)
        assert not any(p.requires_grad for p in model.parameters())

    def test_apply_goes_children_first(self):
        orders = []
        for library in (tn, torch):
            orders.append([])
            model = build(library)
            assert model.apply(lambda m, order=orders[-1]: order.append(type(m).__name__)) is model
        assert orders[0] == orders[1]


def test_forward_hooks():
    layer, calls = nn.ReLU(), []
    watch = layer.register_forward_hook(lambda module, args, out: calls.append((module, args, out)))
    x = tn.tensor([-1.0, 2.0])
    y = layer(x)
    assert len(calls) == 1
    assert calls[0][0] is layer
    assert calls[0][1][0] is x
    assert calls[0][2] is y
    double = layer.register_forward_hook(lambda module, args, out: out * 2)
    assert layer(x).tolist() == [0, 4]
    double.remove()
    watch.remove()
    watch.remove()  # a second time changes nothing
    assert layer(x).tolist() == [0, 2]
    assert len(calls) == 2


def test_deepcopy_is_independent_and_keeps_what_is_shared():
    model = build(tn)
    twin = copy.deepcopy(model)
    assert repr(twin) == repr(model)
    assert twin.again is twin.features[0]
    assert twin.tied is twin.again.scale
    assert isinstance(twin.tied, nn.Parameter)
    twin.tied.data.fill_(7)
    twin.train(False)
    assert model.tied.tolist() == [1] * 4
    assert model.training
    assert len(list(twin.parameters())) == len(list(model.parameters()))


def test_arguments_reach_forward():
    class Net(nn.Module):
        def forward(self, x, *extra, scale=1):
            return x * scale, extra

    y, extra = Net()(tn.ones(2), 5, scale=3)
    assert y.tolist() == [3, 3]
    assert extra == (5,)
