"""SequentialLR: one schedule after another."""

from bisect import bisect_right

from tinynet.optim.lr_scheduler.base import LRScheduler, check_count, check_optimizer


class SequentialLR(LRScheduler):
    """Runs `schedulers[0]` until epoch milestones[0], then `schedulers[1]`, and so on. Each counts
    its epochs from 0 and starts from the initial rate.

    Args:
        schedulers: schedules that were made for the same optimizer.
        milestones: the epoch at which each schedule but the first begins, in rising order.
    """

    def __init__(self, optimizer, schedulers, milestones, last_epoch=-1):
        check_optimizer("SequentialLR", optimizer)
        check_count("SequentialLR", "last_epoch", last_epoch, least=-1)
        schedulers, milestones = list(schedulers), list(milestones)
        if not schedulers:
            raise ValueError("SequentialLR: schedulers is empty; give at least one")
        for i, scheduler in enumerate(schedulers):
            if not isinstance(scheduler, LRScheduler) or isinstance(scheduler, SequentialLR):
                raise TypeError(
                    f"SequentialLR: every scheduler must be a schedule that is not itself "
                    f"sequential, got {type(scheduler).__name__} at index {i}"
                )
            if scheduler.optimizer is not optimizer:
                raise ValueError(
                    f"SequentialLR: the scheduler at index {i} belongs to another optimizer"
                )
        if len(milestones) != len(schedulers) - 1:
            raise ValueError(
                f"SequentialLR: {len(schedulers)} schedulers need {len(schedulers) - 1} "
                f"milestones, got {len(milestones)}"
            )
        for milestone in milestones:
            check_count("SequentialLR", "every milestone", milestone, least=0)
        if milestones != sorted(milestones):
            raise ValueError(f"SequentialLR: milestones must rise, got {milestones}")
        self.optimizer = optimizer
        self._schedulers = schedulers
        self._milestones = milestones
        self.last_epoch = last_epoch + 1
        # Making the schedules has set rates and counted a step each: take both back, then let
        # only the one that is due at step 0 begin.
        for group in optimizer.param_groups:
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
        if len(states) != len(self._schedulers):
            raise ValueError(
                f"SequentialLR.load_state_dict: {len(states)} schedules were saved, "
                f"expected {len(self._schedulers)}"
            )
        for scheduler, saved in zip(self._schedulers, states, strict=True):
            scheduler._matching_state(saved)  # raises before anything has changed
        for scheduler, saved in zip(self._schedulers, states, strict=True):
            scheduler.load_state_dict(saved)
        self.__dict__.update(state)
