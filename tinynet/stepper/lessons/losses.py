"""Losses and training: cross-entropy, softmax twice, a training step."""
# ruff: noqa: RET504  (the walk shows the names of variables)

import numpy as np

import tinynet as tn
import tinynet.nn.functional as F
from tinynet.stepper.lessons.lesson import lesson
from tinynet.stepper.lessons.tensors import constant, leaf
from tinynet.stepper.lessons.words import softmax
from tinynet.stepper.recording import record

GROUP = "Losses and training"
RATE = 0.5


@lesson(
    "cross-entropy",
    "Softmax cross-entropy",
    GROUP,
    5,
    """
    aim: Read the gradient of a classifier's logits: softmax minus one-hot, over the number of
      rows.
    start: Two rows of logits: {logits[0]}, whose label is {labels[0]}, and {logits[1]}, whose
      label is {labels[1]}.
    forward SoftmaxCrossEntropy: Softmax makes probabilities: {p[0]} and {p[1]}. The right classes
      get {p[0, 0]} and {p[1, 2]}, so the losses are {out}.
    forward loss: The mean over the {word(len(logits))} rows: {loss}.
    backward loss: The mean divides by the number of rows: {sent(0)} goes on to each of them.
    ask backward SoftmaxCrossEntropy: The right class of row 1 has the probability {p[1, 2]}. What
      is its gradient? | {glogits[1, 2]} | Its probability less one, over {len(logits)}: ({p[1, 2]}
      - one) / {len(logits)}.
    backward SoftmaxCrossEntropy: Row 1 is confidently wrong: {glogits[1]}. Row 0 is nearly right:
      {glogits[0]}. The gradient pushes the right logit up and the others down, and each row adds
      up to {total(glogits[0])}.
    summary: glogits = (softmax - one-hot) / rows. No element is larger than 1/{len(logits)}, and
      where the network is right it is small by itself.
    note backward SoftmaxCrossEntropy: Ask what a perfect prediction would send back. Then ask why
      the row adds up to zero: adding a constant to all logits changes no probability.
    """,
    claims=(
        "labels[0] == 0 and labels[1] == 2",
        "p[0, 0] > 0.7 and p[1, 2] < 0.1",
        "abs(glogits).max() < 1 / len(logits)",
        "abs(glogits[1]).max() > abs(glogits[0]).max()",
        "total(glogits[0]) == 0",
        "abs(glogits[1, 2] - (p[1, 2] - 1) / len(logits)) < 1e-12",
    ),
    extra={"p": "softmax(logits)"},
)
def cross_entropy():
    logits = leaf([[3, 0, 1], [4, -1, 0]])
    labels = tn.Tensor(np.array([0, 2]))
    with record():
        loss = F.cross_entropy(logits, labels)
    return loss


def _both(words):
    right, logits = words.evaluated("right"), words.value("logits")
    title = "The gradient of the logits, with one softmax and with two"
    rows = [
        (f"[{r},{k}]", logits[r, k], right[r, k], words.grad("logits")[r, k])
        for r, k in np.ndindex(logits.shape)
    ]
    return title, ("element", "logit", "one softmax", "two"), rows


@lesson(
    "double-softmax",
    "Softmax twice",
    GROUP,
    5,
    """
    aim: See a common fault by its numbers: a softmax in the model and another in the loss. Nothing
      fails, and almost nothing is learned.
    start: The logits of row 0, {logits[0]}, are nearly right; those of row 1, {logits[1]}, are
      confidently wrong.
    forward probabilities: The model ends in a softmax, because probabilities look like the right
      answer: {probabilities[1]} in row 1.
    forward SoftmaxCrossEntropy: The loss applies softmax again, to numbers between zero and one.
      Even for a perfect row, one at the label and zero elsewhere, it says {exp(1) / (exp(1) + 2)}
      only.
    forward loss: The loss is {loss}. With one softmax it would be {right_loss}.
    backward loss: The mean sends {sent(0)} to each row, as always.
    backward SoftmaxCrossEntropy: So far nothing is odd: row 1 gets {gprobabilities[1]}.
    ask backward probabilities: With one softmax the gradient of logits[1,2] is {right[1, 2]}. What
      is it with two? | {glogits[1, 2]} | The first softmax multiplies by the probability, {p[1,
      2]}.
    backward probabilities: The first softmax is saturated in row 1: logits[1,2] gets {glogits[1,
      2]}, which is {abs(right[1, 2] / glogits[1, 2])} times smaller than with one softmax. The
      wronger the network, the less it learns.
    summary: The largest gradient is {abs(glogits).max()} instead of {abs(right).max()}. A loss
      that is called cross-entropy takes logits; leave the softmax out of the model.
    note start: Have them guess the accuracy after an epoch before you show the gradient. It does
      train, slowly, which is why nobody notices.
    """,
    claims=(
        "abs(right[1, 2] / glogits[1, 2]) > 20",
        "abs(glogits).max() < abs(right).max() / 5",
        "p[1, 2] < 0.05 and p[0, 0] > 0.7",
        "labels[0] == 0 and labels[1] == 2",
    ),
    extra={
        "p": "softmax(logits)",
        "right": "(p - one_hot(labels, 3)) / len(logits)",
        "right_loss": "-(log(p[0, labels[0]]) + log(p[1, labels[1]])) / len(logits)",
    },
    table=_both,
)
def double_softmax():
    logits = leaf([[3, 0, 1], [4, -1, 0]])
    labels = tn.Tensor(np.array([0, 2]))
    with record():
        probabilities = F.softmax(logits, dim=1)
        loss = F.cross_entropy(probabilities, labels)
    return loss


LABELS = (0, 1, 1)


def _classified(x, weight, bias):
    labels = tn.Tensor(np.array(LABELS))
    with record():
        logits = F.linear(x, weight, bias)
        loss = F.cross_entropy(logits, labels)
    return logits, loss


def _before_and_after(words):
    """The loss, the labels' probabilities and the parameters, before and after a step of `SGD`."""
    x, weight, bias = constant(words.value("x")), *map(leaf, map(words.value, ("weight", "bias")))
    optimizer = tn.optim.SGD([weight, bias], lr=RATE)
    sides = []
    for _ in range(2):
        logits, loss = _classified(x, weight, bias)
        p = softmax(logits.array)
        arrays = {"weight": weight.array.copy(), "bias": bias.array.copy()}
        sides.append({"loss": loss.item(), "p": [p[r, k] for r, k in enumerate(LABELS)], **arrays})
        loss.backward()
        optimizer.step()
    before, after = sides
    rows = [("loss", before["loss"], after["loss"])]
    for r in range(len(LABELS)):
        rows.append((f"probability of image {r}'s label", before["p"][r], after["p"][r]))
    for name in ("weight", "bias"):
        for index in np.ndindex(before[name].shape):
            at = ",".join(map(str, index))
            rows.append((f"{name}[{at}]", before[name][index], after[name][index]))
    return f"One step of SGD, lr = {RATE}", ("", "before", "after"), rows


@lesson(
    "training-step",
    "A training step, before and after",
    GROUP,
    6,
    """
    aim: Take one whole training step: forward, backward, update; and look at the same batch again.
    start: A batch of {word(len(x))} images with {word(x.shape[1])} features each, two classes,
      labels {labels}. The weights are small and arbitrary.
    forward logits: The layer gives each image a number per class: {logits[0]} for the first.
    forward SoftmaxCrossEntropy: The labels' probabilities are {p[0, 0]}, {p[1, 1]} and {p[2, 1]}:
      it is guessing.
    forward loss: The mean loss is {loss}.
    backward loss: Each image counts 1/{len(x)}.
    backward SoftmaxCrossEntropy: glogits is softmax minus one-hot over {len(x)}: {glogits[0]} for
      the first image, whose label is {labels[0]}.
    ask backward logits: The update is weight - {rate} gweight. gweight[0,0] will be {gweight[0,
      0]}. Where does weight[0,0] = {weight[0, 0]} go? | {new_weight[0, 0]} | {weight[0, 0]} -
      {rate} * {gweight[0, 0]}.
    backward logits: Every weight has its slope now: gweight[0] is {gweight[0]}. The update moves
      all of them at once, each against its own slope.
    summary: After the step the same batch has the loss {new_loss} instead of {loss}. That is
      all of training: this, again and again, on other images.
    note backward logits: The loop is five lines: zero_grad, forward, loss, backward, step. Let
      them name the line that each part of the page belongs to.
    """,
    claims=(
        "new_loss < loss",
        "labels[0] == 0 and labels[1] == 1 and labels[2] == 1",
        "abs(p - 0.5).max() < 0.2",
        "new_p[0, 0] > p[0, 0] and new_p[1, 1] > p[1, 1] and new_p[2, 1] > p[2, 1]",
    ),
    extra={
        "rate": str(RATE),
        "p": "softmax(logits)",
        "new_weight": "weight - rate * gweight",
        "new_bias": "bias - rate * gbias",
        "new_p": "softmax(x @ new_weight.T + new_bias)",
        "new_loss": "-(log(new_p[0, 0]) + log(new_p[1, 1]) + log(new_p[2, 1])) / len(x)",
    },
    table=_before_and_after,
)
def training_step():
    x = constant([[1, 0, 2], [-1, 1, 0], [0, 2, -1]])
    weight = leaf([[0.1, -0.2, 0.0], [0.0, 0.1, 0.2]])
    bias = leaf([0, 0])
    _, loss = _classified(x, weight, bias)
    return loss


LESSONS = (cross_entropy, double_softmax, training_step)
