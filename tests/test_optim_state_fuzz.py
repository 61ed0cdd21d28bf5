"""State dicts spoiled in every place: refused, and then nothing has changed, or without harm."""

import math
from numbers import Real

import numpy as np
import pytest
from test_lr_scheduler import SCHEDULES, advance, make_optimizer

from tinynet import optim
from tinynet.autograd import Tensor
from tinynet.optim import lr_scheduler

WRONG = (
    *(
        "text",
        "",
        None,
        True,
        False,
        math.nan,
        math.inf,
        -math.inf,
        -1,
        -0.5,
        0,
        1.5,
        10**400,
        1e300,
    ),
    *([], ["x"], [math.nan], {}, {"a": 1}, {0: "x"}, (), b"x", 1j, object()),
    *(np.array("x"), np.array([math.nan]), Tensor(np.zeros((2, 3)))),
)


def places(tree, path=()):
    """The path to every node of a tree of dicts, lists and tuples, that of the whole included."""
    yield path
    inner = tree.items() if isinstance(tree, dict) else ()
    for key, value in enumerate(tree) if isinstance(tree, list | tuple) else inner:
        yield from places(value, (*path, key))


def spoiled(tree, path, wrong):
    """A copy of `tree` with `wrong` in one place."""
    if not path:
        return wrong
    key, *rest = path
    if isinstance(tree, tuple):
        entries = list(tree)
        entries[key] = spoiled(tree[key], rest, wrong)
        return tuple(entries)
    tree = tree.copy()
    tree[key] = spoiled(tree[key], rest, wrong)
    return tree


def at(tree, path):
    for key in path:
        tree = tree[key]
    return tree


def plain(value):
    """A state as lists and dicts, which can be compared and do not change with what they show."""
    if isinstance(value, dict):
        return {key: plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    return value.numpy().tolist() if isinstance(value, Tensor) else value


def number_like(own, wrong):
    """Whether `wrong` is a finite number, or True or False, as `own` is."""
    if isinstance(own, bool):
        return isinstance(wrong, bool | int) and wrong in (0, 1)
    real = isinstance(own, Real) and isinstance(wrong, Real) and not isinstance(wrong, bool)
    return real and math.isfinite(wrong)


def spoil(name, saved, make):
    """Load `saved` with every wrong value in every place into what `make` makes. Returns the (path,
    wrong value, object) of those that were taken; the others have changed nothing."""
    target, taken, refused = make(), [], 0
    before = plain(target.state_dict())
    for path in places(saved):
        for wrong in WRONG:
            try:
                target.load_state_dict(spoiled(saved, path, wrong))
            except (TypeError, ValueError) as error:
                refused += 1
                assert name in str(error) and "\n" not in str(error)
                assert plain(target.state_dict()) == before, (path, wrong)
            else:
                taken.append((path, wrong, target))
                target = make()
    assert refused > 10 * len(taken)
    return taken


def trained(name, **options):
    """An optimizer of two groups that has made two steps."""
    optimizer = make_optimizer(optim, name, **options)
    for step in range(2):
        for group in optimizer.param_groups:
            for p in group["params"]:
                p.grad = Tensor(np.linspace(1, 2, p.array.size) + step)
        optimizer.step()
    return optimizer


OPTIMIZERS = {
    "SGD": {"momentum": 0.9, "nesterov": True},
    "Adam": {"amsgrad": True},
    "AdamW": {},
    "RMSprop": {"centered": True},
    "Adadelta": {},
}


@pytest.mark.cpu_only
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_spoiled_state_of_an_optimizer(name):
    source = trained(name, **OPTIMIZERS[name])
    cycle_momentum = name != "Adadelta"  # which has none
    lr_scheduler.OneCycleLR(source, 0.4, 10, cycle_momentum=cycle_momentum)  # leaves keys in groups
    saved = source.state_dict()
    for path, wrong, _ in spoil(name, saved, lambda: trained(name, **OPTIMIZERS[name])):
        own = at(saved, path)
        if path[0] == "state":  # no state yet, no momentum yet, no step yet
            empty = wrong == {} if isinstance(own, dict) else path[-1] == "momentum_buffer"
            assert empty or (path[-1] == "step" and wrong == 0), (path, wrong)
        else:
            assert number_like(own, wrong), (path, wrong)
            assert wrong >= 0 or path[-1] == "dampening", (path, wrong)


@pytest.mark.cpu_only
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_spoiled_state_of_a_schedule(schedule):
    def make(steps=2):
        optimizer = make_optimizer(optim, momentum=0.9)
        scheduler = SCHEDULES[schedule](lr_scheduler, optimizer)
        for _ in range(steps):
            advance(optimizer, scheduler)
        return scheduler

    saved = make(4).state_dict()
    for path, wrong, scheduler in spoil("load_state_dict", saved, make):
        if "lr_lambdas" in path:  # the user's own function knows what is right for it
            assert number_like(at(saved, path), wrong) or wrong is None or isinstance(wrong, dict)
            continue
        empty = path[-1] in ("milestones", "_milestones") and len(wrong) == 0
        assert empty or number_like(at(saved, path), wrong), (path, wrong)
        if path[-1] == "gamma" and wrong == 1e300 or wrong is True:
            continue  # its square is no float; the groups lack what cycle_momentum needs
        for _ in range(6):
            advance(scheduler.optimizer, scheduler)
        assert all(math.isfinite(lr) for lr in scheduler.get_last_lr()), (path, wrong)


@pytest.mark.cpu_only
def test_what_belongs_together():
    """Entries that are right by themselves, but not beside each other."""
    optimizer = make_optimizer(optim, momentum=0.9)
    cycle = lr_scheduler.OneCycleLR(optimizer, 0.4, 20)
    saved = cycle.state_dict()
    for key, value, words in (
        ("total_steps", 9, "'_schedule_phases' must be those of 9 steps"),
        ("last_epoch", 21, "'last_epoch' must be at most 20"),
        ("_is_initial", True, "'_is_initial' must be False"),
        ("_schedule_phases", saved["_schedule_phases"][:1], "'_schedule_phases' must be those of"),
    ):
        with pytest.raises(ValueError, match=words):
            cycle.load_state_dict({**saved, key: value})
    groups = {**optimizer.state_dict()["param_groups"][0], "params": [1]}
    twice = {"state": {}, "param_groups": [groups, groups]}
    with pytest.raises(ValueError, match="two parameters have the number 1"):
        optimizer.load_state_dict(twice)


@pytest.mark.cpu_only
def test_a_rate_that_ends_at_zero_can_be_loaded():
    """Rounding must not take it below, where no optimizer would load it."""
    for start, steps in ((0.1, 4), (0.1, 7), (0.7, 9), (1 / 3, 11)):
        optimizer = make_optimizer(optim)
        scheduler = lr_scheduler.LinearLR(optimizer, start, 0.0, steps)
        for _ in range(steps):
            advance(optimizer, scheduler)
        assert 0 <= scheduler.get_last_lr()[0] < 1e-16
        make_optimizer(optim).load_state_dict(optimizer.state_dict())
