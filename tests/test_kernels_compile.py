"""Every kernel file's own source through NVIDIA's compiler, for three generations of GPUs."""

import ctypes
import functools
import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from device import host_kernel
from needs import lacking

from tinynet.fast import cuda
from tinynet.fast.cuda import depthwise, kernel
from tinynet.ops.window import Window

ROOT = Path(__file__).resolve().parent.parent
ARCHITECTURES = ["sm_70", "sm_80", "sm_90"]  # Volta, Ampere, Hopper
SAME = ((1, 1), (1, 1))
WINDOWS = [
    Window((3, 3), (1, 1), SAME),  # MobileNet's two
    Window((3, 3), (2, 2), SAME),
    Window((5, 2), (1, 3), ((0, 1), (2, 2)), (2, 1)),
]
CONSTANTS = {
    "adam.cu": [{"PART": cuda.optim.PART, "ROW": 6}],
    "batchnorm.cu": [{"VALUES": cuda.batchnorm.VALUES}],
    "conv.cu": [{"KW": 3, **kernel.PACKED}, {"KW": 1, **kernel.SINGLE}],
    "depthwise.cu": [
        {**depthwise.constants(window), **packing}
        for window in WINDOWS
        for packing in (kernel.PACKED, kernel.SINGLE)
    ],
    "images.cu": [{}],
    "loss.cu": [{}],
    "relu.cu": [{"VALUES": cuda.activation.VALUES}],
    "sgd.cu": [{"PART": cuda.optim.PART, "ROW": 5, "VALUES": cuda.optim.VALUES}],
}


def test_no_kernel_is_left_out():
    """Every .cu file is compiled here, and every kernel in it is launched from Python."""
    assert sorted(CONSTANTS) == sorted(file.name for file in kernel.HERE.glob("*.cu"))
    written = {(f, name) for f in CONSTANTS for name in host_kernel.kernels(kernel.source(f))}
    assert written == {(made.file, made.name) for made in kernel.Kernel.every}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("real", kernel.REALS.values())
@pytest.mark.parametrize("file", CONSTANTS)
def test_compiles(file, real, architecture):
    for constants in CONSTANTS[file]:
        log = compiled(kernel.source(file), kernel.options(real, constants), architecture)
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
    source = kernel.source("loss.cu")
    assert message in compiled(source + broken, kernel.options("float", {}), "sm_80")


@pytest.mark.parametrize("file", sorted(file.name for file in kernel.HERE.glob("*.cu*")))
def test_the_order_of_sums_is_fixed(file):
    assert "atomic" not in kernel.source(file)


@pytest.mark.parametrize("file", CONSTANTS)
def test_a_file_compiles_as_it_lies(file):
    """As for `nvcc -Dreal=float -DTHREADS=256 ... file.cu`, which looks for headers beside it."""
    options = *kernel.options("float", CONSTANTS[file][0]), f"-I{kernel.HERE}"
    assert compiled((kernel.HERE / file).read_text(encoding="utf-8"), options, "sm_90") == ""


def test_includes_are_resolved():
    """A compiler is given one text, with each of the folder's headers once."""
    source = kernel.source("depthwise.cu")
    assert "#include" not in source
    assert source.count("block_sums(real *values)") == source.count("struct __align__") == 1


def test_the_files_are_packaged(tmp_path):
    """What `pip install` copies has the sources that the kernels are read from."""
    build = [sys.executable, "-c", "import setuptools; setuptools.setup()", "-q", "build_py", "-d"]
    subprocess.run([*build, str(tmp_path)], cwd=ROOT, check=True, capture_output=True)
    packaged = {file.name for file in (tmp_path / "tinynet/fast/cuda").glob("*.cu*")}
    assert packaged == {file.name for file in kernel.HERE.glob("*.cu*")} >= {"loss.cu", "block.cuh"}


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
    if "-arch=sm_70" in options and _release(nvcc) >= 13:  # which compiles for sm_75 and newer only
        options = [*options[:-1], "-arch=sm_75"]
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
