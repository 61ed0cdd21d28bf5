"""CUDA C kernels compiled for the host: a file's own source behind `shim.h`.

Stricter than a GPU: every argument must be of the very type that the source names, arrays must
be contiguous, a write outside an array is found, and so is a barrier that not all threads reach.
"""

import ctypes
import functools
import hashlib
import importlib.util
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

SHIM = Path(__file__).with_name("shim.h")
BUILT = Path(__file__).parents[2] / ".pytest_cache" / "kernels"
GUARD = 64  # bytes before and after each array
SCALARS = {"int": np.int32, "double": np.float64}
ELEMENTS = {"float": "f4", "double": "f8", "unsigned char": "u1", "bool": "?", "long long": "i8"}


class HostModule:
    """What `cupy.RawModule` is on a GPU: `get_function(name)(grid, block, arguments)`."""

    def __init__(self, *, code, options=()):
        self.code, self.options = code, options
        self.library = _library(code, options)

    def get_function(self, name):
        run = getattr(self.library, f"run_{name}")
        return HostKernel(name, parameters(name, self.code), run, self.options)


class HostKernel:
    def __init__(self, name, parameters, run, options):
        self.name, self.parameters, self.run = name, parameters, run
        self.real = re.search(r"-Dreal=(\w+)", " ".join(options))[1]

    def __call__(self, grid, block, arguments):
        assert 1 <= len(grid) <= 3 and all(type(size) is int and size > 0 for size in grid), grid
        assert len(grid) < 2 or max(grid[1:]) < 65536, f"{self.name}: a grid of {grid}"
        assert len(arguments) == len(self.parameters), (
            f"{self.name} takes {self.parameters}, got {len(arguments)} arguments"
        )
        copies, pointers = {}, []
        for kind, argument in zip(self.parameters, arguments, strict=True):
            if kind.endswith("*"):
                pointers.append(ctypes.c_void_p(self._guarded(kind, argument, copies)))
            else:
                assert type(argument) is SCALARS[kind], f"{self.name}: {argument!r} for {kind}"
                pointers.append(np.ctypeslib.as_ctypes(np.array(argument)))
        addresses = (ctypes.c_void_p * len(pointers))(*map(ctypes.addressof, pointers))
        sizes = (ctypes.c_uint * 3)(*grid, *(1,) * (3 - len(grid)))
        assert self.run(sizes, block[0], addresses), f"{self.name}: not all threads at a barrier"
        for array, memory in copies.values():
            inside = memory[GUARD : GUARD + array.nbytes]
            outside = np.concatenate([memory[:GUARD], memory[GUARD + array.nbytes :]])
            assert (outside == 0xA5).all(), f"{self.name} wrote outside of an array {array.shape}"
            if array.flags.writeable:  # not so: a constant that was broadcast
                array.reshape(-1).view(np.uint8)[...] = inside
            else:
                assert (array.reshape(-1).view(np.uint8) == inside).all(), f"{self.name} wrote"

    def _guarded(self, kind, argument, copies):
        """The address of a copy of the array with a margin around it."""
        if argument is None:
            return None
        array = argument.values
        element = kind.removeprefix("const ").removesuffix("*").strip()
        expected = ELEMENTS[self.real if element in ("real", "Pack") else element]
        assert array.dtype == expected, f"{self.name}: {array.dtype} for {kind} ({expected})"
        assert array.flags.c_contiguous, f"{self.name}: an array that is not contiguous for {kind}"
        key = array.ctypes.data
        if key not in copies:
            memory = np.full(array.nbytes + 2 * GUARD, 0xA5, np.uint8)
            memory[GUARD : GUARD + array.nbytes] = array.reshape(-1).view(np.uint8)
            copies[key] = array, memory
        assert copies[key][0].nbytes == array.nbytes, f"{self.name}: arrays that overlap"
        return copies[key][1].ctypes.data + GUARD


def parameters(name, code):
    """The types in a kernel's signature: ['const real *', 'int', ...]"""
    (signature,) = re.findall(rf'extern "C" __global__ void {name}\(([^)]*)\)', code)
    return [re.sub(r"\w+$", "", " ".join(p.split())).strip() for p in signature.split(",")]


def kernels(code):
    """The names of all kernels in a source."""
    return re.findall(r'extern "C" __global__ void (\w+)\(', code)


def has_barrier(name, code):
    """Whether the function `name` waits at a barrier, itself or in a function that it calls."""
    starts = list(re.finditer(r"__(?:device|global)__ [\w ]+?(\w+)\(", code))
    ends = [start.start() for start in starts[1:]] + [len(code)]
    bodies = {start[1]: code[start.end() : end] for start, end in zip(starts, ends, strict=True)}
    called = {name} & bodies.keys()
    while more := {f for f in bodies for g in called if re.search(rf"\b{f}\b", bodies[g])} - called:
        called |= more
    return any("__syncthreads" in bodies[each] for each in called)


@functools.lru_cache(maxsize=1)
def compiler():
    """The command of a C++ compiler, the machine's or that of the package ziglang; or None."""
    for name in ("c++", "g++", "clang++"):
        if shutil.which(name):
            return [name]
    if importlib.util.find_spec("ziglang"):
        return [sys.executable, "-m", "ziglang", "c++"]
    return None


def _library(code, options):
    """The whole source as a library, with a function `run_NAME(grid, threads, arguments)` for each
    of its kernels."""
    runs = ""
    for name in kernels(code):
        kinds = enumerate(parameters(name, code))
        arguments = ", ".join(f"*({kind} *)arguments[{i}]" for i, kind in kinds)
        barriers = "true" if has_barrier(name, code) else "false"
        runs += f"""
static void body_{name}() {{ {name}({arguments}); }}
extern "C" int run_{name}(const unsigned *grid, unsigned threads, void **given)
{{
    arguments = given;
    return run_grid(grid, threads, {barriers}, body_{name});
}}
"""
    source = f'#include "{SHIM}"\n{code}\nstatic void **arguments;\n{runs}'
    flags = ["-O1", "-std=c++17", "-shared", "-fPIC", "-Wall", "-Werror"]
    flags += ["-Wno-sign-compare", "-Wno-unused-function", "-Wno-unknown-pragmas"]
    flags += [option for option in options if option.startswith("-D")]
    if platform.machine() in ("x86_64", "AMD64"):
        # a product and a sum in one rounding, as a GPU has them: nothing may depend on two
        flags += ["-march=native", "-ffp-contract=fast"]
    everything = "\n".join([SHIM.read_text(), source, *flags])
    file = BUILT / f"{hashlib.sha256(everything.encode()).hexdigest()[:16]}.so"
    if not file.exists():
        BUILT.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=BUILT) as folder:
            written, made = Path(folder) / "kernel.cpp", Path(folder) / "kernel.so"
            written.write_text(source, encoding="utf-8")
            subprocess.run([*compiler(), *flags, str(written), "-o", str(made)], check=True)
            made.replace(file)
    return ctypes.CDLL(str(file))
