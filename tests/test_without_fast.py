"""Without the folder tinynet/fast everything works as before, more slowly."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent

HIDE = """
import sys
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name == WHAT or name.startswith(WHAT + "."):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Hidden())
"""
TRAIN = """
import json, sys
import numpy as np
import mobilenet, tinynet as tn
import tinynet.nn.functional as F
from tinynet.data import augment, shapes

optimizers = {"sgd": {"lr": 0.05, "momentum": 0.9}, "adam": {"lr": 0.01}}
found = {}
for name, options in optimizers.items():
    tn.manual_seed(3)
    rng = np.random.default_rng(3)
    model = mobilenet.build("cifar-4x4", 4, 0.25).to(np.float64)
    optimizer = {"sgd": tn.optim.SGD, "adam": tn.optim.Adam}[name](model.parameters(), **options)
    losses = []
    for _ in range(2):
        optimizer.zero_grad()
        x = tn.Tensor(rng.standard_normal((9, 3, 12, 12)))
        loss = F.cross_entropy(model(x), tn.tensor(rng.integers(0, 4, 9)))
        loss.backward()
        if not losses:
            found[name + " gradients"] = [p.grad.abs().sum().item() for p in model.parameters()]
        optimizer.step()
        losses.append(loss.item())
    found[name] = losses
    found[name + " state"] = [t.numpy().sum().item() for t in model.state_dict().values()]
loaded = any(m == "tinynet.fast" or m.startswith("tinynet.fast.") for m in sys.modules)
print(json.dumps({"loaded": loaded, "found": found}))
"""


def hiding(what):
    return f"WHAT = {what!r}\n{HIDE}"


def run(code):
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_training_gives_the_same():
    """Losses, gradients and state of two steps, by both optimisers."""
    hidden, whole = run(hiding("tinynet.fast") + TRAIN), run(TRAIN)
    assert whole["loaded"]
    assert not hidden["loaded"]
    assert hidden["found"].keys() == whole["found"].keys()
    for name, numbers in hidden["found"].items():
        np.testing.assert_allclose(numbers, whole["found"][name], rtol=1e-7, err_msg=name)


def test_a_module_missing_elsewhere_is_not_passed_over():
    """Only the folder's absence is allowed: an error inside it must be seen."""
    done = subprocess.run(
        [sys.executable, "-c", hiding("tinynet.fast.cpu.tiles") + "import tinynet"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert "ModuleNotFoundError: No module named 'tinynet.fast.cpu.tiles'" in done.stderr
