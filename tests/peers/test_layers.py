"""Layers and functions beside PyTorch's, its weights loaded by its state-dict keys: outputs, gradients, buffers."""

import numpy as np
import pytest
import torch

import rustorch as rt
from rustorch import nn


def ours(x):
    """A tensor of PyTorch's as one of ours."""
    return rt.asarray(x.detach().numpy().copy())


def close(found, expected, message=""):
    np.testing.assert_allclose(
        found.detach().numpy(), expected.detach().numpy(), rtol=1e-9, atol=1e-10, err_msg=message
    )


def drawn(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


def outputs(result):
    return [each for each in (result if isinstance(result, tuple) else (result,)) if each is not None]


def agree(mine, theirs, inputs, options=None, training=True, steps=2):
    """Compare outputs, all gradients and the state after a few steps in which both see the same."""
    options = options or {}
    theirs = theirs.double().train(training)
    state = theirs.state_dict()
    mine = mine.to("float64").train(training)
    assert list(mine.state_dict()) == list(state)
    mine.load_state_dict({name: ours(value) for name, value in state.items()})
    for _ in range(steps):
        my_inputs = [ours(x) for x in inputs]
        their_inputs = [x.clone() for x in inputs]
        for x, y in zip(my_inputs, their_inputs, strict=True):
            if y.is_floating_point():
                x.requires_grad_()
                y.requires_grad_()
        my_options = {
            name: ours(value) if isinstance(value, torch.Tensor) else value for name, value in options.items()
        }
        found = outputs(mine(*my_inputs, **my_options))
        expected = outputs(theirs(*their_inputs, **options))
        assert len(found) == len(expected)
        for number, (one, other) in enumerate(zip(found, expected, strict=True)):
            close(one, other, f"output {number}")
        weights = [drawn(*each.shape, seed=number + 1) for number, each in enumerate(expected)]
        sum((one * ours(weight)).sum() for one, weight in zip(found, weights, strict=True)).backward()
        sum((one * weight).sum() for one, weight in zip(expected, weights, strict=True)).backward()
        for number, (one, other) in enumerate(zip(my_inputs, their_inputs, strict=True)):
            if other.grad is not None:
                close(one.grad, other.grad, f"gradient of input {number}")
    parameters = dict(mine.named_parameters())
    for name, parameter in theirs.named_parameters():
        close(parameters[name].grad, parameter.grad, f"gradient of {name}")
    for name, value in theirs.state_dict().items():
        close(mine.state_dict()[name], value, name)


IMAGES, SIGNALS, VOLUMES = (2, 4, 7, 9), (2, 4, 11), (2, 2, 4, 5, 3)
LAYERS = [
    *(
        ("Conv2d", (4, 6), {"kernel_size": 3, **options}, IMAGES)
        for options in (
            {},
            {"padding": 1, "bias": False},
            {"stride": 2, "padding": (1, 2)},
            {"kernel_size": (3, 2), "stride": (2, 1), "dilation": (1, 3)},
            {"groups": 2, "padding": "same"},
            {"padding": "same", "kernel_size": (4, 3), "dilation": 2},
            {"padding": "valid", "groups": 2, "stride": 3},
            {"kernel_size": 1},
            {"kernel_size": 1, "stride": 2},
            {"kernel_size": (7, 9)},
            *({"padding": 2, "padding_mode": mode} for mode in ("reflect", "replicate", "circular")),
            {"padding": "same", "padding_mode": "reflect", "kernel_size": (4, 3)},
        )
    ),
    ("Conv2d", (4, 4), {"kernel_size": 3, "groups": 4}, IMAGES),
    ("Conv2d", (4, 3), {"kernel_size": 2}, IMAGES[1:]),
    ("Conv1d", (4, 6), {"kernel_size": 3}, SIGNALS),
    ("Conv1d", (4, 6), {"kernel_size": 4, "stride": 2, "padding": 2, "dilation": 2, "groups": 2}, SIGNALS),
    ("Conv1d", (4, 6), {"kernel_size": 4, "padding": "same"}, SIGNALS[1:]),
    ("Conv3d", (2, 3), {"kernel_size": (2, 3, 1), "padding": 1, "stride": (1, 2, 1)}, VOLUMES),
    *(
        ("MaxPool2d", (size,), options, IMAGES)
        for size, options in (
            (2, {}),
            (3, {"stride": 2, "padding": 1}),
            (3, {"stride": 2, "ceil_mode": True}),
            ((3, 2), {"stride": (2, 3), "padding": (1, 0), "dilation": (2, 1), "ceil_mode": True}),
            (1, {}),
        )
    ),
    ("MaxPool2d", (2,), {}, IMAGES[1:]),
    ("MaxPool1d", (3,), {"stride": 2, "padding": 1}, SIGNALS),
    *(
        ("AvgPool2d", (size,), options, IMAGES)
        for size, options in (
            (2, {}),
            (3, {"stride": 2, "padding": 1}),
            (3, {"stride": 2, "padding": 1, "ceil_mode": True}),
            (3, {"stride": 2, "padding": 1, "ceil_mode": True, "count_include_pad": False}),
            ((2, 4), {"stride": 3, "divisor_override": 5}),
            (1, {}),
        )
    ),
    ("AvgPool1d", (3,), {"stride": 2, "padding": 1, "count_include_pad": False}, SIGNALS),
    *(("AdaptiveAvgPool2d", (size,), {}, IMAGES) for size in (1, (3, 4), (None, 2), (9, 11))),
    ("BatchNorm1d", (4,), {}, (5, 4)),
    ("BatchNorm1d", (4,), {"momentum": 0.3, "eps": 0.1}, SIGNALS),
    *(
        ("BatchNorm2d", (4,), options, IMAGES)
        for options in ({}, {"momentum": None}, {"affine": False}, {"track_running_stats": False}, {"eps": 1.0})
    ),
    ("BatchNorm3d", (2,), {}, VOLUMES),
    ("LayerNorm", (9,), {}, IMAGES),
    ("LayerNorm", ((7, 9),), {"eps": 0.1, "bias": False}, IMAGES),
    ("LayerNorm", (9,), {"elementwise_affine": False}, IMAGES),
    ("GroupNorm", (2, 4), {}, IMAGES),
    ("GroupNorm", (1, 4), {"eps": 0.1}, (3, 4)),
    ("GroupNorm", (4, 4), {"affine": False}, SIGNALS),
    ("RMSNorm", (9,), {}, IMAGES),
    ("RMSNorm", ((7, 9),), {"eps": 0.1}, IMAGES),
    ("RMSNorm", (9,), {"elementwise_affine": False}, IMAGES),
    ("Linear", (9, 3), {}, IMAGES),
    ("Flatten", (), {"start_dim": 2}, IMAGES),
    ("Flatten", (0, 1), {}, IMAGES),
    ("Identity", (), {}, IMAGES),
    ("Dropout", (0.0,), {}, IMAGES),
    *((name, (), {}, (3, 4)) for name in ("ELU", "SELU", "Hardswish", "LeakyReLU", "Mish", "ReLU6", "Softplus")),
    ("ELU", (0.3,), {}, (3, 4)),
    ("LeakyReLU", (0.3,), {}, (3, 4)),
    ("LogSoftmax", (0,), {}, (3, 4)),
]


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths:UserWarning")
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize(("name", "args", "options", "shape"), LAYERS)
def test_layers(name, args, options, shape, training):
    mine, theirs = getattr(nn, name)(*args, **options), getattr(torch.nn, name)(*args, **options)
    agree(mine, theirs, [3 * drawn(*shape)], training=training)


@pytest.mark.parametrize("padding_idx", [None, 0, -1])
def test_embedding(padding_idx):
    indices = torch.tensor([[0, 2, 4], [4, 4, 1]])
    agree(nn.Embedding(5, 3, padding_idx), torch.nn.Embedding(5, 3, padding_idx), [indices])


ENCODERS = [
    {},
    {"norm_first": True, "activation": "gelu"},
    {"batch_first": True, "bias": False},
    {"batch_first": True, "layer_norm_eps": 0.1},
]
LATER = torch.triu(torch.ones(4, 4, dtype=torch.bool), 1)
HIDDEN = torch.tensor([[False, False, True, True], [False, False, False, True], [False] * 4])
MASKS = [
    {},
    {"src_mask": LATER},
    {"src_key_padding_mask": HIDDEN},
    {"src_mask": LATER, "src_key_padding_mask": HIDDEN},
]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("options", ENCODERS)
@pytest.mark.parametrize("masks", MASKS)
def test_encoder_layer(options, masks, training):
    given = {"d_model": 6, "nhead": 2, "dim_feedforward": 5, "dropout": 0.0, **options}
    x = drawn(3, 4, 6) if options.get("batch_first") else drawn(4, 3, 6)
    agree(nn.TransformerEncoderLayer(**given), torch.nn.TransformerEncoderLayer(**given), [x], masks, training)


def test_encoder():
    def made(library):
        layer = library.TransformerEncoderLayer(6, 2, 5, 0.0, batch_first=True)
        return library.TransformerEncoder(layer, 2, norm=library.LayerNorm(6))

    agree(made(nn), made(torch.nn), [drawn(3, 4, 6)], {"mask": LATER})


@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize("options", [{}, {"kdim": 3, "vdim": 5}, {"bias": False}, {"batch_first": True}])
def test_multihead_attention(options, need_weights):
    mine, theirs = (library.MultiheadAttention(6, 2, **options) for library in (nn, torch.nn))
    shapes = [(4, 3, 6), (5, 3, options.get("kdim", 6)), (5, 3, options.get("vdim", 6))]
    shapes = [(shape[1], shape[0], shape[2]) for shape in shapes] if "batch_first" in options else shapes
    for masks in (
        {},
        {"attn_mask": drawn(4, 5)},
        {"attn_mask": drawn(6, 4, 5)},
        {"attn_mask": drawn(4, 5), "key_padding_mask": drawn(3, 5)},
        {"key_padding_mask": torch.tensor([[False, True, False, False, True]] * 3)},
        {"average_attn_weights": False},
    ):
        inputs = [drawn(*shape, seed=number) for number, shape in enumerate(shapes)]
        agree(mine, theirs, inputs, {**masks, "need_weights": need_weights}, steps=1)
        mine.zero_grad()
        theirs.zero_grad()


def test_multihead_attention_without_a_batch():
    mine, theirs = (library.MultiheadAttention(6, 2) for library in (nn, torch.nn))
    hidden = torch.tensor([True, False, True, False, False])
    agree(mine, theirs, [drawn(4, 6), drawn(5, 6), drawn(5, 6)], {"key_padding_mask": hidden})


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"is_causal": True},
        {"scale": 0.3},
        {"attn_mask": drawn(4, 5)},
        {"attn_mask": drawn(3, 1, 4, 5) > 0},
        {"attn_mask": torch.zeros(4, 5, dtype=torch.bool)},
        {"attn_mask": torch.full((4, 5), -torch.inf)},
    ],
)
def test_attention(options):
    shapes = (3, 2, 4, 6), (3, 2, 5, 6), (3, 2, 5, 3)
    theirs = [drawn(*shape, seed=number).requires_grad_() for number, shape in enumerate(shapes)]
    mine = [ours(x).requires_grad_() for x in theirs]
    given = {name: ours(value) if isinstance(value, torch.Tensor) else value for name, value in options.items()}
    if isinstance(options.get("attn_mask"), torch.Tensor) and options["attn_mask"].is_floating_point():
        options["attn_mask"] = options["attn_mask"].double()
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        expected = torch.nn.functional.scaled_dot_product_attention(*theirs, **options)
    found = nn.functional.scaled_dot_product_attention(*mine, **given)
    close(found, expected)
    weight = drawn(*expected.shape, seed=9)
    (expected * weight).sum().backward()
    (found * ours(weight)).sum().backward()
    for one, other in zip(mine, theirs, strict=True):
        close(one.grad, other.grad)


def test_attention_of_grouped_heads():
    q, k, v = drawn(2, 6, 4, 3), drawn(2, 2, 5, 3), drawn(2, 3, 5, 4)
    expected = torch.nn.functional.scaled_dot_product_attention(q, k, v, enable_gqa=True)
    close(nn.functional.scaled_dot_product_attention(ours(q), ours(k), ours(v), enable_gqa=True), expected)


# Losses

CLASSES = torch.tensor([0, 3, 1, 1, 2, 3])
GRID = torch.tensor(np.random.default_rng(3).integers(0, 4, (6, 2, 3)))
WEIGHT = torch.tensor([0.5, 2.0, 0.1, 3.0], dtype=torch.float64)
OF_CLASSES = [
    {},
    {"weight": WEIGHT},
    {"ignore_index": 3},
    {"ignore_index": 1, "weight": WEIGHT},
]


def losses_agree(name, inputs, options):
    options = {key: value for key, value in options.items() if value is not None}
    for reduction in ("mean", "sum", "none"):
        theirs = [x.clone().requires_grad_() if x.is_floating_point() else x for x in inputs]
        mine = [ours(x).requires_grad_() if x.is_floating_point() else ours(x) for x in inputs]
        given = {key: ours(value) if isinstance(value, torch.Tensor) else value for key, value in options.items()}
        expected = getattr(torch.nn.functional, name)(*theirs, reduction=reduction, **options)
        found = getattr(nn.functional, name)(*mine, reduction=reduction, **given)
        close(found, expected)
        weight = drawn(*expected.shape)
        (expected * weight).sum().backward()
        (found * ours(weight)).sum().backward()
        for one, other in zip(mine, theirs, strict=True):
            if other.grad is not None:
                close(one.grad, other.grad)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("options", OF_CLASSES)
def test_cross_entropy(options, smoothing):
    given = {**options, "label_smoothing": smoothing}
    losses_agree("cross_entropy", [3 * drawn(6, 4), CLASSES], given)
    losses_agree("cross_entropy", [3 * drawn(6, 4, 2, 3), GRID], given)
    if options.get("ignore_index") != 3:
        losses_agree("cross_entropy", [drawn(4), CLASSES[1]], given)
    if "ignore_index" not in options:
        losses_agree("cross_entropy", [drawn(6, 4), torch.softmax(drawn(6, 4, seed=1), 1)], given)
        losses_agree("cross_entropy", [drawn(6, 4, 3), torch.softmax(drawn(6, 4, 3, seed=1), 1)], given)


@pytest.mark.parametrize("options", OF_CLASSES)
def test_nll_loss(options):
    losses_agree("nll_loss", [drawn(6, 4), CLASSES], options)
    losses_agree("nll_loss", [drawn(6, 4, 2, 3), GRID], options)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("l1_loss", {}),
        ("mse_loss", {}),
        ("huber_loss", {"delta": 0.7}),
        ("smooth_l1_loss", {"beta": 0.7}),
        ("smooth_l1_loss", {"beta": 0.0}),
        ("binary_cross_entropy_with_logits", {}),
        ("binary_cross_entropy_with_logits", {"weight": drawn(5, 1).abs(), "pos_weight": WEIGHT}),
    ],
)
def test_losses_of_pairs(name, options):
    losses_agree(name, [3 * drawn(5, 4), drawn(5, 4, seed=1)], options)


@pytest.mark.parametrize(
    ("name", "argument"), [("CrossEntropyLoss", "weight"), ("NLLLoss", "weight"), ("BCEWithLogitsLoss", "pos_weight")]
)
def test_losses_as_modules_have_the_same_state(name, argument):
    mine, theirs = getattr(nn, name)(**{argument: ours(WEIGHT)}), getattr(torch.nn, name)(**{argument: WEIGHT})
    assert list(mine.state_dict()) == list(theirs.state_dict()) == [argument]


# Initial values


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("Conv2d", (16, 64, 5)),
        ("Conv1d", (16, 64, 9)),
        ("Linear", (200, 100)),
        ("Embedding", (100, 50)),
        ("MultiheadAttention", (64, 4)),
        ("TransformerEncoderLayer", (64, 4, 128)),
        ("BatchNorm2d", (3,)),
    ],
)
def test_initial_values_have_the_same_distribution(name, args):
    mine, theirs = getattr(nn, name)(*args).state_dict(), getattr(torch.nn, name)(*args).state_dict()
    for key, value in theirs.items():
        one, other = mine[key].numpy().astype("float64"), value.numpy().astype("float64")
        assert one.shape == other.shape
        assert abs(one.std() - other.std()) <= (0.1 if one.size > 2000 else 0.5) * other.std(), key
        assert abs(one.mean() - other.mean()) <= 0.5 * other.std(), key
        assert abs(one).max() <= 1.3 * abs(other).max() + 1e-9, key


def test_a_state_dict_goes_through_a_file(tmp_path):
    safetensors = pytest.importorskip("safetensors.torch")
    theirs = torch.nn.Sequential(torch.nn.Conv2d(2, 3, 3), torch.nn.BatchNorm2d(3))
    theirs(torch.randn(2, 2, 5, 5))
    safetensors.save_file(theirs.state_dict(), tmp_path / "weights.safetensors")
    mine = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3))
    mine.load_state_dict(rt.io.load(tmp_path / "weights.safetensors"))
    for name, value in theirs.state_dict().items():
        assert mine.state_dict()[name].tolist() == value.tolist()
