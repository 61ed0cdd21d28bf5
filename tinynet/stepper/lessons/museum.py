"""The bug museum, rooms 1 to 5: layers with a wrong backward."""
# ruff: noqa: RET504  (the walk shows the names of variables)

import numpy as np

from tinynet.ops.window import Window
from tinynet.stepper.lessons import faults
from tinynet.stepper.lessons.exhibit import exhibit
from tinynet.stepper.lessons.tensors import constant, digits, leaf
from tinynet.stepper.recording import record


@exhibit(
    "museum-broadcast",
    "Room 1: a bias",
    """
    start: A bias of the shape {bias.shape} is added to the {word(len(x))} rows of x.
    forward y: y = x + bias, as it should be: y[0] = {y[0]}.
    forward Multiply: Each element times its factor.
    backward Multiply: gy is the factors: {gy[0]}, then {gy[1]}, then {gy[2]}.
    backward y: gx is {gx[0]} in row 0. gbias is {gbias}; the finite difference of bias[0] is
      {fd("bias", 0)}.
    choose: gbias has the right shape and the wrong numbers. What has been forgotten? | the sum
      over the rows: only the first row's gradient is passed on | the factor of the bias, which
      should multiply gy | the minus sign | the division by the number of rows
    reveal: bias was stretched over {word(len(x))} rows, so its gradient is the sum of theirs:
      {gy.sum(0)}, not {gbias}. The code returns `gy[0]`; it should be `gy.sum(axis=0)`.
    summary: Forward, broadcasting copies without a word; backward has to add. Shapes that fit do
      not prove a gradient.
    note start: Most libraries would raise an error for a gradient of the wrong shape. This one has
      the right shape, which is worse.
    """,
    wrong=faults.AddBiasForgotten,
    right=faults.AddBias,
    differs=["bias"],
    claims=("all(gbias == gy[0])", 'abs(fd("bias", 0) - gy[:, 0].sum()) < 1e-4'),
)
def broadcast(op):
    x, bias = leaf([[1, 2], [3, 4], [5, 6]]), leaf([1, -1])
    factors = constant([[1, 2], [3, -1], [2, 2]])
    with record():
        y = op.apply(x, bias)
        loss = (y * factors).sum()
    return loss


def _normalised(op, **options):
    x = leaf([1, 3, 5, 7, 2, 2, 4, 0], (2, 1, 2, 2))
    weight, bias = leaf([2]), leaf([1])
    factors = constant(digits(7, 2, 1, 2, 2))
    with record():
        y = op.apply(x, weight, bias, training=True, **options)
        loss = (y * factors).sum()
    return loss


@exhibit(
    "museum-batchnorm",
    "Room 2: a normalisation",
    """
    start: One channel, {x.size} numbers, normalised by their own mean and variance.
    forward y: Mean zero, variance one, times {weight[0]}, plus {bias[0]}.
    forward Multiply: Each element times its factor.
    backward Multiply: gy is the factors.
    backward y: gweight and gbias agree with their finite differences, and gx adds up to
      {total(gx)}, as it should. Yet gx[0,0,0,0] = {gx[0, 0, 0, 0]}, and its finite difference is
      {fd("x", 0, 0, 0, 0)}.
    choose: gx adds up to zero, so one of the paths is right. Which one is missing? | the path
      through the variance | the path through the mean | the direct path | the factor weight / std
    reveal: gx adds up to zero because the mean is seen to. gx times xhat should add up to zero
      too; that is the path through the variance, `- xhat mean(gy xhat)`, and the code leaves it
      out.
    summary: A gradient may pass one check and fail the next. Finite differences check every
      element.
    note backward y: This fault trains, only worse. Nothing but a check finds it.
    """,
    wrong=faults.BatchNormTwoPaths,
    right=faults.BatchNormInTraining,
    differs=["x"],
    claims=("total(gx) == 0",),
)
def batchnorm(op):
    return _normalised(op)


@exhibit(
    "museum-statistics",
    "Room 3: a normalisation in training",
    """
    start: One channel, {x.size} numbers, normalised in training by their own mean and variance.
      Running statistics are kept for evaluation.
    forward y: The batch's own statistics are used, as training should.
    forward Multiply: Each element times its factor.
    backward Multiply: gy is the factors.
    backward y: gbias agrees. gweight = {gweight[0]}, and its finite difference is {fd("weight",
      0)}. gx[0,0,0,0] = {gx[0, 0, 0, 0]}, and its finite difference is {fd("x", 0, 0, 0, 0)}.
    choose: gx adds up to {total(gx)}, gweight is wrong too, gbias is right. What is wrong? |
      backward takes evaluation's statistics, forward took the batch's | only the path through the
      variance is missing | gy is summed over the wrong axes | the weight is missing as a factor
    reveal: With fixed statistics gx would be weight/std gy, and xhat would come from the running
      mean. Backward computes just that, while forward used the batch. gbias needs no statistics,
      which is why it is right.
    summary: Which gradients are right says as much as which are wrong: what the right ones do not
      use is where to look.
    note backward y: Compare with room 2: there gweight agreed.
    """,
    wrong=faults.BatchNormStale,
    right=faults.BatchNormInTraining,
    differs=["weight", "x"],
    claims=("abs(total(gx)) > 0.1",),
)
def statistics(op):
    return _normalised(op, running_mean=np.array([0.0]), running_var=np.array([1.0]))


def _convolved(op):
    x, weight = leaf(digits(6, 1, 1, 4, 4)), leaf([1, 2, 0, -1, 1, 3, 2, 0, 1], (1, 1, 3, 3))
    factors = constant(digits(8, 1, 1, 4, 4))
    window = Window((3, 3), padding=((1, 1), (1, 1)))
    with record():
        y = op.apply(x, weight, window=window)
        loss = (y * factors).sum()
    return loss


@exhibit(
    "museum-padding",
    "Room 4: a convolution",
    """
    start: An image of {x.shape[2]} by {x.shape[3]} pixels, a filter of {weight.shape[2]} by
      {weight.shape[3]}, a border of zeros around the image.
    forward y: The convolution is right: y[0,0,0,0] = {y[0, 0, 0, 0]}.
    forward Multiply: Each output times its factor.
    backward Multiply: gy is the factors.
    backward y: gweight agrees. gx does not: gx[0,0,0,0] = {gx[0, 0, 0, 0]}, its finite difference
      is {fd("x", 0, 0, 0, 0)}. Look at its neighbour: the finite difference of x[0,0,1,1] is
      {fd("x", 0, 0, 1, 1)}.
    choose: The last row of gx is {gx[0, 0, 3]}. Where is the fault? | the border is cut off one
      pixel too late, so gx is shifted | the kernel is not flipped | gx is summed over the wrong
      channels | x was overwritten
    reveal: gx[r,q] holds what belongs to x[r+1,q+1], for the padded gradient is cut in the wrong
      place. The numbers are right and stand in the wrong pixels.
    summary: Compare the finite differences with the neighbours' gradients: a shifted gradient
      shows at once.
    note backward y: Write both 4x4 tables side by side and let them find the shift.
    """,
    wrong=faults.ConvolutionShifted,
    right=faults.Convolution,
    differs=["x"],
    claims=(
        "all(gx[0, 0, 3] == 0)",
        'abs(fd("x", 0, 0, 1, 1) - gx[0, 0, 0, 0]) < 1e-4',
    ),
)
def padding(op):
    return _convolved(op)


@exhibit(
    "museum-kernel",
    "Room 5: another convolution",
    """
    start: The same image, {x.shape[2]} by {x.shape[3]}, and the same filter as in room 4:
      {weight[0, 0]}.
    forward y: The convolution is right: y[0,0,0,0] = {y[0, 0, 0, 0]}.
    forward Multiply: Each output times its factor.
    backward Multiply: gy is the factors.
    backward y: gweight agrees, gx does not: gx[0,0,1,1] = {gx[0, 0, 1, 1]}, its finite difference
      is {fd("x", 0, 0, 1, 1)}.
    choose: With a symmetric filter this fault would not show. What is it? | gx is made with the
      kernel as it stands, not flipped | the border is cut off in the wrong place | gweight is used
      instead of weight | the gradient is divided by the number of taps
    reveal: Forward, tap (i, j) carries pixel (h + i, w + j) to output (h, w). Back from output to
      pixel the same tap goes the other way, so gx is gy with the kernel turned by half a circle.
    summary: Test with values that nothing leaves alone: with a symmetric kernel this wrong
      backward would pass.
    note backward y: Ask for a kernel on which the fault is invisible: ones everywhere, for
      example.
    """,
    wrong=faults.ConvolutionUnflipped,
    right=faults.Convolution,
    differs=["x"],
    claims=("any(weight != weight[..., ::-1, ::-1])",),
)
def kernel(op):
    return _convolved(op)


ROOMS = (broadcast, batchnorm, statistics, padding, kernel)
