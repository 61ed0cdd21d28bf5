"""Figures of the walk: what they say and show, that nothing overlaps, and the GIF."""

import itertools
import re
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

import tinynet as tn
import tinynet.nn.functional as F
from tinynet import stepper
from tinynet.stepper.lessons import LESSONS
from tinynet.stepper.plots import animate, plot_step
from tinynet.stepper.plots.heat import picture


def leaf(*shape, seed=0):
    values = np.round(np.random.default_rng(seed).standard_normal(shape), 1)
    return tn.Tensor(values, requires_grad=True)


def recorded(build, *leaves):
    with stepper.record():
        return build(*leaves)


def lesson(name):
    return stepper.Trace(LESSONS[name].build())


def back(trace, k):
    """The number of the k-th step back."""
    return trace.frame_of(trace.steps[k])


def texts(figure):
    return [text.get_text() for text in figure.findobj(Text) if text.get_text().strip()]


def heat(figure, title):
    """The cells of the heat map of that title, and the limits of its colours."""
    (axes,) = (axes for axes in figure.axes if axes.get_label() == title)
    (image,) = axes.images
    return image.get_array(), image.get_clim()


def overlaps(figure):
    """Pairs of texts that lie over each other, and texts that are small or not wholly shown."""
    figure.canvas.draw()
    renderer, found, boxes = figure.canvas.get_renderer(), [], []
    width, height = figure.canvas.get_width_height()
    for text in figure.findobj(Text):
        if text.get_visible() and text.get_text().strip():
            box = text.get_window_extent(renderer)
            boxes.append((text.get_text(), box))
            outside = min(box.x0, box.y0) < 0 or box.x1 > width or box.y1 > height
            if outside or text.get_fontsize() < 9:
                found.append(text.get_text())
    for (a, first), (b, second) in itertools.combinations(boxes, 2):
        across = min(first.x1, second.x1) - max(first.x0, second.x0)
        down = min(first.y1, second.y1) - max(first.y0, second.y0)
        if across > 1 and down > 2:  # pixels
            found.append((a, b))
    return found


WIDE = ("wide", lambda: recorded(lambda: F.relu6(tn.cat([leaf(2, 2) for _ in range(7)])).sum()))
SKIPS = ("skips", lambda: recorded(lambda x: ((x.exp() * 2).sqrt() + x) * x, leaf(1)))
GRAPHS = {**{name: LESSONS[name].build for name in LESSONS}, **dict((WIDE, SKIPS))}


@pytest.mark.parametrize("name", GRAPHS)
def test_no_text_lies_over_another_or_is_small(name):
    trace = stepper.Trace(GRAPHS[name]())
    figure = None
    for number in {0, 1, len(trace.steps) // 2, len(trace.steps) - 1}:
        figure = plot_step(trace, back(trace, number), figure)
        assert overlaps(figure) == [], number


def test_a_shared_node_shows_its_contributions_arriving():
    trace = lesson("shared")
    first, second, third, last = (texts(plot_step(trace, number)) for number in (4, 5, 6, 7))
    assert "Step 4 of 7: c = Add" in first and "Step 7 of 7: b = Add" in last
    assert "c = b + b" in first and "b = a + a" in last
    # c has its 1, b one of its two gradients, a has none yet, and no 0 either
    assert {"value 12", "grad 1, complete", "value 6", "grad 1, 1 of 2"} <= set(first)
    assert {"value 3", "value known"} <= set(first) & set(second)
    assert "grad 2, complete" in second
    assert "value known" not in third and "grad 2, 1 of 2" in third and "grad 4, complete" in last
    assert {"ga += 2 * 1 = 2", "  contribution 1 of 2 (1st use of a); so far: 2"} <= set(third)
    assert {"ga += 2 * 1 = 2", "  contribution 2 of 2 (2nd use of a); in all: 4"} <= set(last)


def test_names_are_text_not_formulas():
    trace = lesson("relu6")
    for node in trace.nodes:
        node.path = r"a$\frac$"
    figure = plot_step(trace, back(trace, 0))
    figure.canvas.draw()
    assert r"a$\frac$" in texts(figure)


def test_a_partial_gradient_is_told_from_a_complete_one():
    trace = stepper.Trace(recorded(lambda a, b: a * b + a, leaf(1), leaf(1, seed=1)))
    said = texts(plot_step(trace, back(trace, 0)))
    assert "grad 1, 1 of 2" in said and "value known" in said
    later = texts(plot_step(trace, back(trace, 1)))
    assert not any("1 of 2" in text for text in later if "grad" in text)


def test_numbers_and_heat_maps_are_those_of_numpy():
    x, weight = leaf(2, 3), leaf(4, 3, seed=2)
    factors = leaf(2, 4, seed=2).detach()
    loss = recorded(lambda x, weight: (F.linear(x, weight) * factors).sum(), x, weight)
    trace = stepper.Trace(loss)
    figure, name = plot_step(trace, back(trace, 2)), trace.steps[2].node.gradient_symbol
    gy = factors.numpy()
    expected = {"gx (2, 3)": gy @ weight.numpy(), "gweight (4, 3)": gy.T @ x.numpy()}
    for title, gradient in {f"{name} (2, 4)": gy, **expected}.items():
        cells, limits = heat(figure, title)
        np.testing.assert_allclose(cells, gradient, rtol=1e-12)
        largest = np.abs(gradient).max()
        assert limits == pytest.approx((-largest, largest))
        for value in np.unique(gradient):
            assert f"{value + 0.0:.3g}" in texts(figure)
    gx = expected["gx (2, 3)"]
    n, i = np.unravel_index(np.abs(gx).argmax(), gx.shape)
    (line,) = (text for text in texts(figure) if text.startswith(f"gx[{n},{i}] = "))
    assert line.endswith(f"(1 more) = {gx[n, i]:.4g}")
    products = sorted(gy[n] * weight.numpy()[:, i], key=abs, reverse=True)[:3]
    terms = line.split(" = ")[1].replace("(", "").replace(")", "").split(" + ")[:3]
    shown = [float(gy) * float(slope) for gy, slope in (term.split(" * ") for term in terms)]
    assert shown == pytest.approx(products, rel=1e-3)


def test_maps_of_pictures_stand_side_by_side():
    trace = lesson("conv")
    figure = plot_step(trace, len(trace.frames) - 1)
    gx = trace.steps[-1].gxs[0]  # (1, 2, 4, 4)
    cells, _ = heat(figure, "gx (1, 2, 4, 4)")
    assert cells.shape == (4, 9)
    np.testing.assert_array_equal(cells[:, :4], gx[0, 0])
    np.testing.assert_array_equal(cells[:, 5:], gx[0, 1])
    assert np.ma.getmaskarray(cells)[:, 4].all()


@pytest.mark.parametrize(
    ("shape", "cells", "note"),
    [
        ((), (1, 1), ""),
        ((5,), (1, 5), ""),
        ((130,), (1, 44), "sampled: 1 element in 3"),
        ((3, 200), (3, 50), "sampled: 1 column in 4"),
        ((128, 100), (64, 50), "sampled: 1 row and column in 2"),
        ((6, 4, 1, 1), (6, 4), ""),
        ((3, 5, 5), (11, 11), ""),
        ((9, 1, 3, 3), (11, 11), ""),
        ((20, 1, 3, 3), (15, 15), "the first 16 of 20 maps"),
        ((2, 64, 8, 8), (17, 35), "down: all 2; across: 4 of 64"),
        ((1, 1, 224, 224), (32, 32), "sampled: 1 row and column in 7"),
        ((2, 2, 2, 3, 3), (15, 7), ""),
    ],
)
def test_what_of_an_array_is_shown(shape, cells, note):
    array = np.arange(np.prod(shape, dtype=int), dtype=float).reshape(shape)
    shown = picture(array)
    assert (shown.cells.shape, shown.note) == (cells, note)
    first = array.reshape(-1)[0]
    assert shown.cells[0, 0] == first and set(shown.numbers) <= set(array.reshape(-1))


def test_a_sampled_heat_map_says_so():
    trace = stepper.Trace(recorded(lambda x: (x * x).sum(), leaf(1, 3, 70, 70)))
    figure = plot_step(trace, back(trace, 1))
    assert texts(figure).count("sampled: 1 row and column in 3") == 2
    cells, _ = heat(figure, f"{trace.steps[1].node.gradient_symbol} (1, 3, 70, 70)")
    assert cells.shape == (49, 49)  # two by two maps of 24, with a gap


def test_a_large_graph_is_shown_around_the_op():
    trace = lesson("mobilenet")
    number = 40
    said = texts(plot_step(trace, back(trace, number)))
    path = trace.steps[number].node.path
    assert any(text.startswith(f"module {path}") for text in said)
    ops = sum(node.op is not None for node in trace.nodes)
    hidden = [int(text.split()[1]) for text in said if text.startswith("⋮")]
    kind = re.compile(r"(t\d+ = )?(BatchNorm|ReLU6|Conv2d|DepthwiseConv2d)")
    boxes = sum(kind.fullmatch(text) is not None for text in said)
    assert len(hidden) == 2 and sum(hidden) + boxes == ops and boxes >= 5


def test_a_chain_of_thousands_with_a_shared_input():
    def build(x):
        y = x
        for _ in range(1500):
            y = y * 1.0 + x
        return y.sum()

    trace = stepper.Trace(recorded(build, leaf(2)))
    said = texts(plot_step(trace, back(trace, 1500)))
    assert any(text.startswith("Step 4503 of 6003: ") for text in said)
    assert any(text.endswith("of 1501") for text in said)


def test_nan_and_infinity_are_marked():
    gradient = np.array([[np.nan, 1.0, np.inf], [2.0, -np.inf, 0.0]])
    loss = recorded(lambda x: x * 1.0, leaf(2, 3))
    trace = stepper.Trace(loss, tn.Tensor(gradient))
    figure, title = plot_step(trace, back(trace, 0)), f"{trace.loss.gradient_symbol} (2, 3)"
    cells, limits = heat(figure, title)
    assert limits == (-2, 2)
    np.testing.assert_array_equal(np.isfinite(cells.filled(np.nan)), np.isfinite(gradient))
    (axes,) = (axes for axes in figure.axes if axes.get_label() == title)
    (crosses,) = axes.lines
    assert sorted(zip(*crosses.get_data(), strict=True)) == [(0, 0), (1, 1), (2, 0)]
    assert "1 NaN, 2 Inf, the first at [0,0]" in texts(figure)


def test_a_graph_that_was_not_recorded():
    x = leaf(2, 2)
    said = texts(plot_step(x.exp().sum(), 5))
    assert "not recorded: make the graph inside `with stepper.record():`" in said
    assert "gt0 = gt1 t1" in said and "grad complete" in said
    assert "not visited" in texts(plot_step(x.exp().sqrt().sum(), 5))


def test_a_figure_given_is_drawn_into_anew():
    trace, figure = lesson("relu6"), Figure()
    first, last = back(trace, 0), back(trace, 2)
    assert plot_step(trace, first, figure) is figure
    said = texts(figure)
    plot_step(trace, last, figure)
    assert texts(figure) != said
    plot_step(trace, first, figure)
    assert texts(figure) == said


def test_the_gradients_of_the_model_stay_as_they_were():
    x = leaf(2)
    x.grad = tn.Tensor(np.array([7.0, 8.0]))
    loss = recorded(lambda x: (x * x).sum(), x)
    plot_step(loss, 4)
    assert x.grad.numpy().tolist() == [7, 8]
    loss.backward()  # the graph is still there
    np.testing.assert_allclose(x.grad.numpy(), [7, 8] + 2 * x.numpy())


@pytest.mark.parametrize("number", [-1, 3, 8, 4.5, "4"])
def test_a_step_that_is_not_there_is_refused(number):
    with pytest.raises(ValueError, match="plot_step: number must be an integer from 4 to 7"):
        plot_step(lesson("shared"), number)


@pytest.mark.parametrize("function", [lambda x: plot_step(x, 0), lambda x: animate(x, "x.gif")])
def test_what_is_no_graph_is_refused(function):
    with pytest.raises(TypeError, match="loss must be a Tensor or a Trace, got float"):
        function(3.0)
    with pytest.raises(ValueError, match="no graph"):
        function(tn.Tensor(np.array(3.0)))
    freed = (leaf(1) * 2).sum()
    freed.backward()
    with pytest.raises((ValueError, RuntimeError), match="freed"):
        function(freed)


def test_gif_of_all_steps(tmp_path):
    trace = lesson("batchnorm")
    path = tmp_path / "walk.gif"
    path.write_text("an earlier file")
    animate(trace, path, seconds=0.5)
    with Image.open(path) as gif:
        assert gif.n_frames == len(trace.steps) == 3
        assert gif.size == (1333, 750)
        assert (gif.info["duration"], gif.info["loop"]) == (500, 0)
    assert list(tmp_path.iterdir()) == [path]


def test_a_gif_shows_each_contribution_arrive(tmp_path):
    animate(lesson("shared"), tmp_path / "shared.gif")
    with Image.open(tmp_path / "shared.gif") as gif:
        assert gif.n_frames == 4


def test_a_gif_that_fails_leaves_the_earlier_file(tmp_path, monkeypatch):
    path = tmp_path / "walk.gif"
    path.write_text("an earlier file")

    def fail(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("tinynet.stepper.plots.draw_graph", fail)
    with pytest.raises(KeyboardInterrupt):
        animate(lesson("shared"), path)
    assert list(tmp_path.iterdir()) == [path] and path.read_text() == "an earlier file"


def test_gifs_that_cannot_be_made_are_refused(tmp_path):
    loss = LESSONS["shared"].build()
    with pytest.raises(OSError, match="cannot write .*walk.gif"):
        animate(loss, tmp_path / "nowhere" / "walk.gif")
    with pytest.raises(OSError, match="cannot write"):
        animate(loss, tmp_path)
    for seconds in (0, -1, float("nan"), "1"):
        with pytest.raises(ValueError, match="animate: seconds must be a number"):
            animate(loss, tmp_path / "walk.gif", seconds)

    def long(x):
        for _ in range(301):
            x = x * 2.0
        return x

    with pytest.raises(ValueError, match="animate: the graph has 301 steps"):
        animate(recorded(long, leaf(1)), tmp_path / "walk.gif")
    assert not list(tmp_path.iterdir())


def test_importing_the_plots_loads_no_matplotlib():
    code = "import sys, tinynet.stepper.plots; print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stdout + done.stderr
