"""Learning-rate schedules with torch's names, formulas and state dicts.

`get_lr` takes one step from the current rates; `_get_closed_form_lr` starts from the initial ones.
"""

import math
from bisect import bisect_left, bisect_right
from collections import Counter

from tinynet import check
from tinynet.optim.schedule import LRScheduler, check_optimizer, listed, per_group


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

    def load_state_dict(self, state_dict):
        state = self._matching_state(state_dict)
        for function, attributes in zip(self.lr_lambdas, state.pop("lr_lambdas"), strict=True):
            if attributes:
                vars(function).update(attributes)
        self.__dict__.update(state)


class StepLR(LRScheduler):
    """lr is multiplied by gamma every `step_size` epochs."""

    def __init__(self, optimizer, step_size, gamma=0.1, last_epoch=-1):
        self.step_size = check.integer("StepLR", "step_size", step_size, least=1)
        self.gamma = check.number("StepLR", "gamma", gamma)
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
        self.gamma = check.number("MultiStepLR", "gamma", gamma)
        milestones = listed("MultiStepLR", "milestones", milestones)
        for milestone in milestones:
            check.number("MultiStepLR", "every milestone", milestone, low=0)
            if milestone != int(milestone):
                raise ValueError(f"MultiStepLR: milestones must be whole epochs, got {milestone}")
        self.milestones = Counter(map(int, milestones))
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
        check.number("LinearLR", "start_factor", start_factor, low=0, high=1, above=True)
        check.number("LinearLR", "end_factor", end_factor, low=0, high=1)
        self.start_factor, self.end_factor = start_factor, end_factor
        self.total_iters = check.integer("LinearLR", "total_iters", total_iters, least=0)
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
        self.T_max = check.number("CosineAnnealingLR", "T_max", T_max, low=0, above=True)
        self.eta_min = check.number("CosineAnnealingLR", "eta_min", eta_min)
        super().__init__(optimizer, last_epoch)

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


class OneCycleLR(LRScheduler):
    """The one-cycle policy; call `step()` after every batch.

    The rate rises from max_lr / div_factor to max_lr in the first `pct_start` of the steps, then
    falls to max_lr / div_factor / final_div_factor. Meanwhile the momentum (Adam's beta1) falls
    from max_momentum to base_momentum and rises back. With `three_phase` the fall mirrors the
    rise, and a third phase goes from there down to the end.

    Smith and Topin, "Super-Convergence" (arXiv 1708.07120), sections 4 and 5; as in torch, with
    cosine pieces and two phases by default.

    Args:
        max_lr, base_momentum, max_momentum: a number, or a list with one for each group.
        total_steps: the length; or `epochs` and `steps_per_epoch`, whose product it is.
        anneal_strategy: "cos" or "linear".
        cycle_momentum: False leaves the momentum alone.
    Unlike torch, a warm-up of zero length (pct_start * total_steps = 1) starts at max_lr;
    torch divides by zero.
    """

    def __init__(
        self,
        optimizer,
        max_lr,
        total_steps=None,
        epochs=None,
        steps_per_epoch=None,
        pct_start=0.3,
        anneal_strategy="cos",
        cycle_momentum=True,
        base_momentum=0.85,
        max_momentum=0.95,
        div_factor=25.0,
        final_div_factor=1e4,
        three_phase=False,
        last_epoch=-1,
    ):
        name = "OneCycleLR"
        check_optimizer(name, optimizer)
        counts = {"total_steps": total_steps}
        if total_steps is None:
            counts = {"epochs": epochs, "steps_per_epoch": steps_per_epoch}
            if None in counts.values():
                raise ValueError(f"{name}: give total_steps, or both epochs and steps_per_epoch")
        self.total_steps = math.prod(check.integer(name, *c, least=1) for c in counts.items())
        check.number(name, "pct_start", pct_start, low=0, high=1)
        check.choice(name, "anneal_strategy", anneal_strategy, ("cos", "linear"))
        for key, value in {"div_factor": div_factor, "final_div_factor": final_div_factor}.items():
            check.number(name, key, value, low=0, above=True)
        if cycle_momentum and not optimizer.defaults.keys() & {"momentum", "betas"}:
            raise ValueError(
                f"{name}: cycle_momentum=True needs an optimizer with momentum or betas, got "
                f"{type(optimizer).__name__}; set cycle_momentum=False"
            )
        ranges = {"max_lr": max_lr}
        if cycle_momentum:
            ranges |= {"max_momentum": max_momentum, "base_momentum": base_momentum}
        for key, value in ranges.items():
            ranges[key] = per_group(name, key, value, optimizer)
            for each in ranges[key]:
                check.number(name, key, each, low=0)
        self._anneal_func_type = anneal_strategy
        self._schedule_phases = _phases(self.total_steps, pct_start, three_phase)
        self.cycle_momentum = cycle_momentum
        if last_epoch == -1:
            for i, group in enumerate(optimizer.param_groups):
                group.update({key: values[i] for key, values in ranges.items()})
                group["initial_lr"] = group["max_lr"] / div_factor
                group["min_lr"] = group["initial_lr"] / final_div_factor
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        if self.last_epoch > self.total_steps:
            raise ValueError(
                f"OneCycleLR: step {self.last_epoch} of a schedule of {self.total_steps} steps; "
                f"make total_steps the number of batches in the whole training"
            )
        ends = [phase["end_step"] for phase in self._schedule_phases]
        i = bisect_left(ends[:-1], self.last_epoch)
        phase, start = self._schedule_phases[i], ends[i - 1] if i else 0.0
        done = (self.last_epoch - start) / (ends[i] - start) if ends[i] != start else 1.0
        needed = ["initial_lr", "max_lr", "min_lr"]
        needed += ["max_momentum", "base_momentum"] if self.cycle_momentum else []
        rates = []
        for group in self._groups(*needed):
            rates.append(self._anneal(group[phase["start_lr"]], group[phase["end_lr"]], done))
            if self.cycle_momentum:
                ends_of_phase = group[phase["start_momentum"]], group[phase["end_momentum"]]
                momentum = self._anneal(*ends_of_phase, done)
                if "betas" in group:
                    group["betas"] = (momentum, *group["betas"][1:])
                else:
                    group["momentum"] = momentum
        return rates

    def _anneal(self, start, end, done):
        """The value between `start` and `end` when the share `done` of the phase is over."""
        if self._anneal_func_type == "linear":
            return (end - start) * done + start
        return end + (start - end) / 2.0 * (math.cos(math.pi * done) + 1)


def _phases(total_steps, pct_start, three_phase):
    """The pieces of OneCycleLR: each one's last step, and the names, among a group's keys, of
    what it starts and ends at. (torch's state dict holds the same list.)
    """
    keys = "end_step", "start_lr", "end_lr", "start_momentum", "end_momentum"
    last, top = total_steps - 1, float(pct_start * total_steps) - 1
    phases = [(top, "initial_lr", "max_lr", "max_momentum", "base_momentum")]
    if three_phase:
        fall_end = float(2 * pct_start * total_steps) - 2
        phases.append((fall_end, "max_lr", "initial_lr", "base_momentum", "max_momentum"))
        phases.append((last, "initial_lr", "min_lr", "max_momentum", "max_momentum"))
    else:
        phases.append((last, "max_lr", "min_lr", "base_momentum", "max_momentum"))
    return [dict(zip(keys, phase, strict=True)) for phase in phases]


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
        milestones = [
            check.integer(name, "every milestone", milestone, least=0)
            for milestone in listed(name, "milestones", milestones)
        ]
        if len(milestones) != len(schedulers) - 1:
            raise ValueError(
                f"{name}: {len(schedulers)} schedulers need {len(schedulers) - 1} "
                f"milestones, got {len(milestones)}"
            )
        if milestones != sorted(milestones):
            raise ValueError(f"{name}: milestones must rise, got {milestones}")
        self.optimizer = optimizer
        self._schedulers = schedulers
        self._milestones = milestones
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

    def load_state_dict(self, state_dict):
        state = self._matching_state(state_dict)
        states = state.pop("_schedulers")
        for scheduler, saved in zip(self._schedulers, states, strict=True):
            scheduler._matching_state(saved)  # raises before anything has changed
        for scheduler, saved in zip(self._schedulers, states, strict=True):
            scheduler.load_state_dict(saved)
        self.__dict__.update(state)
