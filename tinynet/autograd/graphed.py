"""A function that is called again and again: on a GPU recorded once and replayed."""

from tinynet.autograd.tape import implementation
from tinynet.autograd.tensor import Tensor


class Graphed:
    """`function`, the part of a training step that is the same every time:

        def learn(x, labels):
            loss = criterion(model(x), labels)
            loss.backward()
            return loss.detach()

        step = tn.Graphed(learn, model.parameters())
        for x, labels in batches:
            loss = step(x, labels)
            optimizer.step()

    A call forgets the gradients of `parameters`, then returns `function(*tensors)`. On a CPU that
    is all. On a GPU the third call is recorded as a CUDA graph (NVIDIA, "CUDA Programming Guide",
    the section on CUDA graphs), which every later call on tensors of the same shapes replays: one
    launch in place of hundreds, for each of which Python takes longer than the GPU for its work.
    The numbers are the same to the last bit.

    What Python decides inside `function` is decided in that one call: plain numbers, the mode of
    the layers, which ops there are. So keep outside what changes: `train()` and `eval()`, the
    optimiser with its learning rate. Random numbers and anything that moves between GPU and CPU
    (dropout, `item()`, `print`) cannot be recorded: then a warning says so, and all goes on
    without. What comes back, gradients too, lies in the same memory each time: copy what is to be
    kept beyond the next call.

    Args: function: takes Tensors; returns a Tensor or a tuple of some, without a graph. parameters:
    the tensors to whose `.grad` it adds.
    """

    def __init__(self, function, parameters):
        if not callable(function):
            raise TypeError(f"Graphed: function must be callable, got {type(function).__name__}")
        self.function, self.parameters = function, list(parameters)
        self.recording = None  # what a quicker implementation keeps from call to call

    def __call__(self, *tensors):
        for tensor in tensors:
            if not isinstance(tensor, Tensor):
                raise TypeError(f"Graphed: takes Tensors, got {type(tensor).__name__}")
        arrays = [tensor.array for tensor in tensors]
        return implementation(call, *arrays)(self, *tensors) if arrays else call(self)


def call(graphed, *tensors):
    """What a call does, recorded or not."""
    for parameter in graphed.parameters:
        parameter.grad = None
    return graphed.function(*tensors)
