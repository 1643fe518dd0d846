"""Gradients where functions have their edges: kinks, poles, ties, zeros, singular matrices and equal eigenvalues."""

import math
import warnings

import numpy as np
import pytest

import rustorch as rt
from rustorch.linalg import (
    det,
    eig,
    eigh,
    eigvals,
    inv,
    lstsq,
    matrix_norm,
    pinv,
    qr,
    slogdet,
    svd,
    svdvals,
    vector_norm,
)
from rustorch.special import binom, boxcox, entr, gammainc, kl_div, rel_entr, xlog1py, xlogy
from rustorch.testing import assert_close, gradcheck
from rustorch_core._data_types import CATEGORIES, DTYPES
from rustorch_core._op import REGISTRY

INF, NAN = math.inf, math.nan


def tensor(values):
    return rt.asarray(values, dtype="float64")


def host(x):
    return x.to("cpu").numpy()


def root(x):
    return rt.where(x > 0, rt.sqrt(x), 0)


def written(x):
    y = rt.sqrt(x) * 1
    y[0] = 7.0
    return y


# The function, its arguments, and the gradient of the sum of its value with respect to each of them.
EDGES = [
    # Kinks: the middle of what both sides say, or 0
    (rt.abs, [[0.0, -1.0]], [[0, -1]]),
    (rt.sign, [[0.0, 2.0]], [[0, 0]]),
    (rt.relu, [[0.0, -1.0, 1.0]], [[0, 0, 1]]),
    (rt.floor, [[1.0]], [[0]]),
    (rt.round, [[0.5]], [[0]]),
    (rt.floor_divide, [[4.0], [2.0]], [[0], [0]]),
    (rt.remainder, [[4.0, -3.0], [2.0, 2.0]], [[1, 1], [-2, 2]]),
    (rt.copysign, [[1.0, -1.0], [-2.0, 2.0]], [[-1, -1], [0, 0]]),
    (rt.maximum, [[1.0, 2.0], [1.0, 1.0]], [[0.5, 1], [0.5, 0]]),
    (rt.minimum, [[1.0, 2.0], [1.0, 1.0]], [[0.5, 0], [0.5, 1]]),
    (rt.max, [[1.0, 3.0, 3.0]], [[0, 0.5, 0.5]]),
    (rt.min, [[1.0, 1.0, 1.0, 2.0]], [[1 / 3, 1 / 3, 1 / 3, 0]]),
    (rt.median, [[1.0, 1.0, 2.0, 0.0]], [[0.5, 0.5, 0, 0]]),
    (rt.median, [[2.0, 1.0, 2.0]], [[1, 0, 0]]),
    (rt.ptp, [[1.0, 1.0]], [[0, 0]]),
    (rt.sort, [[2.0, 2.0, 1.0]], [[1, 1, 1]]),
    (rt.clip, [[0.0, 1.0, 0.5, 2.0, -1.0], [0.0] * 5, [1.0] * 5], [[1, 1, 1, 0, 0], [0, 0, 0, 0, 1], [0, 0, 0, 1, 0]]),
    # the standard leaves bounds open that contradict each other
    pytest.param(
        rt.clip, [[0.0, 2.0], [1.0, 1.0], [0.0, 0.0]], [[0, 0], [0, 0], [1, 1]], marks=pytest.mark.needs("host memory")
    ),
    # Zeros
    (rt.prod, [[0.0, 2.0, 3.0]], [[6, 0, 0]]),
    (rt.prod, [[0.0, 0.0, 3.0]], [[0, 0, 0]]),
    (rt.cumprod, [[2.0, 0.0, 3.0, 0.0, 5.0]], [[1, 8, 0, 0, 0]]),
    (rt.pow, [[0.0, 0.0, 0.0, -1.0], [0.0, 1.0, 2.0, 2.0]], [[0, 1, 0, -2], [0, 0, 0, NAN]]),
    (rt.pow, [[0.0, 0.0, 2.0], [-1.0, 0.5, 0.0]], [[-INF, INF, 0], [-INF, 0, math.log(2)]]),
    (rt.atan2, [[0.0, 0.0, 1.0], [0.0, -1.0, 0.0]], [[0, -1, 0], [0, 0, -1]]),
    (rt.hypot, [[0.0, 3.0], [0.0, 4.0]], [[0, 0.6], [0, 0.8]]),
    (xlogy, [[0.0, 0.0, 1.0], [0.0, 2.0, 2.0]], [[0, math.log(2), math.log(2)], [0, 0, 0.5]]),
    (xlog1py, [[0.0, 1.0], [-1.0, 1.0]], [[0, math.log(2)], [0, 0.5]]),
    (entr, [[0.0, 1.0]], [[INF, -1]]),
    (rel_entr, [[0.0, 1.0, 0.0], [2.0, 1.0, 0.0]], [[-INF, 1, 0], [0, -1, 0]]),
    (kl_div, [[0.0, 1.0], [0.0, 1.0]], [[-1, 0], [1, 0]]),
    (binom, [[1.0, 4.0, -2.0], [2.0, 2.0, -1.0]], [[0.5, 3.5, 0], [-0.5, 0, 0]]),
    (boxcox, [[0.0, 0.0], [1.0, 0.5]], [[1, INF], [1, 4]]),
    (gammainc, [[0.0, 1.0], [0.5, 0.0]], [[-0.5597735947761608, 0], [0, 1]]),
    (lambda x: rt.std(x), [[1.0, 1.0]], [[0, 0]]),
    pytest.param(
        lambda x: rt.var(x, correction=1),
        [[1.0]],
        [[NAN]],
        marks=pytest.mark.needs("host memory"),  # others warn
    ),
    # Infinities
    (rt.logaddexp, [[-INF, -INF, INF, 0.0], [-INF, 0.0, 0.0, INF]], [[0, 0, 1, 0], [0, 1, 0, 1]]),
    (rt.logsumexp, [[-INF, -INF]], [[0, 0]]),
    (rt.logsumexp, [[-INF, 1.0]], [[0, 1]]),
    (rt.logsumexp, [[]], [[]]),
    (lambda x: rt.softmax(x)[1], [[-INF, 1.0, 1.0]], [[0, 0.25, -0.25]]),
    (lambda x: rt.log_softmax(x)[1], [[-INF, 1.0, 1.0]], [[0, 0.5, -0.5]]),
    (rt.sigmoid, [[-1000.0, 1000.0, INF]], [[0, 0, 0]]),
    (rt.nn.functional.softplus, [[-1000.0, 1000.0, INF]], [[0, 1, 1]]),
    (rt.tanh, [[-INF, INF]], [[0, 0]]),
    # Poles behind a selection
    (root, [[0.0, 4.0, -1.0]], [[0, 0.25, 0]]),
    (lambda x: rt.where(x != 0, rt.sin(x) / x, 1), [[0.0]], [[0]]),
    (lambda x: rt.where(x > 0, x * rt.log(x), 0), [[0.0, 1.0]], [[0, 1]]),
    (lambda x: rt.where(rt.isnan(x), 0, 2 / x), [[NAN, 1.0]], [[0, -2]]),
    (lambda x: rt.sqrt(x)[x > 0], [[0.0, 4.0]], [[0.25 * 0, 0.25]]),
    (lambda x: rt.sqrt(x)[1:], [[0.0, 4.0]], [[0, 0.25]]),
    (lambda x: rt.max(rt.sqrt(x)), [[0.0, 4.0]], [[0, 0.25]]),
    (lambda x: rt.maximum(rt.sqrt(x), 1.0), [[0.0, 4.0]], [[0, 0.25]]),
    (lambda x: rt.clip(rt.reshape(rt.log(x), (2, 1)), 0.5, 9.0), [[0.0, 4.0]], [[0, 0.25]]),
    (written, [[0.0, 4.0]], [[0, 0.25]]),
    # and behind one
    (lambda x: rt.sqrt(rt.max(x)), [[0.0, -1.0]], [[INF, 0]]),
    (lambda x: rt.sqrt(rt.maximum(x, 0.0)), [[-1.0, 4.0]], [[0, 0.25]]),
    (lambda x: rt.sqrt(rt.minimum(x, 0.0)), [[1.0]], [[0]]),
    (lambda x: rt.sqrt(rt.clip(x, 0.0)), [[-1.0, 4.0]], [[0, 0.25]]),
    (lambda x: rt.sqrt(rt.relu(x)), [[-1.0, 4.0]], [[0, 0.25]]),
    (rt.sqrt, [[0.0]], [[INF]]),
    # Norms
    *((lambda x, ord=ord: vector_norm(x, ord=ord), [[0.0, 0.0]], [[0, 0]]) for ord in (2, 1, 0, 0.5, 1.5, 3, -1, INF)),
    (lambda x: vector_norm(x, ord=0.5), [[0.0, 1.0, -1.0]], [[0, 2, -2]]),
    (lambda x: vector_norm(x, ord=INF), [[0.0, 2.0, -2.0]], [[0, 0.5, -0.5]]),
    (lambda x: vector_norm(x, ord=-INF), [[0.0, 2.0]], [[0, 0]]),
    (matrix_norm, [[[0.0, 0.0], [0.0, 0.0]]], [[[0, 0], [0, 0]]]),
    (lambda x: matrix_norm(x, ord=2), [[[1.0, 0.0], [0.0, 1.0]]], [[[0.5, 0], [0, 0.5]]]),
    # Singular matrices
    (det, [[[1.0, 2.0], [2.0, 4.0]]], [[[4, -2], [-2, 1]]]),
    (det, [[[0.0, 0.0], [0.0, 0.0]]], [[[0, 0], [0, 0]]]),
    (det, [[[0.0]]], [[[1]]]),
    (lambda x: slogdet(x)[1], [[[1.0, 2.0], [2.0, 4.0]]], [[[INF, -INF], [-INF, INF]]]),
    (lambda x: eigh(x)[0], [[[1.0, 0.0], [0.0, 1.0]]], [[[1, 0], [0, 1]]]),
    (svdvals, [[[0.0, 0.0], [0.0, 2.0]]], [[[1, 0], [0, 1]]]),
]


@pytest.mark.parametrize(("function", "arguments", "expected"), EDGES)
def test_edges(function, arguments, expected):
    numbers = tuple(range(len(arguments)))
    found = rt.grad(lambda *xs: rt.sum(function(*xs)), numbers)(*map(tensor, arguments))
    for ours, theirs in zip(found, expected, strict=True):
        assert_close(rt.where(ours == 0, 0, ours), np.asarray(theirs, float), atol=1e-12)


POINTS = (-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0)
ELEMENTWISE = [
    op
    for op in REGISTRY.values()
    if op.kind in ("unary", "binary") and op.is_differentiable and DTYPES["float64"] in CATEGORIES[op.category]
]


@pytest.mark.parametrize("op", ELEMENTWISE, ids=lambda op: op.name)
def test_second_derivatives_at_edges(op):
    """They are the slopes of the first, wherever the function and that are smooth."""
    count, step = 1 if op.kind == "unary" else 2, 1e-5
    points = [tensor(each.reshape(-1)) for each in np.meshgrid(*[POINTS] * count)]

    def slope(by, *inputs):
        return rt.grad(lambda *inputs: rt.sum(op.function(*inputs)), by)(*inputs)

    for by in range(count):
        for place in range(count):
            found = host(rt.grad(lambda *inputs, by=by: rt.sum(slope(by, *inputs)), place)(*points))
            moves = [[x + (i == place) * step * sign for i, x in enumerate(points)] for sign in (-1, 0, 1)]
            with np.errstate(all="ignore"):
                rises = np.diff([host(op.function(*inputs)) for inputs in moves], axis=0)
                bends = np.diff([host(slope(by, *inputs)) for inputs in moves], axis=0)
                is_smooth = (np.abs([*rises, *bends]) < 1e-2).all(axis=0)
                is_smooth &= np.abs(bends[1] - bends[0]) < 1e-2 * (step + np.abs(bends[1]))
                expected = (bends[0] + bends[1]) / (2 * step)
            np.testing.assert_allclose(found[is_smooth], expected[is_smooth], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_second_derivatives_of_norms_where_elements_are_0(dtype):
    x = rt.asarray([0.0, 2.0, 0.0], dtype=dtype)
    for norm in (vector_norm, lambda x: matrix_norm(x[None, :])):
        assert gradcheck(norm, (x,), order=2)
    if dtype == "float64":
        assert_close(rt.hessian(vector_norm)(x), tensor([[0.5, 0, 0], [0, 0, 0], [0, 0, 0.5]]))


def test_second_derivatives_behind_a_selection():
    assert_close(rt.hessian(lambda x: rt.sum(root(x)))(tensor([0.0, 4.0])), [[0, 0], [0, -1 / 32]])
    # A gradient that is 0 by accident still has its own derivative.
    assert_close(rt.grad(rt.grad(lambda x: rt.where(x > 0, (rt.sqrt(x) - 1) ** 2, 0)))(tensor(1.0)), 0.5)
    assert_close(rt.jvp(root, tensor([0.0, 4.0]), tensor([1.0, 1.0]))[1], [0, 0.25])


@pytest.mark.needs("host memory")
def test_what_selects_costs_nothing_where_all_is_finite():
    """Nothing is added to the walk but the question, whose answer the host knows."""
    names = []
    undo = rt.profiler.watch(lambda op, inputs, attributes: names.append(op.name), lambda *rest: None)
    x = tensor([1.0, 4.0]).requires_grad_()
    y = rt.where(x > 0, rt.sqrt(x), 0).sum()
    before = len(names)
    y.backward()
    undo()
    assert "where" not in names[before + 4 :]
    assert "isnan" in names[before:]


# Decompositions


def random(*shape, seed=0, dtype="float64"):
    generator = np.random.default_rng(seed)
    drawn = generator.standard_normal(shape)
    return rt.asarray(drawn + 1j * generator.standard_normal(shape) if dtype == "complex128" else drawn)


def with_one_sign(x):
    """Eigenvalues, and eigenvectors whose largest element is positive: of LAPACK's own choice two calls may differ."""
    values, vectors = eig(x)
    place = rt.argmax(rt.abs(vectors), axis=0, keepdims=True)
    return values, vectors * rt.stop_gradient(rt.sign(rt.real(rt.take_along_axis(vectors, place, axis=0))))


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_eigenvectors_are_differentiated_as_they_come(dtype):
    """Of length 1, and the largest element real: not only what does not depend on that."""
    x = random(4, 4, dtype=dtype)
    gradcheck(with_one_sign, (x,), order=2)
    gradcheck(lambda x: eigvals(x) ** 2, (x,), order=2)
    gradcheck(lambda x: rt.real(eigvals(x @ x)), (random(2, 3, 3, seed=3, dtype=dtype),))


def adjoint(x):
    return rt.conj(x).mT


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize("values", [[1.0, 1.0, 2.0, 2.0], [3.0, 3.0, 3.0, 5.0], [1.0, 1.0 + 1e-15, 4.0, 5.0]])
def test_spaces_of_equal_eigenvalues(dtype, values):
    """What depends on the space that they span alone has its gradient, without a warning."""
    basis = qr(random(4, 4, dtype=dtype))[0]
    centre = (basis * tensor(values)) @ adjoint(basis)
    count = sum(abs(each - values[0]) < 1e-9 for each in values)

    def projector(change):
        vectors = eigh(centre + (change + adjoint(change)) / 2).eigenvectors[:, :count]
        return vectors @ adjoint(vectors)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gradcheck(projector, (random(4, 4, dtype=dtype) * 0,))


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_spaces_of_equal_singular_values(dtype):
    """U and Vh turn together: what depends on their product has its gradient where each alone has none."""
    basis, other = (qr(random(3, 3, seed=seed, dtype=dtype))[0] for seed in (1, 2))
    for values in ([2.0, 2.0, 2.0], [2.0, 2.0, 1.0], [2.0, 1.0, 1.0 + 1e-15]):
        centre = (basis * tensor(values)) @ other

        def polar(change, centre=centre):
            u, _, vh = svd(centre + change, full_matrices=False)
            return u @ vh

        gradcheck(polar, (random(3, 3, dtype=dtype) * 0,))


@pytest.mark.parametrize(
    ("name", "loss"), [("eigh", lambda x: eigh(x)[1][0, 1]), ("eig", lambda x: rt.real(eig(x)[1][0, 1]))]
)
def test_directions_of_equal_eigenvalues_are_warned_of(name, loss):
    with pytest.warns(UserWarning, match=f"{name}: the gradient depends on which eigenvectors stand for equal"):
        found = rt.grad(loss)(rt.eye(3, dtype="float64"))
    assert bool(rt.all(rt.isfinite(found)))


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_singular_determinants_of_every_order(rank, dtype):
    """They are polynomials; so are their derivatives."""
    x = random(4, rank, dtype=dtype) @ random(rank, 4, seed=1, dtype=dtype)
    gradcheck(det, (x,), order=3, rtol=1e-5, atol=1e-5)
    large = random(12, 11, dtype=dtype) @ random(11, 12, seed=1, dtype=dtype)
    minor = np.linalg.det(np.delete(np.delete(host(large), 2, axis=0), 5, axis=1))
    found = rt.vjp(det, large)[1](rt.asarray(1.0, dtype=large.dtype))[0]
    assert_close(found[2, 5], -minor, rtol=1e-9)


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_inverses_of_low_rank(dtype):
    left, right, b = random(5, 2, dtype=dtype), random(2, 4, seed=1, dtype=dtype), random(5, 3, seed=2, dtype=dtype)
    gradcheck(lambda u, v: pinv(u @ v, rtol=1e-9), (left, right), order=2)
    gradcheck(lambda u, v, b: lstsq(u @ v, b, rcond=1e-9).x, (left, right, b), order=2)
    full = random(4, 4, dtype=dtype)
    (ours,), (theirs,) = (rt.vjp(function, full)[1](rt.ones_like(full)) for function in (pinv, inv))
    assert_close(ours, theirs)


def test_what_completes_a_basis():
    x = random(5, 3)
    for rest in (lambda x: qr(x, mode="complete")[0][:, 3:], lambda x: svd(x)[0][:, 3:], lambda x: svd(x.mT)[2][3:].mT):
        gradcheck(lambda x, rest=rest: rest(x) @ rest(x).mT, (x,), order=2)


def test_a_running_product_is_differentiated_in_few_steps():
    x = rt.asarray(np.random.default_rng(0).uniform(0.9, 1.1, 1000)).requires_grad_()
    names = []
    undo = rt.profiler.watch(lambda op, inputs, attributes: names.append(op.name), lambda *rest: None)
    rt.cumprod(x).sum().backward()
    undo()
    assert len(names) < 200
    values = np.cumprod(host(x.detach()))
    assert_close(x.grad, np.cumsum(values[::-1])[::-1] / host(x.detach()))


X = tensor([1.0, 5.0, 2.0, 8.0])


@pytest.mark.parametrize(
    "function",
    [
        lambda t: rt.trapezoid(X, dx=t),
        lambda t: rt.interp(X, tensor([2.0, 3.0]), tensor([1.0, 0.0]), left=t, right=2 * t),
        lambda t: rt.nan_to_num(tensor([1.0, NAN, INF, -INF]), nan=t, posinf=2 * t, neginf=t * t),
        lambda t: rt.pad(X, (1, 2), constant_values=t),
        lambda t: rt.pad(X, 2, "linear_ramp", end_values=(t, 3 * t)),
        lambda t: rt.linspace(t, 2 * t, 4, dtype="float64"),
        lambda t: rt.full((2,), t),
        lambda t: rt.quantile(X, t),
    ],
)
def test_numbers_that_may_be_tensors_have_a_gradient(function):
    gradcheck(function, (tensor(0.7),))


@pytest.mark.parametrize(
    "function",
    [
        lambda t: rt.std(X, correction=t),
        lambda t: vector_norm(X, ord=t),
        lambda t: rt.layer_norm(X, 4, eps=t),
        lambda t: rt.fft.fftfreq(4, d=t),
        lambda t: rt.geomspace(t, 5.0, 4),
        lambda t: rt.pad(X, 1, constant_values=rt.stack([t, t])),
    ],
)
def test_a_gradient_is_not_lost_in_a_number(function):
    t = tensor(0.7).requires_grad_()
    with pytest.raises(rt.errors.GradientError, match="no gradient goes through"):
        function(t)
    with rt.no_grad():
        function(t)
