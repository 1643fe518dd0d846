"""The suites: which rows, and who runs them beside whom."""

from __future__ import annotations

import dataclasses
import fnmatch
import functools
import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy

import rustorch
from rustorch.cli.bench import models, ops
from rustorch.cli.bench.peers import Library, NotThereError
from rustorch.cli.bench.rows import Numbers, Row, Space
from rustorch_core.errors import ArgumentError


@dataclass(frozen=True)
class Settings:
    """What the user asked for, as far as rows depend on it.

    Arguments:
        peers: libraries to measure beside ours.
        sizes: numbers in an array; empty for each suite's own.
        threads: for everybody.
        is_compiled: whether torch.compile is measured too.
    """

    peers: tuple[str, ...] = ()
    sizes: tuple[int, ...] = ()
    threads: int = 1
    is_compiled: bool = False


@dataclass(frozen=True)
class Contestant:
    """Who runs a row: a library in one of its forms, under an environment.

    Arguments:
        label: unique in a table.
        library: a name in `peers`.
        form: see `Library`.
        threads: for it and its libraries.
        variables: of the environment.
    """

    label: str
    library: str
    form: str = ""
    threads: int = 1
    variables: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Suite:
    """A table.

    Arguments:
        summary: what it is about.
        rows: makes its rows; raises `NotThereError` where it cannot be measured here.
        contestants: who runs them, the first being the one the others are compared with.
    """

    summary: str
    rows: Callable[[Settings], Iterable[Row]]
    contestants: Callable[[Settings], Sequence[Contestant]]


def _with_peers(settings: Settings) -> list[Contestant]:
    return [Contestant(name, name, threads=settings.threads) for name in ("rustorch", *settings.peers)]


def cpus() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


# Rows

#: The calls that stand for all in suites about something else than calls, and in `quick`.
_REPRESENTATIVE = ("add", "exp", "gelu", "sum", "softmax", "layer_norm", "matmul")


def _tensor_ops(settings: Settings) -> Iterator[Row]:
    yield from ops.forward("tensor_ops", settings.sizes or (1, 10**3, 10**5, 10**7))
    yield from ops.small("tensor_ops")
    yield Row("tensor_ops", "import", "run()", _import_space, is_checked=False)


def _import_space(library: Library) -> Space:
    command = [sys.executable, "-c", f"import {library.name}"]
    return {"run": functools.partial(subprocess.run, command, check=True)}


def _special(settings: Settings) -> Iterator[Row]:
    yield from ops.forward("special", settings.sizes or (10**3, 10**5), ops.special())


def _autograd_ops(settings: Settings) -> Iterator[Row]:
    yield from ops.recorded("autograd_ops")
    yield from ops.backward("autograd_ops", settings.sizes or (1, 10**3, 10**5, 10**6))
    yield from ops.products("autograd_ops")


_DECOMPOSITIONS = {
    "svd": "svd(x)",
    "qr": "qr(x)",
    "eigh": "eigh(x)",
    "cholesky": "cholesky(x)",
    "solve": "solve(x, b)",
}


def _matrix_decomposition(settings: Settings) -> Iterator[Row]:
    shapes = {str(side): (side, side) for side in (4, 16, 64, 256, 512)}
    shapes |= {"1000 of 4": (1000, 4, 4), "100 of 16": (100, 16, 16), "10 of 64": (10, 64, 64)}
    for name, statement in _DECOMPOSITIONS.items():
        for what, shape in shapes.items():
            space = functools.partial(_matrix_space, name, shape)
            # What the others return is unique but for signs.
            is_checked = name in ("cholesky", "solve")
            yield Row("matrix_decomposition", f"{name} {what}", statement, space, is_checked=is_checked)


def _matrix_space(name: str, shape: tuple[int, ...], library: Library) -> Space:
    x = Numbers(shape, -1.0, 1.0).draw()
    if name in ("cholesky", "solve", "eigh"):
        x = x @ numpy.swapaxes(x, -1, -2) + shape[-1] * numpy.eye(shape[-1], dtype=x.dtype)
    return {
        name: library.function(name),
        "x": library.array(x),
        "b": library.array(Numbers(shape, -1.0, 1.0).draw(1)),
    }


def _machine(settings: Settings) -> Iterator[Row]:
    large, square = Numbers((2**24,)), Numbers((1024, 1024))
    for name, statement, array, read, written, flops in (
        ("reading", "read(x)", large, 1, 0, 0),
        ("copying", "copy_into(x, out)", large, 1, 1, 0),
        ("adding", "add_into(x, x2, out)", large, 2, 1, 0),
        ("matmul", "matmul_into(x, x2, out)", square, 0, 0, 2 * 1024**3),
    ):
        space = functools.partial(_machine_space, statement.partition("(")[0], array)
        yield Row(
            "machine",
            name,
            statement,
            space,
            result="out",
            is_checked=False,
            read=read * array.nbytes,
            written=written * array.nbytes,
            flops=flops,
        )


def _machine_space(function: str, array: Numbers, library: Library) -> Space:
    return {function: library.function(function), **{name: library.array(array.draw()) for name in ("x", "x2", "out")}}


def _simd(settings: Settings) -> Iterator[Row]:
    if importlib.util.find_spec("rustorch_simd") is None:
        raise NotThereError("rustorch_simd is not installed; run: pip install ./plugins/rustorch_simd")
    names, sizes = ops.with_kernels("cpu"), settings.sizes or (10**3, 10**5)
    if not names:
        raise NotThereError("there are no kernels; `rustorch devices` says why")
    yield from ops.forward("simd", sizes, names)
    for row in ops.backward("simd", sizes, names):
        yield dataclasses.replace(row, name=f"{row.name}, backward")


def _targets(settings: Settings) -> list[Contestant]:
    """One contestant for each target of rustorch_simd, the one that is used unless told first; and the peers."""
    import rustorch_simd

    first = rustorch_simd.target()
    targets = [first, *(each for each in rustorch_simd.targets() if each != first)]
    return [
        *(Contestant(each, "rustorch", "", settings.threads, (("RUSTORCH_SIMD", each),)) for each in targets),
        *(Contestant(each, each, threads=settings.threads) for each in settings.peers),
    ]


def _parallel(settings: Settings) -> Iterator[Row]:
    yield from ops.forward("parallel", settings.sizes or (10**4, 10**5, 10**6, 10**7), _REPRESENTATIVE)


def _threads(settings: Settings) -> list[Contestant]:
    """Everybody on 1 to N threads, ours on N first."""
    counts = [settings.threads, *range(1, settings.threads)]
    return [
        Contestant(f"{name}, {count} thread{'s' * (count > 1)}", name, threads=count)
        for name in ("rustorch", *settings.peers)
        for count in counts
    ]


def _devices(settings: Settings) -> Iterator[Row]:
    yield from ops.forward("devices", settings.sizes or (10**3, 10**5, 10**7), _REPRESENTATIVE)
    yield from models.networks("devices", is_compiled=False)


def _on_devices(settings: Settings) -> list[Contestant]:
    """The cpu, and every other device that is there."""
    names = ["cpu", *(str(each) for each in rustorch.devices() if str(each) != "cpu")]
    return [Contestant(each, "rustorch", "", settings.threads, (("RUSTORCH_DEVICE", each),)) for each in names]


SUITES: dict[str, Suite] = {
    "tensor_ops": Suite("every op of the table, as a user writes it", _tensor_ops, _with_peers),
    "special": Suite("functions of rustorch.special", _special, _with_peers),
    "autograd_ops": Suite("the same with its gradient", _autograd_ops, _with_peers),
    "neural_networks": Suite(
        "inference and training steps",
        lambda settings: models.networks("neural_networks", settings.is_compiled),
        _with_peers,
    ),
    "matrix_decomposition": Suite("svd, qr, eigh, cholesky, solve", _matrix_decomposition, _with_peers),
    "optimizers": Suite("a step of each optimizer", lambda settings: models.optimizers("optimizers"), _with_peers),
    "memory": Suite("peak memory of training", lambda settings: models.peaks("memory"), _with_peers),
    "simd": Suite("kernels on each target of rustorch_simd", _simd, _targets),
    "parallel": Suite("calls on 1 thread and more", _parallel, _threads),
    "devices": Suite("calls and models on every device", _devices, _on_devices),
    "machine": Suite(
        "what memory and processor can do; in every run",
        _machine,
        lambda settings: [Contestant("machine", "machine", threads=settings.threads)],
    ),
}

#: What `quick` measures: patterns of rows.
_QUICK = (
    *(f"tensor_ops/{name} {size}" for name in _REPRESENTATIVE for size in ("1", "1k", "100k")),
    *(f"tensor_ops/{name} 10M" for name in ("add", "sum", "softmax")),
    "tensor_ops/conv2d 100k",
    "tensor_ops/scaled_dot_product_attention 100k",
    "tensor_ops/a[[]0]",
    *(f"autograd_ops/{name} {size}" for name in ("add", "gelu", "softmax") for size in ("1", "100k")),
    "neural_networks/perceptron*",
    "matrix_decomposition/svd 16",
    "matrix_decomposition/solve 64",
    "optimizers/adamw: a perceptron's 4",
)

Plan = list[tuple[Row, list[Contestant]]]


def names() -> dict[str, str]:
    """Every name that `plan` takes, with what it is."""
    return {
        "quick": "a choice of the others, under a minute",
        **{name: suite.summary for name, suite in SUITES.items()},
        "all": "all of these",
    }


def plan(wanted: Sequence[str], settings: Settings, patterns: Sequence[str] = ()) -> tuple[Plan, list[str]]:
    """Who runs what.

    Arguments:
        wanted: names of suites.
        settings: what rows depend on.
        patterns: of rows; one that fits any is taken, and all where there are none.

    Returns:
        the rows with their contestants; and of suites of `all` that cannot be measured here, why.

    Raises:
        ArgumentError: for a suite that is none or cannot be measured here, or where no row is left.
    """
    for name in wanted:
        if name not in names():
            raise ArgumentError(f"bench: there is no suite {name!r}; there are: {', '.join(names())}")
    found: Plan = []
    notes = []
    for name, suite in SUITES.items():
        is_whole = name in wanted or "all" in wanted
        try:
            if is_whole:
                found += _planned(suite, settings, patterns)
            elif "quick" in wanted and any(each.startswith(f"{name}/") for each in _QUICK):
                found += [each for each in _planned(suite, settings, patterns) if _is_quick(each[0], settings)]
        except NotThereError as error:
            if name in wanted:
                raise ArgumentError(f"bench: suite {name}: {error}") from error
            notes.append(f"{name} is left out: {error}")
    if not found:
        raise ArgumentError(f"bench: no row fits {' or '.join(patterns)}; --list shows those of {', '.join(wanted)}")
    if not any(row.suite == "machine" for row, _ in found):
        found += _planned(SUITES["machine"], settings, ())
    return found, notes


def _planned(suite: Suite, settings: Settings, patterns: Sequence[str]) -> Plan:
    rows = [row for row in suite.rows(settings) if not patterns or _fits(row, [f"*{each}*" for each in patterns])]
    contestants = suite.contestants(settings) if rows else []
    return [(row, list(_of_row(row, contestants))) for row in rows]


def _of_row(row: Row, contestants: Iterable[Contestant]) -> Iterator[Contestant]:
    """The contestants that can run a row, one for each form of it."""
    for each in contestants:
        if not row.libraries or each.library in row.libraries:
            for form in row.forms.get(each.library, ("",)):
                yield dataclasses.replace(each, label=f"{each.label} {form}".strip(), form=form)


def _fits(row: Row, patterns: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(row.id, pattern) for pattern in patterns)


def _is_quick(row: Row, settings: Settings) -> bool:
    """Whether `quick` has a row; at sizes that were asked for, whatever the size."""
    if settings.sizes:
        return _fits(row, [f"{each.rpartition(' ')[0]} *" for each in _QUICK])
    return _fits(row, _QUICK)


def row_of(id: str, settings: Settings) -> Row:
    """The row of an id."""
    rows = SUITES[id.partition("/")[0]].rows(settings)
    return next(row for row in rows if row.id == id)
