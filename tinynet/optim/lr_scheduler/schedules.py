"""The schedules that are one formula: any function, steps, a line, a cosine.

`get_lr` takes one step from the current rate; `_get_closed_form_lr` starts from the initial rate.
"""

import math
from collections import Counter

from tinynet.optim.lr_scheduler.base import LRScheduler, check_count, per_group
from tinynet.optim.optimizer import check_number


class LambdaLR(LRScheduler):
    """lr = initial_lr * lr_lambda(epoch).

    Args: lr_lambda: a function of the epoch (an int from 0), or a list of them, one for each
        parameter group. The state dict holds the attributes of objects with a `__call__`; plain
        functions are not saved, the resuming program defines them again.
    """

    def __init__(self, optimizer, lr_lambda, last_epoch=-1):
        self.lr_lambdas = per_group("LambdaLR", "lr_lambda", lr_lambda, optimizer)
        for function in self.lr_lambdas:
            if not callable(function):
                raise TypeError(
                    f"LambdaLR: lr_lambda must be a function of the epoch, got {function!r}"
                )
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        return [
            base_lr * function(self.last_epoch)
            for function, base_lr in zip(self.lr_lambdas, self.base_lrs, strict=True)
        ]

    def state_dict(self):
        attributes = [dict(getattr(f, "__dict__", {})) or None for f in self.lr_lambdas]
        return {**super().state_dict(), "lr_lambdas": attributes}

    def load_state_dict(self, state_dict):
        state = self._matching_state(state_dict)
        pairs = list(zip(self.lr_lambdas, state.pop("lr_lambdas"), strict=True))
        self.__dict__.update(state)
        for function, saved in pairs:
            if saved:
                vars(function).update(saved)


class StepLR(LRScheduler):
    """lr is multiplied by gamma every `step_size` epochs."""

    def __init__(self, optimizer, step_size, gamma=0.1, last_epoch=-1):
        check_count("StepLR", "step_size", step_size)
        check_number("StepLR", "gamma", gamma)
        self.step_size = step_size
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        if self.last_epoch == 0 or self.last_epoch % self.step_size:
            return self._group_lrs()
        return [lr * self.gamma for lr in self._group_lrs()]

    def _get_closed_form_lr(self):
        factor = self.gamma ** (self.last_epoch // self.step_size)
        return [base_lr * factor for base_lr in self.base_lrs]


class MultiStepLR(LRScheduler):
    """lr is multiplied by gamma at each epoch in `milestones`; one named twice counts twice."""

    def __init__(self, optimizer, milestones, gamma=0.1, last_epoch=-1):
        check_number("MultiStepLR", "gamma", gamma)
        milestones = list(milestones)
        for milestone in milestones:
            check_number("MultiStepLR", "every milestone", milestone, low=0)
            if milestone != int(milestone):
                raise ValueError(f"MultiStepLR: milestones must be whole epochs, got {milestone}")
        self.milestones = Counter(int(milestone) for milestone in milestones)
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        if self.last_epoch not in self.milestones:
            return self._group_lrs()
        factor = self.gamma ** self.milestones[self.last_epoch]
        return [lr * factor for lr in self._group_lrs()]

    def _get_closed_form_lr(self):
        passed = sum(n for epoch, n in self.milestones.items() if epoch <= self.last_epoch)
        return [base_lr * self.gamma**passed for base_lr in self.base_lrs]


class LinearLR(LRScheduler):
    """lr runs from initial_lr * start_factor to initial_lr * end_factor in `total_iters` epochs,
    then stays. Mostly a warm-up.
    """

    def __init__(
        self, optimizer, start_factor=1.0 / 3, end_factor=1.0, total_iters=5, last_epoch=-1
    ):
        check_number("LinearLR", "start_factor", start_factor, low=0)
        check_number("LinearLR", "end_factor", end_factor, low=0)
        if start_factor == 0 or max(start_factor, end_factor) > 1:
            raise ValueError(
                f"LinearLR: expected 0 < start_factor <= 1 and 0 <= end_factor <= 1, got "
                f"start_factor={start_factor} and end_factor={end_factor}"
            )
        check_count("LinearLR", "total_iters", total_iters, least=0)
        self.start_factor = start_factor
        self.end_factor = end_factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        if self.last_epoch == 0:
            return [lr * self.start_factor for lr in self._group_lrs()]
        if self._is_initial or self.last_epoch > self.total_iters:
            return self._group_lrs()
        rise = self.end_factor - self.start_factor
        now = self.total_iters * self.start_factor + (self.last_epoch - 1) * rise
        return [lr * (1.0 + rise / now) for lr in self._group_lrs()]

    def _get_closed_form_lr(self):
        done = min(self.total_iters, self.last_epoch) / max(self.total_iters, 1)
        factor = self.start_factor + (self.end_factor - self.start_factor) * done
        return [base_lr * factor for base_lr in self.base_lrs]


class CosineAnnealingLR(LRScheduler):
    """lr falls along half a cosine from initial_lr to eta_min in T_max epochs, and, if the
    training goes on, rises back in the next T_max.

    Loshchilov and Hutter, "SGDR" (arXiv 1608.03983), equation 5, without the restarts.
    """

    def __init__(self, optimizer, T_max, eta_min=0.0, last_epoch=-1):
        check_number("CosineAnnealingLR", "T_max", T_max, low=0)
        check_number("CosineAnnealingLR", "eta_min", eta_min)
        if T_max == 0:
            raise ValueError("CosineAnnealingLR: T_max must be more than 0 epochs, got 0")
        self.T_max = T_max
        self.eta_min = eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        rates = self._group_lrs()
        if self._is_initial:
            return rates
        if (self.last_epoch - 1 - self.T_max) % (2 * self.T_max) == 0:
            # Just past the lowest point, where the quotient below would be 0 / 0.
            rise = (1 - math.cos(math.pi / self.T_max)) / 2
            return [
                lr + (base_lr - self.eta_min) * rise
                for lr, base_lr in zip(rates, self.base_lrs, strict=True)
            ]
        now = 1 + math.cos(math.pi * self.last_epoch / self.T_max)
        before = 1 + math.cos(math.pi * (self.last_epoch - 1) / self.T_max)
        return [now / before * (lr - self.eta_min) + self.eta_min for lr in rates]

    def _get_closed_form_lr(self):
        height = (1 + math.cos(math.pi * self.last_epoch / self.T_max)) / 2
        return [self.eta_min + (base_lr - self.eta_min) * height for base_lr in self.base_lrs]
