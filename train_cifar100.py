"""Train MobileNetV1 on CIFAR-100, or on the built-in set of drawn shapes.

    python train_cifar100.py --dataset shapes          # no download
    python train_cifar100.py --data-dir data           # CIFAR-100, fetched into data/ if need be
    python train_cifar100.py --data-dir data --resume  # go on where a stopped run was
    mpiexec -n 8 python train_cifar100.py --data-dir data   # on several machines

The function `train` is the whole story; the rest reads options and prepares its parts.
Every epoch writes to --out: checkpoint.npz, history.csv and curves.png.
"""

import argparse
import contextlib
import math
import sys
import threading
import time
from pathlib import Path

import numpy as np
from tqdm import tqdm

import mobilenet
import tinynet as tn
from tinynet import backend, cores, nn, optim, parallel
from tinynet.data import Loader, augment, cifar100, shapes
from tinynet.data.images import Images
from tinynet.training import Average, History, accuracy, checkpoint
from tinynet.training.options import folder_for, number

LOOK_EVERY = {"cpu": 1, "cuda": 50}  # steps: to look at the loss is to wait for the GPU
# Images per worker and step for --workers auto. With fewer, the statistics of a share are noise (Wu
# and He, "Group normalization", arXiv 1803.08494, figure 1).
FEWEST = 16
tqdm.set_lock(threading.RLock())  # its own is a semaphore, which a worker that is killed leaves
PATIENCE = 600  # seconds for worker 0 to write its files while the others wait


def train(options, run):
    """The training loop; the parts it works with are made in `Run`.

    Every worker runs it, with its share of each batch; a program without workers is worker 0 of 1.
    """
    model, optimizer, scheduler, criterion = run.model, run.optimizer, run.scheduler, run.criterion
    for epoch in range(run.epochs_done, options.epochs):
        started = time.perf_counter()
        losses, hits = Average(), Average()
        model.train()
        tn.manual_seed(seed_of(options.seed, epoch, parallel.rank))  # for dropout
        run.train_loader.set_epoch(epoch)
        with progress_bar(run.train_loader, f"epoch {epoch + 1}/{options.epochs}") as bar:
            for step, (images, labels) in enumerate(run.train_loader, 1):
                x, y = tn.Tensor(images).to(options.device), tn.Tensor(labels).to(options.device)

                optimizer.zero_grad()
                logits = model(x)
                loss = criterion(logits, y)
                parallel.backward(loss, model, run.weight(len(y)))
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
                bar.update(run.train_loader.batch_size)
        train_loss, train_accuracy, images = of_all_workers(losses, hits)
        seconds = time.perf_counter() - started

        if options.batchnorm == "local":
            parallel.average_buffers(model)
        val_loss, val_accuracy = evaluate(model, run.val_loader, criterion, options.device)
        run.history.append(
            epoch=epoch + 1,
            lr=scheduler.get_last_lr()[0],
            train_loss=train_loss,
            train_accuracy=train_accuracy,
            val_loss=val_loss,
            val_accuracy=val_accuracy,
            seconds=seconds,
            images_per_second=images / seconds,
        )
        run.save(options, epoch + 1)
        tell(
            f"epoch {epoch + 1}/{options.epochs}  loss {train_loss:.3f}"
            f"  accuracy {train_accuracy:.1%}"
            f"  validation loss {val_loss:.3f}  accuracy {val_accuracy:.1%}"
            f"  {images / seconds:.0f} images/s  {seconds:.0f} s"
        )


def evaluate(model, loader, criterion, device):
    """Mean loss and top-1 accuracy over a loader, in evaluation mode."""
    losses, hits = Average(), Average()
    model.eval()
    with tn.no_grad():
        for images, labels in loader:
            if not len(labels):  # the last batch has fewer images than there are workers
                continue
            x, y = tn.Tensor(images).to(device), tn.Tensor(labels).to(device)
            logits = model(x)
            losses.add(criterion(logits, y), weight=len(y))
            hits.add(accuracy(logits, y, wait=False)[0], weight=len(y))
    return of_all_workers(losses, hits)[:2]


def of_all_workers(losses, hits):
    """The means of two `Average`s over all workers' images, and how many images they are."""
    sums = np.array([float(losses.total), float(hits.total), losses.weight])
    parallel.all_reduce(sums)
    loss, right, images = sums.tolist()
    return (loss / images, right / images, images) if images else (math.nan, math.nan, 0)


def seed_of(*numbers):
    """A seed that is another one wherever one of the numbers is another."""
    return int.from_bytes(np.random.SeedSequence(numbers).generate_state(2).tobytes(), "little")


def progress_bar(loader, title):
    """Images done, images/s and time left, by worker 0; nothing where the output is no terminal."""
    return tqdm(
        total=len(loader) * loader.batch_size,
        desc=title,
        unit=" images",
        leave=False,
        disable=True if parallel.rank else None,
    )


def tell(text):
    """Print, if this is worker 0."""
    if parallel.rank == 0:
        print(text, flush=True)


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
        if options.batchnorm == "sync":
            nn.SyncBatchNorm.convert_sync_batchnorm(self.model)
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
        return Loader(image_set, batch_size, self.mean, self.std, shared=True, **options)

    def weight(self, images):
        """What the loss of this worker's share of a batch counts for."""
        even = self.train_loader.batch_size % parallel.size == 0
        return 1.0 if even else parallel.weight_of(images)

    @property
    def checkpoint_path(self):
        return self.out / "checkpoint.npz"

    def save(self, options, epochs_done):
        """Have worker 0 write its files."""
        self.epochs_done = epochs_done
        if parallel.rank == 0:
            self.write(options)
        parallel.barrier(PATIENCE)

    def write(self, options):
        """Checkpoint, CSV and curves; each replaces its predecessor in one moment."""
        # here, not at the top: it loads matplotlib, which need not delay the first epoch
        from tinynet.training import curves

        checkpoint.save(
            self.checkpoint_path,
            {
                "options": recorded(options),
                "epochs_done": self.epochs_done,
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "scheduler": self.scheduler.state_dict(),
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
        saved = checkpoint.load(self.checkpoint_path) if parallel.rank == 0 else None
        saved = parallel.broadcast(saved)
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
            self.history = History.from_tree(saved["history"])
            self.epochs_done, self.test_accuracy = saved["epochs_done"], saved["test_accuracy"]
        except (KeyError, TypeError) as error:
            raise ValueError(
                f"{self.checkpoint_path} is not a checkpoint of this script ({error}); "
                "give another --out"
            ) from None


def load_set(options, split):
    """The images of 'train' or 'test', which worker 0 reads (or downloads, or draws)."""
    image_set = read_set(options, split) if parallel.rank == 0 else None
    parallel.barrier(math.inf)  # a download may take an hour
    return parallel.broadcast(image_set)


def read_set(options, split):
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
    elsewhere += ("device", "tf32", "workers")
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
    add("--workers", type=number_of_workers, default="auto", metavar="N",
        help="processes that share every batch; auto: one for each core")
    add("--batchnorm", default="local", choices=("local", "sync"),
        help="statistics of each worker's share of a batch, or of all of it: slower, but then any "
        "number of workers learns what one would")
    add("--device", default="cpu", choices=("cpu", "cuda"), help="where to compute")
    add("--tf32", action="store_true",
        help="on a GPU, round the factors of matrix products to TF32: faster, 3 digits")
    # fmt: on
    return parser.parse_args(arguments)


def number_of_workers(text):
    return text if text == "auto" else number(int, 1)(text)


def workers_for(options):
    """How many workers to start; None under mpiexec, which has started them."""
    started = parallel.started()
    if started > 1 and options.workers != "auto":
        raise ValueError("--workers: mpiexec has started the workers already; leave it out")
    workers = options.workers if started == 1 else started
    if workers == "auto":
        most = options.batch_size // FEWEST if options.device == "cpu" else 1
        return max(1, min(cores.available(), most))
    if workers > options.batch_size:
        asked = f"--workers {workers}" if started == 1 else f"mpiexec -n {workers}"
        raise ValueError(
            f"{asked}: a batch of {options.batch_size} images cannot be shared by so many; take "
            "fewer workers, or raise --batch-size"
        )
    return workers if started == 1 else None


def work(options):
    """What every worker does."""
    same_options(options)
    try:
        run = Run(options)
        if options.resume:
            run.resume(options)
    except (ValueError, OSError) as error:  # about options and files, whichever worker finds it
        raise parallel.WorkerError(str(error)) from error
    train(options, run)
    if run.test_accuracy is None:  # once, with the weights of the last epoch
        loader = run.loader(load_set(options, "test"))
        _, run.test_accuracy = evaluate(run.model, loader, run.criterion, options.device)
        run.save(options, options.epochs)
    tell(f"test accuracy (last epoch): {run.test_accuracy:.2%}")
    tell(f"curves: {run.out / 'curves.png'}")
    tell(f"checkpoint: {run.checkpoint_path}")


def same_options(options):
    """Raises ValueError where this worker was started with other options than worker 0."""
    first = parallel.broadcast(recorded(options))
    for name, value in recorded(options).items():
        if value != first[name]:
            raise ValueError(
                f"{name} is {value} here and {first[name]} in worker 0; start all workers alike"
            )


def main(arguments=None):
    options = parse_options(arguments)
    out = None
    try:
        if options.tf32:
            backend.allow_tf32()
        backend.check_device(options.device)
        workers = workers_for(options)
        if parallel.is_first():
            out = folder_for(options)
        parallel.run(work, options, workers=workers, device=options.device)
    except (ValueError, OSError, RuntimeError) as error:
        sys.exit(f"train_cifar100.py: {error}")
    except KeyboardInterrupt:
        sys.exit("train_cifar100.py: stopped; go on from the last whole epoch with --resume")
    finally:
        if out is not None:
            with contextlib.suppress(OSError):
                out.rmdir()  # only where nothing was written: an empty folder is no use


if __name__ == "__main__":
    main()
