"""Train MobileNetV1 on CIFAR-100, on the built-in set of drawn shapes, or on images of your own.

    python train_cifar100.py --preset fast --data-dir data  # CIFAR-100, fetched there if need be
    python train_cifar100.py --preset fast --data-dir data --resume  # go on where a run stopped
    python train_cifar100.py --dataset shapes               # no download
    python train_cifar100.py --dataset folder --data-dir photos --resolution 64
    python train_cifar100.py --dataset folder --data-dir photos --init runs/cifar100 --freeze stem
    mpiexec -n 8 python train_cifar100.py --data-dir data   # on several machines

The loop is `tinynet/training/loop.py`; here stand the recipes. A run writes all it has to --out.
"""

import mobilenet
from tinynet.training import program

# for width 1, which would otherwise learn the training set by heart
LONG = {
    "width": 1.0,
    "epochs": 160,
    "lr": 0.4,
    "weight_decay": 5e-4,
    "label_smoothing": 0.1,
    "mixup": 0.2,
    "cutout": 8,
}
PRESETS = {
    # the best in about half an hour on two CPU cores
    "fast": {
        "network": "cifar-4x4",
        "width": 0.25,
        "epochs": 22,
        "lr": 0.4,
        "weight_decay": 2e-4,
        "label_smoothing": 0.1,
    },
    # the usual CIFAR network: the strides of the BSConv repository, which end on a 4x4 map
    "cifar100": {"network": "cifar-4x4", **LONG},
    # the paper's strides but for the first: a 2x2 map, a quarter of the work
    "cifar100-compact": {"network": "cifar-2x2", **LONG},
    # a network of Julia and Flux: twelve blocks with bottlenecks, width 0.1; --faults has its own
    "julia": {
        "network": "bottleneck",
        "width": 0.1,
        "epochs": 32,
        "batch_size": 128,
        "optimizer": "adam",
        "lr": 1e-3,
        "schedule": "cosine",
        "weight_decay": 0.0,
        "label_smoothing": 0.1,
        "augment": "none",
    },
}

PROGRAM = program.Program(
    name="train_cifar100.py",
    description="Train MobileNetV1 on CIFAR-100, on the built-in set of drawn shapes, or on images "
    "of your own.",
    presets=PRESETS,
    defaults={"dataset": "cifar100", "out": "runs/cifar100"},
    **mobilenet.FOR_TRAINING,
)


def main(arguments=None):
    program.main(PROGRAM, arguments)


if __name__ == "__main__":
    main()
