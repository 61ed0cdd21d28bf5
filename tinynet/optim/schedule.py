"""LRScheduler: what all learning-rate schedules share."""

import math
import warnings
from numbers import Real

from tinynet import check
from tinynet.optim.optimizer import Optimizer
from tinynet.optim.state import brief

LISTS = "base_lrs", "_last_lr", "lr_lambdas", "_schedulers"  # of a state dict: of fixed lengths
MOST = 2**63  # steps: whole numbers beyond every float cannot be computed with


class LRScheduler:
    """Base class of the schedules; a subclass writes `get_lr()`, and `_checked` if it has settings.

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
        check.integer(name, "last_epoch", last_epoch, least=-1)
        self.optimizer = optimizer
        if last_epoch == -1:
            for group in optimizer.param_groups:
                group.setdefault("initial_lr", group["lr"])
        self.base_lrs = [group["initial_lr"] for group in self._groups("initial_lr")]
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
        if epoch is not None:
            check.number(f"{type(self).__name__}.step", "epoch", epoch, low=0)
        self._step_count += 1
        self._update_lr(epoch)

    def state_dict(self):
        """Everything but the optimizer, which saves itself."""
        return {key: value for key, value in vars(self).items() if key != "optimizer"}

    def load_state_dict(self, state_dict):
        """Take over a `state_dict`. The groups' rates come with the optimizer's own state dict.

        Raises: TypeError or ValueError, and nothing changes, if it is another schedule's or for
        another number of groups.
        """
        self.__dict__.update(self._matching_state(state_dict))

    def _checked(self, name, settings):
        """The settings (of a constructor, or in a state dict) in their plain form. Raises TypeError
        or ValueError, in a sentence that begins with `name`."""
        return {}

    def _matching_state(self, state_dict):
        """The entries of `state_dict` that this schedule keeps, checked."""
        name = f"{type(self).__name__}.load_state_dict"
        if not isinstance(state_dict, dict):
            raise TypeError(f"{name}: expected a dict, got {type(state_dict).__name__}")
        own = self.state_dict()
        missing = sorted(own.keys() - state_dict.keys())
        if missing:
            raise ValueError(f"{name}: {missing} missing; was it saved by another schedule?")
        state = {key: state_dict[key] for key in own}
        for key in filter(own.__contains__, LISTS):
            if not isinstance(state[key], list | tuple) or len(state[key]) != len(own[key]):
                raise ValueError(
                    f"{name}: {key!r} must have {len(own[key])} entries, got {brief(state[key])}"
                )
            state[key] = list(state[key])
        for key in own.keys() - {"lr_lambdas"}:
            same_kind(name, key, own[key], state[key])
        for key in state.keys() & {"base_lrs", "_last_lr"}:
            for lr in state[key]:
                check.number(name, f"every entry of {key!r}", lr, low=0)
        for key, least in {"last_epoch": -1, "_step_count": 0}.items():
            if key in state:
                state[key] = count(name, key, state[key], least)
        if state.get("_is_initial"):  # it is True only while the schedule is made
            raise ValueError(f"{name}: '_is_initial' must be False, got {state['_is_initial']}")
        return {**state, **self._checked(name, state)}

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
        groups = self.optimizer.param_groups
        if len(rates) != len(groups):
            raise ValueError(
                f"{type(self).__name__}: {len(rates)} learning rates for {len(groups)} parameter "
                f"groups; add all groups before the schedule is made, or make a new one"
            )
        for group, lr in zip(groups, rates, strict=True):
            group["lr"] = lr
        self._last_lr = self._group_lrs()

    def _group_lrs(self):
        return [group["lr"] for group in self.optimizer.param_groups]

    def _groups(self, *keys):
        """The optimizer's groups, which must have the keys that schedules leave in them."""
        for i, group in enumerate(self.optimizer.param_groups):
            missing = [key for key in keys if key not in group]
            if missing:
                raise ValueError(
                    f"{type(self).__name__}: parameter group {i} has no {missing}; add groups "
                    f"before the schedule is made, and to resume one load the optimizer's state "
                    f"dict first"
                )
        return self.optimizer.param_groups


def check_optimizer(owner, optimizer):
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"{owner}: expected an Optimizer, got {type(optimizer).__name__}")


def count(owner, name, value, least=0):
    """A whole number of steps or epochs, as an int."""
    return check.number(owner, name, check.integer(owner, name, value, least), high=MOST)


def same_kind(owner, place, own, saved):
    """Raise TypeError unless a saved value is of the kind of the `own` one, which it is to replace:
    True or False, a number (finite if that is), a text, a list or a dict, and so inside."""
    kinds = (bool, Real, str, list | tuple, dict)
    kind = next((kind for kind in kinds if isinstance(own, kind)), object)
    fits = isinstance(saved, kind) and (kind is bool or not isinstance(saved, bool))
    if fits and kind is Real and math.isfinite(own):
        check.number(owner, repr(place), saved)
    if not fits:
        raise TypeError(
            f"{owner}: {place!r} must be a {type(own).__name__}, got {type(saved).__name__}"
        )
    if kind is dict:
        for key in own.keys() & saved.keys():
            same_kind(owner, f"{place}[{key!r}]", own[key], saved[key])
    if kind == list | tuple:
        for i, pair in enumerate(zip(own, saved, strict=False)):
            same_kind(owner, f"{place}[{i}]", *pair)


def listed(owner, name, values):
    try:
        return list(values)
    except TypeError:
        raise TypeError(f"{owner}: {name} must be a list, got {type(values).__name__}") from None


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
