"""The command line of the training scripts."""

import argparse
import math

from tinynet import cores, parallel
from tinynet.files import expanded, printable
from tinynet.training.finetune import FROM_WEIGHTS

# Images per worker and step for --workers auto. With fewer, the statistics of a share are noise (Wu
# and He, "Group normalization", arXiv 1803.08494, figure 1).
FEWEST = 16
LARGEST_SEED = 2**63 - 1
PER_CORE = 16  # workers at most: more than one only wait for each other, but small tests want some

# What decides nothing about the weights that are learnt: a resumed run may have other values.
ELSEWHERE = (
    *("preset", "out", "resume", "overwrite", "data_dir", "mirror", "no_download", "device"),
    *("tf32", "workers", "tensorboard", "film"),
)
# What runs did before there was such an option; their records lack it.
SINCE = {"zoom": 1.0, "init": None, "freeze": [], "lr_scale": []}
FAULTS = ("softmax-twice", "test-statistics", "swapped-cosine")


def parse(program, arguments=None):
    """The options as a namespace: those of the command line, of --preset where it names none, and
    of the script."""
    parser, arguments = make_parser(program), expanded(arguments)
    first = parser.parse_known_args(arguments)[0]
    if first.preset:
        parser.set_defaults(**program.presets[first.preset])
    # with --init None stands for what the weights say, whatever a preset or the script would take
    start = {} if first.init is None else dict.fromkeys(FROM_WEIGHTS)
    options = parser.parse_args(arguments, argparse.Namespace(**start))
    if options.batch_size % options.accumulate:
        parser.error(
            f"--accumulate {options.accumulate} does not divide --batch-size {options.batch_size}"
        )
    return options


class Parser(argparse.ArgumentParser):
    def error(self, message):
        """One sentence; argparse would print all options before it."""
        self.exit(2, f"{self.prog}: error: {printable(message)}; see --help\n")


def make_parser(program):
    parser = Parser(
        prog=program.name,
        description=program.description,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,
    )
    groups = {}

    def group(title):
        groups["now"] = parser.add_argument_group(title)

    def add(*names, **details):
        groups["now"].add_argument(*names, **details)

    # fmt: off
    group("recipe")
    add("--preset", choices=tuple(program.presets),
        help="a recipe: values of the options below, each of which can still be given")
    group("images")
    add("--dataset", default="cifar100", choices=("cifar100", "stl10", "folder", "shapes"),
        help="folder: images of your own, --data-dir/train/CLASS/*.jpg and --data-dir/test/CLASS/; "
        "shapes: 100 classes that this program draws")
    add("--data-dir", default="data", metavar="PATH",
        help="folder or archive of the images; CIFAR-100 and STL-10 are downloaded there if they "
        "are missing")
    add("--mirror", metavar="URL", help="where else to download the archive from")
    add("--no-download", action="store_true", help="use local files only")
    add("--per-class", type=number(int, 2, 5000), metavar="N",
        help="for quick trials: only N training images of each class")
    add("--val-per-class", type=number(int, 1, 10**6), default=50, metavar="N",
        help="training images of each class held out for the validation curves")
    add("--resolution", type=number(int, 8, 1024), metavar="N",
        help="resize the images to N x N pixels; if not given they stay as they are")
    add("--augment", default="crop-flip", choices=("crop-flip", "none"),
        help="crop-flip: shift by an eighth of the image's size at most, and mirror, at random")
    add("--zoom", type=number(float, 1e-3, 1), default=1.0, metavar="SHARE",
        help="with crop-flip, in place of the shift: enlarge a part of each image to the whole, of "
        "at least this share of its area; 1: no")
    add("--cutout", type=number(int, 0, 1024), default=0, metavar="N",
        help="cover a square of N x N pixels of each image")
    add("--mixup", type=number(float, 0, 100), default=0.0, metavar="ALPHA",
        help="mix each image with another, in shares drawn from Beta(ALPHA, ALPHA)")
    group("network")
    add("--network", default="cifar-4x4", choices=tuple(program.networks),
        help="a network of mobilenet.py; those named after CIFAR suit 32x32 images")
    add("--width", type=number(float, 0.01, 8), default=0.5, help="width multiplier")
    add("--dropout", type=number(float, 0, 1), default=0.0,
        help="probability before the last layer")
    group("training")
    add("--epochs", type=number(int, 1, 10**6), default=20, help="passes over the training set")
    add("--batch-size", type=number(int, 2, 10**5), default=128, help="images per step")
    add("--accumulate", type=number(int, 1, 10**4), default=1, metavar="N",
        help="compute each step's gradient in N parts, for a batch that does not fit into memory")
    add("--optimizer", default="sgd", choices=("sgd", "adam", "adamw"),
        help="sgd: Nesterov, momentum 0.9")
    add("--lr", type=number(float, 0), default=0.4, help="the highest learning rate")
    add("--schedule", default="onecycle", choices=("onecycle", "cosine", "multistep", "constant"),
        help="course of the learning rate; multistep: a tenth after 50, 75 and 90%% of the steps; "
        "only a constant one can be extended by more --epochs on --resume")
    add("--warmup", type=number(float, 0, 10**6), metavar="EPOCHS",
        help="epochs in which the rate rises; if not given 30%% of them with onecycle, else none")
    add("--weight-decay", type=number(float, 0), default=2e-4,
        help="not applied to depthwise filters, BatchNorm and biases")
    add("--depthwise-weight-decay", type=number(float, 0), default=0.0,
        help="that of depthwise filters")
    add("--label-smoothing", type=number(float, 0, 1), default=0.1,
        help="share of the target that is spread over all classes")
    add("--clip-grad-norm", type=number(float, 0), default=0.0, metavar="NORM",
        help="shorten the gradient to this length where it is longer; 0: never")
    add("--ema", type=number(float, 0, 0.999999), default=0.0, metavar="DECAY",
        help="judge and keep a moving average of the weights, such as 0.999; 0: the weights")
    add("--teacher", metavar="FILE",
        help="learn from a trained network too: network.npz of another run")
    add("--teacher-weight", type=number(float, 0, 1), default=0.9,
        help="what the teacher counts for beside the labels")
    add("--temperature", type=number(float, 0.1, 100), default=4.0,
        help="by which the probabilities of both networks are softened for that")
    add("--faults", nargs="*", default=[], choices=FAULTS, metavar="FAULT",
        help="known faults of a published program, to see what they cost (preset julia): "
        f"{', '.join(FAULTS)}")
    add("--seed", type=number(int, 0, LARGEST_SEED), default=0,
        help="of weights, order and augmentation")
    group("fine-tuning")
    add("--init", metavar="FILE",
        help="begin with these weights: network.npz or the folder of another run, or a file of "
        "timm, torch, Keras or TensorFlow; they decide --network, --width and how images are "
        "normalised, and --resolution unless that is given")
    add("--freeze", nargs="+", action="extend", default=[], metavar="PREFIX",
        help="leave the parameters of these names as they are, such as: stem blocks.0")
    add("--lr-scale", nargs="+", action="extend", default=[], type=prefix_and_factor,
        metavar="PREFIX=FACTOR",
        help="multiply the learning rate of the parameters of these names, such as: blocks=0.1")
    group("files")
    add("--out", default="runs/train", metavar="DIR", help="folder for all that a run writes")
    add("--resume", action="store_true", help="go on from the checkpoint in --out")
    add("--overwrite", action="store_true", help="start anew, replacing what is in --out")
    add("--tensorboard", action="store_true",
        help="write the curves for TensorBoard as well; needs the extra tensorboard")
    add("--film", action="store_true",
        help="keep a snapshot of each epoch, and write film.html, a page to look through them")
    group("machine")
    add("--workers", type=number_of_workers, default="auto", metavar="N",
        help="processes that share every batch; auto: one for each core")
    add("--batchnorm", default="local", choices=("local", "sync"),
        help="statistics of each worker's share of a batch, or of all of it: slower, but then any "
        "number of workers learns what one would")
    add("--device", default="cpu", choices=("cpu", "cuda"), help="where to compute")
    add("--tf32", action="store_true",
        help="on a GPU, round the factors of matrix products to TF32: faster, 3 digits")
    # fmt: on
    parser.set_defaults(**program.defaults)
    return parser


def number(kind, low, high=math.inf):
    """An argparse type: an int or float within [low, high], refused in a sentence otherwise."""

    def parse(text):
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high or not math.isfinite(value):
            what = "a whole number" if kind is int else "a number"
            span = f"from {low} to {high}" if high < math.inf else f"from {low} up"
            shown = repr(text if len(text) <= 40 else text[:37] + "...")
            raise argparse.ArgumentTypeError(f"expected {what} {span}, got {shown}")
        return value

    return parse


def prefix_and_factor(text):
    """The argument PREFIX=FACTOR as it is, refused in a sentence where it is something else."""
    prefix, _, factor = text.rpartition("=")
    if not prefix:
        shown = repr(text if len(text) <= 40 else text[:37] + "...")
        raise argparse.ArgumentTypeError(f"expected PREFIX=FACTOR, such as blocks=0.1, got {shown}")
    number(float, 1e-6, 1e6)(factor)
    return text


def number_of_workers(text):
    return text if text == "auto" else number(int, 1, 1024)(text)


def workers_for(options):
    """How many workers to start; None under mpiexec, which has started them. Raises ValueError."""
    started = parallel.started()
    if started > 1 and options.workers != "auto":
        raise ValueError("--workers: mpiexec has started the workers already; leave it out")
    part = options.batch_size // options.accumulate
    workers = options.workers if started == 1 else started
    if workers == "auto":
        most = part // FEWEST if options.device == "cpu" else 1
        return max(1, min(cores.available(), most))
    if workers > part:
        asked = f"--workers {workers}" if started == 1 else f"mpiexec -n {workers}"
        raise ValueError(
            f"{asked}: a batch of {part} images cannot be shared by so many; take fewer workers, "
            "or raise --batch-size"
        )
    if started == 1 and workers > PER_CORE * cores.available():
        raise ValueError(
            f"--workers {workers}: there are {cores.available()} cores here; take about as many "
            "workers, or use mpiexec on several machines"
        )
    return workers if started == 1 else None


def recorded(options):
    """The options that decide what is learnt: a resumed run must have the same."""
    found = {name: value for name, value in vars(options).items() if name not in ELSEWHERE}
    return {**found, "teacher": options.teacher is not None}  # its file may have moved


def same_options(options):
    """Raises ValueError where this worker was started with other options than worker 0."""
    first = parallel.broadcast(recorded(options))
    for name, value in recorded(options).items():
        if value != first[name]:
            raise ValueError(
                f"{name} is {value} here and {first[name]} in worker 0; start all workers alike"
            )


def in_words(options, names):
    """Options as the list of arguments that gives them on a command line."""
    words = []
    for name in names:
        value = getattr(options, name)
        flag = "--" + name.replace("_", "-")
        if value is True:
            words.append(flag)
        elif isinstance(value, list):
            words += [flag, *value] if value else []
        elif str(value).startswith("-"):  # a name that would be taken for an option
            words.append(f"{flag}={value}")
        elif value is not None and value is not False:
            words += [flag, str(value)]
    return words
