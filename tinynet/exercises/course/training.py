"""Update rules and a schedule."""

import numpy as np

from tinynet.autograd import Tensor
from tinynet.exercises.course.gradients import numbers
from tinynet.exercises.exercise import exercise
from tinynet.optim import SGD, lr_scheduler
from tinynet.optim.sgd import sgd


def _steps(rng):
    for shape, lr, momentum in (((2,), 0.1, 0.5), ((2, 3), 0.5, 0.9), ((4,), 0.02, 0.0)):
        w, v, gw = (numbers(rng, *shape) for _ in range(3))
        yield {"w": w, "v": v, "gw": gw, "lr": lr, "momentum": momentum, "decay": 0.05}


def _updated(nesterov, decays=False):
    def reference(inputs):
        w, v = inputs["w"].copy(), inputs["v"].copy()
        decay = inputs["decay"] if decays else 0
        look_ahead = nesterov and inputs["momentum"] > 0
        if inputs["momentum"] == 0:  # v is not used then; what the rule would make of it is gw
            v[...] = inputs["gw"] + decay * w
        settings = inputs["lr"], inputs["momentum"], 0, decay
        sgd([w], [inputs["gw"]], [v], [False], *settings, look_ahead, False)
        return w, v

    return reference


@exercise(
    title="SGD with momentum",
    aim="""
    PyTorch's rule: the velocity gathers gradients, and the weight takes a step against the NEW
    velocity:

        v = momentum v + gw
        w = w - lr v

    Return both; do not write into the arrays that came in.""",
    gives="w v",
    cases=_steps,
    reference=_updated(nesterov=False),
    hint="""Two lines, in this order: first the new v, then the new w from it. lr stands outside
    v.""",
    mistakes={
        "uphill": (
            "w - lr * v",
            "w + lr * v",
            "this step climbs: v gathers gradients, which point uphill, so subtract it.",
        ),
        "negative-velocity": (
            "momentum * v + gw",
            "momentum * v - gw",
            "v gathers minus the gradient here, and then w moves by minus lr v: two minus signs.",
        ),
        "averaged": (
            "momentum * v + gw",
            "momentum * v + (1 - momentum) * gw",
            "this v is a moving average, with a factor (1 - momentum) before gw; here gw counts in "
            "full.",
        ),
        "lr-inside": (
            "v = momentum * v + gw\n    return w - lr * v, v",
            "v = momentum * v + lr * gw\n    return w - v, v",
            "lr stands inside v (Sutskever's form); the two part as soon as lr changes, and "
            "PyTorch's v has no lr in it.",
        ),
        "downhill-velocity": (
            "v = momentum * v + gw\n    return w - lr * v, v",
            "v = momentum * v - lr * gw\n    return w + v, v",
            "this v points downhill and has lr inside it (Keras writes it so); PyTorch's v gathers "
            "the gradients as they are.",
        ),
        "old-velocity": (
            "v = momentum * v + gw\n    return w - lr * v, v",
            "return w - lr * v, momentum * v + gw",
            "the step is taken with the old v; compute the new one first.",
        ),
        "plain": (
            "w - lr * v, v",
            "w - lr * gw, v",
            "w takes a step of plain SGD, by gw; the step should be along v.",
        ),
    },
)
def sgd_step(w, v, gw, lr, momentum):
    """w, v, gw (weight, velocity, gradient): arrays of one shape; lr, momentum: numbers.
    Returns the new w and the new v."""
    v = momentum * v + gw
    return w - lr * v, v


@exercise(
    title="Nesterov's momentum with weight decay",
    aim="""
    Weight decay adds to the gradient, and the weight looks ahead along the NEW velocity:

        d = gw + decay w
        v = momentum v + d
        w = w - lr (d + momentum v)

    Return w and v; do not write into the arrays that came in.""",
    gives="w v",
    cases=_steps,
    reference=_updated(nesterov=True, decays=True),
    hint="""Three lines: d, then the new v from d, then the new w from d and the new v. The decay
    goes into v as well.""",
    mistakes={
        "no-look-ahead": (
            "w - lr * (d + momentum * v), v",
            "w - lr * v, v",
            "w moves along v itself: either there is no look-ahead, or it is along the OLD v, "
            "which comes to the same.",
        ),
        "no-d": (
            "(d + momentum * v)",
            "(momentum * v)",
            "the look-ahead is momentum v; d itself belongs to the step too.",
        ),
        "twice-ahead": (
            "(d + momentum * v)",
            "(d + v)",
            "v is added without the factor momentum.",
        ),
        "no-decay": (
            "gw + decay * w",
            "gw",
            "the weight decay is missing: d = gw + decay w.",
        ),
        "decay-upwards": (
            "gw + decay * w",
            "gw - decay * w",
            "this decay makes the weights grow: the step subtracts d, so decay w is added to gw.",
        ),
        "decoupled": (
            "d = gw + decay * w\n    v = momentum * v + d\n    return w - lr * (d",
            "d = gw\n    v = momentum * v + d\n    return w - lr * (decay * w + d",
            "the decay acts on w beside the velocity (AdamW's way); SGD adds it to the gradient, "
            "before v.",
        ),
    },
)
def nesterov_step(w, v, gw, lr, momentum, decay):
    """w, v, gw: arrays of one shape; lr, momentum, decay: numbers. Returns the new w and v."""
    d = gw + decay * w
    v = momentum * v + d
    return w - lr * (d + momentum * v), v


def _moments_of_training(rng):
    for step, steps in ((0, 10), (5, 10), (10, 10), (3, 12), (1, 50)):
        yield {"step": step, "steps": steps, "highest": 0.4, "lowest": 0.1}


def _annealed(inputs):
    optimizer = SGD([Tensor(np.zeros(1), requires_grad=True)], lr=inputs["highest"])
    annealing = lr_scheduler.CosineAnnealingLR(optimizer, inputs["steps"], inputs["lowest"])
    for _ in range(inputs["step"]):
        optimizer.step()
        annealing.step()
    return annealing.get_last_lr()[0]


@exercise(
    title="A cosine schedule",
    aim="""
    The learning rate falls from `highest` at step 0 to `lowest` at step `steps`, along half
    a wave of a cosine: slowly at first, fastest in the middle, slowly at the end.""",
    gives="lr",
    cases=_moments_of_training,
    reference=_annealed,
    hint="""cos(pi step / steps) goes from 1 to -1. Shift and scale it so that it goes from 1 to 0,
    and the rate from highest to lowest.""",
    mistakes={
        "swapped": (
            "step / steps",
            "steps / max(step, 1e-9)",
            "the two counts are swapped: the angle is pi step / steps, from 0 to pi.",
        ),
        "degrees": (
            "np.pi * step",
            "180 * step",
            "the angle is in degrees; cos takes radians, and half a turn is pi.",
        ),
        "whole-wave": (
            "np.pi * step",
            "2 * np.pi * step",
            "this is a whole wave: the rate falls to the middle and rises again. Half a wave ends "
            "at pi.",
        ),
        "quarter-wave": (
            "(1 + np.cos(np.pi * step / steps)) / 2",
            "np.cos(np.pi / 2 * step / steps)",
            "this is a quarter of a wave, fastest at its end; take half a wave, shifted to 1 .. 0.",
        ),
        "no-half": (
            ")) / 2",
            "))",
            "1 + cos goes from 2 to 0: halve it.",
        ),
        "upwards": (
            "1 + np.cos",
            "1 - np.cos",
            "the rate rises: 1 - cos goes from 0 to 2.",
        ),
        "below-lowest": (
            "lowest + (highest - lowest) *",
            "highest *",
            "the rate ends at 0; it should end at `lowest`.",
        ),
        "above-highest": (
            "(highest - lowest)",
            "highest",
            "the rate starts above `highest`: scale the wave by (highest - lowest).",
        ),
        "straight": (
            "(1 + np.cos(np.pi * step / steps)) / 2",
            "(1 - step / steps)",
            "this is a straight line; the ends agree, but not what lies between.",
        ),
    },
)
def cosine_rate(step, steps, highest, lowest):
    """step: from 0 to steps. Returns the learning rate, a number."""
    return lowest + (highest - lowest) * (1 + np.cos(np.pi * step / steps)) / 2
