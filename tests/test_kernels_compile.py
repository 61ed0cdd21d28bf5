"""Every kernel's own source through NVIDIA's compiler, for three generations of GPUs."""

import ctypes
import functools
import importlib.util
import pkgutil
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from needs import lacking

import tinynet
from tinynet import kernel
from tinynet.ops import depthwise_shifted
from tinynet.ops.batchnorm_sums import VALUES
from tinynet.ops.window import Window
from tinynet.optim.one_launch import PART

for package in ("ops", "optim"):  # where kernels are made
    for module in pkgutil.iter_modules([f"{tinynet.__path__[0]}/{package}"]):
        importlib.import_module(f"tinynet.{package}.{module.name}")

ARCHITECTURES = ["sm_70", "sm_80", "sm_90"]  # Volta, Ampere, Hopper
SAME = ((1, 1), (1, 1))
WINDOWS = [
    Window((3, 3), (1, 1), SAME),  # MobileNet's two
    Window((3, 3), (2, 2), SAME),
    Window((5, 2), (1, 3), ((0, 1), (2, 2)), (2, 1)),
]
GEOMETRIES = [
    {**depthwise_shifted.constants(window), **packing}
    for window in WINDOWS
    for packing in (depthwise_shifted.PACKED, depthwise_shifted.SINGLE)
]
CONSTANTS = {
    "depthwise_forward": GEOMETRIES,
    "depthwise_input_gradient": GEOMETRIES,
    "depthwise_weight_gradient": GEOMETRIES,
    "add_parts": [{}],
    "batchnorm_statistics": [{"VALUES": VALUES}],
    "batchnorm_normalize": [{"VALUES": VALUES}],
    "batchnorm_sums": [{"VALUES": VALUES}],
    "batchnorm_gradient": [{"VALUES": VALUES}],
    "cross_entropy": [{}],
    "cross_entropy_gradient": [{}],
    "im2col": [{}],
    "cut": [{}],
    "sgd_step": [{"PART": PART, "ROW": 5}],
    "adam_step": [{"PART": PART, "ROW": 6}],
}


def test_no_kernel_is_left_out():
    assert sorted(CONSTANTS) == sorted(kernel.name for kernel in kernel.Kernel.every)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("real", kernel.REALS.values())
@pytest.mark.parametrize("made", kernel.Kernel.every, ids=lambda made: made.name)
def test_compiles(made, real, architecture):
    for constants in CONSTANTS[made.name]:
        log = compiled(made.source, kernel.options(real, constants), architecture)
        assert log == "", log


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ("}", "expected"),
        ("int i = missing;", "undefined"),
        ("__device__ int i(){}", "missing return"),
    ],
)
def test_the_compiler_refuses_what_is_wrong(broken, message):
    source = depthwise_shifted.ADD_PARTS.source
    assert message in compiled(source + broken, kernel.options("float", {}), "sm_80")


@pytest.mark.parametrize("made", kernel.Kernel.every, ids=lambda made: made.name)
def test_the_order_of_sums_is_fixed(made):
    assert "atomic" not in made.source


def compiled(source, options, architecture):
    """What the compiler complains about; nothing if all is well."""
    nvrtc = _nvrtc()
    return (_by_nvrtc if nvrtc else _by_nvcc)(source, [*options, f"-arch={architecture}"])


@functools.lru_cache(maxsize=1)
def _nvrtc():
    """NVRTC as it comes from PyPI (nvidia-cuda-nvrtc-cu12), or None."""
    if not importlib.util.find_spec("nvidia"):
        return None
    spec = importlib.util.find_spec("nvidia.cuda_nvrtc")
    if not spec:
        return None
    (folder,) = map(Path, spec.submodule_search_locations)
    (library,) = [*folder.glob("lib/libnvrtc.so.12"), *folder.glob("bin/nvrtc64_12*_0.dll")]
    return ctypes.CDLL(str(library))


def _by_nvrtc(source, options):
    nvrtc, program = _nvrtc(), ctypes.c_void_p()
    given = [option.encode() for option in options]
    assert not nvrtc.nvrtcCreateProgram(
        ctypes.byref(program), source.encode(), b"kernel.cu", 0, None, None
    )
    failed = nvrtc.nvrtcCompileProgram(program, len(given), (ctypes.c_char_p * len(given))(*given))
    size = ctypes.c_size_t()
    nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    nvrtc.nvrtcGetProgramLog(program, log)
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    # of sm_70: "deprecated and may be removed in a future release"
    lines = [line for line in log.value.decode().splitlines() if "deprecated" not in line]
    text = "\n".join(lines).strip()
    assert not failed or text
    return text


def _by_nvcc(source, options):
    nvcc = shutil.which("nvcc")
    if not nvcc:
        lacking("NVIDIA's compiler", "pip install nvidia-cuda-nvrtc-cu12, or install nvcc")
    if "-arch=sm_70" in options and _release(nvcc) >= 13:
        pytest.skip("CUDA 13 compiles for sm_75 and newer only")
    run = subprocess.run(
        [nvcc, *options, "-x", "cu", "-", "-cubin", "-o", "/dev/null"],
        input=source,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0 or run.stderr
    return run.stderr.strip()


def _release(nvcc):
    text = subprocess.run([nvcc, "--version"], capture_output=True, text=True, check=True).stdout
    return int(re.search(r"release (\d+)", text)[1])
