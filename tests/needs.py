"""What some tests need beside Python's packages, and what happens where it is not there."""

import os

import pytest


def lacking(what, how):
    """Skip a test for want of `what`; fail it where nothing may be skipped, as in .ci/run."""
    message = f"not tested for want of {what}; {how}"
    if os.environ.get("TINYNET_SKIP_NOTHING"):
        pytest.fail(message)
    pytest.skip(message)
