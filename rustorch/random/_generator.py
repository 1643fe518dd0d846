"""The generator, its distributions and its state."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy

from rustorch.random._parameters import (
    _COUNT,
    _FINITE,
    _INTEGER,
    _LOGITS,
    _NOT_NEGATIVE,
    _NUMBER,
    _POSITIVE,
    _PROBABILITY,
    _Call,
    _one_integer,
)
from rustorch.random._samplers import (
    _bernoulli,
    _categorical,
    _check_enough,
    _choice,
    _choice_weights,
    _exponentials,
    _integer_bounds,
    _integers,
    _population,
    _scaled,
    _truncated_normal,
    _uniform,
)
from rustorch_core._axes import one_axis
from rustorch_core._checkpoint import before_draw
from rustorch_core._data_types import int64
from rustorch_core._indexing_functions import take
from rustorch_core._tensor import Tensor
from rustorch_core.errors import (
    ArgumentError,
    OutOfMemoryError,
    RusTorchError,
)

_Host = numpy.random.Generator
_ALGORITHM = "philox4x64-10"


class Generator:
    """A stream of random numbers that its seed determines.

    Every distribution takes its parameters as numbers, tensors or arrays, and three options:

    - shape: the result's shape, to which the parameters broadcast; left out, it is the shape that the parameters
      broadcast to, () for numbers.
    - dtype: the result's dtype; left out, that of the floating-point tensors among the parameters, else the default.
    - device: where the result is to be; left out, where the tensors among the parameters are, else the default device.

    Every distribution raises ArgumentError for a parameter outside its domain, ShapeError where shapes do not
    broadcast, OperandError for what is no number, DTypeError for a dtype that cannot hold what is drawn,
    DeviceMismatchError for parameters on two devices and no `device`, and GradientError for a parameter that requires a
    gradient while gradients are recorded: a draw has none. A call that raises for its arguments draws nothing.

    Threads may share a generator: each call draws its numbers in one piece, and which call comes first is up to the
    threads. Where that must not matter, and after a fork, give each its own from `split`.

    Arguments:
        seed: any integer of at least 0; None takes one from the operating system, which `seed` then tells.

    Raises:
        ArgumentError: for any other seed.

    Source: Philox 4x64-10 (Salmon et al. 2011), keyed by NumPy's SeedSequence.

    Example:
        >>> import rustorch as rt
        >>> rt.random.Generator(0).integers(0, 10, (5,))
        tensor([1, 0, 9, 2, 3], dtype=int64)
    """

    def __init__(self, seed: int | None = None) -> None:
        self._lock = threading.RLock()
        self._start(_Position(_read_seed(seed)))

    @property
    def seed(self) -> int:
        """The integer that the stream started from; the generators that one was split into share it."""
        return self._seed

    def __repr__(self) -> str:
        path = f", path={self._path}" if self._path else ""
        return f"Generator(seed={self._seed}{path})"

    # Its state

    def split(self, n: int) -> list[Generator]:
        """Make generators whose streams are independent of each other's and of this one's.

        The first that is ever split off depends on this generator's seed alone, the second likewise, and so on: neither
        on how many numbers were drawn nor on how the calls were grouped. Splitting draws no number, and a later call
        continues the count, so that no stream is given out twice.

        Arguments:
            n: how many, at least 0.

        Raises:
            ArgumentError: for a negative number.
            OperandError: for what is no integer.

        Source: NumPy's SeedSequence.spawn; two streams share a key with probability 2**-128.
        """
        count = _one_integer("split", "n", n)
        if count < 0:
            raise ArgumentError(f"split: n is at least 0, met {count}")
        with self._lock:
            before_draw(self)
            first = self._children
            self._children += count
        return [_restored(type(self), _Position(self._seed, (*self._path, first + i))) for i in range(count)]

    def get_state(self) -> dict[str, Any]:
        """The generator's state for `set_state`: a dict of integers, lists and one string, as JSON takes it.

        Returns:
            algorithm: its name; seed and path: the seed, and which children led from it to this generator;
            children: how many were split off; drawn: 64-bit words taken from the stream; half: 32 bits left of one.
        """
        with self._lock:
            native = self._host.bit_generator.state
            words = [int(word) << 64 * place for place, word in enumerate(native["state"]["counter"])]
            return {
                "algorithm": _ALGORITHM,
                "seed": self._seed,
                "path": list(self._path),
                "children": self._children,
                "drawn": 4 * sum(words) - (4 - int(native["buffer_pos"])),
                "half": int(native["uinteger"]) if native["has_uint32"] else None,
            }

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Continue from a state that `get_state` gave, seed and all; where it raises, nothing has changed.

        Raises:
            ArgumentError: for anything that is not such a state, with what is wrong in it.
        """
        position = _read_state(state)
        with self._lock:
            before_draw(self)
            self._start(position)

    def _start(self, position: _Position) -> None:
        self._seed, self._path, self._children = position.seed, position.path, position.children
        self._host = position.open()

    # Pickles and copies carry the state alone: a lock belongs to one object.
    __getstate__ = get_state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._lock = threading.RLock()
        self._start(_read_state(state))

    # Continuous distributions

    def uniform(
        self, low: Any = 0.0, high: Any = 1.0, shape: Any = None, *, dtype: Any = None, device: Any = None
    ) -> Tensor:
        """Draw from the uniform distribution on [low, high); the result is below `high` in every dtype.

        Arguments:
            low: the lower bound, finite.
            high: the upper bound, finite and at least `low`; where both are equal, that number is the result.
            shape: the result's, to which the parameters broadcast.
            dtype: of the result, real floating-point.
            device: where the result is to be.

        Raises:
            ArgumentError: where `low` is above `high`, a bound is beyond the dtype, or no number of the dtype lies
                between.
        """
        call = _Call("uniform", shape, dtype, device, low=(low, _FINITE), high=(high, _FINITE))
        call.check_order("low", "high")
        low, high = call.values
        below_high = numpy.asarray(numpy.nextafter(high, -numpy.inf))
        return self._draw(call, _uniform, low, high, *call.rounded_inward(low, high, below_high))

    def normal(
        self, mean: Any = 0.0, std: Any = 1.0, shape: Any = None, *, dtype: Any = None, device: Any = None
    ) -> Tensor:
        """Draw from the normal distribution with this mean and standard deviation.

        Arguments:
            mean: finite.
            std: the standard deviation, finite and at least 0.
            shape: the result's, to which the parameters broadcast.
            dtype: of the result, real floating-point.
            device: where the result is to be.
        """
        call = _Call("normal", shape, dtype, device, mean=(mean, _FINITE), std=(std, _NOT_NEGATIVE))
        return self._draw(call, _Host.normal, *call.values)

    def truncated_normal(
        self,
        mean: Any = 0.0,
        std: Any = 1.0,
        low: Any = -2.0,
        high: Any = 2.0,
        shape: Any = None,
        *,
        dtype: Any = None,
        device: Any = None,
    ) -> Tensor:
        """Draw from the normal distribution, given that the result is in [low, high], however far out that is.

        Arguments:
            mean: finite; the mean before truncation.
            std: finite and above 0; the standard deviation before truncation.
            low: the lower bound; may be -inf.
            high: the upper bound, at least `low`; may be inf.
            shape: the result's, to which the parameters broadcast.
            dtype: of the result, real floating-point.
            device: where the result is to be.

        Raises:
            ArgumentError: where `low` is above `high`, a bound is beyond the dtype, or no number of the dtype lies
                between.

        Source: rejection as in Robert, Simulation of truncated normal variables, 1995.
        """
        parameters = {"mean": (mean, _FINITE), "std": (std, _POSITIVE), "low": (low, _NUMBER), "high": (high, _NUMBER)}
        call = _Call("truncated_normal", shape, dtype, device, **parameters)
        call.check_order("low", "high")
        low, high = call.values[2:]
        return self._draw(call, _truncated_normal, *call.values, *call.rounded_inward(low, high, high))

    def lognormal(
        self, mean: Any = 0.0, std: Any = 1.0, shape: Any = None, *, dtype: Any = None, device: Any = None
    ) -> Tensor:
        """Draw numbers whose logarithm is normal with this mean and standard deviation.

        Arguments:
            mean: mean of the logarithm, finite.
            std: standard deviation of the logarithm, finite and at least 0.
            shape: the result's, to which the parameters broadcast.
            dtype: of the result, real floating-point.
            device: where the result is to be.
        """
        call = _Call("lognormal", shape, dtype, device, mean=(mean, _FINITE), std=(std, _NOT_NEGATIVE))
        return self._draw(call, _Host.lognormal, *call.values)

    def laplace(
        self, location: Any = 0.0, scale: Any = 1.0, shape: Any = None, *, dtype: Any = None, device: Any = None
    ) -> Tensor:
        """Draw from the Laplace distribution, of density exp(-|x - location| / scale) / (2 scale).

        Arguments:
            location: finite.
            scale: finite and at least 0.
            shape: the result's, to which the parameters broadcast.
            dtype: of the result, real floating-point.
            device: where the result is to be.
        """
        call = _Call("laplace", shape, dtype, device, location=(location, _FINITE), scale=(scale, _NOT_NEGATIVE))
        return self._draw(call, _Host.laplace, *call.values)

    def gumbel(
        self, location: Any = 0.0, scale: Any = 1.0, shape: Any = None, *, dtype: Any = None, device: Any = None
    ) -> Tensor:
        """Draw from the Gumbel distribution of maxima; logits plus such noise have their argmax at a category drawn.

        Arguments:
            location: the mode, finite.
            scale: finite and at least 0.
            shape: the result's, to which the parameters broadcast.
            dtype: of the result, real floating-point.
            device: where the result is to be.
        """
        call = _Call("gumbel", shape, dtype, device, location=(location, _FINITE), scale=(scale, _NOT_NEGATIVE))
        return self._draw(call, _Host.gumbel, *call.values)

    def exponential(self, scale: Any = 1.0, shape: Any = None, *, dtype: Any = None, device: Any = None) -> Tensor:
        """Draw from the exponential distribution.

        Arguments:
            scale: the mean, which is 1 / rate; finite and at least 0.
            shape: the result's, to which the parameters broadcast.
            dtype: of the result, real floating-point.
            device: where the result is to be.
        """
        call = _Call("exponential", shape, dtype, device, scale=(scale, _NOT_NEGATIVE))
        return self._draw(call, _Host.exponential, *call.values)

    def gamma(
        self, concentration: Any, scale: Any = 1.0, shape: Any = None, *, dtype: Any = None, device: Any = None
    ) -> Tensor:
        """Draw from the gamma distribution, of mean concentration * scale.

        Arguments:
            concentration: the power in the density plus 1, which NumPy calls the shape; finite and above 0.
            scale: 1 / rate; finite and at least 0.
            shape: the result's, to which the parameters broadcast.
            dtype: of the result, real floating-point.
            device: where the result is to be.
        """
        parameters = {"concentration": (concentration, _POSITIVE), "scale": (scale, _NOT_NEGATIVE)}
        call = _Call("gamma", shape, dtype, device, **parameters)
        return self._draw(call, _Host.gamma, *call.values)

    def beta(self, alpha: Any, beta: Any, shape: Any = None, *, dtype: Any = None, device: Any = None) -> Tensor:
        """Draw from the beta distribution, of mean alpha / (alpha + beta); rounding may reach 0 and 1.

        Arguments:
            alpha: finite and above 0.
            beta: finite and above 0.
            shape: the result's, to which the parameters broadcast.
            dtype: of the result, real floating-point.
            device: where the result is to be.
        """
        call = _Call("beta", shape, dtype, device, alpha=(alpha, _POSITIVE), beta=(beta, _POSITIVE))
        return self._draw(call, _Host.beta, *call.values)

    # Discrete distributions

    def integers(
        self, low: Any, high: Any = None, shape: Any = None, *, dtype: Any = None, device: Any = None
    ) -> Tensor:
        """Draw integers from low up to high, high not included, each as likely as any other.

        Arguments:
            low: the lowest integer, or a tensor of them; 0 where `high` is left out, and this is high.
            high: above `low`, and at most one above the highest integer of the dtype.
            dtype: an integer dtype; by default int64.
            shape: the result's, to which the parameters broadcast.
            device: where the result is to be.

        Raises:
            ArgumentError: where no integer lies between the bounds, or they are beyond the dtype.
        """
        low, high = (0, low) if high is None else (low, high)
        call = _Call("integers", shape, dtype, device, "integer", low=(low, _INTEGER), high=(high, _INTEGER))
        return self._draw(call, _integers, *_integer_bounds(call.dtype, *call.values))

    def bernoulli(self, p: Any = 0.5, shape: Any = None, *, dtype: Any = None, device: Any = None) -> Tensor:
        """Draw True with probability p, else False.

        Arguments:
            p: from 0 to 1; both ends are certain.
            dtype: any dtype, in which the result is 1 or 0; by default bool.
            shape: the result's, to which the parameters broadcast.
            device: where the result is to be.
        """
        call = _Call("bernoulli", shape, dtype, device, "all", p=(p, _PROBABILITY))
        return self._draw(call, _bernoulli, *call.values)

    def poisson(self, rate: Any = 1.0, shape: Any = None, *, dtype: Any = None, device: Any = None) -> Tensor:
        """Draw from the Poisson distribution: how often something happens that happens `rate` times on average.

        Arguments:
            rate: finite and at least 0.
            dtype: an integer or real floating-point dtype; by default int64.
            shape: the result's, to which the parameters broadcast.
            device: where the result is to be.

        Raises:
            ArgumentError: where an integer dtype cannot hold a number that was drawn.
        """
        call = _Call("poisson", shape, dtype, device, "real-valued", rate=(rate, _NOT_NEGATIVE))
        return self._draw(call, _Host.poisson, *call.values)

    def categorical(
        self,
        logits: Any = None,
        shape: Any = None,
        *,
        probabilities: Any = None,
        dtype: Any = None,
        device: Any = None,
    ) -> Tensor:
        """Draw categories, numbered from 0, whose probabilities stand in the last axis.

        Arguments:
            logits: logarithms of the probabilities, up to a constant; shape (..., categories), categories at least 1.
            shape: the result's shape, to which (...) broadcasts; by default (...).
            probabilities: in place of logits; at least 0, and divided by their sum.
            dtype: an integer dtype; by default int64.
            device: where the result is to be.

        Raises:
            ArgumentError: where not exactly one of logits and probabilities is given, or no category has a probability.
        """
        if (logits is None) == (probabilities is None):
            raise ArgumentError("categorical: expected either logits or probabilities, met both or neither")
        if logits is not None:
            call = _Call("categorical", shape, dtype, device, "integer", True, logits=(logits, _LOGITS))
            weights = _exponentials(*call.values)
        else:
            given = {"probabilities": (probabilities, _NOT_NEGATIVE)}
            call = _Call("categorical", shape, dtype, device, "integer", True, **given)
            weights = call.values[0]
        cumulative = numpy.cumsum(_scaled("categorical", weights), axis=-1)
        call.check_holds(cumulative.shape[-1] - 1)
        return self._draw(call, _categorical, cumulative)

    def multinomial(
        self, trials: Any, probabilities: Any, shape: Any = None, *, dtype: Any = None, device: Any = None
    ) -> Tensor:
        """Draw how often each category comes up in a number of trials.

        Arguments:
            trials: integer of at least 0, or a tensor of them that broadcasts to `shape`.
            probabilities: shape (..., categories), categories at least 1; at least 0, and divided by their sum.
            shape: the result's shape without its last axis, which is (categories,).
            dtype: an integer or real floating-point dtype; by default int64.
            device: where the result is to be.

        Raises:
            ArgumentError: for a negative number of trials, or where no category has a probability.
        """
        given = {"probabilities": (probabilities, _NOT_NEGATIVE), "trials": (trials, _COUNT)}
        call = _Call("multinomial", shape, dtype, device, "real-valued", True, **given)
        weights, trials = _scaled("multinomial", call.values[0]), numpy.asarray(call.values[1], dtype=int64)
        return self._draw(call, _Host.multinomial, trials, weights / weights.sum(axis=-1, keepdims=True))

    # Orders and choices

    def permutation(self, x: Any, axis: int = 0, *, device: Any = None) -> Tensor:
        """Draw an order of the integers 0 to n - 1, or of a tensor's slices along an axis.

        Arguments:
            x: n, an integer of at least 0; or a tensor, whose gradient flows through.
            axis: the axis along which a tensor is put in order.
            device: where the result is to be; by default where the tensor is, else the default device.

        Raises:
            ArgumentError: for a negative number.
            AxisError: where the tensor has no such axis.
        """
        n, home = _population("permutation", x, axis)
        call = _Call("permutation", (n,), None, home or device, "integer")
        order = self._draw(call, lambda host, shape: host.permutation(n))
        return take(x, order, axis=axis).to(device=device) if isinstance(x, Tensor) else order

    def choice(
        self,
        x: Any,
        shape: Any = (),
        replace: bool = True,
        p: Any = None,
        *,
        axis: int = 0,
        device: Any = None,
    ) -> Tensor:
        """Choose among the integers 0 to n - 1, or among a tensor's slices along an axis.

        Arguments:
            x: n, an integer of at least 0; or a tensor, whose gradient flows through.
            shape: how many, in the shape that takes the place of the tensor's axis.
            replace: whether one may be chosen again.
            p: how likely each is, shape (n,); at least 0, and divided by their sum. By default all are equally likely.
            axis: the axis of a tensor along which to choose.
            device: where the result is to be; by default where the tensor is, else the default device.

        Raises:
            ArgumentError: where there are fewer to choose from than asked for.
            ShapeError: where `p` is not of shape (n,).
            AxisError: where the tensor has no such axis.
        """
        n, home = _population("choice", x, axis)
        call = _Call("choice", shape, None, home or device, "integer")
        weights = None if p is None else _choice_weights(n, p)
        _check_enough(call.shape, n if weights is None else numpy.count_nonzero(weights), replace)
        chosen = self._draw(call, _choice, n, weights, replace)
        if not isinstance(x, Tensor):
            return chosen
        axis = one_axis("choice", axis, x.ndim)
        slices = take(x, chosen.reshape((-1,)), axis=axis)
        return slices.reshape((*x.shape[:axis], *call.shape, *x.shape[axis + 1 :])).to(device=device)

    def _draw(self, call: _Call, draw: Callable[..., Any], *values: Any) -> Tensor:
        """The tensor of what a function of NumPy's generator, these values and the shape gives."""
        try:
            with self._lock, numpy.errstate(all="ignore"):
                before_draw(self)
                return call.tensor(numpy.asarray(draw(self._host, *values, call.shape)))
        except RusTorchError:
            raise
        except MemoryError as error:
            raise OutOfMemoryError(f"{call.name}: shape {call.shape} does not fit into the host's memory") from error
        except (ValueError, OverflowError) as error:
            raise ArgumentError(f"{call.name}: {error}; met {call.met()} in shape {call.shape}") from error


class _Position(NamedTuple):
    """A place in a stream: which stream, how many children it has given, and how much was drawn."""

    seed: int
    path: tuple[int, ...] = ()
    children: int = 0
    drawn: int = 0
    half: int | None = None

    def open(self) -> numpy.random.Generator:
        """NumPy's generator at this place."""
        philox = numpy.random.Philox(numpy.random.SeedSequence(self.seed, spawn_key=self.path))
        block, words = divmod(self.drawn, 4)
        native: Any = philox.state
        native["state"]["counter"][:] = [block >> 64 * place & (2**64 - 1) for place in range(4)]
        native["has_uint32"], native["uinteger"] = int(self.half is not None), self.half or 0
        philox.state = native
        philox.random_raw(words, output=False)
        return numpy.random.Generator(philox)


def _read_seed(seed: Any) -> int:
    if seed is None:
        return int(numpy.random.SeedSequence().entropy)  # type: ignore[arg-type]
    if isinstance(seed, (bool, numpy.bool_)) or not hasattr(seed, "__index__"):
        raise ArgumentError(f"Generator: a seed is an integer of at least 0, met {seed!r}")
    number = _one_integer("Generator", "seed", seed)
    if number < 0:
        raise ArgumentError(f"Generator: a seed is an integer of at least 0, met {seed!r}")
    return number


def _read_state(state: Any) -> _Position:
    """The position that a state tells of.

    Raises:
        ArgumentError: with what is wrong in it.
    """
    keys = ("algorithm", *_Position._fields)
    if not isinstance(state, Mapping) or set(state) != set(keys):
        met = sorted(map(str, state)) if isinstance(state, Mapping) else type(state).__name__
        raise ArgumentError(f"set_state: a state is a dict of {', '.join(keys)}; met {met}")
    if state["algorithm"] != _ALGORITHM:
        raise ArgumentError(f"set_state: expected a state of {_ALGORITHM}, met one of {state['algorithm']!r}")
    limits = {"seed": None, "children": None, "drawn": 2**258, "half": 2**32}
    for key, limit in limits.items():
        if not (_is_count(state[key], limit) or (key == "half" and state[key] is None)):
            below = "" if limit is None else f" and below 2**{limit.bit_length() - 1}"
            raise ArgumentError(f"set_state: {key} is an integer of at least 0{below}, met {state[key]!r}")
    path = state["path"]
    if not isinstance(path, (list, tuple)) or not all(_is_count(child, None) for child in path):
        raise ArgumentError(f"set_state: path is a list of integers of at least 0, met {path!r}")
    return _Position(state["seed"], tuple(path), state["children"], state["drawn"], state["half"])


def _is_count(value: Any, limit: int | None) -> bool:
    return type(value) is int and value >= 0 and (limit is None or value < limit)


def _restored(kind: type[Generator], position: _Position) -> Generator:
    made = kind.__new__(kind)
    made._lock = threading.RLock()
    made._start(position)
    return made
