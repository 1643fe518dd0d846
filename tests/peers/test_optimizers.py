"""Optimizers beside PyTorch's, 200 steps on the same problem with the same gradients, with all options."""

import numpy as np
import pytest
import torch

import rustorch as rt

STEPS = 200
ADAM = [{}, {"lr": 0.05, "betas": (0.7, 0.95), "eps": 1e-4}, {"weight_decay": 0.1}, {"maximize": True}]
AMSGRAD = [{"amsgrad": True}, {"amsgrad": True, "weight_decay": 0.2, "maximize": True, "lr": 0.02}]
DECOUPLED = [{"decoupled_weight_decay": True, "weight_decay": 0.1, "lr": 0.01}]

#: Our name, PyTorch's class, and the options of each run; those that PyTorch spells otherwise are renamed.
CASES = {
    "sgd": (
        torch.optim.SGD,
        [
            {},
            {"lr": 0.1, "momentum": 0.9},
            {"momentum": 0.9, "nesterov": True},
            {"momentum": 0.9, "dampening": 0.5, "weight_decay": 0.1},
            {"weight_decay": 0.1, "maximize": True},
            {"momentum": 0.5, "maximize": True, "nesterov": True, "weight_decay": 0.01},
        ],
    ),
    "adam": (torch.optim.Adam, [*ADAM, *AMSGRAD, *DECOUPLED]),
    "adamw": (torch.optim.AdamW, [*ADAM, *AMSGRAD]),
    "amsgrad": (lambda p, **options: torch.optim.Adam(p, amsgrad=True, **options), ADAM),
    "adamax": (torch.optim.Adamax, ADAM),
    "nadam": (torch.optim.NAdam, [*ADAM, *DECOUPLED, {"momentum_decay": 0.1}]),
    "radam": (torch.optim.RAdam, [*ADAM, *DECOUPLED]),
    "adagrad": (
        torch.optim.Adagrad,
        [
            {},
            {"lr": 0.5, "lr_decay": 0.1},
            {"weight_decay": 0.1, "initial_accumulator_value": 0.3},
            {"eps": 0.1, "maximize": True},
        ],
    ),
    "adadelta": (
        torch.optim.Adadelta,
        [{}, {"lr": 0.3, "rho": 0.5, "eps": 1e-3}, {"weight_decay": 0.1, "maximize": True}],
    ),
    "rmsprop": (
        torch.optim.RMSprop,
        [
            {},
            {"momentum": 0.9},
            {"centered": True},
            {"centered": True, "momentum": 0.5, "weight_decay": 0.1, "alpha": 0.9, "eps": 1e-3},
            {"lr": 0.1, "maximize": True},
        ],
    ),
    "rprop": (torch.optim.Rprop, [{}, {"lr": 0.1, "etas": (0.3, 1.1), "step_sizes": (1e-3, 0.5)}, {"maximize": True}]),
    "asgd": (
        torch.optim.ASGD,
        [{}, {"lr": 0.1, "lambd": 0.01, "alpha": 0.5, "t0": 50.0}, {"weight_decay": 0.1, "maximize": True}],
    ),
    "adafactor": (
        torch.optim.Adafactor,
        [{}, {"lr": 0.1, "beta2_decay": -0.5, "d": 1.5}, {"weight_decay": 0.1, "eps": (1e-5, 1e-2), "maximize": True}],
    ),
}
RUNS = [(name, options) for name, (_, runs) in CASES.items() for options in runs]


def gradients_of(shapes, dtype, seed=0):
    """Gradients of a bowl at the values that it is asked at, with noise that is the same for all who ask."""
    generator = np.random.default_rng(seed)
    scales = [generator.uniform(0.1, 3, shape) for shape in shapes]

    def at(step, values):
        noise = np.random.default_rng(step)
        return [
            (scale * value + 0.3 * noise.normal(size=value.shape)).astype(dtype)
            for scale, value in zip(scales, values, strict=True)
        ]

    return at, [generator.normal(size=shape).astype(dtype) for shape in shapes]


SHAPES = [(3, 2), (5,), (), (2, 3, 4)]


#: PyTorch's Adafactor takes no complex parameters.
RUNS_OF_DTYPES = [
    (*run, dtype)
    for dtype in ("float32", "float64", "complex128")
    for run in RUNS
    if (run[0], dtype) != ("adafactor", "complex128")
]


@pytest.mark.parametrize(("name", "options", "dtype"), RUNS_OF_DTYPES, ids=lambda value: str(value))
def test_steps(name, options, dtype):
    at, start = gradients_of(SHAPES, dtype)
    if dtype == "complex128":
        start = [value * (1 + 0.5j) for value in start]
    ours = [rt.asarray(value).requires_grad_() for value in start]
    theirs = [torch.tensor(value, requires_grad=True) for value in start]
    mine, peer = rt.optim.create(name, ours, **options), CASES[name][0](theirs, **options)
    for step in range(STEPS):
        # The gradients are those at PyTorch's values: what rounds otherwise does not grow by the problem.
        gradients = at(step, [value.detach().numpy() for value in theirs])
        for x, y, gradient in zip(ours, theirs, gradients, strict=True):
            x.grad, y.grad = rt.asarray(gradient.conj()), torch.tensor(gradient)
        mine.step()
        peer.step()
    # PyTorch keeps numbers of these in float32; Adafactor's default eps is that of float32 here, of the dtype there.
    in_double = 2e-6 if name in ("adafactor", "asgd", "nadam") else 1e-9
    tolerance = 2e-4 if dtype == "float32" else in_double
    for x, y in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(x.detach().numpy(), y.detach().numpy(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("options", [{}, {"nesterov": False}, {"adjust_lr_fn": "match_rms_adamw", "weight_decay": 0.0}])
@pytest.mark.parametrize("shape", [(4, 4), (6, 3), (2, 5)])
def test_muon(options, shape):
    """PyTorch iterates in bfloat16, so three digits are what both have in common."""
    at, start = gradients_of([shape], "float32")
    ours, theirs = rt.asarray(start[0]).requires_grad_(), torch.tensor(start[0], requires_grad=True)
    mine, peer = rt.optim.create("muon", [ours], lr=0.02, **options), torch.optim.Muon([theirs], lr=0.02, **options)
    for step in range(STEPS):
        gradient = at(step, [theirs.detach().numpy()])[0]
        ours.grad, theirs.grad = rt.asarray(gradient), torch.tensor(gradient)
        mine.step()
        peer.step()
    np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), rtol=0.02, atol=0.02)


def test_sparse_adam():
    generator = np.random.default_rng(0)
    start = generator.normal(size=(6, 3)).astype("float32")
    ours, theirs = rt.asarray(start).requires_grad_(), torch.tensor(start, requires_grad=True)
    mine, peer = rt.optim.create("sparse_adam", [ours], lr=0.05), torch.optim.SparseAdam([theirs], lr=0.05)
    for _ in range(STEPS):
        gradient = generator.normal(size=(6, 3)).astype("float32")
        gradient[generator.permutation(6)[:4]] = 0
        ours.grad, theirs.grad = rt.asarray(gradient), torch.tensor(gradient).to_sparse(1)
        mine.step()
        peer.step()
    np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), rtol=1e-4, atol=1e-4)


# L-BFGS, on functions whose minima are known


def rosenbrock(xp, x):
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def beale(xp, x):
    return sum((c - x[0] * (1 - x[1] ** k)) ** 2 for k, c in ((1, 1.5), (2, 2.25), (3, 2.625)))


def bowl(xp, x):
    return (xp.asarray(np.logspace(0, 6, 20)) * x**2).sum() / 2


FUNCTIONS = {
    "rosenbrock of 2": (rosenbrock, np.array([-1.2, 1.0]), np.ones(2)),
    "rosenbrock of 100": (rosenbrock, np.linspace(-1.0, 1.0, 100), np.ones(100)),
    "beale": (beale, np.array([1.0, 1.0]), np.array([3.0, 0.5])),
    "bowl of condition 1e6": (bowl, np.ones(20), np.zeros(20)),
}


def minimised(xp, x, optimizer, function, steps=40):
    """How often the function was computed until it was within 1e-12 of its minimum, 0; and every value on the way."""
    values = []

    def closure():
        optimizer.zero_grad()
        loss = function(xp, x)
        loss.backward()
        values.append(float(loss.item()))
        return loss

    for _ in range(steps):
        optimizer.step(closure)
        if min(values) < 1e-12:
            break
    return next((count for count, value in enumerate(values, 1) if value < 1e-12), None), values


@pytest.mark.parametrize("name", FUNCTIONS)
def test_lbfgs_finds_minima_in_no_more_evaluations(name):
    function, start, expected = FUNCTIONS[name]
    options = {"line_search_fn": "strong_wolfe", "tolerance_grad": 0.0, "tolerance_change": 1e-30}
    ours, theirs = rt.asarray(start, copy=True).requires_grad_(), torch.tensor(start, requires_grad=True)
    count, values = minimised(rt, ours, rt.optim.create("lbfgs", [ours], **options), function)
    most, peer_values = minimised(torch, theirs, torch.optim.LBFGS([theirs], **options), function)
    np.testing.assert_allclose(ours.detach().numpy(), expected, atol=1e-4)
    np.testing.assert_allclose(values[:10], peer_values[:10], rtol=1e-6)
    assert count <= 1.01 * most  # what rounds otherwise counts after a hundred evaluations


@pytest.mark.parametrize("options", [{"lr": 0.1}, {"lr": 0.1, "history_size": 3, "max_iter": 5, "max_eval": 4}])
def test_lbfgs_without_a_search(options):
    ours, theirs = (
        rt.asarray([-1.2, 1.0], dtype=rt.float64).requires_grad_(),
        torch.tensor([-1.2, 1.0], dtype=torch.float64),
    )
    theirs.requires_grad_()
    _, values = minimised(rt, ours, rt.optim.create("lbfgs", [ours], **options), rosenbrock, 3)
    _, peer_values = minimised(torch, theirs, torch.optim.LBFGS([theirs], **options), rosenbrock, 3)
    np.testing.assert_allclose(values, peer_values, rtol=1e-8)


@pytest.mark.parametrize("options", [{}, {"line_search_fn": "strong_wolfe"}])
@pytest.mark.parametrize("dtype", ["float32", "float64", "complex128"])
def test_lbfgs_steps(options, dtype):
    """Several parameters, one of them without a gradient, over calls of `step` that begin where the last one ended."""
    generator = np.random.default_rng(0)
    matrix, start = generator.normal(size=(6, 4)).astype(dtype), generator.normal(size=4).astype(dtype)
    target = generator.normal(size=6).astype(dtype)
    if dtype == "complex128":
        matrix, start = matrix + 1j * generator.normal(size=(6, 4)), start + 0.5j
    ours = [
        rt.asarray(start.copy()).requires_grad_(),
        rt.asarray(start[:1] * 3).requires_grad_(),
        rt.ones(2, dtype=dtype),
    ]
    theirs = [torch.tensor(each.detach().numpy().copy(), requires_grad=True) for each in ours]
    ours[2].requires_grad_()
    mine = rt.optim.create("lbfgs", ours, lr=0.5, max_iter=4, **options)
    peer = torch.optim.LBFGS(theirs, lr=0.5, max_iter=4, **options)

    def closure(xp, optimizer, parameters):
        def evaluate():
            optimizer.zero_grad()
            x, scale, _ = parameters
            loss = (xp.abs(xp.asarray(matrix) @ x * scale - xp.asarray(target)) ** 2).sum()
            loss.backward()
            return loss

        return evaluate

    for _ in range(4):
        first = mine.step(closure(rt, mine, ours))
        second = peer.step(closure(torch, peer, theirs))
        np.testing.assert_allclose(float(first.item()), float(second.item()), rtol=1e-3 if dtype == "float32" else 1e-7)
