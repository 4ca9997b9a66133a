"""A PEFT adapter folder's configuration, read and checked without torch."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import regex

from alora_runtime.adapters.digests import digest_of
from alora_runtime.adapters.fields import Fields, Names, Value
from alora_runtime.errors import AdapterError
from alora_runtime.json_file import read_object

CONFIG, WEIGHTS, PICKLE = "adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"

KNOWN = {
    *("r", "lora_alpha", "use_rslora", "target_modules", "exclude_modules", "layers_to_transform", "layers_pattern"),
    *("rank_pattern", "alpha_pattern", "alora_invocation_tokens", "invocation_string"),
    *("peft_type", "bias", "init_lora_weights"),  # see PLAIN
    *("task_type", "auto_mapping", "peft_version", "base_model_name_or_path", "revision", "inference_mode"),
    "fan_in_fan_out",  # of Conv1D; PEFT goes on without it on a Linear
    "eva_config",  # how the weights began: ranks and scales that it changed stand in the patterns
    *("lora_dropout", "megatron_config", "megatron_core", "qalora_group_size", "runtime_config", "ensure_weight_tying"),
}
"""Fields that are read, and fields that say nothing of a trained Linear. Any other may change what the weights mean,
and is refused unless it is null, false or empty."""

PLAIN: Mapping[str, tuple[object, ...]] = {
    "peft_type": ("LORA",),
    "bias": ("none",),
    "init_lora_weights": (True, False, None, "gaussian", "orthogonal", "eva"),
}
"""The values that these may have: other ways to begin (pissa, olora) change the base's own weights."""

CHANGING = ("pissa", "olora", "corda", "lora_ga")
CHANGED = (
    "PEFT saves what such an adapter is on the unchanged base by "
    "save_pretrained(FOLDER, path_initial_model_for_weight_conversion=BEGINNING)"
)

OUTSIDE = {"lm_head": "the model's output layer", "model.embed_tokens": "the model's input embeddings"}
"""Modules outside the model's layers, and what each is."""

PATIENCE = 0.25
"""Seconds that one pattern may take on one module's name: some backtrack for ever."""


@dataclass(frozen=True)
class AdapterConfig:
    """What an adapter is, apart from its weights.

    targets, exclude: names or a regular expression, as PEFT matches them against module names.
    invocation_tokens: its activation sequence; empty for a plain LoRA, and for a folder in the old format until a
        tokenizer turns `invocation_string` into tokens (engine.add_adapter does).
    digest: SHA-256 of configuration and weights, hexadecimal: what the prefix cache knows the adapter by.
    """

    folder: Path
    rank: int
    alpha: float
    rslora: bool
    targets: Names
    exclude: Names
    layers: tuple[int, ...]
    layers_pattern: tuple[str, ...]
    rank_pattern: Mapping[str, int]
    alpha_pattern: Mapping[str, float]
    invocation_tokens: tuple[int, ...]
    invocation_string: str | None
    digest: str

    @property
    def activated(self) -> bool:
        """True for an activated LoRA, false for a plain LoRA, which is active from the first token."""
        return bool(self.invocation_tokens or self.invocation_string)

    def spelled(self, encode: Callable[[str], Sequence[int]]) -> tuple[tuple[int, ...], int]:
        """The tokens that invoke it, and the index of the first adapted one among them.

        The old format names a string, and is active from its second token on: its authors converted it so. `encode`:
        from text to tokens, control tokens included and none added.
        """
        if self.invocation_tokens or not self.invocation_string:
            return self.invocation_tokens, 0
        return tuple(encode(self.invocation_string)), 1

    def rank_of(self, module: str) -> int:
        """The rank at a module, with `rank_pattern`."""
        return self._by_pattern("rank_pattern", self.rank_pattern, module, self.rank)

    def scale_of(self, module: str) -> float:
        """What B·A·x is multiplied by at a module."""
        rank = self.rank_of(module)
        alpha = self._by_pattern("alpha_pattern", self.alpha_pattern, module, self.alpha)
        return alpha / (math.sqrt(rank) if self.rslora else rank)

    def targets_module(self, module: str) -> bool:
        """Whether the adapter changes the Linear of this name (PEFT 0.21, check_target_module_exists)."""
        if self.exclude and self._named("exclude_modules", self.exclude, module):
            return False
        if isinstance(self.targets, str):
            return self.targets.lower() == "all-linear" or self._named("target_modules", self.targets, module)
        if module in (self.targets or ()):
            return True
        named = self._named("target_modules", self.targets, module)
        return named and (not self.layers or self._layer(module) in self.layers)

    def _layer(self, module: str) -> int | None:
        patterns = [rf"(?:^|.*?\.){pattern}\.(\d+)\." for pattern in self.layers_pattern] or [r".*?\.[^.]*\.(\d+)\."]
        matches = (self._match("layers_pattern", pattern, module) for pattern in patterns)
        found = next((match for match in matches if match), None)
        return int(found[found.re.groups]) if found else None  # a pattern may have groups of its own

    def _named(self, field: str, names: Names, module: str) -> bool:
        if isinstance(names, str):
            return self._match(field, names, module, regex.fullmatch) is not None
        return any(module == name or module.endswith(f".{name}") for name in names or ())

    def _by_pattern(self, field: str, patterns: Mapping[str, Value], module: str, default: Value) -> Value:
        """The first pattern that matches the end of the module's name decides (PEFT 0.21, get_pattern_key)."""
        own = (value for key, value in patterns.items() if self._match(field, rf"(.*\.)?({key})$", module))
        return next(own, default)

    def _match(self, field: str, pattern: str, module: str, match: Any = regex.match) -> Any:
        """From the name's beginning. Raises AdapterError where it takes too long, or is none in its place."""
        try:
            return match(pattern, module, timeout=PATIENCE)
        except TimeoutError:
            reason = f"takes for ever on {module!r}: nest no repetitions in it"
        except regex.error as error:
            reason = f"is not a regular expression: {error}"
        raise AdapterError(f"{self.folder / CONFIG}: {field} has the pattern {pattern!r}, which {reason}")


def read_adapter_config(folder: str | Path) -> AdapterConfig:
    """Read `folder`. Raises AdapterError naming the missing file or the field that is unsupported or wrong."""
    folder = Path(folder)
    _check_files(folder)
    raw = read_object(folder / CONFIG, AdapterError)
    _refuse(folder, raw)
    fields = Fields(folder / CONFIG, raw)
    tokens, spelled = fields.numbers("alora_invocation_tokens"), fields.text("invocation_string")
    config = AdapterConfig(
        folder=folder,
        rank=fields.rank("r", raw["r"]),
        alpha=fields.number("lora_alpha", raw["lora_alpha"]),
        rslora=fields.flag("use_rslora"),
        targets=fields.names("target_modules"),
        exclude=fields.names("exclude_modules"),
        layers=fields.numbers("layers_to_transform"),
        layers_pattern=fields.patterns("layers_pattern"),
        rank_pattern=fields.by_pattern("rank_pattern", fields.rank),
        alpha_pattern=fields.by_pattern("alpha_pattern", fields.number),
        invocation_tokens=tokens,
        invocation_string=None if tokens else spelled,
        digest=sha256(b"".join(bytes.fromhex(digest_of(folder / name)) for name in (CONFIG, WEIGHTS))).hexdigest(),
    )
    _refuse_outside(config)
    return config


def _refuse_outside(config: AdapterConfig) -> None:
    """PEFT's "all-linear" leaves these out."""
    every = isinstance(config.targets, str) and config.targets.lower() == "all-linear"
    for module, what in OUTSIDE.items():
        if not every and config.targets_module(module):
            name = module.rpartition(".")[2]
            raise AdapterError(
                f"{config.folder / CONFIG}: target_modules has {name!r}, which is {what}; only Linear modules of the "
                "model's layers can be adapted",
                "train the adapter without it",
            )


def _check_files(folder: Path) -> None:
    if not folder.is_dir():
        raise AdapterError(f"adapter folder {folder} does not exist")
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            pickled = (folder / PICKLE).is_file() and name == WEIGHTS
            raise AdapterError(
                f"{folder} is not a PEFT adapter: {name} is missing"
                + (f"; {PICKLE} may run code when it is read" if pickled else ""),
                "PEFT's save_pretrained writes safetensors" if pickled else None,
            )


def _refuse(folder: Path, raw: Mapping[str, Any]) -> None:
    wrong = [(field, value) for field, value in raw.items() if value and field not in KNOWN]
    wrong += [(field, raw[field]) for field, plain in PLAIN.items() if field in raw and raw[field] not in plain]
    for field, value in wrong:
        raise AdapterError(
            f"{folder / CONFIG}: {field} = {json.dumps(value)} is not supported",
            CHANGED
            if field == "init_lora_weights" and str(value).startswith(CHANGING)
            else "train the adapter without it",
        )
    for field in ("r", "lora_alpha", "target_modules"):
        if field not in raw:
            raise AdapterError(f"{folder / CONFIG}: the field {field!r} is missing")
