"""The work of the demo: 1,797 handwritten digits, a small classifier, and the loop that trains it."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

import rustorch as rt
from rustorch import nn
from rustorch.nn import functional

PIXELS, CLASSES, HIDDEN = 64, 10, 128
# A digit's class is worth learning, its exact pixels are not.
NOISE, LABEL_SMOOTHING = 0.15, 0.1


@dataclass(frozen=True)
class Digits:
    """Images of shape (N, 64), from 0 for white to 1 for black, and their classes of shape (N), from 0 to 9."""

    images: rt.Tensor
    labels: rt.Tensor

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Evaluation:
    """A classifier's predictions, how many are right, and the mean cross entropy in nats."""

    predictions: rt.Tensor
    correct: int
    loss: float

    @property
    def accuracy(self) -> float:
        """The part of the predictions that is right."""
        return self.correct / len(self.predictions)


@dataclass(frozen=True)
class Epoch:
    """What stood at an epoch's end, and how long its steps took."""

    training: Evaluation
    held_out: Evaluation
    steps: int
    seconds: float


def load(generator: rt.random.Generator, device: rt.Device) -> tuple[Digits, Digits]:
    """Load the digits and hold out a fifth of each class.

    Arguments:
        generator: draws which; a new one of the same seed draws the same.
        device: where the tensors are to be.

    Returns:
        the digits to train on and those held out: 1,437 and 360.

    Source: scikit-learn's `load_digits`, the test set of Alpaydin and Kaynak 1998.
    """
    from sklearn.datasets import load_digits

    pixels, classes = load_digits(return_X_y=True)
    images = rt.asarray(pixels / pixels.max(), dtype=rt.float32, device=device)
    labels = rt.asarray(classes, dtype=rt.int64, device=device)
    drawn = generator.permutation(len(labels), device=device)
    by_class = drawn[rt.argsort(labels[drawn], stable=True)]
    is_held_out = rt.arange(len(labels), device=device) % 5 == 0
    first, second = by_class[~is_held_out], by_class[is_held_out]
    return Digits(images[first], labels[first]), Digits(images[second], labels[second])


def build(generator: rt.random.Generator, device: rt.Device, hidden: int = HIDDEN) -> nn.Sequential:
    """Make the classifier: images of shape (N, 64) to logits of shape (N, 10)."""
    return nn.Sequential(
        nn.LayerNorm(PIXELS, device=device),
        nn.Linear(PIXELS, hidden, generator=generator, device=device),
        nn.GELU(),
        nn.Linear(hidden, CLASSES, generator=generator, device=device),
    )


@rt.no_grad()
def evaluate(model: nn.Module, digits: Digits) -> Evaluation:
    """Predict the class of every digit."""
    logits = model(digits.images)
    predictions = rt.argmax(logits, axis=1)
    correct = int((predictions == digits.labels).sum())
    return Evaluation(predictions, correct, float(functional.cross_entropy(logits, digits.labels)))


def train(
    model: nn.Module,
    training: Digits,
    held_out: Digits,
    generator: rt.random.Generator,
    *,
    epochs: int,
    batch_size: int,
    lr: float,
) -> Iterator[Epoch]:
    """Train with AdamW, faint noise on the images, and a learning rate that falls to 0 along half a cosine.

    Arguments:
        model: maps images to logits; changed in place.
        training: the digits to learn from.
        held_out: digits to evaluate on after each epoch, and to learn nothing from.
        generator: draws the order of the digits and the noise.
        epochs: how often each digit is seen.
        batch_size: digits in a step.
        lr: the learning rate at the start.

    Yields:
        what stands at each epoch's end.
    """
    optimizer = rt.optim.create("adamw", model, lr=lr)
    loader = rt.data.DataLoader(
        training.images, training.labels, batch_size=batch_size, shuffle=True, generator=generator
    )
    for epoch in range(epochs):
        started = time.perf_counter()
        for batch, (images, labels) in enumerate(loader):
            progress = (epoch + batch / len(loader)) / epochs
            optimizer.param_groups[0]["lr"] = lr * (1 + math.cos(math.pi * progress)) / 2
            noise = generator.normal(0, NOISE, images.shape, device=images.device)
            logits = model(images + noise)
            loss = functional.cross_entropy(logits, labels, label_smoothing=LABEL_SMOOTHING)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        training.images.device.synchronize()
        seconds = time.perf_counter() - started
        yield Epoch(evaluate(model, training), evaluate(model, held_out), len(loader), seconds)
