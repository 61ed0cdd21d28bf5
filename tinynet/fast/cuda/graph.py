"""A function's launches recorded once as a CUDA graph, and replayed by one launch.

Its arrays lie in a memory pool of the graph's own: at each replay the kernels read and write where
they did when they were recorded, and nobody else may have that memory in between.
"""

import contextlib
import warnings

from tinynet import backend
from tinynet.autograd.graphed import call as plain_call

WARM_UP = 2  # calls that run as usual first: they compile and load the kernels


def call(graphed, *tensors):
    if graphed.recording is None:
        graphed.recording = Recording(graphed, tensors)
    return graphed.recording(tensors)


class Recording:
    def __init__(self, graphed, tensors):
        self.graphed, self.inputs_are = graphed, described(tensors)
        self.calls, self.graph, self.parameters_were, self.refused = 0, None, None, False

    def __call__(self, tensors):
        if self.refused or described(tensors) != self.inputs_are:
            return plain_call(self.graphed, *tensors)
        parameters = [(p.array, p.requires_grad) for p in self.graphed.parameters]
        if not self.same(parameters):  # moved or frozen since: recorded anew
            self.graph, self.parameters_were, self.calls = None, parameters, 0
        self.calls += 1
        if self.calls <= WARM_UP:
            return plain_call(self.graphed, *tensors)
        if self.graph is None:
            try:
                self.record(tensors)
            except Exception as error:  # whatever it is, without the graph it happens again or not
                self.refused = True
                self.forget()
                warnings.warn(
                    f"Graphed: works without a CUDA graph, more slowly: {error}", stacklevel=4
                )
                return plain_call(self.graphed, *tensors)
        for ours, tensor in zip(self.inputs, tensors, strict=True):
            ours.array[...] = tensor.array
        self.graph.launch()
        for p, grad in zip(self.graphed.parameters, self.gradients, strict=True):
            p.grad = grad
        return self.outputs

    def same(self, parameters):
        before = self.parameters_were
        return before is not None and all(
            array is was and needs == needed
            for (array, needs), (was, needed) in zip(parameters, before, strict=True)
        )

    def record(self, tensors):
        cuda = backend.cupy().cuda
        cuda.Device().synchronize()
        backend.cupy().get_default_memory_pool().free_all_blocks()  # what the calls before needed
        self.forget()
        self.pool, stream = cuda.MemoryPool(), cuda.Stream(non_blocking=True)
        with cuda.using_allocator(self.pool.malloc), stream:
            self.inputs = [type(t)(t.array.copy(order="K")) for t in tensors]
            stream.synchronize()
            self.outputs, self.graph = captured(stream, plain_call, self.graphed, *self.inputs)
        self.gradients = [p.grad for p in self.graphed.parameters]

    def forget(self):
        self.graph = self.pool = self.inputs = self.outputs = self.gradients = None
        for parameter in self.graphed.parameters:
            parameter.grad = None


def described(tensors):
    """What must be the same for a graph to serve: shapes, dtypes, memory order."""
    return [(t.array.shape, t.array.dtype, t.array.strides) for t in tensors]


def captured(stream, function, *arguments):
    """What a function returns whose launches are not carried out but recorded, and their graph."""
    stream.begin_capture()
    try:
        with backend.capturing():
            result = function(*arguments)
    except BaseException:
        with contextlib.suppress(Exception):  # it is of no use any more, and CUDA may say so
            stream.end_capture()
        raise
    return result, stream.end_capture()
