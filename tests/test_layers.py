"""Layers that convolve, pool, normalise, embed and attend; buffers and containers. `tests/peers` compares values."""

import copy
import math
import pickle

import numpy as np
import pytest

import rustorch as rt
from rustorch import nn
from rustorch_core.errors import ArgumentError, DTypeError, IndexingError, OperandError, ShapeError

F = nn.functional


def host(x: rt.Tensor) -> np.ndarray:  # type: ignore[type-arg]
    return x.detach().to("cpu").numpy()


# Buffers


class Counter(nn.Module):
    def __init__(self) -> None:
        self.scale = nn.Parameter(rt.ones(2))
        self.register_buffer("count", rt.zeros((), dtype="int64"))
        self.register_buffer("mean", rt.zeros(2))
        self.register_buffer("scratch", rt.zeros(3), persistent=False)
        self.register_buffer("nothing", None)
        self.inside = nn.BatchNorm1d(2)


NAMES = ["scale", "count", "mean", "inside.weight", "inside.bias", "inside.running_mean", "inside.running_var",
         "inside.num_batches_tracked"]  # fmt: skip


def test_buffers_are_state_and_no_parameters() -> None:
    model = Counter()
    assert list(model.state_dict()) == NAMES
    assert [name for name, _ in model.named_buffers()] == ["count", "mean", "scratch", *NAMES[5:]]
    assert len(list(model.buffers())) == 6
    assert [name for name, _ in model.named_parameters()] == ["scale", "inside.weight", "inside.bias"]
    model.nothing = rt.ones(1)
    assert list(model.state_dict())[3] == "nothing"


def test_a_state_with_buffers_is_loaded_whole_or_not_at_all() -> None:
    model, other = Counter(), Counter()
    model.inside(rt.asarray([[1.0, 2.0], [3.0, 5.0]]))
    with rt.no_grad():
        model.count += 5
    other.load_state_dict(model.state_dict())
    assert {name: value.tolist() for name, value in other.state_dict().items()} == {
        name: value.tolist() for name, value in model.state_dict().items()
    }
    assert other.inside.num_batches_tracked.dtype == rt.int64
    with pytest.raises(ShapeError, match=r"mean has shape \(2,\), met a value of \(3,\)"):
        other.load_state_dict({**other.state_dict(), "count": rt.asarray(9), "mean": rt.zeros(3)})
    assert other.count.item() == 5
    with pytest.raises(ArgumentError, match="does not know scratch"):
        other.load_state_dict({**other.state_dict(), "scratch": rt.zeros(3)})


def test_buffers_go_through_a_file(tmp_path) -> None:  # type: ignore[no-untyped-def]
    model, other = Counter(), Counter()
    model.inside(rt.asarray([[1.0, 2.0], [3.0, 5.0]]))
    rt.io.save(model.state_dict(), tmp_path / "model.safetensors")
    other.load_state_dict(rt.io.load(tmp_path / "model.safetensors"))
    assert other.inside.running_var.tolist() == model.inside.running_var.tolist() != [1, 1]
    assert other.inside.num_batches_tracked.item() == 1


@pytest.mark.parametrize("again", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies_have_buffers_of_their_own(again) -> None:  # type: ignore[no-untyped-def]
    model = Counter()
    other = again(model)
    other.inside(rt.asarray([[1.0, 2.0], [3.0, 5.0]]))
    assert list(other.state_dict()) == NAMES
    assert (model.inside.num_batches_tracked.item(), other.inside.num_batches_tracked.item()) == (0, 1)


@pytest.mark.needs("float64")
def test_conversion_takes_floating_point_buffers_along() -> None:
    model = Counter().to("float64")
    assert model.mean.dtype == model.scratch.dtype == model.inside.running_var.dtype == rt.float64
    assert model.count.dtype == model.inside.num_batches_tracked.dtype == rt.int64
    assert [name for name, _ in model.named_buffers()] == ["count", "mean", "scratch", *NAMES[5:]]
    moved = Counter().to("cpu")
    assert {buffer.device for buffer in moved.buffers()} == {rt.device("cpu")}


def test_names_that_cannot_be() -> None:
    model = Counter()
    for name, error in (
        ("forward", ArgumentError),
        ("inside", ArgumentError),
        ("a.b", ArgumentError),
        (3, ArgumentError),
    ):
        with pytest.raises(error, match="register_buffer"):
            model.register_buffer(name, rt.ones(1))
    with pytest.raises(OperandError, match="register_buffer: new is a Tensor or None, met list"):
        model.register_buffer("new", [1.0])
    with pytest.raises(OperandError, match="register_parameter"):
        model.register_parameter("new", rt.ones(1))
    with pytest.raises(ArgumentError, match=r"get_parameter: Counter has no 'wait'; there are: scale, inside\.w"):
        model.get_parameter("wait")


def test_the_tree_by_name() -> None:
    model = Counter()
    assert model.get_submodule("inside") is model.inside
    assert model.get_submodule("") is model
    assert model.get_parameter("inside.weight") is model.inside.weight
    assert model.get_buffer("inside.running_mean") is model.inside.running_mean
    model.register_parameter("late", None)
    model.register_parameter("later", nn.Parameter(rt.ones(1)))
    assert model.get_parameter("later") is model.later
    seen: list[str] = []
    assert model.apply(lambda module: seen.append(type(module).__name__)) is model
    assert seen == ["BatchNorm1d", "Counter"]


def test_a_gradient_of_a_module_leaves_its_buffers_tracking() -> None:
    model = nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 1))
    x = rt.asarray([[1.0, 2.0], [3.0, 5.0]])
    found = rt.grad(lambda module: (module(x) ** 2).sum())(model)
    assert found[0].weight.shape == (2,)
    assert model[0].num_batches_tracked.item() == 1


# Containers


def test_a_list_of_modules() -> None:
    model = nn.ModuleList([nn.Linear(2, 3), nn.ReLU()])
    model.append(nn.Linear(3, 1)).extend([nn.Tanh()])
    assert len(model) == 4
    assert [name for name, _ in model.named_parameters()] == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert isinstance(model[-1], nn.Tanh)
    assert isinstance(model[1:3], nn.ModuleList)
    assert list(model[1:3]) == [model[1], model[2]]
    model[1] = nn.GELU()
    assert [type(each).__name__ for each in model] == ["Linear", "GELU", "Linear", "Tanh"]
    for wrong in (lambda: model.append(3), lambda: nn.ModuleList(5), lambda: model.__setitem__(0, rt.ones(1))):
        with pytest.raises(OperandError, match="ModuleList"):
            wrong()
    with pytest.raises(IndexError):
        model[4]


def test_modules_by_name() -> None:
    model = nn.ModuleDict({"up": nn.Linear(1, 2), "down": nn.Linear(2, 1)})
    assert list(model) == list(model.keys()) == ["up", "down"]
    assert "up" in model
    assert "left" not in model
    assert model["down"] is model.down
    assert len(model) == len(list(model.values())) == len(list(model.items())) == 2
    model["up"] = nn.Identity()
    assert isinstance(model.up, nn.Identity)
    for name in ("keys", "training", "a.b"):
        with pytest.raises(ArgumentError, match="add_module"):
            model[name] = nn.Tanh()
    with pytest.raises(ArgumentError, match="no module is called 'left'; there are: up, down"):
        model["left"]


def test_a_list_of_parameters() -> None:
    values = nn.ParameterList([rt.ones(2), nn.Parameter(rt.zeros(3))])
    assert [name for name, _ in values.named_parameters()] == ["0", "1"]
    assert all(isinstance(each, nn.Parameter) for each in values)
    assert repr(nn.ParameterList([rt.ones((2, 3))])) == "ParameterList(float32[2, 3])"


def test_a_sequence_of_named_modules() -> None:
    model = nn.Sequential({"first": nn.Linear(2, 3), "then": nn.ReLU()})
    assert list(model.state_dict()) == ["first.weight", "first.bias"]
    assert model(rt.ones((1, 2))).shape == (1, 3)


# What layers compute


def test_a_convolution_by_hand() -> None:
    x = rt.reshape(rt.arange(9.0), (1, 1, 3, 3))
    kernel = rt.asarray([[[[1.0, 0.0], [0.0, -1.0]]]])
    assert F.conv2d(x, kernel).tolist() == [[[[-4, -4], [-4, -4]]]]
    assert F.conv2d(x, kernel, rt.asarray([10.0]), stride=2, padding=1).tolist() == [[[[10, 8], [4, 6]]]]
    assert F.conv1d(rt.asarray([[1.0, 2.0, 4.0]]), rt.asarray([[[1.0, 1.0]]])).tolist() == [[3, 6]]


def test_pooling_by_hand() -> None:
    x = rt.asarray([[[1.0, 5.0, 2.0], [4.0, 3.0, 9.0], [7.0, 8.0, 6.0]]])
    assert F.max_pool2d(x, 2, stride=1).tolist() == [[[5, 9], [8, 9]]]
    assert F.avg_pool2d(x, 2, ceil_mode=True).tolist() == [[[3.25, 5.5], [7.5, 6.0]]]
    assert F.adaptive_avg_pool2d(x, 1).item() == pytest.approx(5)


def test_of_equal_elements_the_first_has_the_gradient() -> None:
    x = rt.zeros((1, 2, 2)).requires_grad_()
    F.max_pool2d(x, 2).sum().backward()
    assert x.grad.tolist() == [[[1, 0], [0, 0]]]


@pytest.mark.parametrize("layer", [nn.MaxPool2d(1), nn.AvgPool2d(1), nn.AdaptiveAvgPool2d((2, 2)), nn.Conv2d(1, 1, 1)])
def test_a_result_has_memory_of_its_own(layer) -> None:  # type: ignore[no-untyped-def]
    x = rt.ones((1, 1, 2, 2))
    y = layer(x).detach()
    before = y.tolist()
    x[...] = 7.0
    assert y.tolist() == before


def test_batch_norm_follows_the_batches() -> None:
    layer, x = nn.BatchNorm1d(1, momentum=0.5), rt.asarray([[1.0], [3.0]])
    np.testing.assert_allclose(host(layer(x)), [[-1], [1]], atol=1e-4)
    assert (layer.running_mean.item(), layer.running_var.item(), layer.num_batches_tracked.item()) == (1.0, 1.5, 1)
    np.testing.assert_allclose(host(layer.eval()(x)), [[0], [2 / math.sqrt(1.5)]], rtol=1e-4)
    assert layer.num_batches_tracked.item() == 1
    assert not layer.running_mean.requires_grad


def test_dropout() -> None:
    generator = rt.random.Generator(0)
    x = rt.ones((100, 100)).requires_grad_()
    y = F.dropout(x, 0.2, generator=generator)
    values = host(y)
    assert set(np.unique(values)) == {np.float32(0), np.float32(1.25)}
    assert abs((values == 0).mean() - 0.2) < 0.02
    y.sum().backward()
    np.testing.assert_array_equal(host(x.grad), values)
    assert F.dropout(x, 0.2, training=False) is x
    assert not host(F.dropout(x, 1.0)).any()
    layer = nn.Dropout(0.2, generator=rt.random.Generator(0))
    np.testing.assert_array_equal(host(layer(x)), values)
    assert layer.eval()(x) is x
    for p in (-0.1, 1.1, math.nan):
        with pytest.raises(ArgumentError, match="p is a probability"):
            F.dropout(x, p)


def test_attention_with_dropout_follows_the_generator() -> None:
    q = rt.random.Generator(1).normal(shape=(2, 4, 3))
    draws = [
        host(F.scaled_dot_product_attention(q, q, q, dropout_p=0.5, generator=rt.random.Generator(seed)))
        for seed in (0, 0, 1)
    ]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert (draws[0] != draws[2]).any()


def test_attention_keeps_no_weights() -> None:
    x = rt.ones((50, 4)).requires_grad_()
    seen = []
    undo = rt.profiler.watch(lambda op, inputs, attributes: None, lambda op, i, a, output, token: seen.append(op.name))
    F.scaled_dot_product_attention(x, x, x).sum().backward()
    undo()
    assert seen.count("attention") == seen.count("attention_gradient") == 1
    assert x.grad.shape == x.shape


@pytest.mark.needs("float64")
@pytest.mark.parametrize("dropped", [0.0, 0.5])
def test_attention_of_two_dtypes(dropped: float) -> None:
    q, k = rt.ones((2, 3)).requires_grad_(), rt.ones((4, 3), dtype="float64")
    y = F.scaled_dot_product_attention(q, k, k, dropout_p=dropped)
    assert y.dtype == rt.float64
    y.sum().backward()
    assert q.grad.dtype == rt.float32


@pytest.mark.parametrize("shape", [(0, 3), (2, 0), (0, 2, 3)])
def test_attention_of_nothing(shape) -> None:  # type: ignore[no-untyped-def]
    x = rt.ones(shape).requires_grad_()
    y = F.scaled_dot_product_attention(x, x, x)
    assert y.shape == shape
    y.sum().backward()
    assert x.grad.shape == shape


def test_a_mask_may_have_a_gradient() -> None:
    q, bias = rt.ones((3, 2)), rt.zeros((3, 3)).requires_grad_()
    v = rt.asarray([[1.0], [2.0], [4.0]])
    F.scaled_dot_product_attention(q, q, v, bias).sum().backward()
    np.testing.assert_allclose(host(bias.grad).sum(1), 0, atol=1e-6)
    assert host(bias.grad)[0, 2] > 0


def test_a_causal_encoder_does_not_look_ahead() -> None:
    layer = nn.TransformerEncoderLayer(4, 2, 8, 0.0, batch_first=True, generator=rt.random.Generator(0))
    x = rt.random.Generator(1).normal(shape=(1, 5, 4))
    whole, part = layer(x, is_causal=True), layer(x[:, :3], is_causal=True)
    np.testing.assert_allclose(host(whole)[:, :3], host(part), atol=1e-5)
    padded = layer(x, src_key_padding_mask=rt.asarray([[False] * 3 + [True] * 2]), is_causal=True)
    np.testing.assert_allclose(host(padded)[:, :3], host(part), atol=1e-5)


def test_layers_of_an_encoder_are_their_own() -> None:
    model = nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 2, 8), 2)
    assert len(list(model.parameters())) == 2 * 12
    with rt.no_grad():
        model.layers[0].norm1.weight[...] = 5.0
    assert model.layers[1].norm1.weight.tolist() == [1] * 4


def test_an_embedding_of_padding() -> None:
    layer = nn.Embedding(4, 3, padding_idx=-1)
    assert layer.weight[3].tolist() == [0, 0, 0]
    layer(rt.asarray([3, 1, 1])).sum().backward()
    assert host(layer.weight.grad)[:, 0].tolist() == [0, 2, 0, 0]
    assert layer(rt.zeros((2, 0), dtype="int64")).shape == (2, 0, 3)
    frozen = nn.Embedding.from_pretrained(rt.ones((2, 3)))
    assert not frozen.weight.requires_grad
    assert frozen(rt.asarray(1)).tolist() == [1, 1, 1]


def test_ignored_classes_count_for_nothing() -> None:
    logits = rt.asarray([[2.0, 0.0], [0.0, 0.0]]).requires_grad_()
    loss = F.cross_entropy(logits, rt.asarray([0, -100]))
    assert loss.item() == pytest.approx(math.log(1 + math.exp(-2)), rel=1e-5)
    loss.backward()
    assert logits.grad[1].tolist() == [0, 0]
    assert math.isnan(F.cross_entropy(logits, rt.asarray([-100, -100])).item())


def test_roles_tell_optimizers_what_not_to_decay() -> None:
    norms = nn.LayerNorm(2), nn.RMSNorm(2), nn.GroupNorm(1, 2), nn.BatchNorm1d(2), nn.BatchNorm2d(2), nn.BatchNorm3d(2)
    assert {layer.role for layer in norms} == {"norm"}
    assert nn.Embedding(1, 1).role == "embedding"
    assert nn.Conv2d(1, 1, 1).role is None


@pytest.mark.parametrize(
    ("layer", "shown"),
    [
        (nn.Conv2d(2, 4, 3), "Conv2d(2, 4, kernel_size=(3, 3), stride=(1, 1))"),
        (nn.Conv1d(2, 4, 3, padding="same", groups=2, bias=False),
         "Conv1d(2, 4, kernel_size=(3,), stride=(1,), padding='same', groups=2, bias=False)"),
        (nn.MaxPool2d(2), "MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)"),
        (nn.BatchNorm2d(3), "BatchNorm2d(3, eps=1e-05, momentum=0.1)"),
        (nn.GroupNorm(2, 4), "GroupNorm(2, 4, eps=1e-05)"),
        (nn.Embedding(3, 2, 1), "Embedding(3, 2, padding_idx=1)"),
        (nn.Dropout(0.1), "Dropout(p=0.1)"),
        (nn.Flatten(), "Flatten(start_dim=1, end_dim=-1)"),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_repr(layer, shown: str) -> None:  # type: ignore[no-untyped-def]
    assert repr(layer) == shown


# What does not fit

IMAGE, KERNEL = rt.ones((1, 4, 5, 5)), rt.ones((6, 4, 3, 3))
X = rt.ones((2, 3))
TABLE = [
    (lambda: F.conv2d(IMAGE, rt.ones((6, 3, 3, 3))), ShapeError, ["conv2d", "(1, 4, 5, 5)", "4 channels", "take 3"]),
    (lambda: F.conv2d(IMAGE, KERNEL, groups=3), ArgumentError, ["conv2d", "groups=3", "4 channels", "6 of the output"]),
    (lambda: F.conv2d(IMAGE, KERNEL, groups=0), ArgumentError, ["conv2d", "groups=0"]),
    (lambda: F.conv2d(IMAGE, rt.ones((6, 4, 6, 3))), ShapeError, ["conv2d", "(6, 3)", "has 5", "padding"]),
    (lambda: F.conv2d(IMAGE, KERNEL, dilation=3), ShapeError, ["conv2d", "reaches over 7"]),
    (lambda: F.conv2d(IMAGE, KERNEL, stride=0), ArgumentError, ["conv2d", "stride is at least 1"]),
    (lambda: F.conv2d(IMAGE, KERNEL, padding=-1), ArgumentError, ["conv2d", "padding is at least 0"]),
    (lambda: F.conv2d(IMAGE, KERNEL, padding="full"), ArgumentError, ["conv2d", "'valid' or 'same'", "'full'"]),
    (lambda: F.conv2d(IMAGE, KERNEL, stride=2, padding="same"), ArgumentError, ["conv2d", "stride of 1"]),
    (lambda: F.conv2d(IMAGE, KERNEL, stride=(1, 2, 3)), ArgumentError, ["conv2d", "2 of them", "(1, 2, 3)"]),
    (lambda: F.conv2d(IMAGE, KERNEL, rt.ones(5)), ShapeError, ["conv2d", "bias", "(5,)", "(6,)"]),
    (lambda: F.conv2d(X, KERNEL), ShapeError, ["conv2d", "(N, C, H, W)", "(2, 3)"]),
    (lambda: F.conv2d(IMAGE, X), ShapeError, ["conv2d", "4 axes", "(2, 3)"]),
    (lambda: F.max_pool2d(IMAGE, 6), ShapeError, ["max_pool2d", "reaches over 6"]),
    (lambda: F.max_pool2d(IMAGE, 3, padding=2), ArgumentError, ["max_pool2d", "half of the kernel"]),
    (lambda: F.max_pool2d(IMAGE, 2, 0), ArgumentError, ["max_pool2d", "stride"]),
    (lambda: F.avg_pool2d(IMAGE, 2, divisor_override=0), ArgumentError, ["avg_pool2d", "divisor_override"]),
    (lambda: F.adaptive_avg_pool2d(IMAGE, 0), ArgumentError, ["adaptive_avg_pool2d", "output_size"]),
    (lambda: nn.Conv2d(4, 6, 3, groups=4), ArgumentError, ["Conv2d", "groups=4", "4 and 6"]),
    (lambda: nn.Conv2d(4, 6, 3, padding_mode="mirror"), ArgumentError, ["Conv2d", "padding_mode", "'mirror'"]),
    (lambda: nn.BatchNorm1d(3)(rt.ones((0, 3))), ArgumentError, ["batch_norm", "(0, 3)", "larger batch"]),
    (lambda: nn.BatchNorm2d(3)(rt.ones((1, 3, 1, 1))), ArgumentError, ["batch_norm", "(1, 3, 1, 1)", "has 1"]),
    (lambda: nn.BatchNorm2d(3)(X), ShapeError, ["BatchNorm2d", "4 axes", "(2, 3)"]),
    (lambda: nn.BatchNorm1d(4)(X), ShapeError, ["batch_norm", "(4,)", "(3,)"]),
    (lambda: F.batch_norm(X, None, None), ArgumentError, ["batch_norm", "training=True"]),
    (lambda: F.batch_norm(X, rt.ones(2), rt.ones(3)), ShapeError, ["batch_norm", "running_mean", "(2,)", "(3,)"]),
    (lambda: F.group_norm(X, 2), ArgumentError, ["group_norm", "num_groups=2", "3 channels"]),
    (lambda: nn.GroupNorm(2, 3), ArgumentError, ["GroupNorm", "num_groups=2", "3"]),
    (lambda: F.group_norm(rt.ones(3), 1), ShapeError, ["group_norm", "(N, C, ...)", "(3,)"]),
    (lambda: F.rms_norm(X, (2,)), ShapeError, ["rms_norm", "(2, 3)", "(2,)"]),
    (lambda: F.embedding(rt.asarray([0, 3]), rt.ones((3, 2))), IndexingError, ["embedding", "0 to 3", "3 rows"]),
    (lambda: F.embedding(rt.asarray([-1]), rt.ones((3, 2))), IndexingError, ["embedding", "from -1"]),
    (lambda: F.embedding(X, rt.ones((3, 2))), DTypeError, ["embedding", "float32", "integers"]),
    (lambda: F.embedding(rt.asarray([0]), rt.ones(3)), ShapeError, ["embedding", "(rows, length)", "(3,)"]),
    (lambda: nn.Embedding(3, 2, padding_idx=3), ArgumentError, ["Embedding", "padding_idx=3", "3"]),
    (lambda: nn.Dropout(2), ArgumentError, ["Dropout", "2"]),
    (lambda: F.dropout(rt.asarray([1])), DTypeError, ["dropout", "int64"]),
    (lambda: F.scaled_dot_product_attention(X, rt.ones((4, 2)), X), ShapeError, ["(2, 3)", "(4, 2)", "one width"]),
    (lambda: F.scaled_dot_product_attention(X, X, rt.ones((3, 3))), ShapeError, ["(3, 3)", "one length"]),
    (lambda: F.scaled_dot_product_attention(X, X, X, rt.ones((2, 3))), ShapeError, ["mask", "(2, 3)", "(2, 2)"]),
    (lambda: F.scaled_dot_product_attention(X, X, X, rt.asarray([1, 2])), DTypeError, ["mask", "int64"]),
    (lambda: F.scaled_dot_product_attention(X, X, X, rt.ones((2, 2)), is_causal=True), ArgumentError, ["not both"]),
    (lambda: F.scaled_dot_product_attention(rt.ones(3), X, X), ShapeError, ["(..., length, width)", "(3,)"]),
    (lambda: nn.MultiheadAttention(6, 4), ArgumentError, ["num_heads=4", "embed_dim=6"]),
    (lambda: nn.MultiheadAttention(6, 2)(X, X, X), ShapeError, ["query", "(2, 3)", "6"]),
    (lambda: nn.TransformerEncoderLayer(4, 2, activation="tanh"), ArgumentError, ["'relu' or 'gelu'", "'tanh'"]),
    (lambda: F.cross_entropy(X, rt.asarray([0, 3])), IndexingError, ["cross_entropy", "0 to 3", "3 classes"]),
    (lambda: F.cross_entropy(X, rt.asarray([0, 1]), weight=rt.ones(2)), ShapeError, ["weight", "(2,)", "(3,)"]),
    (lambda: F.nll_loss(X, X), DTypeError, ["nll_loss", "float32"]),
    (lambda: F.l1_loss(X, rt.ones(3)), ShapeError, ["l1_loss", "(2, 3)", "(3,)"]),
    (lambda: F.huber_loss(X, X, delta=0.0), ArgumentError, ["huber_loss", "delta"]),
    (lambda: F.smooth_l1_loss(X, X, beta=-1.0), ArgumentError, ["smooth_l1_loss", "beta"]),
    (
        lambda: F.binary_cross_entropy_with_logits(X, X, weight=rt.ones(2)),
        ShapeError,
        ["binary_cross_entropy_with_logits", "weight", "(2,)", "(2, 3)"],
    ),
]


@pytest.mark.parametrize(("call", "error", "words"), TABLE)
def test_what_does_not_fit_is_named(call, error, words) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(error) as caught:
        call()
    assert type(caught.value) is error
    for word in words:
        assert word in str(caught.value), word


# Together


def test_a_small_network_learns_shapes() -> None:
    generator = rt.random.Generator(0)
    images = rt.zeros((32, 1, 8, 8))
    for place in range(32):  # a bar that stands or lies
        key = (place, 0, 1 + place % 6, slice(1, 7)) if place % 2 else (place, 0, slice(1, 7), 1 + place // 2 % 6)
        images[key] = 1.0
    target = rt.asarray([place % 2 for place in range(32)])
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1, generator=generator),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(64, 2, generator=generator),
    )
    optimizer = rt.optim.create("adam", model, lr=0.02)
    for _ in range(20):
        optimizer.zero_grad()
        F.cross_entropy(model(images), target).backward()
        optimizer.step()
    assert (rt.argmax(model.eval()(images), axis=1) == target).all()
