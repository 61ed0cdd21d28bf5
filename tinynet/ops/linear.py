"""The fully connected layer as one op."""

from tinynet.autograd.tape import Function


class Linear(Function):
    """y = x weight^T (+ bias);  gx = gy weight, gweight = gy^T x, gbias = gy summed over rows

    Args: x (..., I), weight (O, I), optionally bias (O,); y (..., O).
    """

    def forward(self, x, weight, bias=None):
        if x.ndim == 0 or x.shape[-1] != weight.shape[1]:
            raise ValueError(
                f"Linear: expected an input whose last axis has {weight.shape[1]} features, "
                f"got shape {x.shape}"
            )
        self.save(x if self.needs[1] else None, weight if self.needs[0] else None)
        y = x @ weight.T
        if bias is not None:
            y += bias
        return y

    def backward(self, gy):
        x, weight = self.saved
        gx = gw = gb = None
        rows = gy.reshape(-1, gy.shape[-1])  # (R, O)
        if self.needs[1]:
            gw = self.later(lambda: rows.T @ x.reshape(-1, x.shape[-1]), x.size + gy.size)
        if self.needs[0]:
            gx = gy @ weight
        if len(self.needs) == 3 and self.needs[2]:
            gb = rows.sum(axis=0)
        return (gx, gw, gb)[: len(self.needs)]
