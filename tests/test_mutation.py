"""Writing into tensors: views alias as in NumPy, what does not fit is refused, gradients are those without writes."""

import contextlib
import copy
import operator
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from rustorch_conformance.samples import samples

import rustorch as rt
from rustorch import nn
from rustorch_core._data_types import CATEGORIES, DTYPES, is_floating
from rustorch_core._op import REGISTRY
from rustorch_core.errors import ArgumentError, DTypeError, GradientError, IndexingError, RusTorchError, ShapeError


def both(shape, dtype="float32"):  # type: ignore[no-untyped-def]
    """The same numbers as an array and as a tensor, in memory of their own."""
    array = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype)
    return array, rt.asarray(array, copy=True)


def host(x):  # type: ignore[no-untyped-def]
    return x.to("cpu").numpy()


def dtypes(op, *names):  # type: ignore[no-untyped-def]
    """Those of some dtypes that are in an op's category, and that the default device has."""
    named = [DTYPES[name] for name in names if rt.device().supports(DTYPES[name])]
    return [dtype for dtype in named if dtype in CATEGORIES[op.category]]


VIEWS = {
    "row": lambda x: x[1],
    "slice": lambda x: x[1:],
    "column": lambda x: x[:, 2],
    "step": lambda x: x[::2, ::3],
    "negative step": lambda x: x[::-1, ::-2],
    "ellipsis": lambda x: x[..., 1],
    "element": lambda x: x[..., 1, 2],
    "new axis": lambda x: x[None, :, None],
    "whole": lambda x: x[()],
    "transpose": lambda x: x.T,
    "view of a view": lambda x: x[1:][:, ::2].T[1],
}


def test_an_element_without_axes_is_written_whole() -> None:
    x = rt.asarray(1.5)
    x[()] = 2.5
    assert x.item() == 2.5

    def written(x):  # type: ignore[no-untyped-def]
        y = x * 2
        z = y * y
        y[()] = 7.0
        return y + z

    assert rt.grad(written)(rt.asarray(1.5)).item() == 12


@pytest.mark.parametrize("view", VIEWS.values(), ids=list(VIEWS))
def test_a_write_through_a_view_is_seen_through_all(view) -> None:  # type: ignore[no-untyped-def]
    array, x = both((4, 6))
    ours, theirs = view(x), view(array)
    ours[...] = -1.0
    theirs[...] = -1.0
    assert x.tolist() == array.tolist()
    x[...] = 7.0
    assert rt.all(ours == 7.0)


@pytest.mark.parametrize(
    "view",
    [
        lambda x: rt.reshape(x, (24,)),
        lambda x: rt.permute_dims(x, (1, 0)),
        lambda x: rt.expand_dims(x, axis=0),
        lambda x: rt.squeeze(rt.expand_dims(x, axis=0), axis=0),
        lambda x: rt.flip(x),
        lambda x: rt.matrix_transpose(x),
        lambda x: rt.moveaxis(x, 0, 1),
        lambda x: x.detach(),
        lambda x: rt.stop_gradient(x),
        lambda x: rt.unstack(x)[0],
        lambda x: rt.asarray(x),
        lambda x: rt.from_dlpack(x),
    ],
)
def test_functions_that_give_views(view) -> None:  # type: ignore[no-untyped-def]
    _, x = both((4, 6))
    view(x)[...] = -1.0
    assert (x[0] == -1.0).all()


@pytest.mark.parametrize(
    "copy",
    [
        lambda x: x[[0, 1]],
        lambda x: x[rt.asarray([0, 1])],
        lambda x: x[x >= 0],
        lambda x: x[np.asarray([0, 1]), 1:],
        lambda x: rt.take(x, rt.asarray([0]), axis=0),
        lambda x: x.clone(),
        lambda x: +x,
        lambda x: rt.astype(x, x.dtype),
        lambda x: rt.roll(x, 1),
        lambda x: rt.tile(x, (1, 1)),
        lambda x: rt.concat([x]),
        lambda x: rt.asarray(x, copy=True),
        lambda x: copy.copy(x),
        lambda x: rt.real(x),
        lambda x: rt.meshgrid(x[0])[0],
    ],
)
def test_functions_that_give_copies(copy) -> None:  # type: ignore[no-untyped-def]
    array, x = both((4, 6))
    copy(x)[...] = -1.0
    assert x.tolist() == array.tolist()


@pytest.mark.parametrize(
    "symbol",
    [operator.iadd, operator.isub, operator.imul, operator.itruediv, operator.ifloordiv, operator.imod, operator.ipow],
)
def test_operators_in_place(symbol) -> None:  # type: ignore[no-untyped-def]
    array, x = both((3, 4))
    array, whole = array + 1, x + 1
    alias = whole
    view, theirs = whole[1:, ::2], array[1:, ::2]
    assert symbol(view, 2) is view
    symbol(theirs, 2)
    assert alias.tolist() == array.tolist()


def test_bitwise_operators_in_place() -> None:
    x = rt.asarray([1, 2, 3])
    alias = x
    x |= 8
    x &= rt.asarray([9, 10, 8])
    x ^= 1
    x <<= 1
    x >>= 1
    assert alias is x
    assert x.tolist() == [8, 11, 9]
    m = rt.asarray([[1.0, 2.0], [3.0, 4.0]])
    n = m
    m @= rt.asarray([[0.0, 1.0], [1.0, 0.0]])
    assert n.tolist() == [[2, 1], [4, 3]]


#: Ops whose result can take its input's place, each with its method.
IN_PLACE = [op for op in REGISTRY.values() if hasattr(rt.Tensor, f"{op.name}_")]


def test_every_elementwise_op_that_answers_no_question_has_a_method_in_place() -> None:
    names = {op.name for op in IN_PLACE}
    assert {"add", "bitwise_and", "clip", "conj", "exp", "floor", "logical_or", "nextafter", "relu"} <= names
    assert not names & {"equal", "isnan", "less", "signbit", "sum"}
    with pytest.raises(RusTorchError, match="exp_"):
        rt.ones(3).requires_grad_().exp_()


@pytest.mark.parametrize("op", IN_PLACE, ids=lambda op: op.name)
def test_a_method_in_place_is_the_op_and_a_write(op) -> None:  # type: ignore[no-untyped-def]
    """Into a view, whose base follows; a result of another shape or kind is refused."""
    in_place = getattr(rt.Tensor, f"{op.name}_")
    for dtype in dtypes(op, "float32", "int64", "bool", "complex128"):
        for sample in samples(op, dtype):
            x, *rest = [rt.asarray(array) for array in sample.arrays]
            limits = {"max": 1} if op.name == "clip" else {}
            expected = op.function(x, *rest, **limits)
            base = rt.stack([x, x], axis=-1)
            view = base[..., 0]
            if expected.shape != x.shape or expected.dtype != x.dtype:
                with pytest.raises(RusTorchError, match=rf"{op.name}_|in place"):
                    in_place(view, *rest, **limits)
                continue
            assert in_place(view, *rest, **limits) is view
            np.testing.assert_array_equal(host(base[..., 0]), host(expected))
            np.testing.assert_array_equal(host(base[..., 1]), host(x))


@pytest.mark.parametrize("op", [op for op in IN_PLACE if op.is_differentiable], ids=lambda op: op.name)
def test_the_gradient_of_a_method_in_place_is_that_of_the_op(op) -> None:  # type: ignore[no-untyped-def]
    def gradient(write):  # type: ignore[no-untyped-def]
        def loss(x, *rest):  # type: ignore[no-untyped-def]
            both = rt.stack([x, x * x], axis=-1)
            before = both * both
            return rt.sum(rt.real((before + write(both, *rest)) ** 2))

        return rt.grad(loss, range(len(inputs)))(*inputs)

    def written(both, *rest):  # type: ignore[no-untyped-def]
        getattr(both[..., 0], f"{op.name}_")(*rest)
        return both

    def computed(both, *rest):  # type: ignore[no-untyped-def]
        return rt.stack([op.function(both[..., 0], *rest), both[..., 1]], axis=-1)

    for dtype in dtypes(op, "float64", "complex128"):
        inputs = [rt.asarray(array) for array in next(iter(samples(op, dtype))).arrays]
        if op.function(*inputs).dtype == dtype:
            for ours, theirs in zip(gradient(written), gradient(computed), strict=True):
                np.testing.assert_allclose(host(ours), host(theirs), rtol=1e-12)


def test_pytorchs_own_methods_in_place() -> None:
    x = rt.asarray([1.0, -2.0, 3.0])
    assert x.mul_(2).add_(1, alpha=-0.5).sub_(rt.ones(3), alpha=2).div_(2).neg_().clamp_(-1, 3) is x
    assert x.tolist() == [0.25, 3, -1]
    factor = rt.asarray(3.0).requires_grad_()
    x.add_(rt.ones(3), alpha=factor)
    x[0].sum().backward()
    assert factor.grad.item() == 1
    x = rt.zeros(3)
    x[1:].fill_(7)
    assert x.tolist() == [0, 7, 7]
    assert x.zero_() is x
    assert not x.any()
    with pytest.raises(ShapeError, match="copy_"):
        x.fill_(rt.ones(3))


def test_overlapping_memory() -> None:
    array, x = both((6,))
    x[1:] = x[:-1]
    array[1:] = array[:-1].copy()
    assert x.tolist() == array.tolist()
    x += x[::-1]
    array += array[::-1].copy()
    assert x.tolist() == array.tolist()
    x.copy_(x[::-1])
    assert x.tolist() == array[::-1].tolist()


def test_the_diagonal_is_a_view_to_read() -> None:
    _, x = both((3, 3))
    diagonal = rt.linalg.diagonal(x)
    x[1, 1] = -1.0
    assert diagonal.tolist() == [0, -1, 8]
    with pytest.raises(ArgumentError, match="read-only"):
        diagonal[0] = 1.0


def test_parts_of_complex_numbers_are_copies() -> None:
    z = rt.asarray([1 + 2j])
    for part in (rt.real(z), rt.imag(z)):
        part[0] = 7.0
    assert z.tolist() == [1 + 2j]


@pytest.mark.needs("host memory")
@pytest.mark.parametrize("op", [pytest.param(op, id=name) for name, op in REGISTRY.items()])
def test_no_op_shares_memory_unless_it_says_so(op) -> None:  # type: ignore[no-untyped-def]
    for dtype in dtypes(op, "float32", "int64", "bool", "complex128"):
        for sample in samples(op, dtype):
            inputs = [rt.asarray(array, copy=True) for array in sample.arrays]
            result = sample.call(*inputs)
            for part in result if isinstance(result, tuple) else (result,):
                for x in inputs:
                    shares = np.shares_memory(part.numpy(), x.numpy())
                    assert op.is_view or part is x or not shares


@pytest.mark.parametrize(
    "op", [pytest.param(op, id=name) for name, op in REGISTRY.items() if op.is_differentiable and op.name != "transfer"]
)
def test_no_later_write_changes_a_gradient(op) -> None:  # type: ignore[no-untyped-def]
    """Whatever a rule asks for is kept as it was: inputs, outputs, and the tensors among the other arguments."""

    def gradients(sample, then):  # type: ignore[no-untyped-def]
        leaves = [rt.asarray(array, copy=True) for array in sample.arrays]
        leaves = [leaf.requires_grad_() if is_floating(leaf.dtype) else leaf for leaf in leaves]
        inputs = [leaf * 1 if leaf.requires_grad else leaf for leaf in leaves]
        result = sample.call(*inputs)
        outputs = result if isinstance(result, tuple) else (result,)
        loss = sum(rt.sum(rt.real(part * part + part)) for part in outputs)
        then([each.detach() for each in (*inputs, *outputs)])
        loss.backward()
        return [leaf.grad if leaf.grad is None else host(leaf.grad) for leaf in leaves]

    def write(everything) -> None:  # type: ignore[no-untyped-def]
        for each in everything:
            with contextlib.suppress(ArgumentError):  # for what is only to be read
                each[...] = True

    for dtype in dtypes(op, "float32", "float64", "complex128"):
        for sample in samples(op, dtype):
            undisturbed, disturbed = gradients(sample, lambda everything: None), gradients(sample, write)
            for before, after in zip(undisturbed, disturbed, strict=True):
                np.testing.assert_array_equal(before, after)


def test_a_tensor_without_axes_is_written() -> None:
    x, g = rt.asarray(1.0), rt.asarray(3.0).requires_grad_()
    x[()] = 2.0
    x[...] = x + 1
    x[()] = x * g
    x.backward()
    assert (x.item(), g.grad.item()) == (9, 3)
    element = x.detach()[()]
    element += 1.0
    assert (x.item(), element.item()) == (9, 10)


# What is refused


def test_kinds_that_would_be_lost_are_refused() -> None:
    for dtype, value in (
        ("int64", 1.5),
        ("float32", 1j),
        ("bool", 2),
        ("int64", rt.asarray(1.0)),
        ("bool", rt.ones(1)),
    ):
        x = rt.zeros(2, dtype=dtype)
        with pytest.raises(DTypeError, match="cannot be written into"):
            x[0] = value
        with pytest.raises(DTypeError, match="cannot be written into"):
            x.copy_(value)
        assert not x.any()
    x = rt.ones(2, dtype="int64")
    with pytest.raises(DTypeError, match=r"float32 cannot be written into a tensor of int64"):
        x /= 2
    x = rt.ones(2, dtype="uint8")
    with pytest.raises(DTypeError, match=r"int64 does not fit into a tensor of uint8"):
        x -= rt.asarray([2, 2])
    assert x.tolist() == [1, 1]
    x -= 1
    assert x.tolist() == [0, 0]
    x = rt.zeros(2, dtype="float32")
    x[0] = rt.asarray(1.5, dtype="float64")
    x[1] = 3
    assert (x.tolist(), x.dtype) == ([1.5, 3], rt.float32)


def test_shapes_that_do_not_fit_are_refused() -> None:
    x = rt.zeros((2, 3))
    with pytest.raises(ShapeError, match=r"\(4, 2, 3\).*\(2, 3\)"):
        x += rt.ones((4, 2, 3))
    with pytest.raises(ShapeError):
        x.copy_(rt.ones(2))
    with pytest.raises(ValueError, match="setitem"):
        x[0] = rt.ones(2)
    assert not x.any()
    x += rt.ones(3)
    assert x.sum().item() == 6


def test_keys_that_do_not_fit_are_refused() -> None:
    x = rt.zeros((2, 3))
    for key in (2, (0, 3), (0, 0, 0), rt.asarray([5]), [-3], "a", 1.5, rt.asarray([1.0]), rt.asarray([True] * 3), {}):
        with pytest.raises(RusTorchError) as raised:
            x[key] = 1.0
        assert isinstance(raised.value, (IndexError, ValueError)), key
        with pytest.raises(RusTorchError):
            _ = x[key]
    with pytest.raises(IndexingError, match=r"'a' cannot index"):
        x["a"]


def test_memory_that_cannot_be_written_is_refused() -> None:
    x = rt.broadcast_to(rt.zeros(3), (2, 3))
    with pytest.raises(ArgumentError, match="read-only"):
        x[0, 0] = 1.0
    with pytest.raises(ArgumentError, match=r"read-only.*\.clone\(\)"):
        x += 1.0


def test_a_leaf_is_written_under_no_grad_only() -> None:
    w = rt.ones(3).requires_grad_()

    def attempts():  # type: ignore[no-untyped-def]
        yield lambda: w.__setitem__(0, 5.0)
        yield lambda: operator.iadd(w, 1.0)
        yield lambda: w.copy_(0.0)

    for attempt in attempts():
        with pytest.raises(GradientError, match=r"no_grad\(\)"):
            attempt()
    assert w.tolist() == [1, 1, 1]
    with rt.no_grad():
        for attempt in attempts():
            attempt()
        w[1] = 2.0
    assert w.tolist() == [0, 2, 0]
    assert w.requires_grad
    assert w.is_leaf


# Every kind of key, compared with NumPy


@st.composite
def keys(draw, shape: tuple[int, ...]):  # type: ignore[no-untyped-def]
    kind = draw(st.sampled_from(["basic", "basic", "integers", "mask", "mixed"]))
    if kind == "basic":
        return draw(hnp.basic_indices(shape, allow_newaxis=True, allow_ellipsis=True))
    if kind == "integers":
        return draw(hnp.integer_array_indices(shape))
    if kind == "mask":
        leading = draw(st.integers(1, len(shape)))
        return draw(hnp.arrays(bool, shape[:leading]))
    index = draw(st.lists(st.integers(-shape[0], shape[0] - 1), min_size=1, max_size=4))
    return (index, *[slice(None, None, draw(st.sampled_from([None, 2, -1]))) for _ in shape[1:]])


def in_tensors(key):  # type: ignore[no-untyped-def]
    if isinstance(key, tuple):
        return tuple(in_tensors(part) for part in key)
    return rt.asarray(key) if isinstance(key, np.ndarray) else key


SHAPES = st.sampled_from([(4,), (3, 4), (2, 3, 4), (1, 5)])


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_reading_is_numpys(data) -> None:  # type: ignore[no-untyped-def]
    array, x = both(data.draw(SHAPES), "int64")
    key = data.draw(keys(array.shape))
    for ours in (key, in_tensors(key)):
        found = x[ours]
        assert (found.shape, found.tolist()) == (array[key].shape, array[key].tolist())


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_writing_is_numpys(data) -> None:  # type: ignore[no-untyped-def]
    array, x = both(data.draw(SHAPES), "float64")
    key = data.draw(keys(array.shape))
    value = -np.arange(array[key].size, dtype="float64").reshape(array[key].shape) if data.draw(st.booleans()) else -1.0
    array[key] = value
    x[in_tensors(key)] = in_tensors(value)
    assert x.tolist() == array.tolist()


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_gradients_of_reading_and_writing(data) -> None:  # type: ignore[no-untyped-def]
    shape = data.draw(SHAPES)
    array, _ = both(shape, "float64")
    key = data.draw(keys(shape))
    # Places are told apart by numbers: which element of the value stands where at the end.
    numbers = np.full(shape, -1)
    numbers[key] = np.arange(array[key].size).reshape(array[key].shape)
    weights = rt.asarray(array + 1)

    def written(x, value):  # type: ignore[no-untyped-def]
        buffer = x * 1.0
        buffer[in_tensors(key)] = value
        return rt.sum(buffer * weights)

    x, value = rt.zeros(shape, dtype="float64"), rt.ones(array[key].shape, dtype="float64")
    by_x, by_value = rt.grad(written, (0, 1))(x, value)
    assert by_x.tolist() == np.where(numbers < 0, array + 1, 0).tolist()
    expected = np.zeros(array[key].size)
    expected[numbers[numbers >= 0]] = (array + 1)[numbers >= 0]
    assert by_value.tolist() == expected.reshape(array[key].shape).tolist()
    by_reading = rt.grad(lambda x: rt.sum(x[in_tensors(key)]))(x)
    counted = np.zeros(shape)
    np.add.at(counted, key, 1)
    assert by_reading.tolist() == counted.tolist()


# Recorded writes


def test_a_recorded_write_is_the_program_without_it() -> None:
    x = rt.asarray([1.0, 2.0, 3.0]).requires_grad_()
    y = x * 2
    y[1] = x[0] * x[2]
    y[2:] = 7.0
    (y * rt.asarray([1.0, 10.0, 100.0])).sum().backward()
    assert y.tolist() == [2, 3, 7]
    assert x.grad.tolist() == [2 + 10 * 3, 0, 10 * 1]


def test_a_written_buffer_takes_part_in_the_gradient() -> None:
    w = rt.asarray(2.0).requires_grad_()
    buffer = rt.zeros(4)
    assert not buffer.requires_grad
    buffer[0] = w
    for place in range(1, 4):
        buffer[place] = buffer[place - 1] * w
    assert buffer.tolist() == [2, 4, 8, 16]
    buffer.sum().backward()
    assert w.grad.item() == 1 + 2 * 2 + 3 * 4 + 4 * 8


def test_second_derivatives_through_writes() -> None:
    def f(x):  # type: ignore[no-untyped-def]
        buffer = rt.zeros(2, dtype="float64")
        buffer[0] = x**3
        buffer[1] = x * buffer[0]
        return buffer.sum()

    assert rt.grad(rt.grad(f))(rt.asarray(2.0, dtype="float64")).item() == 6 * 2 + 12 * 4


def test_in_place_operators_are_recorded() -> None:
    x = rt.asarray([1.0, 2.0]).requires_grad_()
    y = x * 1.0
    y *= x
    y += 1.0
    y -= rt.asarray([1.0, 1.0])
    y.sum().backward()
    assert x.grad.tolist() == [2, 4]


def test_a_broadcast_value_gathers_its_gradient() -> None:
    v = rt.asarray([2.0]).requires_grad_()
    buffer = rt.zeros((3, 4))
    buffer[:, 1:3] = v
    buffer.sum().backward()
    assert v.grad.tolist() == [6]


def test_a_value_may_have_more_axes_than_its_place() -> None:
    v = rt.asarray([[[1.0, 2.0, 3.0]]]).requires_grad_()
    buffer = rt.zeros((2, 3))
    buffer[0] = v
    (buffer * rt.asarray([1.0, 10.0, 100.0])).sum().backward()
    assert v.grad.tolist() == [[[1, 10, 100]]]


def test_what_a_leaf_is_written_into_is_no_leaf() -> None:
    w = rt.ones(3).requires_grad_()
    buffer = rt.zeros(3)
    buffer[...] = w
    assert not buffer.is_leaf
    buffer[0] = 5.0
    buffer.sum().backward()
    assert w.grad.tolist() == [0, 1, 1]


def test_a_reshape_in_another_order_of_memory() -> None:
    x = rt.asarray([[1.0, 2.0], [3.0, 4.0]]).requires_grad_()
    for copies in (None, False):
        y = x * 1.0
        flat = rt.reshape(y, (4,), copy=copies)
        flat[1] = x[1, 1] * 10
        (y.mT * rt.asarray([[1.0, 2.0], [3.0, 4.0]])).sum().backward()
        assert x.grad.tolist() == [[1, 0], [2, 4 + 30]]
        x.grad = None
        y.copy_(rt.broadcast_to(x[0], (2, 2)))
        flat.sum().backward()
        assert x.grad.tolist() == [[2, 2], [0, 0]]
        x.grad = None


def test_a_written_number_stops_the_gradient() -> None:
    x = rt.ones(3).requires_grad_()
    y = x * 2
    y.copy_(0.0)
    assert not y.requires_grad
    z = x * 2
    z[:] = 0.0
    z.sum().backward()
    assert x.grad.tolist() == [0, 0, 0]


def test_what_was_read_before_a_write_keeps_its_gradient() -> None:
    x = rt.asarray([2.0, 3.0]).requires_grad_()
    y = x * 1.0
    product = y * y
    y[0] = 100.0
    (product.sum() + y.sum()).backward()
    assert x.grad.tolist() == [4, 7]


def test_views_follow_a_recorded_write() -> None:
    x = rt.asarray([1.0, 2.0]).requires_grad_()
    y = x * 1.0
    view, backward = y[:1], y[::-1]
    y[0] = x[1] * 10
    assert (view.tolist(), backward.tolist()) == ([20], [2, 20])
    (view.sum() + (backward * rt.asarray([3.0, 5.0])).sum()).backward()
    assert x.grad.tolist() == [0, 63]


def test_an_element_is_no_view() -> None:
    x = rt.asarray([1.0, 2.0]).requires_grad_()
    y = x * 1.0
    element = y[0]
    y[0] = x[1] * 10
    assert element.item() == 1
    element.backward()
    assert x.grad.tolist() == [1, 0]


def test_a_write_through_a_view_reaches_the_base_and_its_other_views() -> None:
    x = rt.asarray([1.0, 2.0, 3.0]).requires_grad_()
    base = rt.zeros((2, 3))
    column, row = base.mT[1], base[1]
    row[:] = x * x
    assert base.tolist() == [[0, 0, 0], [1, 4, 9]]
    column *= 2
    (base * base).sum().backward()
    assert base.tolist() == [[0, 0, 0], [1, 8, 9]]
    np.testing.assert_allclose(x.grad.tolist(), [4 * 1, 16 * 8, 4 * 27])


def test_a_view_whose_base_is_gone_is_written_all_the_same() -> None:
    x = rt.asarray([1.0, 2.0, 3.0]).requires_grad_()
    view = (x * 2)[1:]
    view[0] = x[0] * 7
    view.sum().backward()
    assert x.grad.tolist() == [7, 0, 2]


def test_a_detached_view_writes_behind_the_graphs_back() -> None:
    x = rt.asarray([1.0, 2.0]).requires_grad_()
    y = x * 3
    square = y * y
    y.detach()[0] = 100.0
    assert y.tolist() == [100, 6]
    square.sum().backward()
    assert x.grad.tolist() == [18, 36]


def test_a_parameter_shares_memory_that_is_kept_for_the_graph() -> None:
    data = rt.asarray([1.0, 2.0])
    w = nn.Parameter(data)
    square = (w * w).sum()
    data[0] = 100.0
    assert w.tolist() == [100, 2]
    square.backward()
    assert w.grad.tolist() == [2, 4]


def test_a_view_that_becomes_a_leaf_stands_alone() -> None:
    flat = rt.zeros(4)
    w = flat[1:].requires_grad_()
    with pytest.raises(GradientError, match="leaf"):
        w[0] = 5.0
    flat[1] = 5.0
    assert w.tolist() == [5, 0, 0]
    assert w.requires_grad
    assert not flat.requires_grad
    w.sum().backward()
    assert w.grad.tolist() == [1, 1, 1]


def test_views_of_before_take_no_part_in_a_leaf() -> None:
    w = rt.zeros(3)
    view = w[1:]
    w.requires_grad_()
    view[0] = 5.0
    assert w.tolist() == [0, 5, 0]
    assert not view.requires_grad


def test_the_views_of_a_leaf_are_written_under_no_grad_only() -> None:
    w = rt.ones(3).requires_grad_()
    view = w[1:]
    with pytest.raises(GradientError, match="leaf"):
        view[0] = 5.0
    with rt.no_grad():
        view[0] = 5.0
    assert w.tolist() == [1, 5, 1]


# Each step of a random program works on a list of live arrays, the same for tensors and for NumPy's.
VIEWS = [
    lambda a, i: a[i:],
    lambda a, i: a[::-1],
    lambda a, i: a[..., ::2],
    lambda a, i: a.T if a.ndim == 2 else a,
    lambda a, i: a[None, ...] if a.ndim == 1 else a[0],
    lambda a, i: a.reshape(-1) if a.ndim == 2 else a.reshape((1, -1)),
]
KEYS = [lambda n: slice(None, None, 2), lambda n: slice(1, None), lambda n: [0] if n else [], lambda n: ...]


def run(program, arrays) -> float:  # type: ignore[no-untyped-def]
    """Run a program of views, writes and products, and reduce what is alive to one number."""
    live = list(arrays)
    for kind, first, second, choice in program:
        target, other = live[first % len(live)], live[second % len(live)]
        if kind == "view" and 0 not in target.shape:
            live.append(VIEWS[choice % len(VIEWS)](target, choice % 2))
        elif kind == "product":
            live.append(target * 0.5 + target * target * 0.1)
        elif kind == "write" and 0 not in target.shape:
            key = KEYS[choice % len(KEYS)](len(target))
            target[key] = (other * 0.3).sum() + target[key] * 0.7
        elif kind == "add":
            target += (other * 0.2).sum()
        else:
            target *= 0.9
    return sum(((i + 1) * each * each).sum() for i, each in enumerate(live))


STEP = st.tuples(
    st.sampled_from(["view", "product", "write", "add", "scale"]),
    st.integers(0, 9),
    st.integers(0, 9),
    st.integers(0, 9),
)


@given(st.lists(STEP, max_size=12))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_random_programs_have_the_gradient_of_the_same_program_on_numpy(program) -> None:  # type: ignore[no-untyped-def]
    starts = [np.linspace(0.3, 1.1, 4), np.linspace(-0.7, 0.9, 6).reshape(2, 3)]

    def on_tensors(*inputs):  # type: ignore[no-untyped-def]
        return run(program, [x * 1.0 for x in inputs])

    def on_numpy(*inputs: np.ndarray) -> float:
        return float(run(program, [x * 1.0 for x in inputs]))

    value, gradients = rt.value_and_grad(on_tensors, (0, 1))(*[rt.asarray(start) for start in starts])
    assert value.item() == pytest.approx(on_numpy(*starts), rel=1e-12)
    directions = [np.cos(np.arange(start.size)).reshape(start.shape) for start in starts]
    ours = sum(float((g.to("cpu").numpy() * d).sum()) for g, d in zip(gradients, directions, strict=True))
    ahead, behind = (on_numpy(*[x + s * 1e-6 * d for x, d in zip(starts, directions, strict=True)]) for s in (1, -1))
    assert ours == pytest.approx((ahead - behind) / 2e-6, rel=1e-5, abs=1e-5)


def test_a_view_that_is_gone_hinders_no_write() -> None:
    x = rt.asarray([1.0, 2.0]).requires_grad_()
    y = x * 1.0
    for _ in range(300):
        assert y[0].item() == 1
    y[0] = x[1] * 10
    y.sum().backward()
    assert x.grad.tolist() == [0, 11]


def test_writes_under_no_grad_are_not_recorded() -> None:
    x = rt.asarray([1.0, 2.0]).requires_grad_()
    y = x * 3
    with rt.no_grad():
        y[0] = 5.0
    y.sum().backward()
    assert y.tolist() == [5, 6]
    assert x.grad.tolist() == [3, 3]


# What is copied


@pytest.mark.needs("host memory")
@pytest.mark.parametrize(
    ("write", "is_copied"),
    [
        (lambda x, y: x.__iadd__(y), False),
        (lambda x, y: x.__imul__(2.0), False),
        (lambda x, y: x.__isub__(y[::-1]), False),
        (lambda x, y: x[1:].__itruediv__(y[:-1]), False),
        (lambda x, y: x.__setitem__(slice(1, None), y[1:]), False),
        (lambda x, y: x.__setitem__(3, 1.0), False),
        (lambda x, y: x.copy_(y), False),
        (lambda x, y: x[1:].__iadd__(x[:-1]), True),
    ],
)
@pytest.mark.parametrize("is_saved", [False, True])
def test_a_write_copies_only_what_it_must(write, is_copied: bool, is_saved: bool) -> None:  # type: ignore[no-untyped-def]
    x, y = rt.ones(100_000), rt.ones(100_000) * 2
    graph = x * rt.ones(100_000).requires_grad_() if is_saved else None
    write(x, y)
    graph = x * rt.ones(100_000).requires_grad_() if is_saved else None
    tracemalloc.start()
    try:
        write(x, y)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (peak >= x.nbytes / 2) == (is_copied or is_saved)
    assert (graph is None) == (not is_saved)


@pytest.mark.parametrize(
    "make",
    [
        lambda x: rt.jvp(lambda x: x, (x,), (1.0,))[1],
        lambda x: rt.vjp(lambda x: x, x)[1](1.0)[0],
        lambda x: rt.where(rt.asarray(True), 1.0, x),
        lambda x: rt.clip(x, 1.0, 1.0),
        lambda x: rt.maximum(x, 1.0),
        lambda x: rt.asarray([x, 1.0])[1],
        lambda x: seeded(x),
    ],
)
def test_no_write_reaches_a_number_that_others_use(make) -> None:  # type: ignore[no-untyped-def]
    x = rt.asarray(0.5)
    x * 1.0
    y = make(x)
    y += 41.0
    assert y.item() == 42
    assert (x * 1.0).item() == 0.5
    assert (rt.asarray(2.0) + 1.0).item() == 3


def seeded(x):  # type: ignore[no-untyped-def]
    leaf = rt.asarray(0.5).requires_grad_()
    leaf.backward(1.0)
    return leaf.grad
