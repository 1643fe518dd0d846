"""Gradients beside those of PyTorch and JAX, on the same programs; `make test-peers` installs both.

A program is written once, against a namespace of the standard, and run in all three. Where the two disagree, ours must
be one of theirs; a program that one of them does not have is compared with the other.
"""

import array_api_compat.torch as torch_namespace
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

import rustorch as rt

jax.config.update("jax_enable_x64", True)


# Three libraries


class Ours:
    xp = rt
    asarray = staticmethod(rt.asarray)

    @staticmethod
    def activation(name):
        return getattr(rt.nn.functional, name)

    @staticmethod
    def special(name):
        return getattr(rt.special, name)

    @staticmethod
    def gradients(loss, arrays):
        return rt.grad(loss, tuple(range(len(arrays))))(*arrays)

    @staticmethod
    def host(x):
        return x.detach().numpy()


class PyTorch:
    """Its gradients of complex numbers are the conjugates of ours."""

    xp = torch_namespace

    @staticmethod
    def asarray(x):
        return torch.asarray(x)

    @staticmethod
    def activation(name):
        function = getattr(torch.nn.functional, name)
        return (lambda x, axis: function(x, dim=axis)) if name.endswith("softmax") else function

    @staticmethod
    def special(name):
        return getattr(torch.special, name)

    @staticmethod
    def gradients(loss, arrays):
        leaves = [x if x.requires_grad else x.clone().requires_grad_() for x in arrays]
        found = torch.autograd.grad(loss(*leaves), leaves, create_graph=True, allow_unused=True)
        return [
            torch.zeros_like(x) if g is None else g.resolve_conj().conj() for x, g in zip(leaves, found, strict=True)
        ]

    @staticmethod
    def host(x):
        return x.detach().resolve_conj().numpy()


class Jax:
    xp = jnp
    asarray = staticmethod(jnp.asarray)

    @staticmethod
    def activation(name):
        return {"gelu": lambda x, approximate="none": jax.nn.gelu(x, approximate=approximate == "tanh")}.get(
            name, getattr(jax.nn, name, None)
        )

    @staticmethod
    def special(name):
        return getattr(jax.scipy.special, name)

    @staticmethod
    def gradients(loss, arrays):
        return jax.grad(loss, tuple(range(len(arrays))))(*arrays)

    @staticmethod
    def host(x):
        return np.asarray(x)


def weights(shape, seed):
    return np.random.default_rng(seed).uniform(0.5, 1.5, shape)


def projected(library, program):
    """The program as one of one real number: the sum of its values, weighted at random."""
    xp = library.xp

    def loss(*arrays):
        results = program(library, *arrays)
        total = 0
        for number, result in enumerate(results if isinstance(results, (tuple, list)) else [results]):
            if "complex" in str(result.dtype):
                result = xp.real(result * (1 - 0.5j))
            total = total + xp.sum(result * library.asarray(weights(tuple(result.shape), number)))
        return total

    return loss


def derivatives(library, program, arrays, order):
    """The gradients, or for second order those of the slope along a fixed direction."""
    loss = projected(library, program)
    inputs = [library.asarray(array) for array in arrays]
    if order == 2:
        first = loss
        directions = [library.asarray(weights(array.shape, 7 + number)) for number, array in enumerate(arrays)]

        def loss(*inputs):
            gradients = library.gradients(first, inputs)
            return sum(library.xp.sum(library.xp.real(g) * v) for g, v in zip(gradients, directions, strict=True))

    return [library.host(g) for g in library.gradients(loss, inputs)]


def close(ours, theirs):
    return all(
        np.allclose(a, b, rtol=1e-7, atol=1e-9 * max(1.0, float(np.abs(b).max(initial=0))), equal_nan=True)
        for a, b in zip(ours, theirs, strict=True)
    )


def agree(program, arrays, order):
    ours = derivatives(Ours, program, arrays, order)
    theirs = {}
    for library in (PyTorch, Jax):
        try:
            theirs[library.__name__] = derivatives(library, program, arrays, order)
        except (AttributeError, NotImplementedError, TypeError, RuntimeError, ValueError) as error:
            theirs[library.__name__] = error
    found = [each for each in theirs.values() if not isinstance(each, Exception)]
    assert found, f"neither has this program: {theirs}"
    matches = [close(ours, each) for each in found]
    disagree = len(found) == 2 and not close(*found)
    assert any(matches) if disagree else all(matches), f"ours {ours}\n{theirs}"


# Programs

PROGRAMS = []


def programs(name, call, *shapes, low=-2.0, high=2.0, kinds="rc", orders=(1, 2)):
    """Enter a program for each kind of numbers and each order."""
    for kind in kinds:
        for order in orders if kind == "r" else (1,):
            PROGRAMS.append(pytest.param(call, shapes, low, high, kind, order, id=f"{name}-{kind}{order}"))


def drawn(shapes, low, high, kind, seed=0):
    """Numbers that are apart from each other, so that nothing ties."""
    generator = np.random.default_rng(seed)
    arrays = []
    for shape in shapes:
        size = int(np.prod(shape))
        real, imaginary = (
            (low + (high - low) * (generator.permutation(size) + generator.uniform(0.2, 0.8, size)) / max(size, 1))
            for _ in range(2)
        )
        arrays.append((real + 1j * imaginary if kind == "c" else real).reshape(shape))
    return arrays


def method(path, *args, **kwargs):
    """A call of a namespace's function, with further arguments."""

    def call(library, *arrays):
        function = library.xp
        for part in path.split("."):
            function = getattr(function, part)
        return function(*arrays, *args, **kwargs)

    return call


def joined(path, **kwargs):
    return lambda library, *arrays: getattr(library.xp, path)(list(arrays), **kwargs)


UNARY = {
    "abs": {}, "acos": {"low": -0.9, "high": 0.9}, "acosh": {"low": 1.2, "high": 4.0},
    "asin": {"low": -0.9, "high": 0.9}, "asinh": {}, "atan": {}, "atanh": {"low": -0.9, "high": 0.9},
    "ceil": {"kinds": "r"}, "conj": {"kinds": "c"}, "cos": {}, "cosh": {}, "exp": {}, "expm1": {},
    "floor": {"kinds": "r"}, "imag": {"kinds": "c"}, "log": {"low": 0.2}, "log10": {"low": 0.2}, "log1p": {"low": -0.8},
    "log2": {"low": 0.2}, "negative": {}, "positive": {}, "real": {"kinds": "c"}, "reciprocal": {"low": 0.5},
    "round": {"kinds": "r"}, "sign": {}, "sin": {}, "sinh": {}, "sqrt": {"low": 0.2}, "square": {},
    "tan": {"low": -1.2, "high": 1.2}, "tanh": {}, "trunc": {"kinds": "r"},
}  # fmt: skip
BINARY = {
    "add": {}, "atan2": {"kinds": "r"}, "copysign": {"kinds": "r"}, "divide": {"low": 0.5},
    "floor_divide": {"kinds": "r"}, "hypot": {"kinds": "r"}, "logaddexp": {"kinds": "r"}, "maximum": {"kinds": "r"},
    "minimum": {"kinds": "r"}, "multiply": {}, "pow": {"low": 0.5},
    "remainder": {"kinds": "r", "low": 1.0, "high": 9.0}, "subtract": {},
}  # fmt: skip
for name, options in UNARY.items():
    for shape in ((3, 4), ()):
        programs(f"{name}{list(shape)}", method(name), shape, **options)
for name, options in BINARY.items():
    for first, second in (((3, 4), (3, 4)), ((3, 1), (4,)), ((), (2, 3))):
        programs(f"{name}{list(first)}{list(second)}", method(name), first, second, **options)

AXES = ({}, {"axis": 0}, {"axis": 1, "keepdims": True}, {"axis": (0, 2)}, {"axis": (-1, 1), "keepdims": True})
for name in ("sum", "prod", "mean", "max", "min", "var", "std"):
    for axes in AXES:
        kinds = "rc" if name in ("sum", "prod", "mean") else "r"
        programs(f"{name}{axes}", method(name, **axes), (2, 3, 4), kinds=kinds)
for name in ("var", "std"):
    programs(f"{name}-correction", method(name, axis=1, correction=1), (3, 4), kinds="r")
for name in ("cumulative_sum", "cumulative_prod"):
    for axis in (0, 1):
        for include in (False, True):
            programs(f"{name}{axis}{include}", method(name, axis=axis, include_initial=include), (3, 4))

MANIPULATIONS = {
    "broadcast_to": (method("broadcast_to", (2, 3, 4)), (3, 1)),
    "expand_dims": (method("expand_dims", axis=1), (3, 4)),
    "flip": (method("flip", axis=1), (3, 4)),
    "flip-all": (method("flip"), (3, 4)),
    "matrix_transpose": (method("matrix_transpose"), (2, 3, 4)),
    "moveaxis": (method("moveaxis", 0, -1), (2, 3, 4)),
    "permute_dims": (method("permute_dims", (2, 0, 1)), (2, 3, 4)),
    "repeat": (method("repeat", 3, axis=1), (3, 4)),
    "reshape": (method("reshape", (2, 6)), (3, 4)),
    "roll": (method("roll", 2, axis=1), (3, 4)),
    "roll-all": (method("roll", 5), (3, 4)),
    "squeeze": (method("squeeze", axis=1), (3, 1, 4)),
    "tile": (method("tile", (2, 1, 2)), (3, 4)),
    "tril": (method("tril", k=-1), (3, 4)),
    "triu": (method("triu", k=1), (2, 3, 3)),
    "unstack": (method("unstack", axis=1), (3, 4)),
    "diff": (method("diff", axis=0), (3, 4)),
    "slice": (lambda library, x: x[1:, ::2], (3, 4)),
    "pick": (lambda library, x: x[-1], (3, 4)),
    "newaxis": (lambda library, x: x[:, None, 1:, ...], (3, 4)),
    "list": (lambda library, x: x[library.asarray(np.asarray([0, 2, 2]))], (3, 4)),
    "pairs": (lambda library, x: x[library.asarray(np.asarray([0, 2])), library.asarray(np.asarray([3, 1]))], (3, 4)),
    "mask": (lambda library, x: x[library.asarray(np.asarray([True, False, True]))], (3, 4)),
    "take": (lambda library, x: library.xp.take(x, library.asarray(np.asarray([1, 1, 3])), axis=1), (3, 4)),
    "take_along_axis": (
        lambda library, x: library.xp.take_along_axis(x, library.asarray(np.asarray([[0], [2], [2]])), axis=1),
        (3, 4),
    ),
}
for name, (call, shape) in MANIPULATIONS.items():
    programs(name, call, shape)
programs("sort", method("sort", axis=0), (3, 4), kinds="r")
programs("sort-descending", method("sort", axis=1, descending=True), (3, 4), kinds="r")
for axis in (0, 1, -1):
    programs(f"concat{axis}", joined("concat", axis=axis), (3, 3), (3, 3))
    programs(f"stack{axis}", joined("stack", axis=axis), (2, 3), (2, 3))
programs("concat-flat", joined("concat", axis=None), (2, 2), (3,))
programs("where", lambda library, x, y: library.xp.where(library.xp.real(x) > 0.1, x * y, y), (3, 4), (4,))
for bounds in ((-1.0, 1.0), (None, 0.5), (0.0, None)):
    programs(f"clip{bounds}", lambda library, x, bounds=bounds: library.xp.clip(x, *bounds), (3, 4), kinds="r")

MATMULS = (
    *(((3, 4), (4, 2)), ((4,), (4,)), ((3, 4), (4,)), ((4,), (4, 2))),
    *(((2, 3, 4), (4, 2)), ((2, 1, 3, 4), (5, 4, 2)), ((4,), (2, 4, 3))),
)
for first, second in MATMULS:
    programs(f"matmul{list(first)}{list(second)}", method("matmul"), first, second)
for axes in (0, 1, 2, ((0, 1), (1, 0))):
    second = {0: (2,), 1: (3, 2), 2: (2, 3, 4)}.get(axes, (3, 2, 4)) if isinstance(axes, int) else (3, 2)
    programs(f"tensordot{axes}", method("tensordot", axes=axes), (2, 3), second)
programs("vecdot", method("vecdot"), (3, 4), (4,))
programs("vecdot-axis", method("vecdot", axis=0), (3, 4), (3, 1))
for subscripts, shapes in {
    "ij,jk->ki": [(2, 3), (3, 4)], "ij,ij->": [(2, 3), (2, 3)], "bhqd,bhkd->bhqk": [(2, 1, 3, 2), (2, 1, 4, 2)],
    "ii->i": [(3, 3)], "i,j->ij": [(2,), (3,)], "ij,jk,kl->il": [(2, 3), (3, 2), (2, 2)],
    "...i,...i->...": [(2, 3), (3,)],
}.items():  # fmt: skip
    programs(f"einsum {subscripts}", lambda library, *xs, s=subscripts: library.xp.einsum(s, *xs), *shapes)


def adjoint(library, x):
    return library.xp.matrix_transpose(library.xp.conj(x) if "complex" in str(x.dtype) else x)


def positive(library, x):
    return x @ adjoint(library, x) + library.asarray(np.eye(x.shape[-1]) * 2)


def hermitian(library, x):
    return (x + adjoint(library, x)) / 2


def of_eigenvectors(library, x):
    values, vectors = library.xp.linalg.eigh(hermitian(library, x))
    return [values, (vectors * library.xp.exp(values)[..., None, :]) @ adjoint(library, vectors)]


def of_singular_vectors(library, x):
    u, s, vh = library.xp.linalg.svd(x, full_matrices=False)
    return [s, (u * library.xp.sin(s)[..., None, :]) @ vh]


def of_general_eigenvectors(library, x):
    return library.xp.sum(library.xp.linalg.eig(x)[0] ** 3)


EXPONENTIALS = {PyTorch: torch.linalg.matrix_exp, Jax: jax.scipy.linalg.expm, Ours: rt.linalg.expm}
LINEAR = {
    "det": (method("linalg.det"), (2, 3, 3)),
    "slogdet": (lambda library, x: library.xp.linalg.slogdet(x)[1], (2, 3, 3)),
    "inv": (method("linalg.inv"), (2, 3, 3)),
    "pinv": (method("linalg.pinv"), (2, 4, 3)),
    "cholesky": (lambda library, x: library.xp.linalg.cholesky(positive(library, x)), (2, 3, 3)),
    "eigh": (of_eigenvectors, (3, 3)),
    "eigvalsh": (lambda library, x: library.xp.linalg.eigvalsh(hermitian(library, x)), (2, 3, 3)),
    "eig": (of_general_eigenvectors, (3, 3)),
    "eigvals": (lambda library, x: library.xp.sum(library.xp.linalg.eigvals(x) ** 3), (3, 3)),
    "svd-tall": (of_singular_vectors, (4, 3)),
    "svd-wide": (of_singular_vectors, (2, 3, 4)),
    "svdvals": (method("linalg.svdvals"), (4, 3)),
    "qr": (lambda library, x: list(library.xp.linalg.qr(x)), (4, 3)),
    "matrix_power": (method("linalg.matrix_power", 3), (3, 3)),
    "matrix_power-negative": (method("linalg.matrix_power", -2), (3, 3)),
    "trace": (method("linalg.trace", offset=1), (3, 4)),
    "diagonal": (method("linalg.diagonal", offset=-1), (2, 3, 4)),
    "expm": (lambda library, x: EXPONENTIALS[library](x), (3, 3)),
}  # fmt: skip
for name, (call, shape) in LINEAR.items():
    programs(name, call, shape)
for right in ((3,), (3, 2)):
    programs(f"solve{list(right)}", method("linalg.solve"), (3, 3), right)
    least = {PyTorch: lambda a, b: torch.linalg.pinv(a) @ b, Ours: lambda a, b: rt.linalg.lstsq(a, b).x}
    programs(
        f"lstsq{list(right)}",
        lambda library, a, b, least=least: least.get(library, lambda a, b: jnp.linalg.lstsq(a, b)[0])(
            library.xp.concat([a, a @ a], axis=0), library.xp.concat([b, b * 2], axis=0)
        ),
        (3, 3),
        right,
    )
programs("outer", method("linalg.outer"), (3,), (4,))
programs("cross", method("linalg.cross"), (2, 3), (2, 3))
for order in (2, 1, 3, 1.5, np.inf, -np.inf, -1):
    for axes in ({}, {"axis": 0}, {"axis": (0, 1), "keepdims": True}):
        programs(f"vector_norm{order}{axes}", method("linalg.vector_norm", ord=order, **axes), (2, 3, 4), orders=(1,))
for order in ("fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf):
    programs(f"matrix_norm{order}", method("linalg.matrix_norm", ord=order), (2, 3, 4), orders=(1,))
for name in ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft", "fftn", "ifftn", "rfftn", "irfftn"):
    kinds = {"rfft": "r", "ihfft": "r", "rfftn": "r"}.get(name, "c")
    longer = {"s": (5, 3), "axes": (0, 1)} if name.endswith("n") else {"n": 5, "axis": 0}
    for options in ({}, {"norm": "ortho"}, longer):
        programs(f"{name}{options}", method(f"fft.{name}", **options), (3, 4), kinds=kinds, orders=(1,))
programs("fftshift", method("fft.fftshift"), (3, 4))

for name in ("relu", "sigmoid", "silu", "softplus", "gelu"):
    programs(name, lambda library, x, name=name: library.activation(name)(x), (3, 4), kinds="r")
programs("gelu-tanh", lambda library, x: library.activation("gelu")(x, approximate="tanh"), (3, 4), kinds="r")
for axis in (0, -1):
    for name in ("softmax", "log_softmax"):
        programs(
            f"{name}{axis}", lambda library, x, n=name, a=axis: library.activation(n)(x, axis=a), (3, 4), kinds="r"
        )
for name, options in {
    "erf": {}, "erfc": {}, "erfinv": {"low": -0.9, "high": 0.9}, "gammaln": {"low": 0.2, "high": 6.0},
    "digamma": {"low": 0.2, "high": 6.0}, "ndtr": {}, "log_ndtr": {"low": -6.0}, "ndtri": {"low": 0.05, "high": 0.95},
    "expit": {}, "logit": {"low": 0.05, "high": 0.95}, "entr": {"low": 0.2, "high": 3.0},
}.items():  # fmt: skip
    programs(name, lambda library, x, n=name: library.special(n)(x), (3, 4), kinds="r", **options)
for name in ("xlogy", "xlog1py"):
    programs(name, lambda library, x, y, n=name: library.special(n)(x, y), (3, 4), (4,), kinds="r", low=0.2)


@pytest.mark.parametrize(("call", "shapes", "low", "high", "kind", "order"), PROGRAMS)
def test_functions(call, shapes, low, high, kind, order):
    agree(call, drawn(shapes, low, high, kind), order)


# Programs made at random of many steps, on three values of one shape

STEPS = [
    lambda library, xp, x, y, c: xp.sin(x) * y,
    lambda library, xp, x, y, c: xp.tanh(x + y),
    lambda library, xp, x, y, c: x / (1 + y * y),
    lambda library, xp, x, y, c: xp.sqrt(xp.abs(x) + 0.5) - y,
    lambda library, xp, x, y, c: xp.where(x > c, x * y, y - x),
    lambda library, xp, x, y, c: xp.maximum(x, y * 0.7 + c),
    lambda library, xp, x, y, c: xp.clip(x, -1.1, 0.9) + y,
    lambda library, xp, x, y, c: x @ xp.matrix_transpose(y) @ x * 0.2,
    lambda library, xp, x, y, c: x - xp.mean(y, axis=0),
    lambda library, xp, x, y, c: x * xp.max(y, axis=1, keepdims=True),
    lambda library, xp, x, y, c: library.activation("softmax")(x, axis=-1) + y,
    lambda library, xp, x, y, c: xp.concat([x[1:], y[:1] * c], axis=0),
    lambda library, xp, x, y, c: xp.flip(x, axis=1) * xp.roll(y, 1, axis=0),
    lambda library, xp, x, y, c: xp.cumulative_sum(x, axis=1) * 0.4 + y,
    lambda library, xp, x, y, c: xp.sort(x, axis=0) - y * c,
    lambda library, xp, x, y, c: xp.exp(-xp.square(x)) + xp.log(1 + xp.square(y)),
    lambda library, xp, x, y, c: x[library.asarray(np.asarray([2, 0, 0]))] * y,
    lambda library, xp, x, y, c: xp.real(xp.exp(1j * x) * (y + 2j)),
    lambda library, xp, x, y, c: x * xp.linalg.vector_norm(y, axis=1, keepdims=True),
    lambda library, xp, x, y, c: xp.reshape(xp.permute_dims(x, (1, 0)), (3, 4)) + xp.var(y, axis=0),
    lambda library, xp, x, y, c: xp.linalg.solve(x @ xp.matrix_transpose(x) + library.asarray(np.eye(3) * 3), y),
    lambda library, xp, x, y, c: xp.stack([xp.prod(x, axis=0), xp.sum(y, axis=0), x[1]]) * 0.5,
    lambda library, xp, x, y, c: xp.atan2(x, y * y + 0.3),
    lambda library, xp, x, y, c: xp.tril(x) + xp.triu(y, k=1) * x,
]


def at_random(seed):
    generator = np.random.default_rng(seed)
    steps = [(STEPS[generator.integers(len(STEPS))], *generator.integers(0, 3, 3)) for _ in range(8)]
    constants = generator.uniform(-0.5, 0.5, len(steps))

    def program(library, *values):
        values = list(values)
        for (step, first, second, target), constant in zip(steps, constants, strict=True):
            values[target] = step(library, library.xp, values[first], values[second], float(constant))
        return values

    return program


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("seed", range(100))
def test_programs_at_random(seed, order):
    agree(at_random(seed), drawn([(3, 4)] * 3, -1.5, 1.5, "r", seed), order)
