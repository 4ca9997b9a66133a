"""The adapters of a spec's library: where each lies, and whether it is the one that the spec speaks of."""

from __future__ import annotations

from pathlib import Path

from alora_flow.errors import BadAdapter, BadInput
from alora_flow.intrinsics.io_yaml import read_io_yaml
from alora_flow.intrinsics.library import ADAPTER, TECHNOLOGIES, ModelFiles
from alora_flow.training.samples import SampleEncoder
from alora_flow.training.spec import Spec
from alora_runtime.adapters.config import AdapterConfig, read_adapter_config
from alora_runtime.adapters.header import check_weights
from alora_runtime.errors import AdapterError


def find_folder(spec: Spec, name: str, base: ModelFiles, kind: str) -> Path | None:
    """The folder of an adapter, in either published layout."""
    intrinsic = spec.library / name
    places = (intrinsic / base.name / kind, intrinsic / kind / base.name)
    return next((folder for folder in places if (folder / ADAPTER).is_file()), None)


def adapter_folder(spec: Spec, name: str, base: ModelFiles, kind: str) -> Path:
    """The same. Raises BadInput where there is none, with what there is."""
    found, intrinsic = find_folder(spec, name, base, kind), spec.library / name
    if found is not None:
        return found
    held = sorted(path.parent.relative_to(intrinsic).as_posix() for path in intrinsic.glob(f"*/*/{ADAPTER}"))
    others = f"; it has {', '.join(held)}" if held else ""
    raise BadInput(
        f"the library {spec.library} has no {kind} adapter of '{name}' for {base.name}{others}",
        f"train it: alora-flow train {spec.path} --only {name}, or give the library that has it: --library DIR",
    )


def checked_adapter(folder: Path, encoder: SampleEncoder) -> AdapterConfig:
    """Its configuration. Raises BadAdapter for a broken one, and for one that is no such adapter as the spec says:
    another kind, another invocation, other answers."""
    spec = encoder.spec
    try:
        config = read_adapter_config(folder)
        check_weights(config)
    except AdapterError as error:
        raise BadAdapter(str(error)) from error
    if config.activated != (spec.kind == TECHNOLOGIES[0]):
        raise BadAdapter(f"{folder} holds {'an activated' if config.activated else 'a plain'} adapter, not {spec.kind}")
    sequence, _ = config.spelled(encoder.prompter.tokenizer.encode_control)
    wanted = encoder.invocation
    if config.activated and sequence not in (wanted, wanted[-1:] if spec.activate == "end" else wanted):
        raise BadAdapter(
            f"the adapter in {folder} is invoked by the tokens {list(sequence)}, and the spec's invocation "
            f"{spec.invocation!r} is {list(wanted)}",
            "give the invocation that it was trained with, and the base",
        )
    if (folder / "io.yaml").is_file():
        numbers = read_io_yaml(folder).categories
        if numbers is not None and dict(numbers) != spec.answers:
            listed = ", ".join(f"{text} ({number:g})" for text, number in numbers.items())
            raise BadAdapter(f"the answers of {folder / 'io.yaml'} are {listed}, and the spec has others", "change one")
    return config
