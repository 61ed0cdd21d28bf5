"""Folders of images: layouts, what Pillow decodes and how, sizes, and what is refused."""

import os
import struct
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

from tinynet.data import DataError, folder


def pixels(seed, size=(12, 10)):
    """A smooth picture (3, H, W), so that JPEG keeps it."""
    rng = np.random.default_rng(seed)
    low = Image.fromarray(rng.integers(0, 256, (3, 3, 3), np.uint8))
    return np.asarray(low.resize(size, Image.Resampling.BICUBIC)).transpose(2, 0, 1)


def save(path, array, mode="RGB", **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.ascontiguousarray(array.transpose(1, 2, 0))).convert(mode).save(
        path, **options
    )


def make(
    top, train="train", test="test", suffix="png", classes=("cat", "ant", "bee"), size=(12, 10)
):
    """Two training images and one test image of each class; returns the arrays, by class."""
    arrays = {}
    for i, name in enumerate(classes):
        arrays[name] = [pixels((i, k), size) for k in range(3)]
        for k, split in enumerate((train, train, test)):
            save(top / split / name / f"{k}.{suffix}", arrays[name][k])
    return arrays


def load(path, split="train", **options):
    return folder.load(path, split, progress=False, **options)


def assert_refused(path, *messages, split="train", **options):
    with pytest.raises(DataError) as caught:
        load(path, split, **options)
    for message in messages:
        assert str(message) in str(caught.value)
    assert str(caught.value).isprintable()


# Layouts


@pytest.mark.parametrize(
    ("train", "test"),
    [("train", "test"), ("train", "val"), ("TRAIN", "Test"), ("train", "validation")],
)
def test_both_splits(tmp_path, train, test):
    arrays = make(tmp_path, train, test)
    data = load(tmp_path)
    assert data.class_names == ("ant", "bee", "cat")
    assert data.labels.tolist() == [0, 0, 1, 1, 2, 2]
    expected = [arrays[name][k] for name in ("ant", "bee", "cat") for k in range(2)]
    assert np.array_equal(data.images, expected)
    data = load(str(tmp_path), "test")
    assert data.labels.tolist() == [0, 1, 2]
    assert np.array_equal(data.images, [arrays[name][2] for name in ("ant", "bee", "cat")])


def test_test_comes_before_val_if_it_has_classes(tmp_path):
    make(tmp_path, test="val")
    save(tmp_path / "test" / "0001.png", pixels(9))  # ImageNet's test images have no labels
    assert len(load(tmp_path, "test")) == 3
    save(tmp_path / "test" / "ant" / "1.png", pixels(9))
    assert_refused(tmp_path, "bee, cat of the train split have no folder in the test split")


def test_other_files_are_passed_over(tmp_path):
    make(tmp_path)
    for name in ("Thumbs.db", ".DS_Store", "notes.txt", "._0.png", ".hidden.jpg", "x.png.part"):
        (tmp_path / "train" / "ant" / name).write_bytes(b"no image")
    for name in (".git", "__MACOSX", ".ipynb_checkpoints"):
        (tmp_path / "train" / name).mkdir()
    (tmp_path / "train" / "README.md").touch()
    (tmp_path / "train" / "ant" / ".cache").mkdir()
    (tmp_path / "train" / "ant" / ".cache" / "x.png").write_bytes(b"no image")
    assert load(tmp_path).labels.tolist() == [0, 0, 1, 1, 2, 2]


def test_deeper_folders_belong_to_their_class(tmp_path):
    make(tmp_path)
    save(tmp_path / "train" / "bee" / "more" / "of" / "3.PNG", pixels(5))
    assert load(tmp_path).labels.tolist() == [0, 0, 1, 1, 1, 2, 2]


def test_links(tmp_path):
    make(tmp_path / "real")
    top = tmp_path / "links"
    for split in ("train", "test"):
        (top / split).mkdir(parents=True)
        for name in ("ant", "bee", "cat"):
            (top / split / name).symlink_to(tmp_path / "real" / split / name)
    assert np.array_equal(load(top).images, load(tmp_path / "real").images)
    (tmp_path / "real" / "train" / "ant" / "circle").symlink_to(tmp_path / "real")
    assert len(load(top)) == 6
    (tmp_path / "real" / "train" / "ant" / "x.png").symlink_to(tmp_path / "nowhere")
    assert_refused(top, "x.png is no file, or a link to none")


def test_a_named_pipe_is_not_waited_for(tmp_path):
    make(tmp_path)
    os.mkfifo(tmp_path / "train" / "ant" / "pipe.png")
    assert_refused(tmp_path, "pipe.png is no file")


def test_names_that_are_no_utf8(tmp_path):
    for split in ("train", "test"):
        save(tmp_path / split / os.fsdecode(b"caf\xe9") / "1.png", pixels(1))
        save(tmp_path / split / "an ant\n" / "1.png", pixels(1))
    assert load(tmp_path).class_names == ("an ant\\n", "caf\\udce9")


def test_missing_parts(tmp_path):
    assert_refused(tmp_path / "nowhere", "there is no folder", tmp_path / "nowhere")
    assert_refused(tmp_path, "has no train/", "test/CLASS/ or val/CLASS/")
    make(tmp_path)
    (tmp_path / "test").rename(tmp_path / "other")
    for split in ("train", "test"):
        assert_refused(tmp_path, "has neither test/ nor val/", split=split)
    (tmp_path / "test").mkdir()
    assert_refused(tmp_path, tmp_path / "test", "has no folders")
    assert_refused(tmp_path, "must be 'train' or 'test', not 'val'", split="val")
    assert_refused(tmp_path / "other" / "ant" / "2.png", "there is no folder")


def test_an_empty_class(tmp_path):
    make(tmp_path)
    (tmp_path / "train" / "dog").mkdir()
    (tmp_path / "train" / "dog" / "x.txt").touch()
    for split in ("train", "test"):
        assert_refused(tmp_path, tmp_path / "train" / "dog", "has no image", split=split)


@pytest.mark.parametrize("split", ["train", "test"])
def test_classes_that_differ(tmp_path, split):
    make(tmp_path)
    for i in range(5):
        save(tmp_path / split / f"dog{i}" / "x.png", pixels(1))
    for asked in ("train", "test"):
        message = f"dog0, dog1, dog2 and 2 more of the {split} split have no folder"
        assert_refused(tmp_path, message, split=asked)


# Decoding


@pytest.mark.parametrize("suffix", ["bmp", "ppm", "tiff", "webp", "png", "gif", "jpg", "jpeg"])
def test_formats(tmp_path, suffix):
    file = tmp_path / f"x.{suffix}"
    best = {"webp": {"lossless": True}}
    best["jpg"] = best["jpeg"] = {"quality": 100, "subsampling": 0}
    save(file, pixels(1), **best.get(suffix, {}))
    image = folder.image(file)
    assert image.dtype == np.uint8
    assert image.shape == (3, 10, 12)
    assert image.flags.c_contiguous
    away = {"gif": 20, "jpg": 4, "jpeg": 4}.get(suffix, 0)  # a GIF has 256 colours
    assert abs(image.astype(int) - pixels(1)).max() <= away


def test_another_format_than_the_name_says(tmp_path):
    save(tmp_path / "x.png", pixels(1), format="BMP")
    (tmp_path / "x.png").rename(tmp_path / "x.jpg")
    assert np.array_equal(folder.image(tmp_path / "x.jpg"), pixels(1))


def test_exif_turns_an_image_upright(tmp_path):
    upright = pixels(1)
    for orientation, stored in {
        1: upright,
        2: upright[:, :, ::-1],
        3: upright[:, ::-1, ::-1],
        6: np.rot90(upright, 1, (1, 2)),
        8: np.rot90(upright, -1, (1, 2)),
    }.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        save(tmp_path / "x.png", stored, exif=exif)
        assert np.array_equal(folder.image(tmp_path / "x.png"), upright), orientation


def test_grey_palette_and_cmyk(tmp_path):
    grey = pixels(1)[:1].repeat(3, axis=0)
    save(tmp_path / "l.png", grey, "L")
    assert np.array_equal(folder.image(tmp_path / "l.png"), grey)
    black = (grey > 127) * np.uint8(255)
    save(tmp_path / "1.png", black, "1")
    assert np.array_equal(folder.image(tmp_path / "1.png"), black)
    save(tmp_path / "p.png", black, "P")
    assert np.array_equal(folder.image(tmp_path / "p.png"), black)
    save(tmp_path / "cmyk.tiff", pixels(1), "CMYK")
    assert np.array_equal(folder.image(tmp_path / "cmyk.tiff"), pixels(1))


def test_sixteen_bits_keep_their_upper_eight(tmp_path):
    values = np.arange(60, dtype=np.uint16).reshape(6, 10) * 1000
    for name in ("x.png", "x.tiff"):
        Image.fromarray(values).save(tmp_path / name)
        assert np.array_equal(folder.image(tmp_path / name), [values >> 8] * 3)
    Image.fromarray(np.full((2, 2), 70_000, np.int32)).save(tmp_path / "x.tiff")
    Image.fromarray(np.full((2, 2), 0.5, np.float32)).save(tmp_path / "f.tiff")
    for name, message in (("x.tiff", "more than 16 bits"), ("f.tiff", "floating-point")):
        with pytest.raises(DataError, match=message):
            folder.image(tmp_path / name)


def test_what_is_transparent_lies_on_white(tmp_path):
    rgba = np.dstack([pixels(1).transpose(1, 2, 0), np.full((10, 12), 255, np.uint8)])
    rgba[:5, :, 3] = 0
    rgba[5, :, 3] = 128
    Image.fromarray(rgba).save(tmp_path / "x.png")
    image = folder.image(tmp_path / "x.png")
    assert (image[:, :5] == 255).all()
    assert np.array_equal(image[:, 6:], pixels(1)[:, 6:])
    half = (pixels(1)[:, 5].astype(int) + 255) / 2
    assert abs(image[:, 5] - half).max() <= 1
    palette = Image.fromarray(np.arange(4, dtype=np.uint8).reshape(2, 2), "L").convert("P")
    palette.putpalette([9, 9, 9] * 4)
    palette.save(tmp_path / "p.png", transparency=1)
    assert folder.image(tmp_path / "p.png")[0].tolist() == [[9, 255], [9, 9]]


def test_the_first_frame_counts(tmp_path):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "x.gif", save_all=True, append_images=frames[1:])
    assert folder.image(tmp_path / "x.gif")[:, 0, 0].tolist() == [255, 0, 0]


# Sizes


def test_sizes_must_agree_or_be_given(tmp_path):
    make(tmp_path)
    save(tmp_path / "train" / "cat" / "9.png", pixels(1, (20, 10)))
    other = f"{tmp_path}/train/cat/9.png has 20x10 pixels and {tmp_path}/train/ant/0.png has 12x10"
    assert_refused(tmp_path, other, "--resolution")
    assert load(tmp_path, size=7).images.shape == (7, 3, 7, 7)
    assert load(tmp_path, "test").images.shape == (3, 3, 10, 12)


def test_test_images_of_another_size_are_noticed_in_training(tmp_path):
    make(tmp_path)
    for name in ("ant", "bee", "cat"):
        save(tmp_path / "test" / name / "2.png", pixels(1, (16, 16)))
    for split in ("train", "test"):
        assert_refused(tmp_path, "test/ant/2.png has 16x16 pixels", "--resolution", split=split)


@pytest.mark.parametrize("size", [0, -1, 2.5, "7", 5000])
def test_sizes_that_are_none(tmp_path, size):
    make(tmp_path)
    assert_refused(tmp_path, "size must be a whole number of pixels from 1 to 4096", size=size)


def test_the_middle_is_cut_out(tmp_path):
    wide = np.zeros((3, 20, 60), np.uint8)
    wide[:, :, 20:40] = 200
    for stored in (wide, wide.transpose(0, 2, 1)):
        save(tmp_path / "x.png", stored)
        middle = folder.image(tmp_path / "x.png", 10)
        assert (middle[:, 1:-1, 1:-1] == 200).all()  # at the edge, pixels beyond it count too
        assert middle.min() > 150
        assert np.array_equal(folder.image(tmp_path / "x.png"), stored)


def test_smaller_means_averages_and_larger_is_smooth(tmp_path):
    stripes = np.zeros((3, 64, 64), np.uint8)
    stripes[:, :, ::2] = 200
    save(tmp_path / "x.png", stripes)
    assert (folder.image(tmp_path / "x.png", 8)[:, :, 1:-1] == 100).all()
    save(tmp_path / "y.png", pixels(1, (8, 8)))
    assert folder.image(tmp_path / "y.png", 32).shape == (3, 32, 32)
    save(tmp_path / "z.jpg", pixels(1, (800, 600)), quality=95)  # decoded at a part of its size
    whole = Image.open(tmp_path / "z.jpg").crop((100, 0, 700, 600))
    expected = np.asarray(whole.resize((50, 50), Image.Resampling.BILINEAR)).transpose(2, 0, 1)
    assert abs(folder.image(tmp_path / "z.jpg", 50).astype(int) - expected).max() <= 6


def test_a_long_thin_image_takes_no_memory(tmp_path):
    Image.new("RGB", (20_000, 1), "red").save(tmp_path / "x.png")
    assert folder.image(tmp_path / "x.png", 2000).shape == (3, 2000, 2000)


# Refused


def png_of(width, height):
    def chunk(kind, content):
        body = kind + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "bmp", "tiff", "webp"])
@pytest.mark.parametrize("kept", [0, 3, 30, 0.5])
def test_truncated_files(tmp_path, suffix, kept):
    make(tmp_path)
    file = tmp_path / "train" / "bee" / f"x.{suffix}"
    save(file, np.random.default_rng(0).integers(0, 256, (3, 40, 40), np.uint8))
    content = file.read_bytes()
    file.write_bytes(content[: int(kept * len(content)) if kept == 0.5 else kept])
    assert_refused(tmp_path, file, "cannot be read as an image", size=8)


@pytest.mark.parametrize("side", [(10_000, 10_000), (60_000, 60_000), (2**31 - 1, 2**31 - 1)])
def test_decompression_bombs(tmp_path, side):
    make(tmp_path)
    file = tmp_path / "train" / "bee" / "x.png"
    file.write_bytes(png_of(*side))
    assert_refused(tmp_path, file, "decompression bomb", size=8)


@pytest.mark.parametrize("content", [b"<html>", b"%!PS-Adobe\n", b"%PDF-1.4", b"\0" * 5000])
def test_other_files_with_the_name_of_an_image(tmp_path, content):
    make(tmp_path)
    file = tmp_path / "train" / "bee" / "x.jpg"
    file.write_bytes(content)
    assert_refused(tmp_path, file, "cannot be read as an image")


def test_what_does_not_fit_is_refused_before_it_is_read(tmp_path, monkeypatch):
    make(tmp_path)
    monkeypatch.setattr(folder, "_memory", lambda: 1_000_000)
    assert_refused(
        tmp_path,
        "6 images of 300x300 pixels need 1,620,000 bytes",
        "1,000,000 can be had",
        size=300,
    )
    assert load(tmp_path, "test", size=200).images.shape == (3, 3, 200, 200)
    monkeypatch.undo()
    assert folder._memory() > 1 << 20
    assert load(tmp_path, size=300).images.shape == (6, 3, 300, 300)


def test_without_pillow(tmp_path, monkeypatch):
    make(tmp_path)
    monkeypatch.setitem(sys.modules, "PIL", None)
    assert_refused(tmp_path, "Pillow", 'pip install -e ".[images]"')


def test_progress_is_shown_on_a_terminal(tmp_path, capsys, monkeypatch):
    make(tmp_path)
    folder.load(tmp_path)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    folder.load(tmp_path)
    assert "train: 100%" in capsys.readouterr().err
