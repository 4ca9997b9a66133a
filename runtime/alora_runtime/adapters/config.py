"""A PEFT adapter folder's configuration, read and checked without torch."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

from alora_runtime.adapters.digests import digest_of
from alora_runtime.errors import AdapterError

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"

REFUSED = (
    *("use_dora", "use_qalora", "use_bdlora", "layer_replication", "lora_bias", "modules_to_save", "fan_in_fan_out"),
    *("trainable_token_indices", "target_parameters", "arrow_config", "kasa_config", "velora_config"),
    *("monteclora_config", "corda_config", "eva_config", "loftq_config", "lora_ga_config"),
)
"""Fields that change what the weights mean: anything but null, false or empty is refused."""

PLAIN_INITS = (True, False, None, "gaussian", "orthogonal")
"""Values of init_lora_weights that leave the base's own weights alone (pissa, olora and others change them)."""

Names = str | tuple[str, ...] | None
Value = TypeVar("Value")


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
        return _by_pattern(self.rank_pattern, module, self.rank)

    def scale_of(self, module: str) -> float:
        """What B·A·x is multiplied by at a module."""
        rank = self.rank_of(module)
        return _by_pattern(self.alpha_pattern, module, self.alpha) / (math.sqrt(rank) if self.rslora else rank)

    def targets_module(self, module: str) -> bool:
        """Whether the adapter changes the Linear of this name (PEFT 0.21, check_target_module_exists)."""
        if self.exclude and _named(self.exclude, module):
            return False
        if isinstance(self.targets, str):
            return self.targets.lower() == "all-linear" or re.fullmatch(self.targets, module) is not None
        if module in (self.targets or ()):
            return True
        return _named(self.targets, module) and (not self.layers or self._layer(module) in self.layers)

    def _layer(self, module: str) -> int | None:
        patterns = [rf"(?:^|.*?\.){pattern}\.(\d+)\." for pattern in self.layers_pattern] or [r".*?\.[^.]*\.(\d+)\."]
        found = next((match for pattern in patterns if (match := re.match(pattern, module))), None)
        return int(found[1]) if found else None


def read_adapter_config(folder: str | Path) -> AdapterConfig:
    """Read `folder`. Raises AdapterError naming the missing file or the field that is unsupported or wrong."""
    folder = Path(folder)
    raw = _parse(folder, _content(folder))
    _refuse(folder, raw)
    tokens = raw.get("alora_invocation_tokens") or ()
    try:
        return AdapterConfig(
            folder=folder,
            rank=_positive(raw["r"]),
            alpha=float(raw["lora_alpha"]),
            rslora=bool(raw.get("use_rslora")),
            targets=_names(raw["target_modules"]),
            exclude=_names(raw.get("exclude_modules")),
            layers=tuple(map(int, _listed(raw.get("layers_to_transform")))),
            layers_pattern=tuple(map(str, _listed(raw.get("layers_pattern")))),
            rank_pattern={key: _positive(value) for key, value in (raw.get("rank_pattern") or {}).items()},
            alpha_pattern={key: float(value) for key, value in (raw.get("alpha_pattern") or {}).items()},
            invocation_tokens=tuple(map(int, tokens)),
            invocation_string=None if tokens else raw.get("invocation_string") or None,
            digest=sha256(b"".join(bytes.fromhex(digest_of(folder / name)) for name in (CONFIG, WEIGHTS))).hexdigest(),
        )
    except KeyError as error:
        raise AdapterError(f"{folder / CONFIG}: the field {error} is missing") from None
    except (TypeError, ValueError) as error:
        raise AdapterError(f"{folder / CONFIG}: {error}") from None


def _content(folder: Path) -> bytes:
    """Of the configuration."""
    if not folder.is_dir():
        raise AdapterError(f"adapter folder {folder} does not exist")
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise AdapterError(f"{folder} is no PEFT adapter: {name} is missing")
    return (folder / CONFIG).read_bytes()


def _parse(folder: Path, content: bytes) -> dict[str, Any]:
    try:
        raw = json.loads(content)
    except ValueError as error:
        raise AdapterError(f"{folder / CONFIG} is not JSON: {error}") from None
    if not isinstance(raw, dict):
        raise AdapterError(f"{folder / CONFIG} is not a JSON object")
    return raw


def _refuse(folder: Path, raw: Mapping[str, Any]) -> None:
    wrong = [(field, raw[field]) for field in REFUSED if raw.get(field)]
    if raw.get("peft_type", "LORA") != "LORA":
        wrong.append(("peft_type", raw["peft_type"]))
    if raw.get("bias", "none") != "none":
        wrong.append(("bias", raw["bias"]))
    if raw.get("init_lora_weights", True) not in PLAIN_INITS:
        wrong.append(("init_lora_weights", raw["init_lora_weights"]))
    for field, value in wrong:
        raise AdapterError(f"{folder / CONFIG}: {field} = {json.dumps(value)} is not supported")


def _positive(value: object) -> int:
    if not isinstance(value, int) or value < 1:
        raise ValueError(f"a rank must be a positive integer, not {value!r}")
    return value


def _listed(value: object) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [value]


def _names(value: object) -> Names:
    return value if value is None or isinstance(value, str) else tuple(map(str, _listed(value)))


def _named(names: Names, module: str) -> bool:
    if isinstance(names, str):
        return re.fullmatch(names, module) is not None
    return any(module == name or module.endswith(f".{name}") for name in names or ())


def _by_pattern(patterns: Mapping[str, Value], module: str, default: Value) -> Value:
    """The first pattern that matches the end of the module's name decides (PEFT 0.21, get_pattern_key)."""
    return next((value for key, value in patterns.items() if re.match(rf"(.*\.)?({key})$", module)), default)
