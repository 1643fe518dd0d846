"""Random numbers: one seed gives one stream, and the streams have the moments of their distributions."""

import math

import pytest

import rustorch as rt
from rustorch.random import Generator
from rustorch_core.errors import ArgumentError, OperandError, RusTorchError


def draw(generator: Generator) -> list[object]:
    return [
        generator.uniform(0, 1, (3,)).tolist(),
        generator.normal(0, 1, (2, 2)).tolist(),
        generator.integers(0, 100, (4,)).tolist(),
        generator.permutation(6).tolist(),
    ]


def test_one_seed_gives_one_stream() -> None:
    assert draw(Generator(7)) == draw(Generator(7))
    assert draw(Generator(7)) != draw(Generator(8))
    assert draw(Generator()) != draw(Generator())
    generator = Generator(7)
    assert draw(generator) != draw(generator)


def test_the_stream_is_the_same_for_ever() -> None:
    assert Generator(0).integers(0, 10, (5,)).tolist() == [1, 0, 9, 2, 3]
    assert Generator(0).permutation(5).tolist() == Generator(0).permutation(5).tolist()


def test_the_default_generator() -> None:
    first = rt.random.seed(3)
    assert rt.random.default_generator() is first
    values = draw(first)
    rt.random.seed(3)
    assert draw(rt.random.default_generator()) == values == draw(Generator(3))


def test_state_is_saved_and_restored() -> None:
    generator = Generator(1)
    generator.normal(0, 1, (3,))
    state = generator.get_state()
    expected = draw(generator)
    assert draw(generator) != expected
    generator.set_state(state)
    assert draw(generator) == expected
    other = Generator(99)
    other.set_state(state)
    assert draw(other) == expected
    for wrong in ({}, {"bit_generator": "MT19937"}, None, 3):
        with pytest.raises(ArgumentError, match="set_state"):
            generator.set_state(wrong)


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-3.0, 5.0)])
def test_moments_of_the_uniform_distribution(low: float, high: float) -> None:
    n = 100_000
    x = Generator(0).uniform(low, high, (n,), dtype="float64")
    assert low <= x.min().item() <= x.max().item() < high
    width = high - low
    assert x.mean().item() == pytest.approx((low + high) / 2, abs=5 * width / math.sqrt(12 * n))
    assert x.std().item() == pytest.approx(width / math.sqrt(12), rel=0.01)


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (10.0, 0.5)])
def test_moments_of_the_normal_distribution(mean: float, std: float) -> None:
    n = 100_000
    x = (Generator(0).normal(mean, std, (n,), dtype="float64") - mean) / std
    assert x.mean().item() == pytest.approx(0, abs=5 / math.sqrt(n))
    assert x.std().item() == pytest.approx(1, rel=0.02)
    assert (x**3).mean().item() == pytest.approx(0, abs=5 * math.sqrt(15 / n))
    assert (x**4).mean().item() == pytest.approx(3, rel=0.05)


def test_integers_cover_their_range_evenly() -> None:
    counts = rt.unique_counts(Generator(0).integers(-2, 3, (50_000,)))
    assert counts.values.tolist() == [-2, -1, 0, 1, 2]
    assert all(abs(count - 10_000) < 500 for count in counts.counts.tolist())


def test_shapes_and_dtypes() -> None:
    generator = Generator(0)
    assert generator.uniform().shape == ()
    assert generator.normal(0, 1, 3).shape == (3,)
    assert generator.uniform(0, 1, (0, 2)).shape == (0, 2)
    assert generator.normal(0, 1, [2, 3]).dtype == rt.float32
    for dtype in ("float16", "bfloat16", "float64"):
        assert generator.normal(0, 1, (2,), dtype=dtype).dtype == dtype
    assert generator.integers(0, 5, (2,)).dtype == rt.int64
    assert generator.integers(0, 5, (2,), dtype="uint8").dtype == rt.uint8
    assert generator.permutation(0).shape == (0,)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda g: Generator(-1), ArgumentError, "seed.*-1"),
        (lambda g: Generator(1.5), ArgumentError, "seed.*1.5"),
        (lambda g: Generator("x"), ArgumentError, "seed.*'x'"),
        (lambda g: g.normal(0, -1, (2,)), ArgumentError, "normal: .*-1"),
        (lambda g: g.integers(3, 3), ArgumentError, "integers: .*3 and 3"),
        (lambda g: g.uniform(0, 1, (-1,)), ArgumentError, r"uniform: .*\(-1,\)"),
        (lambda g: g.uniform(0, 1, "ab"), OperandError, "uniform: a shape"),
        (lambda g: g.uniform("a", 1, (2,)), RusTorchError, "uniform: .*a"),
        (lambda g: g.permutation(-1), ArgumentError, "permutation: .*-1"),
        (lambda g: g.permutation(1.5), OperandError, "permutation"),
        (lambda g: g.uniform(0, math.inf, (2,)), ArgumentError, "uniform: .*inf"),
    ],
)
def test_what_does_not_fit_is_refused(call, error, words) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(error, match=words):
        call(Generator(0))
