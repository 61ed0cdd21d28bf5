"""The parts of a recipe that the options name: optimiser, learning rate, teacher."""

import math

import numpy as np

import tinynet as tn
from tinynet import optim
from tinynet.nn import functional as F
from tinynet.training import checkpoint


class Teacher:
    """A larger network, whose probabilities the smaller one learns along with the labels: Hinton,
    Vinyals and Dean, "Distilling the knowledge in a neural network", arXiv 1503.02531, section 2.
    """

    def __init__(self, run):
        options = run.options
        self.network, info = run.program.load_network(options.teacher)
        self.network.to(options.device)
        self.weight, self.T = options.teacher_weight, options.temperature
        self.digest = checkpoint.digest(self.network.state_dict())
        if list(info["classes"]) != list(run.class_names):
            raise ValueError(f"--teacher: {options.teacher} names other classes than the images")
        for name in ("mean", "std"):
            if not np.allclose(info[name], getattr(run, name), atol=0.01):
                raise ValueError(
                    f"--teacher: {options.teacher} was trained on images of {name} {info[name]}, "
                    f"these have {getattr(run, name)}"
                )

    def mix(self, loss, logits, x):
        """The loss, and how far the softened probabilities are from the teacher's; T^2 keeps the
        size of their gradients."""
        with tn.no_grad():
            soft = F.softmax(self.network(x) / self.T, dim=1)
        far = F.cross_entropy(logits / self.T, soft) * self.T**2
        return (1 - self.weight) * loss + self.weight * far


def make_optimizer(options, groups):
    if options.optimizer == "sgd":
        return optim.SGD(groups, lr=options.lr, momentum=0.9, nesterov=True)
    return {"adam": optim.Adam, "adamw": optim.AdamW}[options.optimizer](groups, lr=options.lr)


def make_schedule(options, optimizer, steps):
    """The learning rate over the whole training, advanced after every step; steps: per epoch."""
    schedules, total = optim.lr_scheduler, options.epochs * steps
    warmup = None if options.warmup is None else round(options.warmup * steps)
    rest = total - (warmup or 0)
    if rest < 1:
        raise ValueError(f"--warmup {options.warmup:g}: there are only {options.epochs} epochs")
    if "swapped-cosine" in options.faults and options.schedule != "cosine":
        raise ValueError("--faults swapped-cosine: this is a fault of --schedule cosine")
    if options.schedule == "onecycle":
        # the highest rate is that of the step `warmup`, counted from 0
        share = {} if warmup is None else {"pct_start": (warmup + 1) / (total + 1)}
        highest = [group["lr"] for group in optimizer.param_groups]
        return schedules.OneCycleLR(optimizer, max_lr=highest, total_steps=total + 1, **share)
    if "swapped-cosine" in options.faults:
        after = schedules.LambdaLR(optimizer, lambda n: (1 - math.cos(math.pi * n / rest)) / 2)
    elif options.schedule == "cosine":
        after = schedules.CosineAnnealingLR(optimizer, T_max=rest)
    elif options.schedule == "multistep":
        milestones = [round(share * total) - (warmup or 0) for share in (0.5, 0.75, 0.9)]
        if milestones[0] < 1:
            raise ValueError(
                f"--warmup {options.warmup:g}: with --schedule multistep the rate falls after half "
                f"of the {options.epochs} epochs; let it rise in fewer"
            )
        after = schedules.MultiStepLR(optimizer, milestones, gamma=0.1)
    else:
        after = schedules.LambdaLR(optimizer, lambda n: 1.0)
    if not warmup:
        return after
    rising = schedules.LinearLR(optimizer, start_factor=1 / (warmup + 1), total_iters=warmup)
    return schedules.SequentialLR(optimizer, [rising, after], milestones=[warmup])
