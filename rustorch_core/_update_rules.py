"""Update rules for one array, each as its paper states it.

A rule is a pair of functions: `init` makes its state, `update` the new value from old value, gradient and state.
Parameters, groups and state files are the optimizer's business (`_optimizers.py`), not the rule's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rustorch_core._arguments import one_of
from rustorch_core._creation_functions import asarray, full_like, zeros, zeros_like
from rustorch_core._data_types import CATEGORIES
from rustorch_core._elementwise_functions import abs, clip, conj, imag, maximum, real, sign, sqrt, square, where
from rustorch_core._linear_algebra_extension import vector_norm
from rustorch_core._linear_algebra_functions import matmul
from rustorch_core._manipulation_functions import stack
from rustorch_core._statistical_functions import any, mean
from rustorch_core._tensor import Tensor
from rustorch_core.errors import ArgumentError

State = dict[str, Tensor]
Options = Mapping[str, Any]
Init = Callable[[Tensor, Options], State]
Update = Callable[[Tensor, Tensor, State, int, Options], tuple[Tensor, State]]
#: From the value that is trained to the one to evaluate, or back.
Turn = Callable[[Tensor, State, Options], Tensor]


@dataclass(frozen=True)
class UpdateRule:
    """An optimizer for one array.

    Arguments:
        name: the name that `create` takes.
        defaults: every option with its default value; no other is accepted.
        init: `(p, options) -> state`, tensors by name.
        update: `(p, g, state, step, options) -> (new p, new state)`; `step` counts from 1.
        source: the paper.
        to_evaluation: `(p, state, options) -> p`, where what is trained is not what is to be evaluated.
        to_training: the way back.
        optimizer: the class of its optimizers, where one array does not know enough.
    """

    name: str
    defaults: Options
    init: Init
    update: Update
    source: str
    to_evaluation: Turn | None = None
    to_training: Turn | None = None
    optimizer: type | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        from rustorch_core._optimizers import rule_of

        return rule_of, (self.name,)


RULES: dict[str, UpdateRule] = {}


def _rule(
    name: str, source: str, init: Init, update: Update, *, turns: tuple[Turn, Turn] | None = None, **defaults: Any
) -> None:
    """State a rule; its defaults are its options, and every rule can climb."""
    turn, back = turns or (None, None)
    RULES[name] = UpdateRule(name, {**defaults, "maximize": False}, init, update, source, turn, back)


def _zeros(*names: str) -> Init:
    """State that begins as zeros."""
    return lambda p, options: {name: zeros_like(p) for name in names}


def _decayed(p: Tensor, g: Tensor, options: Options) -> tuple[Tensor, Tensor]:
    """Weight decay: through the gradient, or decoupled from it, on the weights themselves."""
    decay = options["weight_decay"]
    if not decay:
        return p, g
    return (p * (1 - options["lr"] * decay), g) if options.get("decoupled_weight_decay") else (p, g + decay * p)


def _average(old: Tensor, new: Tensor, keep: float) -> Tensor:
    """An exponential moving average: `keep` of the old value and the rest of the new one."""
    return keep * old + (1 - keep) * new


# Stochastic gradient descent, with momentum and trust ratios


def _sgd_init(p: Tensor, options: Options) -> State:
    if options["nesterov"] and (not options["momentum"] or options["dampening"]):
        raise ArgumentError("sgd: nesterov needs a momentum, and a dampening of 0")
    return {"momentum": zeros_like(p)} if options["momentum"] else {}


def _sgd(p: Tensor, g: Tensor, state: State, step: int, options: Options) -> tuple[Tensor, State]:
    p, g = _decayed(p, g, options)
    if not options["momentum"]:
        return p - options["lr"] * g, state
    dampening = options["dampening"] if step > 1 else 0.0
    velocity = options["momentum"] * state["momentum"] + (1 - dampening) * g
    direction = g + options["momentum"] * velocity if options["nesterov"] else velocity
    return p - options["lr"] * direction, {"momentum": velocity}


_rule(
    "sgd",
    "Robbins and Monro 1951; momentum as in Sutskever et al. 2013",
    _sgd_init,
    _sgd,
    lr=1e-3,
    momentum=0.0,
    dampening=0.0,
    weight_decay=0.0,
    nesterov=False,
)


def _norm(x: Tensor) -> Tensor:
    return vector_norm(x)


def _trust(p: Tensor, change: Tensor) -> Tensor:
    """The ratio of the norms of a value and of its change; 1 where either is 0."""
    size, changed = _norm(p), _norm(change)
    is_zero = (size == 0) | (changed == 0)
    return where(is_zero, 1.0, size / where(is_zero, 1.0, changed))


def _lars(p: Tensor, g: Tensor, state: State, step: int, options: Options) -> tuple[Tensor, State]:
    size, slope = _norm(p), _norm(g)
    total = slope + options["weight_decay"] * size
    is_zero = (size == 0) | (total == 0)
    local_lr = where(is_zero, 1.0, options["trust_coefficient"] * size / where(is_zero, 1.0, total))
    velocity = options["momentum"] * state["momentum"] + options["lr"] * local_lr * (g + options["weight_decay"] * p)
    return p - velocity, {"momentum": velocity}


_rule(
    "lars",
    "You et al. 2017, arXiv:1708.03888",
    _zeros("momentum"),
    _lars,
    lr=0.1,
    momentum=0.9,
    weight_decay=0.0,
    trust_coefficient=0.001,
)


# Adam's family: an average of gradients, divided by an average of their size


#: `(state, g, average of g, options) -> average of the size`, of the squares but for Adamax.
Size = Callable[[State, Tensor, Tensor, Options], Tensor]
#: `(p, g, average of g, average of the size, step, options) -> change`, to be subtracted.
Change = Callable[[Tensor, Tensor, Tensor, Tensor, int, Options], Any]


def _adam_family(size: Size, change: Change) -> tuple[Init, Update]:
    """A member of the family: what it takes for the size of gradients, and what it makes of both averages."""

    def init(p: Tensor, options: Options) -> State:
        names = ("mean", "size", "largest_size") if options.get("amsgrad") else ("mean", "size")
        return {name: zeros_like(p) for name in names}

    def update(p: Tensor, g: Tensor, state: State, step: int, options: Options) -> tuple[Tensor, State]:
        p, g = _decayed(p, g, options)
        average = _average(state["mean"], g, options["betas"][0])
        found = size(state, g, average, options)
        kept = {"mean": average, "size": found}
        if options.get("amsgrad"):
            found = kept["largest_size"] = maximum(state["largest_size"], found)
        return p - change(p, g, average, found, step, options), kept

    return init, update


def _squares(state: State, g: Tensor, average: Tensor, options: Options) -> Tensor:
    return _average(state["size"], square(g), options["betas"][1])


def _surprises(state: State, g: Tensor, average: Tensor, options: Options) -> Tensor:
    """AdaBelief: how far gradients are from their average."""
    return _average(state["size"], square(g - average), options["betas"][1]) + float(options["eps"])


def _largest(state: State, g: Tensor, average: Tensor, options: Options) -> Tensor:
    """Adamax: the infinity norm."""
    return maximum(options["betas"][1] * state["size"], abs(g) + options["eps"])


def _root(size: Tensor, step: int, options: Options) -> Tensor:
    """The root of an average of squares, corrected for its start at 0, and kept from 0."""
    return sqrt(size) / math.sqrt(1 - options["betas"][1] ** step) + float(options["eps"])


def _adam_change(p: Tensor, g: Tensor, average: Tensor, size: Tensor, step: int, options: Options) -> Any:
    return average / _root(size, step, options) * (options["lr"] / (1 - options["betas"][0] ** step))


def _adamax_change(p: Tensor, g: Tensor, average: Tensor, size: Tensor, step: int, options: Options) -> Any:
    return average / size * (options["lr"] / (1 - options["betas"][0] ** step))


#: The products of NAdam's momenta up to the last steps asked for.
_PRODUCTS: dict[tuple[float, float, int], float] = {}


def _nadam_momentum(options: Options, step: int) -> float:
    momentum: float = options["betas"][0] * (1 - 0.5 * 0.96 ** (step * options["momentum_decay"]))
    return momentum


def _nadam_product(options: Options, step: int) -> float:
    """The product of the momenta of all steps."""
    key = options["betas"][0], options["momentum_decay"]
    if (*key, step) not in _PRODUCTS:
        before = _PRODUCTS.get((*key, step - 1))
        if before is None:
            before = math.prod(_nadam_momentum(options, each) for each in range(1, step))
        if len(_PRODUCTS) > 64:
            _PRODUCTS.clear()
        _PRODUCTS[(*key, step)] = before * _nadam_momentum(options, step)
    return _PRODUCTS[(*key, step)]


def nadam_momenta(options: Options, step: int) -> tuple[float, float]:
    """How much of NAdam's direction is the average of gradients, and how much the gradient."""
    now, later = _nadam_momentum(options, step), _nadam_momentum(options, step + 1)
    product = _nadam_product(options, step)
    return later / (1 - product * later), (1 - now) / (1 - product)


def _nadam_change(p: Tensor, g: Tensor, average: Tensor, size: Tensor, step: int, options: Options) -> Any:
    of_average, of_gradient = nadam_momenta(options, step)
    direction = of_average * average + of_gradient * g
    return direction / _root(size, step, options) * options["lr"]


def radam_factors(options: Options, step: int) -> tuple[float, bool]:
    """RAdam's rate, and whether the variance is known well enough to divide by its root."""
    beta1, beta2 = options["betas"]
    most = 2 / (1 - beta2) - 1
    length = most - 2 * step * beta2**step / (1 - beta2**step)
    rate = options["lr"] / (1 - beta1**step)
    if length <= 5:
        return rate, False
    rectified = math.sqrt((length - 4) * (length - 2) * most / ((most - 4) * (most - 2) * length))
    return rate * rectified * math.sqrt(1 - beta2**step), True


def _radam_change(p: Tensor, g: Tensor, average: Tensor, size: Tensor, step: int, options: Options) -> Any:
    rate, is_divided = radam_factors(options, step)
    return average / (sqrt(size) + options["eps"]) * rate if is_divided else average * rate


def _adabound_change(p: Tensor, g: Tensor, average: Tensor, size: Tensor, step: int, options: Options) -> Any:
    beta1, beta2 = options["betas"]
    lr, gamma = options["lr"], options["gamma"]
    final = options["final_lr"] * lr / options.get("initial_lr", lr) if lr else 0.0  # a schedule bends the bounds too
    low, high = final * (1 - 1 / (gamma * step + 1)), final * (1 + 1 / (gamma * step))
    rate = lr * math.sqrt(1 - beta2**step) / (1 - beta1**step) / (sqrt(size) + options["eps"])
    return clip(rate, low, high) * average


def _lamb_change(p: Tensor, g: Tensor, average: Tensor, size: Tensor, step: int, options: Options) -> Any:
    direction = average / (1 - options["betas"][0] ** step) / _root(size, step, options)
    if options["decay"]:
        direction = direction + options["decay"] * p
    return _trust(p, direction) * options["lr"] * direction


_ADAM: dict[str, Any] = {
    "lr": 1e-3,
    "betas": (0.9, 0.999),
    "eps": 1e-8,
    "weight_decay": 0.0,
    "decoupled_weight_decay": False,
}
_KINGMA = "Kingma and Ba 2015, arXiv:1412.6980"

_rule("adam", _KINGMA, *_adam_family(_squares, _adam_change), **_ADAM, amsgrad=False)
_rule(
    "adamw",
    "Loshchilov and Hutter 2019, arXiv:1711.05101",
    *_adam_family(_squares, _adam_change),
    **{**_ADAM, "weight_decay": 1e-2, "decoupled_weight_decay": True},
    amsgrad=False,
)
_rule("amsgrad", "Reddi et al. 2018, arXiv:1904.09237", *_adam_family(_squares, _adam_change), **_ADAM, amsgrad=True)
_rule("adamax", _KINGMA, *_adam_family(_largest, _adamax_change), **{**_ADAM, "lr": 2e-3})
_rule(
    "nadam",
    "Dozat 2016, Incorporating Nesterov Momentum into Adam",
    *_adam_family(_squares, _nadam_change),
    **{**_ADAM, "lr": 2e-3},
    momentum_decay=4e-3,
)
_rule("radam", "Liu et al. 2020, arXiv:1908.03265", *_adam_family(_squares, _radam_change), **_ADAM)
_rule(
    "adabound",
    "Luo et al. 2019, arXiv:1902.09843",
    *_adam_family(_squares, _adabound_change),
    **_ADAM,
    final_lr=0.1,
    gamma=1e-3,
    amsgrad=False,
)
_rule(
    "amsbound",
    "Luo et al. 2019, arXiv:1902.09843",
    *_adam_family(_squares, _adabound_change),
    **_ADAM,
    final_lr=0.1,
    gamma=1e-3,
    amsgrad=True,
)
_rule(
    "adabelief",
    "Zhuang et al. 2020, arXiv:2010.07468",
    *_adam_family(_surprises, _adam_change),
    **{**_ADAM, "eps": 1e-16, "decoupled_weight_decay": True},
    amsgrad=False,
)


def _lamb() -> tuple[Init, Update]:
    init, update = _adam_family(_squares, _lamb_change)

    def decayed_within(p: Tensor, g: Tensor, state: State, step: int, options: Options) -> tuple[Tensor, State]:
        # The trust ratio is that of the whole change, decay included.
        return update(p, g, state, step, {**options, "decay": options["weight_decay"], "weight_decay": 0.0})

    return init, decayed_within


_rule("lamb", "You et al. 2020, arXiv:1904.00962", *_lamb(), lr=1e-3, betas=(0.9, 0.999), eps=1e-6, weight_decay=0.0)


def _lion(p: Tensor, g: Tensor, state: State, step: int, options: Options) -> tuple[Tensor, State]:
    beta1, beta2 = options["betas"]
    direction = sign(_average(state["mean"], g, beta1))
    p, _ = _decayed(p, g, {**options, "decoupled_weight_decay": True})
    return p - options["lr"] * direction, {"mean": _average(state["mean"], g, beta2)}


_rule("lion", "Chen et al. 2023, arXiv:2302.06675", _zeros("mean"), _lion, lr=1e-4, betas=(0.9, 0.99), weight_decay=0.0)


def _sparse_adam(p: Tensor, g: Tensor, state: State, step: int, options: Options) -> tuple[Tensor, State]:
    """Adam on those rows whose gradient is not 0; the others keep their value and their averages."""
    is_touched = any(g != 0, axis=tuple(range(1, g.ndim)), keepdims=True)
    found, kept = RULES["adam"].update(p, g, state, step, {**options, "weight_decay": 0.0})
    return where(is_touched, found, p), {name: where(is_touched, new, state[name]) for name, new in kept.items()}


_rule(
    "sparse_adam",
    f"{_KINGMA}, as PyTorch's SparseAdam",
    _zeros("mean", "size"),
    _sparse_adam,
    lr=1e-3,
    betas=(0.9, 0.999),
    eps=1e-8,
)


# Sums and averages of squares without an average of gradients


def _adagrad_init(p: Tensor, options: Options) -> State:
    return {"sum": full_like(p, options["initial_accumulator_value"])}


def _adagrad(p: Tensor, g: Tensor, state: State, step: int, options: Options) -> tuple[Tensor, State]:
    p, g = _decayed(p, g, options)
    total = state["sum"] + square(g)
    lr = options["lr"] / (1 + (step - 1) * options["lr_decay"])
    return p - lr * g / (sqrt(total) + options["eps"]), {"sum": total}


_rule(
    "adagrad",
    "Duchi et al. 2011, JMLR 12",
    _adagrad_init,
    _adagrad,
    lr=1e-2,
    lr_decay=0.0,
    weight_decay=0.0,
    initial_accumulator_value=0.0,
    eps=1e-10,
)


def _adadelta(p: Tensor, g: Tensor, state: State, step: int, options: Options) -> tuple[Tensor, State]:
    p, g = _decayed(p, g, options)
    rho, eps = options["rho"], options["eps"]
    size = _average(state["size"], square(g), rho)
    change = sqrt(state["changes"] + eps) / sqrt(size + eps) * g
    return p - options["lr"] * change, {"size": size, "changes": _average(state["changes"], square(change), rho)}


_rule(
    "adadelta",
    "Zeiler 2012, arXiv:1212.5701",
    _zeros("size", "changes"),
    _adadelta,
    lr=1.0,
    rho=0.9,
    eps=1e-6,
    weight_decay=0.0,
)


def _rmsprop_init(p: Tensor, options: Options) -> State:
    names = ["size", *(["mean"] if options["centered"] else []), *(["momentum"] if options["momentum"] else [])]
    return {name: zeros_like(p) for name in names}


def _rmsprop(p: Tensor, g: Tensor, state: State, step: int, options: Options) -> tuple[Tensor, State]:
    p, g = _decayed(p, g, options)
    alpha = options["alpha"]
    size = _average(state["size"], square(g), alpha)
    kept = {"size": size}
    if options["centered"]:
        kept["mean"] = _average(state["mean"], g, alpha)
        size = size - square(kept["mean"])
    change = g / (sqrt(size) + options["eps"])
    if options["momentum"]:
        change = kept["momentum"] = options["momentum"] * state["momentum"] + change
    return p - options["lr"] * change, kept


_rule(
    "rmsprop",
    "Tieleman and Hinton 2012, lecture 6.5; centered as in Graves 2013, arXiv:1308.0850",
    _rmsprop_init,
    _rmsprop,
    lr=1e-2,
    alpha=0.99,
    eps=1e-8,
    weight_decay=0.0,
    momentum=0.0,
    centered=False,
)


# Signs, averages of values


def _rprop_init(p: Tensor, options: Options) -> State:
    return {"before": zeros_like(p), "step_size": full_like(p, options["lr"])}


def _rprop(p: Tensor, g: Tensor, state: State, step: int, options: Options) -> tuple[Tensor, State]:
    (shrink, grow), (least, most) = options["etas"], options["step_sizes"]
    agreement = g * state["before"]
    old = state["step_size"]
    step_size = clip(where(agreement > 0, grow * old, where(agreement < 0, shrink * old, old)), least, most)
    g = where(agreement < 0, 0, g)
    return p - sign(g) * step_size, {"before": g, "step_size": step_size}


_rule("rprop", "Riedmiller and Braun 1993", _rprop_init, _rprop, lr=1e-2, etas=(0.5, 1.2), step_sizes=(1e-6, 50.0))


def _asgd(p: Tensor, g: Tensor, state: State, step: int, options: Options) -> tuple[Tensor, State]:
    p, g = _decayed(p, g, options)
    lr, lambd, before = options["lr"], options["lambd"], step - 1
    rate = lr / (1 + lambd * lr * before) ** options["alpha"]
    p = p * (1 - lambd * rate) - rate * g
    share = 1 / max(1, before - options["t0"])
    return p, {"average": p if share == 1 else _average(state["average"], p, 1 - share)}


_rule(
    "asgd",
    "Polyak and Juditsky 1992",
    _zeros("average"),
    _asgd,
    lr=1e-2,
    lambd=1e-4,
    alpha=0.75,
    t0=1e6,
    weight_decay=0.0,
)


def _schedule_free_init(p: Tensor, options: Options) -> State:
    number = zeros((), dtype=p.dtype, device=p.device)
    return {"size": zeros_like(p), "fast": asarray(p, copy=True), "weights": number, "largest_lr": number}


def _schedule_free(p: Tensor, g: Tensor, state: State, step: int, options: Options) -> tuple[Tensor, State]:
    (beta1, beta2), lr = options["betas"], options["lr"] * min(1.0, step / max(options["warmup_steps"], 1))
    largest = maximum(state["largest_lr"], lr)
    weight = step ** options["r"] * largest ** options["weight_lr_power"]
    weights = state["weights"] + weight
    share = where(weights == 0, 0.0, weight / where(weights == 0, 1.0, weights))
    size = _average(state["size"], square(g), beta2)
    change = g / _root(size, step, options)
    if options["weight_decay"]:
        change = change + options["weight_decay"] * p
    p = p + share * (state["fast"] - p) + lr * (beta1 * (1 - share) - 1) * change
    return p, {"size": size, "fast": state["fast"] - lr * change, "weights": weights, "largest_lr": largest}


_rule(
    "schedule_free_adamw",
    "Defazio et al. 2024, arXiv:2405.15682",
    _schedule_free_init,
    _schedule_free,
    turns=(
        lambda p, state, options: p + (1 - 1 / options["betas"][0]) * (state["fast"] - p),
        lambda p, state, options: p + (1 - options["betas"][0]) * (state["fast"] - p),
    ),
    lr=2.5e-3,
    betas=(0.9, 0.999),
    eps=1e-8,
    weight_decay=0.0,
    warmup_steps=0,
    r=0.0,
    weight_lr_power=2.0,
)


# Matrices


def _adafactor_init(p: Tensor, options: Options) -> State:
    if p.ndim < 2:
        return {"size": zeros_like(p)}
    facts = {"dtype": p.dtype, "device": p.device}
    return {"rows": zeros((*p.shape[:-1], 1), **facts), "columns": zeros((*p.shape[:-2], 1, p.shape[-1]), **facts)}


def _adafactor(p: Tensor, g: Tensor, state: State, step: int, options: Options) -> tuple[Tensor, State]:
    eps1, eps2 = options["eps"]
    keep = 1 - step ** options["beta2_decay"]
    rate = maximum(_root_mean_square(p), eps2) * min(options["lr"], 1 / math.sqrt(step))
    p = p * (1 - options["lr"] * options["weight_decay"])
    if "size" in state:
        kept = {"size": _average(state["size"], square(g), keep)}
        size = kept["size"]
    else:
        rows = _average(state["rows"], mean(square(g), axis=-1, keepdims=True), keep)
        columns = _average(state["columns"], mean(square(g), axis=-2, keepdims=True), keep)
        size = matmul(rows, columns) / maximum(mean(rows, axis=-2, keepdims=True), eps1)
        kept = {"rows": rows, "columns": columns}
    change = g / sqrt(maximum(size, eps1 * eps1))
    return p - rate / maximum(_root_mean_square(change) / options["d"], 1.0) * change, kept


def _root_mean_square(x: Tensor) -> Tensor:
    return _norm(x) / math.sqrt(max(x.size, 1))


_rule(
    "adafactor",
    "Shazeer and Stern 2018, arXiv:1804.04235",
    _adafactor_init,
    _adafactor,
    lr=1e-2,
    beta2_decay=-0.8,
    eps=(1.1920928955078125e-07, 1e-3),
    d=1.0,
    weight_decay=0.0,
)

#: What Muon leaves to AdamW takes AdamW's own options, by these names.
_MUON_ADAMW = {"adamw_betas": "betas", "adamw_eps": "eps", "adamw_weight_decay": "weight_decay"}


#: How the length of a step depends on the number of rows and columns.
_MUON_RATIOS: dict[str, Callable[[int, int], float]] = {
    "original": lambda rows, columns: math.sqrt(max(1, rows / max(columns, 1))),
    "match_rms_adamw": lambda rows, columns: 0.2 * math.sqrt(max(rows, columns)),
}


def _is_for_muon(p: Tensor, options: Options) -> bool:
    return p.ndim == 2 and bool(options["use_muon"])


def _muon_adamw(options: Options) -> Options:
    own = {ours: options[name] for name, ours in _MUON_ADAMW.items()}
    return {**RULES["adamw"].defaults, **own, "lr": options["lr"] * options["adamw_lr_mult"]}


def _muon_init(p: Tensor, options: Options) -> State:
    one_of("muon", "adjust_lr_fn", options["adjust_lr_fn"], _MUON_RATIOS)
    return {"momentum": zeros_like(p)} if _is_for_muon(p, options) else RULES["adamw"].init(p, _muon_adamw(options))


def _muon(p: Tensor, g: Tensor, state: State, step: int, options: Options) -> tuple[Tensor, State]:
    if not _is_for_muon(p, options):
        return RULES["adamw"].update(p, g, state, step, _muon_adamw(options))
    momentum, lr = options["momentum"], options["lr"]
    velocity = _average(state["momentum"], g, momentum)
    direction = _average(g, velocity, 1 - momentum) if options["nesterov"] else velocity
    change = lr * _MUON_RATIOS[options["adjust_lr_fn"]](*p.shape) * _orthogonal(direction, options)
    return p * (1 - lr * options["weight_decay"]) - change, {"momentum": velocity}


def _orthogonal(x: Tensor, options: Options) -> Tensor:
    """Near the orthogonal matrix nearest to `x`, by Newton and Schulz's iteration with a polynomial of degree 5."""
    if x.shape[0] > x.shape[1]:
        return _orthogonal(x.mT, options).mT
    a, b, c = options["ns_coefficients"]
    x = x / maximum(_norm(x), options["eps"])
    for _ in range(options["ns_steps"]):
        products = matmul(x, x.mT)
        x = a * x + matmul(b * products + c * matmul(products, products), x)
    return x


_rule(
    "muon",
    "Jordan et al. 2024, kellerjordan.github.io/posts/muon",
    _muon_init,
    _muon,
    lr=1e-3,
    weight_decay=0.1,
    momentum=0.95,
    nesterov=True,
    ns_coefficients=(3.4445, -4.775, 2.0315),
    eps=1e-7,
    ns_steps=5,
    adjust_lr_fn="original",
    use_muon=True,
    adamw_lr_mult=1.0,
    adamw_betas=(0.9, 0.999),
    adamw_eps=1e-8,
    adamw_weight_decay=0.01,
)


# Around other rules


def lookahead(rule: UpdateRule) -> UpdateRule:
    """A rule whose value falls back, every `lookahead_steps` steps, to a part of the way that it went since.

    Source: Zhang et al. 2019, arXiv:1907.08610.
    """

    def init(p: Tensor, options: Options) -> State:
        return {**rule.init(p, options), "slow": asarray(p, copy=True)}

    def update(p: Tensor, g: Tensor, state: State, step: int, options: Options) -> tuple[Tensor, State]:
        slow = state["slow"]
        p, kept = rule.update(p, g, {name: each for name, each in state.items() if name != "slow"}, step, options)
        if step % options["lookahead_steps"] == 0:
            p = slow = slow + options["lookahead_alpha"] * (p - slow)
        return p, {**kept, "slow": slow}

    if "lookahead_steps" in rule.defaults:
        raise ArgumentError(f"optim.create: {rule.name} looks ahead already")
    return UpdateRule(
        f"lookahead({rule.name})",
        {**rule.defaults, "lookahead_steps": 5, "lookahead_alpha": 0.5},
        init,
        update,
        f"Zhang et al. 2019, arXiv:1907.08610, around {rule.source}",
    )


# Complex numbers

_COMPLEX = CATEGORIES["complex floating-point"]


def begin(rule: UpdateRule, p: Tensor, options: Options) -> State:
    """A rule's state for a parameter."""
    return rule.init(as_real(p), options)


def advance(rule: UpdateRule, p: Tensor, g: Tensor, state: State, step: int, options: Options) -> tuple[Tensor, State]:
    """A rule's step for a parameter, of which a complex one counts as two real numbers for each element.

    The gradient of core is the derivative, whose conjugate points uphill.
    """
    if p.dtype not in _COMPLEX:
        return rule.update(p, g, state, step, options)
    new, kept = rule.update(as_real(p), as_real(conj(g)), state, step, options)
    return as_complex(new), kept


def as_complex_like(p: Tensor, x: Tensor) -> Tensor:
    """What `as_real` made of such a tensor, as it was."""
    return as_complex(x) if p.dtype in _COMPLEX else x


def as_real(x: Tensor) -> Tensor:
    """Complex numbers as pairs of real ones, along an axis behind the others; real ones as they are."""
    return stack([real(x), imag(x)], axis=-1) if x.dtype in _COMPLEX else x


def as_complex(x: Tensor) -> Tensor:
    """Pairs of real numbers as complex ones."""
    return x[..., 0] + 1j * x[..., 1]
