"""The switches of `torch.backends.cudnn`: they may be set, and are of no effect. tinynet's kernels
are its own, choose nothing by trial, and give the same run for the same seed."""

benchmark, deterministic, enabled = False, True, False


def is_available():
    """False: cuDNN is not used."""
    return False
