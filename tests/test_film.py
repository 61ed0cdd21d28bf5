"""--film: the snapshots of a training, and the page that shows them, in a real browser."""

import base64
import json
import re
import signal
from types import SimpleNamespace

import numpy as np
import pytest
from browser import open_page  # noqa: F401  (a fixture)
from tiny_training import assert_same, learnt, script, stop_in_batch

import mobilenet
import tinynet as tn
from tinynet import nn, optim
from tinynet.data import Loader
from tinynet.data.dataset import ImageSet
from tinynet.training import checkpoint
from tinynet.training import film as film_module
from tinynet.training.film import Film
from tinynet.training.history import History

pytest_plugins = ["tiny_training"]
EPOCHS = [0, 1, 2]


def frames(out):
    return checkpoint.load(out / "film.npz")["frames"]


def assert_same_frames(found, wanted):
    assert found.keys() == wanted.keys()
    for name, array in wanted.items():
        np.testing.assert_array_equal(found[name], array, name)


def data_of(path):
    return json.loads(re.search(r'id="data">(.*?)</script>', path.read_text("utf-8"), re.S)[1])


@pytest.fixture(scope="module")
def filmed(tmp_path_factory, sets):
    """The folder of a training with a film, of two epochs."""
    from tiny_training import quick

    out = tmp_path_factory.mktemp("filmed")
    with pytest.MonkeyPatch.context() as patch:
        quick.__wrapped__(patch, sets)
        script(out, "--film")
    return out


# What is kept, and that nothing is changed or lost by it


def test_what_is_learnt_is_the_same_with_a_film(filmed, whole):
    assert_same(learnt(filmed), learnt(whole))
    assert not (whole / "film.npz").exists() and not (whole / "film.html").exists()
    cards = [(folder / "model-card.md").read_text() for folder in (filmed, whole)]
    assert ["(film.html)" in card for card in cards] == [True, False]


def test_there_is_a_snapshot_of_the_start_and_of_each_epoch(filmed):
    found = frames(filmed)
    assert found["epoch"].tolist() == EPOCHS
    tree = checkpoint.load(filmed / "film.npz")
    assert found["gradients"].shape == (3, len(tree["layers"]))
    assert found["norms"].shape == (3, len(tree["norms"]), 3, 5)
    assert tree["layers"][:2] == ["stem.0", "blocks.0.depthwise.0"]
    assert (found["gradients"] > 0).all()
    assert len({array.tobytes() for array in found["filters0"]}) == 3  # they do change
    data = data_of(filmed / "film.html")
    rows = checkpoint.load(filmed / "checkpoint.npz")["history"]["rows"]
    assert [row[:1] + row[2:4] for row in data["curves"]] == [
        [row["epoch"], *(pytest.approx(row[f"{n}_loss"], rel=1e-3) for n in ("train", "val"))]
        for row in rows
    ]


@pytest.mark.parametrize("batch", [2, 6])
def test_a_run_stopped_and_resumed_has_the_film_of_one_in_one_go(
    quick, filmed, tmp_path, monkeypatch, batch
):
    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        stop_in_batch(batch, patch, signal.SIGTERM)
        script(tmp_path, "--film")
    before = frames(tmp_path)["epoch"].tolist()
    assert before == EPOCHS[: len(before)] and len(before) < 3
    script(tmp_path, "--film", "--resume")
    assert_same_frames(frames(tmp_path), frames(filmed))
    assert data_of(tmp_path / "film.html") == data_of(filmed / "film.html")


def test_killed_between_checkpoint_and_film_the_snapshot_is_taken_on_resume(
    quick, filmed, tmp_path
):
    copied = copy(filmed, tmp_path)
    tree = checkpoint.load(copied / "film.npz")
    tree["frames"] = {name: array[:2] for name, array in tree["frames"].items()}
    checkpoint.save(copied / "film.npz", tree)
    script(copied, "--film", "--resume")
    assert_same_frames(frames(copied), frames(filmed))


def test_snapshots_of_epochs_that_are_trained_again_are_forgotten(quick, filmed, tmp_path):
    script(tmp_path, "--film", "--epochs", "1")
    later = (filmed / "film.npz").read_bytes()
    (tmp_path / "film.npz").write_bytes(later)
    script(tmp_path, "--film", "--resume", "--epochs", "1")
    assert frames(tmp_path)["epoch"].tolist() == [0, 1]
    script(tmp_path, "--film", "--resume")
    assert_same_frames(frames(tmp_path), frames(filmed))


def test_a_film_can_begin_late_and_pause(quick, filmed, tmp_path):
    script(tmp_path, "--epochs", "1")
    script(tmp_path, "--film", "--resume")
    assert frames(tmp_path)["epoch"].tolist() == [1, 2]
    script(tmp_path, "--resume", "--epochs", "3")  # without it the film stays as it is
    assert frames(tmp_path)["epoch"].tolist() == [1, 2]
    script(tmp_path, "--film", "--resume", "--epochs", "4")
    assert frames(tmp_path)["epoch"].tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize("damage", ["text", "other", "network"])
def test_a_film_that_cannot_be_read_is_named_and_started_anew(
    quick, filmed, tmp_path, capsys, damage
):
    path = copy(filmed, tmp_path) / "film.npz"
    tree = checkpoint.load(path)
    if damage == "text":
        path.write_text("no film")
    else:
        checkpoint.save(path, {"a": 1} if damage == "other" else {**tree, "layers": ["x"]})
    script(tmp_path, "--film", "--resume")
    assert frames(tmp_path)["epoch"].tolist() == [2]
    said = capsys.readouterr().err
    assert said.count("film.npz cannot be used (") == 1 and "starts anew here" in said


@pytest.mark.parametrize("method", ["save", "write_page", "_snapshot"])
def test_a_film_that_cannot_be_written_is_a_warning(
    quick, whole, tmp_path, capsys, monkeypatch, method
):
    def fail(*_):
        raise OSError("cannot write: the disk is full")

    monkeypatch.setattr(Film, method, fail)
    script(tmp_path, "--film")
    assert_same(learnt(tmp_path), learnt(whole))
    name = "film.html" if method == "write_page" else "film.npz"
    said = capsys.readouterr().err
    assert said.count(f"{name} is not written (cannot write: the disk is full)") == 1


def test_overwriting_leaves_nothing_of_the_earlier_film(quick, filmed, tmp_path):
    copied = copy(filmed, tmp_path)
    script(copied, "--overwrite", "--epochs", "1", "--film", "--seed", "1")
    assert frames(copied)["epoch"].tolist() == [0, 1]
    script(copied, "--overwrite", "--epochs", "1")
    assert not (copied / "film.npz").exists() and not (copied / "film.html").exists()


def test_worker_0_films(tmp_path):
    script(tmp_path, "--film", "--workers", "2", "--epochs", "1", "--batchnorm", "sync")
    assert frames(tmp_path)["epoch"].tolist() == [0, 1]
    assert (tmp_path / "film.html").exists()


def copy(source, target):
    for path in source.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    return target


# One snapshot, against numbers computed here

HOSTILE = ("<img src=x onerror=alert(1)>", "</script><b>", "{{script}} & {{data}}")


def made_run(names=HOSTILE, epochs=0, size=16):
    """What a Film asks of a Run, with a small network."""
    rng = np.random.default_rng(0)
    count = 6
    images = rng.integers(0, 256, (count, 3, size, size), np.uint8)
    labels = np.arange(count) % len(names)
    tn.manual_seed(0)
    model = mobilenet.build("cifar-2x2", len(names), 0.1)
    mean, std = np.array([0.4, 0.5, 0.6]), np.array([0.2, 0.3, 0.25])

    def loader(image_set, batch_size, **options):
        return Loader(image_set, batch_size, mean, std, **options)

    return SimpleNamespace(
        model=model,
        result=model,
        val_set=ImageSet(images, labels, tuple(names)),
        loader=loader,
        criterion=nn.CrossEntropyLoss(),
        optimizer=optim.SGD(model.parameters(), lr=0.1),
        progress=SimpleNamespace(batches=0),
        options=SimpleNamespace(
            network="cifar-2x2", width=0.1, epochs=max(1, epochs), device="cpu", resume=False
        ),
        epochs_done=0,
        history=History(),
        mean=mean,
        std=std,
    )


def test_a_snapshot_is_what_the_network_does():
    run = made_run()
    for buffer in run.model.buffers():
        if buffer.dtype.kind == "f":
            buffer.copy_(tn.Tensor(buffer.numpy() + np.float32(0.25)))
    state = {name: value.numpy().copy() for name, value in run.model.state_dict().items()}
    film = Film(run)
    film.take(run)
    frame = {name: parts[0] for name, parts in film.frames.items()}
    for name, value in run.model.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), state[name], name)  # nothing has moved
    assert all(p.grad is None or not p.grad.numpy().any() for p in run.model.parameters())

    pixels = film.set.images / 255
    x = tn.Tensor(
        ((pixels - run.mean.reshape(3, 1, 1)) / run.std.reshape(3, 1, 1)).astype(np.float32)
    )
    logits = run.model.eval()(x).numpy()
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert (frame["best"][:, 0] == logits.argmax(axis=1)).all()
    np.testing.assert_allclose(frame["shares"], -np.sort(-shares, axis=1), rtol=1e-4)
    run.criterion(run.model.train()(x), tn.Tensor(film.set.labels)).backward()
    modules = dict(run.model.named_modules())
    for name, size in zip(film.layers, frame["gradients"], strict=True):
        gradient = modules[name].weight.grad.numpy()
        assert size == pytest.approx(np.linalg.norm(gradient) / gradient.size**0.5, rel=1e-3)
    weight = modules["stem.0"].weight.numpy()
    largest = np.abs(weight).max(axis=(1, 2, 3), keepdims=True)
    np.testing.assert_allclose((frame["filters0"] - 128.0) / 127 * largest, weight, atol=0.01)
    norm = modules[film.norms[3]]
    deviation = np.sqrt(state[f"{film.norms[3]}.running_var"])
    low, _, middle, _, high = frame["norms"][3][1]
    assert [low, middle, high] == pytest.approx(
        [deviation.min(), np.median(deviation), deviation.max()]
    )
    assert frame["norms"][3][2].tolist() == [1] * 5 and norm.weight.shape[0] == len(deviation)


def test_within_an_epoch_and_twice_nothing_is_taken():
    run = made_run()
    film = Film(run)
    run.progress.batches = 3
    film.take(run)
    assert film.frames == {}
    run.progress.batches = 0
    film.take(run)
    film.take(run)
    assert [int(epoch) for epoch in film.frames["epoch"]] == [0]


# The page


def trained(epochs=4, **options):
    """A Film of a network that learns a little, and its run."""
    run = made_run(epochs=epochs, **options)
    film = Film(run)
    film.take(run)
    for epoch in range(1, epochs + 1):
        for name in film.layers[:3]:
            weight = dict(run.model.named_modules())[name].weight
            weight.data.copy_(weight.detach() * 1.5 + 0.01 * epoch)
        run.epochs_done = epoch
        run.history.append(
            epoch=epoch, lr=0.1 / epoch, train_loss=2 / epoch, val_loss=3 / epoch,
            train_accuracy=epoch / 10, val_accuracy=epoch / 20,
        )  # fmt: skip
        film.take(run)
    return film, run


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("film") / "film.html"
    film, run = trained()
    film.write_page(path, run)
    return path


def now(page):
    return page.inner_text("#now")


def test_slider_buttons_and_keys_go_through_the_epochs(file, open_page):  # noqa: F811
    page = open_page(file)
    assert now(page).startswith("Epoch 4 of 4 · loss 0.500 in training, 0.750 in validation")
    assert "accuracy 40.0 % and 20.0 %" in now(page) and page.locator("#next").is_disabled()
    page.click("#previous")
    assert now(page).startswith("Epoch 3 of 4")
    page.keyboard.press("Home")
    assert now(page) == "Epoch 0 of 4 · before the first step: nothing is learnt yet"
    assert page.locator("#previous").is_disabled()
    page.keyboard.press("ArrowRight")
    assert now(page).startswith("Epoch 1 of 4")
    page.locator("#slider").fill("2")
    assert now(page).startswith("Epoch 2 of 4")
    assert page.get_attribute("#slider", "aria-valuetext") == "Epoch 2 of 4"
    assert page.evaluate("location.hash") == "#epoch=2"
    page.keyboard.press("End")
    assert now(page).startswith("Epoch 4 of 4")


def test_a_link_opens_an_epoch_and_play_goes_on_to_the_end(file, open_page):  # noqa: F811
    page = open_page(f"{file.as_uri()}#epoch=3")
    assert now(page).startswith("Epoch 3 of 4")
    page.keyboard.press(" ")
    page.get_by_text("Epoch 4 of 4").wait_for()
    page.get_by_role("button", name="Play").wait_for()
    page.click("#play")  # at the end it starts again
    assert now(page).startswith("Epoch 0") and page.inner_text("#play") == "Pause"


def test_names_are_only_text(file, open_page):  # noqa: F811
    page = open_page(file)
    labels = page.locator("#predictions b").all_inner_texts()
    assert [label[2:] for label in labels] == [HOSTILE[i % 3] for i in label_order(file)]
    said = page.locator("#predictions .said span").all_inner_texts()
    assert set(said) == set(HOSTILE)
    assert page.locator("img").count() == 0
    policy = page.get_attribute("meta[http-equiv=Content-Security-Policy]", "content")
    assert "default-src 'none'" in policy and "http" not in policy


def label_order(file):
    return [HOSTILE.index(label) for label in data_of(file)["labels"]]


def test_what_is_drawn_is_what_was_kept(file, open_page):  # noqa: F811
    page = open_page(f"{file.as_uri()}#epoch=2")
    data = data_of(file)
    frame = data["frames"][2]
    N, C, H, W = data["filters"][0]["shape"]
    weights = np.frombuffer(base64.b64decode(frame["filters0"]), np.uint8).reshape(N, C, H, W)
    found = page.evaluate(
        "(() => { const c = document.querySelector('#filters canvas');"
        "const i = c.getContext('2d').getImageData(0, 0, c.width, c.height);"
        "return [c.width, Array.from(i.data)]; })()"
    )
    pixels = np.array(found[1]).reshape(-1, found[0], 4)
    for n in (0, 1, N - 1):
        top, left = n // min(N, 8) * (H + 1), n % min(N, 8) * (W + 1)
        drawn = pixels[top : top + H, left : left + W, :3]
        np.testing.assert_array_equal(drawn, np.moveaxis(weights[n], 0, -1))
    shares = [f"{round(100 * share)} %" for share in np.ravel(frame["shares"])]
    text = page.locator("#predictions .said").all_inner_texts()
    assert [line.split("\n")[-1].strip() for line in text] == shares
    columns = page.locator("#gradients .column")
    assert columns.count() == len(data["layers"])
    tall = [float(c.get_attribute("height")) for c in columns.all()[:6]]
    assert np.argsort(tall).tolist() == np.argsort(frame["gradients"][:6]).tolist()
    page.select_option("#layer", label=data["layers"][4])
    value = float(re.search(r"gradient (\S+),", page.inner_text("#size"))[1])
    assert value == pytest.approx(frame["gradients"][4], rel=0.06)
    for statistic in ("running mean", "running standard deviation", "weight (γ)"):
        page.select_option("#statistic", label=statistic)
        assert page.locator("#norms .box").count() == len(data["norms"])


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_it_without_scrolling_sideways(file, open_page, scheme):  # noqa: F811
    page = open_page(file, width=390, height=844, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(255, 255, 255)") == (scheme == "light")


def test_every_control_has_a_name_and_is_reached_by_tab(file, open_page):  # noqa: F811
    page = open_page(f"{file.as_uri()}#epoch=2")
    unnamed = "all => all.filter(e => !e.labels.length && !e.getAttribute('aria-label')).length"
    assert page.eval_on_selector_all("input, select", unnamed) == 0
    reached = []
    for _ in range(6):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id"))
    assert reached == ["previous", "play", "next", "slider", "layer", "statistic"]


def test_numbers_that_are_not_finite_leave_gaps(tmp_path, open_page):  # noqa: F811
    film, run = trained(epochs=2)
    film.frames["gradients"][1][:2] = np.nan, np.inf
    film.frames["norms"][1][0] = np.nan
    film.write_page(tmp_path / "film.html", run)
    page = open_page(f"{(tmp_path / 'film.html').as_uri()}#epoch=1")
    layers = len(film.layers)
    assert page.locator("#gradients .column").count() == layers - 2
    assert page.inner_text("#size").startswith("gradient not finite")


def test_a_long_film_leaves_epochs_out_and_says_so(tmp_path, open_page, monkeypatch):  # noqa: F811
    film, run = trained(epochs=5)
    film.write_page(tmp_path / "whole.html", run)
    monkeypatch.setattr(film_module, "LIMIT", (tmp_path / "whole.html").stat().st_size - 100)
    film.write_page(tmp_path / "film.html", run)
    assert [frame["epoch"] for frame in data_of(tmp_path / "film.html")["frames"]] == [0, 2, 4, 5]
    page = open_page(tmp_path / "film.html")
    assert "the page has one of 2 epochs" in page.inner_text("#notice")
    assert now(page).startswith("Epoch 5 of 5")


def test_large_images_and_few_layers(tmp_path, open_page):  # noqa: F811
    """Images beyond 64 pixels are reduced; a network of one layer has no filters and no norms."""
    run = made_run(names=("a", "b", "c"), size=130)
    run.model = run.result = nn.Sequential(nn.Flatten(), nn.Linear(3 * 130 * 130, 3))
    run.optimizer = optim.SGD(run.model.parameters(), lr=0.1)
    film = Film(run)
    film.take(run)
    film.write_page(tmp_path / "film.html", run)
    assert data_of(tmp_path / "film.html")["images"]["size"] == [44, 44]
    page = open_page(tmp_path / "film.html")
    assert now(page).startswith("Epoch 0") and page.locator("#norms").is_hidden()
    assert page.locator("#filters canvas").count() == 0
