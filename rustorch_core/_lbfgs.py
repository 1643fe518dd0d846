"""L-BFGS: Newton's method with a Hessian that is guessed from the last steps, on all parameters as one vector."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from rustorch_core._arguments import one_of
from rustorch_core._autograd import enable_grad, no_grad
from rustorch_core._creation_functions import asarray, zeros_like
from rustorch_core._data_types import CATEGORIES
from rustorch_core._elementwise_functions import abs as magnitude
from rustorch_core._elementwise_functions import conj
from rustorch_core._linear_algebra_functions import vecdot
from rustorch_core._manipulation_functions import concat, reshape
from rustorch_core._mutation import overwrite
from rustorch_core._optimizers import Optimizer
from rustorch_core._statistical_functions import max as largest
from rustorch_core._tensor import Tensor
from rustorch_core._update_rules import RULES, UpdateRule, as_complex_like, as_real
from rustorch_core.errors import ArgumentError, OperandError

#: The least curvature of a step that is remembered, as in PyTorch.
_LEAST_CURVATURE = 1e-10


class _Point(NamedTuple):
    """A place along the line of a search: how far, and there the value, the gradient, and the slope along the line."""

    t: float
    value: float
    gradient: Tensor
    slope: float


class LBFGS(Optimizer):
    """L-BFGS by the two-loop recursion, with a line search after Wolfe's strong conditions (PyTorch: optim.LBFGS).

    `step(closure)` takes a function that forgets the gradients, computes the loss, calls its `backward` and returns it.

    Options:
        lr: the first step of each line search, or without one each step; the very first is shorter.
        max_iter: iterations in one `step`.
        max_eval: calls of the closure after which a `step` ends; 0 for 5/4 of `max_iter`.
        tolerance_grad: `step` ends where no element of the gradient is larger.
        tolerance_change: `step` ends where neither value nor parameters change by more.
        history_size: how many steps are remembered.
        line_search_fn: "strong_wolfe", or "none".

    Source: Liu and Nocedal 1989; line search: Nocedal and Wright 2006, algorithms 3.5 and 3.6.
    """

    def __init__(self, rule: UpdateRule, groups: Iterable[Mapping[str, Any]], options: Mapping[str, Any]) -> None:
        super().__init__(rule, groups, options)
        if len(self.param_groups) != 1:
            raise ArgumentError("optim.create: lbfgs takes one group: it sees all parameters as one vector")
        group = self.param_groups[0]
        one_of("lbfgs", "line_search_fn", group["line_search_fn"], ("strong_wolfe", "none"))
        keys = {(parameter.device, parameter.dtype) for parameter in group["params"]}
        if len(keys) != 1:
            raise ArgumentError("optim.create: lbfgs takes parameters of one device and dtype")
        self._memory: dict[str, Any] = {}

    @no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor:
        """Take up to `max_iter` steps towards the nearest minimum.

        Arguments:
            closure: forgets the gradients, computes the loss, calls `backward` on it and returns it.

        Returns:
            the loss before the first step.

        Raises:
            OperandError: without a closure.
        """
        if not callable(closure):
            raise OperandError("lbfgs: step takes a function that computes the loss anew; it is asked several times")
        group, memory = self.param_groups[0], self._memory
        max_eval = group["max_eval"] or group["max_iter"] * 5 // 4
        sign = -1.0 if group["maximize"] else 1.0

        def evaluate() -> tuple[Tensor, float, Tensor]:
            with enable_grad():
                loss = closure()
            return loss, sign * float(loss.item()), sign * self._gradient()

        first_loss, value, gradient = evaluate()
        evaluations, start = 1, self._values()
        if float(largest(magnitude(gradient)).item()) <= group["tolerance_grad"]:
            return first_loss
        for iteration in range(1, group["max_iter"] + 1):
            direction = self._direction(gradient)
            slope = _dot(gradient, direction)
            if slope > -group["tolerance_change"]:
                break
            is_first = not memory.get("gradient_is_known")
            t = group["lr"] * (min(1.0, 1 / float(magnitude(gradient).sum().item())) if is_first else 1.0)
            memory.update(gradient=gradient, gradient_is_known=True)
            before = value

            def along(t: float, start: Tensor = start, direction: Tensor = direction) -> _Point:
                self._write(start + t * direction)
                _, value, gradient = evaluate()
                return _Point(t, value, gradient, _dot(gradient, direction))

            if group["line_search_fn"] == "strong_wolfe":
                origin, reach = _Point(0.0, value, gradient, slope), float(largest(magnitude(direction)).item())
                here, count = _search(along, origin, t, reach, max_eval - evaluations, group["tolerance_change"])
                t, value, gradient = here.t, here.value, here.gradient
                evaluations += count
                self._write(start + t * direction)
            elif iteration < group["max_iter"]:
                _, value, gradient, _ = along(t)
                evaluations += 1
            else:  # the next step's first call would say what one here does
                self._write(start + t * direction)
            change = t * direction
            memory["change"], start = change, start + change
            if (
                evaluations >= max_eval
                or float(largest(magnitude(gradient)).item()) <= group["tolerance_grad"]
                or float(largest(magnitude(change)).item()) <= group["tolerance_change"]
                or abs(value - before) < group["tolerance_change"]
            ):
                break
        return first_loss

    def memory_estimate(self) -> int:
        """Bytes of what is remembered, once the history is full: two vectors for each step, and those of the last."""
        group = self.param_groups[0]
        count: int = 2 * (group["history_size"] + 1) * sum(parameter.nbytes for parameter in group["params"])
        return count

    def _direction(self, gradient: Tensor) -> Tensor:
        """The step that the remembered ones suggest: minus the gradient, times the inverse of the guessed Hessian."""
        memory = self._memory
        if not memory.get("gradient_is_known"):
            memory.update(changes=[], bends=[], scale=1.0)
            return -gradient
        change, bend = memory["change"], gradient - memory["gradient"]
        curvature = _dot(bend, change)
        if curvature > _LEAST_CURVATURE:
            memory["changes"].append(change)
            memory["bends"].append(bend)
            memory["scale"] = curvature / _dot(bend, bend)
            while len(memory["changes"]) > self.param_groups[0]["history_size"]:
                del memory["changes"][0], memory["bends"][0]
        pairs = [
            (change, bend, 1 / _dot(bend, change))
            for change, bend in zip(memory["changes"], memory["bends"], strict=True)
        ]
        direction: Tensor = -gradient
        shares: list[float] = []
        for change, bend, factor in reversed(pairs):
            shares.append(factor * _dot(change, direction))
            direction = direction - shares[-1] * bend
        direction = direction * float(memory["scale"])
        for (change, bend, factor), share in zip(pairs, reversed(shares), strict=True):
            direction = direction + (share - factor * _dot(bend, direction)) * change
        return direction

    def _values(self) -> Tensor:
        return _flat([parameter.detach() for parameter in self.param_groups[0]["params"]])

    def _gradient(self) -> Tensor:
        parameters = self.param_groups[0]["params"]
        return _flat(
            [zeros_like(each.detach()) if each.grad is None else conj(each.grad.detach()) for each in parameters]
        )

    def _write(self, values: Tensor) -> None:
        """Put a vector back into the parameters."""
        place = 0
        for parameter in self.param_groups[0]["params"]:
            is_complex = parameter.dtype in CATEGORIES["complex floating-point"]
            shape = (*parameter.shape, 2) if is_complex else parameter.shape
            part = reshape(values[place : place + math.prod(shape)], shape)
            overwrite(parameter, as_complex_like(parameter, part))
            place += math.prod(shape)

    def state_dict(self) -> dict[str, Any]:
        """The groups' options and what is remembered of the last steps; vectors of all parameters, in their order."""
        kept = {name: list(each) if isinstance(each, list) else each for name, each in self._memory.items()}
        return {**super().state_dict(), "memory": kept}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over a state that `state_dict` gave."""
        if not isinstance(state_dict, Mapping) or "memory" not in state_dict:
            raise ArgumentError("load_state_dict: expected what the state_dict() of an lbfgs optimizer returns")
        super().load_state_dict(state_dict)
        device, memory = self.param_groups[0]["params"][0].device, state_dict["memory"]

        def taken(each: Any) -> Any:
            if isinstance(each, list):
                return [taken(part) for part in each]
            return asarray(each, device=device, copy=True) if isinstance(each, Tensor) else each

        self._memory = {name: taken(each) for name, each in memory.items()}


def _flat(tensors: list[Any]) -> Tensor:
    """Tensors as one vector, of real numbers."""
    return concat([reshape(as_real(each), (-1,)) for each in tensors])


def _dot(x: Tensor, y: Tensor) -> float:
    return float(vecdot(x, y).item())


def _search(
    along: Callable[[float], _Point],
    origin: _Point,
    t: float,
    reach: float,
    most: int,
    tolerance: float,
    decrease: float = 1e-4,
    flatness: float = 0.9,
) -> tuple[_Point, int]:
    """A place along a line that is lower and flatter than its origin, and how many were looked at.

    Arguments:
        along: looks at a place.
        origin: where the line begins, going down.
        t: the first place to look at.
        reach: the size of the largest element of the direction.
        most: how many places to look at.
        tolerance: the width, times `reach`, below which places are one.
        decrease: the part of the first slope that the value must follow.
        flatness: the part of the first slope that the slope must come down to.
    """

    def is_low(point: _Point) -> bool:
        return point.value <= origin.value + decrease * point.t * origin.slope

    def is_flat(point: _Point) -> bool:
        return abs(point.slope) <= -flatness * origin.slope

    before, here, count = origin, along(t), 1
    while count <= most:
        if not is_low(here) or (count > 2 and here.value >= before.value):
            break
        if is_flat(here):
            return here, count
        if here.slope >= 0:
            break
        further = _lowest(before, here, here.t + 0.01 * (here.t - before.t), here.t * 10)
        before, here = here, along(further)
        count += 1
    else:
        before = origin

    # What is sought lies between the two: narrow them down.
    low, high = (here, before) if here.value < before.value else (before, here)
    is_stuck = False
    while count <= most and abs(high.t - low.t) * reach >= tolerance:
        left, right = min(low.t, high.t), max(low.t, high.t)
        t, margin = _lowest(low, high, left, right), 0.1 * (right - left)
        is_near_end = min(right - t, t - left) < margin
        if is_near_end and (is_stuck or not left < t < right):
            t, is_near_end = (right - margin if abs(t - right) < abs(t - left) else left + margin), False
        is_stuck = is_near_end
        here = along(t)
        count += 1
        if not is_low(here) or here.value >= low.value:
            low, high = (here, low) if here.value < low.value else (low, here)
            continue
        if is_flat(here):
            return here, count
        low, high = here, low if here.slope * (high.t - low.t) >= 0 else high
    return low, count


def _lowest(first: _Point, second: _Point, least: float, most: float) -> float:
    """Where, within bounds, the cubic through two places with their slopes is lowest; else their middle."""
    if first.t > second.t:
        first, second = second, first
    width = second.t - first.t
    mixed = first.slope + second.slope - 3 * (second.value - first.value) / width if width else math.nan
    under_root = mixed * mixed - first.slope * second.slope
    if not under_root >= 0:
        return (least + most) / 2
    root = math.sqrt(under_root)
    divisor = second.slope - first.slope + 2 * root
    if not divisor:
        return (least + most) / 2
    return min(max(second.t - width * (second.slope + root - mixed) / divisor, least), most)


RULES["lbfgs"] = UpdateRule(
    "lbfgs",
    {
        "lr": 1.0,
        "max_iter": 20,
        "max_eval": 0,
        "tolerance_grad": 1e-7,
        "tolerance_change": 1e-9,
        "history_size": 100,
        "line_search_fn": "none",
        "maximize": False,
    },
    lambda p, options: {},
    lambda p, g, state, step, options: (p, state),
    "Liu and Nocedal 1989, Mathematical Programming 45",
    optimizer=LBFGS,
)
