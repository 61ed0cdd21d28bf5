"""MobileNetV1: the paper's totals, weights from Keras, options and the command line."""

import numpy as np
import pytest
from test_mobilenet_torch import CHANNELS

import mobilenet
from tinynet.summary import summary

# Exact multiply-adds at 224, 192, 160 and 128, and parameters, for each width.
PAPER = {
    1.0: (568_740_352, 418_121_728, 290_675_200, 186_400_768, 4_231_976),
    0.75: (325_400_448, 239_273_472, 166_396_800, 106_770_432, 2_585_560),
    0.5: (149_497_088, 109_970_432, 76_524_800, 49_160_192, 1_331_592),
    0.25: (41_030_272, 30_212_608, 21_059_200, 13_570_048, 470_072),
}


def cost(network, resolution, num_classes=1000, width=None):
    found = summary(mobilenet.build(network, num_classes, width), (3, resolution, resolution))
    return found.mult_adds, found.parameters


@pytest.mark.parametrize("width", PAPER)
@pytest.mark.parametrize("resolution", (224, 192, 160, 128))
def test_costs_of_the_sixteen_models_of_the_paper(width, resolution):
    expected = PAPER[width][(224, 192, 160, 128).index(resolution)], PAPER[width][4]
    assert cost("paper", resolution, width=width) == expected


def test_costs_of_the_variants():
    assert cost("full-convolution", 224) == (4_867_293_184, 29_294_088)  # 4,867.3 M and 29.29 M
    assert cost("shallow", 224) == (307_323_392, 2_887_976)  # 307.3 M and 2.89 M
    assert cost("cifar-2x2", 32, 100) == (46_446_592, 3_309_476)  # 46.45 M and 3.3 M
    for width, mult_adds, parameters in (
        (1.0, 175.65, 3.31),
        (0.75, 99.89, 1.89),
        (0.5, 45.36, 0.87),
        (0.25, 12.06, 0.24),
    ):
        found = cost("cifar-4x4", 32, 100, width)
        assert (round(found[0] / 1e6, 2), round(found[1] / 1e6, 2)) == (mult_adds, parameters)
    assert cost("stl10", 224, 10)[1] == 3_217_226
    assert cost("stl10", 224, 10, 0.75)[1] == 1_824_250


@pytest.mark.parametrize("width", (1.0, 0.75, 0.25))
def test_costs_of_the_twins_of_the_cifar_network(width):
    """Worked out here from the channels and the sizes of the maps after each block."""
    maps = [(64, 32), (128, 32), (128, 32), (256, 16), (256, 16), (512, 8)]
    middle, last = [(512, 8)] * 5, [(1024, 4)] * 2

    def worked_out(maps, separable):
        i = round(32 * width)
        counts, adds = 27 * i + 2 * i, 27 * i * 32 * 32
        for channels, size in maps:
            o = round(channels * width)
            if separable:
                counts += 9 * i + 2 * i + i * o + 2 * o
                adds += (9 * i + i * o) * size * size
            else:
                counts += 9 * i * o + 2 * o
                adds += 9 * i * o * size * size
            i = o
        return adds + 100 * i, counts + 100 * i + 100

    assert cost("cifar-4x4", 32, 100, width) == worked_out(maps + middle + last, True)
    assert cost("cifar-4x4-shallow", 32, 100, width) == worked_out(maps + last, True)
    full = cost("cifar-4x4-full-convolution", 32, 100, width)
    assert full == worked_out(maps + middle + last, False)


@pytest.mark.parametrize(
    ("network", "size"),
    [
        *(("cifar-4x4", 4), ("cifar-4x4-shallow", 4), ("cifar-2x2", 2)),
        *(("paper", 1), ("bottleneck", 1)),
    ],
)
def test_final_map(network, size):
    rows = summary(mobilenet.build(network, 100, 0.1), (3, 32, 32)).rows
    last = [row for row in rows if row.kind in ("pointwise", "depthwise")][-1]
    assert last.output_shape[1:] == (size, size)


def test_bottleneck_network_has_twelve_blocks_and_an_extra_pointwise_layer_in_each():
    model = mobilenet.build("bottleneck", 100)
    assert len(model.blocks) == 12
    pointwise = [block.bottleneck[0].weight.shape[:2] for block in model.blocks]
    # width 0.1: round(0.9997 * c) of 3, 6, 13, 13, 26, 26 and six times 51 and 102 channels
    assert pointwise[:6] == [(3, 3), (6, 6), (13, 13), (13, 13), (26, 26), (26, 26)]
    wide = mobilenet.MobileNetV1(10, blocks=((1, 2048), (1, 8)), bottleneck=0.9997)
    assert wide.blocks[1].bottleneck[0].weight.shape[:2] == (2047, 2048)  # the ratio shows here


def test_keras_weights_reach_their_layers():
    rng = np.random.default_rng(0)
    model = mobilenet.build("tensorflow", 10, 0.25)
    weights, i = {}, 8

    def unit(name, kernel, shape):
        weights[f"{name}/{kernel}"] = rng.standard_normal(shape).astype("float32")
        o = shape[2] if kernel == "depthwise_kernel" else shape[3]
        for part in ("gamma", "beta", "moving_mean", "moving_variance"):
            weights[f"{name}_bn/{part}"] = rng.random(o).astype("float32")
        return o

    unit("conv1", "kernel", (3, 3, 3, 8))
    for number, c in enumerate(CHANNELS, 1):
        unit(f"conv_dw_{number}", "depthwise_kernel", (3, 3, i, 1))
        i = unit(f"conv_pw_{number}", "kernel", (1, 1, i, c // 4))
    weights["conv_preds/kernel"] = rng.standard_normal((1, 1, 256, 10)).astype("float32")
    weights["conv_preds/bias"] = rng.standard_normal(10).astype("float32")

    model.load_state_dict(mobilenet.keras_state(weights))
    block = model.blocks[4]
    depthwise, pointwise = block.depthwise[0].weight.numpy(), block.pointwise[0].weight.numpy()
    assert depthwise[5, 0, 1, 2] == weights["conv_dw_5/depthwise_kernel"][1, 2, 5, 0]
    assert pointwise[7, 3, 0, 0] == weights["conv_pw_5/kernel"][0, 0, 3, 7]
    np.testing.assert_array_equal(
        block.pointwise[1].running_var.numpy(), weights["conv_pw_5_bn/moving_variance"]
    )
    assert model.classifier.weight.numpy()[4, 200] == weights["conv_preds/kernel"][0, 0, 200, 4]

    keras_3 = {name.replace("depthwise_kernel", "kernel"): a for name, a in weights.items()}
    again, state = mobilenet.keras_state(keras_3), mobilenet.keras_state(weights)
    assert again.keys() == state.keys() and all((again[n] == state[n]).all() for n in state)
    topless = {name: a for name, a in weights.items() if "conv_preds" not in name}
    assert state.keys() - mobilenet.keras_state(topless).keys() == {
        *("classifier.weight", "classifier.bias")
    }
    del weights["conv_dw_9_bn/beta"]
    with pytest.raises(ValueError, match="conv_dw_9_bn/beta"):
        mobilenet.keras_state(weights)


def test_maps_of_keras_on_any_size():
    """Keras's strided depthwise layers pad (0, 1), so they halve and round down; its stem up."""
    model = mobilenet.build("tensorflow", 10, 0.1)
    for size, last in ((224, 7), (200, 6), (100, 3), (50, 1)):
        rows = [row for row in summary(model, (3, size, size)).rows if row.kind == "depthwise"]
        assert rows[-1].output_shape[1:] == (last, last)
    rows = summary(mobilenet.build("slim", 10, 0.1), (3, 200, 200)).rows
    assert [row for row in rows if row.kind == "depthwise"][-1].output_shape[1:] == (7, 7)


def test_weight_decay_spares_depthwise_filters_batchnorm_and_biases():
    model = mobilenet.build("cifar-4x4", 10, 0.1)
    decayed, spared = mobilenet.decay_groups(model, 5e-4)
    assert (decayed["weight_decay"], spared["weight_decay"]) == (5e-4, 0.0)
    names = {id(p): name for name, p in model.named_parameters()}
    kept = sorted(names[id(p)] for p in decayed["params"])
    pointwise = [f"blocks.{i}.pointwise.0.weight" for i in range(13)]
    assert kept == sorted(["stem.0.weight", "classifier.weight", *pointwise])
    assert len(kept) + len(spared["params"]) == len(names)


def test_weight_decay_of_depthwise_filters_of_their_own():
    model = mobilenet.build("cifar-4x4", 10, 0.1)
    decayed, spared, filters = mobilenet.decay_groups(model, 5e-4, depthwise=1e-5)
    assert [g["weight_decay"] for g in (decayed, spared, filters)] == [5e-4, 0.0, 1e-5]
    assert len(filters["params"]) == 13
    assert all(p.shape[1:] == (1, 3, 3) for p in filters["params"])
    assert all(p.ndim == 1 for p in spared["params"])
    two = mobilenet.decay_groups(model, 5e-4)
    assert list(map(id, decayed["params"])) == list(map(id, two[0]["params"]))
    three = spared["params"] + filters["params"]
    assert {id(p) for p in three} == {id(p) for p in two[1]["params"]}
    assert len(three) == len(two[1]["params"])


def test_glorot_weights_of_the_bottleneck_network():
    model = mobilenet.build("bottleneck", 100, 1.0)
    weight = model.blocks[8].pointwise[0].weight.numpy()  # 512 to 512
    bound = np.sqrt(6 / 1024)
    assert 0.999 * bound < np.abs(weight).max() <= bound
    assert not model.classifier.bias.numpy().any()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"width": 0}, "width must be a positive number, got 0"),
        ({"width": "1"}, "width must be a positive number"),
        ({"network": "stl10", "width": 0.3}, "width must be one of 0.25, 0.5, 0.75, 1.0, got 0.3"),
        ({"network": "resnet"}, "network must be one of paper"),
        ({"num_classes": 0}, "out_features must be at least 1, got 0"),
        ({"activation": "gelu"}, "activation must be one of"),
        ({"padding": "valid"}, "padding must be one of"),
    ],
)
def test_wrong_options_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        mobilenet.build(**options)


def test_command_line(capsys):
    mobilenet.main(["summary", "--width", "0.25", "--resolution", "128"])
    text = capsys.readouterr().out
    assert "13,570,048" in text and "470,072" in text
    line = next(line for line in text.splitlines() if line.startswith("blocks.1.depthwise.0"))
    cells = ["depthwise", "3x3", "2", "16", "16x32x32", "147,456", "1.09%", "144"]
    assert line.split()[1:] == cells
    mobilenet.main(["table"])
    table = capsys.readouterr().out
    for width, counts in PAPER.items():
        row = next(line for line in table.splitlines() if line.startswith(str(width)))
        assert row.split()[1:] == [f"{count:,}" for count in counts]


@pytest.mark.parametrize(
    "arguments",
    [
        ["summary", "--width", "-1"],
        ["summary", "--width", "x"],
        ["summary", "--resolution", "0"],
        ["summary", "--network", "resnet"],
        ["summary", "--classes", "0"],
        ["draw"],
        [],
    ],
)
def test_command_line_refuses_in_one_sentence(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        mobilenet.main(arguments)
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert "error: " in error and "Traceback" not in error
