"""The libraries that are measured: how each calls what a row speaks of. What they name alike is found by its name."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy

from rustorch_core.errors import ArgumentError

#: What measures, and each peer with what its rows need: how to get it.
PACKAGES = {
    "pyperf": 'pip install "rustorch[bench]"',
    "matplotlib": 'pip install "rustorch[bench]"',
    "numpy": "pip install numpy",
    "torch": "pip install torch",
    "jax": "pip install jax",
}
PEERS = ("torch", "numpy", "jax")


class NotThereError(LookupError):
    """A library lacks what a row needs."""


@dataclass(frozen=True)
class Library:
    """How a library is used.

    Arguments:
        name: what it is imported as.
        module: what that gives.
        array: makes its array of NumPy's.
        host: makes NumPy's array of its own.
        namespaces: where its functions are found, best first.
        names: those whose name or signature is another there; None for one that is another function.
        words: arguments that are called otherwise there.
        wait: waits until a result is computed; None where calls do so.
        form: which of several ways to do a thing, such as "foreach".
    """

    name: str
    module: Any
    array: Callable[[Any], Any]
    host: Callable[[Any], Any]
    namespaces: tuple[Any, ...]
    names: Mapping[str, Any] = field(default_factory=dict)
    words: Mapping[str, str] = field(default_factory=dict)
    wait: Callable[[Any], Any] | None = None
    form: str = ""

    def function(self, name: str) -> Any:
        """The function of a name.

        Raises:
            NotThereError: where there is none.
        """
        spaces = (space for space in self.namespaces if hasattr(space, name))
        found = self.names[name] if name in self.names else getattr(next(spaces, None), name, None)
        if found is None:
            raise NotThereError(f"{self.name} has no {name}")
        return found

    def spelled(self, statement: str) -> str:
        """A statement with this library's words."""
        for word, theirs in self.words.items():
            statement = statement.replace(word, theirs)
        return statement


def require(*packages: str) -> None:
    """Check that packages can be imported.

    Raises:
        ArgumentError: naming those that cannot, and how to get them.
    """
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    if missing:
        what_to_do = dict.fromkeys(PACKAGES[package] for package in missing)
        raise ArgumentError(f"bench: {' and '.join(missing)} cannot be found; run: {' && '.join(what_to_do)}")


def library(name: str, threads: int) -> Library:
    """Import a library, which is to compute on so many threads."""
    return _LIBRARIES[name](threads)


def _rustorch(threads: int) -> Library:
    import rustorch
    import rustorch.linalg
    import rustorch.special
    from rustorch.nn import functional

    if hasattr(rustorch, "set_num_threads"):
        rustorch.set_num_threads(threads)
    device = rustorch.device()
    return Library(
        "rustorch",
        rustorch,
        rustorch.asarray,
        lambda x: numpy.asarray(x.detach().to("cpu")),
        (rustorch, functional, rustorch.special, rustorch.linalg),
        names={
            "contiguous": lambda x: rustorch.asarray(x, copy=True),
            "to_float64": lambda x: rustorch.astype(x, rustorch.float64),
        },
        wait=None if device.backend.synchronize is None else lambda x: device.synchronize(),
    )


def _numpy(threads: int) -> Library:
    namespaces, names = [numpy, numpy.linalg], dict(_OF_NUMPY)
    with contextlib.suppress(ImportError):
        import scipy.special

        namespaces.append(scipy.special)
        names["sigmoid"] = scipy.special.expit
        names["gelu"] = lambda x: 0.5 * x * (1 + scipy.special.erf(x * numpy.float32(0.5**0.5)))
    return Library("numpy", numpy, numpy.array, numpy.asarray, tuple(namespaces), names)


def _layer_norm(x: Any, shape: Any, weight: Any, bias: Any) -> Any:
    centred = x - x.mean(axis=-1, keepdims=True)
    return centred / numpy.sqrt((centred * centred).mean(axis=-1, keepdims=True) + numpy.float32(1e-5)) * weight + bias


#: What NumPy has no function for, as its users write it.
_OF_NUMPY: dict[str, Any] = {
    "relu": lambda x: numpy.maximum(x, 0),
    "silu": lambda x: x / (1 + numpy.exp(-x)),
    "softplus": lambda x: numpy.logaddexp(x, 0),
    "layer_norm": _layer_norm,
    "linear": lambda x, weight, bias: x @ weight.T + bias,
    "ldexp": None,  # its second argument is an integer
    "contiguous": lambda x: numpy.array(x, order="C"),
    "to_float64": lambda x: x.astype(numpy.float64),
}


def _torch(threads: int) -> Library:
    import torch

    torch.set_num_threads(threads)
    functional = torch.nn.functional
    # torch.batch_norm and its like are internal, torch.svd and its like of old, all with other arguments.
    public = ("batch_norm", "dropout", "embedding", "group_norm", "layer_norm", "rms_norm")
    decompositions = ("cholesky", "qr", "solve", "svd")
    return Library(
        "torch",
        torch,
        lambda x: torch.from_numpy(x.copy()),
        lambda x: x.detach().numpy(),
        (torch, functional, torch.special, torch.linalg),
        names={
            **{name: getattr(functional, name) for name in public},
            **{name: getattr(torch.linalg, name) for name in decompositions},
            "bitwise_invert": torch.bitwise_not,
            "cumulative_sum": torch.cumsum,
            "cumulative_prod": torch.cumprod,
            "kl_div": None,
            "sort": lambda x, dim: torch.sort(x, dim=dim).values,
            "contiguous": lambda x: x.contiguous(),
            "to_float64": lambda x: x.to(torch.float64),
        },
        words={"axis=": "dim=", "keepdims=": "keepdim="},
    )


def _jax(threads: int) -> Library:
    import jax
    import jax.scipy.special

    return Library(
        "jax",
        jax,
        jax.numpy.asarray,
        numpy.asarray,
        (jax.numpy, jax.nn, jax.scipy.special, jax.numpy.linalg),
        names={
            "gelu": lambda x: jax.nn.gelu(x, approximate=False),
            "linear": lambda x, weight, bias: x @ weight.T + bias,
            "ldexp": None,
            "contiguous": jax.numpy.array,
            "to_float64": None,  # it has no such dtype unless asked
        },
        wait=jax.block_until_ready,
    )


def _machine(threads: int) -> Library:
    """What the machine itself can do: NumPy's plainest loops, into memory that is there, on every thread."""
    from concurrent.futures import ThreadPoolExecutor

    pool = ThreadPoolExecutor(threads)

    def spread(function: Callable[..., Any]) -> Callable[..., Any]:
        def on_parts(*arrays: Any) -> None:
            list(pool.map(function, *(numpy.array_split(array, threads) for array in arrays)))

        return on_parts

    return Library(
        "machine",
        numpy,
        numpy.array,
        numpy.asarray,
        (),
        names={
            "read": spread(lambda x: numpy.dot(x, x)),
            "copy_into": spread(lambda x, y: numpy.copyto(y, x)),
            "add_into": spread(lambda x1, x2, y: numpy.add(x1, x2, out=y)),
            "matmul_into": lambda x1, x2, y: numpy.matmul(x1, x2, out=y),
        },
    )


_LIBRARIES: dict[str, Callable[[int], Library]] = {
    "rustorch": _rustorch,
    "numpy": _numpy,
    "torch": _torch,
    "jax": _jax,
    "machine": _machine,
}
