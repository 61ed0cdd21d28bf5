"""The gradient of an index that names elements several times, summed in one order."""

from tinynet.backend import array_module
from tinynet.ops.shapes import Index as Definition


class Index(Definition):
    """CuPy's add.at adds in the order in which threads arrive: the last digits differ from run to
    run. Here all first additions come before all second ones, and so on."""

    def backward(self, gy):
        if self.is_view:
            return super().backward(gy)
        xp = array_module(gy)
        gx = xp.zeros(self.input_shapes[0], gy.dtype)
        positions = xp.arange(gx.size).reshape(gx.shape)[self.index].ravel()
        order = xp.argsort(positions, kind="stable")
        positions, values = positions[order], gy.ravel()[order]
        repeat = xp.arange(positions.size) - xp.searchsorted(positions, positions)
        row = gx.reshape(gx.size)
        for number in range(int(repeat.max()) + 1 if repeat.size else 0):
            now = repeat == number
            row[positions[now]] += values[now]
        return gx
