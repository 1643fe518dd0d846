"""Train a classifier of handwritten digits: the loop that every user writes, start to end."""

from sklearn.datasets import load_digits

import rustorch as rt
from rustorch import nn

generator = rt.random.Generator(0)
digits = load_digits()
images, labels = rt.asarray(digits.data / 16, dtype=rt.float32), rt.asarray(digits.target)
train, test = slice(0, 1437), slice(1437, None)

model = nn.Sequential(nn.Linear(64, 64, generator=generator), nn.GELU(), nn.Linear(64, 10, generator=generator))
optimizer = rt.optim.create("adamw", model, lr=3e-3)
batches = rt.data.DataLoader(images[train], labels[train], batch_size=64, shuffle=True, generator=generator)

for epoch in range(5):
    for x, y in batches:
        loss = nn.functional.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with rt.no_grad():
        hits = rt.argmax(model(images[test]), axis=-1) == labels[test]
    print(f"epoch {epoch}: loss {loss.item():.3f}, accuracy {rt.mean(hits).item():.1%}")
