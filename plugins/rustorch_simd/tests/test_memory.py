"""Pools of array memory: what they give, keep and give back, and that arrays outlive them."""

import gc
import subprocess
import sys
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rustorch as rt
from rustorch_core.errors import ArgumentError, BackendUnavailableError

pytestmark = pytest.mark.needs("cpu")
MIB = 1 << 20


@settings(deadline=None, max_examples=100)
@given(
    sizes=st.lists(st.integers(0, 3 * MIB), min_size=1, max_size=12),
    alignment=st.sampled_from([16, 64, 256, 4096]),
    chunk_size=st.sampled_from([4096, 65536, MIB]),
)
def test_arrays_are_aligned_apart_and_zero_where_that_is_asked_for(sizes, alignment, chunk_size):
    with rt.memory.MemoryPool(chunk_size, alignment, limit=4 * MIB) as pool:
        kept = {}
        for place, size in enumerate(sizes):
            array = np.empty(size, np.uint8)
            assert array.ctypes.data % alignment == 0
            array[:] = place
            kept[place] = array
            if place % 3 == 2:
                del kept[place - 1]
            assert not np.zeros(size, np.uint8).any()
        for place, array in kept.items():
            assert (array == place).all()
        assert pool.statistics()["in_use"] >= sum(array.nbytes for array in kept.values())
        kept.clear()
        del array
        assert pool.statistics()["in_use"] == 0
        assert pool.statistics()["cached"] <= 4 * MIB + 2 * MIB  # what chunks hold is never given back


def test_what_is_freed_is_used_again():
    with rt.memory.MemoryPool() as pool:
        first = np.empty(MIB, np.uint8)
        place = first.ctypes.data
        del first
        assert np.empty(MIB - 1000, np.uint8).ctypes.data == place
    found = pool.statistics()
    assert (found["allocations"], found["reused"], found["in_use"], found["cached"]) == (2, 1, 0, MIB)
    with pool:
        assert np.empty(MIB * 2 // 3, np.uint8).ctypes.data == place  # where it is not twice as large
    pool.empty_cache()
    assert pool.statistics()["cached"] == 0


def test_no_more_is_kept_than_the_limit():
    with rt.memory.MemoryPool(limit=5 * MIB) as pool:
        kept = [np.empty(MIB * size, np.uint8) for size in (1, 2, 3, 4)]
        assert pool.statistics()["in_use"] == pool.statistics()["peak"] == 10 * MIB
        while kept:
            kept.pop()
            assert pool.statistics()["cached"] <= 5 * MIB
        pool.reset_peak()
        assert pool.statistics()["peak"] == 0
    with rt.memory.MemoryPool(limit=0) as pool:
        np.empty(MIB)
    assert pool.statistics()["cached"] == 0


def test_what_is_kept_hardly_adds_to_the_peak():
    with rt.memory.MemoryPool() as pool:
        for size in (8, 1, 3, 2, 5, 7, 4, 6, 8):
            np.empty(size * MIB, np.uint8)
            found = pool.statistics()
            assert found["in_use"] + found["cached"] <= found["peak"] * 17 // 16
        assert found["peak"] == 8 * MIB


def test_arrays_outlive_their_pool():
    with rt.memory.MemoryPool() as pool:
        large, small = np.arange(MIB), np.arange(10)
    del pool
    gc.collect()
    assert large.sum() == MIB * (MIB - 1) // 2
    assert small.sum() == 45


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 500_000), min_size=1, max_size=8))
def test_an_array_that_grows_and_shrinks_keeps_its_values(sizes):
    with rt.memory.MemoryPool() as pool:
        array = np.arange(7)
        for size in sizes:
            expected = np.zeros(size, array.dtype)
            expected[: min(size, array.size)] = array[:size]
            array.resize(size, refcheck=False)
            np.testing.assert_array_equal(array, expected)
        del array, expected
    assert pool.statistics()["in_use"] == 0


def test_pools_nest_and_leave_what_was_there():
    outer, inner = rt.memory.MemoryPool(), rt.memory.MemoryPool()
    with outer, inner, outer:
        kept = np.empty(100_000)
    assert (outer.statistics()["allocations"], inner.statistics()["allocations"]) == (1, 0)
    np.empty(100_000)
    assert outer.statistics()["allocations"] == 1
    del kept
    with pytest.raises(RuntimeError, match="not entered"):
        outer.__exit__(None, None, None)


def test_threads_free_what_others_made():
    pool = rt.memory.MemoryPool(limit=8 * MIB)
    handed: list[np.ndarray] = []

    def make_and_drop(seed):
        generator = np.random.default_rng(seed)
        with pool:
            for _ in range(300):
                handed.append(np.full(int(generator.integers(1, 100_000)), seed, np.uint8))
                if len(handed) > 20:
                    handed.pop(0)

    threads = [threading.Thread(target=make_and_drop, args=(seed,)) for seed in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert all(len(set(each.tolist())) == 1 for each in handed)
    handed.clear()
    assert pool.statistics()["in_use"] == 0


def test_results_come_from_the_default_pool():
    pool = rt.memory.default_pool()
    assert 0 < pool.statistics()["limit"] <= 1 << 30
    x = rt.ones(MIB, dtype="float32")
    before = pool.statistics()["in_use"]
    made = [x + x, rt.exp(x), rt.sin(x)]
    assert pool.statistics()["in_use"] >= before + 3 * 4 * MIB
    assert all(each._array.ctypes.data % 64 == 0 for each in made)


def test_what_cannot_be_is_refused():
    for words, arguments in {
        "chunk_size of at least 4096": {"chunk_size": 10},
        "power of two": {"alignment": 48},
        "met 8$": {"alignment": 8},
        "limit of at least 0": {"limit": -1},
    }.items():
        with pytest.raises(ArgumentError, match=words):
            rt.memory.MemoryPool(**arguments)
    with rt.memory.MemoryPool(), pytest.raises(MemoryError):
        np.empty(1 << 50, np.uint8)


def run(program: str, **variables: str) -> str:
    import os

    environment = {**os.environ, **variables}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout


def test_the_environment_can_leave_numpys_own_allocator():
    program = """
import numpy as np, rustorch as rt
rt.ones(3) + 1
print(np._core.multiarray.get_handler_name())
"""
    assert run(program).strip() == "rustorch_pool"
    assert run(program, RUSTORCH_POOL="0").strip() == "default_allocator"


def test_a_forked_child_frees_and_allocates():
    program = """
import os, threading, numpy as np, rustorch as rt
rt.ones(3) + 1
def busy():
    while True:
        with rt.memory.default_pool():
            np.empty(100_000)
threading.Thread(target=busy, daemon=True).start()
x = np.ones(1_000_000)
for _ in range(50):
    child = os.fork()
    if child == 0:
        y = x + x
        del x
        os._exit(0 if (y == 2).all() and (np.zeros(1_000_000) == 0).all() else 1)
    assert os.waitpid(child, 0)[1] == 0
"""
    run(program)


def test_without_a_plugin_there_are_no_pools():
    program = """
import rustorch as rt
try:
    rt.memory.MemoryPool()
except rt.errors.BackendUnavailableError as error:
    print(error.fix)
print(rt.get_num_threads() >= 1)
"""
    assert run(program, RUSTORCH_AUTOLOAD="0").split("\n")[:2] == ['pip install "rustorch[simd]"', "True"]
    assert issubclass(BackendUnavailableError, RuntimeError)
