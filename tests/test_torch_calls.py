"""Functions and methods that training scripts call, files and batches, against torch."""

import io
import itertools
import math

import numpy as np
import pytest
import torch
from helpers import assert_same, compare_with_torch

import tinynet as tn
import tinynet.nn as nn
from tinynet import optim


def normal(*shape):
    return np.random.default_rng(0).standard_normal(shape)


def ties():
    return np.array([[2.0, 1.0, 2.0, 0.0, 1.0], [-1, -1, -1, 5, 3]])


CALLS = {
    "where": lambda t, x: t.where(x > 0, x, x * x) + t.where(x > 1, 1.0, x) + t.where(x < 0, x, 2),
    "where broadcasts": lambda t, x: x[:1].where(x[:, :1] > 0, x[1:, 1:2]),
    "masked_fill": lambda t, x: x.masked_fill(x > 1, -7) + t.masked_fill(x, x[0] > 0, 0.5),
    "gather": lambda t, x: x.gather(1, t.tensor([[0, 0, 3], [1, -1 + 5, 2]])),
    "sort": lambda t, x: t.sort(x).values + x.sort(0, descending=True)[0],
    "topk": lambda t, x: t.topk(x, 3)[0] + x.topk(3, -1, False).values,
    "norm": lambda t, x: x.norm() + t.norm(x, 1, 0).sum() + x.norm(math.inf, dim=1, keepdim=True),
    "norm of zeros": lambda t, x: (x * 0).norm() + (x * 0).norm(1),
    "flip": lambda t, x: t.flip(x, [0]) * x.flip(0, 1) + x.flip(-1),
    "repeat": lambda t, x: x.repeat(2, 1, 3),
    "round, square": lambda t, x: t.round(x * 1.3) * x + t.square(x).neg(),
    "softmax": lambda t, x: x.softmax(-1) * x.log_softmax(0) + x.relu(),
}


@pytest.mark.parametrize("name", CALLS)
def test_calls(name):
    for array in (normal(2, 5), ties()):
        if "sort" in name or "topk" in name:
            array = array + np.arange(10).reshape(2, 5) / 100
        compare_with_torch(lambda x: CALLS[name](tn, x), lambda x: CALLS[name](torch, x), array)


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("dim", [0, -1])
def test_sorting_keeps_equals_in_order_and_takes_nan_for_largest(dim, descending):
    x = ties()
    x[0, 3] = np.nan
    for array in (x, ties().astype(np.int64), ties() > 0):
        ours = tn.tensor(array).sort(dim, descending, stable=True)
        theirs = torch.tensor(array).sort(dim=dim, descending=descending, stable=True)
        for a, b in zip(ours, theirs, strict=True):
            assert_same(a, b)
        assert_same(tn.argsort(tn.tensor(array), dim, descending), theirs.indices)
        if array.dtype == bool:  # torch has no topk of these
            continue
        largest = torch.tensor(array).topk(2, dim, descending)
        assert_same(tn.tensor(array).topk(2, dim, descending).values, largest.values)
    assert_same(tn.tensor(3.0).sort().indices, torch.tensor(3.0).sort().indices)


def test_comparisons_and_tests():
    arrays = normal(2, 3), np.zeros((2, 3)), np.array([1.0, np.nan, np.inf])
    for a, b in itertools.permutations(arrays, 2):
        x, y = (tn.tensor(a), tn.tensor(b)), (torch.tensor(a), torch.tensor(b))
        for name in ("eq", "ne", "lt", "le", "gt", "ge"):
            assert_same(getattr(x[0], name)(x[1]), getattr(y[0], name)(y[1]))
            assert_same(getattr(tn, name)(x[0], 0), getattr(torch, name)(y[0], 0))
        for name in ("isnan", "isinf", "isfinite"):
            assert_same(getattr(x[0], name)(), getattr(torch, name)(y[0]))
        for name in ("equal", "allclose"):
            assert getattr(tn, name)(*x) == getattr(torch, name)(*y)
            assert getattr(tn, name)(x[0], x[0]) == getattr(torch, name)(y[0], y[0])


def test_any_and_all():
    for array in (normal(2, 3) > 0, np.array([[0, 1], [0, 0]]), np.zeros((0, 2))):
        for name, options in itertools.product(
            ("any", "all"), ({}, {"dim": 1}, {"axis": 0, "keepdims": True})
        ):
            ours, theirs = (getattr(t.tensor(array), name) for t in (tn, torch))
            renamed = {
                {"axis": "dim", "keepdims": "keepdim"}.get(key, key): value
                for key, value in options.items()
            }
            assert_same(ours(**options), theirs(**renamed))


def test_scatter():
    index = np.array([[2, 0, 1], [1, 1, 0]])
    for dim, values in itertools.product((0, 1, -1), (4.5, normal(2, 3))):
        found = []
        for t in (tn, torch):
            x = t.zeros(4, 5, dtype=t.float64)
            value = t.tensor(values) if isinstance(values, np.ndarray) else values
            index_ = t.tensor(index % 2 if dim else index)
            if dim and isinstance(values, np.ndarray):  # twice at one place: which one stays?
                index_ = t.tensor(np.array([[2, 0, 1], [1, 3, 0]]))
            found.append(x.scatter_(dim, index_, value))
            assert found[-1] is x
        assert_same(*found)
    with pytest.raises(ValueError, match="scatter_: index must"):
        tn.zeros(2, 2).scatter_(1, tn.zeros(3, 1, dtype=tn.int64), 1)


def test_making_tensors():
    for library in (tn, torch):
        assert library.empty(2, 3).shape == (2, 3)
        assert library.randint(5, (40,)).max() < 5 and library.randint(3, 5, size=(2,)).min() >= 3
        assert sorted(library.randperm(9).tolist()) == list(range(9))
        assert library.rand_like(library.ones(2)).dtype == library.randn(2).dtype == library.float
        again = [
            library.randperm(9, generator=library.Generator().manual_seed(4)).tolist()
            for _ in range(2)
        ]
        assert again[0] == again[1]
        x = library.ones(3, dtype=library.double)
        assert library.as_tensor(x) is x
        assert library.as_tensor([1, 2], dtype=library.float64).dtype == x.dtype
        assert (x.nelement(), x.is_floating_point(), x.is_cuda) == (3, True, False)
        assert x.type(library.float32).dtype == library.float32
        library.use_deterministic_algorithms(True)
        assert not library.backends.mps.is_available()
    for call in (
        lambda t: t.eye(3),
        lambda t: t.eye(2, 3, dtype=t.float64),
        lambda t: t.linspace(0, 1, 7),
        lambda t: t.linspace(3, -1, 1),
        lambda t: t.zeros_like(t.ones(2), dtype=t.int64),
        lambda t: t.full_like(t.ones(2, 3, dtype=t.int64), 4),
        lambda t: t.where(t.tensor([True, False]), 1.0, 0.0),
        lambda t: t.nn.functional.one_hot(t.tensor([[1, 0], [2, 2]])),
        lambda t: t.nn.functional.one_hot(t.tensor([1]), num_classes=4),
    ):
        assert_same(call(tn), call(torch))


def test_switching_the_tape_off():
    for library in (tn, torch):
        x = library.ones(2, requires_grad=True)
        with library.set_grad_enabled(False):
            assert not (x * 2).requires_grad and not library.is_grad_enabled()
            with library.set_grad_enabled(True):
                assert (x * 2).requires_grad
        assert library.is_grad_enabled()
        library.set_grad_enabled(False)
        assert not (x * 2).requires_grad
        library.set_grad_enabled(True)

        @library.inference_mode()
        def double(x):
            return x * 2

        assert not double(x).requires_grad and (x * 2).requires_grad


def test_clip_values():
    found = []
    for library in (tn, torch):
        x = library.tensor([3.0, -5.0, 0.5], requires_grad=True)
        (x * x).sum().backward()
        library.nn.utils.clip_grad_value_([x, library.ones(2)], 4)
        found.append(x.grad)
    assert_same(*found)


# lines of scripts; x (4, 3) and images (4, 3, 8, 8) are given, y holds labels of x

LINES = """
x.to(device, dtype=torch.float64), torch.zeros(2, device=device).cpu().numpy()
torch.norm(torch.stack([torch.norm(p.detach(), 2) for p in net.parameters()]), 2)
x.data.max(1, keepdim=True)[1].eq(y.data.view_as(x.data.max(1, keepdim=True)[1])).cpu().sum()
(x.argmax(dim=-1) == y).float().mean() * 100, (x.argmax(1) == y).type(torch.float).sum().item()
sum((x.argmax(1) == y).sum() for _ in range(2)) / 3
x.max(dim=1).indices, x.max(1).values, torch.max(x, dim=1)[0], torch.mean(x, dim=0).max()
[(k, tuple(v.shape), v.numel()) for k, v in net.state_dict().items()]
(-F.log_softmax(x, dim=1) * F.one_hot(y, 3)).sum(dim=1).mean(), F.one_hot(y, 3).float()
torch.zeros(4, 3).scatter_(1, y.unsqueeze(1), 0.9) + 0.1
torch.zeros(4, 3).fill_(0.1 / 2).scatter_(1, y.view(-1, 1), 0.9)
x[torch.arange(4), y], x[:, 0], x[y == 1], x[..., None], torch.eye(3)[y]
images.mean(dim=[0, 2, 3]), images.std(dim=(0, 2, 3)), images.view(4, -1)
images.flip(3), torch.flip(images, dims=[3]), torch.flip(images, (2, 3)), images.flip(dims=(1,))
images.permute(0, 2, 3, 1).contiguous().view(-1, 3)
(images - torch.tensor([0.1, 0.2, 0.3]).view(1, 3, 1, 1)) / torch.tensor([2.0] * 3)[:, None, None]
x.topk(2)[1].t().eq(y.view(1, -1).expand_as(x.topk(2)[1].t())).reshape(-1).float().sum(0)
torch.where(x > 0, x, torch.zeros_like(x)), torch.where(x > 0, 1, 0), torch.clamp(x, min=0, max=1)
list(map(int, y)), y.numpy().tolist(), y.sum().item(), x.size(0), x.dim(), tuple(images.shape[-2:])
torch.tensor(np.ones((2, 2), np.float32)).add_(1).mul_(2).sub_(0.5).div_(2)
x.pow(2).sum().sqrt(), x.abs().sum(1, keepdim=True), x / x.norm(dim=1, keepdim=True)
x.T, x.t(), x.transpose(0, 1), torch.unsqueeze(x, 0).squeeze(0), x.expand(2, 4, 3)
torch.stack([x, x], dim=0).mean(0), torch.chunk(x, 2, dim=0)[1], torch.cat([x, x]).view(-1, 2)
torch.from_numpy(np.arange(4.0)).float(), torch.arange(0, 1, 0.25), torch.tensor(3.0).item()
net.train().training, net.eval().training, len(list(net.children())), net[0].weight.shape == (3, 5)
f"{x.mean():.3f}", "%.3f" % x.mean(), "%d" % y[0], round(x.mean().item(), 3), y.tolist()
torch.isnan(x).any().item(), torch.equal(x, x), [isinstance(x, torch.Tensor), len(net) == 1]
opt.param_groups[0]["lr"], opt.state_dict()["param_groups"][0]["lr"], len(opt.param_groups)
[p.requires_grad for p in net.requires_grad_(False).parameters()], x.is_floating_point()
""".strip().split("\n")


def flat(value):
    """The tensors and numbers in a value, one after the other, as arrays."""
    if isinstance(value, tuple | list):
        return [array for part in value for array in flat(part)]
    return [np.asarray(value)]


@pytest.mark.parametrize("line", LINES)
def test_lines(line):
    rng, found = np.random.default_rng(0), []
    arrays = rng.standard_normal((4, 3)), np.array([0, 1, 2, 1]), rng.random((4, 3, 8, 8))
    for library in (tn, torch):
        x, y, images = (library.tensor(array) for array in arrays)
        net = library.nn.Sequential(library.nn.Linear(5, 3))
        for p in net.parameters():
            p.data.fill_(0.5)
        names = {"torch": library, "nn": library.nn, "F": library.nn.functional, "np": np}
        names |= {"x": x, "y": y, "images": images, "net": net, "device": library.device("cpu")}
        names["opt"] = library.optim.SGD(net.parameters(), lr=0.1)
        found.append(flat(eval(line, names)))
    assert len(found[0]) == len(found[1]) > 0
    for ours, theirs in zip(*found, strict=True):
        if ours.dtype.kind in "US":
            assert ours == theirs
        else:
            assert_same(ours, theirs)


# files


def test_save_and_load(tmp_path):
    model = nn.Linear(2, 3)
    optimizer = optim.Adam(model.parameters())
    model(tn.ones(1, 2)).sum().backward()
    optimizer.step()
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "best": (0.5, [1])}
    tn.save(state, tmp_path / "x.pt")
    saved = tn.load(tmp_path / "x.pt", map_location=tn.device("cpu"))
    assert saved["best"] == (0.5, [1]) and tn.equal(saved["model"]["weight"], model.weight)
    nn.Linear(2, 3).load_state_dict(saved["model"])
    optimizer.load_state_dict(saved["optimizer"])
    with pytest.raises(
        TypeError, match=r"save: Linear is an object with code; save its state_dict"
    ):
        tn.save(model, tmp_path / "y.pt")
    torch.save({"a": torch.ones(2)}, tmp_path / "z.pt")
    torch.save({"a": torch.ones(2)}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    for name in ("z.pt", "old.pt"):
        with pytest.raises(ValueError, match="pickle"):
            tn.load(tmp_path / name)
    with pytest.raises(ValueError, match="cannot read the checkpoint"):
        tn.load(tmp_path / "none.pt")
    with pytest.raises(TypeError, match="expected a path, got BytesIO"):
        tn.save(state, io.BytesIO())


# batches


class Squares:
    def __len__(self):
        return 7

    def __getitem__(self, i):
        return {"x": np.full(2, i, np.float32), "y": (i * i, float(i)), "name": str(i)}


def test_loader():
    found = []
    for library in (tn, torch):
        data = library.utils.data
        x, y = library.arange(10), library.ones(10, 2)
        plain = data.DataLoader(data.TensorDataset(x, y), batch_size=4)
        batches = [(a.tolist(), tuple(b.shape)) for a, b in plain]
        dropped = data.DataLoader(data.TensorDataset(x), 4, drop_last=True)
        of_dicts = list(data.DataLoader(Squares(), batch_size=3))
        by_hand = data.DataLoader(Squares(), 2, sampler=[5, 1, 1], collate_fn=len)
        shuffled = data.DataLoader(
            data.TensorDataset(x), 3, True, generator=library.Generator().manual_seed(1)
        )
        orders = [[i for (a,) in shuffled for i in a.tolist()] for _ in range(2)]
        assert orders[0] != orders[1] and sorted(orders[0]) == sorted(orders[1]) == list(range(10))
        parts = data.random_split(Squares(), [0.5, 0.5]), data.random_split(range(9), [2, 7])
        assert sorted(parts[1][0].indices + parts[1][1].indices) == list(range(9))
        last = of_dicts[-1]
        found.append(
            [batches, len(plain), len(dropped), len(list(dropped)), list(by_hand), len(by_hand)]
            + [[len(part) for part in split] for split in parts]
            + [last["x"].tolist(), [part.tolist() for part in last["y"]], last["name"]]
            + [str(last["x"].dtype)[-5:], [str(part.dtype)[-5:] for part in last["y"]]]
        )
    assert found[0] == found[1]
    for options, message in (
        ({"num_workers": -1}, "num_workers must be at least 0, got -1"),
        ({"shuffle": True, "sampler": [1]}, "exclude each other"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
    ):
        with pytest.raises(ValueError, match=message):
            tn.utils.data.DataLoader(Squares(), **options)
    x = tn.utils.data.TensorDataset(tn.arange(5))
    here, with_workers = (tn.utils.data.DataLoader(x, 2, num_workers=n) for n in (0, 2))
    assert [a.tolist() for (a,) in here] == [a.tolist() for (a,) in with_workers]
    with pytest.raises(ValueError, match="one length"):
        tn.utils.data.TensorDataset(tn.ones(2), tn.ones(3))
    with pytest.raises(ValueError, match="do not add up to 7"):
        tn.utils.data.random_split(Squares(), [3, 3])
