"""What is said of an op where the lesson says nothing of its own."""

from tinynet.stepper.lessons.lesson import sections

COMMON = sections("""
start: The inputs and the weights are given. Nothing is computed yet.
seed: Now backward. The question is always the same: if this number grew a little, how would the
  loss change? For the loss itself the answer is {gout}.
forward Sum: Sum adds up all {arg(0).size} numbers to one: {out}.
backward Sum: Each number counts once in the sum, so each of the {arg(0).size} gets {gout}.
forward AdaptiveAveragePool2d: The mean over all pixels of each channel: {out.shape} is left.
backward AdaptiveAveragePool2d: Each pixel of a channel gets an equal share of what comes in.
forward Mean: The mean of {arg(0).size} numbers: {out}.
backward Mean: A mean divides by how many there are, so each of the {arg(0).size} numbers gets
  {gout} / {arg(0).size} = {sent(0).flat[0]}.
forward Divide: Divide by a fixed number: {out}.
backward Divide: What was divided forward is divided backward: the gradient that goes on is
  {sent(0).flat[0]}.
forward Multiply: Each number times the one beside it.
backward Multiply: The gradient of one factor is what comes in times the other factor.
forward Add: Add, element by element.
backward Add: A sum passes its gradient on to both sides unchanged.
forward Subtract: The difference, element by element.
backward Subtract: The first gets the gradient as it is, the second its negative.
forward ReLU: max(x, 0): {(arg(0) > 0).sum()} of {arg(0).size} numbers are positive and pass.
backward ReLU: The gradient passes where x was positive, {(arg(0) > 0).sum()} of {arg(0).size}
  places, and is stopped elsewhere.
forward ReLU6: ReLU6 cuts off below zero and above six: {((arg(0) > 0) & (arg(0) < 6)).sum()} of
  {arg(0).size} numbers pass.
backward ReLU6: The gradient passes at {((arg(0) > 0) & (arg(0) < 6)).sum()} of {arg(0).size}
  places, where x lay strictly between the kinks.
forward Linear: A linear layer: each output is a dot product of the input with one row of weights,
  and a bias. {arg(0).shape} becomes {out.shape}.
backward Linear: Three gradients leave: of the input, of the weights, of the bias; each has the
  shape of its tensor.
forward SoftmaxCrossEntropy: Softmax turns each row of logits into probabilities; the loss of a row
  is minus the logarithm of the right class's.
backward SoftmaxCrossEntropy: Each logit gets its probability, less one if its class is right,
  times what comes in.
forward BatchNorm: Each channel is shifted to mean zero and scaled to variance one, then times its
  weight, plus its bias.
backward BatchNorm: The gradient of x is centred in each channel and made orthogonal to xhat (but
  for eps): a direction that normalisation removes gets none.
forward Conv2d: A convolution: {arg(0).shape} becomes {out.shape}. Each output adds up
  {arg(1)[0].size} products.
backward Conv2d: What goes back has the shapes of what came in: {arg(1).shape} to the weights.
forward DepthwiseConv2d: One filter per channel: each output adds up {arg(1)[0].size} products, all
  from its own channel.
backward DepthwiseConv2d: Channel by channel, the gradient goes back to the weights {arg(1).shape}
  and to the pixels that were read.
forward Reshape: The same numbers in another shape, {out.shape}.
backward Reshape: The gradient takes the shape back: {arg(0).shape}.
""")
