"""Suggestions: that they train, say what they cost, follow from the model, and change nothing."""

import functools
import json
from collections.abc import Callable

import pytest

import rustorch as rt
from rustorch import nn
from rustorch.optim._suggestion_rules import CANDIDATES, SETTINGS
from rustorch_core.errors import ArgumentError, OperandError

F = nn.functional


class SelfAttention(nn.Module):
    def __init__(self, width: int, **options: object) -> None:
        self.inputs = nn.Linear(width, 3 * width, **options)
        self.outputs = nn.Linear(width, width, **options)

    def forward(self, x: rt.Tensor) -> rt.Tensor:
        q, k, v = rt.unstack(self.inputs(x).reshape((*x.shape[:-1], 3, -1)), axis=-2)
        return self.outputs(F.softmax(q @ k.mT / 4, axis=-1) @ v)


class Block(nn.Module):
    def __init__(self, width: int, **options: object) -> None:
        dtypes = {key: value for key, value in options.items() if key == "dtype"}
        self.norm = nn.LayerNorm(width, **dtypes)
        self.attention = SelfAttention(width, **options)

    def forward(self, x: rt.Tensor) -> rt.Tensor:
        return x + self.attention(self.norm(x))


class Transformer(nn.Module):
    """Reads the eight rows of an image as words."""

    def __init__(self, blocks: int = 2, **options: object) -> None:
        self.first = nn.Linear(8, 16, **options)
        self.blocks = nn.Sequential(*(Block(16, **options) for _ in range(blocks)))
        self.head = nn.Linear(16, 4, **options)

    def forward(self, x: rt.Tensor) -> rt.Tensor:
        x = self.blocks(self.first(x.reshape((-1, 8, 8))))
        return self.head(rt.mean(x, axis=1))


class Conv2d(nn.Module):
    """As a matrix times patches of 4 by 4."""

    def __init__(self, generator: rt.random.Generator) -> None:
        self.weight = nn.Parameter(generator.normal(0, 0.3, (8, 4, 4)))

    def forward(self, x: rt.Tensor) -> rt.Tensor:
        patches = x.reshape((-1, 2, 4, 2, 4)).permute_dims((0, 1, 3, 2, 4)).reshape((-1, 4, 16))
        return (patches @ self.weight.reshape((8, 16)).mT).reshape((-1, 32))


class LSTM(nn.Linear):
    pass


def generator() -> rt.random.Generator:
    return rt.random.Generator(0)


def dense(**options: object) -> nn.Module:
    options = {"generator": generator(), **options}
    return nn.Sequential(nn.Linear(64, 32, **options), nn.GELU(), nn.Linear(32, 4, **options))


def convolutional() -> nn.Module:
    draws = generator()
    return nn.Sequential(Conv2d(draws), nn.ReLU(), nn.Linear(32, 4, generator=draws))


def transformer(**options: object) -> nn.Module:
    return Transformer(generator=generator(), **options)


def recurrent() -> nn.Module:
    return nn.Sequential(LSTM(64, 16, generator=generator()), nn.Tanh(), nn.Linear(16, 4, generator=generator()))


def head_only() -> nn.Module:
    model = transformer().requires_grad_(False)
    model.head.requires_grad_()
    return model


MODELS = {
    "dense": dense,
    "convolutional": convolutional,
    "transformer": transformer,
    "recurrent": recurrent,
    "head only": head_only,
    "float16": lambda: dense(dtype=rt.float16),
    "bfloat16": lambda: dense(dtype=rt.bfloat16),
}


@functools.cache
def images(dtype: object = None) -> tuple[rt.Tensor, rt.Tensor]:
    """Noisy images of four classes: each has one bright quarter."""
    draws = rt.random.Generator(3)
    y = draws.integers(0, 4, (32,))
    x = draws.uniform(0.0, 0.5, (32, 8, 8))
    for place in range(32):
        row, column = divmod(int(y[place]), 2)
        x[place, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4] += 0.4
    return x.reshape((32, 64)).to(dtype=dtype or rt.float32), y


def bytes_of(state: object) -> int:
    if isinstance(state, rt.Tensor):
        return state.nbytes
    each = state.values() if isinstance(state, dict) else state if isinstance(state, list) else ()
    return sum(map(bytes_of, each))


STEPS = 20


def closure_of(model: nn.Module, optimizer: rt.optim.Optimizer, x: rt.Tensor, y: rt.Tensor) -> Callable[[], rt.Tensor]:
    def closure() -> rt.Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        return loss

    return closure


@pytest.mark.parametrize("task", ["scratch", "pretrain", "finetune"])
@pytest.mark.parametrize("name", MODELS)
def test_each_suggestion_trains_and_costs_what_it_says(name: str, task: str) -> None:
    large = rt.optim.suggest(MODELS[name](), task, batch_size=32768, steps=STEPS)
    found = rt.optim.suggest(MODELS[name](), task, batch_size=128, steps=STEPS, dataset_size=128)
    found += [each for each in large if each.optimizer == "lamb"]
    for suggestion in found:
        model = MODELS[name]()
        x, y = images(next(model.parameters()).dtype)
        optimizer, schedule = suggestion.create(model)
        losses, rates = [], []
        closure = closure_of(model, optimizer, x, y)
        for _ in range(STEPS):
            rates.append(optimizer.param_groups[-1]["lr"])
            losses.append(float(optimizer.step(closure)))
            if schedule is not None:
                schedule.step()
        optimizer.eval()
        assert float(closure()) < losses[0], suggestion
        assert max(rates) == pytest.approx(suggestion.lr)
        if schedule is not None:
            end = {"scratch": 0.0, "pretrain": 0.1, "finetune": 0.0}[task]
            assert optimizer.param_groups[-1]["lr"] == pytest.approx(end * suggestion.lr)
            assert rates.index(max(rates)) == max(suggestion.warmup_steps - 1, 0)
        state = optimizer.state_dict()
        met = bytes_of(state["state"]) + bytes_of(state.get("memory", {}))
        # The history of L-BFGS is full after some steps, or where it stopped at a minimum never.
        assert met == suggestion.memory if suggestion.optimizer != "lbfgs" else 0 < met <= suggestion.memory


def test_the_memory_of_a_full_history() -> None:
    w = rt.asarray([3.0, -2.0, 1.0]).requires_grad_()
    optimizer = rt.optim.create("lbfgs", [w], lr=0.05, history_size=4)

    def closure() -> rt.Tensor:
        optimizer.zero_grad()
        loss = rt.sum(rt.asarray([1.0, 10.0, 100.0]) * w**4)
        loss.backward()
        return loss

    optimizer.step(closure)
    assert bytes_of(optimizer.state_dict()["memory"]) == optimizer.memory_estimate() == 10 * w.nbytes


@pytest.mark.parametrize("name", MODELS)
def test_it_is_deterministic_and_changes_nothing(name: str) -> None:
    model = MODELS[name]()
    before = [(id(each), each.tolist(), each.requires_grad, each.grad) for each in model.parameters()]
    state = rt.random.default_generator().get_state()
    first, again = (rt.optim.suggest(model, batch_size=64, steps=1000, dataset_size=640) for _ in range(2))
    assert first == again and str(first) == str(again)
    assert before == [(id(each), each.tolist(), each.requires_grad, each.grad) for each in model.parameters()]
    assert state == rt.random.default_generator().get_state()
    assert json.loads(json.dumps(first.to_dict()))[0]["optimizer"] == first[0].optimizer
    assert [each.confidence for each in first] == sorted((each.confidence for each in first), reverse=True)
    for each in first:
        assert str(first).count(f"create('{each.optimizer}', model, lr=") == 1
        assert all(any(source in why for source in each.sources) for why in each.why)
        assert set(each.options) <= set(rt.optim.info(each.optimizer).defaults)


def of(model: nn.Module, task: str = "scratch", **numbers: int) -> dict[str, rt.optim.Suggestion]:
    found = rt.optim.suggest(model, task, **{"batch_size": 128, "steps": 10_000, **numbers})
    assert len({each.optimizer for each in found}) == len(found)
    return {each.optimizer: each for each in found}


@pytest.mark.needs("float16", "bfloat16")
def test_they_follow_from_the_model() -> None:
    kinds = {name: of(make()) for name, make in MODELS.items()}
    best = {name: next(iter(found)) for name, found in kinds.items()}
    assert best == {name: "sgd" if name == "convolutional" else "adamw" for name in MODELS}
    assert "muon" in kinds["dense"] and "muon" not in kinds["convolutional"]
    assert "muon" not in of(nn.Linear(4, 2))  # its one matrix makes the output
    assert "lion" in kinds["transformer"] and "lion" not in kinds["dense"]
    assert kinds["transformer"]["adamw"].options["betas"] == (0.9, 0.95)
    assert kinds["transformer"]["adamw"].clip_norm == kinds["recurrent"]["adamw"].clip_norm == 1.0
    assert kinds["dense"]["adamw"].clip_norm is None
    assert [kinds[name]["adamw"].options.get("eps") for name in ("float16", "bfloat16", "dense")] == [1e-4, 1e-6, None]
    assert kinds["float16"]["adamw"].confidence < kinds["dense"]["adamw"].confidence
    assert kinds["dense"]["adamw"].warmup_steps == 1000
    assert kinds["transformer"]["adamw"].warmup_steps == 40


def test_they_follow_from_the_numbers() -> None:
    small, large = (of(convolutional(), batch_size=size)["sgd"].lr for size in (64, 256))
    assert large == pytest.approx(4 * small) == pytest.approx(0.1)
    assert "lbfgs" not in of(dense()) and next(iter(of(dense(), dataset_size=100))) == "lbfgs"
    assert next(iter(of(transformer(), batch_size=32768))) == "lamb"
    assert "lion" not in of(transformer(), batch_size=16)
    once, often = (of(transformer(), "pretrain", dataset_size=size)["adamw"] for size in (10**7, 10**4))
    assert often.confidence < once.confidence
    assert any("128 times" in why for why in often.why)


def test_fine_tuning_keeps_what_was_learnt() -> None:
    whole, head = (of(make(), "finetune")["adamw"] for make in (transformer, head_only))
    assert whole.lr == 2e-5 and head.lr == pytest.approx(2e-4)
    assert whole.layer_decay == 0.8 and head.layer_decay is None
    assert any("4 layers" in why for why in whole.why)
    assert "muon" not in of(transformer(), "finetune")
    optimizer, _ = whole.create(transformer())
    rates = {group["initial_lr"] for group in optimizer.param_groups}
    assert max(rates) == 2e-5 and min(rates) == pytest.approx(2e-5 * 0.8**3)
    assert of(dense(), "finetune")["adamw"].lr == pytest.approx(of(dense())["adamw"].lr / 10)


def test_frozen_parameters_cost_nothing() -> None:
    model = head_only()
    found = of(model)["adamw"]
    assert found.memory == 2 * sum(each.nbytes for each in model.head.parameters())
    assert found.create(model)[0].frozen == [name for name, _ in model.named_parameters() if "head" not in name]


def test_adapters_have_rules_of_their_own() -> None:
    class Adapted(nn.Linear):
        def __init__(self) -> None:
            super().__init__(64, 4)
            self.lora_A, self.lora_B = nn.Parameter(rt.ones((2, 64))), nn.Parameter(rt.zeros((4, 2)))

    model = Adapted()
    assert of(model)["sgd"].rules == ()
    optimizer, _ = of(model)["adamw"].create(model)
    rates = {name: group["options"]["lr"] for group in optimizer.explain().groups for name in group["parameters"]}
    assert rates["lora_B"] == pytest.approx(16 * rates["lora_A"])


def test_what_is_overruled_is_not_told() -> None:
    lamb = of(transformer(), batch_size=32768)["lamb"]
    assert lamb.lr == pytest.approx(5e-3) and not any("ln(" in why for why in lamb.why)
    assert sum("decay" in why for why in lamb.why) == 1


def test_every_rule_is_of_known_optimizers_and_has_a_source() -> None:
    for rule in (*CANDIDATES, *SETTINGS):
        assert rule.optimizers == "*" or set(rule.optimizers.split()) <= set(rt.optim.list())
        assert any(character.isdigit() for character in rule.source) or "." in rule.source, rule.source
        assert rule.why and not rule.why.endswith(".")


@pytest.mark.parametrize(
    ("error", "words", "arguments"),
    [
        (ArgumentError, "did you mean 'finetune'", {"task": "fine-tune"}),
        (ArgumentError, "there are: scratch, pretrain, finetune", {"task": "xyz"}),
        (ArgumentError, "there are: scratch", {"task": 3}),
        (ArgumentError, "batch_size is at least 1, met 0", {"batch_size": 0}),
        (OperandError, "steps is an integer, met 1.5", {"steps": 1.5}),
        (ArgumentError, "dataset_size is at least 1, met -1", {"dataset_size": -1}),
        (OperandError, "expected a module", {"model": [rt.ones(3).requires_grad_()]}),
        (ArgumentError, "are frozen", {"model": nn.Linear(2, 2).requires_grad_(False)}),
        (ArgumentError, "no parameters", {"model": nn.Sequential()}),
    ],
)
def test_what_cannot_be(error: type[Exception], words: str, arguments: dict[str, object]) -> None:
    with pytest.raises(error, match=words):
        rt.optim.suggest(**{"model": nn.Linear(2, 2), "batch_size": 32, "steps": 100, **arguments})
