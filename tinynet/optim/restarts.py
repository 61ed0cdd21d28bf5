"""Cosine annealing that starts again."""

import math

from tinynet import check
from tinynet.optim.schedule import MOST, LRScheduler, count


class CosineAnnealingWarmRestarts(LRScheduler):
    """lr falls along half a cosine from initial_lr to eta_min in T_0 epochs, and begins again; each
    period is T_mult times as long as the one before.

    Loshchilov and Hutter, "SGDR" (arXiv 1608.03983), equation 5. `step(epoch)` takes fractions of
    an epoch, epoch + i / batches say.
    """

    def __init__(self, optimizer, T_0, T_mult=1, eta_min=0.0, last_epoch=-1):
        settings = {"T_0": T_0, "T_mult": T_mult, "eta_min": eta_min, "T_i": T_0}
        settings["T_cur"] = last_epoch
        vars(self).update(self._checked("CosineAnnealingWarmRestarts", settings))
        super().__init__(optimizer, last_epoch)

    def _checked(self, name, settings):
        return {
            "T_0": count(name, "T_0", settings["T_0"], least=1),
            "T_mult": count(name, "T_mult", settings["T_mult"], least=1),
            "T_i": count(name, "T_i", settings["T_i"], least=1),
            "eta_min": check.number(name, "eta_min", settings["eta_min"]),
            "T_cur": check.number(name, "T_cur", settings["T_cur"], low=-1, high=MOST),
        }

    def get_lr(self):
        height = (1 + math.cos(math.pi * self.T_cur / self.T_i)) / 2
        return [self.eta_min + (base_lr - self.eta_min) * height for base_lr in self.base_lrs]

    def _update_lr(self, epoch=None):
        if epoch is None:
            epoch = self.last_epoch + 1
            self.T_cur += 1
            if self.T_cur >= self.T_i:
                self.T_cur -= self.T_i
                self.T_i *= self.T_mult
        else:
            start, self.T_i = 0, self.T_0
            while epoch >= start + self.T_i:
                if self.T_mult == 1:
                    start = epoch - epoch % self.T_0
                    break
                start, self.T_i = start + self.T_i, self.T_i * self.T_mult
            self.T_cur = epoch - start
        super()._update_lr(math.floor(epoch))
