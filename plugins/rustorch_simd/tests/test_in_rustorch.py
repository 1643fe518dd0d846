"""The plugin inside RusTorch: its kernels serve the cpu device, and its compiled path does what core's own does."""

import contextlib
import gc
import os
import subprocess
import sys
import weakref
from types import SimpleNamespace

import numpy as np
import pytest
from rustorch_simd import _call_path
from rustorch_simd._plugin import NAMES, SHARED

import rustorch as rt
from rustorch_core import _call_path as _core_path
from rustorch_core import _dispatch, _plugins
from rustorch_core._call_path import CORE
from rustorch_core._define import OPERATORS
from rustorch_core._function import Function
from rustorch_core._graph import Node
from rustorch_core._op import REGISTRY

pytestmark = pytest.mark.needs("cpu")


def test_every_kernel_serves_its_op():
    cpu = rt.device("cpu")
    for name in {*NAMES, *SHARED}:
        op, key, other = REGISTRY[name], cpu.key(rt.float32), cpu.key(rt.float64)
        op.bind(key)
        assert op.served[key] == "kernel", name
        op.bind(other)
        assert (op.served[other] == "kernel") == (name in SHARED), name


def run(program, **variables):
    environment = {**os.environ, **variables}
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)


def test_a_target_that_cannot_run_is_an_error_at_import():
    done = run("import rustorch", RUSTORCH_SIMD="axv2")
    assert done.returncode == 1
    assert "EnvironmentVariableError" in done.stderr
    assert "'axv2'" in done.stderr
    assert "baseline" in done.stderr


def test_a_forced_target_is_used():
    program = "import rustorch as rt, rustorch_simd; rt.gelu(rt.ones(3)); print(rustorch_simd.target())"
    assert run(program, RUSTORCH_SIMD="baseline").stdout.strip() == "baseline"


def test_discovery_loads_no_kernel():
    program = "import sys, rustorch; print([name for name in sys.modules if name.startswith('rustorch_simd._')])"
    assert run(program).stdout.strip() == "['rustorch_simd._plugin']"


@pytest.fixture(params=["python", "compiled"])
def add(request):
    """Core's own `x + y`, and the compiled one around it."""
    return operator_in("add", request.param)


def operator_in(name, form):
    """An operator as core has it, or compiled."""
    op = REGISTRY[name]
    own = OPERATORS[op.operator]
    own(rt.ones(1), rt.ones(1))
    return own if form == "python" else _call_path.Path(CORE).operator(op, own)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int64", "float16", "bfloat16", "float32", "float64", "complex64"])
@pytest.mark.parametrize("shapes", [((), ()), ((3,), (3,)), ((2, 1), (3,)), ((0, 2), (2,)), ((1,), ())])
def test_sums(add, dtype, shapes):
    x, y = (rt.ones(shape, dtype=dtype) for shape in shapes)
    result = add(x, y)
    assert type(result) is rt.Tensor
    assert result.dtype == x.dtype
    np.testing.assert_array_equal(result.numpy(), x.numpy() + y.numpy())


def test_everything_else_takes_the_road(add):
    x, w = rt.ones(2), rt.ones(2).requires_grad_()
    assert add(x, 1).tolist() == [2.0, 2.0]
    assert add(x, rt.ones(2, dtype="float64")).dtype == rt.float64
    assert add(x, np.ones(2, np.float32)).tolist() == [2.0, 2.0]
    assert add(x, w).requires_grad
    assert add(x, "no operand") is NotImplemented
    with pytest.raises(rt.errors.ShapeError, match=r"\(2,\) and \(3,\)"):
        add(x, rt.ones(3))
    with pytest.raises(TypeError):
        add(x)


def test_watchers_see_it(add):
    seen = []
    undo = _dispatch.watch(lambda op, inputs, attributes: seen.append(op.name), lambda *ended: None)
    add(rt.ones(2), rt.ones(2))
    undo()
    add(rt.ones(2), rt.ones(2))
    assert seen == ["add"]


def test_an_infinite_result_is_no_warning(add):
    huge = rt.full(2, 3e38, dtype="float32")
    assert add(huge, huge).tolist() == [float("inf")] * 2


def test_an_empty_tensor_object_is_no_crash(add):
    with pytest.raises(AttributeError):
        add(rt.Tensor(), rt.Tensor())


def test_nothing_leaks(add):
    gc.disable()
    try:
        x, y = rt.ones(1000), rt.ones(1000)
        counts = [sys.getrefcount(x._key)]
        results = [add(x, y) for _ in range(100)]
        watched = weakref.ref(results[0])
        counts.append(sys.getrefcount(x._key))
        del results
        counts.append(sys.getrefcount(x._key))
        assert watched() is None
        assert counts == [counts[0], counts[0] + 100, counts[0]]
    finally:
        gc.enable()


@pytest.mark.parametrize("name", sorted(vars(CORE)))
def test_what_is_not_core_is_refused(name):
    for value in (int, 3, None):
        core = SimpleNamespace(**{**vars(CORE), name: value})
        is_checked = name in ("key", "node", "op", "saved", "tensor", "dispatch", "order", "vocabulary")
        if is_checked:
            with pytest.raises((TypeError, AttributeError)):
                _call_path.Path(core)
        delattr(core, name)
        with pytest.raises(AttributeError):
            _call_path.Path(core)


def test_what_is_no_op_is_refused():
    path = _call_path.Path(CORE)
    for wrong in (None, 3, Function("f")):
        with pytest.raises(TypeError, match="expected an op"):
            path.operator(wrong, min)
    half_made = object.__new__(Node)
    for wrong in ((), (1, 2), ([], "0"), ({}, 0), ([3], 0), ([half_made], 0)):
        with pytest.raises(TypeError):
            path.in_order(*wrong)
    for wrong in ((), ([], {}, None), ([half_made], {}, None, None, False, 0, min), ([], {}, 3, None, False, 0, min)):
        with pytest.raises(TypeError):
            path.send(*wrong)
    for wrong in ((), (3, (rt.ones(1),), {}, rt.ones(1)), (REGISTRY["add"], (3, 4), {}, rt.ones(1))):
        with pytest.raises((TypeError, AttributeError)):
            path.record(*wrong)
    for wrong in ((), (3, (), {}), (REGISTRY["add"], (3, 4), {}), (REGISTRY["add"], (rt.Tensor(), rt.ones(1)), {})):
        with pytest.raises((TypeError, AttributeError, IndexError)):
            path.call(*wrong)


def programs():
    """Losses of two parameters, by all that the compiled path treats in a way of its own."""
    x = rt.reshape(rt.linspace(0.5, 2.0, 6), (2, 3))
    return {
        "product": lambda v, w: (x * v * w).sum(),
        "layers": lambda v, w: (rt.nn.functional.relu(rt.matmul(x, w.mT) - 1.0) ** 2).mean() * v[1],
        "broadcast": lambda v, w: rt.exp(v + x[:, 0:1] * w).mean(),
        "views": lambda v, w: rt.sort(rt.concat([v, w[0], w[:, 1]]))[1:].sum() * rt.reshape(w, (-1,))[2],
        "several outputs": lambda v, w: sum(part.sum() * part[0, 0] for part in rt.linalg.qr(w @ w.mT)) * v[0],
        "selection": lambda v, w: rt.where(v > 1.0, rt.sqrt(v - 1.0), 0.0).sum() + w.sum(),
        "composition": lambda v, w: rt.nn.functional.cross_entropy(w, rt.asarray([0, 2])) + rt.logsumexp(v * v),
        "mixed dtypes": lambda v, w: (rt.take(w, rt.asarray([1, 0]), axis=1) * rt.astype(v[:2], rt.float64)).sum(),
        "twice the same": lambda v, w: (v * v * v).sum() + (w @ v @ (w @ v)),
        "checkpoint": lambda v, w: rt.checkpoint(lambda a, b: (a @ rt.tanh(b)).sum(), w, v) * v[0],
        "hook": lambda v, w: hooked(v * 2.0).sum() * w.sum(),
        "complex": lambda v, w: rt.abs(rt.fft.fft(rt.astype(v, rt.complex64))).sum() + w[0, 0],
    }


def hooked(x):
    x.register_hook(lambda g: 3 * g)
    return x


@contextlib.contextmanager
def forms(form):
    """Core's own forms of the path in place of the compiled ones, or these."""
    rt.ones(1) + rt.ones(1)
    if form == "python":
        _core_path.put_back()
    try:
        yield
    finally:
        _plugins.refresh()


@pytest.mark.parametrize("name", sorted(programs()))
def test_both_forms_walk_to_the_same(name):
    def gradients(form):
        with forms(form):
            v, w = rt.asarray([0.5, 1.5, 2.5]), rt.asarray([[0.1, 0.7, 0.3], [0.9, 0.2, 0.4]])
            function = programs()[name]
            first = rt.grad(function, argnums=(0, 1))(v, w)
            second = rt.grad(lambda v, w: sum((g * g).sum() for g in rt.grad(function, argnums=(0, 1))(v, w)))(v, w)
            v, w = v.requires_grad_(), w.requires_grad_()
            loss = function(v, w)
            loss.backward(retain_graph=True)
            loss.backward()
            with pytest.raises(rt.errors.GradientError, match="has been walked and freed"):
                loss.backward()
            return [each.tolist() for each in (loss.detach(), *first, second, v.grad, w.grad)]

    assert gradients("compiled") == gradients("python")


def test_errors_are_explained_alike():
    def messages(form):
        with forms(form):
            found = []
            for wrong in (
                lambda: rt.matmul(rt.ones((2, 3)), rt.ones((2, 3))),
                lambda: rt.ones(2) * rt.ones(3).requires_grad_(),
                lambda: rt.linalg.inv(rt.zeros((2, 2))),
                lambda: rt.linalg.cholesky(-rt.eye(2).requires_grad_()),
                lambda: rt.where(rt.ones(2) > 0, rt.ones(2), rt.ones(3)),
            ):
                with pytest.raises(rt.errors.RusTorchError) as caught:
                    wrong()
                found.append((type(caught.value), str(caught.value), type(caught.value.__cause__)))
            return found

    assert messages("compiled") == messages("python")


def test_a_walk_leaves_nothing_behind():
    with forms("compiled"):
        w = rt.ones((3, 3)).requires_grad_()
        for _ in range(2):  # the first fills what is remembered
            rt.tanh(w @ w).sum().backward()
        gc.collect()
        before = len(gc.get_objects())
        for _ in range(50):
            rt.tanh(w @ w).sum().backward()
        assert len(gc.get_objects()) < before + 50
        assert gc.collect() == 0


def shown(saved):
    """What a node keeps, told apart by identity."""
    return [None if values is None else [id(each) for each in values] for values in saved]


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "bfloat16"])
@pytest.mark.parametrize("tracked", [(True, True), (True, False), (False, True)])
@pytest.mark.parametrize("name", ["add", "subtract", "multiply"])
def test_both_forms_record_the_same(name, tracked, dtype):
    x, y = rt.ones((2, 1), dtype=dtype), rt.ones(3, dtype=dtype)
    x.requires_grad_(tracked[0])
    y.requires_grad_(tracked[1])
    nodes = [operator_in(name, form)(x, y)._node for form in ("python", "compiled")]
    assert shown(nodes[0].saved) == shown(nodes[1].saved)
    for fact in ("op", "shape", "key", "parents", "attributes", "index", "receiver", "hooks"):
        assert getattr(nodes[0], fact) == getattr(nodes[1], fact)
    assert nodes[0].order < nodes[1].order
    view, alone = x.detach()[:, 0:], rt.ones((2, 1), dtype=dtype)
    first, second = (operator_in(name, form)(view, y.detach().requires_grad_()) for form in ("python", "compiled"))
    assert shown(first._node.saved) == shown(second._node.saved)
    with rt.no_grad():
        assert operator_in(name, "compiled")(x, alone)._node is None
    assert not operator_in(name, "compiled")(rt.ones(1, dtype="int32"), rt.ones(1, dtype="int32")).requires_grad


def test_values_saved_by_the_compiled_form_outlive_a_write():
    multiply = operator_in("multiply", "compiled")
    x, w = rt.asarray([2.0, 3.0]), rt.ones(2).requires_grad_()
    y = multiply(x, w)
    x += 10.0
    z = multiply(x, w)
    (y + z).sum().backward()
    assert w.grad.tolist() == [14.0, 16.0]


def test_records_leave_nothing_behind():
    multiply = operator_in("multiply", "compiled")
    x, w = rt.ones(2), rt.ones(2).requires_grad_()
    gc.collect()
    gc.disable()
    try:
        y = multiply(multiply(x, w), w)
        watched = weakref.ref(y._node)
        saved = weakref.ref(y._node.saved[0][0])
        del y
        assert watched() is None
        assert saved() is None
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_a_refresh_gives_the_operators_back_and_takes_them_up_again():
    rt.ones(1) + rt.ones(1)
    assert type(vars(rt.Tensor)["__add__"]).__name__ == "Operator"
    _plugins.refresh()
    assert type(vars(rt.Tensor)["__add__"]).__name__ == "function"
    assert (rt.ones(1) + rt.ones(1)).item() == 2.0
    assert type(vars(rt.Tensor)["__add__"]).__name__ == "Operator"
