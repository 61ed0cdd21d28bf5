"""Wrong use of tensors: one sentence that says where, what came and what to do.

Each line is wrong in one way; what comes out starts with a name of ours, never with NumPy's words.
"""

import numpy as np
import pytest
from helpers import assert_refused_in_our_words

import tinynet as tn


class Odd:
    """Something that no library knows."""


def x():
    return tn.ones(2, 3)


WRONG = r"""
tn.zeros(2**63)
tn.zeros(-1)
tn.zeros(2.5)
tn.zeros("a")
tn.zeros(None)
tn.zeros((2, "a"))
tn.zeros(2**40, 2**40)
tn.zeros(*[1] * 65)
tn.zeros(2, dtype="a")
tn.zeros(2, dtype=np.float16)
tn.zeros(2, dtype=complex)
tn.zeros(2, dtype=object)
tn.zeros(2, device="tpu")
tn.zeros(2, device=3)
tn.zeros(2, dtype=int, requires_grad=True)
tn.ones(True)
tn.ones(2**63)
tn.full((2,), [1, 2, 3])
tn.full((2,), "a")
tn.full((2,), None)
tn.full("a", 1)
tn.full((2**63,), 1)
tn.full(2, Odd())
tn.full((2,), 1j)
tn.randn(-2)
tn.randn("a")
tn.rand(2.0)
tn.rand(2, dtype=np.int64)
tn.zeros_like(3)
tn.ones_like([1])
tn.arange()
tn.arange("a")
tn.arange(0, 5, 0)
tn.arange(0, float("nan"))
tn.arange(0, float("inf"))
tn.arange(2**63)
tn.arange(1, 2, 3, 4)
tn.arange(0, 1, 1e-300)
tn.arange(None)
tn.arange(3j)
tn.tensor("a")
tn.tensor(None)
tn.tensor([1, "a"])
tn.tensor([[1], [1, 2]])
tn.tensor([None])
tn.tensor({1: 2})
tn.tensor(Odd())
tn.tensor(1j)
tn.tensor(2**70)
tn.tensor([2**64])
tn.tensor(np.float16(1))
tn.tensor(np.zeros(2, np.longdouble))
tn.tensor(np.array(["a"]))
tn.tensor(np.zeros(2, object))
tn.tensor(np.zeros(2, "datetime64[s]"))
tn.tensor(np.ma.array([1.0]))
tn.tensor([1, 2], requires_grad=True)
tn.tensor([1.0], dtype="x")
tn.tensor([1.0], device="gpu")
tn.Tensor(None)
tn.Tensor(x())
tn.Tensor("abc")
tn.Tensor(np.zeros(2, np.float16))
tn.Tensor(np.zeros(2, ">f4"))
tn.Tensor(np.zeros(2, np.complex64))
tn.Tensor(np.zeros(2, "i4,f4"))
tn.from_numpy([1])
tn.from_numpy(np.zeros(2, np.float16))
tn.from_numpy(np.ma.array([1.0]))
tn.from_numpy(None)
tn.cat(3)
tn.cat(None)
tn.cat([])
tn.cat([1, 2])
tn.cat([x(), x()], 5)
tn.cat([x(), x()], "a")
tn.cat([x(), tn.ones(2)])
tn.cat("ab")
tn.cat([x(), x()], None)
tn.stack(5)
tn.stack([])
tn.stack([x(), tn.ones(2)])
tn.stack([x()], 9)
tn.stack([x()], 0.5)
tn.relu(3)
tn.softmax([1.0], 0)
tn.exp(2)
tn.sigmoid(2)
tn.tanh("a")
tn.add(1, 2)
tn.max([1])
tn.flatten("a")
tn.manual_seed("a")
tn.manual_seed(-1)
tn.manual_seed(1.5)
tn.manual_seed(None)
x() + "a"
x() + None
x() + [1, 2, 3]
x() + Odd()
x() + 1j
x() + tn.ones(2)
x() + np.zeros(2, np.float16)
x() + np.array(["a"])
"a" + x()
None - x()
x() - {}
x() * "a"
x() / "a"
x() % "a"
x() ** "a"
x() ** None
x() @ 2
x() @ "a"
x() @ tn.ones(2)
x() < "a"
x() >= None
x() & 1
x() | x()
~tn.ones(2)
-tn.tensor([True])
tn.tensor([1, 2]) ** -1
2 ** tn.tensor([-1])
x().add("a")
x().sub(None)
x().mul([1])
x().div("a")
x().pow("a")
x().matmul(3)
x().maximum("a")
x().minimum(None)
x().remainder("a")
x().sum("a")
x().sum(1.5)
x().sum(5)
x().sum((0, 0))
x().sum(True)
x().sum((0, None))
x().sum(keepdim="a")
x().mean("a")
x().mean(9)
x().var("a")
x().var(0, correction="a")
x().std(5)
x().std(correction=1, unbiased=True)
x().amax("a")
x().amin(7)
x().max("a")
x().max(4)
x().min((0, 1))
x().argmax("a")
x().argmin(1.0)
x().argmax(3)
x().clip()
x().clip("a")
x().clip(0, [1])
x().clamp(None, "b")
x().reshape("a")
x().reshape(7)
x().reshape(-1, -1)
x().reshape(2.5, 2)
x().reshape(None)
x().reshape(2**70)
x().view(0.5)
x().view("a")
x().view(4, 4)
x().flatten("a")
x().flatten(5)
x().flatten(1, 0)
x().permute(0)
x().permute(0, 0)
x().permute("a", 1)
x().permute(None)
x().permute(2, 3)
x().permute(-1, -5)
x().transpose(0, 5)
x().transpose("a", 0)
x().transpose(0.5, 0)
tn.ones(2, 2, 2).t()
x().squeeze("a")
x().squeeze(5)
x().unsqueeze("a")
x().unsqueeze(9)
x().unsqueeze(None)
x().expand(1)
x().expand("a")
x().expand(3, 3)
x().expand(-1, -1, -1, -7)
x().expand_as(3)
x().view_as("a")
x().split("a")
x().split(0)
x().split([1, "a"])
x().split([5])
x().split(1, "a")
x().split(1, 9)
x().split(1.5)
x().split([-1, 3])
x().chunk("a")
x().chunk(0)
x().chunk(2, 9)
x().size("a")
x().size(9)
x()[1.0]
x()["a"]
x()[Odd()]
x()[5]
x()[:, 5]
x()[0, 0, 0]
x()["a":]
x()[::0]
x()[1.5:]
x()[[0.5]]
x()[["a"]]
x()[[[0], [1, 2]]]
x()[np.array([1.0])]
x()[np.zeros(2, np.uint8)]
x()[tn.ones(2, 3)]
x()[np.ones(5, bool)]
x()[[5]]
x()[{}]
x()[..., ...]
x()[np.array(["a"])]
x()[2**70]
x()[1j]
x()[tn.tensor([0, 1]), tn.tensor([0, 1, 2])]
len(tn.tensor(3.0))
list(tn.tensor(3.0))
bool(x())
float(x())
int(x())
x().item()
f"{x():.2f}"
x().__setitem__(0, None)
x().__setitem__(0, "5")
x().__setitem__(0, object())
x().__setitem__(0, Odd())
x().__setitem__(0, [1, "a"])
x().__setitem__(0, 1j)
x().__setitem__("a", 1)
x().__setitem__(1.0, 1)
x().__setitem__(9, 1)
x().__setitem__(0, tn.ones(7))
x().__setitem__(0, np.zeros(3, np.float16))
x().__setitem__(0, np.ma.array([1.0, 2, 3]))
x().__setitem__(slice("a", None), 1)
x().__setitem__(0, [[1], [1, 2]])
tn.tensor([1, 2]).__setitem__(0, 2**70)
tn.tensor([1, 2], dtype=np.uint8).__setitem__(0, 300)
tn.tensor([1, 2], dtype=np.int8).__setitem__(0, -2**62)
x().copy_("a")
x().copy_(None)
x().copy_(tn.ones(7))
x().copy_([1, "a"])
x().fill_("a")
x().fill_(None)
x().fill_([1, 2])
x().fill_(tn.ones(5))
x().fill_(1j)
x().normal_("a")
x().normal_(0, -1)
x().normal_(0, float("nan"))
x().uniform_("a")
x().uniform_(2, 1)
x().uniform_(0, float("inf"))
tn.tensor([1, 2]).normal_()
x().add_("a")
x().add_(None)
x().add_(1, alpha="a")
x().add_(tn.ones(7))
x().sub_("a")
x().sub_(1, alpha=None)
x().mul_("a")
x().mul_(None)
x().div_("a")
x().clip_("a")
x().clamp_()
x().__iadd__("a")
x().__imul__(None)
x().__isub__(tn.ones(4, 2, 3))
x().__ipow__("a")
x().__imod__([1])
x().__itruediv__("a")
setattr(tn.tensor([1]), "requires_grad", True)
setattr(x(), "grad", 3)
setattr(x(), "grad", tn.ones(7))
setattr(x(), "data", 3)
setattr(tn.ones(2, requires_grad=True), "data", tn.tensor([1]))
x().backward()
tn.ones(2, requires_grad=True).backward()
(tn.ones(2, requires_grad=True) * 2).backward("a")
(tn.ones(2, requires_grad=True) * 2).backward(tn.ones(3))
(tn.ones(2, requires_grad=True) * 2).sum().backward(create_graph=True)
tn.backprop(3)
tn.backprop(x())
x().to("a")
x().to("cudaa")
x().to(np.float16)
x().to(complex)
x().to(object)
x().to(str)
x().to(device="tpu")
x().to(3)
x().to([1])
x().to(device=3)
"""


KNOWN = {"np": np, "tn": tn, "Odd": Odd, "x": x}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("wrong", WRONG.strip().splitlines())
def test_misuse(wrong):
    assert_refused_in_our_words(lambda: eval(wrong, KNOWN))
