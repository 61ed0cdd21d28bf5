"""Averages of a model's weights over the training, as `torch.optim.swa_utils` takes them.

With equal weights: Izmailov et al., "Averaging weights leads to wider optima and better
generalization", arXiv 1803.05407. With weights that fall off: an exponential moving average.
"""

import copy

from tinynet import check
from tinynet.autograd import Tensor, no_grad
from tinynet.nn import Module


def get_ema_multi_avg_fn(decay=0.999):
    """The `multi_avg_fn` of an exponential average: average = decay average + (1 - decay) value."""
    share = 1 - check.number("get_ema_multi_avg_fn", "decay", decay, 0, 1)

    def update(averages, values, n_averaged):
        for average, value in zip(averages, values, strict=True):
            if average.dtype.kind == "f":  # like torch's lerp, which comes from the nearer end
                a, b = average.array, value.array
                a[...] = a + share * (b - a) if share < 0.5 else b - (1 - share) * (b - a)
                average.changed()
            else:
                average.copy_(average * decay + value * share)

    return update


class AveragedModel(Module):
    """A copy of `model`, called like it, that holds the average of the weights which
    `update_parameters` was shown. The first call copies them.

    Args: device: where the copy goes; by default where the model is. avg_fn: a function of a
    tensor's average, its new value and how many values were averaged, that returns the new average;
    multi_avg_fn: one of lists of tensors, which it changes in place. With neither all values count
    alike. use_buffers: average the buffers too; otherwise they are copied at each update.

    The state_dict is the model's with `module.` before each name, and `n_averaged`. The copy has
    no gradients, and its own mode: call `eval()` before it is used.
    """

    def __init__(self, model, device=None, avg_fn=None, multi_avg_fn=None, use_buffers=False):
        super().__init__()
        if not isinstance(model, Module):
            raise TypeError(f"AveragedModel: model must be a Module, got {type(model).__name__}")
        if avg_fn is not None and multi_avg_fn is not None:
            raise ValueError("AveragedModel: give avg_fn or multi_avg_fn, not both")
        self.module = copy.deepcopy(model).to(device=device)
        self.module.zero_grad()
        self.register_buffer("n_averaged", Tensor(0).to(device=device))
        self.avg_fn, self.multi_avg_fn, self.use_buffers = avg_fn, multi_avg_fn, use_buffers

    def forward(self, *args, **kwargs):
        return self.module(*args, **kwargs)

    @no_grad()
    def update_parameters(self, model):
        """Take the present weights of `model` into the average. Raises ValueError where they are
        not of the shapes that the copy has."""
        ours, theirs = ([*m.parameters(), *m.buffers()] for m in (self.module, model))
        if [t.shape for t in ours] != [t.shape for t in theirs]:
            raise ValueError(
                "AveragedModel.update_parameters: the model has other parameters or buffers than "
                "the averaged one; give the model that it was made of"
            )
        averaged = len(ours) if self.use_buffers else len(list(model.parameters()))
        averaged = averaged if self.n_averaged > 0 else 0  # how many; the others are copied
        groups = {}  # by dtype and device, as torch hands them over
        for i, (average, value) in enumerate(zip(ours, theirs, strict=True)):
            average, value = average.detach(), value.detach().to(average.device)
            if i < averaged:
                group = groups.setdefault((average.dtype, average.device), ([], []))
                group[0].append(average)
                group[1].append(value)
            else:
                average.copy_(value)
        for averages, values in groups.values():
            self._average(averages, values)
        self.n_averaged += 1

    def _average(self, averages, values):
        n = self.n_averaged.to(averages[0].device)
        if self.multi_avg_fn is not None:
            self.multi_avg_fn(averages, values, n)
            return
        for average, value in zip(averages, values, strict=True):
            if self.avg_fn is None:
                average.copy_(average + (value - average) / (n + 1))
            else:
                average.copy_(self.avg_fn(average, value, n))
