"""Every update rule beside its paper's formulas, written once more in NumPy."""

import math

import numpy as np
import pytest

import rustorch as rt

ADAM = {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0}


def norm(x):
    return math.sqrt((np.abs(x) ** 2).sum())


def averages(gradients, betas, size=lambda v, g, m, b: b * v + (1 - b) * g * g):
    """Adam's two averages at each step, with its number and the gradient."""
    m = v = 0.0
    for t, g in enumerate(gradients, 1):
        m = betas[0] * m + (1 - betas[0]) * g
        v = size(v, g, m, betas[1])
        yield t, g, m, v, m / (1 - betas[0] ** t), v / (1 - betas[1] ** t)


def adamax(p, gradients, lr, betas, eps, weight_decay):
    u = 0.0
    for _, g, *_, m_hat, _ in averages(gradients, betas):
        u = np.maximum(betas[1] * u, np.abs(g) + eps)
        p = p - lr * m_hat / u
        yield p


def nadam(p, gradients, lr, betas, eps, weight_decay, momentum_decay=4e-3):
    product = 1.0
    for t, g, m, _, _, v_hat in averages(gradients, betas):
        now, later = (betas[0] * (1 - 0.5 * 0.96 ** (k * momentum_decay)) for k in (t, t + 1))
        product *= now
        p = p - lr * (later * m / (1 - product * later) + (1 - now) * g / (1 - product)) / (np.sqrt(v_hat) + eps)
        yield p


def radam(p, gradients, lr, betas, eps, weight_decay):
    most = 2 / (1 - betas[1]) - 1
    for t, _, _, v, m_hat, _ in averages(gradients, betas):
        rho = most - 2 * t * betas[1] ** t / (1 - betas[1] ** t)
        if rho > 5:
            r = math.sqrt((rho - 4) * (rho - 2) * most / ((most - 4) * (most - 2) * rho))
            p = p - lr * m_hat * r * math.sqrt(1 - betas[1] ** t) / (np.sqrt(v) + eps)
        else:
            p = p - lr * m_hat
        yield p


def adabound(p, gradients, lr, betas, eps, weight_decay, final_lr=0.1, gamma=1e-3, amsgrad=False):
    largest = 0.0
    for t, _, m, v, _, _ in averages(gradients, betas):
        largest = np.maximum(largest, v)
        rate = lr * math.sqrt(1 - betas[1] ** t) / (1 - betas[0] ** t) / (np.sqrt(largest if amsgrad else v) + eps)
        low, high = final_lr * (1 - 1 / (gamma * t + 1)), final_lr * (1 + 1 / (gamma * t))
        p = p - np.clip(rate, low, high) * m
        yield p


def amsbound(*args, **options):
    return adabound(*args, amsgrad=True, **options)


def adabelief(p, gradients, lr, betas, eps, weight_decay):
    for *_, m_hat, s_hat in averages(gradients, betas, lambda s, g, m, b: b * s + (1 - b) * (g - m) ** 2 + eps):
        p = p * (1 - lr * weight_decay) - lr * m_hat / (np.sqrt(s_hat) + eps)
        yield p


def lamb(p, gradients, lr, betas, eps, weight_decay):
    for *_, m_hat, v_hat in averages(gradients, betas):
        change = m_hat / (np.sqrt(v_hat) + eps) + weight_decay * p
        trust = norm(p) / norm(change) if norm(p) and norm(change) else 1.0
        p = p - lr * trust * change
        yield p


def lars(p, gradients, lr, momentum, weight_decay, trust_coefficient=0.001):
    v = 0.0
    for g in gradients:
        size, total = norm(p), norm(g) + weight_decay * norm(p)
        local = trust_coefficient * size / total if size and total else 1.0
        v = momentum * v + lr * local * (g + weight_decay * p)
        p = p - v
        yield p


def lion(p, gradients, lr, betas, weight_decay):
    m = 0.0
    for g in gradients:
        p = p - lr * (np.sign(betas[0] * m + (1 - betas[0]) * g) + weight_decay * p)
        m = betas[1] * m + (1 - betas[1]) * g
        yield p


def adagrad(p, gradients, lr=1e-2, lr_decay=0.0, eps=1e-10, initial_accumulator_value=0.0):
    total = initial_accumulator_value
    for t, g in enumerate(gradients):
        total = total + g * g
        p = p - lr / (1 + t * lr_decay) * g / (np.sqrt(total) + eps)
        yield p


def adadelta(p, gradients, lr=1.0, rho=0.9, eps=1e-6):
    size = changes = 0.0
    for g in gradients:
        size = rho * size + (1 - rho) * g * g
        change = np.sqrt(changes + eps) / np.sqrt(size + eps) * g
        changes = rho * changes + (1 - rho) * change**2
        p = p - lr * change
        yield p


def rmsprop(p, gradients, lr=1e-2, alpha=0.99, eps=1e-8, momentum=0.0, centered=False):
    size = average = buffer = 0.0
    for g in gradients:
        size, average = alpha * size + (1 - alpha) * g * g, alpha * average + (1 - alpha) * g
        buffer = momentum * buffer + g / (np.sqrt(size - centered * average**2) + eps)
        p = p - lr * buffer
        yield p


def rprop(p, gradients, lr=1e-2, etas=(0.5, 1.2), step_sizes=(1e-6, 50.0)):
    size, before = np.full_like(p, lr), np.zeros_like(p)
    for gradient in gradients:
        g = gradient.copy()
        for place in np.ndindex(p.shape):
            turned = g[place] * before[place]
            size[place] *= etas[1] if turned > 0 else etas[0] if turned < 0 else 1
            size[place] = min(max(size[place], step_sizes[0]), step_sizes[1])
            g[place] = 0 if turned < 0 else g[place]
        p, before = p - np.sign(g) * size, g
        yield p


def asgd(p, gradients, lr=1e-2, lambd=1e-4, alpha=0.75):
    for t, g in enumerate(gradients):
        rate = lr / (1 + lambd * lr * t) ** alpha
        p = p * (1 - lambd * rate) - rate * g
        yield p


def adafactor(p, gradients, lr=1e-2, beta2_decay=-0.8, eps=(2.0**-23, 1e-3), d=1.0, weight_decay=0.0):
    rows, columns = np.zeros((p.shape[0], 1)), np.zeros((1, p.shape[1]))
    for t, g in enumerate(gradients, 1):
        new = t**beta2_decay
        rate = max(eps[1], math.sqrt((p * p).mean())) * min(lr, 1 / math.sqrt(t))
        rows = rows + new * ((g * g).mean(1, keepdims=True) - rows)
        columns = columns + new * ((g * g).mean(0, keepdims=True) - columns)
        change = g / np.sqrt(np.maximum(rows @ columns / max(rows.mean(), eps[0]), eps[0] ** 2))
        p = p * (1 - lr * weight_decay)
        p = p - rate * change / max(1, math.sqrt((change * change).mean()) / d)
        yield p


def muon(p, gradients, lr=1e-3, weight_decay=0.1, momentum=0.95, nesterov=True):
    buffer = np.zeros_like(p)
    a, b, c = 3.4445, -4.775, 2.0315
    for g in gradients:
        buffer = momentum * buffer + (1 - momentum) * g
        direction = momentum * buffer + (1 - momentum) * g if nesterov else buffer
        u, s, vh = np.linalg.svd(direction, full_matrices=False)
        s = s / norm(s)
        for _ in range(5):  # the polynomial acts on the singular values
            s = a * s + b * s**3 + c * s**5
        p = p * (1 - lr * weight_decay) - lr * math.sqrt(max(1, p.shape[0] / p.shape[1])) * (u * s) @ vh
        yield p


def schedule_free(p, gradients, lr, betas, eps, weight_decay, warmup_steps=0):
    z, v, total, largest = p, 0.0, 0.0, 0.0
    for t, g in enumerate(gradients, 1):
        rate = lr * min(1, t / max(warmup_steps, 1))
        largest = max(largest, rate)
        total += largest**2
        share = largest**2 / total
        v = betas[1] * v + (1 - betas[1]) * g * g
        change = g / (np.sqrt(v / (1 - betas[1] ** t)) + eps) + weight_decay * p
        p = p + share * (z - p) + rate * (betas[0] * (1 - share) - 1) * change
        z = z - rate * change
        yield p


def sgd(p, gradients, lr):
    for g in gradients:
        p = p - lr * g
        yield p


def lookahead_sgd(p, gradients, lr, lookahead_steps=5, lookahead_alpha=0.5):
    slow = p
    for t, g in enumerate(gradients, 1):
        p = p - lr * g
        if t % lookahead_steps == 0:
            p = slow = slow + lookahead_alpha * (p - slow)
        yield p


FAST = {**ADAM, "lr": 0.1, "betas": (0.8, 0.9), "eps": 1e-3}
CASES = [
    ("adamax", adamax, {**FAST}),
    ("nadam", nadam, {**ADAM}),
    ("nadam", nadam, {**FAST, "momentum_decay": 0.1}),
    ("radam", radam, {**ADAM}),
    ("radam", radam, {**FAST}),
    ("adabound", adabound, {**ADAM}),
    ("adabound", adabound, {**FAST, "final_lr": 0.3, "gamma": 0.1}),
    ("amsbound", amsbound, {**FAST}),
    ("adabelief", adabelief, {**ADAM, "eps": 1e-12}),
    ("adabelief", adabelief, {**FAST, "weight_decay": 0.1}),
    ("lamb", lamb, {**ADAM}),
    ("lamb", lamb, {**FAST, "weight_decay": 0.1}),
    ("lars", lars, {"lr": 0.5, "momentum": 0.9, "weight_decay": 0.0}),
    ("lars", lars, {"lr": 0.5, "momentum": 0.5, "weight_decay": 0.1, "trust_coefficient": 0.1}),
    ("lion", lion, {"lr": 0.01, "betas": (0.9, 0.99), "weight_decay": 0.0}),
    ("lion", lion, {"lr": 0.1, "betas": (0.5, 0.7), "weight_decay": 0.3}),
    ("adagrad", adagrad, {}),
    ("adagrad", adagrad, {"lr": 0.3, "lr_decay": 0.2, "eps": 1e-2, "initial_accumulator_value": 0.1}),
    ("adadelta", adadelta, {}),
    ("adadelta", adadelta, {"lr": 0.5, "rho": 0.6, "eps": 1e-2}),
    ("rmsprop", rmsprop, {}),
    ("rmsprop", rmsprop, {"momentum": 0.9, "centered": True, "eps": 1e-2, "alpha": 0.5}),
    ("rprop", rprop, {}),
    ("rprop", rprop, {"lr": 0.1, "etas": (0.3, 1.5), "step_sizes": (0.01, 0.3)}),
    ("asgd", asgd, {}),
    ("asgd", asgd, {"lr": 0.2, "lambd": 0.1, "alpha": 0.5}),
    ("adafactor", adafactor, {}),
    ("adafactor", adafactor, {"lr": 0.5, "weight_decay": 0.1, "d": 0.5, "beta2_decay": -0.5, "eps": (1e-3, 1e-2)}),
    ("muon", muon, {}),
    ("muon", muon, {"lr": 0.1, "weight_decay": 0.0, "momentum": 0.5, "nesterov": False}),
    ("schedule_free_adamw", schedule_free, {**ADAM}),
    ("schedule_free_adamw", schedule_free, {**FAST, "weight_decay": 0.1, "warmup_steps": 5}),
    ("lookahead(sgd)", lookahead_sgd, {"lr": 0.1}),
    ("lookahead(sgd)", lookahead_sgd, {"lr": 0.1, "lookahead_steps": 2, "lookahead_alpha": 0.8}),
]


@pytest.mark.needs("float64")
@pytest.mark.parametrize(("name", "reference", "options"), CASES, ids=lambda value: str(value))
def test_steps(name, reference, options):
    generator = np.random.default_rng(0)
    start = generator.normal(size=(4, 3))
    gradients = [generator.normal(size=(4, 3)) * scale for scale in (1, 5, 0.1, 3, 1, 0.5, *[1] * 14)]
    w = rt.asarray(start, copy=True).requires_grad_()
    optimizer = rt.optim.create(name, [w], **options)
    for gradient, expected in zip(gradients, reference(start, gradients, **options), strict=True):
        w.grad = rt.asarray(gradient)
        optimizer.step()
        np.testing.assert_allclose(w.detach().to("cpu").numpy(), expected, rtol=1e-10, atol=1e-12)


ALL = [name for name in [*rt.optim.list(), "lookahead(adamw)"] if name != "lbfgs"]


def trained(name, start, steps=30, climb=False, **options):
    """A value that went down a bowl, or up its mirror image."""
    w = rt.asarray(start).requires_grad_()
    optimizer = rt.optim.create(name, [w], maximize=climb, **options)
    for _ in range(steps):
        optimizer.zero_grad()
        loss = (rt.abs(w) ** 2).sum()
        (-loss if climb else loss).backward()
        optimizer.step()
    return w


@pytest.mark.parametrize("name", ALL)
def test_every_rule_goes_down_and_climbs_the_mirror_image(name):
    start = [[1.0, -2.0], [3.0, 0.5]]
    down, up = trained(name, start), trained(name, start, climb=True)
    before = (rt.asarray(start) ** 2).sum()
    assert (down**2).sum() < before
    np.testing.assert_array_equal(down.tolist(), up.tolist())


@pytest.mark.parametrize("name", ALL)
def test_complex_numbers_go_as_pairs_of_real_ones(name):
    if name in ("muon", "adafactor", "sparse_adam"):  # these look at rows and columns, of which a pair is one more
        w = trained(name, [1.0 + 2.0j, -3.0 + 0.5j])
        assert (rt.abs(w) ** 2).sum() < 14.25
        return
    pairs = trained(name, [[1.0, 2.0], [-3.0, 0.5]])
    complex_ones = trained(name, [1.0 + 2.0j, -3.0 + 0.5j])
    expected = pairs.detach().to("cpu").numpy().reshape(-1).view(np.complex64)
    np.testing.assert_allclose(complex_ones.detach().to("cpu").numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("shape", [(), (3,), (0,), (2, 0), (2, 3, 4)])
def test_every_shape(name, shape):
    w = rt.ones(shape).requires_grad_()
    optimizer = rt.optim.create(name, [w])
    for _ in range(3):
        w.grad = rt.ones(shape)
        optimizer.step()
    assert w.shape == shape
    assert rt.all(rt.isfinite(w))


@pytest.mark.parametrize("name", ALL)
def test_a_gradient_of_zero_makes_no_nan(name):
    w = rt.asarray([0.0, 1.0]).requires_grad_()
    optimizer = rt.optim.create(name, [w])
    for _ in range(3):
        w.grad = rt.zeros(2)
        optimizer.step()
    assert rt.all(rt.isfinite(w))


def test_sparse_adam_leaves_rows_without_gradient():
    w = rt.ones((3, 2)).requires_grad_()
    optimizer = rt.optim.create("sparse_adam", [w], lr=0.1)
    w.grad = rt.asarray([[1.0, 0.0], [0.0, 0.0], [2.0, 2.0]])
    optimizer.step()
    np.testing.assert_allclose(w.tolist(), [[0.9, 1.0], [1.0, 1.0], [0.9, 0.9]], rtol=1e-6)
    w.grad = rt.asarray([[0.0, 0.0], [1.0, 1.0], [0.0, 0.0]])
    optimizer.step()
    assert w[0].tolist() == pytest.approx([0.9, 1.0])


def test_muon_leaves_what_is_no_matrix_to_adamw():
    def after_two(name, **options):
        w, b = rt.ones((3, 2)).requires_grad_(), rt.ones(3).requires_grad_()
        optimizer = rt.optim.create(name, [{"params": [w]}, {"params": [b], **options}], lr=0.1)
        for _ in range(2):
            w.grad, b.grad = rt.ones((3, 2)), rt.asarray([1.0, -2.0, 3.0])
            optimizer.step()
        return w.tolist(), b.tolist()

    assert after_two("muon")[1] == after_two("adamw")[1]
    assert after_two("muon")[0] != after_two("adamw")[0]


def test_a_matrix_that_is_not_meant_for_muon():
    w = rt.ones((3, 2)).requires_grad_()
    for name, options in (("muon", {"use_muon": False}), ("adamw", {})):
        optimizer = rt.optim.create(name, [w], lr=0.1, **options)
        w.grad = rt.ones((3, 2))
        optimizer.step()
    np.testing.assert_allclose(w.tolist(), np.full((3, 2), ((1 - 0.001) - 0.1) * (1 - 0.001) - 0.1), rtol=1e-5)


def test_a_lookahead_around_a_lookahead():
    w = rt.ones(2).requires_grad_()
    with pytest.raises(rt.errors.ArgumentError, match="lookahead"):
        rt.optim.create("lookahead(lookahead(sgd))", [w])
    with pytest.raises(rt.errors.ArgumentError, match="did you mean 'sgd'"):
        rt.optim.create("lookahead(sdg)", [w])


@pytest.mark.parametrize("dtype", ["float32", "complex64"])
def test_schedule_free_values_turn_to_be_evaluated_and_back(dtype):
    w = rt.asarray([1.0, 2.0], dtype=dtype).requires_grad_()
    optimizer = rt.optim.create("schedule_free_adamw", [w], lr=0.1, betas=(0.8, 0.9))
    for _ in range(5):
        w.grad = rt.asarray([1.0, -1.0], dtype=dtype)
        optimizer.step()
    trained = w.tolist()
    assert optimizer.eval() is optimizer
    assert optimizer.eval() is optimizer  # once is enough
    # What is trained is `beta` of what is evaluated, and the rest of the fast value.
    fast = optimizer.state_dict()["state"]["0"]["fast"]
    fast = fast[..., 0] if dtype == "complex64" else fast
    np.testing.assert_allclose(
        (0.8 * w.detach() + 0.2 * fast).to("cpu").numpy(), np.asarray(trained, np.complex64), rtol=1e-6
    )
    with pytest.raises(rt.errors.ArgumentError, match="call train"):
        optimizer.step()
    saved = optimizer.state_dict()
    again = rt.optim.create("schedule_free_adamw", [w], lr=0.1, betas=(0.8, 0.9))
    again.load_state_dict(saved)
    again.train()
    np.testing.assert_allclose(w.detach().to("cpu").numpy(), np.asarray(trained, np.complex64), rtol=1e-6)
    again.step()


def test_turning_changes_nothing_where_what_is_trained_is_evaluated():
    w = rt.ones(2).requires_grad_()
    optimizer = rt.optim.create("adam", [w]).eval()
    assert w.tolist() == [1.0, 1.0]
    optimizer.train().step()
