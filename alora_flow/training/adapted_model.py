"""The base with an adapter that learns: transformers' model, PEFT's adapter, and attention over kept contexts."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from torch import Tensor
from transformers import AttentionInterface, AutoModelForCausalLM
from transformers.utils import logging

from alora_flow.errors import BadInput
from alora_flow.training.contexts import Past

NAME = "alora_flow_kept"
"""What transformers knows our attention by. It is unknown to its mask functions, so that no mask is built."""


class AdaptedModel:
    """A base that stays as it is, and an adapter on some of its projections."""

    def __init__(self, base: Path, config: LoraConfig, precision: torch.dtype, over_contexts: bool) -> None:
        """over_contexts: does it go on from contexts that are kept? Else it is given whole sequences. Raises BadInput
        for targets that the base does not have."""
        attention = {"attn_implementation": NAME} if over_contexts else {}  # else transformers' own choice
        with _quiet():
            model = AutoModelForCausalLM.from_pretrained(base, dtype=precision, use_safetensors=True, **attention)
            _check_targets(model, config)
            self.model: Any = get_peft_model(model, config)
        self.parameters = [value for value in self.model.parameters() if value.requires_grad]

    def scores(self, tokens: Tensor, kept: Tensor, past: Past | None, seen: Tensor) -> Tensor:
        """tokens `[rows, n]`, behind their contexts if there are any; seen: which of them are no padding, `[rows, n]`;
        kept: places of which the scores are wanted. Returns `[rows, len(kept), vocabulary]` in float32."""
        if past is None:
            places = (seen.cumsum(1) - 1).clamp(min=0)
            given: dict[str, Any] = {"attention_mask": seen.long(), "position_ids": places}
        else:
            given = {"past": past, "position_ids": past.lengths[:, None] + torch.arange(tokens.shape[1])}
        output = self.model(input_ids=tokens, logits_to_keep=kept, use_cache=False, **given)
        scores: Tensor = output.logits.float()
        return scores

    def state(self) -> dict[str, Tensor]:
        """The adapter's weights, by PEFT's names."""
        return {name: value.detach().clone() for name, value in get_peft_model_state_dict(self.model).items()}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Give the adapter these weights."""
        set_peft_model_state_dict(self.model, state)


def _check_targets(model: Any, config: LoraConfig) -> None:
    """PEFT leaves out what it does not find, as long as it finds anything."""
    there = {name.rpartition(".")[2] for name, part in model.named_modules() if isinstance(part, torch.nn.Linear)}
    missing = sorted(set(config.target_modules or ()) - there)
    if missing:
        known = ", ".join(sorted(there - {"lm_head"}))
        raise BadInput(f"the base has no {', no '.join(missing)} for an adapter", f"its `targets` are {known}")


@contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' own bars and warnings: who trains is told of the training."""
    bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        if bars:
            logging.enable_progress_bar()


def over_contexts(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float,
    past: Past,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **_: object,
) -> tuple[Tensor, None]:
    """Attention of tokens behind kept contexts. query `[rows, heads, n, dim]` → `[rows, n, heads, dim]`.

    s_aux: `[heads]`, what transformers calls sinks: a score that takes weight and gives no value.

    Contexts have no gradient and are not joined with what follows them: the scores of both are. Queries that share a
    key's head are multiplied with it together.
    """
    rows, heads, n, dim = query.shape
    kv_heads = key.shape[1]
    # From here on heads of keys come first, as contexts have them.
    key, value = key.transpose(0, 1), value.transpose(0, 1)
    before_keys, before_values = past.kv[module.layer_idx].to(query.dtype)
    grouped = (query * scaling).reshape(rows, kv_heads, -1, dim).transpose(0, 1)
    before, own = grouped @ before_keys.transpose(2, 3), grouped @ key.transpose(2, 3)
    if softcap is not None:
        before, own = ((scores / softcap).tanh() * softcap for scores in (before, own))
    seen, causal = _masks(past, n, sliding_window)
    shape = (kv_heads, rows, heads // kv_heads, n)
    before = before.view(*shape, -1).masked_fill(~seen[:, None], -torch.inf)
    own = own.view(*shape, n).masked_fill(~causal, -torch.inf)
    length = before.shape[4]
    sinks = [] if s_aux is None else [s_aux.to(query.dtype).view(kv_heads, 1, -1, 1, 1).expand(*shape, 1)]
    weights = torch.cat([before, own, *sinks], 4).float().softmax(4)[..., : length + n].to(query.dtype)
    weights = weights.reshape(kv_heads, rows, -1, length + n)
    out = weights[..., :length] @ before_values + weights[..., length:] @ value
    return out.transpose(0, 1).reshape(rows, heads, n, dim).transpose(1, 2), None


def _masks(past: Past, n: int, window: int | None) -> tuple[Tensor, Tensor]:
    """What each of `n` tokens sees of its context, `[rows, n, length]`, and of the others, `[n, n]`."""
    seen = past.seen[:, None].expand(-1, n, -1)
    causal = torch.ones(n, n, dtype=torch.bool).tril()
    if window is not None:
        own = past.lengths[:, None] + torch.arange(n)
        seen = seen & (own[:, :, None] - torch.arange(seen.shape[2]) < window)
        causal = causal.triu(1 - window)
    return seen, causal


AttentionInterface.register(NAME, over_contexts)
