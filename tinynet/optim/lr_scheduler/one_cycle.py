"""OneCycleLR: warm up, then anneal, while the momentum does the opposite."""

import math

from tinynet.optim.lr_scheduler.base import LRScheduler, check_count, check_optimizer, per_group
from tinynet.optim.optimizer import check_number


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
        check_optimizer("OneCycleLR", optimizer)
        self.total_steps = _count_steps(total_steps, epochs, steps_per_epoch)
        check_number("OneCycleLR", "pct_start", pct_start, low=0)
        if pct_start > 1:
            raise ValueError(f"OneCycleLR: pct_start is a share from 0 to 1, got {pct_start}")
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(
                f"OneCycleLR: anneal_strategy must be 'cos' or 'linear', got {anneal_strategy!r}"
            )
        for name, value in {"div_factor": div_factor, "final_div_factor": final_div_factor}.items():
            check_number("OneCycleLR", name, value, low=0)
            if value == 0:
                raise ValueError(f"OneCycleLR: {name} must be more than 0, got 0")
        self._anneal_func_type = anneal_strategy
        self._schedule_phases = _phases(self.total_steps, pct_start, three_phase)
        self.cycle_momentum = cycle_momentum
        if cycle_momentum and not optimizer.defaults.keys() & {"momentum", "betas"}:
            raise ValueError(
                f"OneCycleLR: cycle_momentum=True needs an optimizer with momentum or betas, got "
                f"{type(optimizer).__name__}; set cycle_momentum=False"
            )
        ranges = {"max_lr": max_lr}
        if cycle_momentum:
            ranges |= {"max_momentum": max_momentum, "base_momentum": base_momentum}
        for name, value in ranges.items():
            ranges[name] = per_group("OneCycleLR", name, value, optimizer)
            for each in ranges[name]:
                check_number("OneCycleLR", name, each, low=0)
        if last_epoch == -1:
            for i, group in enumerate(optimizer.param_groups):
                group.update({name: values[i] for name, values in ranges.items()})
                group["initial_lr"] = group["max_lr"] / div_factor
                group["min_lr"] = group["initial_lr"] / final_div_factor
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        if self.last_epoch > self.total_steps:
            raise ValueError(
                f"OneCycleLR: step {self.last_epoch} of a schedule of {self.total_steps} steps; "
                f"make total_steps the number of batches in the whole training"
            )
        start = 0.0
        for phase in self._schedule_phases[:-1]:
            if self.last_epoch <= phase["end_step"]:
                break
            start = phase["end_step"]
        else:
            phase = self._schedule_phases[-1]
        length = phase["end_step"] - start
        done = (self.last_epoch - start) / length if length else 1.0
        rates = []
        for group in self.optimizer.param_groups:
            rates.append(self._anneal(group[phase["start_lr"]], group[phase["end_lr"]], done))
            if self.cycle_momentum:
                momentum = self._anneal(
                    group[phase["start_momentum"]], group[phase["end_momentum"]], done
                )
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


def _count_steps(total_steps, epochs, steps_per_epoch):
    if total_steps is not None:
        check_count("OneCycleLR", "total_steps", total_steps)
        return total_steps
    if epochs is None or steps_per_epoch is None:
        raise ValueError("OneCycleLR: give total_steps, or both epochs and steps_per_epoch")
    check_count("OneCycleLR", "epochs", epochs)
    check_count("OneCycleLR", "steps_per_epoch", steps_per_epoch)
    return epochs * steps_per_epoch


def _phases(total_steps, pct_start, three_phase):
    """The pieces of the schedule: each one's last step, and the names, among a group's keys, of
    what it starts and ends at. (torch's state dict holds the same list.)
    """

    def phase(end_step, start_lr, end_lr, start_momentum, end_momentum):
        return {
            "end_step": end_step,
            "start_lr": start_lr,
            "end_lr": end_lr,
            "start_momentum": start_momentum,
            "end_momentum": end_momentum,
        }

    top = float(pct_start * total_steps) - 1
    rise = phase(top, "initial_lr", "max_lr", "max_momentum", "base_momentum")
    if not three_phase:
        return [
            rise,
            phase(total_steps - 1, "max_lr", "min_lr", "base_momentum", "max_momentum"),
        ]
    fall_end = float(2 * pct_start * total_steps) - 2
    return [
        rise,
        phase(fall_end, "max_lr", "initial_lr", "base_momentum", "max_momentum"),
        phase(total_steps - 1, "initial_lr", "min_lr", "max_momentum", "max_momentum"),
    ]
