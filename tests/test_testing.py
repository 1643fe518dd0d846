"""The checks for users' own tests: each finds what is wrong, and says where."""

import dataclasses

import numpy as np
import pytest

import rustorch as rt
from rustorch import errors
from rustorch.testing import assert_close, gradcheck


def tensor(*values, dtype="float64"):
    return rt.asarray(list(values), dtype=dtype)


@dataclasses.dataclass
class Pair:
    first: object
    second: object


def wrong_at(index):
    """A square whose gradient is twice as large in one place."""
    factors = rt.asarray([2.0, 1.0] if index == 0 else [1.0, 2.0])
    return rt.custom_gradient(lambda x: (x * x, lambda g: 2 * g * x * factors))


def test_right_gradients_pass():
    assert gradcheck(lambda x, y: {"a": [rt.sin(x) * y], "n": 3}, (tensor(1.0, 2.0), tensor(3.0)), order=3)
    assert gradcheck(lambda z: rt.abs(z) * z, [tensor(1 + 2j, -0.5j, dtype="complex128")], order=2)
    assert gradcheck(lambda x, n, name: x**n, (tensor(1.0, 2.0), 3, "name"))
    assert gradcheck(lambda m, x: m(x), (rt.nn.Linear(3, 2), rt.ones((4, 3))))
    assert gradcheck(lambda x: rt.where(x > 0, rt.sqrt(x), x), (tensor(1.0, -2.0),), order=2)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16", "complex64", "complex128"])
def test_every_precision(dtype):
    x = tensor(0.5, 1.5, -1.0, dtype=dtype)
    assert gradcheck(lambda x: x * x * 0.5 + x, (x,))
    with pytest.raises(errors.GradientMismatchError):
        gradcheck(rt.custom_gradient(lambda x: (x * x, lambda g: 3 * g * x)), (x,))


@pytest.mark.parametrize("index", [0, 1])
def test_the_worst_entry_is_named(index):
    x = tensor(1.0, 3.0)

    def flawed(pair, others):
        return rt.sum(wrong_at(index)(pair.second["w"])) + rt.sum(others[0] * pair.first)

    with pytest.raises(errors.GradientMismatchError) as raised:
        gradcheck(flawed, (Pair(tensor(1.0), {"w": x}), [tensor(2.0)]))
    words = str(raised.value)
    assert f"order 1 differ, most of all for argument 0.second['w'] at index ({index},): the gradient is" in words
    ours, theirs = (float(part) for part in (words.split("gradient is ")[1].split(",")[0], words.split("gives ")[1]))
    assert ours == pytest.approx(2 * theirs, rel=1e-6)


def test_a_wrong_complex_entry_is_named():
    flawed = rt.custom_gradient(lambda z: (rt.real(z * rt.conj(z)), lambda g: 2 * g * z))
    with pytest.raises(errors.GradientMismatchError, match=r"argument 0 at index \(1,\): .*j, a finite .*j"):
        gradcheck(flawed, (tensor(0.1 + 0.2j, 1 + 3j, dtype="complex128"),))


def test_a_wrong_derivative_of_higher_order_is_found():
    stopped = rt.custom_gradient(lambda x: (x**3, lambda g: 3 * g * rt.stop_gradient(x) * x))
    assert gradcheck(stopped, (tensor(0.5, 2.0),))
    with pytest.raises(errors.GradientMismatchError, match="order 2 differ"):
        gradcheck(stopped, (tensor(0.5, 2.0),), order=2)
    assert issubclass(errors.GradientMismatchError, AssertionError)


def test_limits_and_seeds():
    nearly = rt.custom_gradient(lambda x: (x * x, lambda g: 2 * g * x * (1 + 1e-4)))
    x = (tensor(1.0, 2.0),)
    for seed in range(5):
        with pytest.raises(errors.GradientMismatchError):
            gradcheck(nearly, x, seed=seed)
        assert gradcheck(nearly, x, rtol=1e-2, seed=seed)
        assert gradcheck(lambda x: rt.exp(x), x, step=1e-3, rtol=1e-4, seed=seed)


def test_what_cannot_be_checked():
    generator = rt.random.Generator(0)
    for function, words in (
        (lambda x: x * generator.normal(shape=2, dtype="float64"), "for the same arguments"),
        (lambda x: rt.log(x - 5), "gives nan"),
        (lambda x: x > 0, "returns no floating-point tensor"),
    ):
        with pytest.raises(errors.ArgumentError, match=words):
            gradcheck(function, (tensor(1.0, 2.0),))


def test_close():
    assert_close(rt.ones(3), rt.ones(3))
    assert_close(tensor(1.0, np.nan, np.inf), [1.0, np.nan, np.inf])
    assert_close(tensor(1.0 + 1e-8), np.asarray([1.0]))
    assert_close({"a": [1, (tensor(2.0), 3 + 4j)]}, {"a": [1, ([2.0], 3 + 4j)]})
    assert_close(rt.ones(2), [1.1, 1.0], rtol=0.2)
    assert_close(rt.ones(2), [1.1, 1.0], rtol=0.0, atol=0.2)
    assert_close(rt.ones((0, 3)), np.ones((0, 3)))
    assert_close(tensor(2**53 + 1, dtype="int64"), tensor(2**53 + 1, dtype="int64"))


@pytest.mark.needs("float16")
def test_close_in_half_precision():
    assert_close(rt.ones(2, dtype="float16"), [1.0005, 1.0])


@pytest.mark.parametrize(
    ("actual", "expected", "words"),
    [
        (rt.ones(3), [1.0, 2.0, 5.0], r"2 of 3 elements differ, most of all at index \(2,\): 1.0 met 5.0"),
        (rt.ones(2), [1.0, np.nan], r"index \(1,\): 1.0 met nan"),
        (tensor(np.inf), [-np.inf], "inf met -inf"),
        ({"a": [rt.ones(2), rt.ones(1)]}, {"a": [rt.ones(2), rt.zeros(1)]}, r"\['a'\]\[1\]: 1 of 1"),
        (rt.ones(2), rt.ones(3), r"shape \(2,\) met shape \(3,\)"),
        (rt.ones(2), rt.ones(2, dtype="float64"), "float32 met float64"),
        (tensor(2**53 + 1, dtype="int64"), tensor(2**53, dtype="int64"), "9007199254740993 met 9007199254740992"),
        (rt.asarray([True, False]), [True, True], "False met True"),
        (tensor(1.0 + 1e-6), [1.0], "rtol 1e-07"),
    ],
)
def test_not_close(actual, expected, words):
    with pytest.raises(AssertionError, match=words):
        assert_close(actual, expected)


def test_other_structures_are_not_close():
    with pytest.raises(errors.MismatchError, match="one structure"):
        assert_close([rt.ones(1)], [rt.ones(1), rt.ones(1)])
