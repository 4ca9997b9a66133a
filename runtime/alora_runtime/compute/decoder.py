"""The forward pass of Llama-shaped models over packed rows: transformers' weights, without its modules.

A small model spends most of a step on calling operations. Here a layer is about a dozen of them: q, k and v are one
matrix, gate and up another; the rotation of queries and keys is one complex multiplication in place; residuals are
added by the matrix product itself; and only rows that somebody wants go through the end of the last layer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from alora_runtime.adapters.routing import Routing
from alora_runtime.adapters.weights import LowRank
from alora_runtime.compute.attention import Store
from alora_runtime.compute.batch import Batch
from alora_runtime.compute.layer import Layer, Norm, misfit
from alora_runtime.compute.processor import Processor
from alora_runtime.compute.projection import Head, Projection
from alora_runtime.compute.rotation import UNTURNED, interleaved, kind_of, rotate, rotations
from alora_runtime.compute.traits import traits_of


class Decoder:
    """A whole model. Takes the weights out of a transformers model, which is of no use afterwards.

    modules: `(outputs, inputs)` of every Linear that adapters may update, by name.
    """

    def __init__(self, model: Any, vocabulary: int, processor: Processor) -> None:
        body, device, traits = model.model, processor.device, traits_of(model)
        self.processor = processor
        self.dtype: torch.dtype = model.dtype
        self.heads, self.kv_heads, self.dim = traits.heads, traits.kv_heads, traits.dim
        self.window = traits.window
        self.embedding: Tensor = body.embed_tokens.weight.detach().to(device)
        self.embedding_scale, self.residual = traits.embedding_scale, traits.residual
        self.parameters = sum(parameter.numel() for parameter in model.parameters())
        self.modules = {name: tuple(linear.weight.shape) for name, linear in linears(model)}
        self._rotations = rotations(body.rotary_emb, self.dim, self.heads + self.kv_heads, device)
        if any(kind_of(layer) == UNTURNED for layer in body.layers):
            self._rotations[UNTURNED] = next(iter(self._rotations.values())).still()
        self.layers = []
        for index, (source, window) in enumerate(zip(body.layers, traits.windows, strict=True)):
            rotation = self._rotations.get(kind_of(source)) or self._rotations[None]
            layer = Layer(processor, f"model.layers.{index}", source, traits, rotation, window)
            self.layers.append(layer)
            for part in source.children():
                if part is not layer.experts:
                    part.to("meta")  # its weights have been copied
        self.norm = Norm(body.norm, device)
        # An output matrix that is the embedding's own stays so.
        tied = model.lm_head.weight is body.embed_tokens.weight
        weight = self.embedding if tied else model.lm_head.weight.detach()
        bias = None if model.lm_head.bias is None else model.lm_head.bias.detach()[:vocabulary]
        self.head = Head(processor, weight[:vocabulary], bias, traits.divisor, traits.logit_cap)

    @staticmethod
    def misfit(model: Any) -> str | None:
        """Why a model can't be computed here: layers with further parts. Else None."""
        return next((reason for layer in model.model.layers if (reason := misfit(layer))), None)

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

    def as_stored(self, kv: Tensor) -> Tensor:
        """KV of the arena, `[layers, tokens, 2, kv_heads, dim]`, with a head's numbers in the checkpoint's order."""
        rotated = next(iter(self._rotations.values())).rotated
        kv[:, :, 0] = kv[:, :, 0, :, interleaved(1, self.dim, rotated).argsort()]
        return kv

    def hidden(self, batch: Batch) -> Tensor:
        """One forward pass; the last hidden states `[kept, hidden]` of the rows that the batch keeps."""
        hidden = self.embedding[batch.tokens]
        if self.embedding_scale != 1.0:
            hidden = hidden * self.embedding_scale
        angles = {rotation: rotation.at(batch.positions, batch.longest + 1) for rotation in self._rotations.values()}
        for index, layer in enumerate(self.layers):
            last = index == len(self.layers) - 1
            hidden = self._layer(layer, batch, batch.stores[index], hidden, angles[layer.rotation], last)
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
        rotate(qkv[:, : angles.shape[1] * 2], angles)
        kv = kv.view(len(qkv), 2, self.kv_heads, self.dim)
        if isinstance(batch.slots, slice):
            store.slots[batch.slots] = kv
        else:
            store.slots.index_copy_(0, batch.slots, kv)
        if last and batch.kept is not None:
            hidden, query, routing = hidden[batch.kept], query[batch.kept], batch.kept_routing
            if not len(hidden):
                return hidden
        clusters = batch.attending(layer.window is not None, last)
        attended = self.processor.attend(query, store, clusters, layer.scoring)
        hidden = self._added(hidden, layer.out, attended, routing, layer.after_attention)
        return self._after_attention(layer, hidden, routing)

    def _after_attention(self, layer: Layer, hidden: Tensor, routing: Routing) -> Tensor:
        normal = layer.before_mlp(hidden)
        if layer.experts is not None:
            return hidden + layer.experts(normal[None])[0][0]
        gate, up = layer.gate_up(normal, routing).chunk(2, dim=-1)
        return self._added(hidden, layer.down, layer.activation(gate).mul_(up), routing, layer.after_mlp)

    def _added(
        self, hidden: Tensor, projection: Projection, block: Tensor, routing: Routing, norm: Norm | None
    ) -> Tensor:
        """A block's end, `[rows, inputs]`, onto `[rows, hidden]`."""
        if norm is None:
            return projection.add_to(hidden, block, routing, self.residual)
        return norm(projection(block, routing)).add_(hidden)


def linears(model: Any) -> Iterator[tuple[str, nn.Linear]]:
    """Every Linear of the decoder layers, by name."""
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) and ".layers." in name:
            yield name, module
