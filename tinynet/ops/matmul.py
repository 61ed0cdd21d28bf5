"""The matrix product, and the fully connected layer made of it."""

import numpy as np

from tinynet.autograd.tape import Function, unbroadcast


class MatMul(Function):
    """Sizes: (..., M, K) @ (..., K, N) -> (..., M, N), leading axes broadcast; a 1-D argument
    is a row (left) or a column (right) whose axis of size 1 is dropped from the result.
    """

    rule = {"y": "a @ b", "ga": "gy @ b^T", "gb": "a^T @ gy"}
    where = "^T swaps the last two axes; vectors count as one row (left) or one column (right)"

    def forward(self, a, b):
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
            ga = unbroadcast(gy @ np.swapaxes(columns, -1, -2), rows_shape).reshape(a_shape)
        if self.needs[1]:
            rows = a[None, :] if a.ndim == 1 else a
            columns_shape = (*b_shape, 1) if len(b_shape) == 1 else b_shape
            gb = unbroadcast(np.swapaxes(rows, -1, -2) @ gy, columns_shape).reshape(b_shape)
        return ga, gb


class Linear(Function):
    """The fully connected layer: x (..., I), weight (O, I), optionally bias (O,) -> y (..., O)."""

    rule = {
        "y": "x @ weight^T (+ bias)",
        "gx": "gy @ weight",
        "gweight": "gy^T @ x",
        "gbias": "gy summed over rows",
    }
    where = "^T: the transpose; a row is all of x but its last axis"

    def forward(self, x, weight, bias=None):
        self.save(x if self.needs[1] else None, weight if self.needs[0] else None)
        y = x @ weight.T
        return y if bias is None else y + bias

    def backward(self, gy):
        x, weight = self.saved
        rows = gy.reshape(-1, gy.shape[-1])  # (R, O)
        gx = None if weight is None else gy @ weight
        gw = None if x is None else rows.T @ x.reshape(-1, x.shape[-1])
        return (gx, gw, rows.sum(axis=0))[: len(self.needs)]
