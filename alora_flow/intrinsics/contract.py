"""An intrinsic's contract: what its call appends, from where its adapter is active, what it may write.

Put together from the flow file, the adapter's own configuration and, for the short form, its `io.yaml`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alora_flow.errors import AdapterNotFound, BadAdapter
from alora_flow.intrinsics.io_yaml import IoYaml, read_io_yaml
from alora_flow.intrinsics.library import ModelFiles, find_adapter
from alora_flow.language.meaning import types as t
from alora_flow.language.meaning.program import Choices, Intrinsic, Text
from alora_flow.prompts.tokens import Tokenizer
from alora_flow.values.models import python_type
from alora_runtime.adapters.config import AdapterConfig, read_adapter_config
from alora_runtime.errors import AdapterError

MOST_CHOICES = 1024
"""An integer range up to this size is a choice of its numbers, with a distribution; a larger one is a grammar."""

DEFAULT_MAX_TOKENS = 64
"""For an intrinsic that writes free text and says nothing else."""


@dataclass(frozen=True)
class Outcome:
    """One thing that the adapter may write: its tokens, what `it` is then, and the number that io.yaml gives it."""

    tokens: tuple[int, ...]
    it: Any
    weight: float | None = None


@dataclass(frozen=True)
class Contract:
    """`outcomes` is None for text that is not a choice; `emits` is then its type."""

    intrinsic: Intrinsic
    adapter: AdapterConfig
    outcomes: tuple[Outcome, ...] | None
    emits: t.Type
    settings: Mapping[str, Any]
    active_at: int
    invocation: tuple[int, ...]

    @property
    def name(self) -> str:
        """What the engine knows the adapter by."""
        return self.intrinsic.adapter or self.intrinsic.from_library or ""

    @property
    def max_tokens(self) -> int:
        if self.outcomes:
            return max(len(outcome.tokens) for outcome in self.outcomes)
        return int(self.settings.get("max_tokens", DEFAULT_MAX_TOKENS))


def resolve(intrinsic: Intrinsic, model: ModelFiles, tokenizer: Tokenizer, near: Path) -> Contract:
    """Read the adapter's files. Raises AdapterNotFound and BadAdapter; `near` is the flow file's folder."""
    try:
        folder = find_adapter(intrinsic.adapter or intrinsic.from_library or "", model, near)
    except AdapterNotFound as error:
        raise AdapterNotFound(f"intrinsic '{intrinsic.name}': {error.message}", error.help) from error
    try:
        config = read_adapter_config(folder)
    except AdapterError as error:
        raise BadAdapter(f"intrinsic '{intrinsic.name}': {error}") from error
    io_yaml = read_io_yaml(folder) if intrinsic.from_library else None
    settings = {argument.name: getattr(argument.value, "value", None) for argument in intrinsic.settings}
    emits = intrinsic.emits or (intrinsic.result if io_yaml is None else t.STR)
    invocation, active_at = _activation(intrinsic, config, tokenizer)
    return Contract(
        intrinsic,
        config,
        _outcomes(emits, io_yaml, tokenizer),
        t.STR if isinstance(emits, Choices) else emits,
        {**(io_yaml.settings if io_yaml else {}), **settings},
        active_at,
        invocation,
    )


def _activation(intrinsic: Intrinsic, config: AdapterConfig, tokenizer: Tokenizer) -> tuple[tuple[int, ...], int]:
    """The tokens that a call appends, and the index of the first adapted one among them.

    No tokens: the call opens an assistant's turn, and is adapted from there.
    """
    written = None if intrinsic.invoke is None else tokenizer.encode_control(_constant(intrinsic.invoke, intrinsic))
    if config.invocation_tokens:
        tokens = written or config.invocation_tokens
        start = _last(config.invocation_tokens, tokens)
        if start is None:
            raise BadAdapter(
                f"intrinsic '{intrinsic.name}' is invoked by {tokenizer.spell(tokens)!r} {list(tokens)}, "
                f"but its adapter activates on {tokenizer.spell(config.invocation_tokens)!r} "
                f"{list(config.invocation_tokens)}",
                "leave `invoke` out: the adapter's own configuration names it",
            )
    else:
        tokens, start = config.spelled(tokenizer.encode_control)
        tokens = tokens or written or ()
    return tokens, len(tokens) - 1 if intrinsic.activate == "end" and tokens else start


def _constant(text: Text, intrinsic: Intrinsic) -> str:
    if text.constant is None:
        raise BadAdapter(f"intrinsic '{intrinsic.name}': holes in `invoke` are not supported yet")
    return text.constant


def _last(part: tuple[int, ...], whole: tuple[int, ...]) -> int | None:
    """Where `part` stands last in `whole`."""
    starts = (start for start in range(len(whole) - len(part), -1, -1) if whole[start : start + len(part)] == part)
    return next(starts, None)


def _outcomes(emits: Choices | t.Type, io_yaml: IoYaml | None, tokenizer: Tokenizer) -> tuple[Outcome, ...] | None:
    """Only a literal of the flow file, as in `emits enum("<|yes|>", "no")`, can spell control tokens: what an adapter's
    files or a type name are data, as everywhere."""
    if io_yaml is not None and io_yaml.categories is not None:
        weights = io_yaml.categories.items()
        return tuple(Outcome(tokenizer.encode_data(text), text, weight) for text, weight in weights)
    options = choices_of(emits)
    if options is None:
        return None
    encode = tokenizer.encode_control if isinstance(emits, Choices) else tokenizer.encode_data
    return tuple(Outcome(encode(text), it) for text, it in options)


def choices_of(emits: Choices | t.Type) -> tuple[tuple[str, Any], ...] | None:
    """What may be written and the value that it stands for, where a type has few enough values to list."""
    match emits:
        case Choices(options):
            return tuple((option, option) for option in options)
        case t.ProbType(of=outcome):
            return choices_of(outcome)
        case t.BoolType():
            return ("true", True), ("false", False)
        case t.EnumType(texts=texts):
            return tuple((text, python_type(emits)(text)) for text in texts)
        case t.IntType(low=int() as low, high=int() as high) if high - low < MOST_CHOICES:
            return tuple((str(number), number) for number in range(low, high + 1))
    return None
