"""Walking back through a graph in a terminal, a REPL or a notebook, one command per line."""

import builtins
import math
import os
import re
import shutil
import sys
import textwrap
import types

from tinynet.autograd import Tensor
from tinynet.stepper.terminal.screen import MANY, MOST_ROWS, Screens, called
from tinynet.stepper.text import WIDTH, count, element, field, table
from tinynet.stepper.trace import Trace
from tinynet.stepper.worked import largest

HELP = """\
n, Enter, space  the next step             b  the step before
r NAME           run to the next op of that class, label or module: r blocks.3
p NAME [INDEX]   print a tensor, value and gradient: p weight, p #12, p x 0,1
e [NAME] INDEX   the element to show in numbers: e 0,1 or e weight 0,0,1,1
f                check that element by finite differences
l                list all steps            ?  this help            q  quit"""


def walk(loss, out=None, keys=None, everything=False, told=None):
    """Step back from `loss` through the graph that made it, one op at a time.

    Asks for a command before each step (`?` lists them). If the input is not a terminal, it prints
    all steps one after the other; for a graph of more than 200 steps one line each, unless
    `everything`.

    Args: loss: a Tensor with a graph, best made inside `stepper.record()`, or a Trace. out: a
    file to write to, by default standard output. keys: the commands, in place of a user's. told:
    what a lesson says beside its steps and asks before them, `Guide.told()`.

    Raises: TypeError or ValueError for what is not the result of a computation or has more than one
    element, RuntimeError for a graph that an earlier backward has freed.
    """
    out = sys.stdout if out is None else out
    if not isinstance(loss, Tensor | Trace):
        raise TypeError(f"walk: expected a Tensor or a Trace, got {type(loss).__name__}")
    trace = loss if isinstance(loss, Trace) else Trace(loss)
    screens = Screens(trace, _bold if _may_colour(out) else str, told)
    if keys is None and not _can_ask():
        _write(out, listing(screens, everything))
        return
    try:
        pager = _more if keys is None and _is_terminal(out) else None
        Walker(screens, out, pager).run(_asked() if keys is None else _given(keys, out))
    except NotImplementedError:  # of input(), in a notebook that runs unattended
        _write(out, listing(screens, everything))


def listing(screens, everything=False):
    """All lines of a walk: the nodes, the steps, the leaves."""
    steps = screens.trace.steps
    yield from screens.forward(everything)
    yield ""
    if len(steps) <= MANY or everything:
        for number in range(screens.trace.seed + 1, len(screens.trace.frames)):
            yield from screens.step(number)
            yield ""
    else:
        yield screens.bold(f"Backward: {count(len(steps), 'step')}, one line each")
        yield from _overview(screens)
        yield from field("", "In full: `everything=True`, on the command line `--all`.")
        yield ""
    yield from screens.leaves(everything)


def _overview(screens):
    steps = screens.trace.steps
    return table(
        steps,
        lambda step: screens.row(step.number),
        lambda step: (step.node.name, step.node.shape),
        MOST_ROWS,
    )


class Walker:
    """Where a walk stands, and what each command does. It begins at the seed, the number of the
    frame in which the loss has its gradient; the end is one past the last frame.

    pager: called with the lines of what is to be written, it writes them a screen at a time."""

    def __init__(self, screens, out, pager=None):
        self.screens, self.out, self.pager = screens, out, pager
        self.frames, self.seed = screens.trace.frames, screens.trace.seed
        self.number, self.choice = self.seed, None
        self.asked, self.pending = set(), None  # steps whose question was asked; the one now asked

    def run(self, commands):
        """Answer command after command until q or their end."""
        welcome = "Backward: Enter takes the first step, ? lists the commands."
        self.say([*self.screens.forward(), "", welcome])
        for command in commands:
            answered = self.pending and self.answer(command)
            if answered:
                self.say(answered)
                continue
            word, _, rest = command.strip().partition(" ")
            if word in ("q", "quit", "exit"):
                return
            action = ACTIONS.get(word)
            if action is None:
                self.say([f"{word!r} is not a command; ? lists them."])
            else:
                self.say(action(self, rest.strip()))

    def say(self, lines):
        if self.pager:
            self.pager(self.out, list(lines))
        else:
            _write(self.out, lines)

    def next(self, _):
        if self.number == len(self.frames):
            return ["This was the last step; b goes back, q quits."]
        following = self.number + 1
        ask = self.question(following)
        if ask is None or following in self.asked:
            return self.go(following)
        self.asked.add(following)
        self.pending = following
        return [*field("predict", ask["question"]), *field("", "A number, or Enter to be told.")]

    def question(self, number):
        """What a lesson asks before that frame, or None."""
        if number == len(self.frames):
            return None
        return self.screens.told.get(self.screens.moment(number), {}).get("ask")

    def answer(self, text):
        """The step that a prediction was asked for, behind what is to be said of the prediction;
        None if the text is a command."""
        number, self.pending = self.pending, None
        if not text.strip():
            return self.go(number)
        guess, truth = parsed(text), self.question(number)["answer"]
        if guess is None:
            return None
        verdict = ": right." if is_right(guess, truth) else f"; it is {truth:.4g}."
        return [f"You predicted {guess:.4g}{verdict}", "", *self.go(number)]

    def back(self, _):
        if self.number == self.seed:
            return ["This is the beginning; Enter takes the first step."]
        return self.go(self.number - 1)

    def go(self, number):
        self.number, self.choice = number, None
        if number == self.seed:
            return self.screens.forward()
        if number == len(self.frames):
            return self.screens.leaves()
        return self.screens.step(number)

    def run_to(self, name):
        if not name:
            return ["r needs a name: r relu6"]
        trace = self.screens.trace
        found = [trace.frame_of(step) for step in trace.steps if _is_called(step.node, name)]
        ahead = [number for number in found if number > self.number]
        if ahead:
            return self.go(ahead[0])
        if found:
            at = ", ".join(str(number) for number in found[:8])
            return [f"No op ahead is called {name!r}; behind are steps {at} (b goes back)."]
        names = ", ".join(sorted({step.node.name for step in trace.steps}))
        return _wrapped(f"No op is called {name!r}. There are {names}.")

    def print(self, rest):
        name, index = _name_and_index(rest)
        if not name:
            return ["p needs a name: p weight"]
        nodes = self.nodes_called(name)
        if not nodes:
            return [f"No tensor is called {name!r}; the first screen (b) lists them."]
        if len(nodes) > 1:
            which = ", ".join(f"#{node.number} {called(node)}" for node in nodes[:8])
            more = ", ..." if len(nodes) > 8 else ""
            said = f"{len(nodes)} tensors are called {name!r}: {which}{more}"
            return _wrapped(f"{said}; name one by its #number.")
        (node,) = nodes
        if index is not None:
            problem = _misfit(name, node.shape, index)
            if problem:
                return [problem]
        return self.screens.tensor(node, self.number, index)

    def nodes_called(self, name):
        """By its number, what it or its gradient is called, or a part of a name."""
        nodes = self.screens.trace.nodes
        if re.fullmatch(r"#?\d+", name):
            return nodes[int(name.lstrip("#")) :][:1]
        frame = self.frame()
        mine = [] if frame is None else [i for i in frame.node.inputs if i is not None]
        for some in ([nodes[i] for i in mine], nodes):  # of two weights, the one at hand
            exact = [n for n in some if name in (n.symbol, n.gradient_symbol, called(n))]
            if len({node.number for node in exact}) == 1:
                return exact[:1]
        return [node for node in nodes if _is_called(node, name)]

    def choose(self, rest):
        frame = self.frame()
        if frame is None:
            return [NO_OP]
        name, index = _name_and_index(rest)
        if index is None and re.fullmatch(r"[-\d,]+", name):
            name, index = "", _index(name)
        step, nodes = frame.step, self.screens.trace.nodes
        inputs = [None if i is None else nodes[i] for i in frame.node.inputs]
        wanted = list(frame.sent) or [i for i, gx in enumerate(step.gxs) if gx is not None]
        if name:
            every = [i for i, gx in enumerate(step.gxs) if gx is not None]
            fits = [i for i in every if name in _names(inputs[i])]
            wanted = [i for i in fits if i in wanted] or fits
        if not wanted:
            there = ", ".join(called(node) for node in inputs if node is not None)
            return [f"No gradient goes to {name or 'any input'} here; inputs: {there}."]
        i = wanted[0]
        index = () if index is None else index
        problem = _misfit(called(inputs[i]), step.gxs[i].shape, index)
        if problem:
            return [problem]
        self.choice = i, tuple(k % size for k, size in zip(index, step.gxs[i].shape, strict=True))
        return self.screens.step(self.number, self.choice)

    def check(self, _):
        frame = self.frame()
        if frame is None:
            return [NO_OP]
        if not self.screens.trace.recorded:
            return ["A check needs the values: compute the loss inside `with stepper.record():`."]
        step = frame.step
        choices = (
            [self.choice]
            if self.choice
            else [(i, largest(step.gxs[i])) for i in frame.sent if step.gxs[i].size]
        )
        try:
            return [line for choice in choices for line in self.screens.check(step, *choice)]
        except Exception as error:  # whatever an op of the user's raises when it is run again
            return _wrapped(f"No check: the graph cannot be run again: {error}")

    def frame(self):
        """The frame on the screen, None for the first screen and the last."""
        return self.frames[self.number] if self.seed < self.number < len(self.frames) else None

    def list(self, _):
        return _overview(self.screens)

    def help(self, _):
        return HELP.split("\n")


def parsed(text):
    """The number that a reader types: 0.5, 0,5, 1/3 or ga = 2. None if it is not one."""
    top, *bottom = text.rpartition("=")[2].replace(",", ".").split("/")
    try:
        return float(top) / math.prod(map(float, bottom))
    except (ValueError, ZeroDivisionError):
        return None


def is_right(guess, truth):
    """Within 1 %, or to two digits, as on the page."""
    if not truth:
        return guess == 0
    digit = 10 ** (math.floor(math.log10(abs(truth))) - 1)  # the second one's place
    return abs(guess - truth) <= max(0.01 * abs(truth), 0.5 * digit * (1 + 1e-9))


NO_OP = "There is no op on this screen; Enter takes the first step."
ACTIONS = {
    "": Walker.next,
    "n": Walker.next,
    "b": Walker.back,
    "r": Walker.run_to,
    "p": Walker.print,
    "e": Walker.choose,
    "f": Walker.check,
    "l": Walker.list,
    "?": Walker.help,
    "h": Walker.help,
}


def _wrapped(sentence):
    return textwrap.wrap(sentence, WIDTH)


def _is_called(node, name):
    name = name.lower()
    return any(name in text.lower() for text in (node.name, node.label, node.path))


def _names(node):
    return node.symbol, node.gradient_symbol, node.name, f"g{node.name}"


def _name_and_index(text):
    """'weight[0, 1]' or 'weight 0,1' -> ('weight', (0, 1)); no index -> ('weight', None)."""
    match = re.fullmatch(r"(.*?)[\s\[]+(-?\d+(?:[\s,]+-?\d+)*)\s*,?\s*\]?", text)
    if match and match[1]:
        return match[1].strip(), _index(match[2])
    if match:
        return "", _index(match[2])
    return text.removesuffix("[]").strip(), None


def _index(text):
    return tuple(int(k) for k in re.findall(r"-?\d+", text))


def _misfit(name, shape, index):
    """What is wrong with an index, or ''."""
    if len(index) != len(shape):
        return (
            f"{name} has {count(len(shape), 'axis').replace('axiss', 'axes')}, shape {shape}; "
            f"got an index of {len(index)}: {element(name, index)}"
        )
    if any(not -size <= k < size for k, size in zip(index, shape, strict=True)):
        return f"{element(name, index)} is outside its shape {shape}"
    return ""


def _can_ask():
    """Whether input() reaches a user: at a terminal, or where a notebook has replaced it."""
    replaced = not isinstance(builtins.input, types.BuiltinFunctionType)
    return replaced or (sys.stdin is not None and sys.stdin.isatty())


def _asked():
    while True:
        try:
            yield input("> ")
        except (EOFError, KeyboardInterrupt):
            print()
            return


def _given(keys, out):
    for key in keys:
        _write(out, [f"> {key}".rstrip()])
        yield key


def _is_terminal(out):
    return getattr(out, "isatty", lambda: False)()


def _more(out, lines):
    """Write lines a screen at a time: Enter turns the page, q leaves the rest out."""
    height = max(shutil.get_terminal_size((WIDTH, 24)).lines - 2, 4)  # a line for each prompt
    while lines:
        _write(out, lines[:height])
        lines = lines[height:]
        if lines:
            try:
                answer = input(f"-- {count(len(lines), 'more line')}: Enter; q leaves them out -- ")
            except (EOFError, KeyboardInterrupt):
                answer = "q"
                print()
            lines = [] if answer.strip().lower().startswith("q") else lines


def _may_colour(out):
    return _is_terminal(out) and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


def _bold(text):
    return f"\033[1m{text}\033[0m"


def _write(out, lines):
    encoding = getattr(out, "encoding", None) or "utf-8"
    for line in lines:
        out.write(line.encode(encoding, "backslashreplace").decode(encoding) + "\n")
    out.flush()
