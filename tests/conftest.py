"""What every test runs under: one thread a library, the same random numbers each time, and a
device: tests of whatever computes run on the CPU, there by the definitions too, and on the GPU."""

import contextlib
import os
import sys

# Before NumPy and torch are imported: their thread pools fight each other for the processor.
for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"
os.environ["MPLBACKEND"] = "Agg"  # the handbook's pictures open no window

import numpy as np  # noqa: E402
import pytest  # noqa: E402
import torch  # noqa: E402  (not optional: without torch the suite must fail, not skip)
from device import strict  # noqa: E402

import tinynet as tn  # noqa: E402
from tinynet import backend  # noqa: E402
from tinynet.autograd import creation  # noqa: E402
from tinynet.autograd.mode import mode  # noqa: E402

pytest.register_assert_rewrite("tiny_training")  # imported before it is a plugin
COMPUTE = (  # how the names of the files begin whose tests run on each device
    *("test_autograd_", "test_checkpoint.py", "test_gradcheck", "test_metrics", "test_nonfinite"),
    *("test_mobilenet_torch.py", "test_nn_", "test_ops_", "test_optim", "test_tape", "test_tensor"),
)
LAYERS = ("tinynet.nn.module", "tinynet.nn.batchnorm")  # where parameters and buffers are made


@pytest.fixture(autouse=True)
def _seeded():
    tn.manual_seed(0)
    torch.manual_seed(0)
    # for code that draws from NumPy's global generator; tests themselves take `rng`
    np.random.seed(0)  # noqa: NPY002


@pytest.fixture
def rng():
    """A NumPy generator that starts alike in every test."""
    return np.random.default_rng(0)


def pytest_generate_tests(metafunc):
    if metafunc.definition.path.name.startswith(COMPUTE):
        metafunc.parametrize("device", ["cpu", "plain", "cuda"], indirect=True)


def pytest_collection_modifyitems(items):
    """Tests marked `cpu_only` are there for the CPU, `fast_only` wherever fast things run."""

    def is_there(item):
        device = item.callspec.params.get("device", "cpu") if hasattr(item, "callspec") else "cpu"
        if item.get_closest_marker("cpu_only") and device != "cpu":
            return False
        return not (item.get_closest_marker("fast_only") and (mode.plain or device == "plain"))

    items[:] = filter(is_there, items)


@pytest.fixture(autouse=True)
def device(request):
    """Where a test computes. "plain" is the CPU by the definitions alone (as with TINYNET_PLAIN=1
    everything is). On "cuda" the tensors that a test makes of its own data start on the GPU, and so
    do layers; without a GPU, `device/strict.py` stands in for CuPy."""
    device = getattr(request, "param", "cpu")
    if device == "cuda":
        with strict.gpu(), pytest.MonkeyPatch.context() as patch:
            _start_on_the_gpu(patch)
            yield device
    else:
        with tn.plain() if device == "plain" else contextlib.nullcontext():
            yield "cpu"


def _start_on_the_gpu(patch):
    init, finish = tn.Tensor.__init__, creation._finish

    def tensor_init(self, data, requires_grad=False):
        init(self, data, requires_grad)
        maker = sys._getframe(1).f_globals["__name__"]
        # the engine's own tensors are where it has put them: those of .cpu(), say
        if not maker.startswith("tinynet.") or maker in LAYERS:
            self.array = backend.to_device(self.array, "cuda")

    def finish_on_the_gpu(name, array, dtype, device, requires_grad):
        return finish(name, array, dtype, "cuda" if device is None else device, requires_grad)

    patch.setattr(tn.Tensor, "__init__", tensor_init)
    patch.setattr(creation, "_finish", finish_on_the_gpu)
