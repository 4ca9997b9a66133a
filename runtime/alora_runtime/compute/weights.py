"""A model's weights as they are stored: which files, which tensors. Only safetensors, whose reading runs no code."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from alora_runtime.errors import ModelError
from alora_runtime.foreign import unreadable
from alora_runtime.json_file import read_object

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"

SAVED = "AutoModelForCausalLM.from_pretrained(FOLDER).save_pretrained(OTHER)"

DTYPES = ("F64", "F32", "F16", "BF16")
"""What weights may be stored as. Others are codes that mean nothing without a table that is elsewhere."""

EMBEDDING, OUTPUT = "model.embed_tokens.weight", "lm_head.weight"

BODY = "model."
"""What the names of all tensors but the output matrix begin with."""

DERIVED = "rotary_emb.inv_freq"
"""Old checkpoints store it; it follows from the configuration."""


@dataclass(frozen=True)
class Stored:
    """A tensor in a file, and the name that it has there."""

    file: Path
    name: str
    shape: tuple[int, ...]
    dtype: str


def stored_tensors(folder: Path) -> dict[str, Stored]:
    """All tensors of a model folder by name, from the files' headers. Raises ModelError naming file and tensor."""
    tensors: dict[str, Stored] = {}
    for file in _files(folder):
        for name, tensor in _header(file).items():
            if name in tensors:
                raise ModelError(f"{file} holds {name}, and so does {tensors[name].file}")
            if tensor.dtype not in DTYPES:
                raise ModelError(
                    f"{file}: {name} is stored as {tensor.dtype}, not as one of {', '.join(DTYPES)}",
                    "use a checkpoint that is not quantized",
                )
            if not name.endswith(DERIVED):
                tensors[name] = tensor
    return tensors if any(name.startswith(BODY) for name in tensors) else _of_a_body(tensors)


def _of_a_body(tensors: Mapping[str, Stored]) -> dict[str, Stored]:
    """A model saved without its output matrix, as transformers' `LlamaModel` is, names its tensors from there on."""
    return {name if name == OUTPUT else f"{BODY}{name}": tensor for name, tensor in tensors.items()}


def _files(folder: Path) -> list[Path]:
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    if not (folder / INDEX).is_file():
        pickles = sorted(path.name for path in folder.glob("*.bin"))
        raise ModelError(
            f"{folder} is not a model folder: it holds neither {WEIGHTS} nor {INDEX}"
            + (f", but {pickles[0]}, which may run code when it is read" if pickles else ""),
            f"transformers' {SAVED} writes safetensors" if pickles else None,
        )
    names = read_object(folder / INDEX, ModelError).get("weight_map")
    if not isinstance(names, dict) or not names:
        raise ModelError(f"{folder / INDEX}: weight_map must name a file for each tensor, not {names!r}")
    for name in names.values():
        if not isinstance(name, str) or Path(name).name != name or not name.endswith(".safetensors"):
            raise ModelError(f"{folder / INDEX}: weight_map names {name!r}, not a *.safetensors file beside it")
        if not (folder / name).is_file():
            raise ModelError(f"{folder / INDEX}: weight_map names {name!r}, which is missing")
    return [folder / name for name in sorted(set(names.values()))]


def _header(file: Path) -> dict[str, Stored]:
    try:
        with safe_open(file, framework="pt") as opened:
            slices = {name: opened.get_slice(name) for name in opened.keys()}  # noqa: SIM118 - it is not a mapping
            return {
                name: Stored(file, name, tuple(part.get_shape()), part.get_dtype()) for name, part in slices.items()
            }
    except (OSError, SafetensorError) as error:
        raise unreadable(file, error, ModelError) from None


def check_tensors(config: Path, tensors: Mapping[str, Stored], wanted: Mapping[str, tuple[int, ...]]) -> None:
    """Are these the tensors of the configuration, all of them and no others? Raises ModelError naming the first."""
    for name in sorted(wanted.keys() | tensors.keys()):
        found = tensors[name].shape if name in tensors else None
        if found != wanted.get(name):
            raise ModelError(
                f"{config.parent} cannot be loaded: {config.name} means {name} to be {_shape(wanted.get(name))}, "
                f"and what is stored is {_shape(found)}"
            )


def _shape(shape: tuple[int, ...] | None) -> str:
    return "nothing" if shape is None else f"{list(shape)}"


def check_layers(config: Path, layers: int, tensors: Mapping[str, Stored]) -> None:
    """Are as many layers stored as the configuration says? Before anything is made of so many."""
    numbers = {int(match[1]) for name in tensors if (match := re.match(r"model\.layers\.(\d{1,9})\.", name))}
    stored = 1 + max(numbers, default=-1)
    if stored != layers:
        raise ModelError(f"{config}: num_hidden_layers is {layers}, and {stored} layers are stored")


def read_tensors(tensors: Mapping[str, Stored]) -> dict[str, Tensor]:
    """Their values."""
    files = {file: load_file(file) for file in {tensor.file for tensor in tensors.values()}}
    return {name: files[tensor.file][tensor.name] for name, tensor in tensors.items()}


def read_checked(config: Path, tied: bool, tensors: Mapping[str, Stored], outline: nn.Module) -> dict[str, Tensor]:
    """The stored values, if they are those of the outline's modules. A tied output matrix need not be stored; one that
    is has to be the embedding's, and is left out. Raises ModelError naming the first that is not."""
    wanted = {name: tuple(tensor.shape) for name, tensor in outline.state_dict().items()}
    if tied and OUTPUT not in tensors:
        del wanted[OUTPUT]
    check_tensors(config, tensors, wanted)
    values = read_tensors(tensors)
    if tied and OUTPUT in values and not torch.equal(values.pop(OUTPUT), values[EMBEDDING]):
        raise ModelError(f"{config}: tie_word_embeddings is true, and {OUTPUT} is stored with values of its own")
    return values
