"""Train MobileNetV1 on STL-10, or on any folder of photos, at the paper's resolution.

    python train_stl10.py --data-dir data                            # as the reference did
    python train_stl10.py --data-dir data --width 0.75
    python train_stl10.py --data-dir data --preset stl10-tuned       # 20 points better
    python train_stl10.py --dataset folder --data-dir photos         # photos/train/CLASS/*.jpg

STL-10 has 96x96 photos of ten classes, 500 of each for training: Coates, Lee and Ng, "An analysis
of single-layer networks in unsupervised feature learning", AISTATS 2011.
"""

import mobilenet
from tinynet.training import program

PRESETS = {
    # a published program's settings: no augmentation, a constant rate, nothing against overfitting
    "stl10": {
        "network": "stl10",
        "width": 1.0,
        "resolution": 224,
        "epochs": 50,
        "batch_size": 256,
        "optimizer": "adam",
        "lr": 0.01,
        "schedule": "constant",
        "weight_decay": 0.0,
        "label_smoothing": 0.0,
        "augment": "none",
    },
    "stl10-tuned": {
        "network": "stl10",
        "width": 1.0,
        "resolution": 224,
        "epochs": 100,
        "batch_size": 64,
        "optimizer": "sgd",
        "lr": 0.2,
        "schedule": "onecycle",
        "weight_decay": 5e-4,
        "label_smoothing": 0.1,
        "augment": "crop-flip",
        "mixup": 0.2,
    },
}

PROGRAM = program.Program(
    name="train_stl10.py",
    description="Train MobileNetV1 on STL-10, or on any folder of photos.",
    presets=PRESETS,
    defaults={"dataset": "stl10", "out": "runs/stl10", **PRESETS["stl10"]},
    **mobilenet.FOR_TRAINING,
)


def main(arguments=None):
    program.main(PROGRAM, arguments)


if __name__ == "__main__":
    main()
