"""The doctor: what it finds, and that it notices what does not compute."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tinynet import backend, cores, doctor
from tinynet.fast import registry
from tinynet.ops.conv import Conv2d

ROOT = Path(__file__).resolve().parent.parent
DEVICE = {"name": b"NVIDIA Test", "totalGlobalMem": 80 * 2**30, "major": 9, "minor": 0}


def fake_cupy(nvrtc):
    runtime = SimpleNamespace(
        runtimeGetVersion=lambda: 13000,
        driverGetVersion=lambda: 12040,
        getDeviceCount=lambda: 2,
        getDeviceProperties=lambda number: DEVICE,
    )
    return SimpleNamespace(__version__="14.0", cuda=SimpleNamespace(runtime=runtime, nvrtc=nvrtc))


def test_the_command_on_this_machine():
    done = subprocess.run(
        [sys.executable, "-m", "tinynet.doctor"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("tinynet", "NumPy", "BLAS"):
        assert f"\n{name}" in f"\n{done.stdout}"
    assert "cpu      forward and backward of a separable block" in done.stdout
    assert "works" in done.stdout


def test_without_a_gpu_it_says_what_to_install(monkeypatch):
    backend.cupy.cache_clear()
    monkeypatch.setitem(sys.modules, "cupy", None)  # import cupy raises ImportError
    try:
        assert 'pip install -e ".[cuda12]"' in dict(doctor.facts())["GPU"]
    finally:
        backend.cupy.cache_clear()


def test_with_a_gpu_it_names_what_it_found(monkeypatch):
    nvrtc = SimpleNamespace(getVersion=lambda: (13, 0))
    monkeypatch.setattr(backend, "cupy", lambda: fake_cupy(nvrtc))
    found = dict(doctor.facts())
    assert found["CuPy"] == "14.0, built for CUDA 13.0"
    assert found["driver"] == "for CUDA up to 12.4"
    assert found["NVRTC"] == "13.0"
    assert found["cuda:1"] == "NVIDIA Test, 80.0 GiB, compute capability 9.0"


def test_a_missing_nvrtc_is_one_sentence(monkeypatch):
    def missing():
        raise OSError("libnvrtc.so.13 not found")

    monkeypatch.setattr(backend, "cupy", lambda: fake_cupy(SimpleNamespace(getVersion=missing)))
    text = dict(doctor.facts())["NVRTC"]
    assert text.startswith("missing, and kernels cannot be compiled (libnvrtc.so.13 not found)")
    assert "pip install" in text


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (None, "number of threads unknown (it is not the OpenBLAS"),
        (1, "1 thread"),
        (6, "6 threads"),
    ],
)
def test_threads(monkeypatch, count, expected):
    monkeypatch.setattr(cores, "blas_threads", lambda: count)
    name, found = dict(doctor.facts())["BLAS"].split(", ", 1)
    assert name == cores.blas_name() and found.startswith(expected)


def test_the_threads_are_those_that_openblas_was_given():
    if cores.blas_threads() is None:
        pytest.skip("NumPy has another BLAS than its own wheel's")
    command = [sys.executable, "-c", "from tinynet import cores; print(cores.blas_threads())"]
    for count in ("1", "2"):
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": count}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        # OpenBLAS takes no more threads than there are cores
        assert done.stdout.strip() in {"1", count}, done.stderr
        assert done.stdout.strip() == count or os.cpu_count() == 1


def test_a_wrong_gradient_is_noticed(monkeypatch, capsys):
    backward = Conv2d.backward

    def wrong(op, gy):
        gx, *rest = backward(op, gy)
        return (None if gx is None else gx * (1 if gy.dtype == "f8" else 1.1)), *rest

    monkeypatch.setattr(Conv2d, "backward", wrong)
    monkeypatch.setattr(registry, "CPU", {})
    assert not doctor.report_check("cpu")
    assert "FAILED (at most 0.01 was expected)" in capsys.readouterr().out


def test_a_device_that_breaks_does_not_end_the_report(monkeypatch, capsys):
    def worst_error(device):
        if device == "cuda":
            raise RuntimeError("no kernel image is available")
        return 1e-7

    monkeypatch.setattr(backend, "cuda_available", lambda: True)
    monkeypatch.setattr(doctor, "worst_error", worst_error)
    with pytest.raises(SystemExit, match="doctor: cuda failed"):
        doctor.main([])
    printed = capsys.readouterr().out
    assert "error 1.0e-07, works" in printed
    assert "cuda     FAILED: RuntimeError: no kernel image is available" in printed
