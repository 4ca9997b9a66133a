"""One decoder layer's weights, taken out of a module of transformers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from alora_runtime.compute.attention import Scoring
from alora_runtime.compute.processor import Processor
from alora_runtime.compute.projection import Part, Projection
from alora_runtime.compute.rotation import Rotation, interleaved
from alora_runtime.compute.traits import Traits

NORMS = ("input_layernorm", "post_attention_layernorm", "pre_feedforward_layernorm", "post_feedforward_layernorm")
PARTS = {*NORMS, "self_attn", "mlp", "resid_attn_dropout", "resid_mlp_dropout"}
ATTENTION = {"q_proj", "k_proj", "v_proj", "o_proj", "qkv_proj", "q_norm", "k_norm"}
MLP = {"gate_proj", "up_proj", "gate_up_proj", "down_proj", "act_fn", "activation_fn"}
"""The modules that are known here, of a layer and its two blocks."""


class Layer:
    """`name`: its module's, which adapters know it by.

    after_attention, after_mlp: norms of a block's output, before it is added; only some architectures have them.
    experts: a mixture of experts as transformers computes it, in the place of gate_up and down.
    """

    def __init__(
        self, processor: Processor, name: str, source: Any, traits: Traits, rotation: Rotation, window: int | None
    ) -> None:
        attention, mlp, device, dim = source.self_attn, source.mlp, processor.device, traits.dim

        def part(block: str, linear: str, order: Tensor | None = None) -> Part:
            return Part(f"{name}.{block}.{linear}", getattr(getattr(source, block), linear), order)

        sides = [interleaved(heads, dim, rotation.rotated) for heads in (traits.heads, traits.kv_heads)]
        if hasattr(attention, "qkv_proj"):
            self.qkv = Projection(processor, part("self_attn", "qkv_proj", _fused(*sides)))
        else:
            linears = ("q_proj", "k_proj", "v_proj")
            orders = (*sides, None)
            self.qkv = Projection(processor, *(part("self_attn", *own) for own in zip(linears, orders, strict=True)))
        self.out = Projection(processor, part("self_attn", "o_proj"))
        self.projections = [self.qkv, self.out]
        self.experts: Callable[[Tensor], tuple[Tensor, object]] | None = None
        if hasattr(mlp, "down_proj"):
            fused = ("gate_up_proj",) if hasattr(mlp, "gate_up_proj") else ("gate_proj", "up_proj")
            self.gate_up = Projection(processor, *(part("mlp", linear) for linear in fused))
            self.down = Projection(processor, part("mlp", "down_proj"))
            self.projections += [self.gate_up, self.down]
            activation = mlp.act_fn if hasattr(mlp, "act_fn") else mlp.activation_fn
            self.activation: Callable[[Tensor], Tensor] = F.silu if isinstance(activation, nn.SiLU) else activation
        else:
            self.experts = mlp.to(device)
        before, after, before_mlp, after_mlp = (getattr(source, norm, None) for norm in NORMS)
        if before_mlp is None:  # as in Llama: its name says where it stands, not what it is of
            after, before_mlp = None, after
        self.before_attention, self.before_mlp = Norm(before, device), Norm(before_mlp, device)
        self.after_attention = None if after is None else Norm(after, device)
        self.after_mlp = None if after_mlp is None else Norm(after_mlp, device)
        order = interleaved(1, dim, rotation.rotated)
        norms = [getattr(attention, side, None) for side in ("q_norm", "k_norm")]
        self.head_norms = [Norm(norm, device, order) for norm in norms if norm is not None]
        sinks = getattr(attention, "sinks", None)
        self.scoring = Scoring(
            float(attention.scaling), traits.score_cap, None if sinks is None else sinks.detach().float().to(device)
        )
        self.rotation, self.window = rotation, window


def _fused(query: Tensor, key: Tensor) -> Tensor:
    """The orders of queries and keys, and values as they are, one after the other."""
    numbers = torch.arange(len(query) + 2 * len(key))
    return torch.cat([query, len(query) + key, numbers[len(query) + len(key) :]])


class Norm:
    """Root mean square normalisation over the last dimension. Written out, because `F.rms_norm` is six operations over
    all numbers on a processor: these take half its time for one row and a quarter for 2,048."""

    def __init__(self, source: Any, device: torch.device, order: Tensor | None = None) -> None:
        weight = source.weight.detach()
        if hasattr(source, "eps"):  # Gemma's, which are stored less one
            weight, eps = 1.0 + weight.float(), source.eps
        else:
            eps = source.variance_epsilon
        self.weight: Tensor = (weight if order is None else weight[order]).to(device)
        self.eps = torch.tensor([float(eps)], device=device)

    def __call__(self, hidden: Tensor) -> Tensor:
        """The same shape; computed in float32, as transformers does."""
        if hidden.dtype == torch.float32:
            return self._normal(hidden).mul_(self.weight)
        normal = self._normal(hidden.float())
        if self.weight.dtype == torch.float32:
            return normal.mul_(self.weight).to(hidden.dtype)
        return self.weight * normal.to(hidden.dtype)

    def _normal(self, hidden: Tensor) -> Tensor:
        length = torch.linalg.vector_norm(hidden, 2, -1, True)
        # Divided by a root: `rsqrt` would cost a third of the exactness.
        return hidden / torch.addcmul(self.eps, length, length, value=1 / hidden.shape[-1]).sqrt_()


def misfit(source: Any) -> str | None:
    """Why a layer can't be computed here: the modules that are not known. Else None."""
    further = {name for name, _ in source.named_children()} - PARTS
    further |= {f"self_attn.{name}" for name, _ in source.self_attn.named_children() if name not in ATTENTION}
    mixture = not hasattr(source.mlp, "down_proj")
    own = source.mlp.named_modules() if mixture else source.mlp.named_children()
    further |= {f"mlp.{name}" for name, part in own if (isinstance(part, nn.Linear) if mixture else name not in MLP)}
    return f"its layers have {', '.join(sorted(further))}" if further else None
