"""What happens to gradients in deep networks: kinks, dead units, chains, normalisation."""
# ruff: noqa: RET504  (the walk shows the names of variables)

import tinynet.nn.functional as F
from tinynet.stepper.lessons.lesson import lesson
from tinynet.stepper.lessons.tensors import constant, digits, leaf
from tinynet.stepper.recording import record

GROUP = "Depth"


@lesson(
    "relu6",
    "ReLU6 at its kinks",
    GROUP,
    4,
    """
    aim: See where ReLU6 lets a gradient pass, and what a derivative is at a kink.
    start: x = {x}: below zero, at zero, between, at six and above it. The factors {factors} tell
      the places apart.
    forward y: Below zero becomes {y[0]}, above six becomes {y[5]}: y = {y}.
    forward Multiply: Each y times its factor.
    backward Multiply: gy is the factors: {gy}.
    ask backward y: x[3] = {x[3]} lies between the kinks, and gy[3] = {gy[3]}. What is gx[3]? |
      {gx[3]} | Between the kinks y = x, so the slope is one.
    backward y: gx = {gx}. At x[1] = {x[1]} there is no derivative: the slope to the left is zero,
      to the right {factors[1]}. The op takes zero at both kinks, as torch does.
    summary: Where ReLU6 cuts off, nothing comes back: {(gx == 0).sum()} of {x.size} places here.
      At a kink a finite difference finds the mean of two slopes, {fd("x", 1)}, and is no check.
    note backward y: Show the finite difference at x[1]. The page marks a kink instead of a fault:
      ask why.
    """,
    claims=(
        "x[0] < 0 and x[1] == 0 and 0 < x[2] < 6 and 0 < x[3] < 6 and x[4] == 6 and x[5] > 6",
        "gx[1] == 0 and gx[4] == 0",
        "gx[2] == factors[2] and gx[3] == factors[3]",
    ),
)
def relu6():
    x = leaf([-2, 0, 1, 5, 6, 8])
    factors = constant([1, 2, 3, 4, 5, 6])
    with record():
        y = F.relu6(x)
        loss = (y * factors).sum()
    return loss


@lesson(
    "dying-relu",
    "A dead ReLU",
    GROUP,
    4,
    """
    aim: Tell a unit that is inactive for one image from a unit that is dead for all of them.
    start: {Word(len(x))} images, {word(len(weight))} units. The second unit's bias is {bias[1]}:
      one step with too large a learning rate can do that.
    forward before: The sums before ReLU: the first unit has {before[:, 0]}, the second {before[:,
      1]}.
    forward hidden: ReLU makes {hidden[:, 0]} and {hidden[:, 1]}. The first unit is inactive for
      {(hidden[:, 0] == 0).sum()} of the images, the second for all {len(x)}.
    forward Multiply: Each times its factor.
    backward Multiply: Both units are asked to change: ghidden is {ghidden[:, 0]} and {ghidden[:,
      1]}.
    backward hidden: ReLU stops what comes to inactive places. Of the second unit nothing is left:
      {gbefore[:, 1]}.
    ask backward before: What is the gradient of the dead unit's bias? | {gbias[1]} | It is the sum
      of gbefore over the images, and all of these are {gbefore[0, 1]}.
    backward before: gweight is {gweight[0]} for the living unit and {gweight[1]} for the dead one.
      The next step does not move it, nor the one after.
    summary: A unit that is inactive for one image learns from the others. A unit that is inactive
      for every image gets the gradient {gbias[1]}, exactly, and stays as it is. Smaller learning
      rates and BatchNorm before ReLU make it rare.
    note forward hidden: Ask which of the two units is dead. The word is for the column, not for
      the element.
    """,
    claims=(
        "all(gweight[1] == 0) and gbias[1] == 0",
        "any(gweight[0] != 0)",
        "0 < (hidden[:, 0] == 0).sum() < len(x)",
        "all(before != 0)",
        "all(ghidden[:, 1] != 0)",
    ),
)
def dying_relu():
    x = constant([[1, 2], [-2, 1], [-1, -1], [2, 0]])
    weight = leaf([[1, 0.5], [0.5, -1]])
    bias = leaf([0.5, -8])
    factors = constant([[1, 1], [2, -1], [1, 2], [3, 1]])
    with record():
        before = F.linear(x, weight, bias)
        hidden = F.relu(before)
        loss = (hidden * factors).sum()
    return loss


CHAIN = 5


def _by_layer(words):
    rows = []
    for layer in range(CHAIN, 0, -1):
        names = f"small{layer}", f"large{layer}"
        rows.append((str(layer), *(words.grad(name) for name in names)))
    rows.append(("x", words.evaluated("sent_small"), words.evaluated("sent_large")))
    return "The gradient, layer by layer", ("layer", "sigmoids", "factors"), rows


@lesson(
    "vanishing",
    "Exploding and vanishing gradients",
    GROUP,
    5,
    """
    aim: See what a long chain does to a gradient: slopes are multiplied, and the product grows or
      shrinks with every layer.
    start: x = {x} goes into two chains of {len(layers)} layers: sigmoids, and products with
      {factor}.
    forward small1, small2, small3, small4, small5: A sigmoid squeezes any number between zero and
      one: {out}.
    forward large1, large2, large3, large4, large5: The number times {factor}: {out}.
    forward loss: The loss adds both ends: {small5} + {large5}.
    backward loss: Both chains start with the same gradient, {gout}.
    backward small5, small4, small3, small2, small1: The slope of a sigmoid is `y (1 - y)`, here
      {out * (1 - out)}; it is never above a quarter. {gout} comes in, {sent(0)} goes on.
    backward large5, large4, large3, large2: Times {factor} on the way back too: {gout} comes in,
      {sent(0)} goes on.
    ask backward large1: After {len(layers)} factors of {factor}, what reaches x through this
      chain? | {sent(0)} | {factor} to the power of {len(layers)}.
    backward large1: {sent(0)} reaches x: the gradient has exploded.
    summary: The same x gets {sent_small} through the sigmoids and {sent_large} through the
      factors. One is too small to learn from, the other too large to step with. ReLU, BatchNorm
      and shortcuts keep the slopes near one.
    note start: Ask for a quarter to the power of ten before you begin; then for MobileNet's depth.
    """,
    claims=(
        "abs(sent_small) < 0.01 and sent_large > 100",
        "abs(sent_large - factor ** len(layers)) < 1e-9",
    ),
    extra={
        "layers": str(list(range(CHAIN))),
        "sent_small": 'sent_by("small1", 0)',
        "sent_large": 'sent_by("large1", 0)',
    },
    table=_by_layer,
)
def vanishing():
    x, factor = leaf(0.5), constant(3)
    with record():
        small1 = F.sigmoid(x)
        small2 = F.sigmoid(small1)
        small3 = F.sigmoid(small2)
        small4 = F.sigmoid(small3)
        small5 = F.sigmoid(small4)
        large1 = x * factor
        large2 = large1 * factor
        large3 = large2 * factor
        large4 = large3 * factor
        large5 = large4 * factor
        loss = small5 + large5
    return loss


@lesson(
    "batchnorm",
    "BatchNorm's three paths",
    GROUP,
    8,
    """
    aim: Find the three ways in which one number of a batch moves the others, and the gradient that
      is left when all three are added.
    start: x is {x.shape}: {word(x.shape[1])} channels, each with {x[:, 0].size} numbers in the
      batch.
    forward y: Each channel gets its mean subtracted ({mean}) and is divided by its deviation
      ({std}); then times weight, plus bias.
    forward Multiply: The factors make every place count differently. Without them the loss would
      be the sum of the bias, whatever x is.
    backward Multiply: gy is the factors. In channel 0 they have the mean {gy[:, 0].mean()}.
    ask backward y: gx in channel 0 has {gx[:, 0].size} elements. What do they add up to? |
      {total(gx[:, 0])} | Adding a constant to the whole channel changes nothing, so its slope is
      zero.
    backward y: Each x moves every y of its channel directly, through the mean and through the
      variance. The three are added: gx adds up to {total(gx[:, 0])} in channel 0, and gx times
      xhat comes to {total(gx[:, 0] * xhat0)}, which only the eps under the root keeps from being
      zero.
    summary: Leave out one of the paths and the gradient points in a direction that normalisation
      removes. weight and bias have simple gradients: sums over the channel, {gweight} and {gbias}.
    note backward y: Open the three paths and cover the third. The museum's second room is that
      fault.
    """,
    claims=("total(gx[:, 0]) == 0", "abs(total(gx[:, 0] * xhat0)) < 1e-3"),
    extra={
        "mean": "x.mean((0, 2, 3))",
        "std": "x.var((0, 2, 3)) ** 0.5",
        "xhat0": "(x[:, 0] - mean[0]) / std[0]",
    },
)
def batchnorm():
    x = leaf([1, 3, 5, 7, 2, 2, 4, 0, -1, 1, 3, 5, 4, 6, 8, 6], (2, 2, 2, 2))
    weight = leaf([2, 1])
    bias = leaf([0, 1])
    factors = constant(digits(7, 2, 2, 2, 2))
    with record():
        y = F.batch_norm(x, None, None, weight, bias, training=True)
        loss = (y * factors).sum()
    return loss


LESSONS = (relu6, dying_relu, vanishing, batchnorm)
