"""Random numbers from counter-based generators: one seed gives the same numbers on every device.

Philox 4x64-10 (Salmon et al. 2011) runs on the host, in NumPy's implementation; what it gives is rounded to the dtype
and then moved to the device. So neither the device nor the precision changes the stream: float16 holds the numbers of
float64, rounded. The distributions' algorithms are NumPy's, and another version of NumPy may draw others from a seed.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Concatenate, ParamSpec

from rustorch.random._generator import Generator
from rustorch_core._tensor import Tensor
from rustorch_core.errors import OperandError

_Arguments = ParamSpec("_Arguments")

_default = Generator()


def default_generator() -> Generator:
    """The generator that is used where none is named: one object for the whole process and all its threads."""
    return _default


def _or_default(name: str, generator: Generator | None) -> Generator:
    """The generator that a function was given, or the default one.

    Raises:
        OperandError: for anything else.
    """
    if generator is None:
        return _default
    if not isinstance(generator, Generator):
        raise OperandError(f"{name}: generator is a rustorch.random.Generator, met {type(generator).__name__}")
    return generator


def seed(value: int | None) -> Generator:
    """Start the default generator anew from a seed, whoever holds it; returns it.

    Arguments:
        value: any integer of at least 0; None takes one from the operating system.

    Raises:
        ArgumentError: for any other seed.
    """
    _default.set_state(Generator(value).get_state())
    return _default


def _by_default(method: Callable[Concatenate[Generator, _Arguments], Tensor]) -> Callable[_Arguments, Tensor]:
    """A distribution as a function of this module, drawn from the default generator."""

    @functools.wraps(method)
    def draw(*arguments: _Arguments.args, **options: _Arguments.kwargs) -> Tensor:
        return method(_default, *arguments, **options)

    signature = inspect.signature(method)
    draw.__signature__ = signature.replace(parameters=list(signature.parameters.values())[1:])  # type: ignore
    draw.__module__, draw.__qualname__ = __name__, method.__name__
    return draw


def __dir__() -> list[str]:
    return [name for name, value in globals().items() if getattr(value, "__module__", "").startswith(__name__)]


uniform = _by_default(Generator.uniform)
normal = _by_default(Generator.normal)
truncated_normal = _by_default(Generator.truncated_normal)
lognormal = _by_default(Generator.lognormal)
laplace = _by_default(Generator.laplace)
gumbel = _by_default(Generator.gumbel)
exponential = _by_default(Generator.exponential)
gamma = _by_default(Generator.gamma)
beta = _by_default(Generator.beta)
integers = _by_default(Generator.integers)
bernoulli = _by_default(Generator.bernoulli)
poisson = _by_default(Generator.poisson)
categorical = _by_default(Generator.categorical)
multinomial = _by_default(Generator.multinomial)
permutation = _by_default(Generator.permutation)
choice = _by_default(Generator.choice)
