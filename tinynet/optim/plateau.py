"""A learning rate that falls where a measure has stopped getting better."""

import math

from tinynet import check
from tinynet.optim.schedule import LRScheduler, check_optimizer, count, per_group


class ReduceLROnPlateau(LRScheduler):
    """lr is multiplied by `factor` once `metrics` has not got better for more than `patience`
    epochs.

    Call `step(metrics)` after each epoch, with the validation loss, say. Better is: below
    best * (1 - threshold) (mode 'min', threshold_mode 'rel'), above best * (1 + threshold) ('max'),
    or by more than `threshold` ('abs'). After a reduction `cooldown` epochs do not count. The rate
    does not fall below `min_lr`, one number or one per group, nor for less than `eps`.
    """

    def __init__(
        self,
        optimizer,
        mode="min",
        factor=0.1,
        patience=10,
        threshold=1e-4,
        threshold_mode="rel",
        cooldown=0,
        min_lr=0,
        eps=1e-8,
    ):
        name = "ReduceLROnPlateau"
        check_optimizer(name, optimizer)
        self.optimizer = optimizer
        self.min_lrs = per_group(name, "min_lr", min_lr, optimizer)
        settings = {"mode": mode, "factor": factor, "patience": patience, "threshold": threshold}
        settings |= {"threshold_mode": threshold_mode, "cooldown": cooldown, "eps": eps}
        settings |= {"min_lrs": self.min_lrs}
        vars(self).update(self._checked(name, settings))
        self.last_epoch = 0
        self._last_lr = self._group_lrs()
        self._reset()

    def _checked(self, name, settings):
        check.choice(name, "mode", settings["mode"], ("min", "max"))
        check.choice(name, "threshold_mode", settings["threshold_mode"], ("rel", "abs"))
        for lr in settings["min_lrs"]:
            check.number(name, "min_lr", lr, low=0)
        factor, eps = settings["factor"], settings["eps"]
        return {
            **settings,
            "factor": check.number(name, "factor", factor, low=0, high=1, below=True),
            "threshold": check.number(name, "threshold", settings["threshold"]),
            "eps": check.number(name, "eps", eps, low=0),
            "patience": count(name, "patience", settings["patience"]),
            "cooldown": count(name, "cooldown", settings["cooldown"]),
        }

    def _reset(self):
        """Forget what was seen."""
        self.best = math.inf if self.mode == "min" else -math.inf
        self.cooldown_counter = self.num_bad_epochs = 0

    def step(self, metrics, epoch=None):
        """Take in an epoch's measure, a number or a Tensor of one element."""
        try:
            now = float(metrics)
        except (TypeError, ValueError):
            raise TypeError(
                f"ReduceLROnPlateau.step: metrics must be a number, got {type(metrics).__name__}"
            ) from None
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        if self._is_better(now):
            self.best, self.num_bad_epochs = now, 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            for group, least in zip(self._groups("lr"), self.min_lrs, strict=True):
                lower = max(group["lr"] * self.factor, least)
                if group["lr"] - lower > self.eps:
                    group["lr"] = lower
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
        self._last_lr = self._group_lrs()

    def _is_better(self, now):
        sign = 1 if self.mode == "max" else -1
        if self.threshold_mode == "rel":
            return sign * now > sign * self.best * (1 + sign * self.threshold)
        return sign * now > sign * self.best + self.threshold
