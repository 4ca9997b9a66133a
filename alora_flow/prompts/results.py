"""What follows a call of a tool: its result as a turn of data. All that runs imports this; it imports no model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alora_flow.errors import BadModel
from alora_flow.prompts.contents import Content, Hole, Symbol, Thread, Turn

if TYPE_CHECKING:
    from alora_flow.prompts.thread import Prompter


def result_symbols(prompter: Prompter, thread: Thread, result: Content) -> tuple[Symbol, ...]:
    """What follows a call that is made behind `thread`: what closes its turn, a turn with the tool's result, and what
    opens the turn after it. Raises BadModel where the template leaves the call out."""
    call = Hole("call")
    whole = result_thread(thread, call, result)
    symbols = prompter.writing(whole).symbols
    if call not in symbols:
        raise BadModel("its chat template writes nothing of an answer behind which a tool's result stands")
    return (*symbols[symbols.index(call) + 1 :], *prompter.generation_tokens(whole))


def result_thread(thread: Thread, call: Content, result: Content) -> Thread:
    """A thread that goes on with a call and its result."""
    return thread.then(Turn("assistant", (call,)), Turn("tool_result", (result,)))
