"""An intrinsic's contract: what its call appends, from where its adapter is active, what it may write.

Put together from the flow file, the adapter's own configuration and, for the short form, its `io.yaml`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

from alora_flow.errors import AdapterNotFound, BadAdapter
from alora_flow.frozen import dataclass
from alora_flow.intrinsics.calibration import CALIBRATION, Calibration, check_rules, read_calibration
from alora_flow.intrinsics.io_yaml import IoYaml, read_io_yaml
from alora_flow.intrinsics.library import ModelFiles, find_adapter
from alora_flow.intrinsics.shapes import misfit, shown
from alora_flow.language.meaning import types as t
from alora_flow.language.meaning.folding import fold
from alora_flow.language.meaning.program import Choices, Expression, Intrinsic, ListValue, Literal, StringHole, Text
from alora_flow.language.report.diagnostics import did_you_mean
from alora_flow.prompts.tokens import Tokenizer
from alora_flow.values.written import choices_of
from alora_runtime.adapters.config import AdapterConfig, read_adapter_config
from alora_runtime.errors import AdapterError

DEFAULT_MAX_TOKENS, DEFAULT_OF_JSON = 64, 256
"""For an intrinsic that writes free text, or JSON with such text in it, and says nothing else."""

Piece: TypeAlias = int | StringHole
"""Of an invocation: a token, or a hole that an argument of the call fills."""


@dataclass(frozen=True)
class Outcome:
    """One thing that the adapter may write: its tokens, what `it` is then, and the number that it has by io.yaml, or
    else by its calibration."""

    tokens: tuple[int, ...]
    it: Any
    weight: float | None = None


@dataclass(frozen=True)
class Contract:
    """`outcomes` is None for what is not a choice; `emits` is then its type.

    invocation: what a call appends to closed turns; empty where it opens an assistant's turn. active_at: the index of
    the first adapted piece of it. sequence: the tokens that activate the adapter, empty for a plain LoRA; offset: the
    first adapted one among them. io_yaml: of the short form. calibration: where its owner wants it to decide.
    """

    intrinsic: Intrinsic
    adapter: AdapterConfig
    outcomes: tuple[Outcome, ...] | None
    emits: t.Type
    settings: Mapping[str, Any]
    active_at: int
    invocation: tuple[Piece, ...]
    sequence: tuple[int, ...] = ()
    offset: int = 0
    io_yaml: IoYaml | None = None
    calibration: Calibration | None = None

    @property
    def temperature(self) -> float:
        """What the log-probabilities of its answers are divided by."""
        return self.calibration.temperature if self.calibration else 1.0

    @property
    def name(self) -> str:
        """What the flow file calls the adapter; an engine knows it by its digest."""
        return self.intrinsic.adapter or self.intrinsic.from_library or ""

    @property
    def max_tokens(self) -> int:
        if self.outcomes:
            return max(len(outcome.tokens) for outcome in self.outcomes)
        json = self.io_yaml is not None and self.io_yaml.schema is not None
        return int(self.settings.get("max_tokens", DEFAULT_OF_JSON if json else DEFAULT_MAX_TOKENS))

    @property
    def rewrites(self) -> bool:
        """Does a call change what stands before it, so that it shares nothing with the thread that it reads?"""
        return self.io_yaml is not None and self.io_yaml.rewrites


def resolve(intrinsic: Intrinsic, model: ModelFiles, tokenizer: Tokenizer, near: Path) -> Contract:
    """Read the adapter's files. Raises AdapterNotFound and BadAdapter; `near` is the flow file's folder."""
    try:
        folder = find_adapter(intrinsic.adapter or intrinsic.from_library or "", model, near)
    except AdapterNotFound as error:
        raise AdapterNotFound(f"intrinsic '{intrinsic.name}': {error.message}", error.help) from error
    contract = contract_of(intrinsic, folder, tokenizer)
    beyond = [token for token in contract.sequence if not tokenizer.has(token)]
    if beyond:
        said = f"intrinsic '{intrinsic.name}' is invoked by token {beyond[0]}, and {model.name} has no such token"
        raise BadAdapter(said, "the adapter was trained with another tokenizer: use it on the model that it is for")
    if contract.io_yaml is not None:
        _check_declaration(intrinsic, contract.io_yaml)
    return contract


def contract_of(intrinsic: Intrinsic, folder: Path, tokenizer: Tokenizer) -> Contract:
    """The same for an adapter's folder, whatever the flow declares of its result. Raises BadAdapter."""
    try:
        config = read_adapter_config(folder)
    except AdapterError as error:
        raise BadAdapter(f"intrinsic '{intrinsic.name}': {error.message}", error.help) from error
    io_yaml = read_io_yaml(folder) if intrinsic.from_library else None
    calibration = read_calibration(folder)
    settings = {argument.name: _constant(argument.value) for argument in intrinsic.settings}
    emits = intrinsic.emits or (intrinsic.result if io_yaml is None else t.STR)
    if calibration is not None:
        _check_calibration(calibration, intrinsic, emits, io_yaml, folder)
    sequence, offset = config.spelled(tokenizer.encode_control)
    if intrinsic.activate == "end" and sequence:
        offset = len(sequence) - 1
    invocation, active_at = _invocation(intrinsic, sequence, offset, tokenizer)
    return Contract(
        intrinsic,
        config,
        _outcomes(emits, io_yaml, calibration, tokenizer),
        t.STR if isinstance(emits, Choices) else emits,
        {**(io_yaml.settings if io_yaml else {}), **settings},
        active_at,
        invocation,
        sequence,
        offset,
        io_yaml,
        calibration,
    )


def _constant(setting: Expression) -> Any:
    match fold(setting):
        case Text(constant=text):
            return text
        case ListValue(items=items):
            return tuple(map(_constant, items))
        case Literal(value=value):
            return value
    return None


def _invocation(
    intrinsic: Intrinsic, sequence: tuple[int, ...], offset: int, tokenizer: Tokenizer
) -> tuple[tuple[Piece, ...], int]:
    """What a call appends, and the index of the first adapted piece: where the activating tokens stand last among what
    the flow's author wrote. No argument moves it: it is a hole here.
    """
    if intrinsic.invoke is None:
        return sequence, offset
    written = tuple(_pieces(intrinsic.invoke, tokenizer))
    if not sequence:
        return written, 0
    start = last(sequence, written)
    if start is None:
        raise BadAdapter(
            f"intrinsic '{intrinsic.name}' is invoked by {_spelled(written, tokenizer)}, "
            f"but its adapter activates on {tokenizer.spell(sequence)!r} {list(sequence)}",
            "leave `invoke` out, or let it hold that text: the adapter's own configuration names it",
        )
    return written, start + offset


def _pieces(text: Text, tokenizer: Tokenizer) -> list[Piece]:
    pieces: list[Piece] = []
    for part in text.parts:
        pieces += [part] if isinstance(part, StringHole) else tokenizer.encode_control(part)
    return pieces


def _spelled(pieces: tuple[Piece, ...], tokenizer: Tokenizer) -> str:
    """`'<requirements>'{…} [60, 114, …]`"""
    tokens = tuple(piece for piece in pieces if isinstance(piece, int))
    return f"{tokenizer.spell(tokens)!r}{' with arguments' if len(tokens) < len(pieces) else ''} {list(tokens)}"


def last(part: tuple[int, ...], whole: tuple[object, ...]) -> int | None:
    """Where `part` stands last in `whole`."""
    starts = (start for start in range(len(whole) - len(part), -1, -1) if whole[start : start + len(part)] == part)
    return next(starts, None) if part else None


def _check_declaration(intrinsic: Intrinsic, io_yaml: IoYaml) -> None:
    """Do parameters and result fit what io.yaml asks for and gives?"""
    where = f"line {intrinsic.span.line}: intrinsic '{intrinsic.name}'"
    names = [parameter.name for parameter in intrinsic.parameters]
    for name in io_yaml.arguments:
        if name not in names:
            written = f"intrinsic {intrinsic.name}({', '.join(f'{each}: str' for each in io_yaml.arguments)}) -> …"
            raise BadAdapter(
                f"{where} has no parameter '{name}', which the instruction of {io_yaml.path} asks for",
                f"declare it: {written}",
            )
    for name in names:
        if name not in io_yaml.arguments:
            known = ", ".join(io_yaml.arguments) or "none"
            help = did_you_mean(name, io_yaml.arguments) or f"the arguments of its instruction: {known}"
            raise BadAdapter(f"{where}: nothing in {io_yaml.path} uses the parameter '{name}'", help)
    said = None if io_yaml.categories and len(io_yaml.rules) == 1 else misfit(io_yaml.shape, intrinsic.result)
    text = io_yaml.schema is None and io_yaml.shape == t.STR
    if said and not text:  # a text without a schema may be JSON of any type
        raise BadAdapter(
            f"{where} gives {intrinsic.result}, but {io_yaml.path} gives {shown(io_yaml.shape)}: {said}",
            "declare what it gives; `alora-flow intrinsics show` prints it",
        )


def _check_calibration(
    calibration: Calibration, intrinsic: Intrinsic, emits: Choices | t.Type, io_yaml: IoYaml | None, folder: Path
) -> None:
    """Was it fitted for what the intrinsic writes?"""
    if io_yaml is not None:
        check_rules(calibration, folder, io_yaml)
        return
    texts = [text for text, _ in choices_of(emits) or ()]  # it says nothing of what is no choice
    if texts and set(texts) != set(calibration.answers):
        raise BadAdapter(
            f"{folder / CALIBRATION} was fitted for the answers {', '.join(calibration.answers)}, and intrinsic "
            f"'{intrinsic.name}' emits {', '.join(texts)}",
            "let it emit these answers, fit the calibration again, or delete it",
        )


def _outcomes(
    emits: Choices | t.Type, io_yaml: IoYaml | None, calibration: Calibration | None, tokenizer: Tokenizer
) -> tuple[Outcome, ...] | None:
    """Only a literal of the flow file, as in `emits enum("<|yes|>", "no")`, can spell control tokens: what an adapter's
    files or a type name are data, as everywhere."""
    if io_yaml is not None and io_yaml.categories is not None:
        weights = io_yaml.categories.items()
        return tuple(Outcome(tokenizer.encode_data(text), text, weight) for text, weight in weights)
    options = choices_of(emits)
    if options is None:
        return None
    encode = tokenizer.encode_control if isinstance(emits, Choices) else tokenizer.encode_data
    numbers = calibration.answers if calibration else {}
    return tuple(Outcome(encode(text), it, numbers.get(text)) for text, it in options)
