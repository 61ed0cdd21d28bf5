"""The end of a training: the test set, read once, and what is made of it to look at."""

import tinynet as tn
from tinynet import nn, parallel
from tinynet.nn import functional as F
from tinynet.summary import summary
from tinynet.training import finetune
from tinynet.training.console import short, tell, warn
from tinynet.training.loop import judge, outputs
from tinynet.training.options import in_words, parse, recorded
from tinynet.training.sources import load_set

PICTURES = "curves.png", "confusion.png", "predictions.png", "worst.png", "filters.png"
SETS = {
    "cifar100": "CIFAR-100",
    "stl10": "STL-10",
    "folder": "images of a folder",
    "shapes": "drawn shapes",
}


def finish(run):
    """Read the test set, unless that was done before; save, draw and tell the result. To be called
    by all workers."""
    reporting = reports() if parallel.rank == 0 else None
    if run.test is None:  # once, with the weights of the last epoch
        test_set = load_set(run.options, "test")
        if test_set.class_names != run.class_names:
            raise parallel.WorkerError("the test images have other classes than the training ones")
        logits = outputs(run.result, run.loader(test_set), run.options.device)
        run.test = judge(logits, test_set.labels, run.criterion)
        run.test_reads += 1
        if reporting:  # before it is saved that the set was read: a run killed here draws anew
            draw(reporting[1], run, test_set, logits)
    run.save()
    if parallel.rank:
        return
    run.try_to(run.write_network, "network.npz")
    if reporting:
        made = [
            name for name in (*PICTURES, "film.html", "history.csv") if (run.out / name).exists()
        ]
        run.try_to(lambda path: reporting[0].model_card(path, facts(run, made)), "model-card.md")
    shown = {name: f"{value:.2%}" for name, value in run.test.items() if name != "loss"}
    tell(f"test accuracy (last epoch): {shown['accuracy']}, top 5 {shown['top5']}")
    for what, name in (
        ("curves", "curves.png"),
        ("some predictions", "predictions.png"),
        ("the network", "network.npz"),
        ("all about it", "model-card.md"),
        ("the film of its training", "film.html"),
        ("checkpoint", "checkpoint.npz"),
    ):
        if (run.out / name).exists():
            tell(f"{what}: {short(run.out / name)}")


def reports():
    """The modules that write the model card and the pictures; None where they do not load."""
    try:
        from tinynet.training import card, report  # they load matplotlib, which may fail

        return card, report
    except Exception as error:
        return warn(f"no pictures and no model card ({error})")


def draw(report, run, test_set, logits):
    """Pictures of what the network says about the test images."""
    labels, names = test_set.labels, test_set.class_names
    probabilities = F.softmax(tn.Tensor(logits), dim=1).numpy()
    predicted, above = probabilities.argmax(axis=1), test_set.superclass_of
    rows = names if above is None else test_set.superclasses
    shown = (test_set.images, labels, probabilities, names)
    first, second = [m.weight.numpy() for m in run.result.modules() if isinstance(m, nn.Conv2d)][:2]
    second = second if second.shape[1] == 1 else None  # of a network without depthwise filters
    for name, make in {
        "confusion.png": lambda path: report.confusion(predicted, labels, rows, path, above),
        "worst.png": lambda path: report.worst(*shown, path),
        "predictions.png": lambda path: report.predictions(*shown, path),
        "filters.png": lambda path: report.filters(first, path, second),
    }.items():
        run.try_to(make, name)


def facts(run, made):
    """What is known of the network, for its card. made: the files beside the card."""
    from tinynet.training.card import machine

    options, last = run.options, run.history.rows[-1]
    size = run.size
    cost = summary(run.result, (3, size, size))
    network, seconds = run.out / "network.npz", sum(row["seconds"] for row in run.history.rows)
    recipe = {**recorded(options), "teacher": options.teacher}
    return {
        "title": f"MobileNetV1 on {SETS[options.dataset]}",
        "origin": finetune.described(run),
        "network": options.network,
        "width": options.width,
        "size": size,
        "classes": run.class_names,
        "accuracy": {
            "test": (run.test["accuracy"], run.test["top5"]),
            "validation": (last["val_accuracy"], last["val_top5"]),
        },
        "test_reads": run.test_reads,
        "data": SETS[options.dataset],
        "images": {"training": len(run.train_set), "validation": len(run.val_set)},
        "held_out": f"{options.val_per_class} images of each class",
        "options": {name: value for name, value in recipe.items() if value not in (None, [])},
        "parameters": cost.parameters,
        "mult_adds": cost.mult_adds,
        **({"file_size": network.stat().st_size} if network.exists() else {}),
        "seconds": seconds,
        "images_per_second": len(run.history) * len(run.train_set) / seconds,
        "machine": {**machine(), "workers": parallel.size},
        "files": made,
        "weights": network,
        "command": ["python", run.program.name, *given(options, run.program)],
    }


def given(options, program):
    """The options that differ from the script's own, as they stand on a command line."""
    usual, names = parse(program, []), recorded(options)
    names = [n for n in (*names, "data_dir") if getattr(options, n) != getattr(usual, n)]
    return in_words(options, names)
