"""no_grad, enable_grad and plain around blocks, functions and generators."""

import functools
import threading

import pytest
import torch

import tinynet as tn
from tinynet.autograd.mode import mode

SWITCHES = {"no_grad": tn.no_grad, "enable_grad": tn.enable_grad, "plain": tn.plain}


@pytest.fixture(autouse=True)
def fast(monkeypatch):
    """Under TINYNET_PLAIN=1, too, the tests begin where plain() is off."""
    monkeypatch.setattr(mode, "plain", False)


def state():
    return mode.recording, mode.plain


@pytest.fixture(params=SWITCHES)
def switch(request):
    """A switch, called so that it changes something: enable_grad inside no_grad."""
    if request.param == "enable_grad":
        with tn.no_grad():
            yield tn.enable_grad
    else:
        yield SWITCHES[request.param]
    assert state() == (True, False)


def inside(switch):
    with switch():
        return state()


def counting(seen, stop=3):
    """A generator that notes the state at each of its steps, what it is sent, and its end."""
    try:
        for number in range(stop):
            seen.append((number, state()))
            sent = yield number
            if sent is not None:
                seen.append((sent, state()))
        return "done"
    except ZeroDivisionError:
        seen.append(("error", state()))
        yield -1
    finally:
        seen.append(("end", state()))


@pytest.mark.parametrize("brackets", [True, False])
def test_a_generator_is_inside_at_its_steps_and_outside_between(switch, brackets):
    seen, outside = [], state()
    decorated = switch()(counting) if brackets else switch(counting)
    assert decorated.__name__ == "counting"
    for number in decorated(seen):
        assert state() == outside
        seen.append((number, "outside"))
    within = inside(switch)
    steps = [[(n, within), (n, "outside")] for n in range(3)]
    assert seen == [*sum(steps, []), ("end", within)]


def test_what_a_generator_is_sent_and_returns(switch):
    seen, within, outside = [], inside(switch), state()
    results = []

    def delegate():
        results.append((yield from switch(counting)(seen)))

    generator = delegate()
    assert next(generator) == 0
    assert generator.send("hello") == 1
    assert state() == outside
    assert next(generator) == 2
    assert next(generator, "over") == "over"
    assert results == ["done"]
    assert ("hello", within) in seen


def test_errors_thrown_into_a_generator(switch):
    seen, within, outside = [], inside(switch), state()
    generator = switch(counting)(seen)
    next(generator)
    assert generator.throw(ZeroDivisionError()) == -1
    assert state() == outside
    with pytest.raises(KeyError):
        generator.throw(KeyError())
    assert seen[-2:] == [("error", within), ("end", within)]
    assert state() == outside


@pytest.mark.parametrize("started", [True, False])
def test_closing_a_generator(switch, started):
    seen, within = [], inside(switch)
    generator = switch(counting)(seen)
    if started:
        next(generator)
    generator.close()
    assert seen[1:] == ([("end", within)] if started else [])
    with pytest.raises(StopIteration):
        next(generator)


def test_an_error_in_a_generator_leaves_the_block(switch):
    def failing():
        yield state()
        raise ZeroDivisionError

    outside = state()
    generator = switch(failing)()
    assert next(generator) == inside(switch)
    with pytest.raises(ZeroDivisionError):
        next(generator)
    assert state() == outside


def test_two_generators_in_turns():
    """Each has its own mode at its steps, whatever the other does meanwhile."""
    seen = []

    def steps(name):
        for _ in range(2):
            seen.append((name, *state()))
            yield

    quiet, plain = tn.no_grad(steps)("quiet"), tn.plain(steps)("plain")
    for _ in zip(quiet, plain, strict=False):
        assert state() == (True, False)
    assert seen == [("quiet", False, False), ("plain", True, True)] * 2


def test_arguments_and_results_pass(switch):
    @switch
    def function(a, *rest, b=2, **named):
        """What it does."""
        return a, rest, b, named, state()

    assert function(1, 5, b=3, c=4) == (1, (5,), 3, {"c": 4}, inside(switch))
    assert function.__doc__ == "What it does."


def test_methods_and_partials(switch):
    class Model:
        @switch
        def forward(self):
            return self, state()

        @staticmethod
        @switch()
        def other():
            return state()

    model = Model()
    assert model.forward() == (model, inside(switch))
    assert Model.other() == inside(switch)
    assert switch(functools.partial(state))() == inside(switch)


def test_recursion(switch):
    @switch()
    def down(n):
        assert state() == inside(switch)
        return down(n - 1) if n else state()

    before = state()
    assert down(4) == inside(switch)
    assert state() == before


def test_a_decorator_is_used_by_two_threads_at_once(switch):
    barrier, seen, within = threading.Barrier(2), [], inside(switch)

    @switch
    def work():
        barrier.wait(timeout=30)
        seen.append(state())
        barrier.wait(timeout=30)

    def run():
        mode.plain = False  # of this thread's
        with tn.no_grad() if switch is tn.enable_grad else tn.enable_grad():
            work()

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [within, within]


async def coroutine():
    return 1


async def asynchronous():
    yield 1


class Class:
    def __call__(self):
        return state()


@pytest.mark.parametrize("brackets", [True, False])
@pytest.mark.parametrize("what", [coroutine, asynchronous])
def test_coroutines_are_refused(switch, what, brackets):
    name = switch.__name__
    with pytest.raises(TypeError, match=rf"{name}: .*{what.__name__}.* write `with {name}\(\):`"):
        switch()(what) if brackets else switch(what)


@pytest.mark.parametrize("brackets", [True, False])
@pytest.mark.parametrize("what", [Class, 3, "text", None])
def test_what_is_no_function_is_refused(switch, what, brackets):
    if what is None and not brackets:
        return  # that is how it is called without anything
    with pytest.raises(TypeError, match=f"{switch.__name__}: decorates functions, got "):
        switch()(what) if brackets else switch(what)


def test_an_object_that_can_be_called(switch):
    assert switch(Class())() == inside(switch)


def test_the_same_programs_as_torch():
    """What is recorded when: a generator of losses under no_grad, driven by a training loop."""
    results = []
    for lib in (tn, torch):
        w = lib.tensor([1.0, 2.0], requires_grad=True)

        @lib.no_grad()
        def losses(w=w):
            for k in range(2):
                value = (w * k).sum()
                yield value, value.requires_grad

        flags = []
        for value, recorded in losses():
            flags.append((value.item(), recorded, (w * 1).requires_grad))
        with lib.no_grad():
            quiet = w * 2
            with lib.enable_grad():
                flags.append((w * 2).requires_grad)
        flags.append(quiet.requires_grad)
        results.append(flags)
    assert results[0] == results[1] == [(0, False, True), (3, False, True), True, False]
