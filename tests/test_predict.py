"""Networks in files, and what they say about images: mobilenet's predict."""

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import mobilenet
import tinynet as tn
from tinynet import predict
from tinynet.data.dataset import DataError
from tinynet.training import checkpoint

ROOT = Path(__file__).resolve().parent.parent
CLASSES = ["apple", "aquarium_fish", "baby", "bear", "beaver", "bed"]
FACTS = {
    "network": "cifar-2x2",
    "options": {"width": 0.05, "num_classes": 6},
    "classes": CLASSES,
    "mean": [0.5, 0.4, 0.3],
    "std": [0.25, 0.2, 0.3],
    "size": 32,
    "card": {"test_accuracy": 0.6358},
}
SHARES = np.array([0.02, 0.7, 0.1, 0.004, 0.05, 0.126])


def network():
    """A network that sees on every image what SHARES says."""
    model = mobilenet.build("cifar-2x2", 6, 0.05)
    model.classifier.weight.array[...] = 0
    model.classifier.bias.array[...] = np.log(SHARES)
    return model


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("network") / "net.npz"
    mobilenet.save_network(path, network(), **FACTS)
    return path


@pytest.fixture
def photo(tmp_path, rng):
    path = tmp_path / "photo.png"
    Image.fromarray(rng.integers(0, 256, (40, 60, 3), np.uint8)).save(path)
    return str(path)


def run(*arguments):
    """(exit status, what stands in the way of success)"""
    try:
        mobilenet.main(["predict", *map(str, arguments)])
    except SystemExit as stop:
        return stop.code
    return 0


# networks in files


@pytest.mark.parametrize("name", ["cifar-4x4", "bottleneck", "stl10", "tensorflow"])
def test_a_network_comes_back_bit_for_bit(name, tmp_path, rng):
    options = {"width": 0.25 if name == "stl10" else 0.05, "num_classes": 6}
    model = mobilenet.build(name, **options)
    for _, buffer in model.named_buffers():
        buffer.array[...] = 1 + rng.random(buffer.shape)
    facts = {**FACTS, "network": name, "options": options}
    mobilenet.save_network(tmp_path / "net.npz", model, **facts)
    again, info = mobilenet.load_network(tmp_path / "net.npz")
    assert not again.training and all(not module.training for module in again.modules())
    state, saved = again.state_dict(), model.state_dict()
    assert state.keys() == saved.keys()
    assert all((state[n].numpy() == saved[n].numpy()).all() for n in saved)
    assert all(state[n].dtype == saved[n].dtype for n in saved)
    x = tn.randn(2, 3, 32, 32)
    with tn.no_grad():
        assert (again(x).numpy() == model.eval()(x).numpy()).all()
    for key in ("network", "options", "classes", "size", "card"):
        assert info[key] == facts[key]
    assert info["mean"].tolist() == FACTS["mean"] and info["std"].tolist() == FACTS["std"]


def test_float16_halves_the_file_and_keeps_the_answers(tmp_path):
    facts = {**FACTS, "network": "cifar-4x4", "options": {"width": 0.5, "num_classes": 6}}
    model = mobilenet.build("cifar-4x4", width=0.5, num_classes=6).eval()
    for dtype in (None, "float16"):
        mobilenet.save_network(tmp_path / f"{dtype}.npz", model, dtype=dtype, **facts)
    sizes = [(tmp_path / f"{dtype}.npz").stat().st_size for dtype in (None, "float16")]
    assert sizes[1] < 0.56 * sizes[0]
    half, _ = mobilenet.load_network(tmp_path / "float16.npz")
    for name, value in half.state_dict().items():
        exact = model.state_dict()[name].numpy()
        assert value.dtype == exact.dtype
        if exact.ndim > 1:
            np.testing.assert_allclose(value.numpy(), exact, rtol=5e-4, atol=1e-7)
            assert (value.numpy() != exact).any()
        else:
            assert (value.numpy() == exact).all()
    x = tn.randn(4, 3, 32, 32)
    with tn.no_grad():
        np.testing.assert_allclose(half(x).numpy(), model(x).numpy(), atol=2e-2)


def training(**changes):
    """A checkpoint as the training script writes it."""
    return {
        "options": {"network": "cifar-2x2", "width": 0.05, "dropout": 0.3, "dataset": "cifar100"},
        "epochs_done": 3,
        "model": mobilenet.build("cifar-2x2", 6, 0.05, dropout=0.3).state_dict(),
        "optimizer": {"state": {}},
        "classes": CLASSES,
        "mean": np.array([0.5, 0.4, 0.3]),
        "std": np.array([0.25, 0.2, 0.3]),
        "test_accuracy": None,
        **changes,
    }


@pytest.mark.parametrize("by", ["file", "folder"])
def test_the_checkpoint_of_a_training_is_a_network_too(by, tmp_path):
    tree = training()
    checkpoint.save(tmp_path / "checkpoint.npz", tree)
    model, info = mobilenet.load_network(tmp_path / ("checkpoint.npz" if by == "file" else ""))
    assert (info["size"], info["classes"]) == (32, CLASSES)
    assert info["options"] == {"width": 0.05, "num_classes": 6}
    state = model.state_dict()
    assert all((state[n].numpy() == tree["model"][n].numpy()).all() for n in state)
    mobilenet.save_network(tmp_path / "net.npz", model, **info)  # from there into a file to ship
    assert mobilenet.load_network(tmp_path / "net.npz")[1]["classes"] == CLASSES


def test_of_a_training_with_averaged_weights_the_average_is_taken(tmp_path):
    average = tn.optim.swa_utils.AveragedModel(network(), use_buffers=True)
    tree = training(average=average.state_dict(), size=96, test={"accuracy": 0.25, "loss": 1.0})
    checkpoint.save(tmp_path / "checkpoint.npz", tree)
    model, info = mobilenet.load_network(tmp_path)
    assert (model.classifier.bias.numpy() == network().classifier.bias.numpy()).all()
    assert info["size"] == 96 and info["card"] == {"test_accuracy": 0.25}


def refused(path):
    with pytest.raises(ValueError) as error:
        mobilenet.load_network(path)
    text = str(error.value)
    assert str(path) in text and "\n" not in text, text
    return text


CHANGES = {
    "no network": ({"network": "resnet"}, "network must be one of"),
    "a network of a list": ({"network": ["x"]}, "unhashable"),
    "no options": ({"options": None}, "options must be a dict"),
    "an unknown option": ({"options": {"num_classes": 6, "depth": 3}}, "depth"),
    "another width": ({"options": {"num_classes": 6, "width": 0.25}}, "wrong shapes"),
    "a width of text": ({"options": {"num_classes": 6, "width": "x"}}, "width must be"),
    "a billion outputs": ({"options": {"width": 0.05, "num_classes": 10**9}}, "there are 6 names"),
    "too few names": ({"classes": ["a"]}, "num_classes is 6, but there are 1 names"),
    "names of numbers": ({"classes": [1, 2, 3, 4, 5, 6]}, "list of names"),
    "no names": ({"classes": 6}, "list of names"),
    "two means": ({"mean": [0.5, 0.5]}, "mean must be three numbers"),
    "a mean of text": ({"mean": "grey"}, "grey"),
    "an infinite mean": ({"mean": [0.5, 0.5, float("inf")]}, "mean must be three numbers"),
    "no deviation": ({"std": [0.5, 0.0, 0.5]}, "std must be three numbers"),
    "a size of text": ({"size": "32"}, "size must be a number of pixels, got '32'"),
    "a size of 0": ({"size": 0}, "size must be"),
    "a huge size": ({"size": 10**9}, "size must be"),
    "true as a size": ({"size": True}, "size must be"),
    "no weights": ({"model": None}, "model must be a dict, got NoneType"),
    "weights of lists": ({"model": {"stem.0.weight": [1]}}, "stem.0.weight"),
    "other weights": ({"model": {"x": np.zeros(3)}}, "missing"),
    "a card of text": ({"card": "good"}, "card must be a dict"),
}


@pytest.mark.parametrize(("changes", "words"), CHANGES.values(), ids=CHANGES)
def test_a_wrong_file_is_refused_in_one_sentence(changes, words, weights, tmp_path):
    checkpoint.save(tmp_path / "net.npz", {**checkpoint.load(weights), **changes})
    assert words in refused(tmp_path / "net.npz")


@pytest.mark.parametrize("kind", ["nan", "inf", "complex", "text"])
def test_weights_that_are_no_finite_numbers_are_refused(kind, weights, tmp_path):
    tree = checkpoint.load(weights)
    name = "blocks.3.pointwise.0.weight"
    bad = tree["model"][name].astype("U9" if kind == "text" else complex)
    tree["model"][name] = bad if kind in ("text", "complex") else bad.real * float(kind)
    checkpoint.save(tmp_path / "net.npz", tree)
    assert f"{name} must hold finite numbers" in refused(tmp_path / "net.npz")


@pytest.mark.parametrize(
    "left_out", ["network", "options", "classes", "mean", "std", "size", "model"]
)
def test_a_file_that_lacks_something_says_what(left_out, weights, tmp_path):
    tree = checkpoint.load(weights)
    del tree[left_out]
    checkpoint.save(tmp_path / "net.npz", tree)
    assert f"it has no '{left_out}'" in refused(tmp_path / "net.npz")


def test_the_card_may_be_missing(weights, photo, tmp_path, capsys):
    tree = checkpoint.load(weights)
    del tree["card"]
    checkpoint.save(tmp_path / "net.npz", tree)
    assert run(photo, "--weights", tmp_path / "net.npz") == 0
    assert capsys.readouterr().out.splitlines()[1] == photo


def test_other_files_are_refused(tmp_path, weights):
    for tree in (None, 3, [], {}, {"model": {}}, training(options={"dataset": "stl10"})):
        checkpoint.save(tmp_path / "net.npz", tree)
        refused(tmp_path / "net.npz")
    checkpoint.save(
        tmp_path / "net.npz", training(options={**training()["options"], "dataset": "x"})
    )
    assert "size must be a number of pixels, got None" in refused(tmp_path / "net.npz")
    (tmp_path / "net.npz").write_bytes(weights.read_bytes()[:-100])
    refused(tmp_path / "net.npz")
    (tmp_path / "net.npz").write_text("hello")
    refused(tmp_path / "net.npz")
    refused(tmp_path / "missing.npz")
    with pytest.raises(ValueError, match="checkpoint.npz"):
        mobilenet.load_network(tmp_path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"network": "resnet"}, "network must be one of"),
        ({"options": {"num_classes": 6, "width": 0.1}}, "wrong shapes"),
        ({"classes": CLASSES[:5]}, "there are 5 names"),
        ({"size": 32.5}, "size must be"),
        ({"dtype": "int8"}, "dtype must be None or 'float16', got 'int8'"),
        ({"dtype": "float16", "big": True}, "stem.0.weight must hold finite numbers"),
    ],
)
def test_nothing_is_saved_that_could_not_be_loaded(changes, words, tmp_path):
    model = network()
    if changes.pop("big", False):
        model.stem[0].weight.array[0, 0, 0, 0] = 1e5
    with pytest.raises(ValueError, match=words):
        mobilenet.save_network(tmp_path / "net.npz", model, **{**FACTS, **changes})
    assert os.listdir(tmp_path) == []


# images


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".npy"])
def test_an_image_of_the_right_size_is_taken_as_it_is(suffix, tmp_path, rng):
    array = rng.integers(0, 256, (32, 32, 3), np.uint8)
    path = tmp_path / f"image{suffix}"
    np.save(path, array) if suffix == ".npy" else Image.fromarray(array).save(path)
    assert (predict.read(path, 32) == np.moveaxis(array, 2, 0)).all()


@pytest.mark.parametrize("suffix", [".png", ".npy"])
@pytest.mark.parametrize("shape", [(64, 128), (128, 64), (10, 1000), (16, 20)])
def test_the_middle_is_cut_out(suffix, shape, tmp_path):
    H, W = shape
    array = np.zeros((H, W, 3), np.uint8)
    side = min(shape)
    top, left = (H - side) // 2, (W - side) // 2
    array[top : top + side, left : left + side] = (10, 100, 200)
    path = tmp_path / f"image{suffix}"
    np.save(path, array) if suffix == ".npy" else Image.fromarray(array).save(path)
    found = predict.read(path, 32)
    assert found.shape == (3, 32, 32)
    assert (found[:, 2:-2, 2:-2] == np.array([10, 100, 200])[:, None, None]).all()


def test_a_photo_taken_sideways_is_turned_upright(tmp_path, rng):
    array = rng.integers(0, 256, (32, 32, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show it turned by 90 degrees clockwise
    Image.fromarray(array).save(tmp_path / "image.png", exif=exif)
    expected = np.moveaxis(np.rot90(array, -1), 2, 0)
    assert (predict.read(tmp_path / "image.png", 32) == expected).all()


def test_grey_and_indexed_images_become_coloured(tmp_path):
    Image.new("L", (32, 32), 77).save(tmp_path / "grey.png")
    Image.new("RGB", (32, 32), (1, 2, 3)).quantize().save(tmp_path / "few.gif")
    assert (predict.read(tmp_path / "grey.png", 32) == 77).all()
    assert (predict.read(tmp_path / "few.gif", 32)[:, 5, 5] == (1, 2, 3)).all()


def test_what_is_no_image_is_named(tmp_path, photo):
    (tmp_path / "text.png").write_text("hello")
    (tmp_path / "cut.png").write_bytes(Path(photo).read_bytes()[:2000])
    (tmp_path / "empty.npy").write_bytes(b"")
    np.save(tmp_path / "grey.npy", np.zeros((8, 8), np.uint8))
    np.save(tmp_path / "float.npy", np.zeros((8, 8, 3)))
    np.save(tmp_path / "nothing.npy", np.zeros((0, 8, 3), np.uint8))
    np.save(tmp_path / "objects.npy", np.array([{}], object), allow_pickle=True)
    for name, words in (
        ("text.png", ""),
        ("cut.png", ""),
        ("missing.png", "is no file"),
        ("missing.npy", "it is no file"),
        ("", "is no file"),
        ("empty.npy", ""),
        ("grey.npy", r"expected a uint8 array (H, W, 3), got uint8 (8, 8)"),
        ("float.npy", "got float64"),
        ("nothing.npy", "got uint8 (0, 8, 3)"),
        ("objects.npy", ""),
    ):
        with pytest.raises(DataError) as error:
            predict.read(tmp_path / name, 32)
        text = str(error.value)
        assert text.startswith(f"{tmp_path / name} ") and words in text
        assert "\n" not in text


@pytest.mark.skipif(sys.platform == "win32", reason="named pipes of POSIX")
def test_a_named_pipe_is_not_waited_for(tmp_path):
    for name in ("pipe.png", "pipe.npy"):
        os.mkfifo(tmp_path / name)
        with pytest.raises(DataError, match="is no file"):
            predict.read(tmp_path / name, 32)


def test_pixels_reach_the_network_normalised(rng):
    images = rng.integers(0, 256, (2, 3, 32, 32), np.uint8)
    info = {**FACTS, "mean": np.array(FACTS["mean"]), "std": np.array(FACTS["std"])}
    seen = []

    def model(x):
        seen.append(x.numpy())
        return tn.tensor(np.log(SHARES)[None].repeat(2, 0))

    np.testing.assert_allclose(predict.probabilities(model, info, images), [SHARES, SHARES])
    mean, std = (np.array(FACTS[name])[:, None, None] for name in ("mean", "std"))
    np.testing.assert_allclose(seen[0], (images / 255 - mean) / std, rtol=1e-4, atol=1e-5)


# the terminal


def test_bars_are_as_long_as_the_shares():
    rows = [("apple", 1.0), ("bed", 0.5), ("baby", 1 / 320), ("bear", 0.0)]
    assert predict.bars(rows, 80) == [
        f"  apple  100.0 %  {'█' * 40}",
        f"    bed   50.0 %  {'█' * 20}",
        "   baby    0.3 %  ▏",
        "   bear    0.0 %",
    ]
    assert predict.bars(rows, 80, blocks=False)[:3] == [
        f"  apple  100.0 %  {'#' * 40}",
        f"    bed   50.0 %  {'#' * 20}",
        "   baby    0.3 %",
    ]


@pytest.mark.parametrize("width", [1, 24, 30, 40, 80, 200])
@pytest.mark.parametrize("blocks", [True, False])
def test_lines_fit_the_terminal(width, blocks):
    rows = [("a" * 100, 1.0), ("猫" * 50, 0.7), ("bed", 0.3)]
    for line in predict.bars(rows, width, blocks):
        assert predict._columns(line) <= max(width, 24)
    middles = {predict._columns(line.split(" %")[0]) for line in predict.bars(rows, width, blocks)}
    assert len(middles) == 1  # the percent signs stand below each other


def test_the_top_five_of_each_image(weights, photo, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setattr(predict, "has_blocks", lambda out: True)
    np.save(tmp_path / "array.npy", np.zeros((32, 32, 3), np.uint8))
    assert run(photo, tmp_path / "array.npy", "--weights", weights) == 0
    out, error = capsys.readouterr()
    table = [
        "  aquarium_fish   70.0 %  ███████████████████████▏",  # of 33 columns
        "            bed   12.6 %  ████▏",
        "           baby   10.0 %  ███▎",
        "         beaver    5.0 %  █▋",
        "          apple    2.0 %  ▋",
    ]
    head = "6 classes; 63.6 % of the test images were right"
    array = str(tmp_path / "array.npy")
    assert out.splitlines() == [head, "", photo, *table, "", array, *table]
    assert error == ""


def test_what_cannot_be_read_does_not_keep_the_others(weights, photo, tmp_path, capsys):
    assert run(tmp_path / "missing.jpg", photo, tmp_path, "--weights", weights) == 1
    out, error = capsys.readouterr()
    assert photo in out and out.count("aquarium_fish") == 1
    first, second = error.splitlines()
    assert first.startswith(f"{tmp_path / 'missing.jpg'} is no file")
    assert second.startswith(f"{tmp_path} is no file")


def test_fewer_than_five_classes_and_odd_names(tmp_path, photo, capsys):
    facts = {
        **FACTS,
        "options": {"width": 0.05, "num_classes": 2},
        "classes": ["a\x1b[2Jb\n", "猫"],
    }
    model = mobilenet.build("cifar-2x2", 2, 0.05)
    mobilenet.save_network(tmp_path / "net.npz", model, **{**facts, "card": None})
    assert run(photo, "--weights", tmp_path / "net.npz") == 0
    out = capsys.readouterr().out
    assert len(out.splitlines()) == 4 and "a\ufffd[2Jb\ufffd" in out and "\x1b" not in out


def test_the_default_is_the_network_that_ships(weights, photo, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(mobilenet, "WEIGHTS", weights)
    assert run(photo) == 0
    assert "aquarium_fish" in capsys.readouterr().out
    monkeypatch.setattr(mobilenet, "WEIGHTS", tmp_path / "gone.npz")
    missing = (
        f"mobilenet.py: there is no {tmp_path / 'gone.npz'}; name the weights with --weights FILE"
    )
    assert run(photo) == missing


def test_refusals(photo, tmp_path, capsys):
    assert run() == 2
    assert "error: name one image or more" in capsys.readouterr().err
    assert "cannot read the checkpoint" in run(photo, "--weights", tmp_path / "no.npz")
    if not tn.cuda_available():
        assert "cuda" in run(photo, "--weights", tmp_path / "no.npz", "--device", "cuda")


def shell(*arguments, **environment):
    command = [sys.executable, ROOT / "mobilenet.py", "predict", *map(str, arguments)]
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("LC_", "LANG", "PYTHONIO"))}
    return subprocess.run(command, env={**clean, **environment}, capture_output=True)


@pytest.mark.skipif(sys.platform == "win32", reason="locales of POSIX")
@pytest.mark.parametrize(
    ("environment", "encoding"),
    [
        ({"LC_ALL": "C"}, "ascii"),
        ({"LC_ALL": "POSIX"}, "ascii"),
        ({"LC_ALL": "C.UTF-8"}, "utf-8"),
        ({"LC_ALL": "C.UTF-8", "PYTHONIOENCODING": "latin-1"}, "latin-1"),
    ],
)
def test_bars_follow_the_encoding_of_the_terminal(environment, encoding, weights, photo):
    done = shell(photo, "--weights", weights, **environment)
    assert (done.returncode, done.stderr) == (0, b"")
    mark = "█" if encoding == "utf-8" else "#"
    assert f"aquarium_fish   70.0 %  {mark * 20}" in done.stdout.decode(encoding)


@pytest.mark.skipif(sys.platform == "win32", reason="file names of bytes")
def test_a_path_that_is_no_text_of_the_terminal(weights, tmp_path):
    name = os.path.join(os.fsencode(tmp_path), b"caf\xe9.png")
    Image.new("RGB", (32, 32)).save(io.FileIO(name, "w"), format="png")
    for environment in ({"PYTHONIOENCODING": "utf-8"}, {"PYTHONIOENCODING": "ascii"}):
        done = shell(
            os.fsdecode(name), os.fsdecode(name + b"x"), "--weights", weights, **environment
        )
        assert done.returncode == 1 and b"aquarium_fish" in done.stdout
        assert b"Traceback" not in done.stderr and done.stderr.count(b"\n") == 1


def test_a_reader_that_goes_away_is_no_traceback(weights, photo):
    command = [sys.executable, ROOT / "mobilenet.py", "predict", *[photo] * 3, "--weights", weights]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == 1


@pytest.mark.parametrize("closed", ["stdout", "stderr"])
def test_streams_that_are_closed_from_the_start(weights, photo, monkeypatch, closed):
    monkeypatch.setattr(sys, closed, None)
    assert run("--weights", weights, photo) == 0
    assert run("--weights", weights, "missing.png", photo) == 1


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_a_full_disk_under_its_output(weights, photo):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, ROOT / "mobilenet.py", "predict", "--weights", weights, photo],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 1
    assert done.stderr.startswith("mobilenet.py: cannot write what it found (No space left")
    assert len(done.stderr.splitlines()) == 1


def test_a_network_whose_numbers_overflow(tmp_path, photo, capsys):
    model = network()
    model.classifier.weight.array[...] = 3e38
    for module in model.modules():
        if isinstance(module, tn.nn.BatchNorm2d):
            module.weight.array[...] = 1e20
    mobilenet.save_network(tmp_path / "net.npz", model, **FACTS)
    assert run("--weights", tmp_path / "net.npz", photo) == 1
    said = capsys.readouterr().err
    assert said == f"{photo}: the network's numbers overflow; its file is damaged\n"


def test_what_a_damaged_network_says_of_itself_is_not_printed(tmp_path, weights, photo, capsys):
    tree = checkpoint.load(weights)
    for wrong in (1.5, float("nan"), -1.0, "\x1b[31m"):
        checkpoint.save(tmp_path / "net.npz", {**tree, "card": {"test_accuracy": wrong}})
        assert run("--weights", tmp_path / "net.npz", photo) == 0
        assert "of the test images" not in capsys.readouterr().out
    options = {**tree["options"], "num_classes": "\x1b[31m\n"}
    checkpoint.save(tmp_path / "net.npz", {**tree, "options": options})
    assert run("--weights", tmp_path / "net.npz", photo).isprintable()
