"""The one-cycle schedule, with torch's name, formula and state dict."""

import math
from bisect import bisect_left
from numbers import Real

from tinynet import check
from tinynet.optim.schedule import LRScheduler, check_optimizer, count, per_group
from tinynet.optim.state import brief


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
        total_steps = math.prod(count(name, *c, least=1) for c in counts.items())
        check.number(name, "pct_start", pct_start, low=0, high=1)
        for key, value in {"div_factor": div_factor, "final_div_factor": final_div_factor}.items():
            check.number(name, key, value, low=0, above=True)
        self.optimizer = optimizer
        settings = {"total_steps": total_steps, "cycle_momentum": cycle_momentum}
        settings["_schedule_phases"] = _phases(
            total_steps, float(pct_start * total_steps) - 1, three_phase
        )
        settings["_anneal_func_type"] = anneal_strategy
        vars(self).update(self._checked(name, settings))
        ranges = {"max_lr": max_lr}
        if cycle_momentum:
            ranges |= {"max_momentum": max_momentum, "base_momentum": base_momentum}
        for key, value in ranges.items():
            ranges[key] = per_group(name, key, value, optimizer)
            for each in ranges[key]:
                check.number(name, key, each, low=0)
        if last_epoch == -1:
            for i, group in enumerate(optimizer.param_groups):
                group.update({key: values[i] for key, values in ranges.items()})
                group["initial_lr"] = group["max_lr"] / div_factor
                group["min_lr"] = group["initial_lr"] / final_div_factor
        super().__init__(optimizer, last_epoch)

    def _checked(self, name, settings):
        total_steps = count(name, "total_steps", settings["total_steps"], least=1)
        if settings.get("last_epoch", -1) > total_steps:
            raise ValueError(
                f"{name}: 'last_epoch' must be at most {total_steps}, the number of steps, got "
                f"{settings['last_epoch']}"
            )
        strategy, cycle = settings["_anneal_func_type"], settings["cycle_momentum"]
        check.choice(name, "anneal_strategy", strategy, ("cos", "linear"))
        if cycle and not self.optimizer.defaults.keys() & {"momentum", "betas"}:
            raise ValueError(
                f"{name}: cycle_momentum=True needs an optimizer with momentum or betas, got "
                f"{type(self.optimizer).__name__}; set cycle_momentum=False"
            )
        _check_phases(name, settings["_schedule_phases"], total_steps)
        return {**settings, "total_steps": total_steps, "cycle_momentum": bool(cycle)}

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


def _phases(total_steps, top, three_phase):
    """The pieces of OneCycleLR, whose rate is highest at step `top`: each one's last step, and the
    names, among a group's keys, of what it starts and ends at. (torch's state dict holds the same
    list.)
    """
    keys = "end_step", "start_lr", "end_lr", "start_momentum", "end_momentum"
    phases = [(top, "initial_lr", "max_lr", "max_momentum", "base_momentum")]
    if three_phase:
        phases.append((2 * top, "max_lr", "initial_lr", "base_momentum", "max_momentum"))
        phases.append((total_steps - 1, "initial_lr", "min_lr", "max_momentum", "max_momentum"))
    else:
        phases.append((total_steps - 1, "max_lr", "min_lr", "base_momentum", "max_momentum"))
    return [dict(zip(keys, phase, strict=True)) for phase in phases]


def _check_phases(name, phases, total_steps):
    top = phases[0].get("end_step") if phases and isinstance(phases[0], dict) else None
    right = isinstance(top, Real) and -1 <= top <= total_steps - 1
    if not (right and phases in [_phases(total_steps, top, three) for three in (False, True)]):
        raise ValueError(
            f"{name}: '_schedule_phases' must be those of {total_steps} steps, got {brief(phases)}"
        )
