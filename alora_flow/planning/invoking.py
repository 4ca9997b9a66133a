"""What a call of an intrinsic says: the thread as its library wants it, what is appended to it, and from which token
its adapter acts.

The adapter acts from the last place of the tokens that activate it, among those that the flow's author, the library and
the chat template wrote. What fills a hole is data: it never moves that place, whatever it spells.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from alora_flow.errors import BadAdapter
from alora_flow.frozen import dataclass
from alora_flow.intrinsics.contract import Contract, last
from alora_flow.intrinsics.messages import Rewritten, rewritten
from alora_flow.intrinsics.sentences import Sentence
from alora_flow.language.meaning.program import Expression, Reference, StringHole
from alora_flow.planning.evaluate import Values, piece_of
from alora_flow.planning.graph import nodes as g
from alora_flow.planning.graph.walk import mapped
from alora_flow.prompts.thread import Content, Hole, KnownText, Prompter, Symbol, Thread, Turn
from alora_flow.prompts.writing import Writing

FINAL_CHANNEL = "<|channel|>final<|message|>"
"""Where a model writes thoughts and answers in channels: what opens the one for answers."""


@dataclass(frozen=True)
class Invocation:
    """`thread`: the turns that the call says; `tail`: the symbols that follow them; `active_from`: the place of the
    first adapted one of all."""

    thread: Thread
    writing: Writing
    tail: tuple[Symbol, ...]
    active_from: int
    sentences: Mapping[str, Mapping[int, Sentence]] = field(default_factory=dict)


def invoke(operation: g.Invoke, thread: Thread, contract: Contract, prompter: Prompter, values: Values) -> Invocation:
    """Raises BadAdapter where the tokens that activate the adapter stand nowhere."""
    arguments = {item.name: item.value for item in operation.arguments}
    said = Rewritten(thread, ())
    if contract.io_yaml is not None:
        pieces = {name: piece_of(StringHole(value), values) for name, value in arguments.items()}
        tokenizer = prompter.tokenizer
        spelled = tokenizer.spell(contract.sequence) if any(map(tokenizer.is_control, contract.sequence)) else ""
        said = rewritten(thread, contract.io_yaml, pieces, spelled)
    writing = prompter.writing(said.thread)
    if contract.intrinsic.invoke is None:
        opening = _opening(said.thread, contract, prompter)
        start = _activation(said, contract, prompter, opening) if contract.sequence else 0
        if start is not None:
            return Invocation(said.thread, writing, opening, start, said.sentences)
    tail: list[Symbol] = list(prompter.closing_tokens(said.thread))
    start = 0
    for index, piece in enumerate(contract.invocation):
        if index == contract.active_at and contract.adapter.activated:
            start = writing.length + len(tail)
        if isinstance(piece, int):
            tail.append(piece)
        else:
            content = piece_of(StringHole(_filled(piece.value, arguments)), values)
            tail += prompter.piece_symbols(content, tail or writing.end)
    return Invocation(said.thread, writing, tuple(tail), start, said.sentences)


def _filled(expression: Expression, arguments: Mapping[str, Expression]) -> Expression:
    """The expression with the call's arguments in place of the parameters."""
    if isinstance(expression, Reference):
        return arguments[expression.binding.name]
    return mapped(expression, lambda inner: _filled(inner, arguments))


def _opening(thread: Thread, contract: Contract, prompter: Prompter) -> tuple[Symbol, ...]:
    """What opens the assistant's turn, and with `logprobs_workaround` the channel that its answer stands in."""
    opening = prompter.generation_tokens(thread)
    channels = {"<|channel|>", "<|message|>"} <= prompter.tokenizer.control
    answers = contract.io_yaml is not None and contract.io_yaml.final_channel and contract.io_yaml.schema is not None
    return opening + prompter.tokenizer.encode_control(FINAL_CHANNEL) if channels and answers else opening


def _activation(said: Rewritten, contract: Contract, prompter: Prompter, opening: tuple[Symbol, ...]) -> int | None:
    """Where the first adapted token stands, in the library's own message, in the author's last one, or in the opening;
    None where the activating tokens stand in none of them, and are to be appended.
    """
    sequence = contract.sequence
    in_text = not any(map(prompter.tokenizer.is_control, sequence))
    instructed = contract.io_yaml is not None and contract.io_yaml.instruction is not None
    turn = said.thread[-1] if said.thread and (instructed or in_text) else None
    if turn is not None and (instructed or turn.role == "user"):
        found = _in_turn(said, instructed, contract, prompter, opening)
        if found is not None:
            return found
        if instructed and in_text:
            raise BadAdapter(
                f"intrinsic '{contract.intrinsic.name}' is activated by {prompter.tokenizer.spell(sequence)!r} "
                f"{list(sequence)}, and neither its instruction nor what opens the assistant's turn holds these tokens",
                "the adapter was trained with another tokenizer, or another instruction",
            )
    at = last(sequence, opening)
    return None if at is None else prompter.writing(said.thread).length + at + contract.offset


def _in_turn(
    said: Rewritten, instructed: bool, contract: Contract, prompter: Prompter, opening: tuple[Symbol, ...]
) -> int | None:
    """The same for the last turn and the opening, where data in the turn can't be mistaken for its text: they are first
    taken as holes, and then only those in front of the place are filled.
    """
    before, turn = said.thread.before, said.thread.last
    own = [index in said.literals if instructed else _by_author(piece) for index, piece in enumerate(turn.content)]
    holes = [piece if own[index] else Hole(f"piece {index}") for index, piece in enumerate(turn.content)]
    masked = before.then(Turn(turn.role, tuple(holes)))
    start = prompter.ends_of(masked, [len(before)])[0] if before else 0
    whole = (*prompter.writing(masked).since(start), *opening)
    at = last(contract.sequence, whole)
    if at is None:
        return None
    in_front = sum(isinstance(symbol, Hole) for symbol in whole[:at])
    data = [index for index, mine in enumerate(own) if not mine]
    for index in data[:in_front]:
        holes[index] = turn.content[index]
    filled = prompter.writing(before.then(Turn(turn.role, tuple(holes))))
    return filled.length + len(opening) - (len(whole) - at) + contract.offset


def _by_author(piece: Content) -> bool:
    return isinstance(piece, KnownText) and piece.control
