"""The learning curves as a picture, whatever matplotlib finds around it."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from test_history import make

from tinynet.training import History, curves

ROOT = Path(__file__).resolve().parent.parent


def read_png(path):
    from matplotlib.image import imread

    return imread(path)[..., :3]


def share_of(picture, colour):
    """The share of pixels of a colour, given as '#RRGGBB'."""
    wanted = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return (np.abs(picture - wanted).max(axis=-1) < 0.02).mean()


@pytest.mark.parametrize("epochs", [1, 5, 100])
def test_the_picture_shows_both_curves(epochs, tmp_path):
    curves.plot(make(epochs), tmp_path / "curves.png")
    picture = read_png(tmp_path / "curves.png")
    assert picture.shape[0] > 600
    assert picture.shape[1] > 900
    for colour in (curves.TRAIN, curves.VALIDATION, curves.GREY):
        assert share_of(picture, colour) > 1e-4


@pytest.mark.parametrize("left_out", ["train", "val"])
def test_the_picture_shows_the_columns_that_are_there(left_out, tmp_path):
    history = History()
    for row in make(3).rows:
        history.append(**{name: row[name] for name in row if not name.startswith(left_out)})
    curves.plot(history, tmp_path / "curves.png")
    picture = read_png(tmp_path / "curves.png")
    for name, colour in (("train", curves.TRAIN), ("val", curves.VALIDATION)):
        assert (share_of(picture, colour) > 1e-4) == (name != left_out)


def test_a_picture_of_a_diverged_run(tmp_path):
    history = make(3)
    history.append(epoch=4, train_loss=float("nan"), val_loss=float("inf"), train_accuracy=0.0)
    curves.plot(history, tmp_path / "curves.png")
    nothing_finite = History()
    nothing_finite.append(epoch=1, train_loss=float("nan"), lr=0.0)
    curves.plot(nothing_finite, tmp_path / "nan.png")
    assert read_png(tmp_path / "nan.png").std() > 0


@pytest.mark.parametrize("rows", [[], [{"epoch": 1, "seconds": 3}]])
def test_a_history_without_curves_is_refused(rows, tmp_path):
    history = History()
    for row in rows:
        history.append(**row)
    with pytest.raises(ValueError, match="no epoch with a loss"):
        curves.plot(history, tmp_path / "curves.png")
    assert os.listdir(tmp_path) == []


@pytest.mark.filterwarnings("ignore:overflow encountered")
def test_numbers_that_cannot_be_drawn(tmp_path):
    history = History()
    history.append(epoch=1, train_loss=1e308)
    history.append(epoch=2, train_loss=-1e308)
    with pytest.raises(
        RuntimeError, match="the curves cannot be drawn for .*x.png .*Error"
    ) as error:
        curves.plot(history, tmp_path / "x.png")
    assert str(error.value).isprintable() and os.listdir(tmp_path) == []


def test_a_users_own_settings_change_nothing(tmp_path):
    curves.plot(make(3), tmp_path / "a.png")
    own = {"text.usetex": True, "axes.facecolor": "black", "savefig.dpi": 20, "figure.dpi": 20}
    with matplotlib.rc_context(own):
        curves.plot(make(3), tmp_path / "b.png")
        assert matplotlib.rcParams["figure.dpi"] == 20
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def in_a_process(code, **environment):
    """What a program prints that imports matplotlib for the first time."""
    begin = """
        import os, sys
        from tinynet.training import History, curves
        assert "matplotlib" not in sys.modules  # it takes a moment
        history = History()
        history.append(epoch=1, train_loss=2.0, lr=0.1)
    """
    environment = {**os.environ, **environment}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(begin) + textwrap.dedent(code)],
        cwd=ROOT,
        env={name: value for name, value in environment.items() if value is not None},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


DRAW = """
    curves.load()
    curves.plot(history, os.environ["PICTURE"])
    import matplotlib
    chosen = dict.__getitem__(matplotlib.rcParams, "backend")  # does not choose one, as [] does
    print(os.environ.get("MPLBACKEND"), chosen if isinstance(chosen, str) else None)
"""


@pytest.mark.parametrize(
    ("backend", "after"),
    [
        ("no-such-backend", "no-such-backend None"),
        ("module://no_such_package.backend", "module://no_such_package.backend module://no_such"),
        ("svg", "svg svg"),  # a later pyplot has what the user asked for
        ("", " None"),
        (None, "None None"),
    ],
)
def test_whatever_backend_a_notebook_hands_down(backend, after, tmp_path):
    path = tmp_path / "curves.png"
    assert in_a_process(DRAW, MPLBACKEND=backend, PICTURE=str(path)).startswith(after.strip())
    assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "around",
    [
        {"HOME": None, "MPLCONFIGDIR": None, "XDG_CONFIG_HOME": None, "XDG_CACHE_HOME": None},
        {"MPLCONFIGDIR": "/proc/no/such/folder"},
        {"MPLCONFIGDIR": "{file}"},
    ],
)
def test_without_a_place_for_settings(around, tmp_path):
    (tmp_path / "file").write_text("")
    path = tmp_path / "curves.png"
    around = {
        name: value and value.format(file=tmp_path / "file") for name, value in around.items()
    }
    in_a_process(DRAW, PICTURE=str(path), **around)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_without_matplotlib_a_sentence_says_so():
    code = """
        sys.modules["matplotlib"] = None
        for function in (curves.load, lambda: curves.plot(history, "x.png")):
            try:
                function()
            except RuntimeError as error:
                print(error)
    """
    said = in_a_process(code).splitlines()
    assert len(said) == 2 and said[0] == said[1]
    assert said[0].startswith("matplotlib, which draws the curves, cannot be imported (ModuleNotF")
