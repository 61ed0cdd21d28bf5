"""The bug museum, rooms 6 to 8: a loss, an op that works in place, an update rule."""
# ruff: noqa: RET504  (the walk shows the names of variables)

import numpy as np

from tinynet.stepper.lessons import faults
from tinynet.stepper.lessons.exhibit import exhibit
from tinynet.stepper.lessons.tensors import constant, leaf
from tinynet.stepper.recording import record


@exhibit(
    "museum-mean",
    "Room 6: a loss",
    """
    start: {Word(len(logits))} rows of logits; the loss is the mean of their cross-entropies.
    forward loss: The loss is right: {loss}.
    backward loss: glogits[0,0] = {glogits[0, 0]}, and its finite difference is {fd("logits", 0,
      0)}. glogits[1,2] = {glogits[1, 2]}, and its finite difference is {fd("logits", 1, 2)}.
    choose: Divide the gradient by the finite difference: {glogits[0, 0] / fd("logits", 0, 0)}, for
      every element. What is wrong? | the mean of forward is missing in backward | the one-hot of
      the label is not subtracted | softmax is applied twice | the sign
    reveal: Forward takes the mean over {len(logits)} rows, so each row's gradient has to be
      divided by {len(logits)}. A constant factor between the two is nearly always a mean or a sum
      that was left out.
    summary: The directions are right and the lengths are not: the learning rate is {len(logits)}
      times too large, and it changes with the batch size.
    note backward loss: Ask who has met it: a learning rate that had to be found anew for each
      batch size.
    """,
    wrong=faults.CrossEntropyNoMean,
    right=faults.CrossEntropy,
    differs=["logits"],
    claims=('abs(glogits[1, 2] / fd("logits", 1, 2) - len(logits)) < 1e-3',),
)
def mean(op):
    logits = leaf([[1, 0, -1], [2, 1, 0], [0, 1, 1], [-1, 0, 2]])
    labels = np.array([0, 2, 1, 2])
    with record():
        loss = op.apply(logits, target=labels)
    return loss


@exhibit(
    "museum-inplace",
    "Room 7: a square",
    """
    start: x = {x}, which will be squared.
    forward y: y = {y}: right.
    forward Multiply: Each square times its factor.
    backward Multiply: gy is the factors: {gy}.
    backward y: gx = {gx}. The finite differences are {fd("x", 0)}, {fd("x", 1)}, {fd("x", 2)} and
      {fd("x", 3)}.
    choose: gx agrees where x is zero or one, and nowhere else. What is wrong? | what was saved of
      x is overwritten with x squared before backward reads it | the factor two is missing | gy is
      forgotten | the derivative of a cube is used, three x squared
    reveal: Backward computes `2 x gy` with what it saved, but the saved array is the one that
      forward squared in place: it holds {y} by then. A number and its square agree only at zero
      and one.
    summary: An in-place change reaches everything that shares the memory, also what an op has
      saved. tinynet counts the changes of a tensor and refuses; inside a single op nothing but a
      check finds it.
    note backward y: Write x, x squared and gx / gy in three rows on the board.
    """,
    wrong=faults.SquareInPlace,
    right=faults.Square,
    code="forward",
    differs=["x"],
    claims=("all(gx == 2 * y * gy)", 'abs(fd("x", 1) - gx[1]) < 1e-4 and x[1] == 1', "x[0] == 0"),
)
def inplace(op):
    x = leaf([0, 1, 3, -2])
    factors = constant([1, 2, -1, 1])
    with record():
        y = op.apply(x)
        loss = (y * factors).sum()
    return loss


LR, MOMENTUM, STEPS = 0.1, 0.9, 4


def run_of_steps(rule, words):
    """[(weight, loss, slope of the loss, step taken), ...] under an update rule."""
    weight, velocity, rows = words.value("weight"), 0.0, []
    for _ in range(STEPS):
        leaf_of = leaf(weight)
        loss = _parabola(leaf_of, constant(words.value("target")))
        loss.backward()
        after, velocity = rule(weight, velocity, leaf_of.grad.item(), LR, MOMENTUM)
        rows.append((float(weight), loss.item(), leaf_of.grad.item(), float(after - weight)))
        weight = after
    return rows


def _parabola(weight, target):
    with record():
        error = weight - target
        loss = error * error
    return loss


def _updates(words):
    rows = []
    for step, row in enumerate(run_of_steps(faults.momentum_uphill, words)):
        _, _, slope, moved = row
        rows.append((step, *row, "downhill" if slope * moved < 0 else "uphill"))
    title = "Steps of SGD with momentum, by the rule of this room"
    return title, ("step", "weight", "loss", "gweight", "moved by", ""), rows


@exhibit(
    "museum-momentum",
    "Room 8: an optimiser",
    """
    aim: Every gradient of this graph is right, and still the loss grows with every step. Find out
      why.
    start: One weight at {weight}, which should come to {target}.
    forward error: It is off by {error}.
    forward loss: The loss is {loss}.
    seed: Now backward. At each step compare with the finite difference; if all agree, the fault is
      not in backward.
    backward loss: error is used twice; the first use sends {sent(0)}.
    backward loss again: Both uses added up: {gerror}.
    backward error: gweight = {gweight}, and the finite difference is {fd("weight")}: they agree.
      So the loss falls if the weight moves the other way. The table shows how it moved.
    choose: The slope is {gweight}, and the update makes the weight larger. What is wrong? | the
      sign of the gradient in the velocity | the learning rate is too large | momentum is larger
      than one | the gradient of error is counted twice
    reveal: The velocity gathers `- gradient`, and the weight then moves by `- lr * velocity`: two
      minus signs, so it climbs. There are two ways to write momentum; each has one minus, and this
      rule took one from both.
    summary: Finite differences clear the backward, so look at what comes after it. A step is right
      if the gradient times the step is negative.
    note backward error: Ask for the sign of gweight times the step before you show the table.
    """,
    wrong=faults.momentum_uphill,
    right=faults.momentum,
    table=_updates,
    claims=("gweight > 0",),
)
def optimiser(rule):
    return _parabola(leaf(5), constant(2))


ROOMS = (mean, inplace, optimiser)
