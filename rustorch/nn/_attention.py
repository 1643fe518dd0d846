"""Attention with several heads, and the transformer's encoder, under PyTorch's names and state-dict keys."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

from rustorch import random
from rustorch.nn import functional
from rustorch.nn._containers import ModuleList
from rustorch.nn._layers import Dropout, Linear, probability
from rustorch.nn._module import Module, Parameter
from rustorch.nn._normalisation import LayerNorm
from rustorch_core._arguments import flag, one_of
from rustorch_core._autograd import no_grad
from rustorch_core._creation_functions import full, ones, tril, zeros
from rustorch_core._data_types import CATEGORIES, bool_
from rustorch_core._define import cast
from rustorch_core._dispatch import check_tensor
from rustorch_core._elementwise_functions import logical_not, where
from rustorch_core._linear_algebra_functions import matmul
from rustorch_core._manipulation_functions import expand_dims, permute_dims, reshape, squeeze
from rustorch_core._sequence_functions import attention_weights
from rustorch_core._statistical_functions import mean
from rustorch_core._tensor import Tensor
from rustorch_core._windows import one_for_each
from rustorch_core.errors import ArgumentError, DTypeError, OperandError, ShapeError


class MultiheadAttention(Module):
    """Attention in several heads, each with projections of its own (Vaswani et al. 2017; PyTorch: its name).

    Arguments:
        embed_dim: the width of queries and of the output.
        num_heads: how many heads there are; they divide the width among them.
        dropout: the probability that a weight becomes 0 in training.
        bias: whether the projections add a bias.
        kdim: the width of keys; by default that of queries.
        vdim: the width of values; by default that of queries.
        batch_first: whether tensors are (N, L, width) and not (L, N, width).
        generator: where the initial values come from; by default the one that `rustorch.random.seed` sets.
        device: by default the default device.
        dtype: by default the default floating-point dtype.

    Raises:
        ArgumentError: where the heads do not divide the width.

    Source: initial values as PyTorch's: Glorot's uniform ones for what goes in, `Linear`'s for what comes out.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        *,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        generator: random.Generator | None = None,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        name = "MultiheadAttention"
        self.embed_dim, self.num_heads = one_for_each(name, "a length", (embed_dim, num_heads), 2)
        if self.embed_dim % self.num_heads:
            raise ArgumentError(f"{name}: num_heads={num_heads} does not divide embed_dim={embed_dim}")
        self.head_dim = self.embed_dim // self.num_heads
        widths = (self.embed_dim if kdim is None else kdim, self.embed_dim if vdim is None else vdim)
        self.kdim, self.vdim = one_for_each(name, "a width", widths, 2)
        self.dropout = probability(name, "dropout", dropout)
        self.batch_first = flag(name, "batch_first", batch_first)
        draw = random._or_default(name, generator).uniform
        options = {"device": device, "dtype": dtype}

        def glorot(rows: int, columns: int) -> Parameter:
            bound = math.sqrt(6 / (rows + columns))
            return Parameter(draw(-bound, bound, (rows, columns), **options))

        is_one = self.kdim == self.vdim == self.embed_dim
        self.in_proj_weight = glorot(3 * self.embed_dim, self.embed_dim) if is_one else None
        self.q_proj_weight = None if is_one else glorot(self.embed_dim, self.embed_dim)
        self.k_proj_weight = None if is_one else glorot(self.embed_dim, self.kdim)
        self.v_proj_weight = None if is_one else glorot(self.embed_dim, self.vdim)
        has_bias = flag(name, "bias", bias)
        self.in_proj_bias = Parameter(zeros(3 * self.embed_dim, **options)) if has_bias else None
        self.out_proj = Linear(self.embed_dim, self.embed_dim, has_bias, generator=generator, **options)
        if self.out_proj.bias is not None:
            with no_grad():
                self.out_proj.bias[...] = 0.0

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Compute the attention, and its weights where they are needed, which takes longer.

        Arguments:
            query: tensor of shape (L, N, embed_dim), (N, L, embed_dim) with `batch_first`, or (L, embed_dim).
            key: likewise, of length S and width `kdim`.
            value: likewise, of length S and width `vdim`.
            key_padding_mask: tensor of shape (N, S) or (S): boolean, True where a key is hidden; or added to scores.
            need_weights: whether to return the weights too.
            attn_mask: tensor of shape (L, S) or (N * num_heads, L, S), likewise.
            average_attn_weights: whether to return the mean of all heads' weights, or each head's.
            is_causal: whether each query looks at no key that is further from the start than itself.

        Returns:
            the output, of the form of `query`; and weights of shape (N, L, S) or (N, num_heads, L, S), or None.

        Raises:
            ShapeError: where the shapes do not fit.
        """
        is_single = self._check(query, key, value)
        if is_single or not self.batch_first:
            is_self = key is query and value is query
            batch = [
                expand_dims(each, axis=0) if is_single else permute_dims(each, (1, 0, 2))
                for each in (query, key, value)
            ]
            query, key, value = (batch[0],) * 3 if is_self else batch
        q, k, v = self._heads(query, key, value)
        mask = self._mask(q, k, key_padding_mask, attn_mask, is_causal)
        hides_later = is_causal and mask is None
        dropped = self.dropout if self.training else 0.0
        weights = None
        if need_weights:
            weights = attention_weights(q, k, mask, hides_later, self.head_dim**-0.5)
            weights = functional.dropout(weights, dropped) if dropped else weights
            y = matmul(weights, v)
            weights = mean(weights, axis=1) if average_attn_weights else weights
        else:
            y = functional.scaled_dot_product_attention(q, k, v, mask, dropped, hides_later)
        y = reshape(permute_dims(y, (0, 2, 1, 3)), query.shape)
        y = functional.linear(y, self.out_proj.weight, self.out_proj.bias)
        if is_single:
            return squeeze(y, axis=0), None if weights is None else squeeze(weights, axis=0)
        return y if self.batch_first else permute_dims(y, (1, 0, 2)), weights

    def _check(self, query: Tensor, key: Tensor, value: Tensor) -> bool:
        """Whether the tensors have no axis of examples."""
        widths = {"query": self.embed_dim, "key": self.kdim, "value": self.vdim}
        for (argument, width), each in zip(widths.items(), (query, key, value), strict=True):
            check_tensor("MultiheadAttention", each)
            if each.ndim not in (2, 3) or each.ndim != query.ndim or each.shape[-1] != width:
                raise ShapeError(
                    f"MultiheadAttention: {argument} has shape {each.shape}; expected {width} as its last length, and "
                    "two or three axes, the same for all three"
                )
        return query.ndim == 2

    def _heads(self, query: Tensor, key: Tensor, value: Tensor) -> list[Tensor]:
        """Queries, keys and values of each head, (N, num_heads, length, head_dim)."""
        width, weight, bias = self.embed_dim, self.in_proj_weight, self.in_proj_bias
        if weight is not None and key is query and value is query:
            joint = functional.linear(query, weight, bias)
            split = reshape(joint, (*query.shape[:2], 3, self.num_heads, self.head_dim))
            parts = permute_dims(split, (2, 0, 3, 1, 4))
            return [parts[0], parts[1], parts[2]]
        cuts = [slice(place * width, (place + 1) * width) for place in range(3)]
        separate = (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)
        weights = separate if weight is None else [weight[cut] for cut in cuts]
        biases = [None if bias is None else bias[cut] for cut in cuts]
        projected = map(functional.linear, (query, key, value), weights, biases)
        return [
            permute_dims(reshape(each, (*each.shape[:2], self.num_heads, self.head_dim)), (0, 2, 1, 3))
            for each in projected
        ]

    def _mask(
        self,
        q: Tensor,
        k: Tensor,
        key_padding_mask: Tensor | None,
        attn_mask: Tensor | None,
        is_causal: bool,
    ) -> Tensor | None:
        """What is added to the scores, (N, num_heads, L, S), or None."""
        batch, heads, length, others = *q.shape[:3], k.shape[2]
        total = None
        if attn_mask is not None:
            shapes = {(length, others): (1, 1), (batch * heads, length, others): (batch, heads)}
            total = _added(
                "attn_mask", attn_mask, q, {shape: (*front, length, others) for shape, front in shapes.items()}
            )
        if key_padding_mask is not None:
            shapes = {(batch, others): (batch, 1, 1, others)} | ({(others,): (1, 1, 1, others)} if batch == 1 else {})
            hidden = _added("key_padding_mask", key_padding_mask, q, shapes)
            if is_causal and total is None:
                later = logical_not(tril(ones((length, others), dtype=bool_, device=q.device)))
                total = _added("attn_mask", later, q, {(length, others): (1, 1, length, others)})
            total = hidden if total is None else total + hidden
        return total

    def extra_repr(self) -> str:
        return f"{self.embed_dim}, {self.num_heads}"


def _added(argument: str, mask: Tensor, like: Tensor, shapes: dict[tuple[int, ...], tuple[int, ...]]) -> Tensor:
    """A mask as what is added to scores, in the shape that one of its own becomes; a boolean one hides where True."""
    check_tensor("MultiheadAttention", mask)
    if mask.shape not in shapes:
        raise ShapeError(
            f"MultiheadAttention: {argument} has shape {mask.shape}, expected {' or '.join(map(str, shapes))}"
        )
    if mask.dtype == bool_:
        hidden, shown = (full((), each, dtype=like.dtype, device=like.device) for each in (-math.inf, 0.0))
        mask = where(mask, hidden, shown)
    elif mask.dtype not in CATEGORIES["real floating-point"]:
        raise DTypeError(f"MultiheadAttention: {argument} is boolean or real floating-point, met {mask.dtype}")
    return reshape(cast(mask, like.dtype), shapes[mask.shape])


_ACTIVATIONS = {"relu": functional.relu, "gelu": functional.gelu}


class TransformerEncoderLayer(Module):
    """Attention of a sequence to itself, then two linear layers, each added to what goes in (Vaswani et al. 2017).

    Arguments:
        d_model: the width of the input and of the output.
        nhead: how many heads the attention has.
        dim_feedforward: the width between the linear layers.
        dropout: the probability that an element becomes 0 in training.
        activation: "relu", "gelu" or a function, between the linear layers.
        layer_norm_eps: added to the variances.
        batch_first: whether tensors are (N, L, d_model) and not (L, N, d_model).
        norm_first: whether what goes into each part is normalised, and not what comes out.
        bias: whether linear layers and norms have a bias.
        generator: where the initial values come from; by default the one that `rustorch.random.seed` sets.
        device: by default the default device.
        dtype: by default the default floating-point dtype.
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str | Callable[[Tensor], Tensor] = "relu",
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        *,
        generator: random.Generator | None = None,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        options = {"device": device, "dtype": dtype}
        drawn = {"generator": generator, **options}
        self.self_attn = MultiheadAttention(d_model, nhead, dropout, bias, batch_first=batch_first, **drawn)
        self.linear1 = Linear(d_model, dim_feedforward, bias, **drawn)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias, **drawn)
        self.norm1 = LayerNorm(d_model, layer_norm_eps, bias=bias, **options)
        self.norm2 = LayerNorm(d_model, layer_norm_eps, bias=bias, **options)
        self.dropout1, self.dropout2 = Dropout(dropout), Dropout(dropout)
        self.norm_first = flag("TransformerEncoderLayer", "norm_first", norm_first)
        self.activation = (
            activation
            if callable(activation)
            else _ACTIVATIONS[one_of("TransformerEncoderLayer", "activation", activation, _ACTIVATIONS)]
        )

    def forward(
        self,
        src: Tensor,
        src_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Tensor:
        """Compute the layer; masks as for `MultiheadAttention`."""

        def attend(x: Tensor) -> Tensor:
            y, _ = self.self_attn(x, x, x, src_key_padding_mask, False, src_mask, is_causal=is_causal)
            return self.dropout1(y)

        def feed(x: Tensor) -> Tensor:
            return self.dropout2(self.linear2(self.dropout(self.activation(self.linear1(x)))))

        if self.norm_first:
            x = src + attend(self.norm1(src))
            return x + feed(self.norm2(x))
        x = self.norm1(src + attend(src))
        return self.norm2(x + feed(x))


class TransformerEncoder(Module):
    """Copies of a layer, one after the other (PyTorch: nn.TransformerEncoder).

    Arguments:
        encoder_layer: the layer; each copy begins with its values.
        num_layers: how many copies.
        norm: a module for the last output, or None.
    """

    def __init__(self, encoder_layer: Module, num_layers: int, norm: Module | None = None) -> None:
        if not isinstance(encoder_layer, Module):
            raise OperandError(f"TransformerEncoder: expected a module, met {type(encoder_layer).__name__}")
        self.layers = ModuleList(copy.deepcopy(encoder_layer) for _ in range(num_layers))
        self.norm = norm

    def forward(
        self,
        src: Tensor,
        mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Tensor:
        """Pass `src` through all layers; masks as for `MultiheadAttention`."""
        for layer in self.layers:
            src = layer(src, mask, src_key_padding_mask, is_causal)
        return src if self.norm is None else self.norm(src)
