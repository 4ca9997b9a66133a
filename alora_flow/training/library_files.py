"""An adapter's folder as PEFT and other readers of intrinsics libraries want it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig
from safetensors.torch import save

from alora_flow.training.fitting import Weights
from alora_flow.training.spec import IntrinsicSpec


def lora_config(spec: IntrinsicSpec, base: str, invocation: Sequence[int], inference: bool = True) -> LoraConfig:
    """What PEFT knows of an adapter. One that is active from the invocation's end on is, for PEFT, one that is invoked
    by its last token."""
    active = invocation[-1:] if spec.activate == "end" else invocation
    return LoraConfig(
        task_type="CAUSAL_LM",
        base_model_name_or_path=base,
        inference_mode=inference,
        r=spec.rank,
        lora_alpha=spec.alpha,
        lora_dropout=spec.dropout,
        target_modules=list(spec.targets),
        alora_invocation_tokens=list(active) if spec.kind == "alora" and inference else None,
    )


def write_adapter(folder: Path, config: LoraConfig, weights: Weights, io_yaml: str) -> None:
    """Write weights (in bfloat16), configuration and io.yaml."""
    folder.mkdir(parents=True, exist_ok=True)
    halves = {name: value.to(torch.bfloat16).contiguous() for name, value in sorted(weights.items())}
    # `save_file` makes a file that nobody but its owner may read, and a library is there to be shared.
    (folder / "adapter_model.safetensors").write_bytes(save(halves, metadata={"format": "pt"}))
    config.save_pretrained(str(folder))
    # PEFT keeps the names of modules as a set, and writes them in another order each time.
    written = folder / "adapter_config.json"
    facts = json.loads(written.read_text(encoding="utf-8"))
    write_facts(written, {**facts, "target_modules": sorted(facts["target_modules"])})
    (folder / "io.yaml").write_text(io_yaml, encoding="utf-8")


def io_yaml_of(name: str, answers: Mapping[str, float], max_tokens: int) -> str:
    """An intrinsic's `io.yaml`: labels are read as the mean of their numbers, texts as they are."""
    rules = "~"
    if answers:
        values = ", ".join(f"{json.dumps(label)}: {value}" for label, value in answers.items())
        rules = f"\n  - {{type: likelihood, input_path: [], categories_to_values: {{{values}}}}}"
    lines = [
        f"name: {name}",
        "model: ~",
        "response_format: ~",
        f"transformations: {rules}".replace(": \n", ":\n"),
        "instruction: ~",
        f"parameters: {{max_completion_tokens: {max_tokens}, temperature: 0.0}}",
        "sentence_boundaries: ~",
    ]
    return "\n".join(lines) + "\n"


def write_facts(path: Path, facts: Mapping[str, Any]) -> None:
    """Indented JSON with a newline at the end."""
    path.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
