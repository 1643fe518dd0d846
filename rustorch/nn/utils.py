"""Clipping of gradients under PyTorch's names (torch.nn.utils)."""

from rustorch_core._gradient_clipping import clip_grad_norm_, clip_grad_value_, clip_grads_with_norm_, get_total_norm

__all__ = ["clip_grad_norm_", "clip_grad_value_", "clip_grads_with_norm_", "get_total_norm"]
