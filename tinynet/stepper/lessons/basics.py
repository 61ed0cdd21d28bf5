"""From one weight to a linear layer: what a gradient is and how gradients add up."""
# ruff: noqa: RET504  (the walk shows the names of variables)

import tinynet as tn
import tinynet.nn.functional as F
from tinynet.stepper.lessons.lesson import lesson
from tinynet.stepper.lessons.tensors import constant, leaf
from tinynet.stepper.recording import record

GROUP = "Gradients"
RATE, STEPS = 0.1, 5


def _descent(weight, x, target):
    with record():
        prediction = weight * x
        error = prediction - target
        loss = error * error
    return loss


def _descended(words):
    """What `SGD` makes of the weight: the loss before each of the steps."""
    weight = leaf(words.value("weight"))
    x, target = constant(words.value("x")), constant(words.value("target"))
    optimizer = tn.optim.SGD([weight], lr=RATE)
    rows = []
    for step in range(STEPS + 1):
        optimizer.zero_grad()
        loss = _descent(weight, x, target)
        loss.backward()
        rows.append((step, weight.item(), loss.item(), weight.grad.item()))
        optimizer.step()
    title = f"Gradient descent: weight = weight - {RATE} gweight, {STEPS} times"
    return title, ("step", "weight", "loss", "gweight"), rows


@lesson(
    "descent",
    "Gradient descent on one weight",
    GROUP,
    5,
    """
    aim: See why anybody wants a gradient: it says which way to move a weight, and how fast the
      loss falls.
    start: A network of one weight: it should turn x = {x} into {target}. The weight begins at
      {weight}.
    forward prediction: The prediction is weight times x: {weight} * {x} = {prediction}.
    forward error: It should have been {target}, so the error is {error}.
    forward loss: The loss is the error squared, {loss}. Smaller is better, and zero is perfect.
    seed: We could try a slightly larger weight and look. For a million weights that is a million
      trials; backward answers for all of them in one walk. It starts with {gloss}.
    ask backward loss: The loss is error * error, at error = {error}. By how much does it change
      per unit of error? | {gerror} | The slope of a square is twice the number: two times {error}.
    backward loss: error is used twice, by one Multiply, and each use sends {sent(0)}.
    backward loss again: Both uses added up: the gradient of error is {gerror}.
    backward error: A larger prediction is a larger error, one for one: {gprediction} goes on.
    ask backward prediction: What is the gradient of the weight? | {gweight} | The gradient that
      comes in, {gprediction}, times the other factor, x = {x}.
    backward prediction: gweight = gprediction * x = {gprediction} * {x} = {gweight}. Where the
      gradient is negative the loss falls as the weight grows, so the weight has to grow.
    summary: The gradient {gweight} is the slope of the loss. One step against it takes the weight
      from {weight} to {weight - rate * gweight} and the loss from {loss} to {next_loss}. Repeat
      it, and the network has learned.
    note start: Ask for the best weight first. They will say {target / x}, by division. Then ask
      how they would find it if the formula had a million weights.
    note backward prediction: Sketch the parabola, put a dot at {weight} and draw the tangent of
      slope {gweight}.
    """,
    claims=("gweight < 0", "next_loss < loss"),
    extra={
        "rate": str(RATE),
        "next_loss": "((weight - rate * gweight) * x - target) ** 2",
    },
    table=_descended,
)
def descent():
    weight, x, target = leaf(2), constant(1.5), constant(6)
    return _descent(weight, x, target)


@lesson(
    "shared",
    "A value used twice",
    GROUP,
    4,
    """
    aim: See why gradients are added: a value that is used twice changes the loss in two ways.
    start: One number, a = {a}. It will be used twice, and so will the result.
    forward b: b = a + a = {b}.
    forward c: c = b + b = {c}, the loss of this small graph.
    ask backward c: b is used twice in c. What will gb be when both uses have sent theirs? | {gb} |
      Each use sends {sent(0)}, and two of them make {gb}.
    backward c: The first use of b sends {sent(0)}. gb is not known yet: {word(uses("b"))} are to
      come, and one is here.
    backward c again: The second use sends {sent(1)}. Now gb = {sent(0)} + {sent(1)} = {gb}, and
      b's own step can be taken.
    ask backward b: And what will ga be? | {ga} | Each use of a sends gb = {gb}; there are
      {word(uses("a"))}.
    backward b: The first use of a sends gb = {gb}.
    backward b again: The second sends {gb} too, so ga = {gb} + {gb} = {ga}.
    summary: ga = {ga}, for c is {ga} times a. Gradients that come back to one value are added, and
      an op waits until all of its own are there. Nothing is forgotten or counted twice.
    note backward c: Wait here. Ask whether b's step may run now. The half-filled card is the point
      of this lesson.
    """,
    claims=("c == 4 * a", "ga == 4"),
)
def shared():
    a = leaf(3)
    with record():
        b = a + a
        c = b + b
    return c


@lesson(
    "broadcasting",
    "Broadcasting",
    GROUP,
    4,
    """
    aim: See what becomes of a tensor that was stretched forward: its gradient is summed back.
    start: x has the shape {x.shape}, the bias {bias.shape}, a row. The factors make every place of
      the result count differently.
    forward y: The bias is added to each of the {word(x.shape[0])} rows, as if it were copied. No
      copy is made.
    forward Multiply: Each element times its factor, so that the gradients below tell the places
      apart.
    backward Multiply: The gradient of y is the factors: {gy[0]} in the first row, {gy[1]} in the
      second.
    ask backward y: bias[0] was used in every row. What is gbias[0]? | {gbias[0]} | It is the sum
      of the first column of gy: {gy[:, 0]}.
    backward y: gx is gy itself, of the shape {gx.shape}. The bias has the shape {bias.shape}, so
      gy is summed over the rows: {gbias}.
    summary: Stretching forward is a sum backward. A gradient always has the shape of its tensor,
      and wherever the shapes differ there is a sum to be taken: gbias = {gbias}.
    note backward y: Write the bias {word(x.shape[0])} times on the board, once per row, and it is
      the lesson "A value used twice" again.
    """,
    claims=("gbias.shape == bias.shape", "all(gbias == gy.sum(0))"),
)
def broadcasting():
    x = leaf([[1, 2, 3], [4, 5, 6]])
    bias = leaf([10, 20, 30])
    factors = constant([[1, 2, -1], [3, 0, 2]])
    with record():
        y = x + bias
        loss = (y * factors).sum()
    return loss


@lesson(
    "linear",
    "A linear layer",
    GROUP,
    6,
    """
    aim: Follow the gradients of a linear layer, and find every transpose by the shapes alone.
    start: x has {word(x.shape[0])} rows of {word(x.shape[1])} features, the layer
      {word(weight.shape[0])} outputs: weight is {weight.shape}.
    forward y: y = x weight^T + bias. y[0,0] is row 0 of x, {x[0]}, times row 0 of weight,
      {weight[0]}, plus {bias[0]}: {y[0, 0]}.
    forward error: How far y is from the target: {error[0]} in the first row, {error[1]} in the
      second.
    forward squares: Each error times itself, so that both signs count.
    forward loss: Half of it, {loss}: then the gradient of an error is the error.
    backward Sum: All {gsquares.size} squares get {gout}.
    backward squares: error is used twice. The first use sends {sent(0)[0]} to its first row.
    backward squares again: Both together: gerror is error itself, {gerror[0]} and {gerror[1]}.
    backward error: y gets the same. The target needs no gradient.
    ask backward y: gbias[0] is a sum over the rows, for the bias was added to each. What is it? |
      {gbias[0]} | The first column of gy is {gy[:, 0]}.
    backward y: gweight = gy^T x, of the shape {gweight.shape}; gx = gy weight, of the shape
      {gx.shape}; gbias = {gbias}. weight[o,i] met every row of x, so its gradient is a sum over
      the rows.
    summary: You need not remember a transpose: gweight must be {weight.shape}, and from gy
      {gy.shape} and x {x.shape} only gy^T x has that shape.
    note backward y: Let them work out gweight[0,0] by hand: {gy[:, 0]} times {x[:, 0]} is
      {gweight[0, 0]}.
    """,
    claims=("all(gerror == error)", "all(gweight == gy.T @ x)", "all(gx == gy @ weight)"),
)
def linear():
    x = leaf([[1, 2, 0], [-1, 0, 3]])
    weight = leaf([[1, -1, 2], [0, 1, 1]])
    bias = leaf([0.5, -0.5])
    target = constant([[0, 1], [2, 2]])
    with record():
        y = F.linear(x, weight, bias)
        error = y - target
        squares = error * error
        loss = squares.sum() / 2
    return loss


LESSONS = (descent, shared, broadcasting, linear)
