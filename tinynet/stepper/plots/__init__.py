"""The walk as figures for slides and notebooks: one per step, or all of them as a GIF.

Drawn with matplotlib's objects (not pyplot, which keeps every figure and may need a display).
"""

import tempfile
import textwrap
from pathlib import Path

import numpy as np

from tinynet.autograd import Tensor
from tinynet.files import atomic_write
from tinynet.stepper.formula import fill, formula, use
from tinynet.stepper.numbers import Replay
from tinynet.stepper.plots.graph import (
    DARK,
    GREY,
    HEAD,
    MARK,
    SMALL,
    TEXT,
    draw_graph,
    node_name,
    write,
)
from tinynet.stepper.plots.heat import draw_heat
from tinynet.stepper.text import element
from tinynet.stepper.trace import Trace
from tinynet.stepper.worked import largest

WIDTH, HEIGHT, DPI = 13.33, 7.5, 100  # inches: a slide of 16:9
LEFT = 5.6  # the graph's part of the width
MONO = 0.602 * TEXT / 72  # inches: one character of the fixed-width font
LINE = 0.185  # inches
MOST_LINES = {"forward": 2, "backward": 5, "where": 6, "shapes": 3, "numbers": 7}
MOST_MAPS = 4  # heat maps side by side
MOST_STEPS = 300  # of a GIF: every frame is held, 3 MB each, until all are drawn


def plot_step(loss, number, figure=None):
    """Step `number` of the walk back from `loss`, as a Figure.

    Steps are numbered as on the page and in the terminal: the forward phase comes first, so the
    first step back has the number `Trace(loss).seed + 1`.

    On the left the graph, or the part of it around the op: what is known of each node once the
    step is done, and where the op's gradient goes. On the right the op's rule, in symbols, with
    shapes and with the numbers of the largest element of each gradient, and heat maps of the
    gradient that came in and of those that go out.

    Args: loss: a Tensor with a graph, or a Trace. figure: one to draw into, in place of a new one
    of 13.33 x 7.5 inches; it is cleared and resized.
    Raises: TypeError or ValueError in one sentence for anything else, a graph that is empty or was
    freed, or a number that is not a step of the graph.
    """
    trace = _trace("plot_step", loss)
    first, last = trace.seed + 1, len(trace.frames) - 1
    if not isinstance(number, int | np.integer) or not first <= number <= last:
        raise ValueError(
            f"plot_step: number must be an integer from {first} to {last}, the steps back through "
            f"this graph, got {number!r}"
        )
    return _draw(trace, _replay(trace), number, figure)


def animate(loss, path, seconds=1.0):
    """Write all steps back as a GIF that shows each for `seconds` and then starts again.

    The file appears only once it is complete. Args: loss: a Tensor with a graph, or a Trace.
    Raises: what `plot_step` raises; ValueError for a graph of more than 300 steps or seconds that
    are not a positive number; OSError for a path that cannot be written.
    """
    from matplotlib import rc_context
    from matplotlib.animation import PillowWriter

    trace = _trace("animate", loss)
    if not (isinstance(seconds, int | float) and 0.01 <= seconds <= 600):
        raise ValueError(f"animate: seconds must be a number from 0.01 to 600, got {seconds!r}")
    if len(trace.steps) > MOST_STEPS:
        raise ValueError(
            f"animate: the graph has {len(trace.steps)} steps and a GIF can hold {MOST_STEPS}; "
            "draw the ones you want with plot_step, or write the web page with save_html"
        )
    replay, figure = _replay(trace), _figure(None)
    with atomic_write(path) as file, tempfile.TemporaryDirectory() as folder:
        whole = Path(folder, "steps.gif")
        writer = PillowWriter(fps=1 / seconds)
        # Not `writer.saving`, which after an error goes on to write what there is.
        with rc_context({"savefig.bbox": None}):
            writer.setup(figure, whole, DPI)
            for number in range(trace.seed + 1, len(trace.frames)):
                _draw(trace, replay, number, figure)
                writer.grab_frame()
            writer.finish()
        file.write(whole.read_bytes())


def _trace(function, loss):
    if isinstance(loss, Trace):
        return loss
    if not isinstance(loss, Tensor):
        raise TypeError(f"{function}: loss must be a Tensor or a Trace, got {type(loss).__name__}")
    return Trace(loss)


def _replay(trace):
    with np.errstate(all="ignore"):
        return Replay(trace) if trace.recorded else None


def _figure(figure):
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if figure is None:
        figure = Figure(dpi=DPI, facecolor="white")
        FigureCanvasAgg(figure)
    figure.clear()
    figure.set_size_inches(WIDTH, HEIGHT)
    return figure


def _draw(trace, replay, number, figure):
    figure = _figure(figure)
    frame = trace.frames[number]
    step = frame.step
    draw_graph(figure, (0.15, 0.1, LEFT - 0.3, HEIGHT - 0.2), trace, number)
    heading = f"Step {number} of {len(trace.frames) - 1}: {step.node.title}"
    write(figure, LEFT, HEIGHT - 0.32, heading, size=HEAD, weight="bold", color=DARK)
    write(figure, LEFT, HEIGHT - 0.62, _about(trace, step), size=TEXT, color=GREY)
    y = HEIGHT - 0.98
    for head, kind, lines in _sections(trace, replay, frame):
        write(figure, LEFT, y, head, size=TEXT, weight="bold", color=MARK)
        for line in _wrapped(lines, MOST_LINES[kind]):
            write(figure, LEFT + 1.05, y, line, size=TEXT, family="monospace", color=DARK)
            y -= LINE
        y -= 0.07
    _draw_heats(figure, trace, frame, y - 0.05)
    return figure


def _about(trace, step):
    parts = [f"module {step.node.path}"] if step.node.path else []
    parts.append(f"result {step.node.shape}, {step.node.dtype}")
    parts.append(f"this step frees {_bytes(step.freed_bytes)}")
    return "   ·   ".join(parts)


def _bytes(count):
    thousands = max(0, (len(str(count)) - 1) // 3)
    return f"{count / 1000**thousands:.3g} {('bytes', 'kB', 'MB', 'GB', 'TB')[thousands]}"


def _sections(trace, replay, frame):
    """(heading, kind, lines) of the text beside the graph."""
    rule = formula(trace, frame.node)
    yield "Forward", "forward", [rule.forward]
    yield "Backward", "backward", rule.backward.splitlines() or ["(the op states no rule)"]
    if rule.where:
        yield "Where", "where", [rule.where]
    yield "Shapes", "shapes", [rule.shapes, rule.shapes_back]
    if replay is None:
        lines = ["not recorded: make the graph inside `with stepper.record():`"]
    else:
        lines = ["(largest element, its largest terms: gradient * slope)"]
        lines += [line for i in frame.sent for line in _numbers(trace, replay, frame.step, i)]
    yield "In numbers", "numbers", lines


def _numbers(trace, replay, step, i):
    """The chain rule for the largest element of what goes to input `i`."""
    gx = step.gxs[i]
    if gx.size == 0:
        return
    index = largest(gx)
    with np.errstate(all="ignore"):
        found = replay.terms(step, i, index, most=3)
    terms = [f"{_factor(term.gy)} * {_factor(term.slope)}" for term in found.terms]
    if found.count > len(terms):
        rest = found.total - sum(term.value for term in found.terms)
        terms.append(f"{_factor(rest)} ({found.count - len(terms)} more)")
    target = trace.nodes[step.node.inputs[i]]
    name, sign = element(target.gradient_symbol, index), fill(f"{{is{i}}}", trace, step.node)
    yield f"{name} {sign} {' + '.join(terms) or 'no term'} = {found.total + 0.0:.4g}"
    if target.contributions > 1:
        count = f"contribution {step.arrived[i]} of {target.contributions}"
        total = f"{step.totals[i][index]:.4g}"
        whole = "in all" if step.arrived[i] == target.contributions else "so far"
        yield f"  {count}{use(step.node, i, trace)}; {whole}: {total}"


def _factor(value):
    text = f"{value + 0.0:.4g}"
    return f"({text})" if text.startswith("-") else text


def _wrapped(lines, most):
    room = int((WIDTH - LEFT - 1.05 - 0.1) / MONO)
    wrapped = [
        part
        for line in lines
        for part in textwrap.wrap(line, room, subsequent_indent="    ", drop_whitespace=True)
        or [""]
    ]
    if len(wrapped) > most:
        wrapped = [*wrapped[: most - 1], wrapped[most - 1][: room - 4] + " ..."]
    return wrapped


def _draw_heats(figure, trace, frame, top):
    """The gradient that came in and what goes to each input, side by side under the text."""
    step = frame.step
    maps = [(step.node.gradient_symbol, "came in", step.gy)]
    for i in frame.sent:
        target = trace.nodes[step.node.inputs[i]]
        where = f"to {node_name(target)}"
        if target.contributions > 1:
            where += f", contribution {step.arrived[i]} of {target.contributions}"
        maps.append((target.gradient_symbol, where, step.gxs[i]))
    left_out = len(maps) - MOST_MAPS
    width = (WIDTH - LEFT - 0.1) / max(3, min(len(maps), MOST_MAPS))
    for k, (name, where, array) in enumerate(maps[:MOST_MAPS]):
        box = (LEFT + k * width, 0.1, width - 0.2, top - 0.1)
        draw_heat(figure, box, array, f"{name} {array.shape}", where)
    if left_out > 0:
        text = f"{left_out} more gradients go out: not drawn"
        write(figure, WIDTH - 3.2, top + 0.12, text, size=SMALL, color=GREY)
