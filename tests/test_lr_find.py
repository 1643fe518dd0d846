"""The range test: what it says of curves, and that afterwards all is as it was, to the bit."""

import copy
import json
import math
import random
import sys

import numpy
import pytest

import rustorch as rt
from rustorch import nn
from rustorch.optim._lr_find import _read
from rustorch_core.errors import ArgumentError, MissingLibraryError, OperandError

loss_of = nn.functional.mse_loss


class Noisy(nn.Module):
    """Draws numbers, and keeps buffers, counters and a generator."""

    def __init__(self, generator: rt.random.Generator) -> None:
        self.inner = nn.Sequential(nn.Linear(5, 8, generator=generator), nn.Tanh())
        self.outer = nn.Linear(8, 1, generator=generator)
        self.average = rt.zeros(8)
        self.calls = 0
        self.seen: list[int] = []
        self.own = rt.random.Generator(5)
        self.host = numpy.random.default_rng(5)

    def forward(self, x: rt.Tensor) -> rt.Tensor:
        if self.training:
            self.calls += 1
            self.seen.append(self.calls)
            scale = 1 + 0.1 * float(self.host.uniform()) * random.random() * float(numpy.random.rand())
            x = x + scale * self.own.normal(0.0, 0.01, x.shape) + rt.random.normal(0.0, 0.01, x.shape)
        x = self.inner(x)
        if self.training:
            self.average *= 0.9
            self.average += 0.1 * rt.mean(x.detach(), axis=0)
        return self.outer(x)


def data() -> tuple[rt.Tensor, rt.Tensor]:
    x = rt.random.Generator(1).normal(shape=(64, 5))
    return x, rt.sum(x, axis=1, keepdims=True)


class Run:
    """A training: a model, a shuffling loader, an optimizer and a schedule, from fixed seeds."""

    def __init__(self, name: str) -> None:
        rt.random.seed(7)
        random.seed(7)
        numpy.random.seed(7)
        self.model = Noisy(rt.random.Generator(2))
        self.loader = rt.data.DataLoader(*data(), batch_size=16, shuffle=True)
        self.optimizer = rt.optim.create(name, self.model, lr=0.01, layer_decay=0.9, clip_norm=1.0)
        self.schedule = rt.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, T_max=20)

    def epoch(self) -> None:
        for x, y in self.loader:
            self.optimizer.zero_grad()
            loss_of(self.model(x), y).backward()
            self.optimizer.step()
            self.schedule.step()

    def everything(self) -> str:
        """All that there is, numbers to the bit."""

        def told(x: object) -> object:
            if isinstance(x, rt.Tensor):
                return str(x.dtype), x.shape, numpy.asarray(x.detach().to("cpu")).tobytes().hex()
            if isinstance(x, dict):
                return {str(key): told(each) for key, each in x.items()}
            return [told(each) for each in x] if isinstance(x, (list, tuple)) else x

        model = self.model
        state = [
            *[[module.training, "training" in vars(module)] for module in model.modules()],
            [[parameter, parameter.grad] for parameter in model.parameters()],
            [model.average, model.calls, model.seen, model.own.get_state(), model.host.bit_generator.state],
            self.optimizer.state_dict(),
            self.schedule.state_dict(),
            [rt.random.default_generator().get_state(), random.getstate(), numpy.random.get_state()[1].tolist()],
        ]
        return json.dumps(told(state), default=str)


NAMES = ["sgd", "adamw", "radam", "lamb", "adafactor", "muon", "schedule_free_adamw", "lookahead(adam)"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("own_optimizer", [True, False])
def test_it_leaves_all_as_it_was(name: str, own_optimizer: bool) -> None:
    other = Run(name)
    expected = []
    for _ in range(2):
        other.epoch()
        expected.append(other.everything())
    run = Run(name)
    run.epoch()
    objects = [(id(each), id(each.grad)) for each in run.model.parameters()]
    view = run.model.outer.weight.detach()  # shares the memory
    assert run.everything() == expected[0]
    optimizer = run.optimizer if own_optimizer else name
    found = [rt.optim.lr_find(run.model, loss_of, run.loader, optimizer=optimizer, steps=30) for _ in range(2)]
    assert found[0] == found[1]
    assert max(found[0].losses) > min(found[0].losses)
    assert run.everything() == expected[0]
    assert objects == [(id(each), id(each.grad)) for each in run.model.parameters()]
    run.epoch()
    assert run.everything() == expected[1]
    assert rt.all(view == run.model.outer.weight)


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_it_puts_all_back_where_the_loss_raises(error: type[BaseException]) -> None:
    run = Run("adam")
    run.epoch()
    before, calls = run.everything(), []

    def failing(output: rt.Tensor, target: rt.Tensor) -> rt.Tensor:
        calls.append(1)
        if len(calls) > 3:
            raise error("now")
        return loss_of(output, target)

    with pytest.raises(error, match="now"):
        rt.optim.lr_find(run.model, failing, run.loader, optimizer=run.optimizer, low=0.1)
    assert run.everything() == before


def test_a_pass_through_the_data_goes_on_in_its_order() -> None:
    orders = []
    for is_tested in (False, True):
        loader = rt.data.DataLoader(*data(), batch_size=16, shuffle=True, generator=rt.random.Generator(3))
        model, epoch = nn.Linear(5, 1, generator=rt.random.Generator(0)), iter(loader)
        order = [next(epoch)]
        if is_tested:
            rt.optim.lr_find(model, loss_of, loader)
        orders.append([x.tolist() for x, _ in [*order, *epoch, *loader]])
    assert orders[0] == orders[1]


def test_gradients_that_wait_are_kept() -> None:
    x, y = data()
    x.requires_grad_()
    model = nn.Linear(5, 1, generator=rt.random.Generator(0))
    value = loss_of(model(x), y)
    rt.optim.lr_find(model, loss_of, [(x, y)])
    assert x.grad is None
    value.backward()
    expected = rt.grad(lambda model: loss_of(model(x.detach()), y))(model)
    assert rt.all(model.weight.grad == expected.weight)


def test_the_suggestion_trains() -> None:
    model = nn.Linear(5, 1, generator=rt.random.Generator(0))
    found = rt.optim.lr_find(model, loss_of, [data()], optimizer="sgd", low=1e-5)
    assert found.suggestion in found.learning_rates
    assert found.tenth_of_minimum == found.minimum / 10
    assert found.learning_rates[-1] < 10  # it ended where the loss diverged
    optimizer = rt.optim.create("sgd", model, lr=found.suggestion)
    x, y = data()
    first = float(loss_of(model(x), y))
    for _ in range(20):
        optimizer.zero_grad()
        loss_of(model(x), y).backward()
        optimizer.step()
    assert float(loss_of(model(x), y)) < first / 10


def test_rates_of_groups_keep_their_ratio() -> None:
    model = nn.Sequential(nn.Linear(5, 8, generator=rt.random.Generator(0)), nn.Linear(8, 1))
    x, y = data()
    found = []
    for lr_mult in (1.0, 0.0):
        optimizer = rt.optim.create("sgd", model, lr=0.3, rules=[{"name": "", "lr_mult": lr_mult}])
        found.append(rt.optim.lr_find(model, loss_of, [(x, y)], optimizer=optimizer, steps=20))
    with_lr_of_1 = rt.optim.create("sgd", model, lr=1.0)
    rt.optim.lr_scheduler.StepLR(with_lr_of_1, 1).step()
    assert rt.optim.lr_find(model, loss_of, [(x, y)], optimizer=with_lr_of_1, steps=20) == found[0]
    one_group = rt.optim.create("sgd", model, lr=0.5, rules=[{"name": "^0", "lr_mult": 0.0}])
    half = rt.optim.lr_find(model, loss_of, [(x, y)], optimizer=one_group, steps=20)
    assert half != found[0] and min(half.losses) < half.losses[0]


def curve(shape: str, rates: list[float]) -> list[float]:
    noise = random.Random(0)
    return [
        {
            "valley": 2 - 1.5 / (1 + (1e-3 / rate) ** 2) + 3 * (rate / 0.1) ** 2,
            "flat": 2 + noise.gauss(0, 0.1),
            "rising": 2 + rate,
            "falling": 2 - rate,
            "negative": -2 - 1.5 / (1 + (1e-3 / rate) ** 2) + 3 * (rate / 0.1) ** 2,
            "nan": math.nan,
            "late nan": math.nan if rate > 1e-6 else 1.0,
        }[shape]
        for rate in rates
    ]


@pytest.mark.parametrize(
    ("shape", "count", "reason"),
    [
        ("valley", 100, None),
        ("negative", 100, None),
        ("falling", 100, None),
        ("flat", 100, "did not fall"),
        ("rising", 100, "did not fall"),
        ("nan", 100, "the first loss is nan"),
        ("late nan", 20, "then the loss diverged"),
        ("valley", 5, "only 5 losses"),
    ],
)
def test_what_is_said_of_a_curve(shape: str, count: int, reason: str | None) -> None:
    rates = [1e-7 * 1e7 ** (i / (count - 1)) for i in range(count)]
    found = _read(rates, curve(shape, rates), 0.7, 4.0)
    json.dumps(found.to_dict())
    if reason is not None:
        assert (found.suggestion, found.minimum, found.tenth_of_minimum) == (None, None, None)
        assert reason in found.reason and reason in str(found)
        return
    assert found.suggestion <= found.minimum
    if shape != "falling":
        assert 2e-4 < found.suggestion < 2e-3 and 3e-3 < found.minimum < 3e-2
        assert f"suggestion    {found.suggestion:.2g}" in str(found)
    else:
        assert "higher ones" in found.reason


@pytest.mark.parametrize(
    ("error", "words", "options"),
    [
        (ArgumentError, "pass the loader itself", {"batches": iter([data()])}),
        (ArgumentError, "pass the loader itself", {"batches": (each for each in [data()])}),
        (ArgumentError, "no batches", {"batches": []}),
        (OperandError, "a loader or a list", {"batches": rt.ones((3, 5))}),
        (OperandError, "a loader or a list", {"batches": 3}),
        (OperandError, "one number, met shape", {"loss": lambda output, target: output}),
        (OperandError, "one number, met float", {"loss": lambda output, target: 1.0}),
        (OperandError, "are called", {"loss": 3}),
        (ArgumentError, "low < high", {"low": 1.0, "high": 0.1}),
        (ArgumentError, "low is finite", {"low": 0.0}),
        (ArgumentError, "high is finite", {"high": math.inf}),
        (ArgumentError, "smoothing in", {"smoothing": 1.0}),
        (ArgumentError, "stop_factor above 1", {"stop_factor": 1.0}),
        (ArgumentError, "steps of at least 1", {"steps": 0}),
        (ArgumentError, "did you mean 'adamw'", {"optimizer": "adamww"}),
        (ArgumentError, "no rate to find", {"optimizer": "lbfgs"}),
        (ArgumentError, "no rate to find", {"optimizer": "lookahead(rprop)"}),
        (OperandError, "a name or what optim.create returns", {"optimizer": 3}),
    ],
)
def test_what_cannot_be(error: type[Exception], words: str, options: dict[str, object]) -> None:
    given = {"loss": loss_of, "batches": [data()], **options}
    with pytest.raises(error, match=words):
        rt.optim.lr_find(nn.Linear(5, 1), **given)


def test_a_generator_is_not_used_up() -> None:
    batches = iter([data()] * 3)
    with pytest.raises(ArgumentError):
        rt.optim.lr_find(nn.Linear(5, 1), loss_of, batches)
    assert len(list(batches)) == 3


@pytest.mark.parametrize("batch", [data()[0], (data()[0],), [data()[0]]], ids=["tensor", "tuple", "list"])
def test_batches_without_targets(batch: object) -> None:
    found = rt.optim.lr_find(nn.Linear(5, 1), lambda output: rt.mean(output**2), [batch], steps=12, high=0.1)
    assert len(found.losses) == 12


def test_its_picture(tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    rates = [1e-7 * 1e7 ** (i / 99) for i in range(100)]
    for shape in ("valley", "flat", "nan"):
        path = tmp_path / f"{shape}.png"
        figure = _read(rates, curve(shape, rates), 0.7, 4.0).plot(path)
        assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
        labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
        assert any("steepest fall" in label for label in labels) == (shape == "valley")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "rustorch.optim._range_figure")
    with pytest.raises(MissingLibraryError, match="pip install matplotlib"):
        _read(rates, curve("valley", rates), 0.7, 4.0).plot()


def test_it_trains_where_nothing_is_recorded() -> None:
    model = nn.Linear(5, 1, generator=rt.random.Generator(0))
    with rt.no_grad():
        assert rt.optim.lr_find(model, loss_of, [data()]).suggestion is not None


def test_a_copy_says_the_same() -> None:
    found = _read([1.0], [1.0], 0.7, 4.0)
    assert copy.deepcopy(found) == found
