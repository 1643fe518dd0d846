"""Bad input: every error is RusTorch's and a built-in, and names the function and what met; nothing else escapes."""

import inspect
import math
import random
import re
import warnings

import numpy as np
import pytest

import rustorch as rt
from rustorch_core import errors
from rustorch_core.errors import RusTorchError

F = rt.asarray([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
V = rt.asarray([1.0, 2.0])
I = rt.asarray([0, 1])  # noqa: E741
B = rt.asarray([True, False])
C = rt.asarray([1 + 2j, 3.0])
ZERO = rt.asarray(1.0)

TABLE = [
    # Shapes
    (lambda: F + V, ValueError, ["add", "(2, 3)", "(2,)"]),
    (lambda: rt.maximum(F, rt.ones((3, 2))), ValueError, ["maximum", "(2, 3)", "(3, 2)"]),
    (lambda: F @ F, ValueError, ["matmul", "(2, 3)", "3", "2"]),
    (lambda: F @ ZERO, ValueError, ["matmul", "()", "*"]),
    (lambda: rt.ones((2, 3, 4)) @ rt.ones((5, 4, 3)), ValueError, ["(2,)", "(5,)"]),
    (lambda: rt.vecdot(F, V), ValueError, ["vecdot", "(2, 3)", "(2,)"]),
    (lambda: rt.tensordot(F, F, axes=1), ValueError, ["tensordot", "(2, 3)"]),
    (lambda: rt.tensordot(F, F, axes=3), ValueError, ["tensordot", "3"]),
    (lambda: rt.reshape(F, (4, 2)), ValueError, ["reshape", "6", "(4, 2)"]),
    (lambda: rt.reshape(F, (-1, -1)), ValueError, ["reshape", "(-1, -1)"]),
    (lambda: rt.reshape(F, (-2, -3)), ValueError, ["reshape"]),
    (lambda: F.reshape(7), ValueError, ["reshape", "(7,)"]),
    (lambda: rt.broadcast_to(F, (3, 3)), ValueError, ["(2, 3)", "(3, 3)"]),
    (lambda: rt.broadcast_to(F, (3,)), ValueError, ["broadcast_to", "(2, 3)", "(3,)"]),
    (lambda: rt.broadcast_shapes((2,), (3,)), ValueError, ["(2,)", "(3,)"]),
    (lambda: rt.broadcast_arrays(F, V), ValueError, ["(2, 3)", "(2,)"]),
    (lambda: rt.concat([F, V]), ValueError, ["concat", "(2, 3)", "(2,)"]),
    (lambda: rt.concat([]), ValueError, ["concat", "at least one"]),
    (lambda: rt.stack([F, V]), ValueError, ["stack", "(2, 3)", "(2,)"]),
    (lambda: rt.squeeze(F, axis=0), ValueError, ["squeeze", "0", "(2, 3)"]),
    (lambda: rt.matrix_transpose(V), ValueError, ["matrix_transpose", "(2,)"]),
    (lambda: rt.tril(V), ValueError, ["tril", "(2,)"]),
    (lambda: rt.meshgrid(F), ValueError, ["meshgrid", "(2, 3)"]),
    (lambda: rt.where(B, F, V), ValueError, ["where"]),
    (lambda: rt.asarray([[1], [2, 3]]), ValueError, ["asarray"]),
    (lambda: rt.zeros(-1), ValueError, ["zeros"]),
    (lambda: rt.max(rt.zeros(0)), ValueError, ["max"]),
    (lambda: rt.argmax(rt.zeros(0)), ValueError, ["argmax"]),
    (lambda: rt.take_along_axis(F, I), ValueError, ["take_along_axis", "(2, 3)", "(2,)"]),
    (lambda: rt.layer_norm(F, (2,)), ValueError, ["layer_norm", "(2, 3)", "(2,)"]),
    (lambda: rt.linear(F, F.mT), ValueError, ["linear", "(2, 3)", "(3, 2)"]),
    (lambda: rt.repeat(F, I, axis=1), ValueError, ["repeat", "2", "3", "axis 1"]),
    (lambda: rt.repeat(F, -1), ValueError, ["repeat", "negative"]),
    (lambda: rt.tile(F, -1), ValueError, ["tile", "-1"]),
    (lambda: rt.moveaxis(F, (0, 1), 0), ValueError, ["moveaxis", "2", "1"]),
    (lambda: rt.roll(F, (1, 2, 3), axis=0), ValueError, ["roll", "3", "1"]),
    (lambda: F.mT.reshape((6,), copy=False), ValueError, ["reshape"]),
    # Axes
    (lambda: rt.sum(F, axis=2), IndexError, ["sum", "axis 2", "2 axes"]),
    (lambda: rt.sum(F, axis=2), ValueError, ["sum"]),
    (lambda: rt.mean(F, axis=(0, 0)), ValueError, ["mean", "twice"]),
    (lambda: rt.max(F, axis="0"), TypeError, ["max", "'0'"]),
    (lambda: rt.std(F, axis=1.0), TypeError, ["std", "1.0"]),
    (lambda: rt.flip(F, axis=-3), IndexError, ["flip", "-3"]),
    (lambda: rt.permute_dims(F, (0,)), ValueError, ["permute_dims", "2 axes"]),
    (lambda: rt.permute_dims(F, (0, 0)), ValueError, ["permute_dims", "twice"]),
    (lambda: rt.expand_dims(F, axis=4), IndexError, ["expand_dims", "4"]),
    (lambda: rt.concat([ZERO, ZERO]), IndexError, ["concat", "0 axes"]),
    (lambda: rt.softmax(F, axis=5), IndexError, ["softmax", "5"]),
    (lambda: rt.cumulative_sum(F), IndexError, ["cumulative_sum", "2 axes"]),
    (lambda: rt.sort(F, axis=2), IndexError, ["sort", "2"]),
    (lambda: rt.sort(ZERO), IndexError, ["sort", "0 axes"]),
    (lambda: rt.unstack(F, axis=3), IndexError, ["unstack", "3"]),
    (lambda: rt.diff(F, axis=3), IndexError, ["diff", "3"]),
    (lambda: rt.nonzero(ZERO), ValueError, ["nonzero"]),
    # Indices
    (lambda: F[2], IndexError, ["2"]),
    (lambda: F[0, 0, 0], IndexError, ["getitem"]),
    (lambda: F[1.5], IndexError, ["1.5", "integers, slices"]),
    (lambda: F["a"], IndexError, ["'a'"]),
    (lambda: F["a":], IndexError, ["'a'", "integers, slices"]),
    (lambda: F[: V], IndexError, ["slices"]),
    (lambda: F[rt.asarray([1.0])], IndexError, ["float32"]),
    (lambda: F[rt.asarray([5])], IndexError, ["5"]),
    (lambda: F[rt.asarray([True, False, True])], IndexError, ["boolean"]),
    (lambda: F[..., ...], IndexError, ["ellipsis"]),
    (lambda: F[::0], ValueError, ["zero"]),
    (lambda: rt.take(F, I), TypeError, ["take", "axis"]),
    (lambda: rt.take(F, V, axis=0), TypeError, ["take", "float32"]),
    (lambda: rt.take(F, rt.asarray([9]), axis=0), IndexError, ["9"]),
    # Dtypes
    (lambda: rt.bitwise_and(F, F), TypeError, ["bitwise_and", "float32", "integer"]),
    (lambda: rt.floor(C), TypeError, ["floor", "complex64"]),
    (lambda: C > C, TypeError, ["greater", "complex64"]),
    (lambda: rt.max(C), TypeError, ["max", "complex64"]),
    (lambda: rt.imag(V), TypeError, ["imag", "float32", "complex"]),
    (lambda: rt.atan2(C, C), TypeError, ["atan2", "complex64"]),
    (lambda: ~F, TypeError, ["bitwise_invert", "float32"]),
    (lambda: B - B, TypeError, ["subtract"]),
    (lambda: -B, TypeError, ["negative"]),
    (lambda: rt.astype(C, "float32"), TypeError, ["astype", "complex64", "rustorch.real"]),
    (lambda: rt.astype(F, "float12"), TypeError, ["'float12'", "there are"]),
    (lambda: rt.zeros(2, dtype="text"), TypeError, ["'text'"]),
    (lambda: rt.isdtype(rt.float32, "floaty"), ValueError, ["isdtype", "'floaty'", "real floating"]),
    (lambda: rt.finfo(rt.int8), TypeError, ["finfo", "int8", "iinfo"]),
    (lambda: rt.iinfo(rt.float32), TypeError, ["iinfo", "float32", "finfo"]),
    (lambda: rt.where(F, F, F), TypeError, ["where", "float32", "boolean"]),
    (lambda: rt.set_default_dtype("int8"), TypeError, ["set_default_dtype", "int8"]),
    (lambda: rt.full(2, 1.5, dtype="int64"), TypeError, ["full", "1.5", "int64"]),
    (lambda: rt.full(2, 1j, dtype="float32"), TypeError, ["full", "1j", "float32"]),
    (lambda: rt.full_like(I, math.nan), TypeError, ["full", "nan", "int64"]),
    (lambda: rt.clip(I, 0.5), TypeError, ["clip", "int64", "float"]),
    (lambda: rt.asarray(300, dtype="uint8"), TypeError, ["asarray", "300"]),
    (lambda: rt.nn.Parameter(I), TypeError, ["int64"]),
    # Operands
    (lambda: rt.sin(1.0), TypeError, ["sin", "float", "asarray"]),
    (lambda: rt.add(1, 2), TypeError, ["add", "int"]),
    (lambda: rt.add(F, "x"), TypeError, ["add", "str", "asarray"]),
    (lambda: rt.sum([1, 2]), TypeError, ["sum", "list"]),
    (lambda: rt.reshape([1, 2], (2,)), TypeError, ["reshape", "list"]),
    (lambda: rt.softmax(1.0), TypeError, ["softmax", "float"]),
    (lambda: rt.concat(F), TypeError, ["concat", "Tensor"]),
    (lambda: rt.concat([F, [1, 2]]), TypeError, ["concat", "list"]),
    (lambda: rt.zeros_like([1]), TypeError, ["zeros_like", "list"]),
    (lambda: rt.asarray("text"), TypeError, ["asarray", "str"]),
    (lambda: rt.asarray([None]), TypeError, ["asarray"]),
    (lambda: rt.asarray({}), TypeError, ["asarray", "dict"]),
    (lambda: rt.from_dlpack([1]), TypeError, ["from_dlpack", "list", "asarray"]),
    (lambda: rt.result_type(), TypeError, ["result_type"]),
    (lambda: rt.zeros("ab"), TypeError, ["zeros", "'ab'"]),
    (lambda: rt.eye(2.5), TypeError, ["eye", "2.5"]),
    (lambda: rt.arange("a"), TypeError, ["arange", "str"]),
    (lambda: rt.full(2, "a"), TypeError, ["full", "str"]),
    (lambda: rt.stop_gradient(1.0), TypeError, ["stop_gradient", "float"]),
    # Options
    (lambda: rt.arange(0, 1, 0), ValueError, ["arange", "0"]),
    (lambda: rt.arange(math.inf), ValueError, ["arange"]),
    (lambda: rt.linspace(0, 1, -1), ValueError, ["linspace", "-1"]),
    (lambda: rt.meshgrid(V, indexing="yx"), ValueError, ["meshgrid", "'yx'"]),
    (lambda: rt.searchsorted(V, V, side="up"), ValueError, ["searchsorted", "'up'"]),
    (lambda: rt.gelu(V, approximate="yes"), ValueError, ["gelu", "'yes'"]),
    (lambda: rt.diff(V, n=-1), ValueError, ["diff", "-1"]),
    (lambda: rt.asarray([1.0], copy=False), ValueError, ["asarray", "copy=False"]),
    (lambda: rt.asarray(V, dtype="int64", copy=False), ValueError, ["asarray", "copy=False", "float32"]),
    (lambda: I ** -1, ValueError, ["pow"]),
    # Devices
    (lambda: rt.ones(1, device="nowhere"), ValueError, ["'nowhere'", "cpu"]),
    (lambda: rt.ones(1, device="cpu:7"), ValueError, ["cpu:7"]),
    (lambda: rt.ones(1, device="cpu:x"), ValueError, ["'cpu:x'"]),
    (lambda: rt.ones(1, device=3), ValueError, ["device", "3"]),
    (lambda: V.to("gpu"), ValueError, ["'gpu'"]),
    # Gradients
    (lambda: V.backward(), RuntimeError, ["backward", "requires_grad_()"]),
    (lambda: I.backward(), RuntimeError, ["backward", "int64"]),
    (lambda: V.retain_grad(), RuntimeError, ["retain_grad", "requires_grad_()"]),
    (lambda: V.register_hook(print), RuntimeError, ["register_hook", "requires_grad_()"]),
    (lambda: V.clone().requires_grad_().register_hook(3), TypeError, ["register_hook", "int"]),
    (lambda: rt.vjp(3, V), TypeError, ["vjp", "int"]),
    (lambda: rt.vjp(rt.sin, I), TypeError, ["vjp", "int64"]),
    (lambda: rt.vjp(rt.sin, "x"), TypeError, ["vjp", "str"]),
    (lambda: rt.vjp(rt.sin, V)[1](F), ValueError, ["vjp", str(F.shape), str(V.shape)]),
    (lambda: rt.vjp(rt.sin, V)[1]("x"), TypeError, ["vjp", "str"]),
    (lambda: rt.vjp(rt.sin, V, has_aux=True), TypeError, ["vjp", "has_aux", "Tensor"]),
    (lambda: rt.jvp(rt.sin, (V,), (F,)), ValueError, ["jvp", str(F.shape), str(V.shape)]),
    (lambda: rt.jvp(rt.sin, (V,), ()), ValueError, ["jvp", "1"]),
    (lambda: rt.jacobian(lambda x: x > 0)(V), RuntimeError, ["jacobian", "bool"]),
    (lambda: rt.jacobian(rt.sin, 1)(V), ValueError, ["jacobian", "argument 1"]),
    (lambda: rt.jacobian(rt.conj)(C), RuntimeError, ["jacobian", "holomorphic"]),
    (lambda: rt.hessian(rt.sin)(V), RuntimeError, ["one real floating-point element"]),
    (lambda: rt.hvp(rt.sin, V, V), RuntimeError, ["one real floating-point element"]),
    (lambda: rt.checkpoint(3, V), TypeError, ["checkpoint", "int"]),
    (lambda: rt.custom_gradient(3), TypeError, ["custom_gradient", "int"]),
    (lambda: rt.custom_gradient(rt.sin)(V), TypeError, ["sin", "pair", "Tensor"]),
    (lambda: rt.testing.gradcheck(rt.sin, (I,)), ValueError, ["gradcheck", "floating-point"]),
    (lambda: I.requires_grad_(), TypeError, ["int64"]),
]  # fmt: skip


@pytest.mark.parametrize(("call", "builtin", "words"), TABLE, ids=range(len(TABLE)))
def test_errors(call, builtin: type, words: list[str]) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(RusTorchError) as raised:
        call()
    assert isinstance(raised.value, builtin)
    for word in words:
        assert word in str(raised.value), str(raised.value)


def test_every_error_is_a_builtin_one_too() -> None:
    kinds = [kind for kind in vars(errors).values() if inspect.isclass(kind) and issubclass(kind, RusTorchError)]
    assert len(kinds) > 15
    for kind in kinds:
        assert kind.__doc__
        if kind is not RusTorchError:
            assert any(base.__module__ == "builtins" and base is not Exception for base in kind.__mro__[:-3]), kind


def test_a_failed_call_leaves_its_arguments_alone() -> None:
    x = rt.ones((2, 3))
    for attempt in (lambda: x.__setitem__(5, 0.0), lambda: x.__iadd__(rt.ones(7)), lambda: x.copy_(rt.ones(9))):
        with pytest.raises(RusTorchError):
            attempt()
    assert x.tolist() == np.ones((2, 3)).tolist()


# Garbage


def garbage() -> list[object]:
    """What no function was made for, beside tensors of every kind; fresh, for a call may write into them."""
    on_cpu = {"device": "cpu"}
    tensors = [
        F.clone(), V.clone(), I.clone(), B.clone(), C.clone(), rt.asarray(1.0), rt.asarray(2), rt.asarray(True),
        rt.zeros((0, 3)), rt.ones((2, 1, 3)), rt.ones((1,) * 8), rt.ones((3, 3)), rt.zeros((2, 2)),
        rt.ones((2, 3))[::-1], rt.ones(2).requires_grad_(), rt.asarray([math.nan, math.inf]), rt.asarray([-5, 10**12]),
        rt.asarray([3], dtype="uint8"), rt.asarray([2**63], dtype="uint64"), rt.asarray([1.0, 2.0], device="strict"),
        rt.asarray([1.0, 2.0], dtype="bfloat16", **on_cpu), rt.asarray([1.0, 2.0], dtype="float16", **on_cpu),
        rt.broadcast_to(rt.asarray(1.0), (3,)),
    ]  # fmt: skip
    return [
        *tensors, None, True, False, 0, 1, 2, 3, -1, -2, 2.5, -0.0, 1e308, math.nan, math.inf, -math.inf, 1j, 2**64,
        10**30, -(2**63), "text", "", "ij,jk->ik", "->", "none", "same", "constant", "float64", "cpu", "nowhere", b"x",
        Ellipsis, slice(1), slice(None, None, 0), slice("a"), [], [1, 2], [0.5], [1, "a"], [None], [[1], [1, 2]],
        [F, F], (F, V), (0,), (1, 0), (0, 0), (-1,), (5, 5, 5), (1.5, 2), (None, None), ((1, 2), (3, 4)),
        (2**40, 2**40), (2**62,),
        (10**30,), {}, {"a": 1}, set(), object(), range(3), iter([1]), int, rt.Tensor, rt.float32, rt.bool,
        np.float64(1), np.int8(-1), np.bool_(True), np.ones(3), np.ones((2, 3)), np.asarray(1),
        np.asarray(["a"]), np.asarray([None]), np.asarray(["2020-01-01"], dtype="datetime64[D]"), len, rt,
    ]  # fmt: skip


def public_functions() -> dict[str, object]:
    """Every function, method and class of ours by its name, but those that call what they get or change the process."""
    callers = {"checkpoint", "custom_gradient", "grad", "hessian", "hvp", "jacobian", "jvp", "value_and_grad", "vjp"}
    found = {}
    for module in (rt, rt.linalg, rt.fft, rt.special, rt.random, rt.nn.functional):
        for name in set(dir(module)) - callers - {"devices", "seed"}:
            if inspect.isfunction(getattr(module, name)) and not name.startswith(("_", "set_")):
                found[f"{module.__name__}.{name}"] = getattr(module, name)
    python = set(dir(object)) - {"__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__"}
    for name in set(dir(rt.Tensor)) - python - {"__buffer__", "__deepcopy__", "__array_ufunc__", "__getattr__"}:
        if callable(inspect.getattr_static(rt.Tensor, name)) and (name.startswith("__") or name[0] != "_"):
            found[f"Tensor.{name}"] = inspect.getattr_static(rt.Tensor, name)
    classes = {each: getattr(rt.nn, each) for each in rt.nn.__all__ if inspect.isclass(getattr(rt.nn, each))}
    others = {"optim.create": rt.optim.create, "io.load": rt.io.load, "io.save": rt.io.save}
    return {**found, **classes, **others, "DataLoader": rt.data.DataLoader, "Generator": rt.random.Generator}


FUNCTIONS = public_functions()
OWN_WORDS = re.compile(
    r"(positional|required|keyword) .*argument|argument.* (positional|keyword)|multiple values for|takes (no|\d) |"
    r"unexpected keyword|positional-only"
)


def attempt(call, *args, **kwargs) -> None:  # type: ignore[no-untyped-def]
    """Only RusTorch's errors, and Python's for arguments that a signature does not have, may escape."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=RuntimeWarning)
        try:
            call(*args, **kwargs)
        except RusTorchError as error:
            words = str(error)
        except TypeError as error:
            if not OWN_WORDS.search(str(error)):
                raise
            words = str(error)
        else:
            return
    assert words


# What refuses most garbage is the same on every device.
EXAMPLES = 40 if rt.device().shares_host_memory else 12


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_garbage(name: str, tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.chdir(tmp_path)
    function, choose = FUNCTIONS[name], random.Random(name)
    parameters = list(inspect.signature(function).parameters.values())
    by_position = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    by_name = [p.name for p in parameters if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)]
    required = sum(p.default is p.empty for p in by_position)
    everything = garbage()
    tensors = [each for each in everything if isinstance(each, rt.Tensor)]
    for _ in range(EXAMPLES):
        count = required if choose.random() < 0.7 else choose.randrange(len(by_position) + 2)
        args = [choose.choice(tensors if choose.random() < 0.5 else everything) for _ in range(count)]
        if name.startswith("Tensor."):
            args[:1] = [choose.choice(tensors)]
        free = [each for each in by_name if each not in [p.name for p in by_position[:count]]]
        options = {each: choose.choice(everything) for each in free if choose.random() < 0.4}
        attempt(function, *args, **options)


@pytest.mark.parametrize("seed", range(5))
def test_garbage_as_keys_and_values(seed: int) -> None:
    choose = random.Random(seed)
    for _ in range(2 * EXAMPLES):
        key, value = choose.choices(garbage(), k=2)
        x = choose.choice([F, I, B, C, ZERO])
        attempt(lambda x=x, key=key: x[key])
        attempt(x.clone().__setitem__, key, value)
