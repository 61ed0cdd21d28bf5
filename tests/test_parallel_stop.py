"""A loop that can be asked to stop: all workers stop after the same step."""

import os
import re
import signal
import time

import pytest

from tests.test_parallel_faults import Program
from tinynet import nn, parallel
from tinynet.parallel import Group

LOOP = """
from tinynet import nn
import tinynet as tn
model = nn.Linear(2, 1)
steps = 0
with parallel.stoppable() as stop:
    while not stop.asked:
        (model(tn.ones(1, 2)) * 0).sum().backward()
        parallel.average_gradients(model)
        steps += 1
        if steps == 3:
            print("pid", os.getpid(), flush=True)
        {body}
os.write(1, f"steps {{steps}}\\n".encode())  # in one piece
parallel.barrier()
return "stopped"
"""


def wait(program, count):
    """Until so many lines are there; two may come as one, so words are counted."""
    until = time.monotonic() + 60
    while program.text().count("pid") < count:
        assert time.monotonic() < until and program.process.poll() is None, program.text()
        time.sleep(0.01)


def once(process):
    process.send_signal(signal.SIGTERM)


def to_all(process):
    """As Docker, systemd and `timeout` do."""
    os.killpg(process.pid, signal.SIGTERM)


def twice(process):
    process.send_signal(signal.SIGTERM)
    os.killpg(process.pid, signal.SIGTERM)


def by_hand(process):
    os.killpg(process.pid, signal.SIGINT)


@pytest.mark.parametrize("send", [once, to_all, twice, by_hand])
@pytest.mark.parametrize("workers", [1, 3])
def test_all_stop_after_the_same_step(tmp_path, workers, send):
    program = Program(tmp_path, LOOP.format(body="time.sleep(0.001)"), f"main({workers})")
    wait(program, 2 * workers)
    send(program.process)
    assert program.process.wait(60) == 0, program.text()
    steps = re.findall(r"^steps (\d+)$", program.text(), re.M)
    assert len(steps) == workers and len(set(steps)) == 1 and int(steps[0]) >= 3
    assert "result stopped" in program.text() and not program.errors.read_text()


def test_a_signal_that_arrives_when_all_have_stopped_is_the_same_wish(tmp_path):
    """Sent to all at once, it may reach a worker long before the process that started it."""
    body = LOOP.format(body="if steps == 3: os.kill(os.getpid(), signal.SIGTERM)")
    body = "import signal\n" + body.replace("return", "time.sleep(1)\nreturn")
    program = Program(tmp_path, body, "main(2)")
    while program.text().count("steps") < 2:
        assert program.process.poll() is None, program.text()
        time.sleep(0.01)
    program.process.send_signal(signal.SIGTERM)
    assert program.process.wait(60) == 0, program.text()
    assert "result stopped" in program.text() and not program.errors.read_text()


@pytest.mark.parametrize("workers", [1, 2])
def test_asked_twice_they_end_at_once(tmp_path, workers):
    program = Program(
        tmp_path, LOOP.format(body="if steps == 3: time.sleep(999)"), f"main({workers})"
    )
    wait(program, 2 * workers)
    program.process.send_signal(signal.SIGTERM)
    while program.process.poll() is None:  # within a second they count as one
        program.process.send_signal(signal.SIGTERM)
        time.sleep(0.05)
    assert program.sentence() == "program: stopped"


def test_outside_the_block_ctrl_c_is_ctrl_c(tmp_path):
    body = LOOP.format(body="if steps == 3: break").replace("return", "time.sleep(999)\nreturn")
    program = Program(tmp_path, body, "main(2)")
    wait(program, 4)
    while "steps" not in program.text():
        pass
    program.process.send_signal(signal.SIGINT)
    assert program.sentence() == "program: stopped"


def test_the_signals_are_given_back(monkeypatch):
    before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    with parallel.stoppable() as stop:
        assert not stop.asked
        signal.raise_signal(signal.SIGTERM)
        assert stop.asked and parallel.current().stop is stop
        signal.raise_signal(signal.SIGTERM)  # at once: it is the same wish
        later = time.monotonic() + 9
        monkeypatch.setattr(time, "monotonic", lambda: later)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == before
    assert parallel.current().stop is None


def test_a_worker_alone_does_not_stop_before_the_others_know():
    class Two(Group):
        size = 2

        def begin(self, *arrays):
            sums = [array.copy() for array in arrays]

            def finish():
                for array, total in zip(arrays, sums, strict=True):
                    array[...] = 2 * total

            return finish

    model = nn.Linear(2, 1)
    with parallel.use(Two()) as group, group.stoppable() as stop:
        signal.raise_signal(signal.SIGINT)
        assert stop.wanted and not stop.asked
        parallel.average_gradients(model)
        assert stop.asked
