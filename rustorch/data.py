"""Batches of arrays."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rustorch import random
from rustorch_core._creation_functions import asarray
from rustorch_core._define import public_names
from rustorch_core._tensor import Tensor
from rustorch_core.errors import ArgumentError, ShapeError


class DataLoader:
    """Batches of arrays that share their first axis; iterating again gives the next epoch.

    Arguments:
        *arrays: tensors, or anything that `asarray` takes, of equal lengths.
        batch_size: how many rows a batch has; the last one may have fewer.
        shuffle: draw a new order for each epoch.
        drop_last: leave out a last batch that is not full.
        generator: where the order comes from; by default the one that `rustorch.random.seed` sets.
        device: where the batches are to be; by default where the arrays are.

    Raises:
        ShapeError: where the arrays differ in length.
        ArgumentError: for no arrays, or a batch size below 1.

    Example:
        >>> import rustorch as rt
        >>> for x, y in rt.data.DataLoader(rt.arange(5), rt.arange(5) * 10, batch_size=2):
        ...     print(x.tolist(), y.tolist())
        [0, 1] [0, 10]
        [2, 3] [20, 30]
        [4] [40]
    """

    def __init__(
        self,
        *arrays: Any,
        batch_size: int = 1,
        shuffle: bool = False,
        drop_last: bool = False,
        generator: random.Generator | None = None,
        device: Any = None,
    ) -> None:
        self.arrays = tuple(asarray(array, device=device) for array in arrays)
        self.batch_size, self.shuffle, self.drop_last = batch_size, shuffle, drop_last
        self._generator = random._or_default("DataLoader", generator)
        if not self.arrays or not isinstance(batch_size, int) or batch_size < 1:
            raise ArgumentError(
                f"DataLoader: expected arrays and a batch size of at least 1, met {len(arrays)} and {batch_size}"
            )
        if any(array.ndim == 0 for array in self.arrays) or len({len(array) for array in self.arrays}) > 1:
            raise ShapeError(
                f"DataLoader: shapes {' and '.join(str(a.shape) for a in self.arrays)} share no first axis"
            )

    def __len__(self) -> int:
        rows = len(self.arrays[0])
        return rows // self.batch_size if self.drop_last else -(-rows // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        rows, device = len(self.arrays[0]), self.arrays[0].device
        order = None
        if self.shuffle:
            order = self._generator.permutation(rows, device=device)
        for batch in range(len(self)):
            rows_here: Any = slice(batch * self.batch_size, (batch + 1) * self.batch_size)
            if order is not None:
                rows_here = order[rows_here]
            yield tuple(array[rows_here] for array in self.arrays)


def __dir__() -> list[str]:
    return public_names(globals())
