"""Random numbers: one seed gives one stream, and what is drawn has the distribution that it is said to have."""

import copy
import inspect
import itertools
import json
import math
import pickle
import threading

import numpy
import pytest
from scipy import stats

import rustorch as rt
from rustorch.random import Generator
from rustorch_core.errors import (
    ArgumentError,
    AxisError,
    DeviceMismatchError,
    DTypeError,
    GradientError,
    OperandError,
    OutOfMemoryError,
    RusTorchError,
    ShapeError,
)

N = 40_000
#: A right sampler is below this once in ten thousand seeds, and the seeds are fixed; a wrong one is far below.
RARE = 1e-4

#: Every distribution, with arguments that it can be called with.
CALLS = {
    "uniform": (-1.0, 2.0),
    "normal": (1.0, 2.0),
    "truncated_normal": (0.0, 1.0, -1.0, 2.0),
    "lognormal": (0.0, 0.5),
    "laplace": (1.0, 2.0),
    "gumbel": (1.0, 2.0),
    "exponential": (2.0,),
    "gamma": (2.5, 1.5),
    "beta": (2.0, 3.0),
    "integers": (-3, 9),
    "bernoulli": (0.3,),
    "poisson": (4.0,),
    "categorical": ([0.0, 1.0, -1.0],),
    "multinomial": (10, [0.2, 0.3, 0.5]),
    "permutation": (10,),
    "choice": (10,),
}
WITH_SHAPE = sorted(set(CALLS) - {"permutation"})


def call(generator: Generator, name: str, shape=None, **options):
    if name == "permutation":
        return getattr(generator, name)(*CALLS[name], **options)
    return getattr(generator, name)(*CALLS[name], shape=shape or (), **options)


def draw(generator: Generator) -> list[object]:
    return [call(generator, name, (3,)).tolist() for name in CALLS]


# Seeds, states, streams


def test_one_seed_gives_one_stream():
    assert draw(Generator(7)) == draw(Generator(7))
    assert draw(Generator(7)) != draw(Generator(8))
    assert draw(Generator()) != draw(Generator())
    generator = Generator(7)
    assert draw(generator) != draw(generator)


def test_the_stream_stays_what_it_was():
    assert Generator(0).integers(0, 10, (5,)).tolist() == [1, 0, 9, 2, 3]
    assert Generator(0).permutation(6).tolist() == [4, 0, 3, 5, 2, 1]
    numpy.testing.assert_allclose(Generator(0).uniform(0, 1, (2,)).tolist(), [0.01406704, 0.25776726], rtol=1e-6)
    numpy.testing.assert_allclose(Generator(0).normal(0, 1, (2,)).tolist(), [-0.20597403, -0.12884495], rtol=1e-6)


def test_the_seed_can_be_read_and_used_again():
    assert Generator(2**200).seed == 2**200
    assert Generator(numpy.int64(3)).seed == 3
    generator = Generator()
    assert draw(Generator(generator.seed)) == draw(generator)
    assert repr(Generator(5)) == "Generator(seed=5)"
    assert repr(Generator(5).split(2)[1].split(1)[0]) == "Generator(seed=5, path=(1, 0))"
    with pytest.raises(AttributeError):
        generator.seed = 3


@pytest.mark.parametrize("where", ["cpu", "strict"])
@pytest.mark.parametrize("name", CALLS)
def test_the_numbers_are_the_same_on_every_device(name, where):
    found = call(Generator(3), name, (4, 2), device=where)
    assert found.device == where
    assert found.tolist() == call(Generator(3), name, (4, 2)).tolist()


@pytest.mark.parametrize(
    "name", sorted(set(WITH_SHAPE) - {"integers", "categorical", "bernoulli", "multinomial", "choice", "poisson"})
)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_the_numbers_are_the_same_in_every_precision_but_for_rounding(name, dtype):
    exact = call(Generator(3), name, (50,), dtype="float64")
    assert call(Generator(3), name, (50,), dtype=dtype).tolist() == exact.to(dtype).tolist()


@pytest.mark.parametrize("name", sorted(set(WITH_SHAPE) - {"choice"}))
def test_parameters_that_are_tensors_give_the_numbers_of_their_elements(name):
    parameters = [rt.asarray(parameter) for parameter in CALLS[name]]
    expected = call(Generator(3), name, (4, 3))
    assert getattr(Generator(3), name)(*parameters, shape=(4, 3)).tolist() == expected.tolist()


@pytest.mark.parametrize("name", CALLS)
def test_the_module_draws_from_the_default_generator(name):
    rt.random.seed(11)
    method, function = getattr(Generator, name), getattr(rt.random, name)
    assert function(*CALLS[name]).tolist() == method(Generator(11), *CALLS[name]).tolist()
    assert function.__doc__ == method.__doc__
    assert list(inspect.signature(function).parameters) == list(inspect.signature(method).parameters)[1:]


def test_every_distribution_is_in_the_table():
    others = {"get_state", "set_state", "seed", "split"}
    assert {name for name in vars(Generator) if not name.startswith("_")} - others == set(CALLS)


def test_the_default_generator():
    first = rt.random.seed(3)
    assert rt.random.default_generator() is first
    values = draw(first)
    assert rt.random.seed(3) is first
    assert draw(first) == values == draw(Generator(3))
    assert rt.random.seed(None).seed != 3


@pytest.mark.parametrize("before", range(7))
def test_state_is_saved_and_restored(before):
    generator = Generator(1)
    generator.split(2)
    generator.uniform(shape=(before,))
    generator.integers(0, 10, (before,))  # half words
    state = json.loads(json.dumps(generator.get_state()))
    expected, child = draw(generator), draw(generator.split(1)[0])
    assert draw(generator) != expected
    for other in (generator, Generator(99)):
        other.set_state(state)
        assert other.get_state() == state
        assert draw(other) == expected
        assert draw(other.split(1)[0]) == child
        assert other.seed == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda state: {}, "dict of algorithm"),
        (lambda state: {"bit_generator": "MT19937"}, "dict of algorithm.*bit_generator"),
        (lambda state: None, "dict of algorithm.*NoneType"),
        (lambda state: 3, "dict of algorithm.*int"),
        (lambda state: {**state, "more": 1}, "dict of algorithm.*more"),
        (lambda state: {**state, "algorithm": "mt19937"}, "philox4x64-10.*'mt19937'"),
        (lambda state: {**state, "seed": -1}, "seed .*-1"),
        (lambda state: {**state, "seed": True}, "seed .*True"),
        (lambda state: {**state, "children": 0.5}, "children .*0.5"),
        (lambda state: {**state, "drawn": 2**258}, r"drawn .*2\*\*258"),
        (lambda state: {**state, "half": 2**32}, r"half .*2\*\*32"),
        (lambda state: {**state, "half": "a"}, "half .*'a'"),
        (lambda state: {**state, "path": [1, -1]}, "path"),
        (lambda state: {**state, "path": 3}, "path"),
    ],
)
def test_what_is_no_state_is_refused_and_changes_nothing(change, words):
    generator = Generator(4)
    before = generator.get_state()
    with pytest.raises(ArgumentError, match=f"set_state: .*{words}"):
        generator.set_state(change(before))
    assert generator.get_state() == before


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda generator: pickle.loads(pickle.dumps(generator))])
def test_copies_and_pickles_go_on_alone(again):
    generator = Generator(1).split(3)[2]
    generator.normal(shape=(3,))
    other = again(generator)
    expected = draw(other)
    assert repr(other) == repr(generator)
    assert draw(generator) == expected


def test_a_call_that_raises_draws_nothing():
    generator = Generator(0)
    for wrong in (
        lambda: generator.uniform(1, 0),
        lambda: generator.normal(0, [1.0, -1.0], (2,)),
        lambda: generator.choice(3, (4,), replace=False),
        lambda: generator.integers(0, 300, (2,), dtype="uint8"),
        lambda: generator.normal(device="nowhere"),
        lambda: generator.normal(dtype="bfloat16", device="strict"),
    ):
        with pytest.raises(RusTorchError):
            wrong()
    assert generator.get_state() == Generator(0).get_state()


def test_threads_share_a_generator_call_by_call():
    generator, drawn = Generator(0), []
    alone = Generator(0)
    expected = [alone.truncated_normal(0, 1, 0.5, 3, (50,)).tolist() for _ in range(80)]

    def work():
        for _ in range(20):
            drawn.append(generator.truncated_normal(0, 1, 0.5, 3, (50,)).tolist())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(drawn) == sorted(expected)


# Splitting


def test_splitting_depends_on_the_seed_and_the_count_alone():
    fresh, used = Generator(5), Generator(5)
    used.normal(shape=(100,))
    expected = [draw(child) for child in fresh.split(3)]
    assert [draw(child) for child in (*used.split(1), *used.split(0), *used.split(2))] == expected
    assert draw(fresh) == draw(Generator(5))
    assert draw(fresh.split(1)[0]) not in expected
    for n, error in ((-1, ArgumentError), (1.5, OperandError)):
        with pytest.raises(error, match=f"split: .*{n}"):
            fresh.split(n)


def test_streams_that_were_split_are_independent():
    parent = Generator(2)
    children = [*parent.split(3), *parent.split(1)[0].split(2)]
    streams = [generator.uniform(shape=(N,), dtype="float64").to("cpu").numpy() for generator in (parent, *children)]
    assert len(numpy.unique(streams)) == 6 * N
    for first, second in itertools.combinations(streams, 2):
        counts = numpy.histogram2d(first, second, bins=8, range=((0, 1), (0, 1)))[0]
        assert stats.chisquare(counts.ravel()).pvalue > RARE
        assert abs(numpy.corrcoef(first, second)[0, 1]) < 4 / math.sqrt(N)


# Continuous distributions: what is drawn, the right distribution, and one that is a little wrong

CONTINUOUS = [
    ("uniform", (), stats.uniform(), stats.uniform(0, 1.05)),
    ("uniform", (-3, 5), stats.uniform(-3, 8), stats.uniform(-3.2, 8.2)),
    ("normal", (), stats.norm(), stats.norm(0, 1.05)),
    ("normal", (10, 0.5), stats.norm(10, 0.5), stats.norm(10.03, 0.5)),
    ("truncated_normal", (), stats.truncnorm(-2, 2), stats.norm(0, 0.88)),
    ("truncated_normal", (0, 1, 0.5, 9), stats.truncnorm(0.5, 9), stats.truncnorm(0.55, 9)),
    ("truncated_normal", (0, 1, 6, math.inf), stats.truncnorm(6, math.inf), stats.expon(6, 1 / 6)),
    ("truncated_normal", (0, 1, 1, 1.5), stats.truncnorm(1, 1.5), stats.uniform(1, 0.5)),
    ("truncated_normal", (0, 1, -0.5, 1), stats.truncnorm(-0.5, 1), stats.uniform(-0.5, 1.5)),
    ("truncated_normal", (0, 1, 1, 2.5), stats.truncnorm(1, 2.5), stats.truncnorm(1, 2.4)),
    ("truncated_normal", (2, 3, -math.inf, -4), stats.truncnorm(-math.inf, -2, 2, 3), stats.truncnorm(-9, -2, 2, 3.2)),
    ("truncated_normal", (2, 3, -math.inf, math.inf), stats.norm(2, 3), stats.norm(2, 3.15)),
    ("lognormal", (0.5, 0.7), stats.lognorm(0.7, scale=math.exp(0.5)), stats.lognorm(0.74, scale=math.exp(0.5))),
    ("laplace", (1, 2), stats.laplace(1, 2), stats.laplace(1, 2.15)),
    ("gumbel", (1, 2), stats.gumbel_r(1, 2), stats.gumbel_l(1, 2)),
    ("exponential", (2,), stats.expon(scale=2), stats.expon(scale=0.5)),
    ("gamma", (0.3, 2), stats.gamma(0.3, scale=2), stats.gamma(0.3, scale=0.5)),
    ("gamma", (4, 0.5), stats.gamma(4, scale=0.5), stats.gamma(4.2, scale=0.5)),
    ("beta", (0.5, 2), stats.beta(0.5, 2), stats.beta(2, 0.5)),
    ("beta", (3, 4), stats.beta(3, 4), stats.beta(3, 4.2)),
]


@pytest.mark.parametrize(("name", "parameters", "right", "wrong"), CONTINUOUS)
def test_what_is_drawn_has_its_distribution(name, parameters, right, wrong):
    drawn = getattr(Generator(1), name)(*parameters, shape=(N,), dtype="float64").to("cpu").numpy()
    assert stats.kstest(drawn, right.cdf).pvalue > RARE
    assert stats.kstest(drawn, wrong.cdf).pvalue < RARE
    mean, variance, excess = right.stats("mvk")
    assert abs(drawn.mean() - mean) < 4 * math.sqrt(variance / N)
    assert abs(drawn.var() - variance) < 4 * variance * math.sqrt((excess + 2) / N)


@pytest.mark.parametrize(("name", "parameters"), [("normal", (1, 2)), ("exponential", (2,)), ("uniform", (0, 1))])
def test_numbers_that_follow_each_other_are_independent(name, parameters):
    drawn = getattr(Generator(1), name)(*parameters, shape=(N + 2,), dtype="float64").to("cpu").numpy()
    for lag in (1, 2):
        assert abs(numpy.corrcoef(drawn[lag:], drawn[:-lag])[0, 1]) < 4 / math.sqrt(N)


def test_each_element_has_its_own_parameters():
    mean, std = rt.asarray([[0.0], [100.0]]), rt.asarray([1.0, 2.0, 3.0])
    drawn = Generator(0).normal(mean, std, (N, 2, 3), dtype="float64").to("cpu").numpy()
    numpy.testing.assert_allclose(drawn.mean(0), numpy.broadcast_to(mean.tolist(), (2, 3)), atol=5 * 3 / math.sqrt(N))
    numpy.testing.assert_allclose(drawn.std(0), numpy.broadcast_to(std.tolist(), (2, 3)), rtol=0.03)
    low = rt.asarray([-1.0, 0.0, 8.0, -math.inf])
    high = rt.asarray([1.0, 0.1, 9.0, -5.0])
    between = Generator(0).truncated_normal(0, 1, low, high, (N, 4), dtype="float64").to("cpu").numpy()
    for column, (a, b) in enumerate(zip(low.tolist(), numpy.float32(high.tolist()).tolist(), strict=True)):
        assert stats.kstest(between[:, column], stats.truncnorm(a, b).cdf).pvalue > RARE


# What rounding must not do


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (0.1, 0.7), (-1.0, -0.3), (1.0, 1.01), (1.0, 1 + 2**-52)])
def test_uniform_never_gives_high(dtype, low, high):
    x = Generator(0).uniform(low, high, (100_000,), dtype=dtype).to("float64")
    assert low <= x.min().item() <= x.max().item() < high


@pytest.mark.parametrize(
    ("dtype", "below"), [("float16", 1 - 2**-11), ("bfloat16", 1 - 2**-8), ("float32", 1 - 2**-24)]
)
def test_uniform_never_gives_high_where_a_number_rounds_to_it(dtype, below):
    class Highest:
        """A host whose every uniform number is the highest below the upper bound."""

        def uniform(self, low, high, shape):
            return numpy.full(shape, numpy.nextafter(high, low))

    generator = Generator(0)
    generator._host = Highest()
    assert generator.uniform(0, 1, (2,), dtype=dtype).tolist() == [below, below]
    highs = rt.asarray([1.0, 2.0, 0.1])
    assert (generator.uniform(0, highs, dtype=dtype).to("float32") < highs).all()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_truncated_normal_stays_between_bounds_that_the_dtype_lacks(dtype):
    x = Generator(0).truncated_normal(0, 1, 0.1, 0.101, (1000,), dtype=dtype).to("float64")
    assert x.min().item() >= 0.1 and x.max().item() <= 0.101


def test_bounds_without_room():
    assert Generator(0).uniform(0.1, 0.1, (2,)).tolist() == rt.full((2,), 0.1).tolist()
    assert Generator(0).truncated_normal(0, 1, 0.1, 0.1, (2,)).tolist() == rt.full((2,), 0.1).tolist()
    for low, high in ((1 + 2**-40, 1 + 2**-30), (0.1, 0.1 + 1e-12)):
        with pytest.raises(ArgumentError, match="uniform: float32 has no number between"):
            Generator(0).uniform(low, high, (2,))
    with pytest.raises(ArgumentError, match=r"uniform: .*1e\+40 is beyond float32"):
        Generator(0).uniform(0, 1e40, (2,))


@pytest.mark.parametrize(
    ("mean", "std", "low", "high"),
    [
        (0, 1, 40, 41),
        (0, 1, 1e8, 1e9),
        (0, 1e-300, 1, 2),
        (0, 1e-310, -2, -1),
        (1e300, 1, -1e300, 0),
        (0, 1, 1e20, 1e20),
    ],
)
def test_truncated_normal_far_out(mean, std, low, high):
    x = Generator(0).truncated_normal(mean, std, low, high, (100,), dtype="float64").to("cpu").numpy()
    assert ((low <= x) & (x <= high)).all()


# Discrete distributions


def assert_counts(drawn, probabilities):
    """That numbers from 0 come as often as their probabilities say, and none comes that cannot."""
    drawn = drawn.to("cpu") if isinstance(drawn, rt.Tensor) else drawn
    counts = numpy.bincount(numpy.asarray(drawn).ravel(), minlength=len(probabilities))
    assert len(counts) == len(probabilities)
    possible = numpy.asarray(probabilities) > 0
    assert not counts[~possible].any()
    if possible.sum() == 1:
        return
    expected = numpy.asarray(probabilities, dtype=float)[possible]
    assert stats.chisquare(counts[possible], expected / expected.sum() * counts.sum()).pvalue > RARE


@pytest.mark.parametrize(("low", "high"), [(0, 2), (-2, 3), (0, 10), (-100, 156)])
def test_integers_cover_their_range_evenly(low, high):
    for dtype in ("int16", "int64"):
        x = Generator(0).integers(low, high, (N,), dtype=dtype).to("int64")
        assert_counts(x - low, [1] * (high - low))


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"])
def test_integers_over_the_whole_range_of_a_dtype(dtype):
    limits = numpy.iinfo(dtype)
    lowest, highest = int(limits.min), int(limits.max)
    x = Generator(0).integers(lowest, highest + 1, (N,), dtype=dtype)
    assert x.dtype == dtype
    part = (x.to("cpu").numpy().astype(float) - lowest) / (highest - lowest)
    assert stats.chisquare(numpy.histogram(part, bins=16, range=(0, 1))[0]).pvalue > RARE
    assert set(Generator(0).integers(highest - 1, highest + 1, (50,), dtype=dtype).tolist()) == {highest - 1, highest}
    for low, high in ((lowest - 1, highest), (lowest, highest + 2)):
        with pytest.raises(
            ArgumentError, match=f"integers: {dtype} goes from {lowest} to {highest}, met {low} and {high}"
        ):
            Generator(0).integers(low, high, dtype=dtype)


def test_integers_below_one_bound():
    below, between = Generator(0).integers(5, shape=(9,)), Generator(0).integers(0, 5, (9,))
    assert below.tolist() == between.tolist()
    assert rt.random.integers(rt.asarray([1, 1])).tolist() == [0, 0]
    with pytest.raises(ArgumentError, match="met 0 and 0"):
        Generator(0).integers(0)


def test_integers_between_tensors():
    low, high = rt.asarray([0, -5]), rt.asarray([[1], [3]])
    x = Generator(0).integers(low, high, (1000, 2, 2)).to("cpu").numpy()
    assert x.min(0).tolist() == [[0, -5], [0, -5]]
    assert x.max(0).tolist() == [[0, 0], [2, 2]]
    top = rt.asarray([2**64 - 1], dtype="uint64")
    assert Generator(0).integers(top, 2**64, (3, 1), dtype="uint64").tolist() == [[2**64 - 1]] * 3
    with pytest.raises(ArgumentError, match="integers: low is below high, met 4 and 3"):
        Generator(0).integers(rt.asarray([0, 4]), 3)


def test_bernoulli():
    for p in (0.0, 1e-3, 0.3, 1.0):
        x = Generator(0).bernoulli(p, (N,))
        assert x.dtype == rt.bool
        assert_counts(x.to("int64"), [1 - p, p])
    assert Generator(0).bernoulli(rt.asarray([0.0, 1.0]), (9, 2), dtype="float32").tolist() == [[0.0, 1.0]] * 9


@pytest.mark.parametrize("rate", [0.0, 0.7, 4.0, 60.0])
def test_poisson(rate):
    x = Generator(0).poisson(rate, (N,)).to("cpu").numpy()
    last = int(stats.poisson(rate).isf(1e-3)) if rate else 0
    probabilities = stats.poisson(rate).pmf(numpy.arange(last + 1))
    probabilities[-1] += stats.poisson(rate).sf(last)
    first = numpy.argmax(probabilities > 1e-3)
    probabilities[first] += probabilities[:first].sum()
    assert_counts(numpy.clip(x, first, last) - first, probabilities[first:])
    assert Generator(0).poisson(rate, (3,), dtype="float32").dtype == rt.float32


def test_categorical():
    probabilities = [0.0, 0.1, 0.0, 0.4, 0.3, 0.2, 0.0]
    logits = [math.log(p) + 1000 if p else -math.inf for p in probabilities]
    assert_counts(Generator(0).categorical(logits, (N,)), probabilities)
    assert_counts(Generator(0).categorical(probabilities=[7e300 * p for p in probabilities], shape=(N,)), probabilities)
    rows = rt.asarray([[0.5, 0.25, 0.25], [0.0, 0.0, 1.0]])
    x = Generator(0).categorical(probabilities=rows, shape=(N, 2))
    for row in range(2):
        assert_counts(x[:, row], rows[row].tolist())
    assert Generator(0).categorical(rows).shape == (2,)
    assert Generator(0).categorical(rows[0]).shape == ()
    assert Generator(0).categorical([3.0], (2,), dtype="uint8").tolist() == [0, 0]
    assert Generator(0).categorical(rt.zeros((0, 3))).shape == (0,)


def test_gumbel_noise_and_categorical_agree():
    logits = rt.asarray([0.0, 1.0, -1.0])
    noisy = logits + Generator(0).gumbel(shape=(N, 3))
    assert_counts(rt.argmax(noisy, axis=1), rt.softmax(logits).tolist())


def test_multinomial():
    probabilities = [0.2, 0.0, 0.5, 0.3]
    x = Generator(0).multinomial(10, probabilities, (2000,)).to("cpu").numpy()
    assert x.shape == (2000, 4)
    assert (x.sum(1) == 10).all()
    assert stats.chisquare(x.sum(0)[[0, 2, 3]], [4000, 10_000, 6000]).pvalue > RARE
    numpy.testing.assert_allclose(numpy.cov(x[:, 0], x[:, 2])[0, 1], -10 * 0.2 * 0.5, rtol=0.15)
    trials = rt.asarray([3, 0])
    assert Generator(0).multinomial(trials, [1.0, 1.0]).sum(axis=1).tolist() == [3, 0]


def test_every_order_is_as_likely():
    orders = {order: place for place, order in enumerate(itertools.permutations(range(4)))}
    generator = Generator(0)
    assert_counts([orders[tuple(generator.permutation(4).tolist())] for _ in range(2400)], [1] * 24)


def test_permutation_of_a_tensor():
    x = rt.reshape(rt.arange(12.0), (3, 4)).requires_grad_()
    rows, columns = Generator(0).permutation(x), Generator(0).permutation(x, axis=-1)
    assert rows.tolist() == x[Generator(0).permutation(3)].tolist()
    assert columns.tolist() == x[:, Generator(0).permutation(4)].tolist()
    (columns * rt.arange(4.0)).sum().backward()
    order = Generator(0).permutation(4).tolist()
    assert x.grad.tolist() == [[float(order.index(column)) for column in range(4)]] * 3
    assert x.detach().tolist() == rt.reshape(rt.arange(12.0), (3, 4)).tolist()


def test_choice():
    p = [0.0, 0.2, 0.3, 0.5]
    assert_counts(Generator(0).choice(5, (N,)), [1] * 5)
    assert_counts(Generator(0).choice(4, (N,), p=p), p)
    assert_counts(Generator(0).choice(4, (N,), p=rt.asarray([0, 2, 3, 5])), p)
    assert sorted(Generator(0).choice(9, (3, 3), replace=False).reshape((-1,)).tolist()) == list(range(9))
    generator = Generator(0)
    pairs = [generator.choice(4, (2,), replace=False, p=p).tolist() for _ in range(2000)]
    assert_counts([first for first, _ in pairs], p)
    second = [sum(p[i] * p[j] / (1 - p[i]) for i in range(4) if i != j) for j in range(4)]
    assert_counts([second for _, second in pairs], second)
    assert all(first != second for first, second in pairs)


def test_choice_of_a_tensor():
    x = rt.reshape(rt.arange(6.0), (2, 3)).requires_grad_()
    chosen = Generator(0).choice(x, (4, 5), axis=1)
    places = Generator(0).choice(3, (4, 5))
    assert chosen.shape == (2, 4, 5)
    assert chosen.tolist() == [(places + 3.0 * row).tolist() for row in range(2)]
    chosen.sum().backward()
    assert x.grad.sum().item() == 40
    assert Generator(0).choice(x, axis=0).shape == (3,)
    assert Generator(0).choice(x, (0,)).shape == (0, 3)
    assert Generator(0).choice(0, (0,)).shape == (0,)


# Shapes, dtypes, devices, gradients


@pytest.mark.parametrize("name", WITH_SHAPE)
def test_shapes(name):
    tail = (3,) if name == "multinomial" else ()
    for shape, expected in (((), ()), (4, (4,)), ([2, 3], (2, 3)), ((0, 2), (0, 2))):
        assert getattr(Generator(0), name)(*CALLS[name], shape=shape).shape == expected + tail
    assert getattr(Generator(0), name)(*CALLS[name]).shape == tail
    with pytest.raises(ArgumentError, match=rf"{name}: .*\(-1,\)"):
        getattr(Generator(0), name)(*CALLS[name], shape=(-1,))


def test_shapes_of_parameters():
    generator = Generator(0)
    assert generator.normal(rt.zeros((3, 1)), rt.ones(2)).shape == (3, 2)
    assert generator.normal(rt.zeros((3, 1)), rt.ones(2), (4, 3, 2)).shape == (4, 3, 2)
    assert generator.normal([1.0, 2.0], numpy.ones(2)).shape == (2,)
    assert generator.permutation(0).shape == (0,)
    with pytest.raises(ShapeError, match=r"normal: mean of shape \(3,\) and std of shape \(2,\) cannot be broadcast"):
        generator.normal(rt.zeros(3), rt.ones(2))
    with pytest.raises(ShapeError, match=r"normal: mean of shape \(3,\) .* cannot be broadcast to shape \(2,\)"):
        generator.normal(rt.zeros(3), 1, (2,))


def test_dtypes():
    generator = Generator(0)
    assert generator.normal().dtype == rt.float32
    assert generator.normal(rt.zeros(2, dtype="float64"), rt.ones(2)).dtype == rt.float64
    assert generator.normal(rt.zeros(2, dtype="float64")).dtype == rt.float64
    assert generator.exponential(rt.asarray([1, 2])).dtype == rt.float32
    for name in ("integers", "poisson", "categorical", "choice", "permutation", "multinomial"):
        assert call(generator, name).dtype == rt.int64
    assert rt.isinf(generator.normal(1e40, 1, (2,), dtype="float32")).all()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_the_dtype_that_is_asked_for(dtype):
    generator = Generator(0)
    assert call(generator, "gamma", (2,), dtype=dtype).dtype == dtype
    assert generator.normal(rt.zeros(2, dtype=dtype)).dtype == dtype


def test_devices():
    strict, generator = rt.device("strict"), Generator(0)
    mean, std = rt.zeros(2, device=strict), rt.ones(2, device="cpu")
    assert generator.normal(mean).device is strict
    assert generator.normal(mean, device="cpu").device == "cpu"
    assert generator.normal(mean, std, device=strict).device is strict
    assert generator.permutation(mean).device is strict
    assert generator.choice(mean, (3,), device="cpu").device == "cpu"
    with pytest.raises(DeviceMismatchError, match=r"normal: .*strict and cpu"):
        generator.normal(mean, std)


def test_a_parameter_that_requires_a_gradient():
    generator, mean = Generator(0), rt.zeros(2).requires_grad_()
    with pytest.raises(GradientError, match=r"normal: mean .* mean \+ std \* normal\(shape=\.\.\.\), or .*detach"):
        generator.normal(mean)
    with pytest.raises(GradientError, match=r"bernoulli: p requires a gradient, .* pass p.detach\(\)"):
        generator.bernoulli(mean)
    with rt.no_grad():
        assert not generator.normal(mean).requires_grad
    assert not generator.normal(mean.detach()).requires_grad


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda g: Generator(-1), ArgumentError, "seed.*-1"),
        (lambda g: Generator(1.5), ArgumentError, "seed.*1.5"),
        (lambda g: Generator("x"), ArgumentError, "seed.*'x'"),
        (lambda g: Generator(True), ArgumentError, "seed.*True"),
        (lambda g: rt.random.seed(-1), ArgumentError, "seed.*-1"),
        (lambda g: g.normal(0, -1, (2,)), ArgumentError, "normal: std .*-1"),
        (lambda g: g.normal(math.nan), ArgumentError, "normal: mean .*nan"),
        (lambda g: g.normal(0, dtype="int64"), DTypeError, "normal: int64"),
        (lambda g: g.normal(0, dtype="complex64"), DTypeError, "normal: complex64"),
        (lambda g: g.normal(1j), OperandError, "normal: mean .*1j"),
        (lambda g: g.normal("1"), OperandError, "normal: mean .*'1'"),
        (lambda g: g.normal(None), OperandError, "normal: mean .*None"),
        (lambda g: g.normal([[1.0], [1.0, 2.0]]), OperandError, "normal: mean"),
        (lambda g: g.normal(10**400), OperandError, "normal: mean"),
        (lambda g: g.normal(rt.asarray([1j])), DTypeError, "normal: mean"),
        (lambda g: g.normal(0, 1, (2**50,)), OutOfMemoryError, "normal: "),
        (lambda g: g.uniform(0, 1, (-1,)), ArgumentError, r"uniform: .*\(-1,\)"),
        (lambda g: g.uniform(0, 1, "ab"), OperandError, "uniform: a shape"),
        (lambda g: g.uniform("a", 1, (2,)), RusTorchError, "uniform: .*a"),
        (lambda g: g.uniform(0, math.inf, (2,)), ArgumentError, "uniform: .*inf"),
        (lambda g: g.uniform(1, 0), ArgumentError, "uniform: low is at most high, met 1.0 and 0.0"),
        (lambda g: g.uniform(-1e308, 1e308, dtype="float64"), ArgumentError, "uniform: .*low=-1e.308"),
        (lambda g: g.truncated_normal(0, 0), ArgumentError, "truncated_normal: std .*0"),
        (lambda g: g.truncated_normal(0, 1, math.nan), ArgumentError, "truncated_normal: low .*nan"),
        (lambda g: g.truncated_normal(0, 1, 2, 1), ArgumentError, "truncated_normal: low is at most high"),
        (lambda g: g.exponential(-1), ArgumentError, "exponential: scale .*-1"),
        (lambda g: g.gamma(0), ArgumentError, "gamma: concentration .*0"),
        (lambda g: g.beta(1, 0), ArgumentError, "beta: beta .*0"),
        (lambda g: g.bernoulli(1.5), ArgumentError, "bernoulli: p is from 0 to 1, met 1.5"),
        (lambda g: g.bernoulli(math.nan), ArgumentError, "bernoulli: p .*nan"),
        (lambda g: g.poisson(-1), ArgumentError, "poisson: rate .*-1"),
        (lambda g: g.poisson(1e30), ArgumentError, "poisson: "),
        (lambda g: g.poisson(1000, dtype="uint8"), ArgumentError, "poisson: .*uint8"),
        (lambda g: g.integers(3, 3), ArgumentError, "integers: .*3 and 3"),
        (lambda g: g.integers(0, 1.5), OperandError, "integers: high .*1.5"),
        (lambda g: g.integers(0, rt.asarray([1.5])), DTypeError, "integers: high"),
        (lambda g: g.integers(0, 2, dtype="float32"), DTypeError, "integers: float32"),
        (lambda g: g.categorical(), ArgumentError, "categorical: .*neither"),
        (lambda g: g.categorical([1.0], probabilities=[1.0]), ArgumentError, "categorical: .*both"),
        (lambda g: g.categorical(1.0), ShapeError, r"categorical: logits .*\(\)"),
        (lambda g: g.categorical(rt.zeros((2, 0))), ShapeError, r"categorical: logits .*\(2, 0\)"),
        (lambda g: g.categorical([math.inf, 0]), ArgumentError, "categorical: logits .*inf"),
        (lambda g: g.categorical([-math.inf]), ArgumentError, "categorical: no category"),
        (lambda g: g.categorical(probabilities=[1.0, -1.0]), ArgumentError, "categorical: probabilities .*-1"),
        (lambda g: g.categorical(probabilities=[0.0, 0.0]), ArgumentError, "categorical: no category"),
        (lambda g: g.categorical(rt.zeros(300), dtype="uint8"), ArgumentError, "categorical: 299 .*uint8"),
        (lambda g: g.categorical(rt.zeros((2, 3)), (3,)), ShapeError, r"categorical: .*\(2,\).*\(3,\)"),
        (lambda g: g.multinomial(-1, [1.0]), ArgumentError, "multinomial: trials .*-1"),
        (lambda g: g.multinomial(1.5, [1.0]), OperandError, "multinomial: trials .*1.5"),
        (lambda g: g.permutation(-1), ArgumentError, "permutation: .*-1"),
        (lambda g: g.permutation(1.5), OperandError, "permutation"),
        (lambda g: g.permutation(rt.asarray(3)), AxisError, "permutation: "),
        (lambda g: g.permutation(rt.zeros(3), axis=1), AxisError, "permutation: axis 1"),
        (lambda g: g.choice(0), ArgumentError, "choice: there is nothing"),
        (lambda g: g.choice(3, (4,), replace=False), ArgumentError, "choice: 4 of 3"),
        (lambda g: g.choice(3, (3,), replace=False, p=[1, 1, 0]), ArgumentError, "choice: 3 of 2"),
        (lambda g: g.choice(3, p=[1, 1]), ShapeError, r"choice: p .*\(3,\).*\(2,\)"),
        (lambda g: g.choice(2, p=[0, 0]), ArgumentError, "choice: no category"),
        (lambda g: g.choice(rt.zeros(3), axis=2), AxisError, "choice: axis 2"),
    ],
)
def test_what_does_not_fit_is_refused(call, error, words):
    with pytest.raises(error, match=words):
        call(Generator(0))
