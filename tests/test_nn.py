"""Modules and layers: the tree, state, conversion, repr, and what each layer computes."""

import copy
import math
import pickle

import numpy as np
import pytest

import rustorch as rt
from rustorch import nn
from rustorch_core.errors import ArgumentError, DTypeError, IndexingError, ShapeError


class Network(nn.Module):
    def __init__(self) -> None:
        generator = rt.random.Generator(0)
        self.first = nn.Linear(3, 4, generator=generator)
        self.norm = nn.LayerNorm(4)
        self.rest = nn.Sequential(nn.ReLU(), nn.Linear(4, 2, bias=False, generator=generator))
        self.scale = nn.Parameter(rt.ones(2))

    def forward(self, x):  # type: ignore[no-untyped-def]
        return self.rest(self.norm(self.first(x))) * self.scale


NAMES = ["scale", "first.weight", "first.bias", "norm.weight", "norm.bias", "rest.1.weight"]


def test_the_tree_of_parameters() -> None:
    model = Network()
    assert [name for name, _ in model.named_parameters()] == NAMES
    assert all(isinstance(p, nn.Parameter) and p.requires_grad for p in model.parameters())
    assert [name for name, _ in model.named_modules()] == ["", "first", "norm", "rest", "rest.0", "rest.1"]
    assert [name for name, _ in model.named_children()] == ["first", "norm", "rest"]
    assert len(list(model.modules())) == 6


def test_a_shared_parameter_counts_once() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[1].weight = model[0].weight
    assert [name for name, _ in model.named_parameters()] == ["0.weight", "0.bias", "1.bias"]
    model.to("float64")
    assert model[1].weight is model[0].weight
    assert model[0].weight.dtype == rt.float64


def test_state_round_trip() -> None:
    model, other = Network(), Network()
    with rt.no_grad():
        for p in other.parameters():
            p.copy_(rt.random.Generator(1).normal(0, 1, p.shape))
    x = rt.ones((2, 3))
    assert model(x).tolist() != other(x).tolist()
    other.load_state_dict(model.state_dict())
    assert model(x).tolist() == other(x).tolist()
    assert list(model.state_dict()) == NAMES
    assert all(not value.requires_grad for value in model.state_dict().values())


def test_state_that_does_not_fit_changes_nothing() -> None:
    model = Network()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    zeros = {name: rt.zeros_like(value) for name, value in before.items()}
    with pytest.raises(ArgumentError, match=r"misses scale and does not know scala"):
        model.load_state_dict({**{n: v for n, v in zeros.items() if n != "scale"}, "scala": rt.zeros(2)})
    with pytest.raises(ShapeError, match=r"rest.1.weight has shape \(2, 4\), met a value of \(3,\)"):
        model.load_state_dict({**zeros, "rest.1.weight": rt.zeros(3)})
    for name, value in model.state_dict().items():
        assert value.tolist() == before[name].tolist()


def test_conversion_and_modes() -> None:
    model = Network()
    model.requires_grad_(False)
    assert model.to("float64") is model
    assert all(p.dtype == rt.float64 and not p.requires_grad for p in model.parameters())
    assert model(rt.ones((1, 3), dtype="float64")).dtype == rt.float64
    assert model.training
    assert model.eval() is model
    assert not any(m.training for m in model.modules())
    assert all(m.training for m in model.train().modules())


def test_gradients_are_forgotten() -> None:
    model = Network()
    model(rt.ones((2, 3))).sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    model.zero_grad()
    assert all(p.grad is None for p in model.parameters())


def test_a_module_without_forward_says_so() -> None:
    with pytest.raises(NotImplementedError, match="Module has no forward"):
        nn.Module()(1)


def test_sequential() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
    assert len(model) == 3
    assert isinstance(model[1], nn.Tanh)
    assert isinstance(model[:2], nn.Sequential)
    assert model[:2][0] is model[0]
    assert list(model) == [model[0], model[1], model[2]]
    with pytest.raises(IndexError):
        model[3]


def test_repr() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.Sequential(nn.GELU("tanh")))
    expected = (
        "Sequential(\n  (0): Linear(2, 3, bias=True)\n  (1): Sequential(\n    (0): GELU(approximate='tanh')\n  )\n)"
    )
    assert repr(model) == expected
    assert repr(nn.LayerNorm(4)) == "LayerNorm((4,), eps=1e-05)"
    assert repr(nn.Parameter(rt.ones(1, device="cpu"))) == "Parameter([1.], dtype=float32, requires_grad=True)"


def test_copies_of_a_module_are_its_own() -> None:
    model = Network()
    for again in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert [name for name, _ in again.named_parameters()] == NAMES
        assert again(rt.ones((1, 3))).tolist() == model(rt.ones((1, 3))).tolist()
        with rt.no_grad():
            again.scale.copy_(0.0)
        assert model.scale.tolist() == [1, 1]


def test_parameters_share_the_memory_of_their_data() -> None:
    data = rt.zeros(2)
    parameter = nn.Parameter(data)
    with rt.no_grad():
        parameter += 1.0
    assert data.tolist() == [1, 1]
    with pytest.raises(DTypeError, match="no gradient"):
        nn.Parameter(rt.ones(2, dtype="int64"))
    assert not nn.Parameter(rt.ones(2), requires_grad=False).requires_grad


# What layers compute


def test_linear() -> None:
    layer = nn.Linear(3, 2, generator=rt.random.Generator(0))
    x = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
    expected = x @ layer.weight.detach().to("cpu").numpy().T + layer.bias.detach().to("cpu").numpy()
    np.testing.assert_allclose(layer(rt.asarray(x)).detach().to("cpu").numpy(), expected, rtol=1e-6)
    assert layer(rt.ones((2, 5, 3))).shape == (2, 5, 2)
    assert abs(layer.weight.detach().to("cpu").numpy()).max() <= 1 / math.sqrt(3)
    with pytest.raises(ShapeError, match=r"linear: input of shape \(2, 4\).*\(2, 3\)"):
        layer(rt.ones((2, 4)))


def test_initial_values_follow_the_seed() -> None:
    rt.random.seed(5)
    first = nn.Linear(3, 2).weight.tolist()
    rt.random.seed(5)
    assert nn.Linear(3, 2).weight.tolist() == first
    assert nn.Linear(3, 2).weight.tolist() != first
    assert nn.Linear(3, 2, generator=rt.random.Generator(5)).weight.tolist() == first


def test_layer_norm() -> None:
    layer = nn.LayerNorm((2, 3), eps=1e-3)
    x = np.random.default_rng(0).normal(2, 3, size=(4, 2, 3)).astype("float32")
    mean, var = x.mean((1, 2), keepdims=True), x.var((1, 2), keepdims=True)
    found = layer(rt.asarray(x)).detach().to("cpu").numpy()
    np.testing.assert_allclose(found, (x - mean) / np.sqrt(var + 1e-3), rtol=1e-4, atol=1e-5)
    assert layer.weight.shape == layer.bias.shape == (2, 3)
    with pytest.raises(ShapeError, match=r"layer_norm"):
        layer(rt.ones((4, 3, 2)))


@pytest.mark.parametrize(
    ("layer", "function"),
    [
        (nn.ReLU(), lambda x: np.maximum(x, 0)),
        (nn.GELU(), lambda x: x * np.vectorize(math.erfc)(-x / math.sqrt(2)) / 2),
        (nn.SiLU(), lambda x: x / (1 + np.exp(-x))),
        (nn.Sigmoid(), lambda x: 1 / (1 + np.exp(-x))),
        (nn.Tanh(), np.tanh),
        (nn.Softmax(), lambda x: np.exp(x) / np.exp(x).sum(-1, keepdims=True)),
        (nn.Softmax(dim=0), lambda x: np.exp(x) / np.exp(x).sum(0, keepdims=True)),
    ],
    ids=repr,
)
def test_activations(layer, function) -> None:  # type: ignore[no-untyped-def]
    x = np.linspace(-4, 4, 12).reshape(3, 4)
    np.testing.assert_allclose(layer(rt.asarray(x)).to("cpu").numpy(), function(x), rtol=1e-12, atol=1e-15)


def test_flatten() -> None:
    assert nn.Flatten()(rt.ones((2, 3, 4))).shape == (2, 12)
    assert nn.Flatten()(rt.ones((2,))).shape == (2, 1)


def numpy_cross_entropy(logits, target, smoothing=0.0):  # type: ignore[no-untyped-def]
    shifted = logits - logits.max(1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    chosen = np.eye(logits.shape[1])[target] * (1 - smoothing) + smoothing / logits.shape[1]
    return -(log_p * chosen).sum(1)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
def test_cross_entropy(smoothing: float) -> None:
    generator = np.random.default_rng(0)
    logits, target = generator.normal(0, 5, size=(6, 4)), generator.integers(0, 4, 6)
    losses = numpy_cross_entropy(logits, target, smoothing)
    for reduction, expected in (("none", losses), ("mean", losses.mean()), ("sum", losses.sum())):
        loss = nn.CrossEntropyLoss(reduction=reduction, label_smoothing=smoothing)
        np.testing.assert_allclose(loss(rt.asarray(logits), rt.asarray(target)).to("cpu").numpy(), expected, rtol=1e-10)
    by_logits = rt.grad(lambda x: nn.functional.cross_entropy(x, rt.asarray(target), label_smoothing=smoothing))
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    wanted = np.eye(4)[target] * (1 - smoothing) + smoothing / 4
    np.testing.assert_allclose(by_logits(rt.asarray(logits)).to("cpu").numpy(), (p - wanted) / 6, atol=1e-12)


def test_cross_entropy_of_probabilities_and_more_axes() -> None:
    logits = np.random.default_rng(0).normal(size=(2, 3, 4))
    target = np.random.default_rng(1).integers(0, 3, (2, 4))
    as_rows = numpy_cross_entropy(logits.transpose(0, 2, 1).reshape(8, 3), target.reshape(8)).mean()
    ours = nn.functional.cross_entropy
    assert ours(rt.asarray(logits), rt.asarray(target)).item() == pytest.approx(as_rows)
    one_hot = np.eye(3)[target].transpose(0, 2, 1)
    assert ours(rt.asarray(logits), rt.asarray(one_hot)).item() == pytest.approx(as_rows)
    single = ours(rt.asarray(logits[0, :, 0]), rt.asarray(int(target[0, 0])))
    assert single.item() == pytest.approx(numpy_cross_entropy(logits[:1, :, 0], target[:1, 0])[0])


def test_cross_entropy_refuses_what_does_not_fit() -> None:
    logits = rt.zeros((2, 3))
    for target, error, words in (
        (rt.asarray([0, 3]), IndexingError, "3 classes"),
        (rt.asarray([-1, 0]), IndexingError, "from -1"),
        (rt.asarray([0, 1, 2]), ShapeError, r"\(3,\)"),
        (rt.asarray([True, False]), DTypeError, "bool"),
        (rt.ones((2, 2)), ShapeError, r"\(2, 2\)"),
    ):
        with pytest.raises(error, match=f"cross_entropy.*{words}"):
            nn.functional.cross_entropy(logits, target)
    with pytest.raises(ArgumentError, match="reduction is 'mean', 'sum' or 'none', met 'avg'"):
        nn.functional.cross_entropy(logits, rt.asarray([0, 1]), reduction="avg")
    with pytest.raises(ArgumentError, match="label_smoothing"):
        nn.functional.cross_entropy(logits, rt.asarray([0, 1]), label_smoothing=2.0)


def test_mse_loss() -> None:
    x, y = rt.asarray([1.0, 2.0]), rt.asarray([0.0, 4.0])
    assert nn.MSELoss()(x, y).item() == 2.5
    assert nn.MSELoss(reduction="sum")(x, y).item() == 5
    assert nn.MSELoss(reduction="none")(x, y).tolist() == [1, 4]
    with pytest.raises(ShapeError, match=r"mse_loss: shapes \(2,\) and \(1,\) differ"):
        nn.functional.mse_loss(x, rt.ones(1))


def test_every_functional_name_is_there() -> None:
    for name in nn.functional.__all__:
        assert callable(getattr(nn.functional, name))
    for name in nn.__all__:
        assert getattr(nn, name).__doc__ or name == "functional"


def test_a_network_learns() -> None:
    generator = rt.random.Generator(0)
    x = generator.uniform(-1, 1, (64, 2))
    target = rt.astype(x[:, 0] * x[:, 1] > 0, "int64")
    layers = nn.Linear(2, 16, generator=generator), nn.Tanh(), nn.Linear(16, 2, generator=generator)
    model = nn.Sequential(*layers)
    optimizer = rt.optim.create("adam", model, lr=0.05)
    for _ in range(150):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), target).backward()
        optimizer.step()
    right = rt.argmax(model(x), axis=1) == target
    assert rt.mean(right.astype("float32")).item() > 0.95
