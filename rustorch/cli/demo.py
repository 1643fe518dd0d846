"""`rustorch demo` trains a small classifier and keeps what came of it; `rustorch predict` uses that again."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import math
import platform
import textwrap
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import numpy

import rustorch as rt
from rustorch.cli import digits, figure
from rustorch.cli.digits import Digits, Epoch, Evaluation
from rustorch_core import _devices, _plugins
from rustorch_core._op import REGISTRY
from rustorch_core.errors import ArgumentError, FileFormatError, FileReadError, FileWriteError, MissingFileError

EPOCHS, BATCH_SIZE, LEARNING_RATE = 30, 64, 0.01
PROMISED = 0.97
WEIGHTS, PICTURE, METRICS = "model.safetensors", "training.png", "metrics.json"
PROGRAM = "rustorch demo"


@click.command()
@click.option(
    "--epochs", default=EPOCHS, show_default=True, type=click.IntRange(1), help="How often each digit is seen."
)
@click.option("--batch-size", default=BATCH_SIZE, show_default=True, type=click.IntRange(1), help="Digits in a step.")
@click.option("--lr", default=LEARNING_RATE, show_default=True, type=float, help="The learning rate at the start.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Same seed, same numbers.")
@click.option("--device", "device_name", metavar="NAME", help="Such as cpu; by default the default device.")
@click.option("--output", type=click.Path(path_type=Path), metavar="FOLDER", help="By default a new folder in runs/.")
def demo(epochs: int, batch_size: int, lr: float, seed: int, device_name: str | None, output: Path | None) -> None:
    """Train a small classifier on handwritten digits and keep its weights, curves and accuracy."""
    _require("sklearn", "matplotlib")
    device = rt.device(device_name)
    _describe(device, device_name)
    clock = Clock()
    generator = rt.random.Generator(seed)
    with _folder(output) as folder, _one_thread():
        with clock("load data"):
            training, held_out = digits.load(generator, device)
        model = digits.build(generator, device)
        rounds = digits.train(model, training, held_out, generator, epochs=epochs, batch_size=batch_size, lr=lr)
        with clock("train"):
            history = _followed(rounds, epochs)
        with clock("evaluate"):
            result = digits.evaluate(model, held_out)
        with clock("save"):
            rt.io.save(model.state_dict(), folder / WEIGHTS, metadata=_metadata(seed))
        with clock("plot"), rt.io.whole_file(folder / PICTURE) as file:
            figure.draw(file, history, held_out)
        settings = {"epochs": epochs, "batch_size": batch_size, "lr": lr, "seed": seed}
        _write_metrics(folder / METRICS, _metrics(settings, result, device, clock, history))
    _report(clock, history, result, folder)
    if result.accuracy < PROMISED and (epochs, batch_size, lr) == (EPOCHS, BATCH_SIZE, LEARNING_RATE):
        raise click.exceptions.Exit(1)


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--device", "device_name", metavar="NAME", help="Such as cpu; by default the default device.")
def predict(folder: Path, device_name: str | None) -> None:
    """Load the weights of a demo's FOLDER, read its held-out digits again, and compare the accuracy."""
    _require("sklearn")
    device = rt.device(device_name)
    expected = _recorded_accuracy(folder)
    seed, hidden = _facts_of_run(folder / WEIGHTS)
    generator = rt.random.Generator(seed)
    _, held_out = digits.load(generator, device)
    model = digits.build(generator, device, hidden)
    _load_weights(model, folder / WEIGHTS, device)
    with _one_thread():
        result = digits.evaluate(model, held_out)
    _show_predictions(held_out, result)
    click.echo(f"\n{'Accuracy':10}{_in_words(result)}, on {device}")
    if result.accuracy != expected:
        click.echo(f"{'':10}{folder / METRICS} says {100 * expected:.2f} %: not the same", err=True)
        raise click.exceptions.Exit(1)
    click.echo(f"{'':10}the same as in {folder / METRICS}")


class Clock:
    """How many seconds each part of the work took: `with clock("train"): ...`."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def __call__(self, part: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds[part] = time.perf_counter() - started


def _require(*packages: str) -> None:
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    if missing:
        raise click.ClickException(
            f"the demo needs scikit-learn and matplotlib, and {' and '.join(missing)} cannot be found; "
            'run: pip install "rustorch[demo]"'
        )


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Let matrix products run on one thread: the numbers then do not depend on how many cores there are.

    Nor does the time on a busy machine: products as small as these gain nothing from threads, which wait for each other
    (two busy cores: 59 ms for a step instead of 1.2).
    """
    from threadpoolctl import threadpool_limits  # scikit-learn brings it

    with threadpool_limits(1, user_api="blas"):
        yield


# What is printed


def _describe(device: rt.Device, name: str | None) -> None:
    why = f"--device {name}" if name else _devices.decided_by()
    click.echo(f"RusTorch {rt.__version__} learns to read handwritten digits.\n")
    click.echo(f"{'Device':10}{device} ({why})")
    click.echo(textwrap.fill(f"{'Kernels':10}{_kernels(device)}", 100, subsequent_indent=" " * 10))


def _kernels(device: rt.Device) -> str:
    """The plugins whose kernels serve the device and the ops they serve, or what to do where there are none."""
    key = device.key(rt.float32)
    names: dict[str, list[str]] = {}
    with warnings.catch_warnings():
        # A kernel that cannot be loaded is told of below, by its plugin's record.
        warnings.simplefilter("ignore", RuntimeWarning)
        for record, kernel in list(_plugins.facts("rustorch_kernels")):
            if kernel.device == device.type and kernel.op in REGISTRY:
                REGISTRY[kernel.op].bind(key)
                if REGISTRY[kernel.op].served[key] == "kernel" and record.state == "loaded":
                    names.setdefault(f"{record.distribution} {record.version}", []).append(kernel.op)
    if names:
        return "; ".join(f"{plugin}: {', '.join(ops)}" for plugin, ops in names.items())
    if not device.shares_host_memory:
        return f"none of plugins; every op runs on the functions of {device} itself"
    return f"none of plugins; every op runs on NumPy's own functions. {_what_to_do()}"


def _what_to_do() -> str:
    for record in _plugins.records:
        if record.distribution == "rustorch-simd" and record.state != "loaded":
            return f"rustorch_simd is {record.state}: {record.reason}"
    return "For faster ones install a C compiler, then: pip install ./plugins/rustorch_simd"


def _followed(rounds: Iterator[Epoch], total: int) -> list[Epoch]:
    """Run the training to its end, with a bar on a terminal and a few lines elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console()
    click.echo()
    if not console.is_terminal:
        return [_echoed(epoch, number, total) for number, epoch in enumerate(rounds, 1)]
    history: list[Epoch] = []
    with Progress(TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn(), console=console) as progress:
        task = progress.add_task("", total=total)
        for epoch in rounds:
            history.append(epoch)
            progress.update(task, advance=1, description=_epoch_in_words(epoch, len(history), total))
    return history


def _echoed(epoch: Epoch, number: int, total: int) -> Epoch:
    if number in (1, total) or number % max(1, math.ceil(total / 5)) == 0:
        click.echo(_epoch_in_words(epoch, number, total))
    return epoch


def _epoch_in_words(epoch: Epoch, number: int, total: int) -> str:
    held_out = epoch.held_out
    width = len(str(total))
    return (
        f"epoch {number:{width}}/{total}  held-out loss {held_out.loss:.4f}  accuracy {100 * held_out.accuracy:6.2f} %"
    )


def _report(clock: Clock, history: Sequence[Epoch], result: Evaluation, folder: Path) -> None:
    click.echo()
    for part, seconds in clock.seconds.items():
        steps = sum(epoch.steps for epoch in history)
        note = f"  {steps:,} steps of {_step_microseconds(history):,.0f} us" if part == "train" else ""
        click.echo(f"{part.capitalize():10}{seconds:7.3f} s{note}")
    verdict = (
        ""
        if result.accuracy >= PROMISED
        else f"; less than the {100 * PROMISED:.0f} % expected of the default settings"
    )
    click.echo(f"\n{'Accuracy':10}{_in_words(result)}{verdict}")
    click.echo(f"{'Folder':10}{folder}")


def _in_words(result: Evaluation) -> str:
    return f"{100 * result.accuracy:.2f} % ({result.correct} of {len(result.predictions)} held-out digits)"


def _show_predictions(held_out: Digits, result: Evaluation) -> None:
    """Print one digit of each class as text, with what was read."""
    classes, predictions = held_out.labels.tolist(), result.predictions.tolist()
    images = numpy.asarray(held_out.images.to("cpu")).reshape(-1, 8, 8)
    shown = [classes.index(each) for each in range(digits.CLASSES)]
    for half in (shown[:5], shown[5:]):
        for row in range(8):
            click.echo("   ".join("".join(_shade(value) for value in images[which][row]) for which in half).rstrip())
        captions = [_caption(predictions[which], classes[which]).ljust(16) for which in half]
        click.echo("   ".join(captions).rstrip() + ("\n" if half[0] == 0 else ""))


def _shade(value: float) -> str:
    return 2 * " .:+#@"[min(5, int(6 * value))]


def _caption(prediction: int, true: int) -> str:
    return f"read {prediction}" if prediction == true else f"read {prediction}, is {true}"


# What is kept


@contextlib.contextmanager
def _folder(chosen: Path | None) -> Iterator[Path]:
    """The folder of a run; taken away again where the run ends before anything is in it.

    Raises:
        ArgumentError: where the folder that was chosen holds other things.
        FileWriteError: where it cannot be made.
    """
    folder = _new_folder() if chosen is None else _checked_folder(chosen)
    try:
        yield folder
    except BaseException:
        with contextlib.suppress(OSError):
            folder.rmdir()
        raise


def _new_folder() -> Path:
    name = time.strftime("demo-%Y%m%d-%H%M%S")
    number = 1
    while True:
        folder = Path("runs") / (name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            if not folder.is_dir():
                raise _unusable(folder, "something else has that name") from None
            number += 1
        except OSError as error:
            raise _unusable(folder, error.strerror) from error
        else:
            return folder


def _checked_folder(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        others = sorted({path.name for path in folder.iterdir()} - {WEIGHTS, PICTURE, METRICS})
    except OSError as error:
        raise _unusable(folder, error.strerror) from error
    if others:
        raise ArgumentError(
            f"--output {folder}: it holds {others[0]!r}, so it is no run's; choose an empty or a new folder"
        )
    return folder


def _unusable(folder: Path, reason: str | None) -> FileWriteError:
    return FileWriteError(f"the folder {folder} cannot be made ({reason}); choose another with --output")


def _metadata(seed: int) -> dict[str, str]:
    return {"program": PROGRAM, "seed": str(seed), "hidden": str(digits.HIDDEN), "activation": "gelu"}


def _metrics(
    settings: dict[str, Any], result: Evaluation, device: rt.Device, clock: Clock, history: Sequence[Epoch]
) -> dict[str, Any]:
    plugins = {record.distribution: record.version for record in _plugins.records if record.state == "loaded"}
    return {
        "accuracy": result.accuracy,
        # JSON has no word for infinity or for what is no number.
        "loss": result.loss if math.isfinite(result.loss) else None,
        **settings,
        "device": str(device),
        "seconds": round(sum(clock.seconds.values()), 3),
        "step_microseconds": round(_step_microseconds(history), 1),
        "versions": {**plugins, "numpy": numpy.__version__, "python": platform.python_version()},
    }


def _step_microseconds(history: Sequence[Epoch]) -> float:
    return 1e6 * sum(epoch.seconds for epoch in history) / sum(epoch.steps for epoch in history)


def _write_metrics(path: Path, metrics: dict[str, Any]) -> None:
    with rt.io.whole_file(path) as file:
        file.write((json.dumps(metrics, indent=2, allow_nan=False) + "\n").encode())


# What is read again


def _recorded_accuracy(folder: Path) -> float:
    """The accuracy in a run's metrics.

    Raises:
        MissingFileError, FileReadError: where the folder or the file is not there or may not be read.
        FileFormatError: where the file does not hold what a demo writes.
    """
    if not folder.is_dir():
        raise MissingFileError(f"there is no folder {folder}; `{PROGRAM}` makes one and prints its name")
    path = folder / METRICS
    try:
        accuracy = json.loads(path.read_bytes())["accuracy"]
        if isinstance(accuracy, bool) or not 0 <= accuracy <= 1:
            raise ValueError(f"accuracy is {accuracy!r}")
    except FileNotFoundError as error:
        raise MissingFileError(f"{path} is missing; is {folder} the folder of a demo that ran to its end?") from error
    except OSError as error:
        raise FileReadError(f"{path} cannot be read ({error.strerror})") from error
    except (ValueError, TypeError, KeyError) as error:
        raise FileFormatError(f"{path} is not what `{PROGRAM}` writes ({error}); run the demo again") from error
    return float(accuracy)


def _facts_of_run(path: Path) -> tuple[int, int]:
    """The seed and the width of the hidden layer of the run that wrote a weight file."""
    try:
        kept = rt.io.load_metadata(path)
    except FileFormatError as error:
        raise FileFormatError(f"{error}, or run the demo again") from error
    try:
        if kept["program"] != PROGRAM:
            raise ValueError(f"program is {kept['program']!r}")
        seed, hidden = int(kept["seed"]), int(kept["hidden"])
        if seed < 0 or not 0 < hidden < 2**16:
            raise ValueError(f"seed is {seed}, hidden is {hidden}")
    except (KeyError, ValueError) as error:
        raise FileFormatError(f"{path} was not written by `{PROGRAM}` ({error}); run the demo again") from error
    return seed, hidden


def _load_weights(model: rt.nn.Module, path: Path, device: rt.Device) -> None:
    try:
        model.load_state_dict(rt.io.load(path, device=device))
    except ArgumentError as error:
        raise FileFormatError(f"{path} does not hold the demo's classifier ({error}); run the demo again") from error
