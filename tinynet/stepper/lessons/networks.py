"""Blocks and whole networks: a shortcut, MobileNet's separable block, MobileNetV1."""
# ruff: noqa: RET504  (the walk shows the names of variables)

import numpy as np

import tinynet as tn
import tinynet.nn as nn
import tinynet.nn.functional as F
from tinynet.stepper.lessons.lesson import lesson
from tinynet.stepper.lessons.tensors import constant, digits, leaf
from tinynet.stepper.recording import record

GROUP = "Networks"


@lesson(
    "residual",
    "A shortcut",
    GROUP,
    4,
    """
    aim: See why a shortcut helps: x is shared by two paths, and one of them lets the gradient
      through unchanged.
    start: x = {x[0]} in row 0. The weights of the branch are small, as at the start of training.
    forward Linear: The branch: a linear layer makes {out[0]} in row 0.
    forward branch: ReLU keeps what is positive: {branch[0]} in row 0.
    forward y: The shortcut adds x itself: {y[0]}.
    forward Multiply: Each element times its factor.
    backward Multiply: gy is the factors, {gy[0]} in row 0.
    backward y: The sum sends gy both ways. Down the shortcut it reaches x at once, but gx is not
      known yet: the branch will send its part.
    backward branch: In the branch ReLU stops what was not positive: {sent(0)[0]} is left of row 0.
    ask backward Linear: The shortcut has sent {gy[0, 0]} to x[0,0]; the branch sends {sent(0)[0,
      0]}. What is gx[0,0]? | {gx[0, 0]} | Both uses of x are added.
    backward Linear: The branch's part of gx[0] is small, {sent(0)[0]}; with the shortcut's, gx[0]
      is {gx[0]}.
    summary: Without the shortcut x[0] would get {branch_part[0]}, with it {gx[0]}. However many
      such blocks follow each other, gy is always among the summands.
    note backward y: Ask what gx would be if the branch's weights were all zero: gy, exactly.
    """,
    claims=(
        "abs(weight).max() < 0.3",
        "abs(branch_part[0]).max() < abs(gx[0]).max() / 2",
        "abs(branch_part).max() < abs(gx).max()",
        'uses("x") == 2',
    ),
    extra={"branch_part": 'sent_by("Linear", 0)'},
)
def residual():
    x = leaf([[1, -1, 2], [0, 2, -1]])
    weight = leaf([[0.1, -0.1, 0.1], [-0.1, 0, 0.1], [0, 0.1, -0.1]])
    factors = constant([[2, 1, -1], [1, -1, 3]])
    with record():
        branch = F.relu(F.linear(x, weight))
        y = x + branch
        loss = (y * factors).sum()
    return loss


@lesson(
    "separable",
    "A separable block",
    GROUP,
    8,
    """
    aim: Follow a gradient through the block that MobileNet is built from.
    start: {Word(len(x))} images of the shape {x.shape[1:]}. A depthwise convolution filters, a
      pointwise one combines, each followed by BatchNorm and ReLU6.
    forward y: The second ReLU6 ends the block: {((arg(0) > 0) & (arg(0) < 6)).sum()} of {y.size}
      numbers pass unchanged.
    forward Multiply: The factors stand for all that would come after the block.
    backward y: Only where the number was between the kinks does the gradient pass: {(sent(0) !=
      0).sum()} of {y.size} places keep a gradient other than zero.
    backward depthwise.0: The depthwise filters get their gradients channel by channel; the largest
      element of gx is {abs(sent(0)).max()}.
    ask backward pointwise.0: How many numbers does the gradient of the pointwise weights have? |
      {arg(1).size} | It has the shape of the weights, {arg(1).shape}.
    backward pointwise.0: The pointwise weights, {arg(1).shape}, get a sum over all pixels of both
      images.
    summary: ReLU6 stops part of the gradient, BatchNorm centres the rest, the convolutions pass it
      on. Neither convolution has a bias: the BatchNorm after it would subtract it again.
    note start: The depthwise filters have {value("depthwise.0.weight").size} weights here, the
      pointwise ones {value("pointwise.0.weight").size}. Ask from how many output channels on it is
      the other way round.
    """,
)
def separable():
    tn.manual_seed(0)
    block = nn.Sequential()
    block.add_module("depthwise", _unit(2, 2, 3, padding=1, groups=2))
    block.add_module("pointwise", _unit(2, 3, 1))
    block.to(np.float64)
    x = leaf(digits(4, 2, 2, 4, 4))
    factors = constant(digits(5, 2, 3, 4, 4))
    with record():
        y = block(x)
        loss = (y * factors).sum()
    return loss


def _unit(in_channels, out_channels, kernel, **options):
    conv = nn.Conv2d(in_channels, out_channels, kernel, bias=False, **options)
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels), nn.ReLU6())


@lesson(
    "mobilenet",
    "A whole MobileNetV1",
    GROUP,
    10,
    """
    aim: Recognise every op of a whole network: there is nothing in it that you have not met.
    start: MobileNetV1, a tenth as wide, on {word(len(images))} images of {images.shape[2]} by
      {images.shape[3]} pixels: a stem, a row of separable blocks, a mean over the pixels, a linear
      layer.
    forward logits: The linear layer gives each image {logits.shape[1]} logits.
    forward loss: The mean loss of the {word(len(images))} images is {loss}.
    ask backward logits: How many gradients leave the linear layer? | {sum([sent(i) is not None for
      i in (0, 1, 2)])} | Those of its input, its weights and its bias.
    backward logits: From here the shapes grow back: {arg(0).shape} goes on.
    summary: Each step needed only what its own op had saved. The gradients came from
      {logits.shape} back to the stem, and every parameter has one: that is all that an optimiser
      needs.
    note start: Fold all modules, play the forward pass, then unfold one block only.
    """,
)
def mobilenet_v1():
    import mobilenet  # which lies in the checkout and is not installed

    tn.manual_seed(0)
    model = mobilenet.build("cifar-2x2", num_classes=10, width=0.1)
    model.to(np.float64)
    images = constant(np.random.default_rng(0).standard_normal((2, 3, 32, 32)))
    labels = tn.Tensor(np.array([3, 8]))
    with record():
        logits = model(images)
        loss = F.cross_entropy(logits, labels)
    return loss


LESSONS = (residual, separable, mobilenet_v1)
