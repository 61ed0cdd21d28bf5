"""One training: the parts that it is made of, and how they are saved and resumed."""

import functools
import json
from pathlib import Path

import numpy as np

import tinynet as tn
from tinynet import cores, nn, optim, parallel
from tinynet.data import Loader, augment
from tinynet.data.images import Images
from tinynet.files import atomic_write
from tinynet.nn import functional as F
from tinynet.training import checkpoint, finetune, loop
from tinynet.training.console import short, tell, warn
from tinynet.training.folder import CHECKPOINT, drop_earlier
from tinynet.training.history import History
from tinynet.training.nonfinite import nonfinite_place
from tinynet.training.options import recorded
from tinynet.training.recipe import Teacher, make_optimizer, make_schedule
from tinynet.training.sources import load_set

FORMAT = "tinynet training"
JUDGED = "loss", "accuracy", "top5"  # what `loop.judge` finds of the test set
INCIDENTAL = (  # what may differ between two runs that learn the same
    *("seconds", "images_per_second", "workers", "threads", "test_reads"),
)
PATIENCE = 600  # seconds for worker 0 to write its files while the others wait


def digest(state):
    """The checksum of a checkpoint's tree: of all that is not incidental."""

    def essence(entries):
        return {name: None if name in INCIDENTAL else value for name, value in entries.items()}

    state = {name: value for name, value in state.items() if name != "digest"}
    rows = [essence(row) for row in state["history"]["rows"]]
    return checkpoint.digest(essence({**state, "history": rows}))


class Run:
    """What `loop.train` works with.

    options: of the command line. program: what the script has told `program.main`. saved: the
    tree of a checkpoint to go on from, or None.

    Raises ValueError where options, images and checkpoint do not fit together.
    """

    def __init__(self, options, program, saved=None):
        self.options, self.program, self.out = options, program, Path(options.out)
        self.history, self.epochs_done, self.progress = History(), 0, loop.Progress()
        self.best, self.test, self.test_reads = None, None, 0
        self.warned, self.dropped, self.events = set(), False, None
        self.origin = finetune.begin(options, program, saved)
        tn.manual_seed(options.seed)
        # the test set is not looked at before the end: the curves show images held out of train
        everything = load_set(options, "train")
        smallest = np.bincount(everything.labels, minlength=len(everything.class_names)).min()
        if options.val_per_class >= smallest:
            raise ValueError(
                f"--val-per-class {options.val_per_class}: the smallest class has {smallest} "
                "training images, of which some must be left to train on; lower it"
            )
        self.train_set, self.val_set = everything.split(options.val_per_class, seed=0)
        self.image_stats = self.mean, self.std = self.train_set.channel_stats()
        if self.origin is not None:
            self.mean, self.std = self.origin["mean"], self.origin["std"]
        self.class_names = self.train_set.class_names
        steps = len(self.train_set) // options.batch_size
        if not steps:
            raise ValueError(
                f"--batch-size {options.batch_size}: the {len(self.train_set)} training images "
                "make no batch of that size; lower it"
            )
        self.train_loader = self.loader(
            self.train_set,
            options.batch_size // options.accumulate,
            shuffle=True,
            augment=options.augment == "crop-flip",
            zoom=options.zoom,
            cutout=options.cutout,
            mixup=options.mixup,
            seed=options.seed,
            drop_last=True,  # a last batch of one or two images would upset BatchNorm
        )
        self.val_loader = self.loader(self.val_set)
        self.model = finetune.build(program, options, self.origin, len(self.class_names))
        if self.origin is not None and saved is None:
            tell(finetune.take(self.model, self.origin, self.class_names, options.init))
            self.origin["image_stats"] = self.image_stats
        self.model.to(options.device)
        finetune.freeze(self.model, options.freeze)
        if options.batchnorm == "sync":
            nn.SyncBatchNorm.convert_sync_batchnorm(self.model)
        self.average = None
        if options.ema:
            average = optim.swa_utils.get_ema_multi_avg_fn(options.ema)
            self.average = optim.swa_utils.AveragedModel(
                self.model, multi_avg_fn=average, use_buffers=True
            )
        self.teacher = Teacher(self) if options.teacher else None
        self.criterion = nn.CrossEntropyLoss(label_smoothing=options.label_smoothing)
        groups = program.decay_groups(
            self.model, options.weight_decay, options.depthwise_weight_decay
        )
        groups = finetune.group_by_rate(self.model, groups, options)
        self.optimizer = make_optimizer(options, groups)
        self.scheduler = make_schedule(options, self.optimizer, steps)
        if options.tensorboard and parallel.rank == 0:
            from tinynet.training.events import TensorBoard

            self.events = TensorBoard(self.out / "tensorboard")
        self.learn = functools.partial(loop.learn, self)
        if parallel.size == options.accumulate == 1 and not options.dropout:
            self.learn = tn.Graphed(self.learn, self.model.parameters())
        self.advice = f"start again with a lower --lr than {options.lr:g}"
        if saved is not None:
            self.take_up(saved)
        self.film = None
        if options.film and parallel.rank == 0:
            from tinynet.training.film import Film

            self.film = Film(self)
            self.try_to(lambda path: self.film.start(path, self), "film.npz")

    def loader(self, image_set, batch_size=250, **options):
        """Batches normalised by the TRAINING set's statistics, whatever the set. A GPU has the
        images themselves and makes its own batches."""
        mean, std = self.mean, self.std
        if "test-statistics" in self.options.faults and image_set is not self.train_set:
            mean, std = image_set.channel_stats()
        if self.options.device == "cuda":
            images = Images(image_set.images, *augment.scale_and_offset(mean, std), "cuda")
            options = {**options, "images": images, "prefetch": False}
        size = self.options.resolution
        return Loader(image_set, batch_size, mean, std, shared=True, size=size, **options)

    # what the loop asks for

    def loss(self, logits, x, y):
        """The loss of a batch: cross-entropy, and what the teacher says where there is one."""
        if "softmax-twice" in self.options.faults:
            logits = F.softmax(logits, dim=1)
        loss = self.criterion(logits, y)
        return loss if self.teacher is None else self.teacher.mix(loss, logits, x)

    def weight(self, images):
        """What the loss of this worker's share of a batch counts for."""
        even = self.train_loader.batch_size % parallel.size == 0
        return 1.0 if even else parallel.weight_of(images)

    def average_weights(self):
        if self.average is not None:
            self.average.update_parameters(self.model)

    @property
    def result(self):
        """The network that is judged, and saved for use: with --ema, the average."""
        return self.model if self.average is None else self.average.module

    @property
    def size(self):
        """Edge of the images that the network sees, in pixels."""
        return self.options.resolution or self.train_set.images.shape[2]

    def share_statistics(self):
        """Workers that normalise by statistics of their own take the mean of these."""
        if self.options.batchnorm == "local":
            parallel.average_buffers(finetune.Moving(self.model))
            if self.average is not None:
                parallel.average_buffers(finetune.Moving(self.average))

    def end_epoch(self, *, epoch, seconds, images_per_second, **row):
        """Note the numbers of an epoch, save, and tell of it."""
        self.epochs_done = epoch
        self.history.append(
            epoch=epoch, **row, seconds=seconds, images_per_second=images_per_second
        )
        if self.best is None or row["val_accuracy"] > self.best["val_accuracy"]:
            self.best = {"epoch": epoch, "val_accuracy": row["val_accuracy"]}
        self.save()
        if self.events is not None:
            self.events.epoch(self.history.rows[-1])
        tell(
            f"epoch {epoch}/{self.options.epochs}  loss {row['train_loss']:.3f}"
            f"  accuracy {row['train_accuracy']:.1%}"
            f"  validation loss {row['val_loss']:.3f}  accuracy {row['val_accuracy']:.1%}"
            f"  {images_per_second:.0f} images/s  {seconds:.0f} s"
        )

    # files

    def save(self):
        """Have worker 0 write its files."""
        state = self.state()
        if parallel.rank == 0:
            self.write(state)
        parallel.barrier(PATIENCE)

    def state(self):
        """All that a run must know to go on bit for bit, as a tree for `checkpoint.save`.

        In the middle of an epoch every worker has statistics, losses and hits of its own.
        """
        per_worker = None
        if self.progress.batches:
            mine = {
                "buffers": {name: b.numpy() for name, b in self.buffers()},
                "losses": (float(self.progress.losses.total), self.progress.losses.weight),
                "hits": (float(self.progress.hits.total), self.progress.hits.weight),
            }
            per_worker = [parallel.broadcast(mine, rank) for rank in range(parallel.size)]
        return {
            "format": FORMAT,
            "options": recorded(self.options),
            "workers": parallel.size,
            "threads": cores.blas_threads(),
            "epochs_done": self.epochs_done,
            "batches_done": self.progress.batches,
            "seconds": self.progress.seconds,
            "per_worker": per_worker,
            "model": self.model.state_dict(),
            "average": self.average and self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "history": self.history.to_tree(),
            "classes": list(self.class_names),
            "mean": self.mean,
            "std": self.std,
            "size": self.size,
            "teacher": self.teacher and self.teacher.digest,
            "best": self.best,
            **{f"test_{name}": self.test and self.test[name] for name in JUDGED},
            "test_reads": self.test_reads,
            **({} if self.origin is None else {"init": {n: self.origin[n] for n in finetune.KEPT}}),
        }

    def write(self, state):
        """The checkpoint first, as it is what must not be lost; where the rest cannot be written
        the training goes on. Each file replaces its predecessor in one moment.

        Raises RuntimeError, and leaves the last checkpoint as it was, where a number is not finite.
        """
        parts = {name: state[name] for name in ("model", "average", "optimizer")}
        if place := nonfinite_place(parts):
            raise RuntimeError(
                f"{place} is not finite after epoch {self.epochs_done}; an earlier checkpoint is "
                f"left as it was; {self.advice}"
            )
        self.out.mkdir(parents=True, exist_ok=True)
        checkpoint.save(self.out / CHECKPOINT, {**state, "digest": digest(state)})
        if self.options.overwrite and not self.dropped:
            drop_earlier(self.out)
            self.dropped = True
        self.write_best()
        self.try_to(self.write_options, "options.json")
        self.try_to(self.history.write_csv, "history.csv")
        self.try_to(self.history.write_jsonl, "history.jsonl")
        self.try_to(self.draw_curves, "curves.png")
        if self.film is not None:
            self.try_to(lambda path: self.film.save(path, self), "film.npz")
            self.try_to(lambda path: self.film.write_page(path, self), "film.html")

    def write_best(self):
        if self.best and self.best["epoch"] == self.epochs_done and not self.progress.batches:
            self.try_to(self.write_network, "best.npz")

    def try_to(self, write, name):
        """write(path), and a warning, once per file, where that fails."""
        try:
            write(self.out / name)
        except Exception as error:  # whatever a drawing library comes up with
            if name not in self.warned:
                warn(f"{name} is not written ({error}); the training goes on")
            self.warned.add(name)

    def draw_curves(self, path):
        from tinynet.training import curves  # loads matplotlib, which need not delay the start

        if len(self.history):
            curves.plot(self.history, path)

    def write_options(self, path):
        with atomic_write(path, "w") as file:
            file.write(json.dumps(vars(self.options), indent=4) + "\n")

    def write_network(self, path):
        self.program.save_network(
            path,
            self.result,
            network=self.options.network,
            options={
                "num_classes": len(self.class_names),
                "width": self.options.width,
                "dropout": self.options.dropout,
                **finetune.more_options(self.origin),
            },
            classes=self.class_names,
            mean=self.mean,
            std=self.std,
            size=self.size,
            card={**self.history.rows[-1], "test_accuracy": self.test and self.test["accuracy"]},
        )

    def buffers(self):
        """(name, tensor) of the running statistics."""
        model = self.model.named_buffers()
        average = () if self.average is None else self.average.named_buffers()
        return [*((f"model.{n}", b) for n, b in model), *((f"average.{n}", b) for n, b in average)]

    # resuming

    def take_up(self, saved):
        """Go on from the tree `saved`. Raises ValueError where it does not fit."""
        where = short(self.out / CHECKPOINT)
        if list(self.class_names) != saved["classes"]:
            raise ValueError(f"{where} was trained on other classes; give the same images")
        stats = saved["mean"], saved["std"]
        if self.origin is not None:
            stats = saved["init"]["image_stats"]
        for name, before, now in zip(("mean", "std"), stats, self.image_stats, strict=True):
            if not np.array_equal(before, now):
                raise ValueError(
                    f"{where} was trained on other images ({name} {before}, not {now}); give the "
                    "same images, or another --out"
                )
        if self.teacher and self.teacher.digest != saved.get("teacher", self.teacher.digest):
            raise ValueError(f"{where} had another network for its --teacher; give the same one")
        parts = {name: saved[name] for name in ("model", "average", "optimizer", "per_worker")}
        if place := nonfinite_place(parts):
            raise ValueError(
                f"{where} holds a number that is not finite, in {place}, and nothing can be "
                "learnt from there; start anew"
            )
        try:
            self.model.load_state_dict(saved["model"])
            if self.average is not None:
                self.average.load_state_dict(saved["average"])
            self.optimizer.load_state_dict(saved["optimizer"])
            self.scheduler.load_state_dict(saved["scheduler"])
            self.history = History.from_tree(saved["history"])
        except Exception as error:  # in a file that somebody has changed anything may have any type
            raise ValueError(
                f"{where} is not a checkpoint of this script ({error}); give another --out"
            ) from None
        found = digest(saved)
        if saved.get("digest", found) != found:
            raise ValueError(
                f"{where} was changed after it was saved, for its checksum does not fit; give "
                "another --out, or start anew"
            )
        self.epochs_done, self.best = saved["epochs_done"], saved["best"]
        self.test_reads = saved["test_reads"]
        # a run that is extended will have another result
        if self.epochs_done >= self.options.epochs and saved["test_accuracy"] is not None:
            self.test = {name: saved[f"test_{name}"] for name in JUDGED}
        self.progress.batches, self.progress.seconds = saved["batches_done"], saved["seconds"]
        if self.progress.batches:
            self._take_up_share(saved["per_worker"])
        if parallel.rank == 0:
            self.write_best()  # the run may have been killed between the checkpoint and this
        now = parallel.size, cores.blas_threads()
        before = saved["workers"], saved["threads"]
        if now != before:
            tell(
                f"the run was at work with {before[0]} workers of {before[1]} BLAS threads, and is "
                f"now with {now[0]} of {now[1]}: the last bits of its numbers may differ"
            )

    def _take_up_share(self, per_worker):
        """This worker's part of an epoch that was left in the middle: its own, or, with another
        number of workers, the mean of all statistics, and the losses with worker 0."""
        if len(per_worker) == parallel.size:
            mine = [per_worker[parallel.rank]]
            counted = mine
        else:
            mine, counted = per_worker, per_worker if parallel.rank == 0 else []
        for name, buffer in self.buffers():
            values = [worker["buffers"][name] for worker in mine]
            same = all(np.array_equal(other, values[0]) for other in values)
            value = values[0] if same or buffer.dtype.kind != "f" else sum(values) / len(values)
            buffer.copy_(tn.Tensor(np.asarray(value, buffer.dtype)))
        for kind in ("losses", "hits"):
            average = getattr(self.progress, kind)
            average.total = sum((worker[kind][0] for worker in counted), 0.0)
            average.weight = sum(worker[kind][1] for worker in counted)
