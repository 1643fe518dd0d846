"""The pool of threads: every element once whatever the number of threads, many callers at a time, and forks."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rustorch_simd import _kernels

import rustorch as rt
from rustorch_core.errors import ArgumentError, OperandError

pytestmark = pytest.mark.needs("cpu")


@pytest.fixture(autouse=True)
def default_threads():
    yield
    _kernels.set_num_threads(0)


@settings(deadline=None, max_examples=60)
@given(length=st.integers(0, 300_000), threads=st.integers(1, 9), columns=st.integers(1, 300))
def test_every_element_is_computed_once(length, threads, columns):
    x = np.random.default_rng(length).normal(size=length).astype(np.float32)
    rows = x[: length // columns * columns].reshape(-1, columns)
    _kernels.set_num_threads(1)
    alone, rows_alone = _kernels.exp(x), _kernels.softmax(rows)
    _kernels.set_num_threads(threads)
    np.testing.assert_array_equal(_kernels.exp(x), alone)
    np.testing.assert_array_equal(_kernels.softmax(rows), rows_alone)


def test_many_callers_at_a_time():
    _kernels.set_num_threads(3)
    x = np.random.default_rng(0).normal(size=100_000).astype(np.float32)
    expected, wrong = _kernels.exp(x), []

    def call():
        for _ in range(50):
            if not np.array_equal(_kernels.exp(x), expected):
                wrong.append(1)

    callers = [threading.Thread(target=call) for _ in range(6)]
    for each in callers:
        each.start()
    for each in callers:
        each.join()
    assert not wrong


def test_a_forked_child_has_threads_of_its_own():
    program = """
import os, numpy as np
from rustorch_simd import _kernels
_kernels.set_num_threads(2)
x = np.linspace(-1, 1, 300_000, dtype=np.float32)
expected = _kernels.exp(x)
for _ in range(20):
    child = os.fork()
    if child == 0:
        kept = [_kernels.exp(x) for _ in range(3)]
        os._exit(0 if all(np.array_equal(each, expected) for each in kept) else 1)
    assert np.array_equal(_kernels.exp(x), expected)
    assert os.waitpid(child, 0)[1] == 0
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_the_environment_and_the_affinity_say_how_many():
    def threads(**variables):
        code = "from rustorch_simd import _kernels; print(_kernels.get_num_threads())"
        environment = {**os.environ, **variables}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        return int(done.stdout)

    assert threads(OMP_NUM_THREADS="3") == 3
    assert 1 <= threads(OMP_NUM_THREADS="") <= len(os.sched_getaffinity(0))
    assert threads(OMP_NUM_THREADS="nonsense") == threads(OMP_NUM_THREADS="")


def test_what_the_user_sets_is_obeyed():
    rt.set_num_threads(1)
    assert rt.get_num_threads() == _kernels.get_num_threads() == 1
    rt.set_num_threads(2)
    assert rt.get_num_threads() == _kernels.get_num_threads() == 2
    with pytest.raises(ArgumentError, match="set_num_threads: count is at least 1, met 0"):
        rt.set_num_threads(0)
    with pytest.raises(OperandError, match="set_num_threads: count is an integer, met 'two'"):
        rt.set_num_threads("two")
    assert rt.get_num_threads() == 2
