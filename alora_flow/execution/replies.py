"""From what the base model wrote to the assistant's turn that it leaves in its thread."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alora_flow.prompts.contents import Content, Generated, KnownText, Thread, Turn
from alora_flow.values.data import Reply
from alora_runtime.requests import Completion

if TYPE_CHECKING:
    from alora_flow.prompts.tokens import Tokenizer


def reply_of(thread: Thread, completion: Completion, tokenizer: Tokenizer) -> Reply:
    """The reply, whose turn says what its text says."""
    return Reply(completion.text, thread.then(Turn("assistant", contents_of(completion, tokenizer))), [])


def contents_of(completion: Completion, tokenizer: Tokenizer) -> tuple[Content, ...]:
    """The tokens as they were written. A stop token is left out, since the template closes the turn; of a last token
    that reaches into a stop string the beginning is kept, as text."""
    tokens, text = completion.tokens, completion.text
    if completion.finish == "stop" and tokens and _ends(tokens, text, tokenizer):
        return (Generated(tokens[:-1], text),)
    if completion.finish == "stop_string" and tokenizer.decode(tokens) != text:
        head = tokenizer.decode(tokens[:-1])
        if text.startswith(head):
            return (Generated(tokens[:-1], head), KnownText(text[len(head) :]))
    return (Generated(tokens, text),)


def _ends(tokens: tuple[int, ...], text: str, tokenizer: Tokenizer) -> bool:
    """Is the last one a stop token? What serves text may not give it."""
    return tokenizer.is_control(tokens[-1]) or tokenizer.decode(tokens[:-1]) == text
