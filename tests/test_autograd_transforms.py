"""What is made of gradients: products with Jacobian and Hessian matrices, checkpoints, custom rules."""

import dataclasses
import gc
import math
import weakref

import numpy as np
import pytest

import rustorch as rt
from rustorch import errors
from rustorch.testing import assert_close, gradcheck
from rustorch_core._dispatch import watch


def tensor(*values, dtype="float64"):
    return rt.asarray(values[0] if len(values) == 1 else list(values), dtype=dtype)


def host(x):
    return x.to("cpu").numpy()


@dataclasses.dataclass
class Point:
    x: object
    y: object


def f(point, scale):
    return {"sines": rt.sin(point.x) * point.y, "squares": [(point.x**2 * scale).sum()]}


X, Y, SCALE = tensor(0.3, 1.2), tensor(3.0, -4.0), tensor(2.0)
JACOBIAN_BY_X = np.diag(np.cos([0.3, 1.2]) * [3.0, -4.0])
JACOBIAN_BY_Y = np.diag(np.sin([0.3, 1.2]))

# Products


def test_vjp():
    value, pull_back = rt.vjp(f, Point(X, Y), SCALE)
    assert_close(value, f(Point(X, Y), SCALE))
    for _ in range(2):
        point, scale = pull_back({"sines": tensor(1.0, 10.0), "squares": [tensor(100.0)]})
        assert type(point) is Point
        assert_close(point.x, [1, 10] @ JACOBIAN_BY_X + 100 * 4 * host(X))
        assert_close(point.y, [1, 10] @ JACOBIAN_BY_Y)
        assert_close(scale, 100 * np.sum(host(X) ** 2))
    point, scale = pull_back({"sines": None, "squares": [1.0]})
    assert_close((point.x, point.y, scale), (4 * host(X), np.zeros(2), np.sum(host(X) ** 2)))
    assert not any(each.requires_grad for each in (value["sines"], point.x, scale))


def test_jvp():
    value, change = rt.jvp(f, (Point(X, Y), SCALE), (Point(tensor(1.0, 0.5), None), 3.0))
    assert_close(value, f(Point(X, Y), SCALE))
    assert_close(change["sines"], JACOBIAN_BY_X @ [1.0, 0.5])
    assert_close(change["squares"][0], 4 * host(X) @ [1.0, 0.5] + 3 * np.sum(host(X) ** 2))
    assert rt.jvp(lambda x: (x > 0, x * 0 + 1), X, X)[1][0] is None
    assert_close(rt.jvp(lambda x: tensor(1.0), X, X)[1], 0.0)
    assert_close(rt.jvp(lambda x: x, X, Y)[1], Y)


def test_products_are_transposes_of_each_other():
    generator = np.random.default_rng(0)
    complex_numbers = generator.standard_normal((2, 3)) + 1j * generator.standard_normal((2, 3))
    z, u, v = rt.asarray(complex_numbers), rt.asarray(complex_numbers[::-1].copy()), rt.asarray(complex_numbers * 1j)
    for function in (lambda z: z * rt.conj(z) + z**2, lambda z: rt.abs(z) * (1 + 2j), lambda z: rt.linalg.pinv(z).mT):
        _, pull_back = rt.vjp(function, z)
        _, change = rt.jvp(function, z, v)
        assert_close(rt.real(rt.sum(pull_back(u)[0] * v)), rt.real(rt.sum(u * change)))


def test_aux():
    def g(x):
        return x * x, {"twice": 2 * x, "name": "g"}

    value, pull_back, aux = rt.vjp(g, X, has_aux=True)
    assert_close((value, pull_back(Y)[0], aux["twice"]), (X * X, 2 * X * Y, 2 * X))
    value, change, aux = rt.jvp(g, X, Y, has_aux=True)
    assert_close((value, change, aux["twice"]), (X * X, 2 * X * Y, 2 * X))
    matrix, aux = rt.jacobian(g, has_aux=True)(X)
    assert_close((matrix, aux["twice"]), (np.diag(2 * host(X)), 2 * X))
    matrix, aux = rt.hessian(lambda x: (g(x)[0].sum(), g(x)[1]), has_aux=True)(X)
    assert_close((matrix, aux["twice"]), (2 * np.eye(2), 2 * X))
    assert not aux["twice"].requires_grad


# Matrices


def test_jacobian_of_trees():
    found = rt.jacobian(f, (0, 1))(Point(X, Y), SCALE)
    point, scale = found["sines"]
    assert_close((point.x, point.y, scale), (JACOBIAN_BY_X, JACOBIAN_BY_Y, np.zeros(2)))
    point, scale = found["squares"][0]
    assert_close((point.x, point.y, scale), (4 * host(X), np.zeros(2), np.sum(host(X) ** 2)))


@pytest.mark.parametrize("shape", [(), (2,), (4, 3), (0,)])
def test_jacobian_by_rows_and_by_columns(shape):
    """More outputs than inputs go the other way; both end at the same matrix."""
    x, weights = rt.asarray(np.arange(3.0)), rt.asarray(np.random.default_rng(1).standard_normal((*shape, 3)))
    assert_close(rt.jacobian(lambda x: rt.sin(weights @ x))(x), rt.cos(weights @ x)[..., None] * weights)


def test_jacobian_of_complex_functions():
    z, x = tensor(1 + 2j, 3j, dtype="complex128"), tensor(0.5, 2.0)
    assert_close(rt.jacobian(lambda z: z**2)(z), np.diag(2 * host(z)))
    assert_close(rt.jacobian(lambda x: rt.exp(1j * x))(x), np.diag(1j * np.exp(1j * host(x))))
    assert_close(rt.jacobian(lambda x: rt.exp(1j * x[0]) * rt.ones(5))(x)[:, 0], 1j * np.exp(0.5j) * np.ones(5))
    assert_close(rt.jacobian(lambda z: rt.abs(z) ** 2)(z), np.diag(2 * np.conj(host(z))))
    assert_close(rt.jacobian(lambda z: z * 0)(z), np.zeros((2, 2), complex))


def test_hessian():
    def g(x, y):
        return rt.sum(x**3) * y + rt.sin(y)

    x, y = tensor(2.0, 3.0), tensor(0.5)
    (by_xx, by_xy), (by_yx, by_yy) = rt.hessian(g, (0, 1))(x, y)
    assert_close(by_xx, np.diag([6.0, 9.0]))
    assert_close(by_xy, by_yx)
    assert_close((by_yx, by_yy), ([12.0, 27.0], -math.sin(0.5)))
    assert_close(rt.hessian(g, 1)(x, y), -math.sin(0.5))


def test_hessians_are_symmetric():
    model = rt.nn.Sequential(rt.nn.Linear(3, 4), rt.nn.Tanh(), rt.nn.LayerNorm(4), rt.nn.Linear(4, 1))
    inputs = rt.random.Generator(1).normal(shape=(5, 3))
    leaves = {name: parameter.detach() for name, parameter in model.named_parameters()}
    blocks = rt.hessian(lambda m: rt.mean(rt.softmax(m(inputs), axis=0) ** 2))(model)
    rows = {name: dict(getattr_path(blocks, name).named_parameters()) for name in leaves}
    for first in leaves:
        for second in leaves:
            block, n = rows[first][second], leaves[first].ndim
            order = (*range(n, block.ndim), *range(n))
            assert_close(rt.permute_dims(block.detach(), order), rows[second][first].detach(), rtol=1e-4, atol=1e-6)


def getattr_path(module, path):
    for name in path.split("."):
        module = getattr(module, name)
    return module


def test_hvp():
    def g(x, y):
        return rt.sum(x**3) * y

    x, y, v = tensor(2.0, 3.0), tensor(0.5), tensor(1.0, -1.0)
    value, (by_x, by_y) = rt.hvp(g, (x, y), (v, 2.0))
    assert_close(value, g(x, y))
    assert_close((by_x, by_y), (np.diag([6.0, 9.0]) @ [1, -1] + 2 * np.asarray([12.0, 27.0]), 12.0 - 27.0))
    assert_close(rt.hvp(lambda x: g(x, y), x, v)[1], [6.0, -9.0])
    assert_close(rt.hvp(lambda x: rt.sum(x), x, v)[1], np.zeros(2))
    z = tensor(1 + 2j, dtype="complex128")
    direction = tensor(0.5 - 1j, dtype="complex128")
    _, change = rt.jvp(rt.grad(lambda z: rt.abs(z) ** 3), z, direction)
    assert_close(rt.hvp(lambda z: rt.abs(z) ** 3, z, direction)[1], change)


def test_transforms_nest():
    x = tensor(0.7)
    assert_close(rt.grad(lambda x: rt.jvp(lambda y: x * y**2, x, x)[1])(x), 6 * 0.7**2)
    assert_close(rt.grad(lambda x: rt.vjp(lambda y: x * y**2, x)[1](x)[0])(x), 6 * 0.7**2)
    assert_close(rt.jvp(rt.grad(rt.sin), x, 1.0)[1], -math.sin(0.7))
    assert_close(rt.grad(lambda x: rt.hessian(lambda y: x * y**3)(x))(x), 12 * 0.7)
    assert_close(rt.grad(lambda x: rt.hvp(lambda y: y**3, x, x)[1])(x), 12 * 0.7)
    assert_close(rt.jacobian(rt.jacobian(rt.jacobian(lambda x: x**4)))(x), 24 * 0.7)


def test_what_takes_part_from_outside_stays_differentiable():
    w = tensor(3.0).requires_grad_()
    value, pull_back = rt.vjp(lambda x: w * x**2, tensor(2.0))
    (gradient,) = pull_back(tensor(1.0))
    (value + gradient).backward()
    assert w.grad.item() == 4 + 4
    with rt.no_grad():
        assert not rt.jacobian(lambda x: w * x**2)(X).requires_grad
        assert not rt.jvp(lambda x: w * x**2, X, X)[1].requires_grad


# Checkpoints


class Counted:
    """Counts how often ops of one name run."""

    def __init__(self, name):
        self.name, self.count = name, 0

    def __enter__(self):
        def before(op, inputs, attributes):
            self.count += op.name == self.name

        self.undo = watch(before, lambda *rest: None)
        return self

    def __exit__(self, *error):
        self.undo()


def block(x, w, *, scale=1.0):
    hidden = rt.tanh(x @ w) * scale
    return {"hidden": hidden, "sum": (hidden**2).sum(), "count": rt.asarray(3), "name": "block"}


def test_checkpoint_has_the_same_value_and_gradient():
    generator = rt.random.Generator(0)
    x, w, b = (generator.normal(shape=shape, dtype="float64") for shape in ((2, 3), (3, 3), (3,)))

    def loss(call, x, w, b):
        found = call(lambda x, scale: block(x + b, w, scale=scale), x, scale=b[0])
        assert (found["count"].item(), found["name"]) == (3, "block")
        return found["sum"] * found["hidden"].sum() + found["hidden"][0, 0]

    def plainly(fn, *args, **kwargs):
        return fn(*args, **kwargs)

    expected = rt.value_and_grad(loss, (1, 2, 3))(plainly, x, w, b)
    assert_close(rt.value_and_grad(loss, (1, 2, 3))(rt.checkpoint, x, w, b), expected)
    gradcheck(lambda x, w, b: loss(rt.checkpoint, x, w, b), (x, w, b), order=3)


#: From a function of two arguments to others of them, each by a transform.
TRANSFORMS = {
    "grad": lambda f: rt.grad(f, 0),
    "value_and_grad": lambda f: lambda x, y: rt.value_and_grad(f, 1)(x, y)[1],
    "vjp": lambda f: lambda x, y: rt.vjp(lambda t: f(x, t), y)[1](tensor(1.0))[0],
    "jvp": lambda f: lambda x, y: rt.jvp(lambda t: f(t, y), (x,), (y,))[1],
    "jacobian": lambda f: rt.jacobian(f, 1),
    "hvp": lambda f: lambda x, y: rt.hvp(lambda t: f(t, y), x, y)[1],
    "checkpoint": lambda f: lambda x, y: rt.checkpoint(f, x, y),
}


@pytest.mark.parametrize("inner", TRANSFORMS)
@pytest.mark.parametrize("outer", TRANSFORMS)
def test_transforms_of_different_arguments_nest(outer, inner):
    x, y = tensor([2.0, 1.0]), tensor([3.0, 0.5])

    def function(x, y):
        return rt.sum(x * x * y * y * rt.sin(x * y))

    for name in (inner, outer):
        function = (lambda made: lambda x, y: rt.sum(made(x, y)))(TRANSFORMS[name](function))
    assert not function(x, y).requires_grad
    for place in (0, 1):
        assert not rt.grad(function, place)(x, y).requires_grad
    gradcheck(function, (x, y), rtol=1e-5)


def test_a_transform_inside_a_custom_gradient():
    @rt.custom_gradient
    def slope(x):
        return rt.grad(lambda t: rt.sum(t * t * x))(tensor([3.0])), lambda g: 6.0 * g

    assert rt.grad(lambda x: rt.sum(slope(x)))(tensor([0.5])).tolist() == [6]


@pytest.mark.parametrize("second", [lambda x: rt.stack([x, x]), lambda x: [x * 2, x], lambda x: x.detach()])
def test_checkpoint_refuses_another_result_the_second_time(second):
    x = tensor([0.5, 2.0]).requires_grad_()
    functions = iter([lambda x: x * 2, second])
    doubled = rt.checkpoint(lambda x: next(functions)(x), x)
    with pytest.raises(rt.errors.GradientError, match="called once more, it returned other tensors"):
        doubled.sum().backward()


def test_checkpoint_refuses_what_changes_or_runs_later():
    x = tensor([0.5, 2.0]).requires_grad_()
    scale = x * 2
    product = rt.checkpoint(lambda x: x * scale, x)
    scale.mul_(3)
    with pytest.raises(rt.errors.GradientError, match="what it reads must not change"):
        product.sum().backward()
    assert x.grad is None
    with pytest.raises(rt.errors.OperandError, match=r"generator came, .* return a list"):
        rt.checkpoint(lambda x: (part * 2 for part in x), x)


def test_checkpoint_of_what_raises_leaves_no_trace():
    generator = rt.random.Generator(0)
    x = tensor([0.5, 2.0]).requires_grad_()
    calls = iter([False, True])

    def fn(x):
        noise = generator.normal(shape=x.shape, dtype="float64")
        if next(calls):
            raise KeyError("the second time")
        return x * noise

    loss = rt.checkpoint(fn, x).sum()
    state = generator.get_state()
    with pytest.raises(KeyError, match="the second time"):
        loss.backward()
    assert str(generator.get_state()) == str(state)
    assert x.grad is None
    rt.checkpoint(rt.square, x).sum().backward()
    assert x.grad.tolist() == [1, 4]


def test_checkpoint_runs_once_more_for_all_outputs():
    x = tensor(0.5).requires_grad_()
    with Counted("tanh") as counted:
        parts = rt.checkpoint(lambda x: [rt.tanh(x) * k for k in range(4)], x)
        assert counted.count == 4
        (parts[1] + parts[2] * parts[3]).backward()
        assert counted.count == 8
    plain = tensor(0.5).requires_grad_()
    (rt.tanh(plain) + rt.tanh(plain) * 2 * rt.tanh(plain) * 3).backward()
    assert_close(x.grad, plain.grad)


def test_checkpoint_keeps_nothing_but_its_arguments():
    from rustorch_core._memory import Saved

    kept = []

    def inner(x):
        y = rt.exp(rt.sin(x))
        kept.extend(weakref.ref(each) for each in y._node.saved[0] if isinstance(each, Saved))
        return y * y

    x = tensor(1.0, 2.0).requires_grad_()
    y = rt.checkpoint(inner, x)
    assert len(kept) == 1
    assert kept[0]() is None
    y.sum().backward()
    assert [each() for each in kept] == [None, None]


@pytest.mark.parametrize("draw", ["own", "default"])
def test_checkpoint_draws_the_same_numbers_again(draw):
    generator = rt.random.Generator(3) if draw == "own" else rt.random.seed(3)
    numbers = []

    def dropped(x):
        (child,) = generator.split(1)
        mask = generator.bernoulli(0.5, x.shape, dtype="float64") + child.uniform(shape=x.shape, dtype="float64")
        numbers.append(mask.tolist())
        return x * mask

    x = tensor(*range(1, 20)).requires_grad_()
    y = rt.checkpoint(dropped, x)
    after = generator.uniform(shape=3).tolist()
    state = generator.get_state()
    y.sum().backward()
    assert numbers[0] == numbers[1]
    assert x.grad.tolist() == numbers[0]
    assert generator.get_state() == state
    generator = rt.random.Generator(3) if draw == "own" else rt.random.seed(3)
    dropped(x)
    assert generator.uniform(shape=3).tolist() == after


def test_nested_checkpoints():
    generator = rt.random.Generator(5)

    def layer(x):
        return rt.checkpoint(lambda x: rt.sin(x) * generator.uniform(1.0, 2.0, x.shape, dtype="float64"), x) * x

    def loss(x, call):
        generator.set_state(rt.random.Generator(5).get_state())
        return call(lambda x: call(layer, call(layer, x)), x).sum()

    x = tensor(0.3, 0.9)
    for order in range(1, 4):
        ours, theirs = (lambda x, call=call: loss(x, call) for call in (rt.checkpoint, lambda fn, *args: fn(*args)))
        for _ in range(order):
            ours, theirs = (lambda x, each=each: rt.grad(each)(x).sum() for each in (ours, theirs))
        assert_close(ours(x), theirs(x))


def test_a_long_chain_of_checkpoints():
    x = tensor(1.0).requires_grad_()
    y = x
    for _ in range(2000):
        y = rt.checkpoint(lambda y: y * 1.0 + x, y)
    y.backward()
    assert x.grad.item() == 2001


def test_checkpoint_of_methods_modules_and_nothing_recorded():
    layer = rt.nn.Linear(3, 2)
    x = rt.ones((4, 3))
    assert not x.requires_grad
    for call in (
        lambda: rt.checkpoint(layer, x),
        lambda: rt.checkpoint(layer)(x),
        lambda: rt.checkpoint(layer.forward, x),
    ):
        layer.zero_grad()
        call().sum().backward()
        assert layer.weight.grad.tolist() == [[4.0] * 3] * 2
    found = rt.grad(lambda m: rt.checkpoint(lambda m, x: m(x).sum(), m, x))(layer)
    assert found.weight.tolist() == [[4.0] * 3] * 2
    with rt.no_grad():
        assert not rt.checkpoint(layer, x).requires_grad
    assert not rt.checkpoint(rt.sin, x).requires_grad

    @rt.checkpoint
    def g(x, *, factor):
        """Multiply."""
        return x * factor

    assert (g.__name__, g.__doc__) == ("g", "Multiply.")
    assert rt.grad(lambda x: g(x, factor=3.0))(2.0).item() == 3


def test_checkpoint_and_writes():
    """Arguments are kept as they were, results are written into like any other."""

    def program(call, x):
        h = x * 2
        y = call(lambda h: rt.sin(h), h)
        h += 1.0
        y *= h
        z = call(lambda y: y, y)
        z[0] = 5.0
        return (y * z).sum()

    x = tensor(0.3, 0.4)
    assert_close(rt.grad(lambda x: program(rt.checkpoint, x))(x), rt.grad(lambda x: program(lambda fn, h: fn(h), x))(x))


def test_a_checkpoint_of_one_that_writes_its_argument():
    def write(h):
        h[0] = h[1] * 3
        return h * h

    def program(call, x):
        h = x * 2
        y = call(write, h)
        return (y * h).sum()

    x = tensor(0.3, 0.4)
    value, expected = rt.value_and_grad(lambda x: program(lambda fn, h: fn(h), x))(x)
    for _ in range(2):
        assert_close(rt.value_and_grad(lambda x: program(rt.checkpoint, x))(x), (value, expected))


def test_a_checkpoint_that_is_walked_twice():
    x = tensor(0.5).requires_grad_()
    y = rt.checkpoint(rt.sin, x)
    y.backward(retain_graph=True)
    y.backward()
    assert_close(x.grad, 2 * math.cos(0.5))
    with pytest.raises(errors.GradientError, match=r"checkpoint\(sin\): the graph has been walked and freed"):
        y.backward()


# Custom gradients


@rt.custom_gradient
def product(x, y):
    """Multiply."""
    return x * y, lambda g: (g * y, g * x)


def test_custom_gradient_of_every_order():
    assert (product.__name__, product.__doc__) == ("product", "Multiply.")

    @rt.custom_gradient
    def log1pexp(x):
        e = rt.exp(x)
        return rt.log(1 + e), lambda g: g * (1 - 1 / (1 + e))

    assert rt.grad(log1pexp)(100.0).item() == 1
    gradcheck(lambda x, y: product(log1pexp(x), y) * product(x, x), (X, Y), order=3)
    assert not product(X, Y).requires_grad


def test_the_custom_gradient_is_the_one_that_counts():
    reversed_gradient = rt.custom_gradient(lambda x: (x, lambda g: -g))
    straight_through = rt.custom_gradient(lambda x: (rt.round(x), lambda g: g))
    clipped = rt.custom_gradient(lambda x, limit: (x, lambda g: (rt.clip(g, -limit, limit), None)))
    assert rt.grad(lambda x: reversed_gradient(x) ** 2)(3.0).item() == -6
    assert rt.grad(lambda x: straight_through(x) ** 2)(2.7).item() == 6
    assert rt.grad(lambda x, y: clipped(x, y) * 100, (0, 1))(2.0, 5.0) == (5, 0)


def test_custom_gradients_of_trees():
    @rt.custom_gradient
    def g(point, pair, *, power):
        value = point.x**power * pair["w"]
        outputs = {"value": value, "sign": value > 0, "twice": [2 * value]}

        def backward(gradient):
            assert gradient["sign"] is None
            total = gradient["value"] + 2 * gradient["twice"][0]
            return Point(total * power * point.x ** (power - 1) * pair["w"], None), {
                "w": total * point.x**power,
                "n": None,
            }

        return outputs, backward

    def loss(point, w, *, plain):
        if plain:
            return (point.x**3 * w).sum() * 5
        found = g(point, {"w": w, "n": 7}, power=3)
        assert found["sign"].tolist() == [True, True]
        return found["value"].sum() + 2 * found["twice"][0].sum()

    ours, theirs = (
        rt.grad(lambda point, w, plain=plain: loss(point, w, plain=plain), (0, 1))(Point(X, Y), tensor(2.0, 3.0))
        for plain in (False, True)
    )
    assert_close((ours[0].x, ours[0].y, ours[1]), (theirs[0].x, theirs[0].y, theirs[1]))
    only_one = rt.grad(lambda x: g(Point(x, Y), {"w": tensor(2.0, 3.0), "n": 7}, power=3)["value"].sum())
    assert_close(only_one(X), 3 * host(X) ** 2 * [2.0, 3.0])


def test_gradients_of_all_outputs_come_together():
    calls = []

    @rt.custom_gradient
    def g(x):
        def backward(gradients):
            calls.append([each.tolist() for each in gradients])
            return sum(gradients)

        return (x * 1, x * 2, x * 3), backward

    x = tensor(2.0).requires_grad_()
    first, _, third = g(x)
    (first * 5 + third * third).backward()
    assert calls == [[5.0, 0.0, 12.0]]
    assert x.grad.item() == 17


def test_custom_gradients_and_writes():
    """The function that computes the gradient finds what it refers to as it was."""

    @rt.custom_gradient
    def sine_of_square(x):
        square = x * x
        sine = rt.sin(square)
        return (sine, square), lambda g: (g[0] * rt.cos(square) + g[1]) * 2 * x

    def program(call, x):
        h = x * 1
        sine, square = call(h)
        h *= 3.0
        square += h
        sine[0] = 4.0
        return (sine * square * h).sum()

    x = tensor(0.3, 0.4)
    plainly = rt.value_and_grad(lambda x: program(lambda h: (rt.sin(h * h), h * h), x))
    assert_close(rt.value_and_grad(lambda x: program(sine_of_square, x))(x), plainly(x))
    same = rt.custom_gradient(lambda x: (x, lambda g: g))
    h = x.requires_grad_() * 1
    y = same(h)
    y += 1.0
    assert_close(h.detach(), tensor(0.3, 0.4))


def test_views_that_a_custom_gradient_refers_to_are_as_they_were():
    @rt.custom_gradient
    def squares_of_first(x):
        first, product = x[0], x * 2
        twice = product[0]
        return (first * first, product), lambda g: rt.stack([2 * g[0] * first + g[1][0] * twice / first, 2 * g[1][1]])

    def program(call, x):
        h = x * 1
        square, product = call(h)
        h *= 3.0
        product *= h
        return square * product.sum()

    x = tensor(0.3, 0.4)
    plainly = rt.value_and_grad(lambda x: program(lambda h: (h[0] * h[0], h * 2), x))
    assert_close(rt.value_and_grad(lambda x: program(squares_of_first, x))(x), plainly(x))


def test_custom_gradients_that_do_not_fit():
    w = tensor(2.0).requires_grad_()
    with pytest.raises(errors.GradientError, match=r"<lambda>: it uses 1 tensors.*no positional arguments"):
        rt.grad(rt.custom_gradient(lambda x: (x * w, lambda g: g * w)))(2.0)
    rt.grad(rt.custom_gradient(lambda x: (x * w.detach(), lambda g: g * 2)))(2.0)
    for backward, words in (
        (lambda g: rt.ones(3), r"shape \(\) or None was expected.*\(3,\)"),
        (lambda g: 3.0, "float"),
        (lambda g: (g, g), r"returned .*tuple"),
    ):
        with pytest.raises((errors.GradientError, errors.ArgumentError), match=words):
            rt.grad(rt.custom_gradient(lambda x, backward=backward: (x * 2, backward)))(2.0)


# Memory


def test_no_garbage_is_left_for_the_collector():
    def work():
        x = tensor(1.0, 2.0).requires_grad_()
        rt.checkpoint(lambda x: product(x, rt.checkpoint(rt.sin, x)), x).sum().backward()
        with x.register_hook(lambda g: g * 2):
            rt.jacobian(rt.sin)(x)
        rt.hvp(lambda x: product(x, x).sum(), x.detach(), x.detach())
        rt.jvp(rt.sin, x.detach(), x.detach())
        with rt.detect_anomaly():
            rt.exp(x).sum().backward()

    work()
    gc.collect()
    gc.disable()
    try:
        work()
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_a_custom_gradient_keeps_what_it_refers_to_and_no_more():
    used, unused = [], []

    @rt.custom_gradient
    def g(x):
        kept, dropped = rt.exp(x), rt.sin(x)
        used.append(weakref.ref(kept))
        unused.append(weakref.ref(dropped))
        return dropped * kept, lambda g: g * kept

    x = tensor(1.0).requires_grad_()
    y = g(x)
    assert used[0]() is not None
    assert unused[0]() is None
    y.backward()
    assert used[0]() is None
