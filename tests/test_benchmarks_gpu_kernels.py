"""The checks of the GPU's benchmarks, and what they write down of kernels, on a stand-in."""

import numpy as np
import pytest
from device.fake_device import TINY, FakeDevice, stand_in  # noqa: F401

import tinynet as tn
from benchmarks import gpu, gpu_checks, gpu_kernels
from tinynet.fast.cuda import batchnorm, conv, depthwise
from tinynet.ops.window import Window
from tinynet.optim import SGD

pytestmark = [pytest.mark.usefixtures("stand_in"), pytest.mark.fast_only]


def on_gpu(*shape, dtype=np.float32):
    return tn.Tensor(np.ones(shape, dtype)).to("cuda").array


# checks


def test_an_error_is_relative_to_the_norm():
    assert gpu_checks.norm_error([3.0, 4.0], [3.0, 4.0]) == 0
    assert gpu_checks.norm_error([3.0, 4.5], [3.0, 4.0]) == pytest.approx(0.1)
    assert gpu_checks.norm_error([0.5], [0.0]) == 0.5
    assert gpu_checks.norm_error([0.5], [0.0], least=10) == pytest.approx(0.05)
    assert gpu_checks.norm_error([np.nan, 4], [3, 4]) is None
    with pytest.raises(ValueError, match="differ"):
        gpu_checks.norm_error(np.ones((2, 1)), np.ones((1, 2)))


CHEAP = [
    *("depthwise 7x9, stride 2", "BatchNorm, few values", "BatchNorm, far from 0", "ReLU6"),
    *("convolution in groups", "pointwise", "average of an image", "maximum pooling", "linear"),
    "cross-entropy",
]


@pytest.mark.parametrize("dtype", gpu.DTYPES)
@pytest.mark.parametrize("name", CHEAP)
def test_checks_pass(name, dtype):
    results = gpu_checks.run(name, dtype)
    assert results and all(one["passed"] for one in results), results


def test_the_whole_network_passes_and_repeats():
    small = {"width": 0.05, "batch": 4}
    for dtype in gpu.DTYPES:
        results = gpu_checks.network(dtype, 0, **small)
        assert len(results) == 4 and all(one["passed"] for one in results)
    (one,) = gpu_checks.repeated("float32", 0, steps=2, **small)
    assert one["passed"] and one["error"] == 0


def test_a_wrong_gradient_is_found(monkeypatch):
    right = depthwise.weight_gradient
    monkeypatch.setattr(depthwise, "weight_gradient", lambda *arguments: right(*arguments) * 1.001)
    results = gpu_checks.run("depthwise 7x9, stride 2", "float32")
    assert [one["passed"] for one in results] == [True, True, False]
    assert results[2]["error"] == pytest.approx(1e-3, rel=1e-2)


def test_a_value_that_is_never_written_is_found(monkeypatch):
    monkeypatch.setattr(depthwise, "INPUT_GRADIENT", lambda *_, **__: None)
    results = gpu_checks.run("depthwise 7x9, stride 2", "float64")
    assert [one["error"] is None for one in results] == [False, True, False]
    assert not results[1]["passed"]


def test_runs_that_differ_are_found(monkeypatch):
    seeds = iter((0, 1))
    trained = gpu_checks.trained
    monkeypatch.setattr(
        gpu_checks, "trained", lambda d, t, _, **options: trained(d, t, next(seeds), **options)
    )
    (one,) = gpu_checks.repeated("float32", 0, steps=1, width=0.05, batch=2)
    assert not one["passed"] and one["error"] > 0.5


# kernels


def bytes_of(run):
    return {e.kernel.name: e.facts()["bytes"] for e in gpu_kernels.recorded(run)}


def test_bytes_of_kernels_by_hand():
    C, H, N = 5, 8, 6
    x, gy = on_gpu(C, H, H, N), on_gpu(C, 4, 4, N)
    weight, same = on_gpu(C, 3, 3), Window((3, 3), (2, 2), ((1, 1), (1, 1)))
    large, small, filters = 4 * C * 64 * N, 4 * C * 16 * N, 4 * C * 9
    assert bytes_of(lambda: depthwise.fill(gy, depthwise.FORWARD, x, weight, x, gy, same)) == {
        "depthwise_forward": large + small + filters
    }
    kernel = depthwise.INPUT_GRADIENT
    assert bytes_of(lambda: depthwise.fill(x, kernel, gy, weight, x, gy, same)) == {
        "depthwise_input_gradient": large + small + filters
    }
    found = bytes_of(lambda: depthwise.weight_gradient(gy, x, same))
    assert found["depthwise_weight_gradient"] >= large + small + filters
    columns = 4 * 9 * C * 16 * N
    assert bytes_of(lambda: conv.Conv2d.im2col(x, same)) == {"im2col": large + columns}


def test_an_output_over_an_input_counts_as_read_and_written():
    C, M = 3, 4 * 4 * 2
    x, channel = on_gpu(C, 4, 4, 2), on_gpu(C)
    parts = on_gpu(C, 1, 2)
    arrays = x, x, channel, channel, None, channel, parts, x, channel, channel
    entry = gpu_kernels.Entry(batchnorm.GRADIENT, (1,), arrays, (), {})
    moved = gpu_kernels.bytes_moved(entry)
    read, written = 4 * (C * M + C + C * 2), 4 * (C * M + C)
    assert moved == read + written


def test_bytes_of_the_optimiser():
    params = [tn.Tensor(np.ones(n, np.float32)).to("cuda").requires_grad_() for n in (7, 10_000)]
    for p in params:
        p.grad = tn.Tensor(np.ones(p.shape, np.float32)).to("cuda")
    plain = bytes_of(SGD(params, lr=0.1).step)
    assert plain == {"sgd_step": 3 * 4 * 10_007}
    assert bytes_of(SGD(params, lr=0.1, momentum=0.9).step) == {"sgd_step": 5 * 4 * 10_007}


def test_a_step_is_written_down_and_each_kernel_measured():
    launch = gpu_kernels.Kernel.__call__
    network = gpu_kernels.Network(FakeDevice())
    entries = network.record(TINY.message())
    assert gpu_kernels.Kernel.__call__ is launch
    calls = {}
    for entry in entries:
        calls[entry["kernel"]] = calls.get(entry["kernel"], 0) + entry["calls"]
    depthwise = [f"depthwise_{what}" for what in ("forward", "input_gradient", "weight_gradient")]
    assert [calls[name] for name in depthwise] == [13, 13, 13]
    sums = ("statistics", "normalize", "sums", "gradient")
    assert [calls[f"batchnorm_{what}"] for what in sums] == [27] * 4
    assert calls["sgd_step"] == calls["cross_entropy"] == 1
    for name in ("depthwise_forward", "sgd_step", "batchnorm_gradient"):
        number = next(i for i, entry in enumerate(entries) if entry["kernel"] == name)
        assert len(network.kernel(number, times=2)) == 2


def test_a_copy_of_the_arrays_leaves_the_step_s_arrays_alone():
    weight, same = on_gpu(2, 3, 3), Window((3, 3), (1, 1), ((1, 1), (1, 1)))
    x, y = on_gpu(2, 4, 4, 3), on_gpu(2, 4, 4, 3)
    (entry,) = gpu_kernels.recorded(
        lambda: depthwise.fill(y, depthwise.FORWARD, x, weight, x, y, same)
    )
    y[...] = 7
    assert len(entry.seconds(FakeDevice(), times=1)) == 1
    assert len(entry.sets()) == gpu_kernels.MOST_COPIES
    assert (tn.Tensor(y).to("cpu").numpy() == 7).all()


def test_rates_and_their_sums():
    facts = {"kernel": "k", "on": "", "calls": 2, "bytes": 30_000_000, "small": False}
    one = gpu.rated(facts, [9e-6, 10e-6, 12e-6], 6e12)
    assert one["us"] == pytest.approx(10) and one["share"] == pytest.approx(0.5)
    other = gpu.rated({**facts, "calls": 1, "bytes": 60_000_000}, [60e-6], 6e12)
    small = gpu.rated({**facts, "kernel": "s", "small": True}, [1e-6], 6e12)
    total = gpu.by_kernel([small, one, other], 6e12)
    assert list(total) == ["k", "s"]
    assert total["k"]["us"] == pytest.approx(80)
    assert total["k"]["share"] == pytest.approx(120e6 / 80e-6 / 6e12)
    assert total["s"]["share"] is None
