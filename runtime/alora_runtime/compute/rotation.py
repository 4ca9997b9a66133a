"""Rotary positions: of each head, pairs of numbers are turned by an angle that grows with the position."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def interleaved(heads: int, dim: int, rotated: int) -> Tensor:
    """The order of a projection's outputs in which the two numbers that are rotated together, i and i + rotated/2 in
    the checkpoint, are neighbours. Scores do not change when queries and keys are reordered alike."""
    order = torch.cat([torch.arange(rotated).view(2, rotated // 2).t().reshape(-1), torch.arange(rotated, dim)])
    return (torch.arange(heads)[:, None] * dim + order).reshape(-1)


class Rotation:
    """A table of angles for queries and keys side by side, in `interleaved` order; it grows with the longest sequence.

    rotated: the first numbers of a head that are turned; the others stay as they are.
    """

    def __init__(self, frequencies: Tensor, amplitude: float, dim: int, heads: int, device: torch.device) -> None:
        """frequencies: `[rotated / 2]`, radians a position. heads: of queries and keys together."""
        self.rotated = 2 * len(frequencies)
        still = torch.zeros(dim // 2 - len(frequencies))
        self._frequencies = torch.cat([frequencies.float().cpu(), still]).to(device)
        self._amplitudes = torch.cat([torch.full((len(frequencies),), amplitude), still + 1.0]).to(device)
        self._heads = heads
        self._angles = torch.empty(0, dim // 2, dtype=torch.complex64, device=device)

    def still(self) -> Rotation:
        """One of the same shape that turns nothing."""
        dim, device = 2 * len(self._frequencies), self._frequencies.device
        return Rotation(torch.zeros(self.rotated // 2), 1.0, dim, self._heads, device)

    def at(self, positions: Tensor, needed: int) -> Tensor:
        """`[rows]` → `[rows, heads * dim / 2]` complex numbers; `needed`: positions that the table must have."""
        if needed > len(self._angles):
            length = max(1024, 1 << (needed - 1).bit_length())
            phase = torch.arange(length, device=self._angles.device)[:, None].float() * self._frequencies
            self._angles = torch.polar(self._amplitudes.expand_as(phase).contiguous(), phase)
        return self._angles[positions].repeat(1, self._heads)


def rotate(sides: Tensor, angles: Tensor) -> None:
    """Queries and keys `[rows, heads * dim]`, in place."""
    if sides.dtype == torch.float32:
        sides.view(torch.complex64).mul_(angles)
    else:
        turned = sides.float().view(torch.complex64).mul_(angles)
        sides.copy_(turned.view(torch.float32))


UNTURNED = "no rope"
"""The kind of layers that know no positions, as some of SmolLM3's."""


def kind_of(layer: Any) -> str | None:
    """By which a decoder layer of transformers finds its rotation; None where all layers have the same."""
    attention = layer.self_attn
    return getattr(attention, "layer_type", None) if getattr(attention, "use_rope", True) else UNTURNED


def rotations(rotary: Any, dim: int, heads: int, device: torch.device) -> dict[str | None, Rotation]:
    """Those of a model's `rotary_emb` by layer type, or one under None for all layers."""
    if hasattr(rotary, "inv_freq"):
        return {None: Rotation(rotary.inv_freq, float(rotary.attention_scaling), dim, heads, device)}
    parts = {kind: (f"{kind}_inv_freq", f"{kind}_attention_scaling") for kind in rotary.layer_types}
    return {
        kind: Rotation(getattr(rotary, frequencies), float(getattr(rotary, amplitude)), dim, heads, device)
        for kind, (frequencies, amplitude) in parts.items()
    }
