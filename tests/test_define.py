"""Stating an op: what one statement brings, and that a wrong rule, composition or kernel is found."""

import inspect
import math
from collections.abc import Iterator

import numpy as np
import pytest
from rustorch_conformance.checks import check_dtypes, check_gradient, check_kernel, check_value
from rustorch_conformance.samples import samples

import rustorch as rt
from rustorch_core._define import binary, composition, op, unary
from rustorch_core._op import REGISTRY, Op
from rustorch_core.errors import ArgumentError, DTypeError, OperandError, ShapeError


@pytest.fixture(autouse=True)
def registry() -> Iterator[None]:
    """Every op, method and operator that a test adds goes again."""
    ops, members = set(REGISTRY), set(vars(rt.Tensor))
    yield
    for name in set(REGISTRY) - ops:
        del REGISTRY[name]
    for name in set(vars(rt.Tensor)) - members:
        delattr(rt.Tensor, name)


def cube(rule=lambda g, x: 3 * g * x * x, **facts):  # type: ignore[no-untyped-def]
    facts = {"compose": lambda x: x * x * x, "reference": lambda x: x**3, **facts}
    return unary("cube", "floating-point", rule, "the cube of each element", **facts)


def test_one_statement_is_a_function_a_method_and_a_docstring() -> None:
    function = cube()
    x = rt.asarray([1.0, -2.0])
    assert function(x).tolist() == x.cube().tolist() == [1, -8]
    assert (function.__name__, function.__module__) == ("cube", "rustorch")
    assert str(inspect.signature(function)).startswith("(x: ")
    text = inspect.getdoc(function)
    assert text.startswith("Compute the cube of each element.\n")
    assert "floating-point" in text
    assert "Arguments:" in text
    assert function.op is REGISTRY["cube"]
    assert function.op.function is function


def test_one_statement_is_tested() -> None:
    stated = cube().op
    assert [sample.arrays[0].shape for sample in samples(stated, np.dtype("float32"))] == [(3, 4), (), (0, 3)]
    names = check_dtypes(stated, "cpu")
    assert set(names) == {"float16", "bfloat16", "float32", "float64", "complex64", "complex128"}
    for name in names:
        check_value(stated, name, "cpu")
    check_gradient(stated, "cpu")
    check_gradient(stated, "cpu", dtype="complex128")
    check_kernel(stated, "cpu")


def test_its_gradient_differentiates_again() -> None:
    function = cube()
    assert rt.grad(rt.grad(rt.grad(function)))(rt.asarray(2.0)).item() == 6


def test_a_composition_without_a_rule_has_its_gradient() -> None:
    function = cube(rule=None)
    check_gradient(function.op, "cpu")
    assert rt.grad(function)(rt.asarray(2.0)).item() == 12


@pytest.mark.parametrize(
    "wrong",
    [
        lambda g, x: 2 * g * x * x,
        lambda g, x: 3 * x * x,
        lambda g, x: 3 * g * rt.stop_gradient(x) * x,
        lambda g, x: g * 3 * x,
        lambda g, x: 3 * g * x * x + 1e-4,
    ],
)
def test_a_wrong_rule_is_found(wrong) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(AssertionError, match=r"cube: gradcheck: derivatives of order [12] differ"):
        check_gradient(cube(rule=wrong).op, "cpu")


def test_a_wrong_value_is_found() -> None:
    with pytest.raises(AssertionError, match="cube"):
        check_value(cube(compose=lambda x: x * x * x * 1.001).op, "float64", "cpu")
    del REGISTRY["cube"]
    with pytest.raises(AssertionError, match="cube: shape"):
        check_value(cube(compose=lambda x: rt.sum(x)).op, "float64", "cpu")


@pytest.mark.parametrize(
    "kernel",
    [
        lambda x: x * x * x * np.float32(1.001),
        lambda x: np.nan_to_num(x * x * x),
        lambda x: np.abs(x * x * x),
        lambda x: np.ascontiguousarray(x).reshape(-1)[: x.size].reshape(x.shape) ** 3 + (x.strides != x.copy().strides),
    ],
)
def test_a_wrong_kernel_is_found(kernel) -> None:  # type: ignore[no-untyped-def]
    stated = cube().op
    key = rt.device("cpu").key(rt.float32)
    stated.bind(key)
    stated.bound[key] = kernel
    with pytest.raises(AssertionError, match="cube"):
        check_kernel(stated, "cpu")


def test_a_binary_op_with_an_operator_free_name() -> None:
    function = binary(
        "mean_of_two",
        "real floating-point",
        (lambda g: g / 2, lambda g: g / 2),
        "the mean of each pair",
        native=lambda xp, x1, x2: (x1 + x2) / 2,
        reference=lambda x1, x2: (x1 + x2) / 2,
    )
    assert function(rt.ones((2, 1)), rt.ones(3) * 3).tolist() == [[2, 2, 2]] * 2
    assert rt.ones(1).mean_of_two(3.0).tolist() == [2]
    check_value(function.op, "float64", "cpu")
    check_gradient(function.op, "cpu")
    with pytest.raises(ShapeError, match="mean_of_two"):
        function(rt.ones(2), rt.ones(3))
    with pytest.raises(DTypeError, match="mean_of_two: complex64"):
        function(rt.asarray([1j]), rt.asarray([1j]))
    with pytest.raises(OperandError, match="mean_of_two"):
        function(1.0, 2.0)


def test_an_op_with_arguments_to_read() -> None:
    @op("scaled", "floating-point", lambda g, factor: g * factor, native=lambda xp, x, factor: x * factor)
    def scaled(x, /, *, factor: float = 2.0):  # type: ignore[no-untyped-def]
        """Multiply by a factor.

        Arguments:
            x: tensor.
            factor: number.
        """
        if factor == 0:
            raise ArgumentError("scaled: the factor is 0")
        return (x,), {"factor": factor}

    assert scaled(rt.ones(1)).tolist() == [2]
    assert rt.ones(1).scaled(factor=5.0).tolist() == [5]
    assert rt.grad(lambda x: scaled(x, factor=3.0))(1.0).item() == 3
    assert list(inspect.signature(scaled).parameters) == ["x", "factor"]
    with pytest.raises(ArgumentError, match="scaled"):
        scaled(rt.ones(1), factor=0)
    with pytest.raises(OperandError, match="scaled: expected a tensor, met float"):
        scaled(1.0)
    with pytest.raises(TypeError):
        scaled(rt.ones(1), 3.0)
    with pytest.raises(LookupError, match="add a row"):
        list(samples(REGISTRY["scaled"], np.dtype("float32")))


def test_a_composition_of_several_inputs() -> None:
    @composition("floating-point")
    def weighted(x: rt.Tensor, weight: rt.Tensor | None = None, *, power: int = 1) -> rt.Tensor:
        """Weigh a power."""
        return x**power if weight is None else x**power * weight

    x, w = rt.asarray([2.0, 3.0]), rt.asarray([10.0, 1.0])
    assert weighted(x).tolist() == [2, 3]
    assert weighted(x, w, power=2).tolist() == x.weighted(w, power=2).tolist() == [40, 9]
    by_w = rt.grad(lambda w: weighted(x, w, power=2).sum())(w)
    assert by_w.tolist() == [4, 9]
    for call in (lambda: weighted(), lambda: weighted(x, w, 3), lambda: weighted(x, other=1)):
        with pytest.raises(TypeError):
            call()


def test_a_rule_keeps_what_it_names() -> None:
    kept = unary("kept", "floating-point", lambda g, y: g * y, "exp", compose=lambda x: rt.exp(x))
    x = rt.ones(2).requires_grad_()
    (values,) = kept(x)._node.saved
    assert len(values) == 1
    loose = unary("loose", "floating-point", lambda g: g, "nothing kept", compose=lambda x: x * 1)
    assert loose(x)._node.saved == ((),)


def test_without_rule_or_composition_there_is_no_gradient() -> None:
    flat = unary("flat", "floating-point", None, "the floor", native=lambda xp, x: xp.floor(x), no_gradient="it jumps")
    assert not flat.op.is_differentiable
    y = flat(rt.asarray([1.5]).requires_grad_())
    with pytest.raises(rt.errors.GradientError, match="flat has no gradient: it jumps"):
        y.backward()


def test_wrong_statements_raise() -> None:
    with pytest.raises(ValueError, match=r"'floaty' is no category; there are: .*real floating-point"):
        unary("new", "floaty", None, "nothing")
    assert "new" not in REGISTRY
    cube()
    with pytest.raises(ValueError, match="op cube is defined twice"):
        cube()
    with pytest.raises(ValueError, match="op sin is defined twice"):
        Op("sin", "all")


def test_samples_lie_in_the_domain() -> None:
    stated = cube(domain=(2.0, 3.0)).op
    for sample in samples(stated, np.dtype("float64")):
        assert all(2 < value < 3 for value in sample.arrays[0].reshape(-1))
    first, second = (next(iter(samples(stated, np.dtype("float64"), seed))).arrays[0] for seed in (0, 0))
    assert first.tolist() == second.tolist()
    assert math.isfinite(first.sum())
