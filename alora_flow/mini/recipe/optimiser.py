"""Muon for matrices, AdamW for the rest, and the learning rate's course.

Muon: https://kellerjordan.github.io/posts/muon (orthogonalised momentum by five Newton-Schulz steps).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from alora_flow.mini.recipe.network import Network

MUON_RATE, ADAM_RATE = 0.008, 2e-3
WARM, DECAY = 30, 0.5


def orthogonal(x: Tensor, dtype: torch.dtype) -> Tensor:
    """The nearest orthogonal matrices of a stack `[count, out, in]`, roughly."""
    tall = x.shape[1] > x.shape[2]
    u = (x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)).to(dtype)
    u = u.mT.contiguous() if tall else u
    for _ in range(5):
        square = u @ u.mT
        u = 3.4445 * u + (-4.7750 * square + 2.0315 * square @ square) @ u
    flat: Tensor = u.mT if tall else u
    return flat.float()


def slope(matrix: torch.nn.Parameter) -> Tensor:
    """A parameter's gradient, which the backward pass has just left."""
    assert matrix.grad is not None
    return matrix.grad


class Muon:
    """Steps the layers' matrices. Fused ones are split, since q, k and v are three maps and not one."""

    def __init__(self, network: Network, rate: float = MUON_RATE, dtype: torch.dtype = torch.float32) -> None:
        self.rate, self.dtype = rate, dtype
        self.groups: dict[tuple[int, ...], list[tuple[torch.nn.Parameter, int, int]]] = {}
        splits = {"qkv": 3, "out": 1, "gate_up": 2, "down": 1}
        for layer in network.stack:
            for name, count in splits.items():
                matrix = getattr(layer, name)
                rows = matrix.shape[0] // count
                for part in range(count):
                    self.groups.setdefault((rows, matrix.shape[1]), []).append((matrix, part * rows, rows))
        self.momentum = {shape: torch.zeros(len(parts), *shape) for shape, parts in self.groups.items()}

    @torch.no_grad()
    def step(self, scale: float) -> None:
        """One step at `scale` times the rate."""
        for shape, parts in self.groups.items():
            grad = torch.stack([slope(m)[at : at + n] for m, at, n in parts])
            momentum = self.momentum[shape].lerp_(grad, 0.05)
            update = orthogonal(grad.lerp(momentum, 0.95), self.dtype)
            size = max(1.0, shape[0] / shape[1]) ** 0.5 * self.rate * scale
            for (matrix, at, n), change in zip(parts, update, strict=True):
                matrix[at : at + n].mul_(1 - 0.01 * self.rate * scale).sub_(change, alpha=size)


class Optimiser:
    """Both optimisers as one; `progress` runs from 0 to 1."""

    def __init__(self, network: Network, dtype: torch.dtype = torch.float32) -> None:
        self.network = network
        self.muon = Muon(network, dtype=dtype)
        matrices = {id(m) for parts in self.muon.groups.values() for m, _, _ in parts}
        rest = [p for p in network.parameters() if id(p) not in matrices]
        self.adam = torch.optim.AdamW(rest, ADAM_RATE, betas=(0.9, 0.95), weight_decay=0.0)
        self.count = 0

    def scale(self, progress: float) -> float:
        """Warm up, hold, then fall linearly to nearly nothing."""
        return min(1.0, (self.count + 1) / WARM) * min(1.0, max(0.01, (1 - progress) / DECAY))

    def step(self, progress: float) -> None:
        """Apply the gradients and clear them."""
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        scale = self.scale(progress)
        for group in self.adam.param_groups:
            group["lr"] = ADAM_RATE * scale
        self.muon.step(scale)
        self.adam.step()
        self.network.zero_grad(set_to_none=True)
        self.count += 1

    def state(self) -> dict[str, Any]:
        """What a checkpoint needs."""
        return {"momentum": self.muon.momentum, "adam": self.adam.state_dict(), "count": self.count}

    def load(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        self.muon.momentum, self.count = state["momentum"], state["count"]
        self.adam.load_state_dict(state["adam"])
