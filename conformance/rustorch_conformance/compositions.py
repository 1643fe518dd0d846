"""The public functions that are no ops but made of them: samples of those with a gradient, and why others have none."""

from __future__ import annotations

import importlib
import types
from typing import Any

import numpy

import rustorch
from rustorch_conformance.samples import Array, Case, Composition
from rustorch_core._op import REGISTRY

_ANY, _REAL, _LINALG = "floating-point", "real floating-point", "single or double floating-point"
_NAMESPACES = ("", "linalg", "fft", "special", "nn.functional")


def public_functions() -> list[str]:
    """Every function of the namespaces that is no op, as users write it, without `rustorch.`, by its first name."""
    found = {op.function: op.name for op in REGISTRY.values() if op.function is not None}
    names = []
    for space in _NAMESPACES:
        module = importlib.import_module(f"rustorch.{space}".rstrip("."))
        for name in dir(module):
            value = getattr(module, name)
            if isinstance(value, types.FunctionType) and not name.startswith("_"):
                if value not in found:
                    names.append(f"{space}.{name}".lstrip("."))
                found.setdefault(value, name)
    return names


def _row(name: str, category: str, *cases: Any, domain: tuple[float, float] = (-2.0, 2.0)) -> Composition:
    """A row; a case may be written as the arguments of `Case`: shapes, then arguments by name."""
    made = [
        case if isinstance(case, Case) else Case(case[0], kwargs=dict(case[1]) if len(case) > 1 else {})
        for case in cases
    ]
    return Composition(name, tuple(made), category, domain)


def _with_nan(x: Array) -> Array:
    """Every fifth element missing."""
    return numpy.where(numpy.arange(x.size).reshape(x.shape) % 5 == 2, numpy.nan, x)


def _regular(x: Array) -> Array:
    """Square matrices far from singular."""
    return x + 3 * numpy.eye(x.shape[-1])


_MATRIX, _STACK, _BLOCK = ((3, 4),), ((2, 3, 3),), ((2, 3, 4),)
_AXES = ({}, {"axis": 0}, {"axis": (0, -1), "keepdims": True})
_REDUCED = tuple((_BLOCK, axes) for axes in _AXES)
_HOLED = tuple(Case(_BLOCK, kwargs=axes, prepare=_with_nan) for axes in _AXES)
_RUNNING = tuple((_MATRIX, {"axis": axis}) for axis in (None, 1))


def _called(name: str, *shapes: tuple[int, ...], **others: Any) -> Any:
    """Cases for a function whose further arguments stand by position: one for each tuple of them."""
    prepare = others.pop("prepare", None)
    options = others.pop("options", {})
    return [
        Case(
            shapes,
            call=lambda *xs, extra=extra: _named(rustorch, name)(*xs, *extra, **options),
            reference=lambda *xs, extra=extra: _named(numpy, name)(*xs, *extra, **options),
            prepare=prepare,
        )
        for extra in others.pop("extras")
    ]


def _named(space: Any, name: str) -> Any:
    for part in name.split("."):
        space = getattr(space, part)
    return space


def _listed(name: str, *shapes: tuple[int, ...], **options: Any) -> Case:
    """A function that takes its arrays as one list."""
    return Case(
        shapes,
        call=lambda *xs: _named(rustorch, name)(list(xs), **options),
        reference=lambda *xs: _named(numpy, name)(list(xs), **options),
    )


def _subscripted(subscripts: str, *shapes: tuple[int, ...]) -> Case:
    return Case(
        shapes,
        call=lambda *xs: rustorch.einsum(subscripts, *xs),
        reference=lambda *xs: numpy.einsum(subscripts, *xs),
    )


def _only(call: Any, *shapes: tuple[int, ...], **others: Any) -> Case:
    """A case whose values are checked elsewhere."""
    return Case(shapes, call=call, **others)


def _functional(name: str, **options: Any) -> Any:
    """A function of `nn.functional` with options."""
    return lambda *xs: _named(rustorch.nn.functional, name)(*xs, **options)


def _places(x: Any, *places: int, dtype: str = "int64") -> Any:
    return rustorch.asarray(places, dtype=dtype, device=x.device)


COMPOSITIONS: list[Composition] = [
    # Arrangements
    _row("array_split", _ANY, *_called("array_split", (5, 3), extras=[(3,), ([1, 3],), (2, 1)])),
    _row("atleast_1d", _ANY, (((),),)),
    _row("atleast_2d", _ANY, (((3,),),)),
    _row("atleast_3d", _ANY, (_MATRIX,)),
    _row("broadcast_arrays", _ANY, (((3, 1), (1, 4)),)),
    _row("diag", _ANY, *_called("diag", (3, 4), extras=[(), (1,)]), *_called("diag", (3,), extras=[(-1,)])),
    _row("diff", _ANY, (_MATRIX,), (_MATRIX, {"axis": 0, "n": 2})),
    _row("fliplr", _ANY, (_MATRIX,)),
    _row("flipud", _ANY, (_MATRIX,)),
    _row("hstack", _ANY, _listed("hstack", (2, 3), (2, 1)), _listed("hstack", (2,), (3,))),
    _row("meshgrid", _ANY, (((3,), (2,)),), (((3,), (2,)), {"indexing": "ij"})),
    _row("moveaxis", _ANY, *_called("moveaxis", (2, 3, 4), extras=[(0, -1), ((0, 1), (2, 0))])),
    _row(
        "pad",
        _ANY,
        *_called("pad", (3, 4), extras=[(1,), (((1, 2), (0, 3)),)]),
        *(
            _called("pad", (3, 4), extras=[(2,)], options={"mode": mode})[0]
            for mode in ("edge", "reflect", "symmetric", "wrap")
        ),
    ),
    _row("ravel", _ANY, (_MATRIX,)),
    _row("repeat", _ANY, *_called("repeat", (3, 4), extras=[(2,)]), *_called("repeat", (3,), extras=[([0, 2, 1],)])),
    _row("rot90", _ANY, *_called("rot90", (3, 4), extras=[(1,), (2,), (3,), (0,)])),
    _row("split", _ANY, *_called("split", (4, 3), extras=[(2,), ([1, 3],)])),
    _row("swapaxes", _ANY, *_called("swapaxes", (2, 3, 4), extras=[(0, -1)])),
    _row("take", _ANY, _only(lambda x: rustorch.take(x, _places(x, 0, 2, 2), axis=1), (3, 4))),
    _row(
        "take_along_axis",
        _ANY,
        _only(lambda x: rustorch.take_along_axis(x, rustorch.argsort(rustorch.real(x), axis=0), axis=0), (3, 4)),
        _only(lambda x: rustorch.take_along_axis(x, _places(x, 0, 0, 2).reshape((3, 1)), axis=1), (3, 4)),
    ),
    _row("tile", _ANY, *_called("tile", (3, 4), extras=[((2, 1),), ((2, 1, 2),)])),
    _row("transpose", _ANY, (_BLOCK,), *_called("transpose", (2, 3, 4), extras=[((1, 2, 0),)])),
    _row("unstack", _ANY, _only(lambda x: rustorch.unstack(x, axis=1), (3, 4))),
    _row("vstack", _ANY, _listed("vstack", (2, 3), (1, 3)), _listed("vstack", (3,), (3,))),
    # Samples
    _row("average", _ANY, (_MATRIX,), _only(lambda x, w: rustorch.average(x, weights=w * w + 1, axis=0), (3, 4), (3,))),
    _row("bincount", _ANY, _only(lambda w: rustorch.bincount(_places(w, 0, 2, 2, 1), w), (4,))),
    _row("corrcoef", _ANY, (_MATRIX,), (_MATRIX, {"rowvar": False})),
    _row("cov", _ANY, (_MATRIX,), (_MATRIX, {"rowvar": False, "bias": True}), (((5,),),)),
    _row(
        "histogram",
        _ANY,
        _only(lambda w: rustorch.histogram(rustorch.arange(4.0, device=w.device), bins=3, weights=w)[0], (4,)),
    ),
    _row("median", _REAL, *_REDUCED),
    _row("percentile", _REAL, *_called("percentile", (3, 4), extras=[(30,), ([10, 60, 100], 0)])),
    _row("ptp", _REAL, *_called("ptp", (3, 4), extras=[(), (1,)])),
    _row(
        "quantile",
        _REAL,
        *_called("quantile", (2, 3, 4), extras=[(0.3,), ([0.1, 0.6, 1.0], (0, 2))]),
        *(
            _called("quantile", (3, 5), extras=[(0.4, 1)], options={"method": method})[0]
            for method in ("lower", "midpoint", "hazen", "median_unbiased", "interpolated_inverted_cdf")
        ),
    ),
    # NaN left out
    *(_row(name, _REAL, *_HOLED) for name in ("nanmax", "nanmin", "nanmedian")),
    *(_row(name, _ANY, *_HOLED) for name in ("nanmean", "nanstd", "nansum", "nanvar")),
    _row("nanprod", _ANY, *_HOLED, domain=(0.5, 2.0)),
    *(
        _row(name, _ANY, *(Case(_MATRIX, kwargs={"axis": axis}, prepare=_with_nan) for axis in (None, 0)))
        for name in ("nancumsum", "nancumprod")
    ),
    _row("nanquantile", _REAL, *_called("nanquantile", (3, 4), extras=[(0.3,), ([0.2, 0.7], 0)], prepare=_with_nan)),
    _row("nan_to_num", _ANY, (_MATRIX,), Case(_MATRIX, prepare=_with_nan)),
    # Calculus
    _row("cumprod", _ANY, *_RUNNING),
    _row("cumsum", _ANY, *_RUNNING),
    _row("gradient", _ANY, (_MATRIX,), (((5,),), {"edge_order": 2}), *_called("gradient", (3, 4), extras=[(0.5, 2.0)])),
    _row(
        "interp",
        _REAL,
        _only(lambda x, fp: rustorch.interp(x, [-1.5, 0.0, 1.0], fp), (6,), (3,)),
        _only(lambda x, step, fp: rustorch.interp(x, rustorch.cumsum(step * step + 0.1) - 2, fp), (6,), (4,), (4,)),
    ),
    _row("trapezoid", _ANY, (_MATRIX,), (((3, 4), (4,)),), (_MATRIX, {"axis": 0, "dx": 0.3})),
    # Products
    _row(
        "convolve", _ANY, *(_called("convolve", (5,), (3,), extras=[(mode,)])[0] for mode in ("full", "same", "valid"))
    ),
    _row("dot", _ANY, (((3, 4), (4, 2)),), (((4,), (4,)),), (((2, 3, 4), (5, 4, 2)),), (((), (3,)),)),
    _row(
        "einsum",
        _ANY,
        _subscripted("ij,jk->ki", (2, 3), (3, 4)),
        _subscripted("iij->j", (3, 3, 2)),
        _subscripted("...ij,...jk", (5, 1, 3, 4), (2, 4, 2)),
        _subscripted("ij,jk,kl->il", (2, 3), (3, 4), (4, 2)),
        _subscripted("i,j->", (2,), (3,)),
        _subscripted("ij,ij->ij", (2, 3), (2, 1)),
    ),
    _row("inner", _ANY, (((3, 4), (2, 4)),), (((4,), (4,)),)),
    _row("kron", _ANY, (((2, 3), (2, 2)),), (((2,), (3, 2)),)),
    _row("outer", _ANY, (((2, 3), (4,)),)),
    _row("tensordot", _ANY, (((2, 3, 4), (3, 4, 5)),), (((2, 3), (3, 2)), {"axes": ((0, 1), (1, 0))})),
    _row("vecdot", _ANY, (((3, 4), (4,)),), (((3, 4), (3, 1)), {"axis": 0}), (((3, 4), (3,)), {"axis": 0})),
    # Layers
    *(
        _row(name, _ANY, *(_only(_functional(name, **options), shape, kernels, kernels[:1]) for options in each))
        for name, shape, kernels, each in (
            ("conv1d", (2, 2, 4), (2, 2, 2), ({}, {"padding": "same"})),
            ("conv2d", (1, 2, 3, 3), (2, 2, 2, 2), ({}, {"stride": 2, "padding": (1, 0)})),
            ("conv3d", (2, 2, 2, 2, 3), (2, 2, 2, 2, 1), ({},)),
        )
    ),
    *(
        _row(name, _REAL, *(_only(_functional(name, **options), (1, 2, *[4] * int(name[-2]))) for options in each))
        for name, each in (
            ("max_pool1d", ({"kernel_size": 2},)),
            ("max_pool2d", ({"kernel_size": 2}, {"kernel_size": 3, "stride": 1, "padding": 1})),
            ("avg_pool1d", ({"kernel_size": 2},)),
            ("avg_pool2d", ({"kernel_size": 3, "padding": 1, "ceil_mode": True, "count_include_pad": False},)),
            ("adaptive_avg_pool2d", ({"output_size": (3, None)}, {"output_size": 1})),
        )
    ),
    _row(
        "nn.functional.dropout",
        _ANY,
        _only(lambda x: rustorch.nn.functional.dropout(x, 0.4, generator=rustorch.random.Generator(0)), (3, 4)),
        _only(lambda x: rustorch.nn.functional.dropout(x, training=False), (3, 4)),
    ),
    _row(
        "nn.functional.scaled_dot_product_attention",
        _REAL,
        *(
            _only(_functional("scaled_dot_product_attention", **options), (2, 3, 2), (2, 3, 2), (1, 3, 2))
            for options in ({}, {"is_causal": True, "scale": 0.3})
        ),
        _only(_functional("scaled_dot_product_attention"), (3, 2), (4, 2), (4, 3), (3, 4)),
        _only(
            lambda q, k, v: rustorch.nn.functional.scaled_dot_product_attention(
                q, k, v, rustorch.asarray([[True, False], [False, False]], device=q.device)
            ),
            *((2, 2),) * 3,
        ),
        _only(_functional("scaled_dot_product_attention", enable_gqa=True), (2, 3, 2), (1, 3, 2), (1, 3, 2)),
    ),
    # Losses
    _row(
        "binary_cross_entropy_with_logits",
        _REAL,
        _only(_functional("binary_cross_entropy_with_logits"), (3, 4), (3, 4)),
        _only(
            lambda x, t, w, p: rustorch.nn.functional.binary_cross_entropy_with_logits(x, t, weight=w, pos_weight=p),
            *((3, 4), (3, 4), (3, 1), (4,)),
        ),
    ),
    _row("huber_loss", _REAL, _only(_functional("huber_loss", delta=0.7), (3, 4), (3, 4))),
    _row("l1_loss", _REAL, _only(_functional("l1_loss"), (3, 4), (3, 4))),
    _row(
        "nll_loss",
        _REAL,
        _only(lambda x: rustorch.nn.functional.nll_loss(x, _places(x, 0, 2, 1), ignore_index=2), (3, 4)),
        _only(lambda x, w: rustorch.nn.functional.nll_loss(x, _places(x, 0, 2, 1), weight=w * w + 1), (3, 4), (4,)),
    ),
    _row("smooth_l1_loss", _REAL, _only(_functional("smooth_l1_loss", beta=0.7, reduction="sum"), (3, 4), (3, 4))),
    _row("mse_loss", _ANY, _only(rustorch.nn.functional.mse_loss, (3, 4), (3, 4))),
    # Linear algebra
    *(
        _row(
            f"linalg.{name}",
            _LINALG,
            *(
                _called(f"linalg.{name}", shape, extras=[(order,)], prepare=_regular if shape == (3, 3) else None)[0]
                for order in orders
                for shape in shapes
            ),
        )
        for name, orders, shapes in (
            ("cond", (None, 2, -2, 1, -1, "fro", numpy.inf, -numpy.inf), [(3, 3)]),
            ("norm", (None, "fro", "nuc", 1, -1, 2, -2, numpy.inf, -numpy.inf), [(3, 4)]),
            ("matrix_power", (-3, -1, 0, 1, 2, 5), [(3, 3)]),
        )
    ),
    _row("linalg.cross", _LINALG, (((2, 3), (2, 3)),), (((3, 1), (3, 2)), {"axis": 0})),
    _row(
        "linalg.expm",
        _LINALG,
        _only(rustorch.linalg.expm, (2, 3, 3)),
        _only(rustorch.linalg.expm, (3, 3), prepare=lambda x: 9 * x),
    ),
    _row(
        "linalg.lstsq",
        _LINALG,
        *(
            _only(lambda a, b: rustorch.linalg.lstsq(a, b)[:2], *shapes)
            for shapes in (((5, 3), (5,)), ((5, 3), (5, 2)), ((3, 3), (3, 2)), ((2, 4), (2, 3)))
        ),
        _only(lambda u, v, b: rustorch.linalg.lstsq(u @ v, b, rcond=1e-3).x, (5, 2), (2, 4), (5, 2)),
    ),
    _row(
        "linalg.lu",
        _LINALG,
        *(_only(lambda x: tuple(rustorch.linalg.lu(x)), shape) for shape in ((3, 3), (4, 2), (2, 4))),
    ),
    _row(
        "linalg.matrix_norm",
        _LINALG,
        *((_BLOCK, {"ord": order}) for order in ("fro", "nuc", 1, -1, 2, -2, numpy.inf, -numpy.inf)),
        (_BLOCK, {"keepdims": True}),
    ),
    _row(
        "linalg.multi_dot",
        _LINALG,
        _listed("linalg.multi_dot", (2, 3), (3, 4), (4, 2)),
        _listed("linalg.multi_dot", (3,), (3, 4), (4,)),
    ),
    _row("linalg.outer", _LINALG, (((2,), (3,)),)),
    _row("linalg.pinv", _LINALG, (((2, 4, 2),),), (((2, 4),),)),
    _row("linalg.trace", _LINALG, (_BLOCK,), (_BLOCK, {"offset": 1})),
    _row(
        "linalg.vector_norm",
        _LINALG,
        *((_BLOCK, {"ord": order}) for order in (2, 1, 0, numpy.inf, -numpy.inf, 3, 1.5, 0.5, -1, -2)),
        (_BLOCK, {"axis": (0, 2), "keepdims": True}),
    ),
    # Transforms
    *(
        _row(f"fft.{name}", _ANY, (_BLOCK,), (_BLOCK, {"axes": (2, 0), "s": (3, 5), "norm": "ortho"}))
        for name in ("fftn", "ifftn")
    ),
    _row("fft.rfftn", _REAL, (_BLOCK,), (_BLOCK, {"axes": (2, 0), "s": (3, 5), "norm": "ortho"})),
    _row("fft.irfftn", _ANY, (_BLOCK,), (_BLOCK, {"axes": (2, 0), "s": (3, 5), "norm": "forward"})),
    _row("fft.hfft", _ANY, (_MATRIX,), (_MATRIX, {"n": 5, "axis": 0})),
    _row("fft.ihfft", _REAL, (_MATRIX,), (_MATRIX, {"n": 5, "axis": 0})),
    _row("fft.fftshift", _ANY, (_MATRIX,), (_MATRIX, {"axes": 1})),
    _row("fft.ifftshift", _ANY, (_MATRIX,), (_MATRIX, {"axes": 1})),
    # Special functions
    *(
        _row(
            f"special.{name}",
            _REAL,
            *(_only(_named(rustorch.special, name), (3, 4), kwargs=axis) for axis in ({}, {"axis": 1})),
        )
        for name in ("logsumexp", "softmax", "log_softmax")
    ),
    _row("angle", "complex floating-point", (_MATRIX,), (_MATRIX, {"deg": True})),
    *(
        _row(f"special.{name}", _REAL, _only(_named(rustorch.special, name), (3, 4), (4,)), domain=(0.3, 5.0))
        for name in ("chdtr", "chdtrc")
    ),
    *(
        _row(f"special.{name}", _REAL, _only(_named(rustorch.special, name), (3, 4), (4,), (3, 1)), domain=(0.3, 5.0))
        for name in ("fdtr", "fdtrc")
    ),
    _row(
        "special.multigammaln", _REAL, _only(lambda x: rustorch.special.multigammaln(x, 3), (3, 4)), domain=(1.3, 5.0)
    ),
    _row("special.polygamma", _REAL, _only(lambda x: rustorch.special.polygamma(2, x), (3, 4)), domain=(0.3, 5.0)),
]

_MAKES = "it makes tensors from numbers"
_ANSWERS = "it answers a question"
_FINDS = "it finds places, and they change in jumps"
_COUNTS = "it counts, and counts change in jumps"
_TRANSFORMS = "it changes functions, or how they run and what is shown"

#: Public functions through which no gradient flows, and why; the ops without one say it themselves.
WITHOUT_GRADIENT: dict[str, str] = {
    **dict.fromkeys(
        ("arange", "asarray", "empty", "empty_like", "eye", "from_dlpack", "full", "full_like", "geomspace", "linspace",
         "logspace", "ones", "ones_like", "zeros", "zeros_like", "fft.fftfreq", "fft.rfftfreq"), _MAKES
    ),
    **dict.fromkeys(
        ("allclose", "array_equal", "broadcast_shapes", "can_cast", "default_device", "device", "devices", "finfo",
         "get_num_threads", "iinfo", "iscomplex", "isclose", "isdtype", "isin", "isreal", "result_type"), _ANSWERS
    ),
    **dict.fromkeys(("argwhere", "flatnonzero", "nanargmax", "nanargmin"), _FINDS),
    **dict.fromkeys(("linalg.matrix_rank", "unique_counts", "unique_inverse", "unique_values"), _COUNTS),
    **dict.fromkeys(
        ("checkpoint", "custom_gradient", "enable_grad", "grad", "hessian", "hvp", "jacobian", "jvp", "no_grad",
         "printoptions", "set_default_device", "set_default_dtype", "set_num_threads", "set_printoptions",
         "stop_gradient", "value_and_grad", "vjp"), _TRANSFORMS
    ),
}  # fmt: skip
