"""Schedules with wrong arguments: refused in one sentence, and nothing changed."""

import numpy as np
import pytest
import torch
from test_lr_scheduler import (
    COMBINED,
    SCHEDULES,
    SINGLE,
    Halve,
    advance,
    assert_same,
    make_optimizer,
    settings,
)

from tinynet import optim
from tinynet.autograd import Tensor
from tinynet.optim import lr_scheduler

WRONG = {
    "optimizer": (lambda s, o: s.StepLR(0.1, 3), TypeError, "StepLR: expected an Optimizer"),
    "optimizer 2": (lambda s, o: s.OneCycleLR([], 3, 3), TypeError, "OneCycleLR: expected an Op"),
    "last_epoch": (lambda s, o: s.StepLR(o, 3, last_epoch=-2), ValueError, "last_epoch"),
    "initial_lr": (lambda s, o: s.StepLR(o, 3, last_epoch=5), ValueError, "initial_lr"),
    "step_size": (lambda s, o: s.StepLR(o, 0), ValueError, "step_size must be at least 1, got 0"),
    "gamma": (lambda s, o: s.StepLR(o, 3, "a"), TypeError, "gamma must be a number"),
    "milestone": (lambda s, o: s.MultiStepLR(o, [3.5]), ValueError, "whole epochs, got 3.5"),
    "milestone 2": (lambda s, o: s.MultiStepLR(o, [-3]), ValueError, "milestone"),
    "lambdas": (lambda s, o: s.LambdaLR(o, [Halve(2)]), ValueError, "1 entries.*2 parameter"),
    "lambda": (lambda s, o: s.LambdaLR(o, 0.5), TypeError, "function of the epoch, got 0.5"),
    "milestones not a list": (lambda s, o: s.MultiStepLR(o, 3), TypeError, "a list, got int"),
    "lambda's None": (
        lambda s, o: s.LambdaLR(o, lambda epoch: None),
        TypeError,
        "the result of lr_lambda must be a number, got NoneType",
    ),
    "start_factor": (lambda s, o: s.LinearLR(o, 0.0), ValueError, "start_factor .* got 0.0"),
    "end_factor": (lambda s, o: s.LinearLR(o, 0.1, 1.5), ValueError, "end_factor .* got 1.5"),
    "total_iters": (
        lambda s, o: s.LinearLR(o, total_iters=2.5),
        TypeError,
        "total_iters must be an integer, got 2.5",
    ),
    "T_max": (lambda s, o: s.CosineAnnealingLR(o, 0), ValueError, "T_max"),
    "eta_min": (lambda s, o: s.CosineAnnealingLR(o, 9, None), TypeError, "eta_min"),
    "no steps": (lambda s, o: s.OneCycleLR(o, 0.1), ValueError, "total_steps, or both"),
    "steps": (lambda s, o: s.OneCycleLR(o, 0.1, 9.5), TypeError, "total_steps .*9.5"),
    "epochs": (lambda s, o: s.OneCycleLR(o, 0.1, None, 0, 9), ValueError, "epochs"),
    "pct_start": (lambda s, o: s.OneCycleLR(o, 0.1, 9, pct_start=30.0), ValueError, "pct_start"),
    "anneal": (lambda s, o: s.OneCycleLR(o, 0.1, 9, anneal_strategy="exp"), ValueError, "'exp'"),
    "div": (lambda s, o: s.OneCycleLR(o, 0.1, 9, div_factor=0), ValueError, "div_factor"),
    "max_lrs": (lambda s, o: s.OneCycleLR(o, [0.1], 9), ValueError, "max_lr has 1 entries"),
    "max_lr": (lambda s, o: s.OneCycleLR(o, -0.1, 9), ValueError, "max_lr"),
    "none": (lambda s, o: s.SequentialLR(o, [], []), ValueError, "at least one"),
    "milestones": (lambda s, o: s.SequentialLR(o, [s.StepLR(o, 3)], [1]), ValueError, "0 mile"),
    "no list": (lambda s, o: s.SequentialLR(o, 3, []), TypeError, "schedulers must be a list"),
    "not one": (lambda s, o: s.SequentialLR(o, [3], []), TypeError, "int at index 0"),
    "unordered": (
        lambda s, o: s.SequentialLR(o, [s.StepLR(o, 3) for _ in range(3)], [5, 4]),
        ValueError,
        "must rise",
    ),
    "another's": (
        lambda s, o: s.SequentialLR(o, [s.StepLR(make_optimizer(optim), 3)], []),
        ValueError,
        "index 0 belongs to another optimizer",
    ),
}


@pytest.mark.parametrize("kind", WRONG)
def test_wrong_arguments(kind):
    make, error, message = WRONG[kind]
    with pytest.raises(error, match=message):
        make(lr_scheduler, make_optimizer(optim))


def test_onecycle_needs_a_momentum_to_cycle():
    class Plain(optim.SGD):
        def __init__(self, params):
            optim.Optimizer.__init__(self, params, {"lr": 0.1})

        def _check_group(self, group):
            pass

    optimizer = Plain([Tensor(np.zeros(2), requires_grad=True)])
    with pytest.raises(ValueError, match="momentum or betas, got Plain"):
        lr_scheduler.OneCycleLR(optimizer, 0.4, 10)
    lr_scheduler.OneCycleLR(optimizer, 0.4, 10, cycle_momentum=False)


def test_onecycle_refuses_wrong_arguments_before_it_touches_the_optimizer():
    optimizer = make_optimizer(optim, momentum=0.9)
    with pytest.raises(ValueError, match="base_momentum"):
        lr_scheduler.OneCycleLR(optimizer, 0.4, 10, base_momentum=-1)
    assert settings(optimizer) == [[0.1, 0.9, None], [0.02, 0.9, None]]


def test_onecycle_refuses_steps_beyond_its_end():
    optimizer = make_optimizer(optim)
    scheduler = lr_scheduler.OneCycleLR(optimizer, 0.4, total_steps=3)
    for _ in range(3):
        advance(optimizer, scheduler)
    with pytest.raises(ValueError, match="step 4 of a schedule of 3 steps"):
        advance(optimizer, scheduler)


@pytest.mark.parametrize("schedule", ["warm-up, cosine", "lambdas", "multistep"])
def test_a_state_dict_that_does_not_fit_changes_nothing(schedule):
    def spoil(saved):
        yield 3
        yield {}
        yield lr_scheduler.LRScheduler.state_dict(SINGLE["step"](lr_scheduler, optimizer))
        key = "_last_lr" if schedule in COMBINED else "base_lrs"
        yield {**saved, key: [0.1]}
        if schedule in COMBINED:
            yield {**saved, "_schedulers": saved["_schedulers"][:1]}
            yield {**saved, "_schedulers": [saved["_schedulers"][0], {}]}

    optimizer = make_optimizer(optim)
    scheduler = SCHEDULES[schedule](lr_scheduler, optimizer)
    before = scheduler.state_dict()
    other = SCHEDULES[schedule](lr_scheduler, make_optimizer(optim))
    for _ in range(4):
        advance(other.optimizer, other)
    for spoiled in spoil(other.state_dict()):
        with pytest.raises((ValueError, TypeError), match="load_state_dict"):
            scheduler.load_state_dict(spoiled)
        assert scheduler.state_dict() == before


# Groups that came, and state that went, after a schedule was made

KEEPS_CHAINING = ("step", "multistep", "linear", "cosine")  # need nothing but a group's rate
COMING = {
    **{name: SINGLE[name] for name in (*KEEPS_CHAINING, "lambda", "onecycle")},
    "onecycle momentum fixed": SINGLE["onecycle momentum fixed"],
    "warm-up, steps": COMBINED["warm-up, steps"],
}


def add_group(package, optimizer):
    data = np.zeros(2)
    late = torch.tensor(data, requires_grad=True) if package is torch.optim else Tensor(data)
    optimizer.add_param_group({"params": [late], "lr": 0.5})


@pytest.mark.parametrize("schedule", COMING)
def test_a_group_added_later(schedule):
    """It chains where torch's does; where it lacks what the schedule needs, a sentence says so."""

    def start(package):
        optimizer = make_optimizer(package, momentum=0.9)
        scheduler = COMING[schedule](package.lr_scheduler, optimizer)
        advance(optimizer, scheduler)
        add_group(package, optimizer)
        return optimizer, scheduler

    optimizer, scheduler = start(optim)
    if schedule not in KEEPS_CHAINING:
        with pytest.raises(ValueError, match="parameter group.* add .*groups before the schedule"):
            for _ in range(6):
                advance(optimizer, scheduler)
        return
    reference = start(torch.optim)
    for _ in range(12):
        advance(optimizer, scheduler)
        advance(*reference)
        assert_same(settings(optimizer), settings(reference[0]))
    with pytest.raises(ValueError, match="2 learning rates for 3 parameter groups; add all groups"):
        scheduler.step(3)


def test_a_cosine_that_turns_wants_to_know_all_groups():
    optimizer = make_optimizer(optim)
    scheduler = lr_scheduler.CosineAnnealingLR(optimizer, 2)
    add_group(optim, optimizer)
    with pytest.raises(ValueError, match="2 learning rates for 3 parameter groups; add all groups"):
        for _ in range(4):
            advance(optimizer, scheduler)


def test_a_group_added_between_the_parts_of_a_sequence():
    optimizer = make_optimizer(optim)
    part = lr_scheduler.LinearLR(optimizer)
    add_group(optim, optimizer)
    with pytest.raises(
        ValueError, match=r"SequentialLR: parameter group 2 has no \['initial_lr'\]"
    ):
        lr_scheduler.SequentialLR(optimizer, [part], [])


def test_onecycle_without_what_it_left_in_the_groups():
    before = make_optimizer(optim, momentum=0.9).state_dict()
    optimizer = make_optimizer(optim, momentum=0.9)
    scheduler = lr_scheduler.OneCycleLR(optimizer, 0.4, 9)
    optimizer.load_state_dict(before)  # of a run without the schedule
    with pytest.raises(ValueError, match="OneCycleLR: parameter group 0 has no .*max_momentum"):
        advance(optimizer, scheduler)
    resumed = make_optimizer(optim, momentum=0.9)
    for group in resumed.param_groups:
        group["initial_lr"] = 0.1
    with pytest.raises(ValueError, match="parameter group 0 has no .*max_lr.* state dict first"):
        lr_scheduler.OneCycleLR(resumed, 0.4, 9, last_epoch=3)


@pytest.mark.parametrize("source", SCHEDULES)
@pytest.mark.parametrize("target", ["lambda", "step", "multistep", "linear", "cosine", "onecycle"])
def test_the_state_of_another_schedule(source, target):
    """Refused by name, and nothing changed."""
    ours, other = (
        SCHEDULES[name](lr_scheduler, make_optimizer(optim, momentum=0.9))
        for name in (target, source)
    )
    if type(ours) is type(other):
        ours.load_state_dict(other.state_dict())
        return
    before = ours.state_dict()
    with pytest.raises(ValueError, match=f"{type(ours).__name__}.load_state_dict: .*missing"):
        ours.load_state_dict(other.state_dict())
    assert ours.state_dict() == before


@pytest.mark.parametrize("epoch", ["3", True, Tensor(np.zeros(())), -1, float("nan")])
def test_stepping_to_what_is_no_epoch(epoch):
    optimizer = make_optimizer(optim)
    scheduler = lr_scheduler.StepLR(optimizer, 3)
    with pytest.raises((TypeError, ValueError), match="StepLR.step: epoch must be"):
        advance(optimizer, scheduler, epoch)
    assert scheduler.last_epoch == 0
