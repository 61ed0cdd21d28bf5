"""Convolutions and pooling."""
# ruff: noqa: RET504  (the walk shows the names of variables)

import tinynet.nn.functional as F
from tinynet.stepper.lessons.lesson import lesson
from tinynet.stepper.lessons.tensors import constant, digits, leaf
from tinynet.stepper.recording import record

GROUP = "Convolutions"


def _convolution(x_shape, weight_shape, **options):
    """Half the sum of squares of a convolution of whole numbers."""
    x, weight = leaf(digits(1, *x_shape)), leaf(digits(2, *weight_shape))
    with record():
        y = F.conv2d(x, weight, **options)
        squares = y * y
        loss = squares.sum() / 2
    return loss


SQUARES = """
    forward squares: Each output times itself.
    forward loss: Half the sum of squares, {loss}: so the gradient of y will be y itself.
    backward Sum: Each of the {gsquares.size} squares gets {gout}.
    backward squares: y is used twice by this product. One use is here.
    backward squares again: Both uses: gy is y, as promised.
"""


@lesson(
    "conv",
    "A standard convolution",
    GROUP,
    7,
    """
    aim: Follow a convolution forward and back: which outputs does a pixel reach, and which pixels
      does a weight meet?
    start: An image with {word(x.shape[1])} channels of {x.shape[2]} by {x.shape[3]} pixels, and
      {word(len(weight))} filters of the shape {weight.shape[1:]}. A border of zeros keeps the
      size.
    forward y: Each output is the sum of a patch times a filter: {weight[0].size} products.
      y[0,0,0,0] sees the corner, where part of the patch is padding: {y[0, 0, 0, 0]}.
    ask backward y: gweight[0,0,1,1], the middle tap, is the sum of x times gy over one channel.
      What is it? | {gweight[0, 0, 1, 1]} | The middle tap reads each pixel at its own place: add
      up x[0,0] times gy[0,0].
    backward y: An inner pixel was in {word(weight[0, 0].size)} patches of each of
      {word(len(weight))} outputs and gets a sum over all of them; a corner was in fewer. A weight
      gets a sum over all positions of its output channel.
    summary: Three sums over the same products: y over the patch, gx over the outputs that read a
      pixel, gweight over the positions. Seen from gx, the kernel lies turned by half a circle.
    note backward y: Open the convolution up close and choose a corner pixel, then an inner one.
      Ask for the number of outputs first.
    """
    + SQUARES,
    claims=("all(gy == y)", "abs(gweight[0, 0, 1, 1] - (x[0, 0] * gy[0, 0]).sum()) < 1e-9"),
)
def conv():
    return _convolution((1, 2, 4, 4), (2, 2, 3, 3), padding=1)


@lesson(
    "depthwise",
    "A depthwise convolution",
    GROUP,
    5,
    """
    aim: Compare a depthwise convolution with the standard one on the same sizes.
    start: The same image, {x.shape}, but the filters are {weight.shape}: one per channel.
    forward y: Each output adds up {weight[0].size} products, not {weight[0].size * x.shape[1]}: no
      sum over channels. y[0,0,0,0] = {y[0, 0, 0, 0]}.
    ask backward y: How many outputs read an inner pixel of x? | {weight[0, 0].size} | Each tap of
      its own channel's filter once, and no other channel.
    backward y: Channels do not meet, forward or back: gx of a channel comes from that channel's
      outputs alone.
    summary: Depthwise filters space and leaves channels apart. It has {weight.size} weights where
      the standard convolution has {weight.size * x.shape[1]}.
    note forward y: Ask what such a layer cannot do. It cannot mix channels; the pointwise layer
      after it does.
    """
    + SQUARES,
    claims=("all(gy == y)",),
)
def depthwise():
    return _convolution((1, 2, 4, 4), (2, 1, 3, 3), padding=1, groups=2)


@lesson(
    "depthwise-backward",
    "Depthwise backward, with numbers",
    GROUP,
    6,
    """
    aim: Work out one element of each gradient of a depthwise convolution by hand.
    start: {Word(x.shape[1])} channels of {x.shape[2]} by {x.shape[3]} pixels, filters of
      {weight.shape[2]} by {weight.shape[3]}, no padding: each channel gives {y.shape[2]} by
      {y.shape[3]} outputs.
    forward y: y[0,0,0,0] = {weight[0, 0, 0, 0]} * {x[0, 0, 0, 0]} + {weight[0, 0, 0, 1]} * {x[0,
      0, 0, 1]} + {weight[0, 0, 1, 0]} * {x[0, 0, 1, 0]} + {weight[0, 0, 1, 1]} * {x[0, 0, 1, 1]} =
      {y[0, 0, 0, 0]}.
    forward Multiply: Fixed factors, so that gy is known in advance.
    backward Multiply: gy of channel 0 is {gy[0, 0]}.
    ask backward y: The middle pixel x[0,0,1,1] is read by all {word(gy[0, 0].size)} outputs, each
      time through another tap. gx[0,0,1,1] = {weight[0, 0, 1, 1]} * {gy[0, 0, 0, 0]} + {weight[0,
      0, 1, 0]} * {gy[0, 0, 0, 1]} + {weight[0, 0, 0, 1]} * {gy[0, 0, 1, 0]} + {weight[0, 0, 0, 0]}
      * {gy[0, 0, 1, 1]} = ? | {gx[0, 0, 1, 1]} | The taps run backward while gy runs forward: the
      kernel is flipped.
    backward y: gx[0,0,1,1] = {gx[0, 0, 1, 1]}. gweight[0,0,0,0] = {x[0, 0, 0, 0]} * {gy[0, 0, 0,
      0]} + {x[0, 0, 0, 1]} * {gy[0, 0, 0, 1]} + {x[0, 0, 1, 0]} * {gy[0, 0, 1, 0]} + {x[0, 0, 1,
      1]} * {gy[0, 0, 1, 1]} = {gweight[0, 0, 0, 0]}: x correlated with gy.
    summary: gx is gy spread out by the flipped kernel, gweight is x correlated with gy, and each
      channel is for itself.
    note backward y: Let half of the room compute gx[0,0,1,1] and the other half gweight[0,0,0,0],
      then reveal.
    """,
    claims=(
        "gx[0, 0, 1, 1] == (weight[0, 0, ::-1, ::-1] * gy[0, 0]).sum()",
        "gweight[0, 0, 0, 0] == (x[0, 0, :2, :2] * gy[0, 0]).sum()",
    ),
)
def depthwise_backward():
    x, weight = leaf(digits(3, 1, 2, 3, 3)), leaf([1, 2, -1, 3, 2, 0, 1, -2], (2, 1, 2, 2))
    factors = constant([1, -1, 2, 1, 3, 1, -2, 1], (1, 2, 2, 2))
    with record():
        y = F.conv2d(x, weight, groups=2)
        loss = (y * factors).sum()
    return loss


@lesson(
    "pointwise",
    "A pointwise convolution",
    GROUP,
    5,
    """
    aim: See a 1x1 convolution as a matrix product at each pixel.
    start: {Word(x.shape[1])} channels go in, {word(len(weight))} come out: the weights are a
      matrix of {len(weight)} rows and {x.shape[1]} columns.
    forward y: At each pixel the column of channels {x[0, :, 0, 0]} meets each row of weights.
      y[0,0,0,0] = {y[0, 0, 0, 0]}.
    ask backward y: The pixel x[0,0,0,0] reaches only the outputs at its place, gy = {gy[0, :, 0,
      0]}, through the weights {weight[:, 0, 0, 0]}. What is its gradient? | {gx[0, 0, 0, 0]} | The
      dot product of the two.
    backward y: A pixel gets its gradient from one position, through a column of the weights; a
      weight gets a sum over all {gy[0, 0].size} pixels.
    summary: Pointwise mixes channels and sees no neighbours; depthwise sees neighbours and mixes
      no channels. Together they do what a standard convolution does, with far fewer products.
    note forward y: Most of MobileNet's multiply-adds are in these layers. The cost page shows it.
    """
    + SQUARES,
    claims=("all(gy == y)", "gx[0, 0, 0, 0] == (weight[:, 0, 0, 0] * gy[0, :, 0, 0]).sum()"),
)
def pointwise():
    return _convolution((1, 3, 3, 3), (2, 3, 1, 1))


@lesson(
    "pooling",
    "Pooling: mean and maximum",
    GROUP,
    4,
    """
    aim: Compare what an average and a maximum send back to the pixels they were made of.
    start: One image of {x.shape[2]} by {x.shape[3]} pixels. It is pooled twice, by windows of
      {x.shape[2] // means.shape[2]} by {x.shape[3] // means.shape[3]}.
    forward means: The mean of each window: {means[0, 0]}.
    forward largest: The largest of each window: {largest[0, 0]}.
    forward y: Both together.
    forward Multiply: Each window has a factor of its own: {factors[0, 0]}.
    backward Multiply: gy is the factors, {gy[0, 0]}.
    backward y: The sum sends it to both poolings.
    ask backward means: The window at the top left gets {gy[0, 0, 0, 0]}. How much of it does each
      of its pixels get from the mean? | {sent(0)[0, 0, 0, 0]} | {gy[0, 0, 0, 0]} / {x.size //
      means.size}: all pixels alike.
    backward means: The mean sends each pixel an equal share: {sent(0)[0, 0, 0]} in the first row.
    backward largest: The maximum sends everything to the pixel that won, and nothing to the
      others: {sent(0)[0, 0, 0]} in the first row.
    summary: An average teaches every pixel a little, a maximum teaches one of them. Added up, the
      first row of gx is {gx[0, 0, 0]}. Both pass on exactly what they were given: the shares of a
      window add up to its gy.
    note backward largest: Ask what happens if two pixels are equally large. The first one wins;
      there is a kink.
    """,
    claims=(
        "abs(gx.sum() - 2 * gy.sum()) < 1e-9",
        'uses("x") == 2',
    ),
)
def pooling():
    x = leaf([1, 2, 5, 0, 3, -1, 4, 1, 0, 1, -2, 2, 6, 2, 1, 3], (1, 1, 4, 4))
    factors = constant([4, 8, -4, 2], (1, 1, 2, 2))
    with record():
        means = F.avg_pool2d(x, 2)
        largest = F.max_pool2d(x, 2)
        y = means + largest
        loss = (y * factors).sum()
    return loss


LESSONS = (conv, depthwise, depthwise_backward, pointwise, pooling)
