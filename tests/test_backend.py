"""Asking for a GPU: what is missing is said in one sentence, with what to install."""

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

import tinynet as tn
from tinynet import backend, doctor


def raising(message):
    def ask(*_):
        raise OSError(message)

    return ask


def fake_cupy(**changes):
    """A CuPy that finds a GPU and everything else; `changes` replace its answers."""
    answers = {
        "getDeviceCount": lambda: 1,
        "getVersion": lambda: (12, 9),
        "get_cublas_handle": lambda: 1,
        **changes,
    }
    group = SimpleNamespace(**answers)
    cuda = SimpleNamespace(runtime=group, nvrtc=group, device=group)
    module = ModuleType("cupy")
    module.cuda, module.ndarray = cuda, type("ndarray", (), {})
    return module


@pytest.fixture
def with_cupy(monkeypatch):
    """Put something in CuPy's place; None means that it is not installed."""

    def put(module):
        monkeypatch.setitem(sys.modules, "cupy", module)
        backend.cupy.cache_clear()

    yield put
    backend.cupy.cache_clear()


CASES = {
    "not installed": (None, ["could not be imported", "or use the device 'cpu'"]),
    "no driver": (
        fake_cupy(getDeviceCount=raising("CUDA driver version is insufficient")),
        ["CUDA does not answer (CUDA driver version is insufficient)", "check the driver"],
    ),
    "no NVRTC": (
        fake_cupy(getVersion=raising("libnvrtc.so.12:\n no such file")),
        ["not NVRTC, which compiles kernels (libnvrtc.so.12: no such file)"],
    ),
    "no cuBLAS": (fake_cupy(get_cublas_handle=raising("libcublas.so.12")), ["not cuBLAS, for"]),
}


@pytest.mark.parametrize(("module", "parts"), CASES.values(), ids=CASES)
def test_what_is_missing_is_said(with_cupy, module, parts):
    with_cupy(module)
    for ask in (lambda: tn.ones(2).to("cuda"), lambda: tn.nn.Linear(2, 2).to("cuda")):
        with pytest.raises(RuntimeError) as caught:
            ask()
        sentence = str(caught.value)
        assert all(part in sentence for part in [*parts, 'pip install -e ".[cuda12]"'])
        assert "\n" not in sentence
        assert '".[cuda13]"' in sentence


def test_no_device(with_cupy):
    with_cupy(fake_cupy(getDeviceCount=lambda: 0))
    assert not tn.cuda_available()
    with pytest.raises(RuntimeError, match="found no CUDA device; use the device 'cpu'"):
        tn.ones(2).cuda()


def test_a_gpu_with_everything_is_taken(with_cupy):
    with_cupy(fake_cupy())
    assert tn.cuda_available()
    assert backend.check_device("cuda:0") == "cuda"


def test_tf32_is_told_to_cupy(monkeypatch):
    monkeypatch.setenv("CUPY_TF32", "0")
    backend.allow_tf32()
    assert backend.os.environ["CUPY_TF32"] == "1"


def test_the_doctor_computes_on_a_device():
    """On the stand-in for a GPU: every gradient of a separable block, in float32."""
    from device import strict

    if tn.cuda_available():
        assert doctor.worst_error("cuda") < doctor.TOLERANCE
        return
    with strict.in_place_of_cupy():
        assert doctor.worst_error("cuda") < 1e-4
    assert np.isfinite(doctor.worst_error("cpu"))
