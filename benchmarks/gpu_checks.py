"""The GPU against the CPU in float64: ops at the sizes of the rows, and the whole network.

The tests check every op in more ways, and do so on a GPU where there is one; these need no tests
and no PyTorch. Every number drawn is one of float32, so that both sides start from the same.
"""

import functools

import numpy as np

import mobilenet
import tinynet as tn
import tinynet.nn.functional as F
from tinynet import nn, optim

TOLERANCE = {"float32": 1e-4, "float64": 1e-10}  # without TF32
NETWORK_TOLERANCE = {"float32": 1e-3, "float64": 1e-8}  # through a network errors grow
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
    passed = error is not None and error <= tolerance
    return {"what": what, "error": error, "tolerance": tolerance, "passed": passed}


def compared(op, *shapes, **options):
    """A check of `op`, a function of Tensors that gives one: a result for the output and for the
    gradient of each input. Inputs of these shapes are drawn from the normal distribution."""
    op = functools.partial(op, **options)

    def check(dtype, seed):
        rng = np.random.default_rng(seed)
        inputs = [rng.standard_normal(shape, np.float32) for shape in shapes]
        exact = values_and_gradients(op, inputs, seed, "cpu", np.float64)
        found = values_and_gradients(op, inputs, seed, "cuda", dtype)
        return [
            result(what, norm_error(found[what], exact[what]), TOLERANCE[dtype]) for what in exact
        ]

    return check


def values_and_gradients(op, inputs, seed, device, dtype):
    tensors = [tn.Tensor(array.astype(dtype)).to(device).requires_grad_() for array in inputs]
    y = op(*tensors)
    # not the numbers of x again, of which BatchNorm lets no gradient through
    gy = np.random.default_rng((seed, 1)).standard_normal(y.shape, np.float32)
    y.backward(tn.Tensor(gy.astype(dtype)).to(device))
    return {"output": here(y)} | {f"gradient {i}": here(x.grad) for i, x in enumerate(tensors)}


def here(tensor):
    """A copy of a Tensor's values, on the CPU."""
    return np.array(tensor.detach().to("cpu").numpy())


def depthwise(N, C, H, W, stride):
    return compared(F.conv2d, (N, C, H, W), (C, 1, 3, 3), stride=stride, padding=1, groups=C)


def batch_norm(x, weight, bias, mean=0.0):
    return F.batch_norm(x + mean, None, None, weight, bias, training=True)


def cross_entropy(logits):
    N, K = logits.shape
    labels = np.where(np.arange(N) % 8, np.arange(N) % K, -100)  # which counts as nothing
    return F.cross_entropy(logits, tn.Tensor(labels).to(logits.device), label_smoothing=0.1)


def trained(device, dtype, seed, steps, batch, width=0.25, smooth=False):
    """MobileNetV1 after some training steps on a fixed batch.

    smooth: BatchNorm sends its values to the middle of what ReLU6 lets through, six deviations
    from either kink; otherwise its weights and biases are drawn.
    Returns: {kind: {name: array on the CPU}}, kinds: output and gradient of the last step, and
    by how much the running statistics and the parameters have changed.
    """
    tn.manual_seed(seed)
    rng = np.random.default_rng(seed)
    model = mobilenet.build("cifar-4x4", 100, width)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            C = module.num_features
            module.weight.array[...] = 0.5 if smooth else rng.uniform(0.5, 2, C)
            module.bias.array[...] = 3 if smooth else rng.uniform(-1, 2, C)
    before = {name: here(tensor) for name, tensor in model.state_dict().items()}
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
    return {
        "output": {"logits": here(logits), "loss": here(loss)},
        "gradient": {name: here(p.grad) for name, p in model.named_parameters()},
        "statistics": {name: here(now) - before[name] for name, now in model.named_buffers()},
        "change": {name: here(p) - before[name] for name, p in model.named_parameters()},
    }


def network(dtype, seed, **options):
    """One training step of the whole network: the worst array of each kind.

    In float32 no value is near a kink of ReLU6: rounding would put some on the other side, which
    changes gradients by a hundredth at once.
    """
    options = {"steps": 1, "batch": 8, "smooth": dtype == "float32", **options}
    exact = trained("cpu", np.float64, seed, **options)
    found = trained("cuda", dtype, seed, **options)
    results = []
    for kind, arrays in exact.items():
        least = SMALL * max(np.linalg.norm(array.ravel()) for array in arrays.values())
        errors = {name: norm_error(found[kind][name], arrays[name], least) for name in arrays}
        worst = max(errors, key=lambda name: np.inf if errors[name] is None else errors[name])
        results.append(result(f"{kind}, worst {worst}", errors[worst], NETWORK_TOLERANCE[dtype]))
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
    "depthwise 4x4": depthwise(32, 1024, 4, 4, 1),
    "depthwise 112x112, stride 2": depthwise(3, 64, 112, 112, 2),
    "depthwise 7x9, stride 2": depthwise(3, 5, 7, 9, 2),
    "BatchNorm, many values": compared(batch_norm, (32, 32, 32, 32), (32,), (32,)),
    "BatchNorm, few values": compared(batch_norm, (2, 1024, 3, 3), (1024,), (1024,)),
    "BatchNorm, far from 0": compared(batch_norm, (16, 16, 16, 16), (16,), (16,), mean=100.0),
    "ReLU6": compared(lambda x: F.relu6(4 * x), (16, 32, 8, 8)),
    "stem, 224x224": compared(F.conv2d, (4, 3, 224, 224), (32, 3, 3, 3), stride=2, padding=1),
    "convolution in groups": compared(F.conv2d, (4, 6, 9, 10), (8, 3, 3, 2), groups=2, dilation=2),
    "pointwise": compared(F.conv2d, (16, 256, 16, 16), (512, 256, 1, 1)),
    "average of an image": compared(F.adaptive_avg_pool2d, (32, 256, 4, 4), output_size=1),
    "maximum pooling": compared(lambda x: F.max_pool2d(x, 3, 2, 1), (4, 8, 13, 10)),
    "linear": compared(F.linear, (128, 1024), (100, 1024), (100,)),
    "cross-entropy": compared(cross_entropy, (128, 1000)),
    "whole network": network,
    "bit for bit": repeated,
}


def run(name, dtype):
    """One check in 'float32' or 'float64': a list of {"what", "error", "tolerance", "passed"}."""
    return CHECKS[name](dtype, seed=list(CHECKS).index(name))
