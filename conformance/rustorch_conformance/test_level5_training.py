"""Level 5: models learn on the device as they do on the reference device, and the profiler sees it."""

from __future__ import annotations

from collections.abc import Callable

import numpy
import pytest

import rustorch
from rustorch import nn, optim, profiler

#: Losses of float32 agree to this, after some steps; a device may sum in another order.
TOLERANCE = 2e-3
STEPS = 8


class _Convolution(nn.Module):
    """3 x 3 patches, gathered by slices, times a matrix."""

    def __init__(self, inputs: int, outputs: int, *, generator: rustorch.random.Generator, device: str) -> None:
        super().__init__()
        self.linear = nn.Linear(9 * inputs, outputs, generator=generator, device=device)

    def forward(self, x: rustorch.Tensor) -> rustorch.Tensor:
        """Images of (batch, height, width, channels); the border is lost."""
        height, width = x.shape[1] - 2, x.shape[2] - 2
        patches = [x[:, i : i + height, j : j + width, :] for i in range(3) for j in range(3)]
        return nn.functional.relu(self.linear(rustorch.concat(patches, axis=-1)))


class _ConvolutionalNetwork(nn.Module):
    def __init__(self, *, generator: rustorch.random.Generator, device: str) -> None:
        super().__init__()
        self.first = _Convolution(1, 4, generator=generator, device=device)
        self.second = _Convolution(4, 8, generator=generator, device=device)
        self.last = nn.Linear(8, 3, generator=generator, device=device)

    def forward(self, x: rustorch.Tensor) -> rustorch.Tensor:
        x = rustorch.reshape(x, (-1, 8, 8, 1))
        x = self.first(x)  # 6 x 6; then the greatest of each 2 x 2
        x = rustorch.max(rustorch.reshape(x, (-1, 3, 2, 3, 2, 4)), axis=(2, 4))
        return self.last(rustorch.mean(self.second(x), axis=(1, 2)))


class _Transformer(nn.Module):
    """One block over 8 tokens of 8 numbers: attention of two heads, then a layer of its own for each token."""

    def __init__(self, *, generator: rustorch.random.Generator, device: str) -> None:
        super().__init__()
        width = 16
        self.enter = nn.Linear(8, width, generator=generator, device=device)
        self.norm = nn.LayerNorm(width, device=device)
        self.attend = nn.Linear(width, 3 * width, generator=generator, device=device)
        self.project = nn.Linear(width, width, generator=generator, device=device)
        self.feed = nn.Sequential(
            nn.LayerNorm(width, device=device),
            nn.Linear(width, 64, generator=generator, device=device),
            nn.GELU(),
            nn.Linear(64, width, generator=generator, device=device),
        )
        self.last = nn.Linear(width, 3, generator=generator, device=device)

    def forward(self, x: rustorch.Tensor) -> rustorch.Tensor:
        x = self.enter(rustorch.reshape(x, (-1, 8, 8)))
        parts = rustorch.reshape(self.attend(self.norm(x)), (-1, 8, 3, 2, 8))
        queries, keys, values = (rustorch.permute_dims(parts[:, :, i], (0, 2, 1, 3)) for i in range(3))
        weights = nn.functional.softmax(queries @ keys.mT / 8**0.5, axis=-1)
        mixed = rustorch.reshape(rustorch.permute_dims(weights @ values, (0, 2, 1, 3)), (-1, 8, 16))
        x = x + self.project(mixed)
        x = x + self.feed(x)
        return self.last(rustorch.mean(x, axis=1))


def _perceptron(*, generator: rustorch.random.Generator, device: str) -> nn.Module:
    return nn.Sequential(
        nn.Linear(64, 96, generator=generator, device=device),
        nn.Tanh(),
        nn.Linear(96, 3, generator=generator, device=device),
    )


MODELS: dict[str, Callable[..., nn.Module]] = {
    "perceptron": _perceptron,
    "convolutional": _ConvolutionalNetwork,
    "transformer": _Transformer,
}


def _losses(make: Callable[..., nn.Module], optimizer: str, device: str, **options: float) -> list[float]:
    """A loss curve; parameters and data are the same on every device, for they are drawn on the host."""
    numbers = numpy.random.default_rng(0)
    x = numbers.normal(size=(48, 64)).astype("float32")
    y = numpy.argmax(x[:, :3] + 0.5 * x[:, 3:6], axis=1)
    model = make(generator=rustorch.random.Generator(0), device=device)
    images, labels = rustorch.asarray(x, device=device), rustorch.asarray(y, device=device)
    stepper = optim.create(optimizer, model, **options)

    def closure() -> rustorch.Tensor:
        loss = nn.functional.cross_entropy(model(images), labels)
        stepper.zero_grad()
        loss.backward()
        return loss

    return [stepper.step(closure).item() for _ in range(STEPS)]


@pytest.mark.parametrize("model", MODELS)
def test_loss_curve(model: str, device: str) -> None:
    found, expected = (_losses(MODELS[model], "adamw", place, lr=0.01) for place in (device, "cpu"))
    numpy.testing.assert_allclose(found, expected, rtol=TOLERANCE)
    assert found[-1] < 0.97 * found[0], f"it does not learn: {found}"


@pytest.mark.parametrize("optimizer", optim.list())
def test_optimizer(optimizer: str, device: str) -> None:
    found, expected = (_losses(_perceptron, optimizer, place, lr=0.01) for place in (device, "cpu"))
    numpy.testing.assert_allclose(found, expected, rtol=TOLERANCE)


def test_profiler_sees_the_device(device: str) -> None:
    target = rustorch.device(device)
    model = _perceptron(generator=rustorch.random.Generator(0), device=device)
    with profiler.profile() as profile:
        found = model(rustorch.ones((4, 64), device=device))
        nn.functional.mse_loss(found, rustorch.zeros((4, 3), device=device)).backward()
    assert {row.device for row in profile.rows} == {str(target)}
    assert {"linear", "tanh"} <= {row.op for row in profile.rows}
    assert all(row.calls > 0 and row.seconds >= 0 and row.served_by for row in profile.rows)
