"""The GPU against the CPU in float64: ops that have kernels, and the whole network.

Every number drawn is one of float32, so that both sides start from the same. An error is
||found - exact|| / ||exact||, over all of an array's values.
"""

import functools

import numpy as np

import mobilenet
import tinynet as tn
import tinynet.nn.functional as F
from tinynet import nn, optim
from tinynet.data import augment
from tinynet.data.images import Images

TOLERANCE = {"float32": 1e-4, "float64": 1e-10}  # without TF32
# Through a network errors grow, and a value within rounding of a ReLU6's kink may fall on its
# other side, which changes gradients by a hundredth at once: float32 on the CPU errs as much.
NETWORK_TOLERANCE = {"float32": 1e-1, "float64": 1e-8}
SMOOTH_TOLERANCE = {"float32": 1e-3, "float64": 1e-8}  # no value is near a kink
SMALL = 1e-2  # of the largest norm: the gradients of some biases are 0 but for rounding


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


def compared(op, *shapes, scales=(), offset=0.0):
    """A check of `op`: one result for each output and each input's gradient.

    op: a function of Tensors that gives one Tensor, or several of which the first is followed
    back. shapes: of its inputs, drawn from the normal distribution. scales, offset: what the
    inputs are multiplied by, and what is added to the first.
    """

    def check(dtype, seed):
        rng = np.random.default_rng(seed)
        inputs = [rng.standard_normal(shape, np.float32) for shape in shapes]
        for array, scale in zip(inputs, scales, strict=False):
            array *= np.float32(scale)
        inputs[0] += np.float32(offset)
        exact = values_and_gradients(op, inputs, seed, "cpu", np.float64)
        found = values_and_gradients(op, inputs, seed, "cuda", dtype)
        return [
            result(what, norm_error(found[what], exact[what]), TOLERANCE[dtype]) for what in exact
        ]

    return check


def values_and_gradients(op, inputs, seed, device, dtype):
    tensors = [tn.Tensor(array.astype(dtype)).to(device) for array in inputs]
    outputs = op(*(tensor.requires_grad_() for tensor in tensors))
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    # not the numbers of x again, of which BatchNorm lets no gradient through
    gy = np.random.default_rng((seed, 1)).standard_normal(outputs[0].shape, np.float32)
    outputs[0].backward(tn.Tensor(gy.astype(dtype)).to(device))
    arrays = {f"output {i}": y.detach() for i, y in enumerate(outputs)}
    arrays |= {f"gradient {i}": x.grad for i, x in enumerate(tensors)}
    return {what: tensor.to("cpu").numpy() for what, tensor in arrays.items()}


def convolution(x, weight, *bias, **options):
    return compared(functools.partial(F.conv2d, **options), x, weight, *bias)


def depthwise(N, C, H, W, stride, kernel=(3, 3), padding=1, **options):
    options = {"stride": stride, "padding": padding, "groups": C, **options}
    return convolution((N, C, H, W), (C, 1, *kernel), **options)


def batch_norm(N, C, H, W, training=True, offset=0.0):
    def op(x, weight, bias):
        mean, var = (
            tn.Tensor(np.linspace(low, 2, C).astype(x.dtype)).to(x.device) for low in (-1, 0.5)
        )
        return F.batch_norm(x, mean, var, weight, bias, training=training), mean, var

    return compared(op, (N, C, H, W), (C,), (C,), scales=(1, 3, 2), offset=offset)


def cross_entropy(N, K, weighted=False, **options):
    def op(logits):
        rng = np.random.default_rng(N)
        labels = rng.integers(0, K, N)
        labels[: N // 8] = -100  # which count as nothing
        if weighted:
            weight = rng.random(K).astype(logits.dtype)
            options["weight"] = tn.Tensor(weight).to(logits.device)
        return F.cross_entropy(logits, tn.Tensor(labels).to(logits.device), **options)

    return compared(op, (N, K), scales=(3,))


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
        return [p.detach().to("cpu").numpy() - old for p, old in zip(params, before, strict=True)]

    pairs = zip(change("cuda", dtype), change("cpu", np.float64), strict=True)
    return [
        result(f"change of {found.shape}", norm_error(found, exact), TOLERANCE[dtype])
        for found, exact in pairs
    ]


def images(dtype, seed):
    """Batches cut from bytes that the device keeps, cropped, mirrored and normalised."""
    rng = np.random.default_rng(seed)
    stored = rng.integers(0, 256, (200, 3, 32, 32), np.uint8)
    moves = *augment.draw_shifts(128, 4, rng), augment.draw_flips(128, rng)
    picked = rng.permutation(200)[:128]

    def batch(device, dtype):
        scale_and_offset = augment.scale_and_offset((0.5, 0.4, 0.3), (0.2, 0.3, 0.25), dtype)
        return tn.Tensor(Images(stored, *scale_and_offset, device)(picked, moves)).to("cpu")

    error = norm_error(batch("cuda", dtype).numpy(), batch("cpu", np.float64).numpy())
    return [result("batch", error, TOLERANCE[dtype])]


def trained(device, dtype, seed, steps, batch, width=0.25, smooth=False):
    """MobileNetV1 after some training steps on a fixed batch.

    smooth: BatchNorm sends its values to the middle of what ReLU6 lets through, six deviations
    from either kink; otherwise its weights and biases are drawn.
    Returns: {kind: {name: array on the CPU}}, kinds: output and gradient of the last step, and
    by how much the running statistics have changed.
    """
    tn.manual_seed(seed)
    rng = np.random.default_rng(seed)
    model = mobilenet.build("cifar-4x4", 100, width)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            C = module.num_features
            module.weight.array[...] = 0.5 if smooth else rng.uniform(0.5, 2, C)
            module.bias.array[...] = 3 if smooth else rng.uniform(-1, 2, C)
    before = {name: buffer.numpy().copy() for name, buffer in model.named_buffers()}
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

    return {
        "output": {"logits": here(logits), "loss": here(loss)},
        "gradient": {name: here(p.grad) for name, p in model.named_parameters()},
        "statistics": {name: here(now) - before[name] for name, now in model.named_buffers()},
    }


def network(dtype, seed, **options):
    """One training step of the whole network: the worst array of each kind."""
    options = {"steps": 1, "batch": 8, **options}
    tolerance = (SMOOTH_TOLERANCE if options.get("smooth") else NETWORK_TOLERANCE)[dtype]
    exact = trained("cpu", np.float64, seed, **options)
    found = trained("cuda", dtype, seed, **options)
    results = []
    for kind, arrays in exact.items():
        least = SMALL * max(np.linalg.norm(array.ravel()) for array in arrays.values())
        errors = {name: norm_error(found[kind][name], arrays[name], least) for name in arrays}
        worst = max(errors, key=lambda name: np.inf if errors[name] is None else errors[name])
        results.append(result(f"{kind}, worst {worst}", errors[worst], tolerance))
    return results


def repeated(dtype, seed, **options):
    """Two trainings with one seed: the share of arrays that do not agree bit for bit."""
    options = {"steps": 3, "batch": 64, **options}
    first, second = (
        {f"{kind} {name}": array for kind, arrays in run.items() for name, array in arrays.items()}
        for run in (trained("cuda", dtype, seed, **options) for _ in range(2))
    )
    finite = all(np.isfinite(array).all() for array in first.values())
    differ = [what for what in first if first[what].tobytes() != second[what].tobytes()]
    share = len(differ) / len(first) if finite else None
    return [result(f"arrays that differ in two runs: {', '.join(differ) or 'none'}", share, 0)]


CHECKS = {
    "depthwise 32x32": depthwise(16, 32, 32, 32, 1),
    "depthwise 32x32, stride 2": depthwise(16, 128, 32, 32, 2),
    "depthwise 4x4": depthwise(32, 1024, 4, 4, 1),
    "depthwise 112x112": depthwise(4, 32, 112, 112, 1),
    "depthwise 112x112, stride 2": depthwise(3, 64, 112, 112, 2),
    "depthwise 7x9, stride 2": convolution(
        *((3, 5, 7, 9), (5, 1, 3, 3), (5,)), stride=2, padding=1, groups=5
    ),
    "depthwise 5x2, dilated": depthwise(5, 6, 14, 11, (1, 3), (5, 2), (3, 2), dilation=(2, 1)),
    "BatchNorm": batch_norm(16, 64, 16, 16),
    "BatchNorm, many values": batch_norm(32, 32, 32, 32),
    "BatchNorm, few values": batch_norm(2, 1024, 3, 3),
    "BatchNorm, far from 0": batch_norm(16, 16, 16, 16, offset=100.0),
    "BatchNorm, evaluation": batch_norm(16, 64, 16, 16, training=False),
    "cross-entropy, 100 classes": cross_entropy(512, 100, label_smoothing=0.1),
    "cross-entropy, 1000 classes": cross_entropy(128, 1000),
    "cross-entropy, weighted": cross_entropy(64, 10, weighted=True, reduction="sum"),
    "stem": convolution((16, 3, 32, 32), (32, 3, 3, 3), padding=1),
    "stem, 224x224": convolution((4, 3, 224, 224), (32, 3, 3, 3), stride=2, padding=1),
    "convolution in groups": convolution(
        *((4, 6, 9, 10), (8, 3, 3, 2), (8,)), groups=2, dilation=2, padding=2
    ),
    "pointwise": convolution((16, 256, 16, 16), (512, 256, 1, 1)),
    "linear": compared(F.linear, (128, 1024), (100, 1024), (100,)),
    "average of an image": compared(lambda x: F.adaptive_avg_pool2d(x, 1), (32, 256, 4, 4)),
    "average pooling": compared(lambda x: F.avg_pool2d(x, 3, 2, 1), (4, 8, 13, 10)),
    "maximum pooling": compared(lambda x: F.max_pool2d(x, 3, 2, 1), (4, 8, 13, 10)),
    "ReLU6": compared(F.relu6, (16, 32, 8, 8), scales=(4,)),
    "softmax": compared(lambda x: F.softmax(x, 1), (64, 100)),
    "log-softmax": compared(lambda x: F.log_softmax(x, 1), (64, 100)),
    "SGD": functools.partial(optimizer, kind=optim.SGD, momentum=0.9, nesterov=True),
    "Adam": functools.partial(optimizer, kind=optim.Adam, amsgrad=True),
    "images": images,
    "whole network": network,
    "whole network, no kinks": functools.partial(network, smooth=True),
    "bit for bit": repeated,
}


def run(name, dtype):
    """One check in 'float32' or 'float64': a list of {"what", "error", "tolerance", "passed"}."""
    return CHECKS[name](dtype, seed=list(CHECKS).index(name))
