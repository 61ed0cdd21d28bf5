"""The GPU against the CPU in float64: ops that have kernels, and the whole network.

Every number drawn is one of float32, so that both sides start from the same. An error is
||found - exact|| / ||exact||, over all of an array's values.
"""

import functools
from dataclasses import dataclass

import numpy as np

import mobilenet
import tinynet as tn
import tinynet.nn.functional as F
from tinynet import nn, optim
from tinynet.data import augment
from tinynet.ops.pictures import Pictures

TOLERANCE = {"float32": 1e-4, "float64": 1e-10}  # without TF32
# Through a network errors grow, and a value within rounding of a ReLU6's kink may fall on its
# other side, which changes gradients by a hundredth at once: float32 on the CPU errs as much.
NETWORK_TOLERANCE = {"float32": 1e-1, "float64": 1e-8}
SMOOTH_TOLERANCE = {"float32": 1e-3, "float64": 1e-8}  # no value is near a kink
SMALL = 1e-2  # of the largest norm: the gradients of some biases are 0 but for rounding
KINKS = (0, 6)
NEAR = 1e-3  # of a kink


def norm_error(found, exact, least=0.0):
    """||found - exact|| / ||exact||, or / least if that is more; None where anything is not a
    number, which JSON has no word for."""
    found, exact = np.asarray(found, np.float64), np.asarray(exact, np.float64)
    if found.shape != exact.shape:
        raise ValueError(f"norm_error: shapes {found.shape} and {exact.shape} differ")
    scale = max(np.linalg.norm(exact.ravel()), least) or 1.0
    error = float(np.linalg.norm((found - exact).ravel()) / scale)
    return error if np.isfinite(error) else None


def result(what, error, tolerance):
    return {
        "what": what,
        "error": error,
        "tolerance": tolerance,
        "passed": error is not None and error <= tolerance,
    }


@dataclass(frozen=True)
class Case:
    """An op and what it is tried on.

    op: a function of Tensors that gives one Tensor, or several of which the first is followed
    back. shapes: of its inputs, drawn from the normal distribution. scales, offset: what the
    inputs are multiplied by, and what is added to the first. clipped: a function of the same
    Tensors that gives what the op clips; near the kinks no gradient is sent in, for there rounding
    decides.
    """

    op: object
    shapes: tuple
    scales: tuple = ()
    offset: float = 0.0
    clipped: object = None

    def compare(self, dtype, seed):
        """One result for each output and each input's gradient."""
        rng = np.random.default_rng(seed)
        inputs = [rng.standard_normal(shape, np.float32) for shape in self.shapes]
        for array, scale in zip(inputs, self.scales, strict=False):
            array *= np.float32(scale)
        inputs[0] += np.float32(self.offset)

        exact_inputs = [tn.Tensor(array.astype(np.float64)) for array in inputs]
        gy = rng.standard_normal(self._first(exact_inputs).shape, np.float32)
        if self.clipped:
            z = self.clipped(*exact_inputs).numpy()
            gy[np.any([abs(z - kink) < NEAR for kink in KINKS], axis=0)] = 0
        exact = self._results(inputs, gy, "cpu", np.float64)
        found = self._results(inputs, gy, "cuda", dtype)
        return [
            result(what, norm_error(found[what], exact[what]), TOLERANCE[dtype]) for what in exact
        ]

    def _first(self, tensors):
        y = self.op(*tensors)
        return y[0] if isinstance(y, tuple) else y

    def _results(self, inputs, gy, device, dtype):
        def there(array):
            return tn.Tensor(array.astype(dtype)).to(device)

        tensors = [there(array).requires_grad_() for array in inputs]
        outputs = self.op(*tensors)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        outputs[0].backward(there(gy))
        arrays = {f"output {i}": y.detach() for i, y in enumerate(outputs)}
        arrays.update({f"gradient {i}": x.grad for i, x in enumerate(tensors)})
        return {what: tensor.to("cpu").numpy() for what, tensor in arrays.items()}


def convolution(x, weight, bias=False, **options):
    bias_shape = (weight[:1],) if bias else ()
    return Case(lambda *tensors: F.conv2d(*tensors, **options), (x, weight, *bias_shape))


def depthwise(N, C, H, W, stride, kernel=(3, 3), padding=1, **options):
    options = {"stride": stride, "padding": padding, "groups": C, **options}
    return convolution((N, C, H, W), (C, 1, *kernel), **options)


def batch_norm(N, C, H, W, training=True, activation=None, offset=0.0):
    def op(x, weight, bias, activation=activation):
        mean, var = (
            tn.Tensor(np.linspace(low, 2, C).astype(x.dtype)).to(x.device) for low in (-1, 0.5)
        )
        options = {"training": training, "activation": activation}
        return F.batch_norm(x, mean, var, weight, bias, **options), mean, var

    clipped = (lambda *tensors: op(*tensors, activation=None)[0]) if activation else None
    # three deviations and more: some values reach the ceiling of a ReLU6
    return Case(op, ((N, C, H, W), (C,), (C,)), (1, 3, 2), offset, clipped)


def cross_entropy(N, K, weighted=False, **options):
    def op(logits):
        rng = np.random.default_rng(N)
        labels = rng.integers(0, K, N)
        labels[: N // 8] = -100  # which count as nothing
        if weighted:
            weight = rng.random(K).astype(logits.dtype)
            options["weight"] = tn.Tensor(weight).to(logits.device)
        return F.cross_entropy(logits, tn.Tensor(labels).to(logits.device), **options)

    return Case(op, ((N, K),), (3,))


CASES = {
    "depthwise 32x32": depthwise(16, 32, 32, 32, 1),
    "depthwise 32x32, stride 2": depthwise(16, 128, 32, 32, 2),
    "depthwise 4x4": depthwise(32, 1024, 4, 4, 1),
    "depthwise 112x112": depthwise(4, 32, 112, 112, 1),
    "depthwise 112x112, stride 2": depthwise(3, 64, 112, 112, 2),
    "depthwise 7x9, stride 2": depthwise(3, 5, 7, 9, 2, bias=True),
    "depthwise 5x2, dilated": depthwise(5, 6, 14, 11, (1, 3), (5, 2), (3, 2), dilation=(2, 1)),
    "BatchNorm": batch_norm(16, 64, 16, 16),
    "BatchNorm, ReLU": batch_norm(16, 64, 16, 16, activation="relu"),
    "BatchNorm, ReLU6": batch_norm(32, 32, 32, 32, activation="relu6"),
    "BatchNorm, ReLU6, few values": batch_norm(2, 1024, 3, 3, activation="relu6"),
    "BatchNorm, far from 0": batch_norm(16, 16, 16, 16, offset=100.0),
    "BatchNorm, evaluation": batch_norm(16, 64, 16, 16, training=False),
    "BatchNorm, ReLU6, evaluation": batch_norm(16, 64, 16, 16, False, "relu6"),
    "cross-entropy, 100 classes": cross_entropy(512, 100, label_smoothing=0.1),
    "cross-entropy, 1000 classes": cross_entropy(128, 1000),
    "cross-entropy, weighted": cross_entropy(64, 10, weighted=True, reduction="sum"),
    "stem": convolution((16, 3, 32, 32), (32, 3, 3, 3), padding=1),
    "stem, 224x224": convolution((4, 3, 224, 224), (32, 3, 3, 3), stride=2, padding=1),
    "convolution in groups": convolution(
        (4, 6, 9, 10), (8, 3, 3, 2), bias=True, groups=2, dilation=2, padding=2
    ),
    "pointwise": convolution((16, 256, 16, 16), (512, 256, 1, 1)),
    "linear": Case(F.linear, ((128, 1024), (100, 1024), (100,))),
    "average of a picture": Case(lambda x: F.adaptive_avg_pool2d(x, 1), ((32, 256, 4, 4),)),
    "average pooling": Case(lambda x: F.avg_pool2d(x, 3, 2, 1), ((4, 8, 13, 10),)),
    "maximum pooling": Case(lambda x: F.max_pool2d(x, 3, 2, 1), ((4, 8, 13, 10),)),
    "ReLU6": Case(lambda x: F.relu6(x), ((16, 32, 8, 8),), (4,)),
    "softmax": Case(lambda x: F.softmax(x, 1), ((64, 100),)),
    "log-softmax": Case(lambda x: F.log_softmax(x, 1), ((64, 100),)),
}


def optimizer(dtype, seed, kind, **options):
    """Three steps on parameters of many sizes: how each has changed."""
    shapes = [(1,), (33, 7), (64, 1, 3, 3), (128, 128), (100_003,)]

    def change(device, dtype):
        rng = np.random.default_rng(seed)
        before = [rng.standard_normal(shape, np.float32) for shape in shapes]
        params = [nn.Parameter(tn.Tensor(array.astype(dtype)).to(device)) for array in before]
        groups = [{"params": params[::2], "weight_decay": 0.01}, {"params": params[1::2]}]
        optimizer = kind(groups, lr=0.1, **options)
        for _ in range(3):
            for p in params:
                gradient = rng.standard_normal(p.shape, np.float32).astype(dtype)
                p.grad = tn.Tensor(gradient).to(device)
            optimizer.step()
        after = [p.detach().to("cpu").numpy() for p in params]
        return [new - old.astype(dtype) for new, old in zip(after, before, strict=True)]

    pairs = zip(change("cuda", dtype), change("cpu", np.float64), strict=True)
    return [
        result(f"change of {found.shape}", norm_error(found, exact), TOLERANCE[dtype])
        for found, exact in pairs
    ]


def pictures(dtype, seed):
    """Batches cut from bytes that the device keeps, cropped, mirrored and normalised."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (200, 3, 32, 32), np.uint8)
    moves = *augment.draw_shifts(128, 4, rng), augment.draw_flips(128, rng)
    picked = rng.permutation(200)[:128]

    def batch(device, dtype):
        scale_and_offset = augment.scale_and_offset((0.5, 0.4, 0.3), (0.2, 0.3, 0.25), dtype)
        return tn.Tensor(Pictures(images, *scale_and_offset, device)(picked, moves)).to("cpu")

    error = norm_error(batch("cuda", dtype).numpy(), batch("cpu", np.float64).numpy())
    return [result("batch", error, TOLERANCE[dtype])]


def trained(device, dtype, seed, steps, batch, width=0.25, smooth=False):
    """MobileNetV1 after some training steps on a fixed batch.

    smooth: BatchNorm sends its values to the middle of what ReLU6 lets through, six deviations
    from either kink; otherwise its weights and biases are drawn.
    Returns: {kind: {name: array on the CPU}}, kinds: output and gradient of the last step, and
    how much the parameters (step) and the running statistics have changed.
    """
    tn.manual_seed(seed)
    rng = np.random.default_rng(seed)
    model = mobilenet.build("cifar-4x4", 100, width)
    nn.fuse_activations(model)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            C = module.num_features
            module.weight.array[...] = 0.5 if smooth else rng.uniform(0.5, 2, C)
            module.bias.array[...] = 3 if smooth else rng.uniform(-1, 2, C)
    before = {name: value.numpy().copy() for name, value in model.state_dict().items()}
    model.to(dtype).to(device)
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True)
    x = rng.standard_normal((batch, 3, 32, 32), np.float32).astype(dtype)
    x, labels = tn.Tensor(x).to(device), tn.Tensor(rng.integers(0, 100, batch)).to(device)
    for _ in range(steps):
        optimizer.zero_grad()
        logits = model(x)
        loss = F.cross_entropy(logits, labels, label_smoothing=0.1)
        loss.backward()
        optimizer.step()

    def here(tensor):
        return tensor.detach().to("cpu").numpy()

    gradients = {name: here(p.grad) for name, p in model.named_parameters()}
    changes = {"step": {}, "statistics": {}}
    for name, value in model.state_dict().items():
        kind = "step" if name in gradients else "statistics"
        changes[kind][name] = here(value) - before[name].astype(value.dtype)
    return {"output": {"logits": here(logits), "loss": here(loss)}, "gradient": gradients} | changes


def network(dtype, seed, tolerance=NETWORK_TOLERANCE, **options):
    """One training step of the whole network: the worst array of each kind."""
    options = {"steps": 1, "batch": 8, **options}
    exact = trained("cpu", np.float64, seed, **options)
    found = trained("cuda", dtype, seed, **options)
    results = []
    for kind, arrays in exact.items():
        least = SMALL * max(np.linalg.norm(array.ravel()) for array in arrays.values())
        errors = {name: norm_error(found[kind][name], arrays[name], least) for name in arrays}
        worst = max(errors, key=lambda name: np.inf if errors[name] is None else errors[name])
        results.append(result(f"{kind}, worst {worst}", errors[worst], tolerance[dtype]))
    return results


def smooth_network(dtype, seed, **options):
    return network(dtype, seed, SMOOTH_TOLERANCE, smooth=True, **options)


def flat(kinds):
    return {
        f"{kind} {name}": array for kind, named in kinds.items() for name, array in named.items()
    }


def repeated(dtype, seed, **options):
    """Two trainings with one seed: the share of arrays that do not agree bit for bit."""
    options = {"steps": 3, "batch": 64, **options}
    first, second = (flat(trained("cuda", dtype, seed, **options)) for _ in range(2))
    finite = all(np.isfinite(array).all() for array in first.values())
    differ = [what for what in first if first[what].tobytes() != second[what].tobytes()]
    share = len(differ) / len(first) if finite else None
    return [result(f"arrays that differ in two runs: {', '.join(differ) or 'none'}", share, 0)]


CHECKS = {
    **{name: case.compare for name, case in CASES.items()},
    "SGD": functools.partial(optimizer, kind=optim.SGD, momentum=0.9, nesterov=True),
    "Adam": functools.partial(optimizer, kind=optim.Adam, amsgrad=True),
    "pictures": pictures,
    "whole network": network,
    "whole network, no kinks": smooth_network,
    "bit for bit": repeated,
}


def run(name, dtype):
    """One check in 'float32' or 'float64': a list of {"what", "error", "tolerance", "passed"}."""
    return CHECKS[name](dtype, seed=list(CHECKS).index(name))
