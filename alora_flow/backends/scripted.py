"""Parts of an answer that nobody generates, but that calls as one that a model writes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from alora_runtime.requests import Completion, Request, Suspended, TextTrigger, Trigger

if TYPE_CHECKING:
    from alora_flow.prompts.tokens import Tokenizer


def called(request: Request, tokens: Sequence[int], tokenizer: Tokenizer, trigger: Trigger | TextTrigger) -> Completion:
    """Some tokens more, and the invocation of a trigger."""
    if isinstance(trigger, TextTrigger):
        encode = tokenizer.encode_control if trigger.control else tokenizer.encode_data
        invocation = encode(trigger.text)
    else:
        invocation = tuple(trigger.tokens)
    reply = (*_earlier(request), *tokens)
    everything = (*(request.resumes.written if request.resumes else ()), *tokens, *invocation)
    suspended = Suspended(trigger.name, invocation, reply, everything, b"", invocation[0])
    return Completion(reply, tokenizer.decode(reply), "invoked", suspended=suspended)


def said(request: Request, tokens: Sequence[int], tokenizer: Tokenizer) -> Completion:
    """Some tokens more, and the end."""
    reply = (*_earlier(request), *tokens)
    return Completion(reply, tokenizer.decode(reply), "length")


def ended(resumes: Suspended, tokenizer: Tokenizer, stop: int) -> Completion:
    """Nothing more but a stop token."""
    return Completion((*resumes.reply, stop), tokenizer.decode(tuple(resumes.reply)), "stop")


def _earlier(request: Request) -> Sequence[int]:
    return request.resumes.reply if request.resumes else ()
