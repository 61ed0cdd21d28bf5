"""What every test runs under: one thread a library, and the same random numbers each time."""

import os

# Before NumPy and torch are imported: their thread pools fight each other for the processor.
for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import numpy as np  # noqa: E402
import pytest  # noqa: E402
import torch  # noqa: E402  (not optional: without torch the suite must fail, not skip)

import tinynet as tn  # noqa: E402


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
