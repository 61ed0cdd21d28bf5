"""Learning-rate schedules with torch's names, formulas and state dicts.

`get_lr` takes one step from the current rates; `_get_closed_form_lr` starts from the initial ones.
"""

import math
from bisect import bisect_right
from collections import Counter

from tinynet import absent, check
from tinynet.optim.onecycle import OneCycleLR
from tinynet.optim.plateau import ReduceLROnPlateau
from tinynet.optim.restarts import CosineAnnealingWarmRestarts
from tinynet.optim.schedule import (
    MOST,
    LRScheduler,
    check_optimizer,
    count,
    listed,
    per_group,
    same_kind,
)
from tinynet.optim.state import brief

__getattr__ = absent.names_of(__name__)
__all__ = [
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "ExponentialLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "OneCycleLR",
    "ReduceLROnPlateau",
    "SequentialLR",
    "StepLR",
]

_LRScheduler = LRScheduler  # torch's older name


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
        factors = [function(self.last_epoch) for function in self.lr_lambdas]
        for factor in factors:
            check.number("LambdaLR", "the result of lr_lambda", factor)
        return [lr * factor for lr, factor in zip(self.base_lrs, factors, strict=True)]

    def state_dict(self):
        attributes = [dict(getattr(f, "__dict__", {})) or None for f in self.lr_lambdas]
        return {**super().state_dict(), "lr_lambdas": attributes}

    def _checked(self, name, settings):
        own = self.state_dict()["lr_lambdas"]
        for i, saved in enumerate(settings["lr_lambdas"]):
            takes = dict if hasattr(self.lr_lambdas[i], "__dict__") else ()
            fits = isinstance(saved, takes) and all(isinstance(key, str) for key in saved)
            if saved is not None and not fits:
                raise TypeError(
                    f"{name}: 'lr_lambdas[{i}]' must be None or a dict, the attributes of such a "
                    f"function, got {brief(saved)}"
                )
            same_kind(name, f"lr_lambdas[{i}]", own[i] or {}, saved or {})
        return {}

    def load_state_dict(self, state_dict):
        state = self._matching_state(state_dict)
        for function, attributes in zip(self.lr_lambdas, state.pop("lr_lambdas"), strict=True):
            if attributes:
                vars(function).update(attributes)
        self.__dict__.update(state)


class StepLR(LRScheduler):
    """lr is multiplied by gamma every `step_size` epochs."""

    def __init__(self, optimizer, step_size, gamma=0.1, last_epoch=-1):
        vars(self).update(self._checked("StepLR", {"step_size": step_size, "gamma": gamma}))
        super().__init__(optimizer, last_epoch)

    def _checked(self, name, settings):
        return {
            "step_size": count(name, "step_size", settings["step_size"], least=1),
            "gamma": check.number(name, "gamma", settings["gamma"]),
        }

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
        milestones = listed("MultiStepLR", "milestones", milestones)
        for milestone in milestones:
            check.number("MultiStepLR", "every milestone", milestone, low=0, high=MOST)
        milestones = Counter(milestones)
        vars(self).update(self._checked("MultiStepLR", {"milestones": milestones, "gamma": gamma}))
        super().__init__(optimizer, last_epoch)

    def _checked(self, name, settings):
        milestones = Counter()
        for milestone, times in settings["milestones"].items():
            check.number(name, "every milestone", milestone, low=0, high=MOST)
            if milestone != int(milestone):
                raise ValueError(f"{name}: milestones must be whole epochs, got {milestone}")
            milestones[int(milestone)] += count(name, "a milestone's number of times", times, 1)
        return {"milestones": milestones, "gamma": check.number(name, "gamma", settings["gamma"])}

    def get_lr(self):
        if self.last_epoch not in self.milestones:
            return self._group_lrs()
        factor = self.gamma ** self.milestones[self.last_epoch]
        return [lr * factor for lr in self._group_lrs()]

    def _get_closed_form_lr(self):
        passed = sum(n for epoch, n in self.milestones.items() if epoch <= self.last_epoch)
        return [base_lr * self.gamma**passed for base_lr in self.base_lrs]


class ExponentialLR(LRScheduler):
    """lr is multiplied by gamma every epoch."""

    def __init__(self, optimizer, gamma, last_epoch=-1):
        vars(self).update(self._checked("ExponentialLR", {"gamma": gamma}))
        super().__init__(optimizer, last_epoch)

    def _checked(self, name, settings):
        return {"gamma": check.number(name, "gamma", settings["gamma"])}

    def get_lr(self):
        if self._is_initial:
            return self._group_lrs()
        return [lr * self.gamma for lr in self._group_lrs()]

    def _get_closed_form_lr(self):
        return [base_lr * self.gamma**self.last_epoch for base_lr in self.base_lrs]


class LinearLR(LRScheduler):
    """lr runs from initial_lr * start_factor to initial_lr * end_factor in `total_iters` epochs,
    then stays. Mostly a warm-up.
    """

    def __init__(
        self, optimizer, start_factor=1.0 / 3, end_factor=1.0, total_iters=5, last_epoch=-1
    ):
        settings = {"start_factor": start_factor, "end_factor": end_factor}
        vars(self).update(self._checked("LinearLR", {**settings, "total_iters": total_iters}))
        super().__init__(optimizer, last_epoch)

    def _checked(self, name, settings):
        start, end = settings["start_factor"], settings["end_factor"]
        return {
            "start_factor": check.number(name, "start_factor", start, low=0, high=1, above=True),
            "end_factor": check.number(name, "end_factor", end, low=0, high=1),
            "total_iters": count(name, "total_iters", settings["total_iters"]),
        }

    def get_lr(self):
        if self.last_epoch == 0:
            return [lr * self.start_factor for lr in self._group_lrs()]
        if self._is_initial or self.last_epoch > self.total_iters:
            return self._group_lrs()
        rise = self.end_factor - self.start_factor
        now = self.total_iters * self.start_factor + (self.last_epoch - 1) * rise
        factor = max(0.0, 1.0 + rise / now)  # on the way to 0 rounding may go below
        return [lr * factor for lr in self._group_lrs()]

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
        vars(self).update(self._checked("CosineAnnealingLR", {"T_max": T_max, "eta_min": eta_min}))
        super().__init__(optimizer, last_epoch)

    def _checked(self, name, settings):
        return {
            "T_max": check.number(name, "T_max", settings["T_max"], low=0, high=MOST, above=True),
            "eta_min": check.number(name, "eta_min", settings["eta_min"]),
        }

    def get_lr(self):
        rates = self._group_lrs()
        if self._is_initial:
            return rates
        if (self.last_epoch - 1 - self.T_max) % (2 * self.T_max) == 0:
            # Just past the lowest point, where the quotient below would be 0 / 0.
            rise = (1 - math.cos(math.pi / self.T_max)) / 2
            pairs = zip(rates, self.base_lrs, strict=False)  # _update_lr counts them
            return [lr + (base_lr - self.eta_min) * rise for lr, base_lr in pairs]
        now = 1 + math.cos(math.pi * self.last_epoch / self.T_max)
        before = 1 + math.cos(math.pi * (self.last_epoch - 1) / self.T_max)
        return [now / before * (lr - self.eta_min) + self.eta_min for lr in rates]

    def _get_closed_form_lr(self):
        height = (1 + math.cos(math.pi * self.last_epoch / self.T_max)) / 2
        return [self.eta_min + (base_lr - self.eta_min) * height for base_lr in self.base_lrs]


class SequentialLR(LRScheduler):
    """Runs `schedulers[0]` until epoch milestones[0], then `schedulers[1]`, and so on. Each counts
    its epochs from 0 and starts from the initial rate.

    Args:
        schedulers: schedules that were made for the same optimizer.
        milestones: the epoch at which each schedule but the first begins, in rising order.
    """

    def __init__(self, optimizer, schedulers, milestones, last_epoch=-1):
        name = "SequentialLR"
        check_optimizer(name, optimizer)
        check.integer(name, "last_epoch", last_epoch, least=-1)
        schedulers = listed(name, "schedulers", schedulers)
        if not schedulers:
            raise ValueError(f"{name}: schedulers is empty; give at least one")
        for i, scheduler in enumerate(schedulers):
            if not isinstance(scheduler, LRScheduler) or isinstance(scheduler, SequentialLR):
                raise TypeError(
                    f"{name}: every scheduler must be a schedule that is not itself "
                    f"sequential, got {type(scheduler).__name__} at index {i}"
                )
            if scheduler.optimizer is not optimizer:
                raise ValueError(f"{name}: the scheduler at index {i} belongs to another optimizer")
        self.optimizer = optimizer
        self._schedulers = schedulers
        vars(self).update(self._checked(name, {"_milestones": milestones}))
        milestones = self._milestones
        self.last_epoch = last_epoch + 1
        # Making the schedules has set rates and counted a step each: take both back, then let
        # only the one that is due at step 0 begin.
        for group in self._groups("initial_lr"):
            group["lr"] = group["initial_lr"]
        for scheduler in schedulers:
            scheduler.last_epoch -= 1
        first = schedulers[bisect_right(milestones, 0)]
        first._initial_step()
        self._last_lr = first.get_last_lr()

    def step(self):
        """Go one epoch on with the schedule that is due."""
        self.last_epoch += 1
        i = bisect_right(self._milestones, self.last_epoch)
        scheduler = self._schedulers[i]
        if i > 0 and self._milestones[i - 1] == self.last_epoch:
            scheduler._update_lr(0)
        else:
            scheduler.step()
        self._last_lr = scheduler.get_last_lr()

    def state_dict(self):
        states = [scheduler.state_dict() for scheduler in self._schedulers]
        return {**super().state_dict(), "_schedulers": states}

    def _checked(self, name, settings):
        milestones = [
            count(name, "every milestone", milestone)
            for milestone in listed(name, "milestones", settings["_milestones"])
        ]
        schedulers = len(self._schedulers)
        if len(milestones) != schedulers - 1:
            raise ValueError(
                f"{name}: {schedulers} schedulers need {schedulers - 1} milestones, got "
                f"{len(milestones)}"
            )
        if milestones != sorted(milestones):
            raise ValueError(f"{name}: milestones must rise, got {milestones}")
        for scheduler, saved in zip(
            self._schedulers, settings.get("_schedulers", []), strict=False
        ):
            scheduler._matching_state(saved)  # raises before anything has changed
        return {"_milestones": milestones}

    def load_state_dict(self, state_dict):
        state = self._matching_state(state_dict)
        states = state.pop("_schedulers")
        for scheduler, saved in zip(self._schedulers, states, strict=True):
            scheduler.load_state_dict(saved)
        self.__dict__.update(state)
