"""The table: samples for every op of the registry.

Elementwise ops get theirs from their dtype category and domain, so that stating an op is all it takes to have it
tested. The others, whose arguments have a meaning of their own, stand in `CASES`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import array_api_compat.numpy as reference_namespace
import numpy

import rustorch.fft
import rustorch.linalg
import rustorch.special
from rustorch.nn.functional import cross_entropy
from rustorch_core._op import REGISTRY, Op

Array = numpy.ndarray[Any, Any]


@dataclass(frozen=True)
class Sample:
    """One call of an op: its arrays, what else it takes, and the same call in NumPy.

    Arguments:
        arrays: the inputs, in the dtype under test.
        call: the op's public spelling, taking tensors.
        reference: the same in NumPy, taking arrays of double precision; None where values are checked elsewhere.
        differentiable: which inputs a gradient is checked for.
    """

    arrays: tuple[Array, ...]
    call: Callable[..., Any]
    reference: Callable[..., Any] | None
    differentiable: tuple[int, ...] = ()


@dataclass(frozen=True)
class Case:
    """A row of `CASES`: shapes of the inputs, arguments after them, and where needed the call and its reference.

    `prepare` makes each input of what was drawn for it.
    """

    shapes: tuple[tuple[int, ...], ...]
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    call: Callable[..., Any] | None = None
    reference: Callable[..., Any] | None = None
    dtypes: tuple[str | None, ...] = ()
    prepare: Callable[..., Array] | None = None


@dataclass(frozen=True)
class Composition:
    """A public function that is no op but made of ops, as far as the checks look at it.

    Arguments:
        name: as users write it, without `rustorch.`.
        cases: its rows.
        category: the dtypes that gradients are checked for.
    """

    name: str
    cases: tuple[Case, ...]
    category: str
    domain: tuple[float, float] = (-2.0, 2.0)
    kind: str = "composition"
    takes_list: bool = False
    reference: None = None

    @property
    def function(self) -> Callable[..., Any]:
        """The function itself."""
        return functools.reduce(getattr, self.name.split("."), rustorch)  # type: ignore[arg-type, return-value]


def samples(op: Op | Composition, dtype: numpy.dtype[Any], seed: int = 0) -> Iterator[Sample]:
    """Every sample of an op in a dtype.

    Raises:
        LookupError: for an op that has none, which is a failure of the table.
    """
    generator = numpy.random.default_rng([seed, *op.name.encode()])
    if op.kind == "unary":
        cases = [Case(((3, 4),)), Case(((),)), Case(((0, 3),))]
    elif op.kind == "binary":
        cases = [Case(pair) for pair in (((3, 4), (3, 4)), ((3, 1), (4,)), ((), (2, 3)), ((0, 3), (3,)))]
    else:
        cases = list(op.cases) if isinstance(op, Composition) else CASES.get(op.name, [])
    if not cases:
        raise LookupError(f"op {op.name} has no samples; add a row to rustorch_conformance.samples.CASES")
    for case in cases:
        yield _sample(op, case, dtype, generator)


def _sample(op: Op | Composition, case: Case, dtype: numpy.dtype[Any], generator: numpy.random.Generator) -> Sample:
    own = [None if place >= len(case.dtypes) else case.dtypes[place] for place in range(len(case.shapes))]
    arrays = tuple(
        values(op.domain, shape, dtype if each is None else numpy.dtype(each), generator)
        for shape, each in zip(case.shapes, own, strict=True)
    )
    arrays = tuple(each if case.prepare is None else case.prepare(each).astype(each.dtype) for each in arrays)
    call = case.call or _with_arguments(op.function, op, case)
    reference = case.reference
    if reference is None and (case.call is None or isinstance(op, Op)):
        reference = _with_arguments(op.reference or _in_numpy(op.name), op, case)
    return Sample(arrays, call, reference, tuple(place for place, each in enumerate(own) if each is None))


def _in_numpy(name: str) -> Any:
    """NumPy's function of a dotted name, as the standard wants it."""
    return functools.reduce(getattr, name.split("."), reference_namespace)


def _with_arguments(function: Any, op: Op | Composition, case: Case) -> Callable[..., Any]:
    if op.takes_list:
        return lambda *arrays: function(list(arrays), *case.args, **case.kwargs)
    return lambda *arrays: function(*arrays, *case.args, **case.kwargs)


def values(
    domain: tuple[float, float], shape: tuple[int, ...], dtype: numpy.dtype[Any], generator: numpy.random.Generator
) -> Array:
    """Different values inside a domain: apart from each other, so that no finite difference crosses a tie or a kink."""
    low, high = domain
    size = math.prod(shape)
    if dtype.kind == "b":
        return generator.integers(0, 2, shape).astype(dtype)
    if dtype.kind in "iu":
        low = max(low, 0) if dtype.kind == "u" else low
        return generator.integers(math.ceil(low), math.floor(high) + 1, shape).astype(dtype)
    steps = (generator.permutation(size) + generator.uniform(0.3, 0.7, size)) / max(size, 1)
    drawn = (low + (high - low) * steps).reshape(shape)
    if dtype.kind == "c":
        drawn = drawn + 1j * (low + (high - low) * generator.permutation(size).reshape(shape) / max(size, 1))
    return drawn.astype(dtype)


def _softmax(x: Array, axis: int = -1) -> Array:
    powers = numpy.exp(x - x.max(axis=axis, keepdims=True)) if x.size else x
    return powers / powers.sum(axis=axis, keepdims=True)


def _layer_norm(x: Array, weight: Array | float = 1.0, bias: Array | float = 0.0, axes: Any = -1) -> Array:
    centred = x - x.mean(axis=axes, keepdims=True)
    return centred / numpy.sqrt(x.var(axis=axes, keepdims=True) + 1e-5) * weight + bias


def _normal_cdf(x: Array) -> Array:
    return 0.5 * numpy.vectorize(math.erfc, otypes=[float])(-x / math.sqrt(2))


def _gelu_tanh(x: Array) -> Array:
    return 0.5 * x * (1 + numpy.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def _slope(function: Callable[[Array], Array]) -> Callable[[Array, Array], Array]:
    """G times a function's derivative, by Richardson's extrapolation of central differences: good to 11 digits."""

    def central(x: Array, step: float) -> Array:
        return (function(x + step) - function(x - step)) / (2 * step)

    return lambda g, x: g * (64 * central(x, 1e-2) - 20 * central(x, 2e-2) + central(x, 4e-2)) / 45


def _polygamma(n: int, x: Array) -> Array:
    """The n-th derivative of digamma by its definition, an endless sum, whose far part is an integral."""
    s, count = n + 1, 1000
    near = sum((x + k) ** -s for k in reversed(range(count)))
    end = x + count
    far = end ** (1 - s) / (s - 1) + end**-s / 2 + s * end ** (-s - 1) / 12
    return (-1.0) ** s * math.factorial(n) * (near + far)


def _incomplete_beta(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function by its hypergeometric series, all of whose terms are positive."""
    terms = numpy.cumprod([1.0, *[(a + b + n) / (a + 1 + n) * x for n in range(1000)]])
    log_beta = math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
    return float(numpy.sum(terms)) * math.exp(a * math.log(x) + b * math.log1p(-x) - log_beta) / a


_incomplete_betas = numpy.vectorize(_incomplete_beta, otypes=[float])


def _written(x: Any, value: Any) -> Any:
    x = x.clone()
    x[1:, 0] = value
    return x


def _written_in_numpy(x: Array, value: Array) -> Array:
    x = x.copy()
    x[1:, 0] = value
    return x


def _with_zeros(x: Array, key: Any) -> Array:
    x = x.copy()
    x[key] = 0
    return x


def _scattered(g: Array) -> Array:
    result = numpy.zeros((4, 3), g.dtype)
    numpy.add.at(result, ([0, 2, 2],), g)
    return result


def _index(*places: int) -> Any:
    return numpy.asarray(places)


def _native_index(x: Any, *places: int) -> Any:
    return x.device.from_host(_index(*places))


def _positive(x: Any) -> Any:
    """Hermitian, positive definite and far from singular, for tensors and for arrays."""
    conjugate = rustorch.conj(x) if isinstance(x, rustorch.Tensor) else numpy.conj(x)
    n = x.shape[-1]
    identity = numpy.eye(n, dtype=x.dtype)
    shift = rustorch.asarray(identity, device=x.device) if isinstance(x, rustorch.Tensor) else identity
    return (
        x @ conjugate.mT * (1 / n) + shift * 2 if isinstance(x, rustorch.Tensor) else x @ conjugate.mT / n + shift * 2
    )


def _of_positive(name: str, pick: Callable[[Any], Any] = lambda result: result, **kwargs: Any) -> Case:
    """A function of `linalg` on a positive definite matrix; `pick` takes what is the same whoever computes it."""
    return Case(
        ((2, 3, 3),),
        call=lambda x: pick(getattr(rustorch.linalg, name)(_positive(x), **kwargs)),
        reference=lambda x: pick(getattr(reference_namespace.linalg, name)(_positive(x), **kwargs)),
    )


def _of_general(
    name: str,
    pick: Callable[[Any], Any] = lambda result: result,
    *,
    shape: tuple[int, ...] = (2, 3, 3),
    prepare: Callable[..., Array] | None = None,
    **kwargs: Any,
) -> Case:
    """A function of `linalg` on a matrix with nothing special about it; `pick` as in `_of_positive`."""
    return Case(
        (shape,),
        call=lambda x: pick(getattr(rustorch.linalg, name)(x, **kwargs)),
        reference=lambda x: pick(getattr(reference_namespace.linalg, name)(x, **kwargs)),
        prepare=prepare,
    )


def _of_rank(rank: int) -> Callable[[Array], Array]:
    """Matrices of a lower rank, made of others; small, for what remains of their determinants is all rounding."""
    return lambda x: x[..., :, :rank] @ x[..., :rank, :] / 2


def _adjoint(x: Any) -> Any:
    return (rustorch.conj(x) if isinstance(x, rustorch.Tensor) else numpy.conj(x)).mT


def _span_of_rest(basis: Any, count: int) -> Any:
    """What the columns of a basis beyond the first span; which they are is nobody's business."""
    return basis[..., count:] @ _adjoint(basis[..., count:])


def _of_any_order(values: Any, vectors: Any) -> Any:
    """What eigenvalues and eigenvectors agree on, whatever their order and the phases of the vectors."""
    return (abs(vectors) ** 4 * (values**2)[..., None, :]).sum(axis=-1)


def _projector(linalg: Any, x: Any) -> Any:
    """What the singular vectors of a matrix that is not square agree on, whatever their signs."""
    u, s, vh = linalg.svd(x, full_matrices=False)
    return (u / (1 + s[..., None, :])) @ vh


def _transforms(**extra: Any) -> list[Case]:
    return [Case(((6,),), kwargs=extra), Case(((3, 4),), kwargs={"axis": 0, "n": 5, "norm": "ortho"})]


def _of_three(call: Callable[..., Any], reference: Callable[..., Any]) -> list[Case]:
    """A function of two positive parameters and an argument between 0 and 1."""
    shapes = (((3, 4), (3, 4), (3, 4)), ((3, 1), (4,), ()))
    return [
        Case(each, call=lambda a, b, x: call(a, b, x / 4), reference=lambda a, b, x: reference(a, b, x / 4))
        for each in shapes
    ]


def _reductions(**extra: Any) -> list[Case]:
    return [
        Case(((3, 4),), kwargs=extra),
        Case(((3, 4, 2),), kwargs={"axis": 1, **extra}),
        Case(((3, 4, 2),), kwargs={"axis": (0, -1), "keepdims": True, **extra}),
    ]


def _as_complex(x: Any) -> Any:
    return x.astype("complex128" if x.device.supports("complex128") else "complex64")


def _windows(
    lengths: Any, kernel: Any, stride: Any, padding: Any, dilation: Any
) -> Iterator[tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]]:
    """Every window, place in it and element of the input that meet, one after the other; `padding` before and behind."""
    rows = list(zip(lengths, kernel, stride, padding, dilation, strict=True))
    counts = [(n + before + behind - d * (k - 1) - 1) // s + 1 for n, k, s, (before, behind), d in rows]
    for window in numpy.ndindex(*counts):
        for place in numpy.ndindex(*kernel):
            at = [w * s + i * d - before for w, i, (n, k, s, (before, _), d) in zip(window, place, rows, strict=True)]
            if all(0 <= each < n for each, n in zip(at, lengths, strict=True)):
                yield window, place, tuple(at)


def _convolved(
    x: Array, weight: Array, bias: Array | float = 0.0, *, stride: Any, padding: Any, dilation: Any, groups: int
) -> Array:
    """A convolution, window by window, and by it what its gradients are."""
    lengths, kernel = x.shape[2:], weight.shape[2:]
    steps = list(_windows(lengths, kernel, stride, padding, dilation))
    shape = numpy.max([window for window, _, _ in steps], axis=0) + 1
    y = numpy.zeros((x.shape[0], weight.shape[0], *shape), x.dtype)
    for out, channel in numpy.ndindex(*weight.shape[:2]):
        source = out * groups // weight.shape[0] * weight.shape[1] + channel
        for window, place, at in steps:
            y[(slice(None), out, *window)] += weight[(out, channel, *place)] * x[(slice(None), source, *at)]
    return y + numpy.reshape(bias, (-1, *[1] * len(kernel)))


def _adjoint_of(function: Callable[[Array], Array], shape: tuple[int, ...], g: Array) -> Array:
    """The gradient of a linear function, one element of its input after the other."""
    unit, result = numpy.zeros(shape, g.dtype), numpy.zeros(shape, g.dtype)
    for place in numpy.ndindex(*shape):
        unit[place] = 1
        result[place] = (function(unit) * g).sum()
        unit[place] = 0
    return result


_STRAIGHT = {"stride": (1, 1), "padding": ((0, 0), (0, 0)), "dilation": (1, 1), "groups": 1}
_CROOKED = {"stride": (2, 1), "padding": ((1, 2), (0, 1)), "dilation": (1, 2), "groups": 2}
_LINE = {"stride": (1,), "padding": ((1, 1),), "dilation": (1,), "groups": 1}
#: Shapes of input, kernels and result, with the attributes.
_CONVOLUTIONS: list[tuple[Any, Any, Any, dict[str, Any]]] = [
    ((2, 2, 3, 3), (1, 2, 2, 2), (2, 1, 2, 2), _STRAIGHT),
    ((1, 4, 3, 4), (2, 2, 3, 2), (1, 2, 2, 3), _CROOKED),
    ((2, 3, 2, 2), (2, 3, 1, 1), (2, 2, 2, 2), _STRAIGHT),
    ((1, 2, 4), (3, 2, 3), (1, 3, 4), _LINE),
]
_POOL_STRAIGHT = {"kernel": (2, 2), "stride": (2, 2), "padding": (0, 0), "dilation": (1, 1), "ceil_mode": False}
_POOL_CROOKED = {"kernel": (3, 2), "stride": (2, 1), "padding": (1, 0), "dilation": (1, 2), "ceil_mode": True}
_POOL_WHOLE = {"kernel": (1, 1), "stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "ceil_mode": False}
#: Shapes of input and result, with the attributes.
_POOLS: list[tuple[Any, Any, dict[str, Any]]] = [
    ((2, 1, 4, 5), (2, 1, 2, 2), _POOL_STRAIGHT),
    ((1, 2, 4, 4), (1, 2, 3, 2), _POOL_CROOKED),
    ((1, 1, 2, 2), (1, 1, 2, 2), _POOL_WHOLE),
]
_MEANS: list[tuple[Any, Any, dict[str, Any]]] = [
    ((2, 1, 4, 5), (2, 1, 2, 2), {"kernel": (2, 2), "stride": (2, 2), "padding": (0, 0), "ceil_mode": False, "count_include_pad": True, "divisor_override": None}),
    ((1, 2, 4, 4), (1, 2, 3, 3), {"kernel": (3, 2), "stride": (2, 2), "padding": (1, 1), "ceil_mode": True, "count_include_pad": False, "divisor_override": None}),
    ((1, 2, 4, 4), (1, 2, 3, 3), {"kernel": (3, 2), "stride": (2, 2), "padding": (1, 1), "ceil_mode": True, "count_include_pad": True, "divisor_override": None}),
    ((1, 1, 3, 2), (1, 1, 2, 1), {"kernel": (2, 2), "stride": (1, 1), "padding": (0, 0), "ceil_mode": False, "count_include_pad": True, "divisor_override": 3}),
]  # fmt: skip


def _elements(x: Array, shape: Any, *, kernel: Any, stride: Any, padding: Any, dilation: Any, **_: Any) -> Any:
    """For each window of the result's shape the places of its elements."""
    far = [(before, k * d + s) for before, k, s, d in zip(padding, kernel, stride, dilation, strict=True)]
    found: dict[Any, list[Any]] = {window: [] for window in numpy.ndindex(*shape[2:])}
    for window, _, at in _windows(x.shape[2:], kernel, stride, far, dilation):
        if window in found:
            found[window].append(at)
    return found.items()


def _largest(x: Array, shape: Any, values: Array | None = None, **attributes: Any) -> Array:
    """The largest element of each window, or what stands in `values` where it first is."""
    y = numpy.zeros(shape, x.dtype)
    for window, places in _elements(x, shape, **attributes):
        for row in numpy.ndindex(*shape[:2]):
            best = max(places, key=lambda at: x[(*row, *at)])
            y[(*row, *window)] = (x if values is None else values)[(*row, *best)]
    return y


def _means_of_windows(x: Array, shape: Any, **attributes: Any) -> Array:
    y = numpy.zeros(shape, x.dtype)
    kernel, stride, padding = (attributes[each] for each in ("kernel", "stride", "padding"))
    for window, places in _elements(x, shape, dilation=(1,) * len(kernel), **attributes):
        inside = [
            min(k, n + p - (w * s - p))
            for k, n, p, w, s in zip(kernel, x.shape[2:], padding, window, stride, strict=True)
        ]
        count = math.prod(inside) if attributes["count_include_pad"] else len(places)
        total = sum(x[(slice(None), slice(None), *at)] for at in places)
        y[(slice(None), slice(None), *window)] = total / (attributes["divisor_override"] or count)
    return y


def _op(name: str, **attributes: Any) -> Callable[..., Any]:
    """An op that users do not see, with its attributes."""
    return lambda *xs: _function(name)(*xs, **attributes)


def _gradient_of(function: Callable[..., Array], place: int = 0) -> Callable[..., Array]:
    """What an op that computes a gradient is to give: that of a function of real numbers, by central differences.

    It takes the gradient that comes in, then the function's inputs.
    """

    def gradient(g: Array, *xs: Array) -> Array:
        def moved(x: Array) -> Array:
            return function(*xs[:place], x, *xs[place + 1 :])

        result, steps = numpy.zeros_like(xs[place]), ((1e-2, 64), (2e-2, -20), (4e-2, 1))
        for at in numpy.ndindex(*xs[place].shape):
            unit = numpy.zeros_like(xs[place])
            unit[at] = 1
            slope = sum(w * (moved(xs[place] + h * unit) - moved(xs[place] - h * unit)) / (2 * h) for h, w in steps)
            result[at] = (g * slope).sum() / 45
        return result

    return gradient


def _rms_norm(x: Array, weight: Array | float = 1.0, axes: Any = -1, eps: float = 0.1) -> Array:
    return x / numpy.sqrt((x**2).mean(axis=axes, keepdims=True) + eps) * weight


def _by_channel(weight: Array, x: Array) -> Array:
    return numpy.reshape(weight, (-1, *[1] * (x.ndim - 2)))


def _group_norm(x: Array, weight: Array, bias: Array, groups: int = 2) -> Array:
    rows = x.reshape(x.shape[0], groups, -1)
    y = (rows - rows.mean(-1, keepdims=True)) / numpy.sqrt(rows.var(-1, keepdims=True) + 1e-5)
    return y.reshape(x.shape) * _by_channel(weight, x) + _by_channel(bias, x)


def _batch_norm(x: Array, weight: Array, bias: Array) -> list[Array]:
    axes = (0, *range(2, x.ndim))
    mean, variance = x.mean(axes), x.var(axes)
    y = (x - _by_channel(mean, x)) / numpy.sqrt(_by_channel(variance, x) + 0.1)
    return [y * _by_channel(weight, x) + _by_channel(bias, x), mean, variance]


def _attention(query: Array, key: Array, value: Array, mask: Array | float = 0.0, causal: bool = False) -> Array:
    scores = 0.7 * query @ key.swapaxes(-1, -2) + mask
    if causal:
        scores = numpy.where(numpy.tril(numpy.ones(scores.shape[-2:])), scores, -numpy.inf)
    return _softmax(scores) @ value


def _attention_gradients(g: Array, query: Array, key: Array, value: Array) -> list[Array]:
    return [_gradient_of(_attention, place)(g, query, key, value) for place in range(3)]


def _at_places(call: Callable[..., Any], *places: int) -> Callable[..., Any]:
    """A call one of whose arguments is a tensor of integers, on the device of the first input."""
    return lambda x, *xs: call(x, *xs, rustorch.asarray(places, dtype="int64", device=x.device))


def _weighted_losses(x: Array, weight: Array, places: Any, kept: Any) -> Array:
    """The mean of cross entropies smoothed by a tenth, of examples that count or do not."""
    wanted = (0.9 * _one_hot(places, len(weight)) + 0.1 / len(weight)) * weight * numpy.reshape(kept, (-1, 1))
    return -(numpy.log(_softmax(x)) * wanted).sum() / (weight[list(places)] * kept).sum()


def _one_hot(places: Any, count: int) -> Array:
    return numpy.eye(count)[list(places)]


CASES: dict[str, list[Case]] = {
    "all": _reductions(),
    "any": _reductions(),
    "argmax": [Case(((3, 4),)), Case(((3, 4),), kwargs={"axis": 1, "keepdims": True})],
    "argmin": [Case(((3, 4),)), Case(((3, 4),), kwargs={"axis": 0})],
    "sort": [Case(((3, 4),)), Case(((4, 3),), kwargs={"axis": 0, "descending": True}), Case(((0, 3),))],
    "argsort": [Case(((3, 4),)), Case(((4, 3),), kwargs={"axis": 0, "descending": True})],
    "astype": [Case(((3, 4),), call=_as_complex, reference=lambda x: x.astype(complex))],
    "betainc": _of_three(rustorch.special.betainc, _incomplete_betas),
    "betaincc": _of_three(rustorch.special.betaincc, lambda a, b, x: _incomplete_betas(b, a, 1 - x)),
    "attention": [
        Case(((2, 3, 2), (2, 4, 2), (2, 4, 3)), kwargs={"is_causal": False, "scale": 0.7}, reference=_attention),
        Case(
            ((2, 3, 2), (2, 3, 2), (2, 3, 1)),
            kwargs={"is_causal": True, "scale": 0.7},
            reference=lambda q, k, v: _attention(q, k, v, causal=True),
        ),
        Case(
            ((2, 3, 2), (2, 4, 2), (2, 4, 3), (3, 4)), kwargs={"is_causal": False, "scale": 0.7}, reference=_attention
        ),
    ],
    "attention_gradient": [
        Case(
            ((2, 3, 1), (2, 3, 2), (2, 4, 2), (2, 4, 1)),
            kwargs={"is_causal": False, "scale": 0.7},
            reference=_attention_gradients,
        ),
    ],
    "avg_pool": [
        Case(
            (shape,),
            kwargs=attributes,
            reference=lambda x, y=y, a=attributes: _means_of_windows(x, (*x.shape[:2], *y[2:]), **a),
        )
        for shape, y, attributes in _MEANS
    ],
    "avg_pool_gradient": [
        Case(
            (y,),
            kwargs={"lengths": shape[2:], **attributes},
            reference=lambda g, shape=shape, a=attributes: _adjoint_of(
                lambda x: _means_of_windows(x, g.shape, **a), shape, g
            ),
        )
        for shape, y, attributes in _MEANS
    ],
    "batch_norm": [
        Case(shapes, kwargs={"eps": 0.1}, reference=_batch_norm)
        for shapes in (((4, 2), (2,), (2,)), ((2, 3, 2, 2), (3,), (3,)))
    ],
    "batch_norm_gradient": [
        Case(
            ((2, 2, 3), (2, 2, 3), (2,)),
            kwargs={"eps": 0.1},
            reference=lambda g, x, w: _gradient_of(lambda x: _batch_norm(x, w, 0 * w)[0])(g, x),
        ),
    ],
    "batch_norm_inference": [
        Case(
            ((2, 3, 2), (3,), (3,), (3,), (3,)),
            call=lambda x, m, v, w, b: _function("batch_norm_inference")(x, m, v * v, w, b, eps=0.5),
            reference=lambda x, m, v, w, b: (
                (x - _by_channel(m, x)) / numpy.sqrt(_by_channel(v * v, x) + 0.5) * _by_channel(w, x)
                + _by_channel(b, x)
            ),
        )
    ],
    "batch_norm_weight_gradient": [
        Case(
            ((2, 2, 3), (2, 2, 3)),
            kwargs={"eps": 0.1},
            reference=lambda g, x: (g * _batch_norm(x, numpy.ones(2), numpy.zeros(2))[0]).sum((0, 2)),
        ),
    ],
    "convolution": [
        *(
            Case((x, w), kwargs=attributes, reference=functools.partial(_convolved, **attributes))
            for x, w, _, attributes in _CONVOLUTIONS
        ),
        Case(
            ((2, 2, 3, 3), (3, 2, 2, 2), (3,)), kwargs=_STRAIGHT, reference=functools.partial(_convolved, **_STRAIGHT)
        ),
        Case(((0, 2, 3, 3), (1, 2, 2, 2)), kwargs=_STRAIGHT, reference=lambda x, w: numpy.zeros((0, 1, 2, 2))),
    ],
    "convolution_input_gradient": [
        Case(
            (y, w),
            kwargs={"lengths": x[2:], **attributes},
            reference=lambda g, w, x=x, a=attributes: _adjoint_of(lambda each: _convolved(each, w, **a), x, g),
        )
        for x, w, y, attributes in _CONVOLUTIONS
    ],
    "convolution_weight_gradient": [
        Case(
            (y, x),
            kwargs={"kernel": w[2:], **attributes},
            reference=lambda g, x, w=w, a=attributes: _adjoint_of(lambda each: _convolved(x, each, **a), w, g),
        )
        for x, w, y, attributes in _CONVOLUTIONS
    ],
    "cross_entropy": [
        Case(
            ((3, 4),),
            call=_at_places(_op("cross_entropy"), 0, 3, 3),
            reference=lambda x: -numpy.log(_softmax(x))[[0, 1, 2], [0, 3, 3]],
        ),
        *(
            Case(
                ((3, 4), (4,)),
                call=_at_places(lambda x, w, t, o=options: cross_entropy(x, t, weight=w * w + 1, **o), 0, 3, 1),
                reference=lambda x, w, kept=kept: _weighted_losses(x, w * w + 1, (0, 3, 1), kept),
            )
            for options, kept in (
                ({"label_smoothing": 0.1}, (1, 1, 1)),
                ({"label_smoothing": 0.1, "ignore_index": 3}, (1, 0, 1)),
            )
        ),
        Case(
            ((3, 4), (3, 4)),
            call=lambda x, t: cross_entropy(x, t, reduction="sum", label_smoothing=0.2),
            reference=lambda x, t: -(numpy.log(_softmax(x)) * (0.8 * t + 0.05)).sum(),
        ),
    ],
    "cross_entropy_gradient": [
        Case(
            ((3,), (3, 4)),
            call=_at_places(_op("cross_entropy_gradient"), 0, 3, 3),
            reference=lambda g, x: g[:, None] * (_softmax(x) - _one_hot((0, 3, 3), 4)),
        ),
    ],
    "dropout": [
        Case(
            ((3, 4), (3, 4)),
            kwargs={"scale": 2.0},
            dtypes=(None, "bool"),
            reference=lambda x, kept: numpy.where(kept, 2 * x, 0),
        ),
    ],
    "elu": [
        Case(((3, 4),), reference=lambda x: numpy.where(x > 0, x, numpy.expm1(x))),
        Case(((3, 4),), kwargs={"alpha": 0.3}, reference=lambda x: numpy.where(x > 0, x, 0.3 * numpy.expm1(x))),
    ],
    "embedding": [
        Case(((4, 2),), call=_at_places(_op("embedding", padding_idx=None), 3, 0, 3), reference=lambda x: x[[3, 0, 3]]),
    ],
    "embedding_gradient": [
        Case(
            ((3, 2),),
            call=_at_places(_op("embedding_gradient", count=4, padding_idx=padding), 3, 0, 3),
            reference=lambda g, padding=padding: (_one_hot((3, 0, 3), 4) * (numpy.arange(4) != padding)).T @ g,
        )
        for padding in (None, 0)
    ],
    "group_norm": [
        Case(((2, 4, 3), (4,), (4,)), kwargs={"num_groups": 2}, reference=_group_norm),
        Case(((3, 4), (4,), (4,)), kwargs={"num_groups": 1}, reference=lambda x, w, b: _group_norm(x, w, b, 1)),
    ],
    "group_norm_gradient": [
        Case(
            ((2, 4, 2), (2, 4, 2), (4,)),
            kwargs={"num_groups": 2, "eps": 1e-5},
            reference=lambda g, x, w: _gradient_of(lambda x: _group_norm(x, w, 0 * w))(g, x),
        ),
    ],
    "group_norm_weight_gradient": [
        Case(
            ((2, 4, 2), (2, 4, 2)),
            kwargs={"num_groups": 2},
            reference=lambda g, x: (g * _group_norm(x, numpy.ones(4), numpy.zeros(4))).sum((0, 2)),
        ),
    ],
    "layer_norm_gradient": [
        Case(((3, 4), (3, 4), (4,)), reference=lambda g, x, w: _gradient_of(lambda x: _layer_norm(x, w))(g, x)),
        Case(
            ((2, 3, 2), (2, 3, 2), (3, 2)),
            reference=lambda g, x, w: _gradient_of(lambda x: _layer_norm(x, w, axes=(-2, -1)))(g, x),
        ),
    ],
    "layer_norm_weight_gradient": [
        Case(((2, 3, 4), (2, 3, 4)), kwargs={"axes": 1}, reference=lambda g, x: (g * _layer_norm(x)).sum((0, 1))),
    ],
    "leaky_relu": [
        Case(((3, 4),), reference=lambda x: numpy.where(x > 0, x, 0.01 * x)),
        Case(((3, 4),), kwargs={"negative_slope": 0.5}, reference=lambda x: numpy.where(x > 0, x, 0.5 * x)),
    ],
    "max_pool": [
        Case((shape,), kwargs=attributes, reference=lambda x, y=y, a=attributes: _largest(x, y, **a))
        for shape, y, attributes in _POOLS
    ],
    "max_pool_chosen": [
        Case(
            (shape, shape),
            dtypes=(None, None),
            call=lambda values, x, a=attributes: _function("max_pool_chosen")(
                values, x.detach(), _function("max_pool")(x.detach(), **a), **a
            ),
            reference=lambda values, x, y=y, a=attributes: _largest(x, y, values, **a),
        )
        for shape, y, attributes in _POOLS
    ],
    "max_pool_gradient": [
        Case(
            (y, shape),
            call=lambda g, x, a=attributes: _function("max_pool_gradient")(
                g, x.detach(), _function("max_pool")(x.detach(), **a), **a
            ),
            reference=lambda g, x, a=attributes: _adjoint_of(
                lambda values: _largest(x, g.shape, values, **a), x.shape, g
            ),
        )
        for shape, y, attributes in _POOLS
    ],
    "rms_norm": [
        Case(((3, 4), (4,)), kwargs={"eps": 0.1}, reference=_rms_norm),
        Case(((2, 3, 2), (3, 2)), kwargs={"eps": 0.1}, reference=lambda x, w: _rms_norm(x, w, (-2, -1))),
    ],
    "rms_norm_gradient": [
        Case(
            ((3, 4), (3, 4), (4,)),
            kwargs={"eps": 0.1},
            reference=lambda g, x, w: _gradient_of(lambda x: _rms_norm(x, w))(g, x),
        ),
    ],
    "rms_norm_weight_gradient": [
        Case(((3, 4), (3, 4)), kwargs={"axes": 1, "eps": 0.1}, reference=lambda g, x: (g * _rms_norm(x)).sum(0)),
    ],
    "broadcast_to": [Case(((3, 1),), args=((2, 3, 4),)), Case(((),), args=([2],))],
    "clip": [
        Case(((3, 4),), args=(0, 1)),
        Case(
            ((3, 4), (4,)), call=lambda x, high: _clip(x, None, high), reference=lambda x, high: numpy.minimum(x, high)
        ),
        Case(((3, 4), (4,)), call=lambda x, low: _clip(x, low), reference=lambda x, low: numpy.maximum(x, low)),
    ],
    "concat": [
        Case(((2, 3), (4, 3))),
        Case(((2, 3), (2, 1)), kwargs={"axis": -1}),
        Case(((2, 2), (3,)), kwargs={"axis": None}),
    ],
    "count_nonzero": _reductions(),
    "cumulative_prod": [Case(((3, 4),), kwargs={"axis": 1}), Case(((4,),), kwargs={"include_initial": True})],
    "cumulative_sum": [
        Case(((4,),)),
        Case(((3, 4),), kwargs={"axis": 0}),
        Case(((3, 4),), kwargs={"axis": 1, "include_initial": True}),
    ],
    "erase": [
        Case(
            ((4, 3),),
            call=lambda x: _function("erase")(x, (), (slice(1, None), 0)),
            reference=lambda x: _with_zeros(x, (slice(1, None), 0)),
        ),
        Case(
            ((4, 3),),
            call=lambda x: _function("erase")(x, (), (_native_index(x, 0, 2, 2), ...)),
            reference=lambda x: _with_zeros(x, [0, 2]),
        ),
    ],
    "expand_dims": [
        Case(((3, 4),), kwargs={"axis": 1}),
        Case(((3,),), kwargs={"axis": (0, -1)}, reference=lambda x: x[None, :, None]),
    ],
    "fft.fft": _transforms(),
    "fft.ifft": _transforms(),
    "fft.irfft": _transforms(),
    "fft.rfft": _transforms(),
    "flip": [Case(((3, 4),)), Case(((3, 4),), kwargs={"axis": 1})],
    "gelu": [
        Case(((3, 4),), reference=lambda x: x * _normal_cdf(x)),
        Case(((3, 4),), kwargs={"approximate": "tanh"}, reference=_gelu_tanh),
    ],
    "gelu_gradient": [
        Case(((3, 4), (3, 4)), reference=_slope(lambda x: x * _normal_cdf(x))),
        Case(((3, 4), (3, 4)), kwargs={"approximate": "tanh"}, reference=_slope(_gelu_tanh)),
    ],
    "getitem": [
        Case(((4, 3),), call=lambda x: x[1:, ::-2], reference=lambda x: x[1:, ::-2]),
        Case(((4, 3),), call=lambda x: x[-1], reference=lambda x: x[-1]),
        Case(((4, 3),), call=lambda x: x[..., None, 1], reference=lambda x: x[..., None, 1]),
        Case(((4, 3),), call=lambda x: x[1:, None, ::-2], reference=lambda x: x[1:, None, ::-2]),
    ],
    "getitem_advanced": [
        Case(((4, 3),), call=lambda x: x[[0, 2, 2]], reference=lambda x: x[[0, 2, 2]]),
        Case(((4, 3),), call=lambda x: x[_index(0, 3), 1:], reference=lambda x: x[[0, 3], 1:]),
        Case(((4, 3),), call=lambda x: x[[True, False, True, True]], reference=lambda x: x[[True, False, True, True]]),
    ],
    "layer_norm": [
        Case(((3, 4), (4,), (4,)), kwargs={"eps": 1e-5}, reference=_layer_norm),
        Case(((2, 3, 4), (3, 4), (3, 4)), reference=lambda x, w, b: _layer_norm(x, w, b, axes=(-2, -1))),
    ],
    "linear": [
        Case(((3, 4), (2, 4)), reference=lambda x, w: x @ w.T),
        Case(((2, 3, 4), (2, 4), (2,)), reference=lambda x, w, b: x @ w.T + b),
    ],
    "linalg.cholesky": [_of_positive("cholesky"), _of_positive("cholesky", upper=True)],
    "linalg.det": [
        _of_positive("det"),
        _of_general("det"),
        *(_of_general("det", shape=(4, 4), prepare=_of_rank(rank)) for rank in (3, 2)),
    ],
    "linalg.diagonal": [
        Case(((3, 4),)),
        Case(((2, 3, 4),), kwargs={"offset": -1}),
        Case(((3, 4),), kwargs={"offset": 2}),
    ],
    "linalg.eig": [
        _of_positive("eig", lambda result: abs(result[0]).sum(axis=-1)),
        _of_general("eig", lambda result: (result[0] ** 3).sum(axis=-1)),
        _of_general("eig", lambda result: _of_any_order(*result)),
    ],
    "linalg.eigh": [
        _of_positive("eigh", lambda result: result[0]),
        _of_positive("eigh", lambda result: abs(result[1])),
    ],
    "linalg.eigvals": [
        _of_positive("eigvals", lambda result: abs(result).sum(axis=-1)),
        _of_general("eigvals", lambda result: (result**3).sum(axis=-1)),
    ],
    "linalg.eigvalsh": [_of_positive("eigvalsh")],
    "linalg.inv": [_of_positive("inv")],
    "linalg.qr": [
        _of_positive("qr", lambda result: abs(result[1])),
        _of_positive("qr", lambda result: result[0] @ result[1]),
        *(
            _of_general("qr", lambda result, part=part: abs(result[part]), shape=shape, mode=mode)
            for part in (0, 1)
            for shape, mode in (((2, 4, 3), "reduced"), ((3, 4), "reduced"), ((3, 4), "complete"))
        ),
        _of_general("qr", lambda result: abs(result[1]), shape=(2, 5, 3), mode="complete"),
        _of_general("qr", lambda result: _span_of_rest(result[0], 3), shape=(2, 5, 3), mode="complete"),
    ],
    "linalg.slogdet": [
        _of_positive("slogdet", lambda result: result[1]),
        _of_positive("slogdet", lambda result: result[0]),
        *(_of_general("slogdet", lambda result, part=part: result[part]) for part in (0, 1)),
    ],
    "linalg.solve": [
        Case(
            ((2, 3, 3), (3, 2)),
            call=lambda a, b: rustorch.linalg.solve(_positive(a), b),
            reference=lambda a, b: numpy.linalg.solve(_positive(a), b),
        ),
        Case(
            ((3, 3), (3,)),
            call=lambda a, b: rustorch.linalg.solve(_positive(a), b),
            reference=lambda a, b: numpy.linalg.solve(_positive(a), b),
        ),
    ],
    "linalg.svd": [
        _of_positive("svd", lambda result: result[1]),
        _of_positive("svd", lambda result: abs(result[0])),
        _of_positive("svd", lambda result: abs(result[2])),
        *(
            Case(
                ((2, *shape),),
                call=functools.partial(_projector, rustorch.linalg),
                reference=functools.partial(_projector, reference_namespace.linalg),
            )
            for shape in ((4, 2), (2, 4))
        ),
        _of_general("svd", lambda result: _span_of_rest(result[0], 3), shape=(2, 5, 3)),
        _of_general("svd", lambda result: _span_of_rest(_adjoint(result[2]), 3), shape=(3, 4)),
    ],
    "linalg.svdvals": [_of_positive("svdvals")],
    "log_softmax": [
        Case(((3, 4),), reference=lambda x: numpy.log(_softmax(x))),
        Case(((3, 4),), kwargs={"axis": 0}, reference=lambda x: numpy.log(_softmax(x, 0))),
    ],
    "log_softmax_gradient": [
        Case(((3, 4), (3, 4)), reference=lambda g, y: g - numpy.exp(y) * g.sum(-1, keepdims=True))
    ],
    "logsumexp": [
        Case(((3, 4),), reference=lambda x: numpy.log(numpy.exp(x).sum())),
        Case(
            ((3, 4),),
            kwargs={"axis": 1, "keepdims": True},
            reference=lambda x: numpy.log(numpy.exp(x).sum(1, keepdims=True)),
        ),
    ],
    "matmul": [
        Case(shapes)
        for shapes in (
            ((3, 4), (4, 2)),
            ((4,), (4,)),
            ((3, 4), (4,)),
            ((4,), (4, 2)),
            ((2, 3, 4), (4, 2)),
            ((4,), (2, 4, 3)),
            ((5, 1, 3, 4), (2, 4, 2)),
            ((2, 3, 4), (4,)),
            ((0, 4), (4, 2)),
            ((3, 0), (0, 2)),
        )
    ],
    "times_transposed": [
        Case(shapes, reference=lambda x, y: x @ y.swapaxes(-1, -2))
        for shapes in (((3, 4), (2, 4)), ((2, 3, 4), (2, 4)))
    ],
    "transposed_times": [
        Case(shapes, reference=lambda x, y: x.swapaxes(-1, -2) @ y)
        for shapes in (((4, 3), (4, 2)), ((2, 4, 3), (4, 2)))
    ],
    "matrix_transpose": [Case(((3, 4),)), Case(((2, 3, 4),))],
    "max": _reductions(),
    "mean": _reductions(),
    "min": _reductions(),
    "nonzero": [Case(((3, 4),))],
    "permute_dims": [Case(((2, 3, 4),), args=((2, 0, 1),))],
    "pinv": [
        *(_of_general("pinv", shape=shape) for shape in ((3, 3), (2, 4, 2), (2, 4))),
        _of_general("pinv", shape=(4, 4), prepare=_of_rank(2), rtol=1e-3),
    ],
    "polygamma": [
        Case(
            ((3, 4),),
            call=lambda x, n=n: rustorch.special.polygamma(n, x * 0.5 + 2),
            reference=lambda x, n=n: _polygamma(n, x * 0.5 + 2),
        )
        for n in (1, 2, 3)
    ],
    "prod": _reductions(),
    "reshape": [Case(((3, 4),), args=((2, -1),)), Case(((3, 4),), args=([12],)), Case(((0, 3),), args=((0,),))],
    "roll": [Case(((3, 4),), args=(2,)), Case(((3, 4),), args=((1, -1),), kwargs={"axis": (0, 1)})],
    "scatter": [
        Case(
            ((3, 3),),
            call=lambda g: _function("scatter")(g, (4, 3), (_native_index(g, 0, 2, 2), ...)),
            reference=_scattered,
        )
    ],
    "searchsorted": [
        Case(
            ((5,), (3,)),
            call=lambda x, v: _function("searchsorted")(_sorted(x), v),
            reference=lambda x, v: numpy.searchsorted(numpy.sort(x), v),
        )
    ],
    "setitem": [Case(((3, 2), (2,)), call=_written, reference=_written_in_numpy)],
    "relu_gradient": [Case(((3, 4), (3, 4)), reference=lambda g, y: numpy.where(y > 0, g, 0))],
    "silu_gradient": [Case(((3, 4), (3, 4)), reference=_slope(lambda x: x / (1 + numpy.exp(-x))))],
    "softmax": [
        Case(((3, 4),), reference=_softmax),
        Case(((3, 4),), kwargs={"axis": 0}, reference=lambda x: _softmax(x, 0)),
    ],
    "softmax_gradient": [Case(((3, 4), (3, 4)), reference=lambda g, y: y * (g - (g * y).sum(-1, keepdims=True)))],
    "squeeze": [Case(((3, 1, 4),), kwargs={"axis": 1}), Case(((1, 3, 1),), kwargs={"axis": (0, 2)})],
    "stack": [Case(((2, 3), (2, 3))), Case(((2, 3), (2, 3)), kwargs={"axis": -1})],
    "std": _reductions(correction=1),
    "sum": _reductions(),
    "transfer": [Case(((3, 4),), call=lambda x: x.to(x.device), reference=lambda x: x)],
    "tril": [Case(((3, 4),)), Case(((2, 3, 3),), kwargs={"k": 1})],
    "triu": [Case(((3, 4),)), Case(((2, 3, 3),), kwargs={"k": -1})],
    "unique_all": [Case(((3, 4),))],
    "var": [*_reductions(), *_reductions(correction=1)],
    "where": [
        Case(((3, 4), (3, 4), (4,)), dtypes=("bool", None, None)),
        Case(((3, 1), (), (2,)), dtypes=("bool", None, None)),
    ],
}


def _function(name: str) -> Callable[..., Any]:
    function = REGISTRY[name].function
    assert function is not None
    return function


def _clip(x: Any, *bounds: Any) -> Any:
    return _function("clip")(x, *bounds)


def _sorted(x: Any) -> Any:
    return x.sort()
