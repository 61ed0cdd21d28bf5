"""Learning-rate schedules against torch, step for step; saving and going on."""

import warnings

import numpy as np
import pytest
import torch

from tinynet import optim
from tinynet.autograd import Tensor
from tinynet.optim import lr_scheduler

STEPS = 70


def make_optimizer(package, name="SGD", **options):
    """An optimizer of ours or torch's with two groups of different learning rates."""
    if package is torch.optim:
        params = [torch.zeros(2, requires_grad=True) for _ in range(2)]
    else:
        params = [Tensor(np.zeros(2), requires_grad=True) for _ in range(2)]
    groups = [{"params": [params[0]]}, {"params": [params[1]], "lr": 0.02}]
    return getattr(package, name)(groups, lr=0.1, **options)


def warmup_then(s, optimizer, make_main, length=5):
    warmup = s.LinearLR(optimizer, start_factor=0.1, total_iters=length)
    return s.SequentialLR(optimizer, [warmup, make_main(optimizer)], milestones=[length])


class Halve:
    """A schedule function with a state."""

    def __init__(self, every):
        self.every = every

    def __call__(self, epoch):
        return 0.5 ** (epoch // self.every)


SINGLE = {
    "lambda": lambda s, o: s.LambdaLR(o, lambda epoch: 1 / (1 + epoch)),
    "lambdas": lambda s, o: s.LambdaLR(o, [lambda epoch: 0.9**epoch, Halve(9)]),
    "step": lambda s, o: s.StepLR(o, 9),
    "step gamma": lambda s, o: s.StepLR(o, step_size=4, gamma=0.7),
    "multistep": lambda s, o: s.MultiStepLR(o, [10, 30, 40]),
    "multistep twice": lambda s, o: s.MultiStepLR(o, (30, 5, 5.0), 0.3),
    "multistep at once": lambda s, o: s.MultiStepLR(o, [0, 1]),
    "linear": lambda s, o: s.LinearLR(o),
    "linear down": lambda s, o: s.LinearLR(o, 1.0, 0.05, 40),
    "linear flat": lambda s, o: s.LinearLR(o, 0.5, total_iters=0),
    "cosine": lambda s, o: s.CosineAnnealingLR(o, 50),
    "cosine up again": lambda s, o: s.CosineAnnealingLR(o, T_max=8, eta_min=0.003),
    "cosine of one": lambda s, o: s.CosineAnnealingLR(o, 1),
    "restarts": lambda s, o: s.CosineAnnealingWarmRestarts(o, 7),
    "restarts, longer": lambda s, o: s.CosineAnnealingWarmRestarts(o, 3, T_mult=2, eta_min=0.001),
    "onecycle": lambda s, o: s.OneCycleLR(o, 0.4, STEPS),
    "onecycle groups": lambda s, o: s.OneCycleLR(
        o, [0.4, 0.1], epochs=7, steps_per_epoch=10, base_momentum=[0.8, 0.7], max_momentum=0.9
    ),
    "onecycle linear": lambda s, o: s.OneCycleLR(
        o, 0.4, STEPS + 9, None, None, 0.15, "linear", True, 0.5, 0.99, 10.0, 100.0
    ),
    "onecycle three": lambda s, o: s.OneCycleLR(o, 0.4, STEPS, three_phase=True),
    "onecycle no warm-up": lambda s, o: s.OneCycleLR(o, 0.4, STEPS, pct_start=0.0),
    "onecycle momentum fixed": lambda s, o: s.OneCycleLR(o, 0.4, STEPS, cycle_momentum=False),
}
COMBINED = {
    "warm-up, cosine": lambda s, o: warmup_then(s, o, lambda o: s.CosineAnnealingLR(o, 60)),
    "warm-up, steps": lambda s, o: warmup_then(s, o, lambda o: s.MultiStepLR(o, [20, 40])),
    "warm-up, lambda": lambda s, o: warmup_then(s, o, lambda o: s.LambdaLR(o, Halve(10))),
    "warm-up, onecycle": lambda s, o: warmup_then(s, o, lambda o: s.OneCycleLR(o, 0.4, 66)),
    "warm-up, restarts": lambda s, o: warmup_then(
        s, o, lambda o: s.CosineAnnealingWarmRestarts(o, 4, 3)
    ),
    "three in turn": lambda s, o: s.SequentialLR(
        o, [s.LinearLR(o, 0.2, total_iters=8), s.StepLR(o, 3), s.CosineAnnealingLR(o, 20)], [8, 40]
    ),
    "no first": lambda s, o: s.SequentialLR(o, [s.LinearLR(o), s.StepLR(o, 9)], [0]),
    "one alone": lambda s, o: s.SequentialLR(o, [s.StepLR(o, 9)], []),
}
SCHEDULES = SINGLE | COMBINED
ON_SGD = [(name, "SGD", {"momentum": 0.9}) for name in SCHEDULES]
ON_ADAM = [(name, "AdamW", {"betas": (0.8, 0.99)}) for name in SCHEDULES if "onecycle" in name]


def settings(optimizer):
    """What a schedule may change, group by group."""
    return [
        [group["lr"], group.get("momentum"), group.get("betas")] for group in optimizer.param_groups
    ]


def flat(nested):
    if isinstance(nested, list | tuple):
        return [number for entry in nested for number in flat(entry)]
    return [] if nested is None else [float(nested)]


def assert_same(ours, theirs):
    np.testing.assert_allclose(flat(ours), flat(theirs), rtol=1e-12, atol=1e-16)


def advance(optimizer, scheduler, *args):
    optimizer.step()
    scheduler.step(*args)


@pytest.mark.parametrize(("schedule", "name", "options"), ON_SGD + ON_ADAM)
def test_schedules_equal_torch(schedule, name, options):
    optimizer = make_optimizer(optim, name, **options)
    reference = make_optimizer(torch.optim, name, **options)
    ours = SCHEDULES[schedule](lr_scheduler, optimizer)
    theirs = SCHEDULES[schedule](torch.optim.lr_scheduler, reference)
    seen = []
    for step in range(STEPS):
        assert_same(settings(optimizer), settings(reference))
        assert_same(ours.get_last_lr(), theirs.get_last_lr())
        assert ours.get_last_lr() == [group["lr"] for group in optimizer.param_groups]
        assert ours.last_epoch == theirs.last_epoch == step
        seen.append(settings(optimizer)[0])
        if step < STEPS - 1:
            advance(optimizer, ours)
            advance(reference, theirs)
    assert "flat" in schedule or seen.count(seen[0]) < STEPS  # the schedule did something


@pytest.mark.parametrize("at", [0, 1, 5, 33])
@pytest.mark.parametrize("source", ["ours", "torch"])
@pytest.mark.parametrize(("schedule", "name", "options"), ON_SGD + ON_ADAM)
def test_a_resumed_schedule_goes_on_exactly(schedule, name, options, source, at):
    package = optim if source == "ours" else torch.optim
    optimizer = make_optimizer(package, name, **options)
    scheduler = SCHEDULES[schedule](package.lr_scheduler, optimizer)
    for _ in range(at):
        advance(optimizer, scheduler)
    saved = optimizer.state_dict(), scheduler.state_dict()

    resumed_optimizer = make_optimizer(optim, name, **options)
    resumed = SCHEDULES[schedule](lr_scheduler, resumed_optimizer)
    resumed_optimizer.load_state_dict(saved[0])
    resumed.load_state_dict(saved[1])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(30):
            assert_same(resumed.get_last_lr(), scheduler.get_last_lr())
            assert_same(settings(resumed_optimizer), settings(optimizer))
            advance(optimizer, scheduler)
            advance(resumed_optimizer, resumed)


@pytest.mark.parametrize("last_epoch", [0, 4, 8, 11])
@pytest.mark.parametrize(
    "make",
    [
        lambda s, o, k: s.LambdaLR(o, Halve(3), last_epoch=k),
        lambda s, o, k: s.StepLR(o, 3, last_epoch=k),
        lambda s, o, k: s.MultiStepLR(o, [5, 9], last_epoch=k),
        lambda s, o, k: s.LinearLR(o, total_iters=9, last_epoch=k),
        lambda s, o, k: s.CosineAnnealingLR(o, 20, last_epoch=k),
        lambda s, o, k: s.OneCycleLR(o, 0.4, 50, last_epoch=k),
    ],
)
def test_going_on_by_last_epoch_equals_torch(make, last_epoch):
    results = []
    for package in (optim, torch.optim):
        optimizer = make_optimizer(package, momentum=0.9)
        for group in optimizer.param_groups:
            group.update(initial_lr=0.5, max_lr=0.4, min_lr=1e-5)
            group.update(max_momentum=0.95, base_momentum=0.8)
        scheduler = make(package.lr_scheduler, optimizer, last_epoch)
        results.append([scheduler.last_epoch])
        for _ in range(20):
            results[-1].append(settings(optimizer))
            advance(optimizer, scheduler)
    assert_same(*results)


@pytest.mark.filterwarnings("ignore:The epoch parameter")
@pytest.mark.parametrize(
    "schedule", [name for name in SINGLE if name != "linear flat"]
)  # there torch divides by 0
def test_stepping_to_an_epoch_equals_torch(schedule):
    results = []
    for package in (optim, torch.optim):
        optimizer = make_optimizer(package, momentum=0.9)
        scheduler = SINGLE[schedule](package.lr_scheduler, optimizer)
        results.append([])
        for epoch in [3, None, 40, None, None, 12, 0, None, 65]:
            advance(optimizer, scheduler, epoch)
            results[-1].append(settings(optimizer))
    assert_same(*results)


def test_schedules_chain_from_the_current_rate():
    """Two schedules on one optimizer multiply, and a rate changed by hand is kept in proportion."""
    results = []
    for package in (optim, torch.optim):
        optimizer = make_optimizer(package)
        both = [
            package.lr_scheduler.LinearLR(optimizer, total_iters=10),
            package.lr_scheduler.MultiStepLR(optimizer, [4, 12]),
            package.lr_scheduler.CosineAnnealingLR(optimizer, 30),
        ]
        results.append([])
        for step in range(25):
            optimizer.step()
            for scheduler in both:
                scheduler.step()
            if step == 6:
                optimizer.param_groups[0]["lr"] *= 3
            results[-1].append(settings(optimizer))
    assert_same(*results)


def test_own_schedules_write_only_get_lr():
    class Root(lr_scheduler.LRScheduler):
        def get_lr(self):
            return [base_lr / (1 + self.last_epoch) ** 0.5 for base_lr in self.base_lrs]

    optimizer = make_optimizer(optim)
    scheduler = Root(optimizer)
    for _ in range(3):
        advance(optimizer, scheduler)
    assert_same(scheduler.get_last_lr(), [0.05, 0.01])
    with pytest.raises(NotImplementedError, match="get_lr"):
        lr_scheduler.LRScheduler(optimizer)


def test_a_warm_up_of_no_steps_starts_at_the_top():
    optimizer = make_optimizer(optim, momentum=0.9)
    scheduler = lr_scheduler.OneCycleLR(optimizer, 0.4, total_steps=10, pct_start=0.1)
    assert settings(optimizer)[0] == [0.4, 0.85, None]
    advance(optimizer, scheduler)
    assert 0.3 < scheduler.get_last_lr()[0] < 0.4


def test_the_wrong_order_of_steps_is_warned_about_once():
    optimizer = make_optimizer(optim)
    scheduler = lr_scheduler.StepLR(optimizer, 2)
    with pytest.warns(UserWarning, match="call optimizer.step\\(\\) first"):
        scheduler.step()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scheduler.step()
        optimizer.step()
        scheduler.step()
