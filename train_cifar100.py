"""Train MobileNetV1 on CIFAR-100, or on the built-in set of drawn shapes.

    python train_cifar100.py --dataset shapes          # no download
    python train_cifar100.py --data-dir data           # CIFAR-100, fetched into data/ if need be
    python train_cifar100.py --data-dir data --resume  # go on where a stopped run was

The function `train` is the whole story; the rest reads options and prepares its parts.
Every epoch writes to --out: checkpoint.npz, history.csv and curves.png.
"""

import argparse
import contextlib
import math
import sys
import time
from pathlib import Path

from tqdm import tqdm

import mobilenet
import tinynet as tn
from tinynet import backend, nn, optim
from tinynet.data import Loader, augment, cifar100, shapes
from tinynet.data.images import Images
from tinynet.training import Average, History, accuracy, checkpoint
from tinynet.training.options import folder_for, number

LOOK_EVERY = {"cpu": 1, "cuda": 50}  # steps: to look at the loss is to wait for the GPU


def train(options, run):
    """The training loop; the parts it works with are made in `Run`."""
    model, optimizer, scheduler, criterion = run.model, run.optimizer, run.scheduler, run.criterion
    for epoch in range(run.epochs_done, options.epochs):
        started = time.perf_counter()
        losses, hits = Average(), Average()
        model.train()
        run.train_loader.set_epoch(epoch)
        with progress_bar(run.train_loader, f"epoch {epoch + 1}/{options.epochs}") as bar:
            for step, (images, labels) in enumerate(run.train_loader, 1):
                x, y = tn.Tensor(images).to(options.device), tn.Tensor(labels).to(options.device)

                optimizer.zero_grad()
                logits = model(x)
                loss = criterion(logits, y)
                loss.backward()
                optimizer.step()
                scheduler.step()

                losses.add(loss, weight=len(y))
                hits.add(accuracy(logits, y, wait=False)[0], weight=len(y))
                if step % LOOK_EVERY[options.device] == 0 or step == len(run.train_loader):
                    if not math.isfinite(losses.mean):
                        raise RuntimeError(
                            f"the loss is no longer a number in epoch {epoch + 1}; start again "
                            f"with a lower --lr than {options.lr}"
                        )
                    shown = {"loss": f"{losses.mean:.3f}", "accuracy": f"{hits.mean:.1%}"}
                    bar.set_postfix(shown, refresh=False)
                bar.update(len(y))
        seconds = time.perf_counter() - started

        val_loss, val_accuracy = evaluate(model, run.val_loader, criterion, options.device)
        run.history.append(
            epoch=epoch + 1,
            lr=scheduler.get_last_lr()[0],
            train_loss=losses.mean,
            train_accuracy=hits.mean,
            val_loss=val_loss,
            val_accuracy=val_accuracy,
            seconds=seconds,
            images_per_second=losses.weight / seconds,
        )
        run.save(options, epoch + 1)
        print(
            f"epoch {epoch + 1}/{options.epochs}  loss {losses.mean:.3f}  accuracy {hits.mean:.1%}"
            f"  validation loss {val_loss:.3f}  accuracy {val_accuracy:.1%}"
            f"  {losses.weight / seconds:.0f} images/s  {seconds:.0f} s",
            flush=True,
        )


def evaluate(model, loader, criterion, device):
    """Mean loss and top-1 accuracy over a loader, in evaluation mode."""
    losses, hits = Average(), Average()
    model.eval()
    with tn.no_grad():
        for images, labels in loader:
            x, y = tn.Tensor(images).to(device), tn.Tensor(labels).to(device)
            logits = model(x)
            losses.add(criterion(logits, y), weight=len(y))
            hits.add(accuracy(logits, y, wait=False)[0], weight=len(y))
    return losses.mean, hits.mean


def progress_bar(loader, title):
    """Images done, images/s and time left; nothing where the output is not a terminal."""
    return tqdm(
        total=len(loader) * loader.batch_size, desc=title, unit=" images", leave=False, disable=None
    )


class Run:
    """The parts of one training, and how they are saved and resumed."""

    def __init__(self, options):
        self.out, self.device = Path(options.out), options.device
        self.history, self.epochs_done, self.test_accuracy = History(), 0, None
        tn.manual_seed(options.seed)
        # the test set is not looked at before the end: the curves show images held out of train
        everything = load_set(options, "train")
        train_set, val_set = everything.split(options.val_per_class, seed=0)
        self.mean, self.std = train_set.channel_stats()
        self.class_names = train_set.class_names
        self.train_loader = self.loader(
            train_set,
            options.batch_size,
            shuffle=True,
            augment=True,
            seed=options.seed,
            drop_last=True,  # a last batch of one or two images would upset BatchNorm
        )
        self.val_loader = self.loader(val_set)
        self.model = mobilenet.build(
            options.network, len(self.class_names), options.width, dropout=options.dropout
        ).to(options.device)
        self.criterion = nn.CrossEntropyLoss(label_smoothing=options.label_smoothing)
        groups = mobilenet.decay_groups(self.model, options.weight_decay)
        if options.optimizer == "sgd":
            self.optimizer = optim.SGD(groups, lr=options.lr, momentum=0.9, nesterov=True)
        else:
            self.optimizer = optim.AdamW(groups, lr=options.lr)
        self.scheduler = make_schedule(options, self.optimizer, len(self.train_loader))

    def loader(self, image_set, batch_size=250, **options):
        """Batches normalised by the TRAINING set's statistics, whatever the set. A GPU has the
        images themselves and makes its own batches."""
        if self.device == "cuda":
            scales = augment.scale_and_offset(self.mean, self.std)
            images = Images(image_set.images, *scales, self.device)
            options = {**options, "images": images, "prefetch": False}
        return Loader(image_set, batch_size, self.mean, self.std, **options)

    @property
    def checkpoint_path(self):
        return self.out / "checkpoint.npz"

    def save(self, options, epochs_done):
        """Write checkpoint, CSV and curves; each replaces its predecessor in one moment."""
        # here, not at the top: it loads matplotlib, which need not delay the first epoch
        from tinynet.training import curves

        self.epochs_done = epochs_done
        checkpoint.save(
            self.checkpoint_path,
            {
                "options": recorded(options),
                "epochs_done": epochs_done,
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "scheduler": self.scheduler.state_dict(),
                "random": backend.random_generator().bit_generator.state,
                "history": self.history.to_tree(),
                "classes": list(self.class_names),
                "mean": self.mean,
                "std": self.std,
                "test_accuracy": self.test_accuracy,
            },
        )
        self.history.write_csv(self.out / "history.csv")
        curves.plot(self.history, self.out / "curves.png")

    def resume(self, options):
        """Take up the state that `save` wrote. Raises ValueError where the options differ."""
        saved = checkpoint.load(self.checkpoint_path)
        try:
            for name, now in recorded(options).items():
                before = saved["options"][name]
                if before != now:
                    raise ValueError(
                        f"{self.checkpoint_path} was trained with {name} {before}, not {now}; "
                        "give the same options, or another --out"
                    )
            self.model.load_state_dict(saved["model"])
            self.optimizer.load_state_dict(saved["optimizer"])
            self.scheduler.load_state_dict(saved["scheduler"])
            backend.random_generator().bit_generator.state = saved["random"]
            self.history = History.from_tree(saved["history"])
            self.epochs_done, self.test_accuracy = saved["epochs_done"], saved["test_accuracy"]
        except (KeyError, TypeError) as error:
            raise ValueError(
                f"{self.checkpoint_path} is not a checkpoint of this script ({error}); "
                "give another --out"
            ) from None


def load_set(options, split):
    if options.dataset == "shapes":
        return shapes.make(split, options.per_class)
    everything = cifar100.load(
        options.data_dir, split, download=not options.no_download, mirror=options.mirror
    )
    if options.per_class and split == "train":
        return everything.split(options.per_class, seed=0)[1]
    return everything


def make_schedule(options, optimizer, batches):
    """The learning rate over the whole training, advanced after every batch."""
    total = options.epochs * batches
    if options.schedule == "onecycle":
        return optim.lr_scheduler.OneCycleLR(optimizer, max_lr=options.lr, total_steps=total + 1)
    if options.schedule == "cosine":
        return optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=total)
    milestones = [round(share * total) for share in (0.5, 0.75, 0.9)]
    return optim.lr_scheduler.MultiStepLR(optimizer, milestones, gamma=0.1)


def recorded(options):
    """The options that decide what is learnt: a resumed run must have the same."""
    elsewhere = ("out", "resume", "overwrite", "data_dir", "mirror", "no_download")
    elsewhere += ("device", "tf32")
    return {name: value for name, value in vars(options).items() if name not in elsewhere}


def parse_options(arguments=None):
    parser = argparse.ArgumentParser(
        description="Train MobileNetV1 on CIFAR-100, or on the built-in set of drawn shapes.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    # fmt: off
    add("--dataset", default="cifar100", choices=("cifar100", "shapes"),
        help="CIFAR-100, or 100 classes of shapes that this program draws")
    add("--data-dir", default="data", metavar="PATH",
        help="folder or archive of CIFAR-100; it is downloaded there if it is missing")
    add("--mirror", metavar="URL", help="where else to download the CIFAR-100 archive from")
    add("--no-download", action="store_true", help="use local files only")
    add("--per-class", type=number(int, 2), metavar="N",
        help="for quick trials: only N training images of each class")
    add("--val-per-class", type=number(int, 1), default=50, metavar="N",
        help="training images of each class held out for the validation curves")
    add("--network", default="cifar-4x4", choices=tuple(mobilenet.NETWORKS),
        help="a network of mobilenet.py; those named after CIFAR suit 32x32 images")
    add("--width", type=number(float, 0.001, 100), default=0.5, help="width multiplier")
    add("--dropout", type=number(float, 0, 1), default=0.0,
        help="probability before the last layer")
    add("--epochs", type=number(int, 1), default=20, help="passes over the training set")
    add("--batch-size", type=number(int, 2), default=128, help="images per step")
    add("--optimizer", default="sgd", choices=("sgd", "adamw"), help="sgd: Nesterov, momentum 0.9")
    add("--lr", type=number(float, 0), default=0.4, help="the highest learning rate")
    add("--schedule", default="onecycle", choices=("onecycle", "cosine", "multistep"),
        help="course of the learning rate; multistep: a tenth after 50, 75 and 90%% of the steps")
    add("--weight-decay", type=number(float, 0), default=5e-4,
        help="not applied to depthwise filters, BatchNorm and biases")
    add("--label-smoothing", type=number(float, 0, 1), default=0.1,
        help="share of the target that is spread over all classes")
    add("--seed", type=number(int, 0), default=0, help="of weights, order and augmentation")
    add("--out", default="runs/cifar100", metavar="DIR", help="folder for checkpoint and curves")
    add("--resume", action="store_true", help="go on from the checkpoint in --out")
    add("--overwrite", action="store_true", help="start anew, replacing what is in --out")
    add("--device", default="cpu", choices=("cpu", "cuda"), help="where to compute")
    add("--tf32", action="store_true",
        help="on a GPU, round the factors of matrix products to TF32: faster, 3 digits")
    # fmt: on
    return parser.parse_args(arguments)


def main(arguments=None):
    options = parse_options(arguments)
    out = None
    try:
        if options.tf32:
            backend.allow_tf32()
        backend.check_device(options.device)
        out = folder_for(options)
        run = Run(options)
        if options.resume:
            run.resume(options)
        train(options, run)
        if run.test_accuracy is None:  # once, with the weights of the last epoch
            loader = run.loader(load_set(options, "test"))
            _, run.test_accuracy = evaluate(run.model, loader, run.criterion, options.device)
            run.save(options, options.epochs)
    except (ValueError, OSError, RuntimeError) as error:
        sys.exit(f"train_cifar100.py: {error}")
    except KeyboardInterrupt:
        sys.exit("train_cifar100.py: stopped; go on from the last whole epoch with --resume")
    finally:
        if out is not None:
            with contextlib.suppress(OSError):
                out.rmdir()  # only where nothing was written: an empty folder is no use
    print(f"test accuracy (last epoch): {run.test_accuracy:.2%}")
    print(f"curves: {out / 'curves.png'}")
    print(f"checkpoint: {out / 'checkpoint.npz'}")


if __name__ == "__main__":
    main()
