"""LRScheduler: what all learning-rate schedules share."""

import warnings
from numbers import Integral

from tinynet.optim.optimizer import Optimizer


class LRScheduler:
    """Base class of the schedules; a subclass writes `get_lr()`.

    Call `step()` once after each `optimizer.step()` (or after each epoch: a schedule counts its
    own calls and calls them epochs). Most schedules CHAIN, as torch's do: they compute the next
    learning rate from `group["lr"]`, so that a rate changed by hand, or by a second schedule on
    the same optimizer, is scaled and not overwritten.

    `group["initial_lr"]`, set by the first schedule of an optimizer, keeps the rate it began with.

    Args:
        optimizer: the Optimizer whose groups are written to.
        last_epoch: -1 for a new run. To go on after epoch k without a state dict, k, with
            "initial_lr" in every group.
    """

    def __init__(self, optimizer, last_epoch=-1):
        name = type(self).__name__
        check_optimizer(name, optimizer)
        check_count(name, "last_epoch", last_epoch, least=-1)
        self.optimizer = optimizer
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            elif "initial_lr" not in group:
                raise ValueError(
                    f"{name}: last_epoch={last_epoch} resumes a schedule, but parameter group {i} "
                    f"has no 'initial_lr'; load the optimizer's state dict first"
                )
        self.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self._is_initial = False
        self._initial_step()

    def get_lr(self):
        """The learning rate of each group at `self.last_epoch`; called by `step`."""
        raise NotImplementedError(f"{type(self).__name__} does not define get_lr")

    def get_last_lr(self):
        """The learning rate of each group, a list, as last set by this schedule."""
        return self._last_lr

    def step(self, epoch=None):
        """Go one epoch on and set the learning rates.

        Args: epoch: jump to this epoch instead; the rates then follow from `base_lrs` alone.
        """
        if self._step_count == 1 and not self.optimizer._step_called:
            warnings.warn(
                "scheduler.step() came before optimizer.step(), so the first learning rate of "
                "the schedule is never used; call optimizer.step() first",
                UserWarning,
                stacklevel=2,
            )
        self._step_count += 1
        self._update_lr(epoch)

    def state_dict(self):
        """Everything but the optimizer, which saves itself."""
        return {key: value for key, value in vars(self).items() if key != "optimizer"}

    def load_state_dict(self, state_dict):
        """Take over a `state_dict`. The groups' rates come with the optimizer's own state dict.

        Raises: ValueError if it is another schedule's or holds another number of groups.
        """
        self.__dict__.update(self._matching_state(state_dict))

    def _matching_state(self, state_dict):
        """The entries of `state_dict` that this schedule keeps, checked."""
        name = f"{type(self).__name__}.load_state_dict"
        if not isinstance(state_dict, dict):
            raise TypeError(f"{name}: expected a dict, got {type(state_dict).__name__}")
        own = self.state_dict()
        missing = sorted(own.keys() - state_dict.keys())
        if missing:
            raise ValueError(f"{name}: {missing} missing; was it saved by another schedule?")
        for key in ("base_lrs", "_last_lr"):
            if key in own and len(state_dict[key]) != len(self.optimizer.param_groups):
                raise ValueError(
                    f"{name}: {key!r} is for {len(state_dict[key])} parameter groups, the "
                    f"optimizer has {len(self.optimizer.param_groups)}"
                )
        return {key: state_dict[key] for key in own}

    def _initial_step(self):
        """Set the rates of the first epoch."""
        self._step_count = 0
        self._is_initial = True
        try:
            self.step()
        finally:
            self._is_initial = False

    def _update_lr(self, epoch=None):
        if epoch is None:
            self.last_epoch += 1
            rates = self.get_lr()
        else:
            self.last_epoch = epoch
            rates = getattr(self, "_get_closed_form_lr", self.get_lr)()
        for group, lr in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = lr
        self._last_lr = self._group_lrs()

    def _group_lrs(self):
        return [group["lr"] for group in self.optimizer.param_groups]


def check_optimizer(owner, optimizer):
    """Raise TypeError unless `optimizer` is an Optimizer."""
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"{owner}: expected an Optimizer, got {type(optimizer).__name__}")


def check_count(owner, name, value, least=1):
    """Raise ValueError unless `value` is an integer of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise ValueError(f"{owner}: {name} must be an integer from {least} up, got {value!r}")


def per_group(owner, name, value, optimizer):
    """`value` as a list with one entry for each parameter group; a list must have that length."""
    check_optimizer(owner, optimizer)
    groups = len(optimizer.param_groups)
    if not isinstance(value, list | tuple):
        return [value] * groups
    if len(value) != groups:
        raise ValueError(
            f"{owner}: {name} has {len(value)} entries, the optimizer has {groups} parameter "
            f"groups; give one value for all or one for each group"
        )
    return list(value)
