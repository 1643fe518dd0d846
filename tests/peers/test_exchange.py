"""Exchange with PyTorch and JAX, which `make test-peers` installs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

import rustorch as rt
from rustorch_core._data_types import DTYPES
from rustorch_core.errors import ArgumentError, ExportError, OperandError

jax.config.update("jax_enable_x64", True)

SHAPES = [(), (0, 3), (2, 3)]
VIEWS = {
    "whole": lambda x: x,
    "transpose": lambda x: x.mT,
    "strided": lambda x: x[1:, ::2],
    "reversed": lambda x: x[::-1, ::-1],
    "broadcast": lambda x: rt.broadcast_to(x[:1], (3, 4)) if isinstance(x, rt.Tensor) else x[:1].expand(3, 4),
}


def theirs(library, dtype, shape):
    if library is torch:
        return torch.ones(shape, dtype=getattr(torch, dtype))
    return jnp.ones(shape, dtype=dtype)


def values(x):
    return np.asarray(x.to(torch.float64) if isinstance(x, torch.Tensor) and x.dtype == torch.bfloat16 else x).tolist()


def pointer(x):
    if isinstance(x, rt.Tensor):
        return x._array.__array_interface__["data"][0]
    return x.data_ptr() if isinstance(x, torch.Tensor) else x.unsafe_buffer_pointer()


@pytest.mark.parametrize("dtype", list(DTYPES))
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("take", [torch.from_dlpack, torch.asarray, jax.dlpack.from_dlpack, jnp.from_dlpack])
def test_they_take_our_memory(take, dtype, shape):
    x = rt.ones(shape, dtype=dtype)
    taken = take(x)
    assert str(taken.dtype).removeprefix("torch.") == dtype
    assert (tuple(taken.shape), values(taken)) == (shape, x.tolist())
    # JAX copies what is not aligned to its own taste; PyTorch takes all memory as it is.
    if x.size and isinstance(taken, torch.Tensor):
        assert pointer(taken) == pointer(x)
        taken.zero_()
        assert not x.any()


@pytest.mark.parametrize("dtype", list(DTYPES))
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("library", [torch, jax])
@pytest.mark.parametrize("take", [rt.from_dlpack, rt.asarray])
def test_we_take_their_memory(take, library, dtype, shape):
    given = theirs(library, dtype, shape)
    x = take(given)
    assert (x.dtype, x.shape, x.tolist()) == (dtype, shape, values(given))
    if x.size:
        assert pointer(x) == pointer(given)
        assert pointer(take(given, copy=True)) != pointer(given)
        assert pointer(take(given, copy=False)) == pointer(given)
    del given
    assert x.tolist() == np.ones(shape).tolist()


def test_there_and_back_is_the_same_memory():
    x = rt.ones((2, 3))
    assert pointer(rt.from_dlpack(torch.from_dlpack(x))) == pointer(x)
    given = torch.ones(3)
    assert torch.from_dlpack(rt.from_dlpack(given)).data_ptr() == given.data_ptr()
    theirs = jnp.arange(64.0)
    assert jnp.from_dlpack(rt.from_dlpack(theirs)).tolist() == theirs.tolist()


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_views_of_ours(view):
    x = view(rt.arange(12.0).reshape((3, 4)))
    for take in (torch.from_dlpack, torch.asarray, jnp.asarray):
        assert values(take(x)) == x.tolist()
    if view is not VIEWS["reversed"]:
        assert torch.from_dlpack(x).data_ptr() == pointer(x)


@pytest.mark.parametrize("view", [VIEWS[name] for name in VIEWS if name != "reversed"])
def test_views_of_theirs(view):
    given = view(torch.arange(12.0).reshape(3, 4))
    x = rt.from_dlpack(given)
    assert (x.tolist(), pointer(x)) == (given.tolist(), given.data_ptr())


def test_what_jax_holds_is_never_written():
    given = jnp.asarray([1.0, 2.0])
    for take in (rt.from_dlpack, rt.asarray, lambda given: rt.from_dlpack(given, copy=False)):
        x = take(given)
        for write in (lambda x: x.__setitem__(0, 5.0), lambda x: x.__iadd__(1), lambda x: x[1:].copy_(0)):
            with pytest.raises(ArgumentError, match=r"read-only.*\.clone\(\)"):
                write(x)
    mine = rt.from_dlpack(given, copy=True)
    mine[0] = 5.0
    assert given.tolist() == [1, 2]


def test_what_takes_part_in_their_gradient_is_refused():
    given = torch.ones(2, requires_grad=True)
    with pytest.raises(ExportError, match="detach"):
        rt.from_dlpack(given)
    with pytest.raises(OperandError, match="detach"):
        rt.asarray(given)
    with pytest.raises(BufferError, match="detach"):
        torch.from_dlpack(rt.ones(2).requires_grad_())


@pytest.mark.parametrize(
    "share",
    [
        lambda: (x := rt.ones(3), torch.from_dlpack(x)),
        lambda: (x := rt.ones(3), torch.from_dlpack(x[1:].detach())),
    ],
)
def test_a_gradient_survives_them(share):
    x, given = share()
    w = rt.ones(3).requires_grad_()
    y = x * w
    given.fill_(50.0)
    y.sum().backward()
    assert 50.0 in x
    assert w.grad.tolist() == [1, 1, 1]


def test_lists_of_theirs():
    made = rt.asarray([torch.ones(2), torch.zeros(2)])
    assert (made.dtype, made.tolist()) == (rt.float32, [[1, 1], [0, 0]])
    assert rt.asarray([jnp.float32(1), jnp.float32(2)]).dtype == rt.float32


def test_their_arrays_stand_beside_no_tensor():
    x = rt.ones(2)
    for other in (torch.ones(2), jnp.ones(2)):
        for first, second in ((x, other), (other, x)):
            with pytest.raises(TypeError):
                first + second
        with pytest.raises(OperandError, match="asarray"):
            rt.add(x, other)
        assert (x + rt.asarray(other)).tolist() == [2, 2]
