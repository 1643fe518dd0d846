"""Train a small convolutional network on handwritten digits, and read its weights again."""

import tempfile
from pathlib import Path

from sklearn.datasets import load_digits

import rustorch as rt
from rustorch import nn


def network(generator: rt.random.Generator) -> nn.Sequential:
    """Two convolutions, each followed by pooling, and a linear layer; for images of 8 x 8."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1, generator=generator),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1, generator=generator),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(128, 10, generator=generator),
    )


generator = rt.random.Generator(0)
digits = load_digits()
images, labels = rt.asarray(digits.images[:, None] / 16, dtype=rt.float32), rt.asarray(digits.target)
train, test = slice(0, 1437), slice(1437, None)

model = network(generator)
optimizer = rt.optim.create("adamw", model, lr=3e-3)
batches = rt.data.DataLoader(images[train], labels[train], batch_size=64, shuffle=True, generator=generator)

for _ in range(5):
    for x, y in batches:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()

path = Path(tempfile.mkdtemp()) / "digits.safetensors"
rt.io.save(model.state_dict(), path)
again = network(generator)
again.load_state_dict(rt.io.load(path))
right = rt.argmax(again.eval()(images[test]), axis=1) == labels[test]
print(f"{rt.mean(rt.astype(right, rt.float32)).item():.1%} of the digits that it had not seen")
