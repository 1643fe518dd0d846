"""Gradients: accumulation, the ways to ask for them, higher orders, memory, and what the errors say."""

import dataclasses
import gc
import math
import threading
import weakref
from collections import OrderedDict, defaultdict
from typing import NamedTuple

import numpy as np
import pytest

import rustorch as rt
from rustorch_core._memory import Saved
from rustorch_core._op import REGISTRY
from rustorch_core.errors import ArgumentError, DTypeError, GradientError, OperandError, RusTorchError, ShapeError


def leaf(*values, dtype="float64"):  # type: ignore[no-untyped-def]
    return rt.asarray(values[0] if len(values) == 1 else list(values), dtype=dtype).requires_grad_()


# backward


def test_backward_accumulates() -> None:
    x = leaf(1.0, 2.0)
    (x * x).sum().backward()
    assert x.grad.tolist() == [2, 4]
    (3 * x).sum().backward()
    assert x.grad.tolist() == [5, 7]
    x.grad = None
    (x * x * x).sum().backward()
    assert x.grad.tolist() == [3, 12]


def test_gradients_add_up_over_all_paths() -> None:
    x = leaf(3.0)
    y = x * x
    (y + y * x + x).backward()
    assert x.grad.item() == 2 * 3 + 3 * 9 + 1


def test_a_second_walk_needs_the_graph() -> None:
    x = leaf(2.0)
    y = x.exp() * x
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.item() == pytest.approx(2 * 3 * math.exp(2))
    with pytest.raises(GradientError, match=r"(exp|multiply): the graph has been walked and freed.*retain_graph=True"):
        y.backward()


def test_create_graph_makes_the_gradient_differentiable() -> None:
    x = leaf(2.0)
    (x**3).backward(create_graph=True)
    first, x.grad = x.grad, None
    assert first.item() == 12
    first.backward()
    assert x.grad.item() == 12


def test_seeds() -> None:
    x = leaf(1.0, 2.0)
    (x * x).backward(rt.asarray([1.0, 10.0]))
    assert x.grad.tolist() == [2, 40]
    x.grad = None
    (x * x).backward(rt.asarray(np.asarray([1.0, 0.0])))
    assert x.grad.tolist() == [2, 0]
    with pytest.raises(ShapeError, match=r"backward: a tensor of shape \(2,\) needs a gradient"):
        (x * x).backward()
    with pytest.raises(ShapeError, match=r"\(3,\).*\(2,\)"):
        (x * x).backward(rt.ones(3))


def test_gradients_are_their_receivers_own() -> None:
    a, b = leaf(1.0, 2.0), leaf(3.0, 4.0)
    (a + b).sum().backward()
    a.grad *= 10
    assert a.grad.tolist() == [10, 10]
    assert b.grad.tolist() == [1, 1]
    seed = rt.asarray([1.0, 1.0], dtype="float64")
    c = leaf(1.0, 2.0)
    (c + 0).backward(seed)
    c.grad *= 5
    assert seed.tolist() == [1, 1]
    first, second = rt.grad(lambda x, y: (x + y).sum(), (0, 1))(rt.ones(2), rt.ones(2))
    first[0] = 7.0
    assert second.tolist() == [1, 1]


def test_grad_takes_only_what_fits() -> None:
    x = leaf(1.0, 2.0)
    with pytest.raises(ArgumentError, match=r"expected shape \(2,\)"):
        x.grad = rt.ones(3)


def test_leaves() -> None:
    x = leaf(1.0)
    y = x * 2
    assert (x.is_leaf, x.requires_grad, y.is_leaf, y.requires_grad) == (True, True, False, True)
    assert not y.detach().requires_grad
    assert rt.ones(1).is_leaf
    assert not x.requires_grad_(False).requires_grad
    with pytest.raises(GradientError, match=r"detach"):
        y.requires_grad_(False)


@pytest.mark.parametrize("dtype", ["int64", "bool", "uint8"])
def test_integers_have_no_gradient(dtype: str) -> None:
    with pytest.raises(DTypeError, match=f"{dtype} has no gradient"):
        rt.ones(1, dtype=dtype).requires_grad_()
    with pytest.raises(DTypeError, match=f"an argument of {dtype} has no gradient"):
        rt.grad(lambda x: x.sum())(rt.ones(1, dtype=dtype))


def test_backward_of_what_is_not_recorded() -> None:
    with pytest.raises(GradientError, match=r"requires_grad_\(\)"):
        rt.ones(1).backward()
    x = leaf(1.0)
    assert not (x > 0).requires_grad
    assert not rt.astype(x, "int64").requires_grad


# Recording


def test_no_grad_and_enable_grad() -> None:
    x = leaf(1.0)
    with rt.no_grad():
        assert not (x * 2).requires_grad
        with rt.enable_grad():
            assert (x * 2).requires_grad
        assert not (x * 2).requires_grad
    assert (x * 2).requires_grad

    @rt.no_grad()
    def silent(y):  # type: ignore[no-untyped-def]
        """Double."""
        return y * 2

    assert not silent(x).requires_grad
    assert (silent.__name__, silent.__doc__) == ("silent", "Double.")


def test_no_grad_ends_with_an_exception() -> None:
    def fail() -> None:
        with rt.no_grad():
            raise KeyError("stop")

    with pytest.raises(KeyError):
        fail()
    assert (leaf(1.0) * 2).requires_grad


def test_no_grad_is_a_threads_own() -> None:
    x = leaf(1.0)
    inside, done, seen = threading.Event(), threading.Event(), []

    def other() -> None:
        inside.wait(10)
        seen.append((x * 2).requires_grad)
        done.set()

    thread = threading.Thread(target=other)
    thread.start()
    with rt.no_grad():
        inside.set()
        assert done.wait(10)
    thread.join()
    assert seen == [True]


def test_threads_walk_their_own_graphs() -> None:
    found = {}

    def work(number: int) -> None:
        for _ in range(20):
            x = leaf(float(number))
            y = x
            for _ in range(20):
                y = y * 1.0 + x
            y.backward()
            found[number] = x.grad.item()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == dict.fromkeys(range(4), 21.0)


# grad and value_and_grad


def test_argnums() -> None:
    def f(x, y, z):  # type: ignore[no-untyped-def]
        return (x * y * y * z).sum()

    x, y, z = (rt.asarray(value) for value in (2.0, 3.0, 5.0))
    assert rt.grad(f)(x, y, z).item() == 45
    assert rt.grad(f, 1)(x, y, z).item() == 60
    assert rt.grad(f, -1)(x, y, z).item() == 18
    assert [g.item() for g in rt.grad(f, (0, -1))(x, y, z)] == [45, 18]
    assert [g.item() for g in rt.grad(f, [2, 1])(x, y, z)] == [18, 60]
    assert isinstance(rt.grad(f, (1,))(x, y, z), tuple)
    value, gradient = rt.value_and_grad(f, 1)(x, y, z=z)
    assert (value.item(), gradient.item()) == (90, 60)
    with pytest.raises(ArgumentError, match="argument 3, but 3 were passed"):
        rt.grad(f, 3)(x, y, z)
    for wrong in (None, 1.5, "x"):
        with pytest.raises(OperandError, match="argnums is an integer"):
            rt.grad(f, wrong)
    with pytest.raises(OperandError, match="expected a function"):
        rt.grad(x)


def test_has_aux() -> None:
    def f(x):  # type: ignore[no-untyped-def]
        return (x * x).sum(), {"twice": x * 2, "name": "f", "counts": defaultdict(int, a=1)}

    x = rt.asarray([1.0, 2.0])
    (value, aux), gradient = rt.value_and_grad(f, has_aux=True)(x)
    assert (value.item(), gradient.tolist()) == (5, [2, 4])
    assert aux["twice"].tolist() == [2, 4]
    assert not aux["twice"].requires_grad
    assert (aux["name"], aux["counts"]["b"]) == ("f", 0)
    gradient, aux = rt.grad(f, has_aux=True)(x)
    assert gradient.tolist() == [2, 4]


def test_the_value_is_free_of_the_graph() -> None:
    value, gradient = rt.value_and_grad(lambda x: x * x)(rt.asarray(3.0))
    assert not value.requires_grad
    assert not gradient.requires_grad


class Pair(NamedTuple):
    first: object
    second: object


@dataclasses.dataclass(frozen=True)
class Point:
    x: object
    y: object
    norm: float = dataclasses.field(default=0.0, init=False)


X, Y = rt.asarray(2.0), rt.asarray([1.0, 3.0])


@pytest.mark.parametrize(
    ("tree", "read"),
    [
        ({"a": X, "b": Y}, lambda t: (t["a"], t["b"])),
        (OrderedDict(a=X, b=Y), lambda t: (t["a"], t["b"])),
        (defaultdict(list, a=X, b=Y), lambda t: (t["a"], t["b"])),
        ([X, Y], lambda t: t),
        ((X, (Y,)), lambda t: (t[0], t[1][0])),
        (Pair(X, [Y]), lambda t: (t.first, t.second[0])),
        (Point(X, {"y": Y}), lambda t: (t.x, t.y["y"])),
    ],
    ids=lambda value: type(value).__name__,
)
def test_pytrees(tree, read) -> None:  # type: ignore[no-untyped-def]
    def f(t):  # type: ignore[no-untyped-def]
        x, y = read(t)
        return x * x * y.sum()

    value, gradient = rt.value_and_grad(f)(tree)
    assert type(gradient) is type(tree)
    by_x, by_y = read(gradient)
    assert (value.item(), by_x.item(), by_y.tolist()) == (16, 16, [4, 4])


def test_floats_and_empty_trees() -> None:
    assert rt.grad(lambda x: x**3)(2.0).item() == 12
    assert rt.grad(lambda t: t["a"] * 3, 0)({"a": 1.0, "b": []}) == {"a": rt.asarray(3.0), "b": []}
    with pytest.raises(OperandError, match="met str"):
        rt.grad(lambda t: t["a"])({"a": "text"})


def test_modules_as_arguments() -> None:
    model = rt.nn.Sequential(rt.nn.Linear(3, 4), rt.nn.Tanh(), rt.nn.Linear(4, 1))
    x = rt.random.Generator(0).normal(0, 1, (5, 3))

    def loss(m):  # type: ignore[no-untyped-def]
        return (m(x) ** 2).mean()

    gradient = rt.grad(loss)(model)
    assert type(gradient) is rt.nn.Sequential
    loss(model).backward()
    for (name, ours), theirs in zip(gradient.named_parameters(), model.parameters(), strict=True):
        np.testing.assert_allclose(
            ours.detach().to("cpu").numpy(), theirs.grad.to("cpu").numpy(), rtol=1e-5, err_msg=name
        )
    assert any(p.grad.abs().sum() > 0 for p in model.parameters())


def test_modules_with_frozen_parameters() -> None:
    model = rt.nn.Sequential(rt.nn.Linear(2, 2), rt.nn.Linear(2, 1))
    expected = rt.grad(lambda m: m(rt.ones((1, 2))).sum())(model)
    model[0].requires_grad_(False)
    found = rt.grad(lambda m: m(rt.ones((1, 2))).sum())(model)
    for ours, theirs in zip(found.parameters(), expected.parameters(), strict=True):
        assert ours.tolist() == theirs.tolist()
    assert all(not p.requires_grad for p in model[0].parameters())


def test_what_does_not_depend_has_zero_gradient() -> None:
    x, y = rt.ones(2), rt.ones((2, 3))
    assert rt.grad(lambda x, y: x.sum(), 1)(x, y).tolist() == np.zeros((2, 3)).tolist()
    assert rt.grad(lambda x: rt.asarray(1.0))(x).tolist() == [0, 0]


def test_the_value_must_be_one_real_number() -> None:
    for f, words in (
        (lambda x: x, r"float32 and shape \(2,\)"),
        (lambda x: (x > 0).any(), "bool"),
        (lambda x: x.sum() * 1j, "complex64"),
        (lambda x: 3, "int"),
        (lambda x: None, "NoneType"),
    ):
        with pytest.raises(GradientError, match=f"one real floating-point element.*{words}"):
            rt.grad(f)(rt.ones(2))


def test_closures_over_leaves_stay_differentiable() -> None:
    w = leaf(3.0)
    slope = rt.grad(lambda x: w * w * x**3)(rt.asarray(2.0, dtype="float64"))
    assert slope.item() == 9 * 12
    slope.backward()
    assert w.grad.item() == 2 * 3 * 12


def test_wrapped_functions_keep_their_names() -> None:
    def f(x):  # type: ignore[no-untyped-def]
        """Square."""
        return x * x

    assert rt.grad(f).__name__ == rt.value_and_grad(f).__name__ == "f"
    assert rt.grad(f).__doc__ == "Square."


# Higher orders


@pytest.mark.parametrize(
    ("f", "third"),
    [
        (lambda x: rt.sin(x), lambda x: -math.cos(x)),
        (lambda x: rt.exp(2 * x), lambda x: 8 * math.exp(2 * x)),
        (lambda x: rt.log(x), lambda x: 2 / x**3),
        (lambda x: x**5, lambda x: 60 * x**2),
        (lambda x: 1 / x, lambda x: -6 / x**4),
        (lambda x: rt.sqrt(x), lambda x: 3 / 8 * x**-2.5),
        (lambda x: rt.tanh(x), lambda x: (4 * math.sinh(x) ** 2 - 2) / math.cosh(x) ** 4),
        (lambda x: rt.prod(rt.stack([x, x, x, x])), lambda x: 24 * x),
    ],
)
def test_third_derivatives(f, third) -> None:  # type: ignore[no-untyped-def]
    for at in (0.7, 1.3):
        found = rt.grad(rt.grad(rt.grad(f)))(rt.asarray(at, dtype="float64"))
        assert found.item() == pytest.approx(third(at), rel=1e-9)


def test_mixed_derivatives() -> None:
    x, y = rt.asarray(1.5, dtype="float64"), rt.asarray(0.5, dtype="float64")
    mixed = rt.grad(rt.grad(lambda x, y: rt.sin(x * y), 0), 1)(x, y)
    assert mixed.item() == pytest.approx(math.cos(0.75) - 0.75 * math.sin(0.75))


def test_derivatives_of_compositions_with_kernels() -> None:
    x = rt.asarray([0.3, -1.2, 0.9], dtype="float64")
    w = rt.asarray([1.0, -2.0, 0.5], dtype="float64")
    hessian = [rt.grad(lambda v, i=i: rt.grad(lambda u: (rt.softmax(u) * w).sum())(v)[i])(x).tolist() for i in range(3)]
    p = np.exp([0.3, -1.2, 0.9]) / np.exp([0.3, -1.2, 0.9]).sum()
    centred = np.asarray(w.tolist()) - p @ np.asarray(w.tolist())
    expected = np.diag(p * centred) - np.outer(p * centred, p) - np.outer(p, p * centred)
    np.testing.assert_allclose(hessian, expected, atol=1e-12)


# Shapes and kinds


@pytest.mark.parametrize(
    ("first", "second"),
    [((3,), (2, 3)), ((2, 1), (1, 3)), ((), (2, 2)), ((1,), (4,)), ((2, 1, 3), (5, 1)), ((1, 1), ())],
)
def test_gradients_have_the_shape_of_their_inputs(first: tuple[int, ...], second: tuple[int, ...]) -> None:
    x1, x2 = rt.ones(first, dtype="float64"), rt.full(second, 3.0, dtype="float64")
    by_x1, by_x2 = rt.grad(lambda a, b: (a * b).sum(), (0, 1))(x1, x2)
    count = math.prod(np.broadcast_shapes(first, second))
    assert (by_x1.shape, by_x2.shape) == (first, second)
    assert rt.sum(by_x1).item() == 3 * count
    assert rt.sum(by_x2).item() == count


def test_gradients_have_the_dtype_of_their_inputs() -> None:
    x, w = rt.ones(2, dtype="float32").requires_grad_(), rt.ones(2, dtype="float64").requires_grad_()
    (x * w).sum().backward()
    assert (x.grad.dtype, w.grad.dtype) == (rt.float32, rt.float64)
    z = rt.ones(2).requires_grad_()
    rt.real((z * (1 + 2j)).sum()).backward()
    assert (z.grad.dtype, z.grad.tolist()) == (rt.float32, [1, 1])


@pytest.mark.parametrize(
    ("f", "expected"),
    [
        (lambda z: rt.real(z * rt.conj(z)), lambda z: 2 * np.conj(z)),
        (lambda z: rt.real(z), lambda z: 1.0),
        (lambda z: rt.imag(z), lambda z: -1j),
        (lambda z: rt.abs(z), lambda z: np.conj(z) / abs(z)),
        (lambda z: rt.real(z**3), lambda z: 3 * z**2),
        (lambda z: rt.imag(rt.exp(z)), lambda z: -1j * np.exp(z)),
        (lambda z: rt.real(rt.conj(z) * (2 + 1j)), lambda z: np.conj(2 + 1j)),
    ],
)
def test_complex_gradients_follow_the_convention_of_jax(f, expected) -> None:  # type: ignore[no-untyped-def]
    z = 1.5 - 0.5j
    found = rt.grad(lambda v: rt.sum(f(v)))(rt.asarray(z, dtype="complex128"))
    assert found.item() == pytest.approx(expected(z), rel=1e-12)


def test_stop_gradient() -> None:
    assert rt.grad(lambda x: x * rt.stop_gradient(x))(rt.asarray(3.0)).item() == 3


WITHOUT_GRADIENT = {
    "nextafter": lambda x: rt.nextafter(x, x + 1),
    "unique_all": rt.unique_values,
}


@pytest.mark.parametrize("name", list(WITHOUT_GRADIENT))
def test_ops_without_a_gradient_say_why(name: str) -> None:
    outputs = WITHOUT_GRADIENT[name](leaf(1.0, 2.0))
    with pytest.raises(GradientError, match=REGISTRY[name].no_gradient):
        outputs.sum().backward()


# Memory


def saved(tensor):  # type: ignore[no-untyped-def]
    """What a node keeps of arrays, flattened."""
    kept = [value for values in tensor._node.saved if values is not None for value in values]
    flat = [each for value in kept for each in (value if isinstance(value, list) else [value])]
    return [each for each in flat if isinstance(each, Saved)]


def test_what_is_kept() -> None:
    x, y, constant = leaf(1.0, 2.0), leaf(3.0, 4.0), rt.asarray([5.0, 6.0], dtype="float64")
    assert saved(x + y) == saved(-x) == saved(x - y) == saved(x.sum()) == saved(x.reshape(2, 1)) == []
    assert len(saved(rt.relu(x))) == len(saved(rt.exp(x))) == len(saved(rt.sin(x))) == 1
    assert [each.array is constant._array for each in saved(x * constant)] == [True]
    assert [each.array is constant._array for each in saved(constant * x)] == [True]
    assert len(saved(x * y)) == 2
    assert len(saved(x / constant)) == 1
    assert saved(x[0]) == saved(x[::-1]) == []


def test_no_output_is_kept_alive_by_a_cycle() -> None:
    gc.collect()
    gc.disable()
    try:
        x = leaf(*range(1, 100))
        outputs = [rt.exp(x), rt.relu(x), rt.softmax(x), rt.gelu(x), x * x, x[1:], rt.max(x), rt.concat([x, x])]
        alive = [weakref.ref(each) for each in outputs] + [weakref.ref(each._node) for each in outputs]
        outputs[0].sum().backward()
        rt.grad(rt.grad(lambda v: v**3))(rt.asarray(2.0))
        del outputs
        assert [each() for each in alive] == [None] * len(alive)
    finally:
        gc.enable()


def test_no_garbage_is_left_for_the_collector() -> None:
    def work() -> None:
        model = rt.nn.Sequential(rt.nn.Linear(3, 4), rt.nn.ReLU(), rt.nn.LayerNorm(4), rt.nn.Linear(4, 2))
        optimizer = rt.optim.create("adam", model, lr=0.1)
        for _ in range(2):
            optimizer.zero_grad()
            loss = rt.nn.functional.cross_entropy(model(rt.ones((5, 3))), rt.asarray([0, 1, 1, 0, 1]))
            loss.backward()
            optimizer.step()
        buffer = rt.zeros(4)
        buffer[1:3] = rt.ones(2).requires_grad_() * 2
        buffer.sum().backward()
        rt.grad(rt.grad(lambda v: v**3))(rt.asarray(2.0))

    work()
    gc.collect()
    gc.disable()
    try:
        work()
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_the_graph_is_freed_as_it_is_walked() -> None:
    x = leaf(*range(1, 10))
    inner = rt.exp(x)
    middle = rt.sin(inner)
    kept = weakref.ref(saved(middle)[0])
    top = middle.sum()
    assert kept() is not None
    top.backward()
    assert kept() is None
    assert middle._node.saved is None


@pytest.mark.needs("cpu")
def test_a_deep_chain_needs_no_recursion_and_leaves_nothing() -> None:
    gc.collect()
    gc.disable()
    try:
        x = leaf(1.0)
        y = x
        for _ in range(100_000):
            y = y + 1.0
        first = weakref.ref(y._node)
        y.backward()
        assert x.grad.item() == 1.0
        node = weakref.ref(y._node.parents[0])
        del y
        assert first() is None
        assert node() is None
    finally:
        gc.enable()


@pytest.mark.needs("cpu")
def test_a_deep_chain_that_is_never_walked_falls_with_its_end() -> None:
    x = leaf(1.0)
    y = x
    for _ in range(100_000):
        y = y * 1.0
    middle = weakref.ref(y._node.parents[0].parents[0])
    del y
    assert middle() is None


def test_unused_branches_are_not_walked() -> None:
    x, y = leaf(1.0), leaf(2.0)
    branch = rt.exp(y)
    found = rt.grad(lambda v: v * 2 + branch.detach())(x)
    assert found.item() == 2
    assert y.grad is None


# Saved values


def test_saved_values_survive_a_write_through_a_view() -> None:
    x = leaf(3.0, 4.0)
    y = x * x
    x.detach()[0] = 100.0
    y.sum().backward()
    assert x.grad.tolist() == [6, 8]
    assert x.tolist() == [100, 4]


def test_saved_outputs_survive_a_write() -> None:
    x = leaf(0.0, 1.0)
    y = rt.exp(x)
    y.detach()[:] = 0.0
    y.sum().backward()
    np.testing.assert_allclose(x.grad.tolist(), np.exp([0, 1]))


def test_saved_values_survive_a_write_under_no_grad() -> None:
    w = leaf(2.0)
    y = w * w * w
    with rt.no_grad():
        w -= 1.0
    y.backward()
    assert (w.item(), w.grad.item()) == (1, 12)


@pytest.mark.needs("host memory")
def test_saved_values_survive_a_stranger() -> None:
    x = leaf(3.0)
    y = x * x
    x.detach().numpy()[...] = 50.0
    np.from_dlpack(x.detach())[...] = 60.0
    y.backward()
    assert x.grad.item() == 6


def test_saved_indices_survive_a_write() -> None:
    x, index = leaf(1.0, 2.0, 3.0), rt.asarray([0, 0])
    y = x[index]
    index[:] = 2
    y.sum().backward()
    assert x.grad.tolist() == [2, 0, 0]
    buffer, mask = rt.zeros(3, dtype="float64"), rt.asarray([True, False, False])
    v = leaf(5.0)
    buffer[mask] = v
    mask[:] = True
    (buffer * rt.asarray([1.0, 10.0, 100.0])).sum().backward()
    assert v.grad.item() == 1


def test_saved_conditions_survive_a_write() -> None:
    x, condition = leaf(1.0, 2.0), rt.asarray([True, False])
    y = rt.where(condition, x, 0.0)
    condition[:] = False
    y.sum().backward()
    assert x.grad.tolist() == [1, 0]


@pytest.mark.needs("arrays that can be written")
def test_nothing_is_copied_when_nothing_was_saved() -> None:
    x = rt.zeros(10)
    before = x._array
    x[0] = 1.0
    x += 1.0
    assert x._array is before


def test_errors_are_errors_of_rustorch() -> None:
    assert issubclass(GradientError, RusTorchError)
    assert issubclass(GradientError, RuntimeError)


def test_a_detached_tensor_holds_no_graph() -> None:
    x = leaf(1.0, 2.0)
    y = rt.exp(x)
    row = y[None]
    node = weakref.ref(y._node)
    detached, (part,) = y.detach(), row.detach()
    del y, row
    assert node() is None
    assert detached.shape == part.shape == (2,)
