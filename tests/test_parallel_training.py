"""Workers that share a batch learn what one process with all of it learns."""

import contextlib
import functools

import numpy as np
import parallel_tasks as tasks
import pytest

import tinynet as tn
from tinynet import nn, parallel
from tinynet.data import Loader
from tinynet.data.dataset import ImageSet
from tinynet.nn import functional as F

STEPS, BATCH = 12, 13


@functools.cache
def alone(dtype=np.float64):
    """Losses and state of one process."""
    data = tasks.batches(STEPS, BATCH, dtype)
    return tasks.train_small(tasks.small_model(nn.BatchNorm2d, dtype=dtype), data)


def shared(size, norm=nn.SyncBatchNorm, batch=BATCH, steps=STEPS, after=None, **options):
    """Losses and state of each of so many workers."""
    models = [tasks.small_model(norm) for _ in range(size)]

    def run():
        model = models[parallel.rank]
        trained = tasks.train_small(model, tasks.batches(steps, batch), **options)
        return trained if after is None else after(model)

    return tasks.in_threads(size, run)


def assert_close(found, wanted, tolerance=1e-10):
    losses, state = found
    np.testing.assert_allclose(losses, wanted[0], rtol=tolerance, atol=tolerance)
    assert state.keys() == wanted[1].keys()
    for name, array in wanted[1].items():
        np.testing.assert_allclose(state[name], array, tolerance, tolerance, err_msg=name)


@pytest.mark.parametrize("overlapping", [True, False])
@pytest.mark.parametrize("size", [2, 3, 4])
def test_threads_learn_what_one_learns(size, overlapping):
    first, *others = shared(size, overlapping=overlapping)
    assert_close(first, alone())
    assert alone()[0][-1] < 0.7 * alone()[0][0]  # it does learn
    for other in others:
        assert tasks.digest(other[1].values()) == tasks.digest(first[1].values())


@pytest.mark.parametrize("size", [2, 3])
def test_processes_learn_what_one_learns_and_the_same_again(size):
    runs = [parallel.run(tasks.train_in_processes, STEPS, BATCH, workers=size) for _ in range(2)]
    losses, state, digests = runs[0]
    assert_close((losses, state), alone())
    assert len(digests) == size and len(set(digests)) == 1
    assert (
        tasks.digest(runs[1][1].values()) == digests[0] and runs[1][0].tobytes() == losses.tobytes()
    )


def test_batches_with_fewer_images_than_workers():
    wanted = tasks.train_small(tasks.small_model(nn.BatchNorm2d), tasks.batches(5, 3))
    for found in shared(5, batch=3, steps=5):
        assert_close(found, wanted)


@pytest.mark.parametrize("plain", [True, False])
def test_plain_mode_too(plain):
    models = [tasks.small_model() for _ in range(3)]

    def run():
        with tn.plain() if plain else contextlib.nullcontext():
            return tasks.train_small(models[parallel.rank], tasks.batches(STEPS, BATCH))

    for found in tasks.in_threads(3, run):
        assert_close(found, alone())


def test_local_statistics_differ_and_their_means_are_alike_in_all_workers():
    def averaged(model):
        parallel.average_buffers(model)
        return {name: np.array(t.array) for name, t in model.state_dict().items()}

    before = [state for _, state in shared(3, nn.BatchNorm2d)]
    after = shared(3, nn.BatchNorm2d, after=averaged)
    for name, wanted in alone()[1].items():
        values = [state[name] for state in before]
        if "running" not in name:  # what is learnt is alike in all, but not what one would learn
            assert len({tasks.digest([value]) for value in values}) == 1
            if "tracked" not in name:
                assert not np.allclose(values[0], wanted, 1e-6, 1e-6)
        else:
            assert len({tasks.digest([value]) for value in values}) == 3
            for state in after:
                assert state[name].tobytes() == (sum(values[1:], values[0]) / 3).tobytes()


# the parts


@pytest.mark.parametrize("size", range(1, 8))
def test_shares_are_the_whole(size):
    for count in (*range(20), 128, 1000):
        shares = []
        for rank in range(size):
            group = parallel.Group()
            group.rank, group.size = rank, size
            with parallel.use(group):
                shares.append(range(count)[parallel.share_of(count)])
        assert [i for share in shares for i in share] == list(range(count))
        assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.parametrize("size", [1, 2, 3, 5])
@pytest.mark.parametrize("drop_last", [True, False])
def test_the_loaders_of_all_workers_give_the_batches_of_one(rng, size, drop_last):
    images = rng.integers(0, 256, (23, 3, 32, 32), np.uint8)
    image_set = ImageSet(images, np.arange(23), tuple(map(str, range(23))))

    def epochs(rank, size, shared):
        group = parallel.Group()
        group.rank, group.size = rank, size
        options = {"shuffle": True, "augment": True, "seed": 3, "drop_last": drop_last}
        with parallel.use(group):
            loader = Loader(image_set, 4, (120,) * 3, (60,) * 3, shared=shared, **options)
            return [list(loader) for _ in range(2)]

    whole = epochs(0, 1, False)
    parts = [epochs(rank, size, True) for rank in range(size)]
    for epoch in range(2):
        assert len(whole[epoch]) == (5 if drop_last else 6)
        for i, (x, y) in enumerate(whole[epoch]):
            shares = [part[epoch][i] for part in parts]
            np.testing.assert_array_equal(np.concatenate([s[0] for s in shares]), x)
            np.testing.assert_array_equal(np.concatenate([s[1] for s in shares]), y)
    assert not np.array_equal(whole[0][0][1], whole[1][0][1])


def test_weights_make_the_mean_of_uneven_shares_that_of_the_batch():
    counts = (4, 0, 1)

    def run():
        return parallel.weight_of(counts[parallel.rank])

    assert tasks.in_threads(3, run) == [4 * 3 / 5, 0, 3 / 5]
    with pytest.raises(ValueError, match="no image in any worker's share"):
        tasks.in_threads(2, lambda: parallel.weight_of(0))


class Awkward(nn.Module):
    """A weight used twice, one that is frozen, one that is never used, and a large one."""

    def __init__(self):
        super().__init__()
        rng = np.random.default_rng(2)
        for name, shape in (("twice", (5, 5)), ("frozen", (5, 5)), ("unused", 3), ("bias", 5)):
            setattr(self, name, nn.Parameter(rng.normal(size=shape)))
        self.large = nn.Parameter(rng.normal(size=(5, 40_000)))  # more than is worth a message
        self.frozen.requires_grad = False

    def forward(self, x):
        x = x @ self.twice @ self.frozen.t() @ self.twice.t() + self.bias
        return (x @ self.large).mean(1)


def gradients(step):
    """What `step(model, x)` leaves in each parameter's grad, in each of three workers."""
    models = [Awkward() for _ in range(3)]
    data = np.random.default_rng(1).normal(size=(3, 2, 5))

    def run():
        step(models[parallel.rank], tn.Tensor(data[parallel.rank]))
        named = models[parallel.rank].named_parameters()
        return {name: None if p.grad is None else np.array(p.grad.array) for name, p in named}

    whole = Awkward()
    whole(tn.Tensor(data.reshape(6, 5))).mean().backward()
    return tasks.in_threads(3, run), {n: p.grad for n, p in whole.named_parameters()}


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("overlapping", [True, False])
def test_awkward_parameters(overlapping, times):
    def step(model, x):
        for _ in range(times):  # with gradients there already, the second time
            if overlapping:
                parallel.backward(model(x).mean(), model)
        if not overlapping:
            for _ in range(times):
                model(x).mean().backward()
            parallel.average_gradients(model)

    found, wanted = gradients(step)
    for grads in found:
        for name, grad in wanted.items():
            if name in ("unused", "frozen"):
                assert grads[name] is None and grad is None
            else:
                np.testing.assert_allclose(grads[name], times * grad.array, 1e-12, 1e-12)
                assert grads[name].tobytes() == found[0][name].tobytes()


def test_a_use_that_no_gradient_reaches_does_not_keep_the_others_from_being_averaged():
    class Closed(tn.Function):
        def forward(self, x):
            return x.sum(keepdims=True)

        def backward(self, gy):
            return None

    def step(model, x):
        y = model(x).mean()
        parallel.backward(y + Closed.apply((x @ model.twice) * 3).sum(), model)

    found, wanted = gradients(step)
    for grads in found:
        np.testing.assert_allclose(grads["twice"], wanted["twice"].array, 1e-12, 1e-12)


@pytest.mark.parametrize("overlapping", [True, False])
def test_a_gradient_in_some_workers_only_is_not_added_to_another(overlapping):
    def run():
        model = nn.Module()
        model.a, model.b = (nn.Parameter(np.ones(3)) for _ in "ab")
        loss = (model.b if parallel.rank else model.a).sum()
        if overlapping:
            parallel.backward(loss, model)
        else:
            loss.backward()
            parallel.average_gradients(model)

    with pytest.raises(
        parallel.WorkerError, match=r"shape \(3,\) has a gradient in [12] of 3 work"
    ):
        tasks.in_threads(3, run)


def test_the_loss_may_be_a_parameter():
    model = nn.Module()
    model.only = nn.Parameter(np.array(3.0))

    def run():
        own = nn.Module()
        own.only = nn.Parameter(np.array(3.0))
        parallel.backward(own.only, own, weight=2.0 * parallel.rank)
        return own.only.grad.item()

    assert tasks.in_threads(3, run) == [2.0] * 3


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        (lambda m, x: m(x), "reduce it to one number first"),
        (lambda m, x: tn.tensor(1.0), "has no graph"),
    ],
)
def test_losses_that_cannot_be_walked_back_from(loss, words):
    for size in (1, 2):
        with pytest.raises(ValueError, match=words):
            model, x = Awkward(), tn.Tensor(np.ones((2, 5)))
            tasks.in_threads(size, lambda m=model, x=x: parallel.backward(loss(m, x), m))


def test_batch_norm_of_one_value_is_refused_when_all_workers_have_no_more():
    def run():
        x = tn.Tensor(np.ones((1 if parallel.rank else 0, 2, 1, 1)))
        F.batch_norm(x, None, None, training=True, group=parallel.current())

    with pytest.raises(ValueError, match="more than one value per channel, all 2 workers"):
        tasks.in_threads(2, run)
