"""The bundled model's own forward pass: a Llama without anything that training does not need.

Weights are those of `LlamaForCausalLM` with fused projections; `export_state` and `import_state` map one to the other.
On two cores the fused, mask-free form trains about twice as fast as the library's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Cache = list[tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Shape:
    """Sizes of the network. `heads` divides `hidden`.

    On two cores tokens are worth more than parameters: half again as wide it learned hardly more from a token, and saw
    half as many. Fewer, wider heads are faster, and copied names of two tokens worse.
    """

    vocabulary: int
    hidden: int = 128
    layers: int = 5
    heads: int = 4
    inner: int = 384
    positions: int = 1024
    theta: float = 10_000.0

    @property
    def head(self) -> int:
        """Width of one attention head."""
        return self.hidden // self.heads

    def config(self) -> dict[str, object]:
        """The same sizes as a `LlamaConfig` dictionary."""
        return {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "vocab_size": self.vocabulary,
            "hidden_size": self.hidden,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.heads,
            "head_dim": self.head,
            "intermediate_size": self.inner,
            "max_position_embeddings": self.positions,
            "rope_parameters": {"rope_type": "default", "rope_theta": self.theta},
            "rms_norm_eps": 1e-6,
            "hidden_act": "silu",
            "attention_bias": False,
            "mlp_bias": False,
            "tie_word_embeddings": True,
            "bos_token_id": None,
            "eos_token_id": 1,
            "pad_token_id": 0,
            "dtype": "bfloat16",
        }


class NetworkLayer(nn.Module):
    """One decoder layer; weights are `[out, in]` as in `nn.Linear`."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        d, f = shape.hidden, shape.inner
        self.norm_attention = nn.Parameter(torch.ones(d))
        self.qkv = nn.Parameter(torch.randn(3 * d, d) * 0.02)
        self.out = nn.Parameter(torch.randn(d, d) * 0.02 / (2 * shape.layers) ** 0.5)
        self.norm_inner = nn.Parameter(torch.ones(d))
        self.gate_up = nn.Parameter(torch.randn(2 * f, d) * 0.02)
        self.down = nn.Parameter(torch.randn(d, f) * 0.02 / (2 * shape.layers) ** 0.5)


class LayerDelta(nn.Module):
    """Low-rank change of one layer's q, k and v: `a` is `[3, rank, hidden]`, `b` is `[3, hidden, rank]`."""

    def __init__(self, hidden: int, rank: int) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.empty(3, rank, hidden).uniform_(-1, 1) * hidden**-0.5)
        self.b = nn.Parameter(torch.zeros(3, hidden, rank))

    def forward(self, x: Tensor, scale: float) -> Tensor:
        """`[batch, length, hidden]` → the change of the fused qkv, `[batch, length, 3 * hidden]`."""
        low = torch.einsum("bth,prh->btpr", x, self.a)
        return torch.einsum("btpr,phr->btph", low, self.b).flatten(2) * scale


class Adapter(nn.Module):
    """A `Delta` per layer. `scale` is `lora_alpha / rank`."""

    def __init__(self, shape: Shape, rank: int, alpha: int) -> None:
        super().__init__()
        self.rank, self.alpha, self.scale = rank, alpha, alpha / rank
        self.layers = nn.ModuleList(LayerDelta(shape.hidden, rank) for _ in range(shape.layers))

    @property
    def deltas(self) -> list[LayerDelta]:
        """The layers' changes, in order."""
        return cast("list[LayerDelta]", list(self.layers))

    def at(self, index: int, x: Tensor) -> Tensor:
        """The change at one layer for normed input `x`."""
        return cast(Tensor, self.layers[index](x, self.scale))


def rotary_table(shape: Shape) -> tuple[Tensor, Tensor]:
    """Cosines and sines, each `[positions, head]`, halves repeated as Llama's rotate-half wants."""
    speed = shape.theta ** (-torch.arange(0, shape.head, 2).float() / shape.head)
    angle = torch.arange(shape.positions).float()[:, None] * speed
    angle = torch.cat([angle, angle], 1)
    return angle.cos(), angle.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions on `[batch, heads, length, head]`."""
    left, right = x.chunk(2, -1)
    return x * cos + torch.cat([-right, left], -1) * sin


def attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Plain attention and its masked scores. On CPU its compiled form goes backward far faster than the fused one."""
    scores = torch.matmul(q * q.shape[-1] ** -0.5, k.transpose(2, 3)).masked_fill(~mask, -1e4)
    return torch.matmul(scores.softmax(-1), v), scores


class Network(nn.Module):
    """Token ids to hidden states; `embed` is also the output head."""

    cos: Tensor
    sin: Tensor
    causal: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embed = nn.Parameter(torch.randn(shape.vocabulary, shape.hidden) * 0.02)
        self.layers = nn.ModuleList(NetworkLayer(shape) for _ in range(shape.layers))
        self.norm = nn.Parameter(torch.ones(shape.hidden))
        cos, sin = rotary_table(shape)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        causal = torch.ones(shape.positions, shape.positions, dtype=torch.bool).tril()
        self.register_buffer("causal", causal, persistent=False)

    @property
    def stack(self) -> list[NetworkLayer]:
        """The layers, in order."""
        return cast("list[NetworkLayer]", list(self.layers))

    def forward(
        self,
        ids: Tensor,
        *,
        positions: Tensor | None = None,
        mask: Tensor | None = None,
        past: Cache | None = None,
        keep: Cache | None = None,
        adapter: Adapter | None = None,
        scores: list[Tensor] | None = None,
    ) -> Tensor:
        """Hidden states `[batch, length, hidden]`.

        Without `mask` attention is causal (right padding needs no mask). With `past`, `mask` is `[batch, 1, length,
        past + length]`. Keys and values are appended to `keep`, past included. `adapter` changes every token given.
        Each layer's attention scores of its first head, `[batch, length, past + length]`, are appended to `scores`.
        """
        x = F.embedding(ids, self.embed)
        if positions is None:
            cos, sin = self.cos[: ids.shape[1]], self.sin[: ids.shape[1]]
        else:
            cos, sin = self.cos[positions][:, None], self.sin[positions][:, None]
        for index, layer in enumerate(self.stack):
            normed = F.rms_norm(x, (self.shape.hidden,), layer.norm_attention, 1e-6)
            fused = F.linear(normed, layer.qkv)
            if adapter:
                fused = fused + adapter.at(index, normed)
            x = x + self.attend(layer, fused, (cos, sin), mask, past[index] if past else None, keep, scores)
            x = x + self.inner(layer, x)
        return F.rms_norm(x, (self.shape.hidden,), self.norm, 1e-6)

    def attend(
        self,
        layer: NetworkLayer,
        fused: Tensor,
        rotary: tuple[Tensor, Tensor],
        mask: Tensor | None,
        old: tuple[Tensor, Tensor] | None,
        keep: Cache | None,
        seen: list[Tensor] | None,
    ) -> Tensor:
        """Self-attention of one layer from its fused qkv, over `old` keys and values too where given."""
        rows, length = fused.shape[:2]
        q, k, v = fused.view(rows, length, 3, self.shape.heads, self.shape.head).permute(2, 0, 3, 1, 4)
        q, k = rotate(q, *rotary), rotate(k, *rotary)
        if old:
            k, v = torch.cat([old[0], k], 2), torch.cat([old[1], v], 2)
        if keep is not None:
            keep.append((k, v))
        y, scores = attention(q, k, v, self.causal[:length, :length] if mask is None else mask)
        if seen is not None:
            seen.append(scores[:, 0])
        return F.linear(y.transpose(1, 2).flatten(2), layer.out)

    def inner(self, layer: NetworkLayer, x: Tensor) -> Tensor:
        """The gated feed-forward of one layer."""
        normed = F.rms_norm(x, (self.shape.hidden,), layer.norm_inner, 1e-6)
        gate, up = F.linear(normed, layer.gate_up).chunk(2, -1)
        return F.linear(F.silu(gate) * up, layer.down)

    def logits(self, hidden: Tensor) -> Tensor:
        """Scores over the vocabulary."""
        return F.linear(hidden, self.embed)
