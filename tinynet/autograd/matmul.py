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
        # each side is needed for the gradient of the other only
        self.save(a if self.needs[1] else None, b if self.needs[0] else None)
        return a @ b

    def backward(self, gy):
        a, b = self.saved
        a_shape, b_shape = self.input_shapes
        if len(b_shape) == 1:
            gy = gy[..., None]  # (..., M, 1)
        if len(a_shape) == 1:
            gy = gy[..., None, :]  # (..., 1, N)
        ga = gb = None
        if self.needs[0]:
            columns = b[:, None] if b.ndim == 1 else b
            rows_shape = (1, *a_shape) if len(a_shape) == 1 else a_shape
            ga = unbroadcast(gy @ columns.swapaxes(-1, -2), rows_shape).reshape(a_shape)
        if self.needs[1]:
            rows = a[None, :] if a.ndim == 1 else a
            columns_shape = (*b_shape, 1) if len(b_shape) == 1 else b_shape
            gb = unbroadcast(rows.swapaxes(-1, -2) @ gy, columns_shape).reshape(b_shape)
        return ga, gb
