"""What tinynet finds on this machine, and whether it is right: `python -m tinynet.doctor`."""

import argparse
import platform
import sys

import numpy as np

import tinynet as tn
from tinynet import backend, cores, nn

TOLERANCE = 1e-2  # float32 errs by 1e-6, with TF32 by 1e-3, a wrong gradient by about 1


def main(arguments=None):
    """Print the report; exit status 0, or 1 if a device that was found fails the check."""
    argparse.ArgumentParser(
        prog="python -m tinynet.doctor",
        description="What tinynet finds on this machine, and whether it computes correctly.",
    ).parse_args(arguments)
    for name, text in facts():
        print(f"{name:8} {text}")
    devices = ["cpu", *(["cuda"] if backend.cuda_available() else [])]
    failed = [device for device in devices if not report_check(device)]
    if failed:
        sys.exit(f"doctor: {' and '.join(failed)} failed, see above")


def facts():
    """Yields (name, text): versions, cores, BLAS and its threads, what was found for a GPU."""
    yield "tinynet", f"{tn.__version__}, Python {platform.python_version()}, {platform.platform()}"
    yield "NumPy", np.__version__
    yield "cores", f"{cores.available()} for this process"
    yield "BLAS", f"{cores.blas_name()}, {_threads(cores.blas_threads())}"
    try:
        cupy = backend.cupy()
    except RuntimeError as error:
        yield "GPU", f"none: {error}"
        return
    runtime = cupy.cuda.runtime
    yield "CuPy", f"{cupy.__version__}, built for CUDA {_version(runtime.runtimeGetVersion())}"
    yield "driver", f"for CUDA up to {_version(runtime.driverGetVersion())}"
    yield "NVRTC", _nvrtc(cupy)
    for number in range(runtime.getDeviceCount()):
        properties = runtime.getDeviceProperties(number)
        gib = properties["totalGlobalMem"] / 2**30
        capability = f"{properties['major']}.{properties['minor']}"
        name = properties["name"].decode()
        yield f"cuda:{number}", f"{name}, {gib:.1f} GiB, compute capability {capability}"


def _threads(count):
    if count is None:
        return "number of threads unknown (it is not the OpenBLAS of NumPy's own wheel)"
    return "1 thread" if count == 1 else f"{count} threads"


def _version(number):
    """12040 -> '12.4', as CUDA counts."""
    return f"{number // 1000}.{number % 1000 // 10}"


def _nvrtc(cupy):
    try:
        major, minor = cupy.cuda.nvrtc.getVersion()
    except Exception as error:  # CuPy raises its own classes for a missing library
        return f"missing, and kernels cannot be compiled ({error}); {backend.INSTALL_HINT}"
    return f"{major}.{minor}"


def report_check(device):
    """Print how the check went; True if it passed."""
    try:
        error = worst_error(device)
    except Exception as problem:  # whatever a broken installation raises, the report goes on
        print(f"{device:8} FAILED: {type(problem).__name__}: {problem}")
        return False
    passed = error <= TOLERANCE
    verdict = "works" if passed else f"FAILED (at most {TOLERANCE:g} was expected)"
    print(f"{device:8} forward and backward of a separable block: error {error:.1e}, {verdict}")
    return passed


def worst_error(device):
    """The largest error of loss and gradients in float32 on `device` against float64 on the CPU,
    relative to the largest value of each."""
    exact, found = gradients("cpu", np.float64), gradients(device, np.float32)
    return max(float(abs(a - b).max() / abs(a).max()) for a, b in zip(exact, found, strict=True))


def gradients(device, dtype):
    """[loss, gradients...] of a small separable network on fixed numbers, as NumPy arrays."""
    rng = np.random.default_rng(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU6(),
        nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU6(),
        nn.Conv2d(8, 16, 1, bias=False),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, 10),
    )
    for parameter in model.parameters():
        parameter.array[...] = rng.standard_normal(parameter.shape)
    model.to(dtype).to(device)
    x = tn.Tensor(rng.standard_normal((8, 3, 12, 12)).astype(dtype)).to(device)
    labels = tn.Tensor(rng.integers(0, 10, 8)).to(device)
    loss = nn.CrossEntropyLoss()(model(x), labels)
    loss.backward()
    results = [loss.detach(), *(parameter.grad for parameter in model.parameters())]
    return [result.to("cpu").numpy() for result in results]


if __name__ == "__main__":
    main()
