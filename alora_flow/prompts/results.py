"""What follows a call of a tool: its result as a turn of data. All that runs imports this; it imports no model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alora_flow.errors import BadModel
from alora_flow.prompts.contents import Content, Hole, RequestedCall, Symbol, Thread, Turn

if TYPE_CHECKING:
    from alora_flow.prompts.requesting import CallForm
    from alora_flow.prompts.thread import Prompter


def result_symbols(
    prompter: Prompter, thread: Thread, result: Content, form: CallForm | None = None
) -> tuple[Symbol, ...]:
    """What follows a call that is made behind `thread`: what closes its turn, a turn with the tool's result, and what
    opens the turn after it. `form`: how the template writes the call. Raises BadModel where it leaves the call out."""
    call = Hole("call")
    whole = result_thread(thread, call, result, form)
    symbols = prompter.writing(whole).symbols
    if form is not None and form.apart:
        before, last = (
            prompter.writing(thread.then(whole[len(thread)])).symbols,
            prompter.tokenizer.encode_control(form.behind)[-1],
        )
        start = max((place + 1 for place, one in enumerate(before) if one == last), default=len(before))
    elif call in symbols:
        start = symbols.index(call) + 1
    else:
        raise BadModel("its chat template writes nothing of an answer behind which a tool's result stands")
    return (*symbols[start:], *prompter.generation_tokens(whole))


def result_thread(thread: Thread, call: Content, result: Content, form: CallForm | None = None) -> Thread:
    """A thread that goes on with a call and its result."""
    asking = asked(form, thread, (), "", "{}") if form is not None and form.apart else Turn("assistant", (call,))
    return thread.then(asking, given(form, asking, result))


def asked(form: CallForm, thread: Thread, said: tuple[Content, ...], text: str, arguments: str) -> Turn:
    """A turn that calls, for a template that wants to be told. said: what stands before the call, as `text`."""
    ids = [*form.befores.values()]
    earlier = sum(len(turn.calls) for turn in thread)
    call = RequestedCall(form.name, arguments, ids[min(earlier, len(ids) - 1)])
    return Turn("assistant", () if form.thoughts else said, (call,), thoughts=form.thoughts_in(text))


def given(form: CallForm | None, asking: Turn, result: Content, id: str = "") -> Turn:
    """The turn with what a tool gave to the call of a turn, or to that of an `id`."""
    if form is None:
        return Turn("tool_result", (result,))
    call_id = asking.calls[0].id if asking.calls else id or next(iter(form.befores.values()))
    return Turn("tool_result", (result,), call_id=call_id, name=form.name)
