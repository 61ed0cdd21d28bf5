"""The training loop. Every worker runs it with its share of each batch; a program without workers
is worker 0 of 1.

`run` holds the parts that the loop works with: `tinynet.training.run.Run`.
"""

import math
import time

import numpy as np

import tinynet as tn
from tinynet import nn, parallel
from tinynet.training import finetune
from tinynet.training.console import progress_bar
from tinynet.training.metrics import Average, accuracy
from tinynet.training.nonfinite import first_nonfinite

LOOK_EVERY = {"cpu": 1, "cuda": 50}  # batches: to look at the loss is to wait for the GPU


class Progress:
    """How far an epoch has come: batches, seconds, and what this worker has seen of loss and
    accuracy."""

    def __init__(self):
        self.batches, self.seconds = 0, 0.0
        self.losses, self.hits = Average(), Average()


def train(run):
    """Train `run.model` to its last epoch. Returns whether it was left to: Ctrl-C and SIGTERM stop
    it after the step or the evaluation that it is at, and it is saved there."""
    with parallel.stoppable() as stop:
        for epoch in range(run.epochs_done, run.options.epochs):
            if not train_epoch(run, epoch, stop):
                run.save()
                return False
            loss, share_right, images = of_all_workers(run.progress)
            seconds, run.progress = run.progress.seconds, Progress()
            run.share_statistics()
            found = evaluate(run.result, run.val_loader, run.criterion, run.options.device)
            run.end_epoch(
                epoch=epoch + 1,
                **finetune.rates(run.options, run.optimizer, run.scheduler),
                train_loss=loss,
                train_accuracy=share_right,
                **{f"val_{name}": value for name, value in found.items()},
                seconds=seconds,
                images_per_second=images / seconds,
            )
            if stop.agree():  # while it was judged and saved
                return False
    return True


def train_epoch(run, epoch, stop):
    """One pass over the training set, from where `run.progress` says. Returns False where it was
    asked to stop before the end."""
    options, model, optimizer, progress = run.options, run.model, run.optimizer, run.progress
    began = time.perf_counter() - progress.seconds
    finetune.train(model)
    optimizer.zero_grad()
    loader = run.train_loader
    loader.set_epoch(epoch, start=progress.batches)
    with progress_bar(loader, f"epoch {epoch + 1}/{options.epochs}", progress.batches) as bar:
        for batch, (images, labels) in enumerate(loader, progress.batches + 1):
            tn.manual_seed(seed_of(options.seed, epoch, batch, parallel.rank))  # for dropout
            x, y = tn.Tensor(images).to(options.device), tn.Tensor(labels).to(options.device)

            step = batch % options.accumulate == 0
            loss, right = run.learn(x, y) if step else learn(run, x, y, step=False)
            look = batch % LOOK_EVERY[options.device] == 0 or batch == len(loader)
            if look and len(y) and not math.isfinite(loss.item()):
                raise RuntimeError(
                    f"{cause(run, x, y)} (batch {batch} of epoch {epoch + 1}); {run.advice}"
                )
            if step:
                if options.clip_grad_norm:
                    nn.utils.clip_grad_norm_(model.parameters(), options.clip_grad_norm)
                optimizer.step()
                run.scheduler.step()
                run.average_weights()
                optimizer.zero_grad()

            if len(y):
                progress.losses.add(loss, weight=len(y))
                progress.hits.add(right, weight=len(y))
            progress.batches, progress.seconds = batch, time.perf_counter() - began
            if look:
                losses, hits = progress.losses.mean, progress.hits.mean
                bar.set_postfix({"loss": f"{losses:.3f}", "accuracy": f"{hits:.1%}"}, refresh=False)
            bar.update(loader.batch_size)
            if step and stop.asked and batch < len(loader):
                return False
    return True


def learn(run, x, y, step=True):
    """Forward and backward of one batch. step: it is the last one before the optimiser's step, for
    which the gradients of all workers count. Returns the loss and the share of images whose label
    had the largest logit: a Tensor, and what `accuracy` gives without waiting."""
    logits = run.model(x)
    loss = run.loss(logits, x, y)
    weight = run.weight(len(y)) / run.options.accumulate
    if step:
        parallel.backward(loss, run.model, weight)
    else:
        (loss * weight).backward()
    if not len(y):
        return loss.detach(), None
    best = y if y.ndim == 1 else y.argmax(1)  # of two mixed labels the heavier one
    (right,) = accuracy(logits, best, wait=False)
    return loss.detach(), right


def cause(run, x, y):
    """Where a NaN or an infinity comes from."""
    with parallel.use(parallel.Group()):  # the other workers are not asked
        return first_nonfinite(run.model, x, lambda logits: run.loss(logits, x, y))


def evaluate(model, loader, criterion, device):
    """Mean loss, and top-1 and top-5 accuracy as shares, over a loader, in evaluation mode."""
    return judge(outputs(model, loader, device), loader.image_set.labels, criterion)


def outputs(model, loader, device):
    """The logits of all images of a loader that does not shuffle, (N, K) in float32, in every
    worker: each computes its share of every batch."""
    N, K, start = len(loader.image_set), len(loader.image_set.class_names), 0
    found = np.zeros((N, K), np.float32)
    model.eval()
    with tn.no_grad():
        for images, _ in loader:
            batch = found[start : start + loader.batch_size]
            if len(images):  # the last batch may have fewer images than there are workers
                logits = model(tn.Tensor(images).to(device)).numpy()
                batch[parallel.share_of(len(batch))] = logits
            start += len(batch)
    parallel.all_reduce(found)
    return found


def judge(logits, labels, criterion):
    """Loss and accuracies of logits (N, K), by name."""
    if not len(labels):
        return {"loss": math.nan, "accuracy": math.nan, "top5": math.nan}
    loss = criterion(tn.Tensor(logits), tn.Tensor(labels)).item()
    first, five = accuracy(logits, labels, topk=(1, min(5, logits.shape[1])))
    return {"loss": loss, "accuracy": first, "top5": five}


def of_all_workers(progress):
    """Mean loss and accuracy over all workers' images, and how many images they are."""
    losses, hits = progress.losses, progress.hits
    sums = np.array([float(losses.total), float(hits.total), losses.weight])
    parallel.all_reduce(sums)
    loss, right, images = sums.tolist()
    return (loss / images, right / images, images) if images else (math.nan, math.nan, 0)


def seed_of(*numbers):
    """A seed that is another one wherever one of the numbers is another."""
    return int.from_bytes(np.random.SeedSequence(numbers).generate_state(2).tobytes(), "little")
