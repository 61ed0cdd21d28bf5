"""The pictures of a trained network: what is on them, read from the figures and from the pixels."""

import os

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.text import Text

from tinynet.training import canvas, report

NAMES = [f"class_{i}" for i in range(10)]
ODD = [
    "$x^2$ & $y$",
    "new\nline",
    "bell\x07 \udcff",
    "a" * 300,
    "\\frac{",
    "%s {}",
    "猫",
    "é ü",
    "<b>",
    "",
]


@pytest.fixture
def drawn(monkeypatch):
    """The figures that were saved since."""
    figures, savefig = [], Figure.savefig

    def spy(figure, *args, **options):
        figures.append(figure)
        return savefig(figure, *args, **options)

    monkeypatch.setattr(Figure, "savefig", spy)
    return figures


def texts(figure):
    """Every text that is seen on a figure."""
    return [t for t in figure.findobj(Text) if t.get_text() and t.get_visible()]


def words(figure):
    return [text.get_text() for text in texts(figure)]


def pixels(path):
    return np.round(255 * imread(path)[..., :3]).astype(np.uint8)


def some(rng, N=40, C=10, H=32, W=32):
    """images, labels, probabilities: right about three of four."""
    labels = rng.integers(0, C, N)
    images = rng.integers(0, 256, (N, 3, H, W)).astype(np.uint8)
    logits = rng.standard_normal((N, C))
    logits[np.arange(N), labels] += 2.5
    shares = np.exp(logits)
    return images, labels, shares / shares.sum(axis=1, keepdims=True)


def cells(figure):
    """{(row, column): text} of the numbers in a matrix."""
    ax = figure.axes[0]
    return {tuple(int(p) for p in t.get_position()[::-1]): t.get_text() for t in ax.texts[:-2]}


def test_the_matrix_has_the_shares_of_its_rows(drawn, tmp_path):
    labels = np.repeat([0, 1, 2], [4, 1000, 3])
    predicted = np.concatenate([[0, 0, 0, 2], np.repeat([1, 0, 2], [899, 97, 4]), [0, 0, 0]])
    report.confusion(predicted, labels, ["a", "b", "long_name"], tmp_path / "c.png")
    (figure,) = drawn
    assert cells(figure) == {
        (0, 0): "75",
        (0, 2): "25",
        (1, 0): "10",
        (1, 1): "90",
        (1, 2): "·",  # 0.4 % is there, but no number
        (2, 0): "100",
        (2, 2): "0",
    }
    assert words(figure).count("long name") == 2  # along both axes
    assert f"{100 * 902 / 1007:.1f} % of 1,007 images right, 3 classes" in words(figure)
    frames = {(p.get_x() + 0.5, p.get_y() + 0.5) for p in figure.axes[0].patches}
    assert frames == {(0, 0), (1, 1), (2, 2)}
    bold = {
        key
        for key, t in zip(cells(figure), figure.axes[0].texts, strict=False)
        if t.get_weight() == "bold"
    }
    assert bold == {(0, 0), (1, 1), (2, 2)}


def test_shades_are_told_apart_in_greyscale_and_dark_numbers_are_read_on_them(drawn, tmp_path):
    labels, predicted = np.repeat(np.arange(4), 10), np.tile([0, 1, 2, 3, 3, 3, 3, 3, 3, 3], 4)
    report.confusion(predicted, labels, list("abcd"), tmp_path / "c.png")
    shades = np.asarray(drawn[0].axes[0].images[0].get_array())
    grey = shades @ (0.299, 0.587, 0.114)
    assert grey[0, 3] < grey[0, 1] - 0.2  # 70 % of the mistakes is darker than 10 %
    assert grey[3, 3] < grey[1, 1] - 0.2
    assert grey.min() > 0.5  # against #222222, the numbers' colour


def test_a_class_without_images_says_so(drawn, tmp_path):
    report.confusion([0, 0], [0, 0], ["here", "absent"], tmp_path / "c.png")
    assert "no image" in words(drawn[0])
    assert sorted(t for t in cells(drawn[0]).values()) == ["100", "no image"]


def test_superclasses_count_what_stays_among_them_as_right(drawn, tmp_path):
    superclass_of = np.arange(100) % 20
    labels = np.arange(100)
    report.confusion((labels + 20) % 100, labels, NAMES + NAMES, tmp_path / "c.png", superclass_of)
    assert "100.0 % of 100 images right, 20 superclasses" in words(drawn[0])
    assert list(cells(drawn[0]).values()) == ["100"] * 20


def test_many_classes_give_the_worst_pairs(drawn, tmp_path):
    labels = np.repeat(np.arange(100), 10)
    predicted = labels.copy()
    for i in range(30):  # class i is taken for its neighbour in some of 10 images, and 99 for 0
        predicted[10 * i : 10 * i + 1 + i % 3] = i + 1
    predicted[-9:] = 0
    names = [f"n{i}" for i in range(100)]
    report.confusion(predicted, labels, names, tmp_path / "c.png")
    rows = [text for text in words(drawn[0]) if "  →  " in text]
    assert len(rows) == 20 and rows[:2] == ["n99  →  n0", "n2  →  n3"]
    assert words(drawn[0]).count(" 90 %") == 1 and words(drawn[0]).count(" 30 %") == 10
    report.confusion(labels, labels, names, tmp_path / "c.png")
    assert "No mistakes." in words(drawn[1])


@pytest.mark.parametrize("classes", [1, 2, 10, 25, 26])
def test_any_number_of_classes(classes, tmp_path):
    labels = np.arange(classes)
    names = (ODD * 3)[:classes]
    report.confusion(labels[::-1], labels, names, tmp_path / "c.png")
    assert pixels(tmp_path / "c.png").std() > 1


@pytest.mark.parametrize(
    ("predicted", "labels", "superclass_of", "message"),
    [
        ([0, 1], [0], None, r"predicted and labels must .* same length .* got \(2,\) and \(1,\)"),
        ([], [], None, "not empty"),
        ([[0]], [[0]], None, "one axis"),
        ([0, 3], [0, 1], None, "predicted must be integers from 0 to 2, got int64 from 0 to 3"),
        ([0, 1], [0, -1], None, "labels must be integers from 0 to 2"),
        ([0.0, 1.0], [0, 1], None, "predicted must be integers"),
        ([0, 1], [0, 4], [0, 1, 2, 0], "labels must be integers from 0 to 3"),
        ([0, 1], [0, 1], [0, 1, 2, 3], "superclass_of must be integers from 0 to 2"),
    ],
)
def test_confusion_refuses_in_one_sentence(predicted, labels, superclass_of, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        report.confusion(predicted, labels, list("abc"), tmp_path / "c.png", superclass_of)
    assert os.listdir(tmp_path) == []


def test_the_worst_mistakes_come_first_with_both_names(drawn, rng, tmp_path):
    images, labels, shares = some(rng, N=400)
    report.worst(images, labels, shares, NAMES, tmp_path / "w.png")
    said, sure = shares.argmax(axis=1), shares.max(axis=1)
    wrong = [i for i in np.argsort(-sure) if said[i] != labels[i]]
    written = words(drawn[0])
    assert written[0] == "The 24 most certain mistakes"
    assert written[1] == f"{len(wrong)} of 400 images wrong. Bold: what it was."
    assert written[2:] == [
        text
        for i in wrong[:24]
        for text in (f"class {labels[i]}", f"said class {said[i]} {100 * sure[i]:.0f} %")
    ]


@pytest.mark.parametrize(("size", "times"), [(32, 9), (96, 3)])
def test_small_images_are_enlarged_pixel_by_pixel(size, times, rng, tmp_path):
    images, labels, _ = some(rng, H=size, W=size)
    shares = np.eye(10)[(labels + 1) % 10]
    report.worst(images, labels, shares, NAMES, tmp_path / "w.png")
    x, y = round(canvas.MARGIN * canvas.DPI), round(canvas.HEADER * canvas.DPI)
    found = pixels(tmp_path / "w.png")[y : y + times * size, x : x + times * size]
    expected = np.moveaxis(images[0], 0, -1).repeat(times, axis=0).repeat(times, axis=1)
    assert (found == expected).all()


@pytest.mark.parametrize("shape", [(20, 40), (40, 20), (1, 1), (300, 300)])
def test_images_keep_their_shape(shape, drawn, rng, tmp_path):
    images, labels, shares = some(rng, N=6, H=shape[0], W=shape[1])
    report.predictions(images, labels, shares, NAMES, tmp_path / "p.png")
    left, right, bottom, top = drawn[0].axes[0].images[0].get_extent()
    assert (bottom - top) / (right - left) == pytest.approx(shape[0] / shape[1])
    assert max(bottom - top, right - left) == pytest.approx(report.SIDE)


def test_no_mistakes_give_a_picture_too(drawn, rng, tmp_path):
    images, labels, _ = some(rng)
    report.worst(images, labels, np.eye(10)[labels], NAMES, tmp_path / "w.png")
    assert words(drawn[0]) == ["No mistakes", "0 of 40 images wrong. Bold: what it was."]


def test_predictions_show_the_top_five_of_images_picked_by_a_seed(drawn, rng, tmp_path):
    images, labels, shares = some(rng)
    report.predictions(images, labels, shares, NAMES, tmp_path / "p.png")
    report.predictions(images, labels, shares, NAMES, tmp_path / "again.png")
    assert (tmp_path / "p.png").read_bytes() == (tmp_path / "again.png").read_bytes()
    chosen = np.random.default_rng(1).permutation(40)[:6]
    expected = []
    for i in chosen:
        best = np.argsort(-shares[i])[:5]
        expected.append(f"{'✓' if best[0] == labels[i] else '✗'} class {labels[i]}")
        for j in best:
            percent = f"{100 * shares[i, j]:.0f} %" if shares[i, j] >= 0.005 else "< 1 %"
            expected += [f"class {j}", percent]
    hits = (shares[chosen].argmax(axis=1) == labels[chosen]).sum()
    assert 0 < hits < 6  # both marks are there
    assert words(drawn[0])[0] == f"{hits} of 6 images right"
    assert words(drawn[0])[2:] == expected
    widths = [bar.get_width() for bar in drawn[0].axes[0].patches[:5]]
    top = np.sort(shares[chosen[0]])[::-1][:5]
    np.testing.assert_allclose(widths, np.maximum(2.0 * top, 1 / canvas.DPI))


@pytest.mark.parametrize("count", [1, 3])
def test_few_images_and_few_classes(count, drawn, rng, tmp_path):
    images, labels, shares = some(rng, N=count, C=2)
    report.predictions(images, labels, shares, ["a", "b"], tmp_path / "p.png")
    assert words(drawn[0])[0].endswith(f"of {count} images right")


@pytest.mark.parametrize("draw", [report.worst, report.predictions])
def test_no_text_lies_on_another_or_leaves_the_picture(draw, drawn, rng, tmp_path):
    images, labels, shares = some(rng)
    shares = shares[:, ::-1]  # wrong about nearly all
    draw(
        images,
        labels,
        shares,
        [f"a{'very ' * i}long name number {i}" for i in range(10)],
        tmp_path / "x.png",
    )
    figure = drawn[0]
    boxes = [text.get_window_extent() for text in texts(figure)]
    width, height = figure.get_size_inches() * canvas.DPI
    for i, box in enumerate(boxes):
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height
        assert not any(box.overlaps(other) for other in boxes[i + 1 :]), words(figure)[i]


@pytest.mark.filterwarnings("error")  # for instance of characters that the font lacks
@pytest.mark.parametrize("draw", [report.worst, report.predictions])
def test_odd_names_are_drawn_as_they_stand(draw, drawn, rng, tmp_path):
    images, labels, shares = some(rng)
    draw(images, labels, shares[:, ::-1], ODD, tmp_path / "x.png")
    text = " ".join(words(drawn[0]))
    assert "$x^2$ & $y$" in text and "new\ufffdline" in text
    assert not any(t.get_parse_math() for t in texts(drawn[0]))


@pytest.mark.parametrize("draw", [report.worst, report.predictions])
def test_arrays_that_do_not_fit_are_refused(draw, rng, tmp_path):
    images, labels, shares = some(rng)
    broken = shares.copy()
    broken[3, 3] = np.nan
    for arguments, message in (
        ((images[:, 0], labels, shares, NAMES), r"expected images \(N, 3, H, W\)"),
        ((images[:-1], labels, shares, NAMES), "expected images"),
        ((images, labels, shares[:, :-1], NAMES), r"probabilities \(N, 10\)"),
        ((images, labels, shares, NAMES[:-1]), r"probabilities \(N, 9\)"),
        ((images, labels + 1, shares, NAMES), "labels must be integers from 0 to 9"),
        ((images, labels, broken, NAMES), "not a finite number"),
        ((images[:0], labels[:0], shares[:0], NAMES), "not empty"),
    ):
        with pytest.raises(ValueError, match=message):
            draw(*arguments, tmp_path / "x.png")
    assert os.listdir(tmp_path) == []


def test_filters_are_scaled_around_grey(drawn, rng, tmp_path):
    weight = rng.standard_normal((8, 3, 3, 3)).astype(np.float32)
    weight[3] = 0
    depthwise = rng.standard_normal((20, 1, 3, 3))
    report.filters(weight, tmp_path / "f.png", depthwise)
    images = [np.moveaxis(np.asarray(i.get_array()), -1, 0) for i in drawn[0].axes[0].images]
    assert len(images) == 28
    np.testing.assert_allclose(
        images[0], 0.5 + 0.5 * weight[0] / np.abs(weight[0]).max(), rtol=1e-6
    )
    np.testing.assert_allclose(images[3], 0.5)
    own = 0.5 + 0.5 * depthwise[19] / np.abs(depthwise[19]).max()
    np.testing.assert_allclose(images[27], np.repeat(own, 3, axis=0))
    assert words(drawn[0]) == [
        "First layer",
        "8 filters of 3x3, on red, green and blue; grey is 0",
        "First depthwise layer",
        "20 filters of 3x3, one per channel; grey is 0",
    ]


def test_of_many_filters_the_first_are_drawn_and_it_says_so(drawn, rng, tmp_path):
    report.filters(rng.standard_normal((200, 3, 1, 5)), tmp_path / "f.png")
    assert len(drawn[0].axes[0].images) == 128
    assert "the first 128 of 200 filters of 1x5, on red, green and blue; grey is 0" in words(
        drawn[0]
    )


@pytest.mark.parametrize(
    ("weight", "depthwise", "message"),
    [
        (np.zeros((8, 1, 3, 3)), None, r"expected \(O, 3, KH, KW\), got \(8, 1, 3, 3\)"),
        (np.zeros((8, 3, 3)), None, "expected"),
        (np.zeros((0, 3, 3, 3)), None, "expected"),
        (np.zeros((8, 3, 3, 3)), np.zeros((8, 3, 3, 3)), r"expected \(O, 1, KH, KW\)"),
        (np.full((8, 3, 3, 3), np.nan), None, "not a finite number"),
    ],
)
def test_filters_of_another_shape_are_refused(weight, depthwise, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        report.filters(weight, tmp_path / "f.png", depthwise)
    assert os.listdir(tmp_path) == []


def test_what_cannot_be_written_leaves_no_trace(rng, tmp_path):
    images, labels, shares = some(rng)
    for draw in (
        lambda path: report.confusion(labels, labels, NAMES, path),
        lambda path: report.worst(images, labels, shares, NAMES, path),
        lambda path: report.predictions(images, labels, shares, NAMES, path),
        lambda path: report.filters(np.ones((1, 3, 3, 3)), path),
    ):
        with pytest.raises(OSError, match="cannot write .*missing"):
            draw(tmp_path / "missing" / "x.png")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("most", [1, 2, 3, 4, 9, 10])
def test_shortened_names_keep_both_ends(most):
    short = canvas.shorten("abcdefghij", most)
    assert len(short) <= most and ("…" in short) == (most < 10)
    if most >= 3:
        assert short[0] == "a" and short[-1] == "j"
