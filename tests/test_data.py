"""Batches: what they hold, in which order, and how many there are."""

import numpy as np
import pytest

import rustorch as rt
from rustorch.data import DataLoader
from rustorch_core.errors import ArgumentError, RusTorchError, ShapeError


def rows(loader) -> list[list[int]]:  # type: ignore[no-untyped-def]
    return [batch[0].tolist() for batch in loader]


def test_batches_in_order() -> None:
    loader = DataLoader(rt.arange(7), rt.arange(7) * 10, batch_size=3)
    assert [(x.tolist(), y.tolist()) for x, y in loader] == [
        ([0, 1, 2], [0, 10, 20]),
        ([3, 4, 5], [30, 40, 50]),
        ([6], [60]),
    ]
    assert rows(loader) == rows(loader)


@pytest.mark.parametrize("count", [0, 1, 5, 6, 7])
@pytest.mark.parametrize("batch_size", [1, 3, 10])
@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("shuffle", [False, True])
def test_length(count: int, batch_size: int, drop_last: bool, shuffle: bool) -> None:
    loader = DataLoader(rt.arange(count), batch_size=batch_size, drop_last=drop_last, shuffle=shuffle)
    found = rows(loader)
    assert len(found) == len(loader)
    sizes = [len(batch) for batch in found]
    assert sizes[:-1] == [batch_size] * len(sizes[:-1])
    assert sum(sizes) == (count // batch_size * batch_size if drop_last else count)


def test_shuffling_is_a_permutation_and_new_in_each_epoch() -> None:
    loader = DataLoader(rt.arange(50), rt.arange(50), batch_size=8, shuffle=True, generator=rt.random.Generator(0))
    first, second = rows(loader), rows(loader)
    flat = [row for batch in first for row in batch]
    assert sorted(flat) == list(range(50))
    assert flat != list(range(50))
    assert first != second
    for x, y in loader:
        assert x.tolist() == y.tolist()


def test_shuffling_follows_its_generator() -> None:
    def epochs() -> list[list[int]]:
        loader = DataLoader(rt.arange(20), batch_size=6, shuffle=True, generator=rt.random.Generator(3))
        return rows(loader) + rows(loader)

    assert epochs() == epochs()
    rt.random.seed(3)
    assert rows(DataLoader(rt.arange(20), batch_size=6, shuffle=True)) == epochs()[:4]


def test_arrays_of_any_kind() -> None:
    loader = DataLoader(np.ones((4, 2)), [1, 2, 3, 4], batch_size=2)
    x, y = next(iter(loader))
    assert type(x) is type(y) is rt.Tensor
    assert (x.shape, x.dtype, y.tolist()) == ((2, 2), rt.float64, [1, 2])
    (alone,) = next(iter(DataLoader(rt.ones(3))))
    assert alone.shape == (1,)


def test_two_walks_do_not_disturb_each_other() -> None:
    loader = DataLoader(rt.arange(4), batch_size=2)
    first, second = iter(loader), iter(loader)
    assert next(first)[0].tolist() == next(second)[0].tolist() == [0, 1]
    assert next(first)[0].tolist() == [2, 3]


@pytest.mark.parametrize(
    ("arrays", "options", "error", "words"),
    [
        ((rt.ones(3), rt.ones(4)), {}, ShapeError, r"\(3,\) and \(4,\)"),
        ((rt.asarray(1.0),), {}, ShapeError, r"\(\)"),
        ((), {}, ArgumentError, "expected arrays"),
        ((rt.ones(3),), {"batch_size": 0}, ArgumentError, "batch size"),
        ((rt.ones(3),), {"batch_size": -1}, ArgumentError, "batch size"),
        ((rt.ones(3),), {"batch_size": 1.5}, ArgumentError, "batch size"),
        ((rt.ones(3),), {"batch_size": None}, ArgumentError, "batch size"),
        ((["a"],), {}, RusTorchError, "asarray"),
    ],
)
def test_what_does_not_fit_is_refused(arrays, options, error, words) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(error, match=words):
        DataLoader(*arrays, **options)
