"""Weights of other programs: each naming and file gives the logits of a network of torch."""

import json
import re

import foreign_weights as foreign
import numpy as np
import pytest
import torch
from PIL import Image

import mobilenet
import tinynet as tn
from tinynet import interop, predict

SIZES = (32, 33, 50)


def assert_equal_logits(path, reference, sizes=SIZES, atol=1e-4):
    """Load, and compare with a network of torch at every size, odd ones among them."""
    model, info = mobilenet.load_weights(path)
    assert not model.training
    for size in sizes:
        x = np.random.default_rng(size).standard_normal((2, 3, size, size)).astype(np.float32)
        with tn.no_grad(), torch.no_grad():
            ours, theirs = model(tn.Tensor(x)).numpy(), reference(torch.tensor(x)).numpy()
        assert np.ptp(theirs, 0).max() > 20 * atol  # the images are told apart
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=atol)
    return info


def torch_like(tmp_path, kind):
    model = foreign.network("paper")
    arrays = {
        "timm": lambda: foreign.timm(model),
        "timm, DataParallel": lambda: {f"module.{n}": a for n, a in foreign.timm(model).items()},
        "Sequential": model.state_dict,
        "features": lambda: {
            # "classifier" stands before "features" in the alphabet
            (f"classifier.{n}" if n.startswith("83") else f"features.{n}"): a
            for n, a in model.state_dict().items()
        },
        "ours": lambda: dict(
            zip(
                mobilenet.build("paper", foreign.CLASSES, foreign.WIDTH).state_dict(),
                model.state_dict().values(),
                strict=True,
            )
        ),
    }[kind]()
    foreign.write_safetensors(tmp_path / "w.safetensors", arrays)
    return tmp_path / "w.safetensors", model


@pytest.mark.parametrize("kind", ["timm", "timm, DataParallel", "Sequential", "features", "ours"])
def test_names_of_torch(kind, tmp_path):
    info = assert_equal_logits(*torch_like(tmp_path, kind))
    assert (info["network"], info["size"]) == ("paper", 224)
    assert (info["mean"][0] == 0.5) == kind.startswith("timm")  # else ImageNet's
    assert info["options"]["num_classes"] == 7 and len(info["classes"]) == 7


@pytest.mark.parametrize("version", [2, 3])
def test_names_of_keras_in_npz(version, tmp_path):
    model = foreign.network("tensorflow")
    depthwise = {2: "depthwise_kernel", 3: "kernel"}[version]
    np.savez(tmp_path / "w.npz", **foreign.keras(model, depthwise))
    info = assert_equal_logits(tmp_path / "w.npz", model)
    assert info["mean"].tolist() == info["std"].tolist() == [0.5] * 3  # x / 127.5 - 1
    np.savez_compressed(tmp_path / "packed.npz", **foreign.keras(model))
    assert_equal_logits(tmp_path / "packed.npz", model, sizes=[33])


def test_hdf5_of_keras_2_and_3(tmp_path):
    model = foreign.network("tensorflow")
    legacy = {f"{n.split('/')[0]}/{n}:0": a for n, a in foreign.keras(model).items()}
    foreign.write_h5(tmp_path / "w.h5", legacy)
    assert assert_equal_logits(tmp_path / "w.h5", model)["size"] == 224
    foreign.write_h5(tmp_path / "whole.h5", legacy, foreign.topology(), "model_weights/")
    assert assert_equal_logits(tmp_path / "whole.h5", model)["size"] == 48
    foreign.write_h5(tmp_path / "nested.h5", legacy, prefix="model_weights/mobilenet_0.10_48/")
    assert_equal_logits(tmp_path / "nested.h5", model, sizes=[33])
    groups = foreign.keras_3_groups(model)
    foreign.write_h5(tmp_path / "w.weights.h5", groups)
    assert_equal_logits(tmp_path / "w.weights.h5", model)
    foreign.write_keras(tmp_path / "w.keras", groups, foreign.topology())
    assert assert_equal_logits(tmp_path / "w.keras", model)["size"] == 48


def test_padding_and_epsilon_follow_the_description_of_the_layers(tmp_path):
    model = foreign.network("tensorflow")
    model[0].end = True  # (0, 1) before the stem too, as in Keras 2.2
    foreign.write_tfjs(tmp_path / "a", foreign.keras(model), foreign.topology(stem="valid"))
    info = assert_equal_logits(tmp_path / "a", model)
    assert (info["options"]["stem_padding"], info["options"]["padding"]) == ("end", "end")
    same = foreign.network("slim")  # as in Keras 2.1
    layers = foreign.topology(depthwise="same", eps=3e-3)
    for module in same.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eps = 3e-3
    foreign.write_tfjs(tmp_path / "b", foreign.keras(same), layers)
    assert assert_equal_logits(tmp_path / "b", same)["options"]["bn_eps"] == 3e-3


@pytest.mark.parametrize(("bits", "atol"), [(None, 1e-4), (16, 1e-2), ("float16", 1e-2), (8, 0.5)])
def test_layer_folders_of_tensorflow_js(bits, atol, tmp_path):
    model = foreign.network("tensorflow")
    arrays = foreign.keras(model)
    foreign.write_tfjs(tmp_path / "a", arrays, foreign.topology(), bits)
    if atol <= 1e-2:
        for path in (tmp_path / "a", tmp_path / "a" / "model.json"):
            ours, _ = mobilenet.load_weights(path)
            x = np.random.default_rng(0).standard_normal((2, 3, 50, 50)).astype(np.float32)
            with tn.no_grad(), torch.no_grad():
                theirs = model(torch.tensor(x)).numpy()
                np.testing.assert_allclose(ours(tn.Tensor(x)).numpy(), theirs, rtol=0, atol=atol)
    ours, _ = mobilenet.load_weights(tmp_path / "a")
    for name, ours_name in (("conv1/kernel", "stem.0.weight"),):
        step = np.ptp(arrays[name]) / 255
        found = ours.state_dict()[ours_name].numpy().transpose(2, 3, 1, 0)
        assert abs(found - arrays[name]).max() < 0.51 * step


def test_names_of_slim_with_a_background_class_and_averages(tmp_path):
    model = foreign.network("slim", classes=1001)
    arrays = foreign.slim(model)
    averaged = {}
    for name, array in arrays.items():
        averaged[f"{name}/ExponentialMovingAverage"] = array
        averaged[name] = array + 1  # the average is what the authors evaluate
        averaged[f"{name}/RMSProp_1"] = array
    np.savez(tmp_path / "w.npz", **averaged, global_step=np.array(7))
    assert_equal_logits(tmp_path / "w.npz", model)
    (tmp_path / "names.txt").write_text("".join(f"thing {i}\n" for i in range(1000)))
    info = mobilenet.load_weights(tmp_path / "w.npz", labels=tmp_path / "names.txt")[1]
    assert info["classes"][:2] == ["background", "thing 0"] and len(info["classes"]) == 1001


BIASED = {  # how each names its arrays, and the bias of a kernel
    "timm": ("paper", foreign.timm, ("weight", "bias")),
    "Sequential": ("paper", lambda m: dict(m.state_dict()), ("weight", "bias")),
    "Keras": ("tensorflow", foreign.keras, ("(depthwise_)?kernel", "bias")),
    "Keras 3": ("tensorflow", foreign.keras_3_groups, ("0", "1")),
    "TF-slim": ("slim", foreign.slim, ("(depthwise_)?weights", "biases")),
}


@pytest.mark.parametrize("kind", BIASED)
def test_a_bias_in_front_of_a_batchnorm_is_taken_off_its_mean(kind, tmp_path):
    network, name, (kernel, bias) = BIASED[kind]
    model = foreign.network(network)
    arrays = {key: np.asarray(array) for key, array in name(model).items()}
    keys = [key for key, array in arrays.items() if array.ndim == 4][:27]
    convolutions = [m for m in model.modules() if isinstance(m, torch.nn.Conv2d)]
    for key, layer in zip(keys, convolutions, strict=True):
        layer.bias = torch.nn.Parameter(0.2 * torch.randn(layer.out_channels))
        arrays[re.sub(f"{kernel}$", bias, key)] = layer.bias.detach().numpy()
    np.savez(tmp_path / "w.npz", **arrays)
    assert_equal_logits(tmp_path / "w.npz", model)
    arrays[re.sub(f"{kernel}$", bias, keys[0])] = np.ones(2, np.float32)
    np.savez(tmp_path / "w.npz", **arrays)
    with pytest.raises(interop.WeightsError, match=r"has the shape \(2,\), but its layer has"):
        mobilenet.load_weights(tmp_path / "w.npz")


@pytest.mark.parametrize("width", [0.05, 0.3, 0.75])
def test_the_width_follows_from_the_shapes(width, tmp_path):
    model = foreign.network("paper", width)
    foreign.write_safetensors(tmp_path / "w.safetensors", foreign.timm(model))
    assert_equal_logits(tmp_path / "w.safetensors", model, sizes=[33])


def test_what_timm_says_of_its_images_beside_the_weights(tmp_path):
    foreign.write_safetensors(
        tmp_path / "model.safetensors", foreign.timm(foreign.network("paper"))
    )
    config = {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6], "input_size": [3, 64, 64]}
    config |= {"crop_pct": 0.95, "interpolation": "bilinear"}
    (tmp_path / "config.json").write_text(json.dumps({"pretrained_cfg": config}))
    info = mobilenet.load_weights(tmp_path)[1]
    assert (info["mean"].tolist(), info["std"].tolist()) == (config["mean"], config["std"])
    assert (info["size"], info["images"]) == (64, {"crop": 0.95, "resample": "bilinear"})
    for wrong in ({"std": [0, 1, 1]}, {"mean": "x"}, {"input_size": [3, 10**9, 2]}):
        (tmp_path / "config.json").write_text(json.dumps({"pretrained_cfg": config | wrong}))
        with pytest.raises(interop.WeightsError):
            mobilenet.load_weights(tmp_path)


def test_what_was_loaded_can_be_saved_as_tinynets_own(tmp_path):
    model = foreign.network("tensorflow")
    np.savez(tmp_path / "w.npz", **foreign.keras(model))
    ours, info = mobilenet.load_weights(tmp_path / "w.npz", size=50)
    mobilenet.save_network(tmp_path / "own.npz", ours, **info)
    again = assert_equal_logits(tmp_path / "own.npz", model)
    assert again["images"] == info["images"] and again["size"] == 50
    for images in ({"crop": 2}, {"crop": "x"}, {"resample": "magic"}, {"zoom": 1}, 3):
        with pytest.raises(ValueError, match="crop|images"):
            mobilenet.save_network(tmp_path / "no.npz", ours, **{**info, "images": images})
    assert not (tmp_path / "no.npz").exists()


def test_pixels_are_resized_and_cut_as_by_torchvision(tmp_path, rng):
    """Resize(256) makes of 451x300 pixels int(256 * 451 / 300) = 384 by 256; then CenterCrop."""
    Image.fromarray(rng.integers(0, 256, (300, 451, 3), np.uint8)).save(tmp_path / "a.png")
    found = predict.read(tmp_path / "a.png", 224, crop=0.875, resample="bicubic")
    whole = Image.open(tmp_path / "a.png").resize((384, 256), Image.Resampling.BICUBIC)
    assert (found == np.asarray(whole)[16:240, 80:304].transpose(2, 0, 1)).all()
    np.save(tmp_path / "a.npy", np.asarray(Image.open(tmp_path / "a.png")))
    assert (predict.read(tmp_path / "a.npy", 224, crop=0.875, resample="bicubic") == found).all()
    strip = rng.integers(0, 256, (1, 10**6, 3), np.uint8)  # resized whole: 200 GB
    np.save(tmp_path / "strip.npy", strip)
    assert predict.read(tmp_path / "strip.npy", 224, crop=0.875).shape == (3, 224, 224)


LABELS = {
    "list": json.dumps(["a", "b", "c"]),
    "dicts": json.dumps([{"index": i, "name": n} for i, n in enumerate("abc")]),
    "dict": json.dumps({"2": "c", "0": "a", "1": "b"}),
    "Keras's": json.dumps({"0": ["n01", "a"], "1": ["n02", "b"], "2": ["n03", "c"]}),
    "lines": "a\n\nb\r\n  c  ",
}


@pytest.mark.parametrize("kind", LABELS)
def test_labels(kind, tmp_path):
    from tinynet.interop.pretrained import names_of

    (tmp_path / "names").write_text(LABELS[kind])
    assert names_of(tmp_path / "names", 3) == ["a", "b", "c"]
    with pytest.raises(interop.WeightsError, match="3 names, but the network has 4 outputs"):
        names_of(tmp_path / "names", 4)


def test_labels_that_are_none(tmp_path):
    from tinynet.interop.pretrained import names_of

    for text, words in (
        ('{"0": "a", "2": "c"}', "names no class 1"),
        ("[1, 2, 3]", "1 is no name of a class"),
        ("7", "expected a list of names"),
        ("[" * 100_000, "1 names, but"),
    ):
        (tmp_path / "names").write_text(text)
        with pytest.raises(interop.WeightsError, match=words):
            names_of(tmp_path / "names", 3)
    (tmp_path / "names").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(interop.WeightsError, match="damaged"):
        names_of(tmp_path / "names", 3)
    with pytest.raises(interop.WeightsError, match="there is no"):
        names_of(tmp_path / "none", 3)


def test_the_command_names_what_is_on_a_photo(tmp_path, rng, capsys):
    model = foreign.network("tensorflow")
    with torch.no_grad():
        model[-1].weight.zero_()
        model[-1].bias.copy_(torch.arange(7.0))
    np.savez(tmp_path / "w.npz", **foreign.keras(model))
    (tmp_path / "names.txt").write_text("ant\nbee\ncat\ndog\nelk\nfox\ngnu\n")
    Image.fromarray(rng.integers(0, 256, (40, 60, 3), np.uint8)).save(tmp_path / "a.png")
    command = ["predict", str(tmp_path / "a.png"), "--weights", str(tmp_path / "w.npz")]
    mobilenet.main([*command, "--labels", str(tmp_path / "names.txt"), "--resolution", "50"])
    assert capsys.readouterr().out.splitlines()[2].split()[:3] == ["gnu", "63.3", "%"]
    mobilenet.main([*command, "--resolution", "50"])
    assert "class 6" in capsys.readouterr().out
    with pytest.raises(SystemExit) as stop:  # too small for five strides of Keras
        mobilenet.main([*command, "--resolution", "20"])
    assert str(stop.value).startswith("mobilenet.py: ") and "\n" not in str(stop.value)
    with pytest.raises(SystemExit) as stop:
        mobilenet.main([*command, "--resolution", "0"])
    assert stop.value.code == 2
