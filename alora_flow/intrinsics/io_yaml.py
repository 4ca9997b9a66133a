"""`io.yaml`: the contract that an intrinsics library ships beside an adapter.

What is supported so far: bare text (`response_format: ~`) as it is, or as a choice of the categories of one
`likelihood` at the root. Everything else of the format is refused by name, never ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from alora_flow.errors import BadAdapter

REQUIRED = ("model", "response_format", "transformations")
OPTIONAL = ("name", "instruction", "parameters", "sentence_boundaries", "docs_as_message", "logprobs_workaround")
NOT_YET = ("response_format", "instruction", "sentence_boundaries", "docs_as_message", "logprobs_workaround")
IN_FULL = "write the intrinsic in full: adapter, emits, value"
PARAMETERS = {"max_completion_tokens": "max_tokens", "max_tokens": "max_tokens", "temperature": "temperature"}


@dataclass(frozen=True)
class IoYaml:
    """What the file says: `categories` maps what the adapter may write to a number, None for free text."""

    categories: Mapping[str, float] | None
    settings: Mapping[str, Any]


def read_io_yaml(folder: Path) -> IoYaml:
    """Raises BadAdapter that names the file and the key where something is missing, unknown or not supported."""
    path = folder / "io.yaml"
    if not path.is_file():
        raise BadAdapter(f"{folder} has no io.yaml", IN_FULL)
    try:
        content = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise BadAdapter(f"{path} is no YAML: {error}") from error
    if not isinstance(content, dict):
        raise BadAdapter(f"{path} holds no mapping")
    _check_keys(path, content)
    return IoYaml(_categories(path, content["transformations"]), _settings(path, content.get("parameters") or {}))


def _check_keys(path: Path, content: Mapping[str, Any]) -> None:
    for key in REQUIRED:
        if key not in content:
            raise BadAdapter(f"{path} lacks the key '{key}'")
    for key, value in content.items():
        if key not in REQUIRED + OPTIONAL:
            raise BadAdapter(f"{path} has an unknown key '{key}'", f"known are {', '.join(REQUIRED + OPTIONAL)}")
        if key in NOT_YET and value:
            raise BadAdapter(f"{path}: '{key}' is not supported yet", IN_FULL)


def _categories(path: Path, transformations: Any) -> Mapping[str, float] | None:
    if not transformations:
        return None
    rule = transformations[0]
    root_likelihood = len(transformations) == 1 and rule.get("type") == "likelihood" and not rule.get("input_path")
    if not root_likelihood:
        names = ", ".join(str(rule.get("type")) for rule in transformations)
        raise BadAdapter(
            f"{path}: transformations {names} are not supported yet, only one 'likelihood' at the root",
            IN_FULL,
        )
    return {str(category): float(value) for category, value in rule["categories_to_values"].items()}


def _settings(path: Path, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
    unknown = [name for name in parameters if name not in PARAMETERS]
    if unknown:
        raise BadAdapter(f"{path}: parameter '{unknown[0]}' is not supported", f"known are {', '.join(PARAMETERS)}")
    return {PARAMETERS[name]: value for name, value in parameters.items()}
