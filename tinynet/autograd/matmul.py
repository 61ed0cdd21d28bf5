"""The matrix product."""

import numpy as np

from tinynet.autograd.tape import Function, unbroadcast


class MatMul(Function):
    """y = a @ b;  ga = gy b^T, gb = a^T gy

    Sizes: (..., M, K) @ (..., K, N) -> (..., M, N), leading axes broadcast; a 1-D argument
    is a row (left) or a column (right) whose axis of size 1 is dropped from the result.
    """

    def forward(self, a, b):
        if a.ndim == 0 or b.ndim == 0:
            raise ValueError(
                f"MatMul: both sides need at least one axis, got shapes {a.shape} and {b.shape}"
            )
        if a.shape[-1] != b.shape[max(b.ndim - 2, 0)]:
            raise ValueError(
                f"MatMul: the last axis of {a.shape} must be as long as "
                f"the {'second-last' if b.ndim > 1 else 'only'} axis of {b.shape}"
            )
        a_batch, b_batch = a.shape[:-2], b.shape[:-2]
        try:
            np.broadcast_shapes(a_batch, b_batch)
        except ValueError:
            raise ValueError(
                f"MatMul: leading axes {a_batch} and {b_batch} do not broadcast"
            ) from None
        self.save(a, b)
        return a @ b

    def backward(self, gy):
        a, b = self.saved
        rows = a[None, :] if a.ndim == 1 else a
        columns = b[:, None] if b.ndim == 1 else b
        if a.ndim == 1:
            gy = gy[..., None, :] if b.ndim > 1 else gy[..., None]
        if b.ndim == 1:
            gy = gy[..., None]
        ga = gb = None
        if self.needs[0]:
            ga = unbroadcast(gy @ columns.swapaxes(-1, -2), rows.shape).reshape(a.shape)
        if self.needs[1]:
            gb = unbroadcast(rows.swapaxes(-1, -2) @ gy, columns.shape).reshape(b.shape)
        return ga, gb
