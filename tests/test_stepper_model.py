"""`--model FILE.py:CLASS`: the page of any network class, and a sentence for all that fails."""

import sys

import numpy as np
import pytest
import safetensors.torch
import torch
import torch_sources
from browser import open_page  # noqa: F401  (a fixture)
from PIL import Image

import tinynet as tn
from tinynet import stepper
from tinynet.stepper.__main__ import main
from tinynet.stepper.model import network_of, torch_names

SOURCE = """
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.nn import init
from beside import CLASSES

class Net(nn.Module):
    def __init__(self, width=4, kind="plain"):
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, stride=2, bias=False)
        self.bn = nn.BatchNorm2d(width)
        self.fc = nn.Linear(width, CLASSES)
        init.zeros_(self.fc.bias)

    def forward(self, x):
        assert not self.training
        x = F.relu(self.bn(self.stem(x)))
        return self.fc(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1))

class Grey(nn.Module):
    def __init__(self):
        super().__init__()
        self.c, self.fc = nn.Conv2d(1, 2, 5), nn.Linear(2 * 24 * 24, 3)

    def forward(self, x):  # takes 28x28 only
        return self.fc(self.c(x).view(-1, 2 * 24 * 24))

class Flat(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(48, 1)

    def forward(self, x):
        return self.fc(x.flatten(1))

class Needs(nn.Module):
    def __init__(self, width, *, depth):
        super().__init__()

class Fails(nn.Module):
    def __init__(self):
        super().__init__()
        self.c = nn.Conv2d(3, 6, 5)

    def forward(self, x):
        return torch.something_special(x)

class Raises(nn.Module):
    def __init__(self):
        raise KeyError("no such part")

class Empty(nn.Module):
    def forward(self, x):
        return x

class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.c = nn.Conv2d(5, 6, 5)

    def forward(self, x):
        return self.c(x), x

NUMBER = 3
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(SOURCE)
    (tmp_path / "beside.py").write_text("CLASSES = 7\n")
    yield tmp_path
    sys.modules.pop("beside", None)


def sentence(capsys, *arguments):
    with pytest.raises(SystemExit) as stop:
        main([*arguments, "--html", "out.html"])
    assert isinstance(stop.value.code, str) and "\n" not in stop.value.code
    assert capsys.readouterr().out == ""
    return stop.value.code


def test_the_page_of_a_class_written_for_torch(here, open_page, capsys):  # noqa: F811
    main(["--model", "net.py:Net(width=3)"])
    assert capsys.readouterr().out == "wrote Net.html\n"
    page = open_page(here / "Net.html")
    assert page.locator("#title").inner_text() == "Net(width=3)"
    assert "torch" in sys.modules and sys.modules["torch"] is torch


@pytest.mark.parametrize(
    ("name", "size"), [("MOBILENET", 16), ("BLOCK_TABLE", 28), ("RESIDUAL", 32), ("FEATURES", 32)]
)
def test_the_graph_is_that_of_torch(here, name, size):
    """Logits and gradients equal those of torch with the same file, weights and image."""
    (here / "source.py").write_text(torch_sources.IMPORTS + getattr(torch_sources, name))
    namespace = {}
    exec((here / "source.py").read_text(), namespace)
    torch.manual_seed(0)
    theirs = namespace["Net"]()
    with torch.no_grad():
        for _ in range(20):  # running statistics that fit: else all dies away, and rounding is left
            theirs(torch.rand(16, 3, size, size))
    theirs.eval()
    weights = "weights.npz" if size == 32 else "weights.safetensors"
    if size == 32:
        state = {key: value.numpy() for key, value in theirs.state_dict().items()}
        np.savez(weights, **state)
    else:
        safetensors.torch.save_file(theirs.state_dict(), weights)
    pixels = np.random.default_rng(0).integers(0, 256, (size, size, 3), np.uint8)
    Image.fromarray(pixels).save("image.png")
    lesson = network_of("source.py:Net", weights, "image.png")
    loss = lesson.build()
    trace = stepper.Trace(loss)
    x = torch.tensor(pixels / 255).permute(2, 0, 1)[None].float().contiguous()
    logits = theirs(x)
    label = logits.argmax(1)
    expected = torch.nn.functional.cross_entropy(logits, label)
    expected.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-4)
    assert lesson.about.endswith(f"most probable class, {label.item()}.")
    for key, parameter in theirs.named_parameters():
        (node,) = (n for n in trace.nodes if n.kind == "parameter" and n.name == key)
        expected = parameter.grad.numpy()
        difference = np.linalg.norm(trace.gradient(node) - expected)
        assert difference <= 1e-3 * np.linalg.norm(expected), key


def test_what_the_network_takes_is_found(here):
    assert "(3, 32, 32)" in network_of("net.py:Net").about
    assert "(1, 28, 28)" in network_of("net.py:Grey").about
    flat = network_of("net.py:Flat").about
    assert "(48,)" in flat and "the mean of what it returns" in flat
    Image.new("RGB", (9, 5), "red").save("red.png")
    assert "(3, 4, 4)" in network_of("net.py:Flat", image="red.png").about
    assert "(1, 28, 28)" in network_of("net.py:Grey", image="red.png").about


def test_a_trained_network_of_tinynet_brings_its_normalisation(here):
    import mobilenet

    model = mobilenet.build("cifar-2x2", 3, 0.1).eval()
    facts = {"network": "cifar-2x2", "options": {"num_classes": 3, "width": 0.1}}
    mean, std = [0.1, 0.2, 0.3], [0.4, 0.5, 0.6]
    mobilenet.save_network(
        "n.npz", model, **facts, classes=list("abc"), mean=mean, std=std, size=40
    )
    (here / "mine.py").write_text(
        "import mobilenet\ndef net():\n    return mobilenet.build('cifar-2x2', 3, 0.1)\n"
    )
    Image.new("RGB", (40, 40), (51, 102, 204)).save("i.png")
    lesson = network_of("mine.py:net", "n.npz", "i.png")
    assert "(3, 40, 40)" in lesson.about
    x = (np.array([0.2, 0.4, 0.8]) - mean) / std
    images = np.broadcast_to(x.reshape(1, 3, 1, 1), (1, 3, 40, 40)).astype(np.float32)
    logits = model(tn.tensor(images))
    expected = tn.nn.functional.cross_entropy(logits, tn.tensor(logits.numpy().argmax(1)))
    assert lesson.build().item() == pytest.approx(expected.item(), rel=1e-4)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("net", "expected FILE.py:CLASS or FILE.py:CLASS(width=0.25), got 'net'"),
        ("gone.py:Net", "there is no file gone.py"),
        ("net.py:Nut", "net.py has no class 'Nut'; its classes: Net, Grey, Flat, Needs"),
        ("net.py:NUMBER", "net.py has no class 'NUMBER'"),
        ("net.py:Needs", "missing a required argument: 'width'"),
        ("net.py:Needs", '--model "net.py:Needs(width=..., depth=...)"'),
        ("net.py:Net(size=3)", "got an unexpected keyword argument 'size'"),
        ("net.py:Net(width=x)", "the arguments of Net must be literals"),
        ("net.py:Net(**{'width': 3})", "the arguments of Net must be literals"),
        ("net.py:Net(3)(4)", "the arguments of Net must be literals"),
        ("net.py:Net(3", "expected FILE.py:CLASS"),
        ("net.py:Net(width=0)", "Net cannot be made (line 11: "),
        ("net.py:Raises", "Raises cannot be made (line 51: KeyError: 'no such part')"),
        ("net.py:Fails", "does not run on an input of (1, 3, 32, 32) (line 47: AttributeError"),
        ("net.py:Fails", "tinynet does not have all that torch has"),
        ("net.py:Empty", "Empty has neither a Conv2d nor a Linear layer"),
        ("net.py:Pair", "forward must return a Tensor, got tuple"),
        ("broken.py:Net", "broken.py cannot be imported (line 2: SyntaxError: "),
        ("imports.py:Net", "ModuleNotFoundError: No module named 'nowhere'"),
        ("leaves.py:Net", "leaves.py cannot be imported (line 2: SystemExit: 3)"),
        ("beside.py:len", "beside.py has no class 'len'; its classes: none"),
        ("other.py:make", "make must make an nn.Module, got list"),
    ],
)
def test_what_cannot_be_made_ends_in_a_sentence(here, capsys, asked, words):
    (here / "broken.py").write_text("\nclass Net(:\n")
    (here / "imports.py").write_text("import nowhere\n")
    (here / "leaves.py").write_text("import sys\nsys.exit(3)\n")
    (here / "other.py").write_text("make = list\n")
    said = sentence(capsys, "--model", asked)
    assert said.startswith("stepper: ") and words in said
    assert not (here / "out.html").exists()
    assert sys.modules["torch"] is torch


def test_too_many_ops_end_in_a_sentence(here, capsys, monkeypatch):
    monkeypatch.setattr("tinynet.stepper.page.LIMIT", 50_000)  # a real one of 12,000 takes a while
    said = sentence(capsys, "--model", "net.py:Net")
    assert "a graph of 9 ops does not fit into a page of 5 MB" in said


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("gone.npz", "--weights: there is no file gone.npz"),
        ("text.npz", "text.npz holds no weights that can be read"),
        ("text.npz", "save them as .safetensors, or with np.savez(FILE, **{name: w.numpy()"),
        ("text.safetensors", "text.safetensors: no safetensors file"),
        ("torch.pt", "torch.pt holds no weights that can be read"),
        ("other.npz", "missing stem.weight"),
        ("shape.npz", "wrong shapes: fc.bias (2,) for (7,)"),
    ],
)
def test_wrong_weights_end_in_a_sentence(here, capsys, name, words):
    for name_of_text in ("text.npz", "text.safetensors"):
        (here / name_of_text).write_text("not an archive")
    torch.save({"a": torch.zeros(2)}, "torch.pt")
    np.savez("other.npz", weight=np.zeros(3))
    state = {k: v.numpy() for k, v in net_state().items()}
    np.savez("shape.npz", **{**state, "fc.bias": np.zeros(2)})
    assert words in sentence(capsys, "--model", "net.py:Net", "--weights", name)


def net_state():
    namespace = {}
    exec(SOURCE.replace("from beside import CLASSES", "CLASSES = 7"), namespace)
    return namespace["Net"]().state_dict()


def test_wrong_images_and_lonely_options_end_in_a_sentence(here, capsys):
    (here / "text.png").write_text("no image")
    net = ("--model", "net.py:Net")
    assert "gone.png is no file" in sentence(capsys, *net, "--image", "gone.png")
    assert "cannot be read as an image" in sentence(capsys, *net, "--image", "text.png")
    said = sentence(capsys, "--model", "net.py:Pair", "--image", "text.png")
    assert "takes no image of 1 or 3 channels" in said
    for lonely in ("--weights", "--image"):
        assert "name it with --model" in sentence(capsys, lonely, "x")


def test_torch_names_are_tinynet_and_torch_is_back_afterwards():
    before = {n: m for n, m in sys.modules.items() if n.partition(".")[0] == "torch"}
    with torch_names():
        import torch as inside
        import torch.nn.functional as functional

        assert inside is tn and functional is tn.nn.functional
    after = {n: m for n, m in sys.modules.items() if n.partition(".")[0] == "torch"}
    assert after == before and before["torch"] is torch
