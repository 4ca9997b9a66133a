"""The forward pass of Llama-shaped models over packed rows: transformers' weights, without its modules.

A small model spends most of a step on calling operations. Here a layer is about a dozen of them: q, k and v are one
matrix, gate and up another; the rotation of queries and keys is one complex multiplication in place; residuals are
added by the matrix product itself; and only rows that somebody wants go through the end of the last layer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from alora_runtime.adapters.routing import Routing
from alora_runtime.adapters.weights import LowRank
from alora_runtime.compute.attention import Store
from alora_runtime.compute.batch import Batch
from alora_runtime.compute.processor import Processor
from alora_runtime.compute.projection import Head, Part, Projection


def interleaved(heads: int, dim: int) -> Tensor:
    """The order of a projection's outputs in which the two numbers that are rotated together, i and i + dim/2 in the
    checkpoint, are neighbours. Scores do not change when queries and keys are reordered alike."""
    order = torch.arange(dim).view(2, dim // 2).t().reshape(-1)
    return (torch.arange(heads)[:, None] * dim + order).reshape(-1)


class Layer:
    """One decoder layer's weights. `name`: its module's, which adapters know it by."""

    def __init__(self, processor: Processor, name: str, source: Any, config: Any, dim: int) -> None:
        attention, mlp = source.self_attn, source.mlp
        heads, kv_heads = config.num_attention_heads, config.num_key_value_heads

        def part(block: str, linear: str, order: Tensor | None = None) -> Part:
            return Part(f"{name}.{block}.{linear}", getattr(getattr(source, block), linear), order)

        self.qkv = Projection(
            processor,
            part("self_attn", "q_proj", interleaved(heads, dim)),
            part("self_attn", "k_proj", interleaved(kv_heads, dim)),
            part("self_attn", "v_proj"),
        )
        self.out = Projection(processor, part("self_attn", "o_proj"))
        self.gate_up = Projection(processor, part("mlp", "gate_proj"), part("mlp", "up_proj"))
        self.down = Projection(processor, part("mlp", "down_proj"))
        device = processor.device
        self.before_attention = Norm(source.input_layernorm, device)
        self.before_mlp = Norm(source.post_attention_layernorm, device)
        order = interleaved(1, dim)
        norms = [getattr(attention, side, None) for side in ("q_norm", "k_norm")]
        self.head_norms = [Norm(norm, device, order) for norm in norms if norm is not None]
        self.activation: Callable[[Tensor], Tensor] = F.silu if isinstance(mlp.act_fn, nn.SiLU) else mlp.act_fn
        self.scale = float(attention.scaling)
        self.residual = float(getattr(config, "residual_multiplier", 1.0))

    @property
    def projections(self) -> tuple[Projection, ...]:
        """Everything that adapters may update."""
        return self.qkv, self.out, self.gate_up, self.down


class Norm:
    """Root mean square normalisation over the last dimension. Written out, because `F.rms_norm` is six operations over
    all numbers on a processor: these take half its time for one row and a quarter for 2,048."""

    def __init__(self, source: Any, device: torch.device, order: Tensor | None = None) -> None:
        weight = source.weight.detach()
        self.weight: Tensor = (weight if order is None else weight[order]).to(device)
        self.eps = torch.tensor([float(source.variance_epsilon)], device=device)

    def __call__(self, hidden: Tensor) -> Tensor:
        """The same shape; computed in float32, as transformers does."""
        if hidden.dtype == torch.float32:
            return self._normal(hidden).mul_(self.weight)
        return self.weight * self._normal(hidden.float()).to(hidden.dtype)

    def _normal(self, hidden: Tensor) -> Tensor:
        length = torch.linalg.vector_norm(hidden, 2, -1, True)
        # Divided by a root: `rsqrt` would cost a third of the exactness.
        return hidden / torch.addcmul(self.eps, length, length, value=1 / hidden.shape[-1]).sqrt_()


class Decoder:
    """A whole model. Takes the weights out of a transformers model, which is of no use afterwards.

    modules: `(outputs, inputs)` of every Linear that adapters may update, by name.
    """

    def __init__(self, model: Any, vocabulary: int, processor: Processor) -> None:
        config, body, device = model.config, model.model, processor.device
        self.processor = processor
        self.dtype: torch.dtype = model.dtype
        self.heads, self.kv_heads = config.num_attention_heads, config.num_key_value_heads
        self.dim = getattr(config, "head_dim", None) or config.hidden_size // self.heads
        self.embedding: Tensor = body.embed_tokens.weight.detach().to(device)
        self.embedding_scale = float(getattr(config, "embedding_multiplier", 1.0))
        self.parameters = sum(parameter.numel() for parameter in model.parameters())
        self.modules = {name: tuple(linear.weight.shape) for name, linear in linears(model)}
        self.layers = []
        for index, source in enumerate(body.layers):
            self.layers.append(Layer(processor, f"model.layers.{index}", source, config, self.dim))
            source.to("meta")  # its weights have been copied
        self.norm = Norm(body.norm, device)
        # An output matrix that is the embedding's own stays so.
        tied = model.lm_head.weight is body.embed_tokens.weight
        weight = self.embedding if tied else model.lm_head.weight.detach()
        bias = None if model.lm_head.bias is None else model.lm_head.bias.detach()[:vocabulary]
        self.head = Head(processor, weight[:vocabulary], bias, float(getattr(config, "logits_scaling", 1.0)))
        self._frequencies: Tensor = body.rotary_emb.inv_freq.float().to(device)
        self._amplitude = float(body.rotary_emb.attention_scaling)
        self._angles = torch.empty(0, self.dim // 2, dtype=torch.complex64, device=device)

    @staticmethod
    def misfit(model: Any) -> str | None:
        """Why a model can't be computed here: heads that are rotated in part, layers with further parts. Else None."""
        config, body = model.config, model.model
        dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        if 2 * len(body.rotary_emb.inv_freq) != dim:
            return f"it rotates {2 * len(body.rotary_emb.inv_freq)} of a head's {dim} numbers"
        usual = {"input_layernorm", "post_attention_layernorm", "self_attn", "mlp"}
        parts = {name for layer in body.layers for name, _ in layer.named_children()}
        return f"its layers have {', '.join(sorted(parts ^ usual))}" if parts != usual else None

    def put(self, number: int, updates: Mapping[str, LowRank]) -> None:
        """Add an adapter under a number."""
        for layer in self.layers:
            for projection in layer.projections:
                projection.put(number, updates)

    def drop(self, number: int) -> None:
        """Forget an adapter."""
        for layer in self.layers:
            for projection in layer.projections:
                projection.drop(number)

    def hidden(self, batch: Batch) -> Tensor:
        """One forward pass; the last hidden states `[kept, hidden]` of the rows that the batch keeps."""
        hidden = self.embedding[batch.tokens]
        if self.embedding_scale != 1.0:
            hidden = hidden * self.embedding_scale
        angles = self._rotation(batch.positions, batch.longest + 1)
        for index, layer in enumerate(self.layers):
            last = index == len(self.layers) - 1
            hidden = self._layer(layer, batch, batch.stores[index], hidden, angles, last)
        return self.norm(hidden)

    def _layer(self, layer: Layer, batch: Batch, store: Store, hidden: Tensor, angles: Tensor, last: bool) -> Tensor:
        """`[rows, hidden]` → the same; in the last layer `[kept, hidden]`."""
        heads, routing = self.heads, batch.routing
        qkv = layer.qkv(layer.before_attention(hidden), routing)
        query, kv = qkv[:, : heads * self.dim].view(len(qkv), heads, self.dim), qkv[:, heads * self.dim :]
        if layer.head_norms:
            keys = kv[:, : self.kv_heads * self.dim].view(len(qkv), self.kv_heads, self.dim)
            for norm, part in zip(layer.head_norms, (query, keys), strict=True):
                part.copy_(norm(part))
        self._rotate(qkv[:, : angles.shape[1] * 2], angles)
        if isinstance(batch.slots, slice):
            store.flat[batch.slots] = kv
        else:
            store.flat.index_copy_(0, batch.slots, kv)
        attended = self.processor.attend(query, store, batch.clusters, layer.scale)
        if last and batch.kept is not None:
            hidden, attended, routing = hidden[batch.kept], attended[batch.kept], batch.kept_routing
        return self._after_attention(layer, hidden, attended, routing)

    def _after_attention(self, layer: Layer, hidden: Tensor, attended: Tensor, routing: Routing) -> Tensor:
        hidden = layer.out.add_to(hidden, attended, routing, layer.residual)
        gate, up = layer.gate_up(layer.before_mlp(hidden), routing).chunk(2, dim=-1)
        return layer.down.add_to(hidden, layer.activation(gate).mul_(up), routing, layer.residual)

    def _rotate(self, sides: Tensor, angles: Tensor) -> None:
        """Queries and keys `[rows, (heads + kv_heads) * dim]`, in place."""
        if sides.dtype == torch.float32:
            sides.view(torch.complex64).mul_(angles)
        else:
            turned = sides.float().view(torch.complex64).mul_(angles)
            sides.copy_(turned.view(torch.float32))

    def _rotation(self, positions: Tensor, needed: int) -> Tensor:
        """`[rows, (heads + kv_heads) * dim / 2]` complex numbers; the table grows with the longest sequence."""
        if needed > len(self._angles):
            length = max(1024, 1 << (needed - 1).bit_length())
            phase = torch.arange(length, device=self._angles.device)[:, None].float() * self._frequencies
            self._angles = torch.polar(torch.full_like(phase, self._amplitude), phase)
        return self._angles[positions].repeat(1, self.heads + self.kv_heads)


def linears(model: Any) -> Iterator[tuple[str, nn.Linear]]:
    """Every Linear of the decoder layers, by name."""
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) and ".layers." in name:
            yield name, module
