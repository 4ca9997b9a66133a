"""From a request to a task of one engine: all that can be wrong with it is told here, before anything is touched."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from alora_runtime.adapters.library import Library
from alora_runtime.answer.choices import ChoiceTrie
from alora_runtime.answer.constraints import Constraint, Vocabulary
from alora_runtime.answer.detokenizer import Detokenizer
from alora_runtime.answer.interruptible import Interruptible
from alora_runtime.answer.watch import Watch
from alora_runtime.compute.model import LanguageModel
from alora_runtime.errors import EngineError, RequestError, shown
from alora_runtime.matching import CheckedMatcher
from alora_runtime.requests import Listener, Matcher, Request, TextTrigger
from alora_runtime.schedule.sequence import Live
from alora_runtime.task import Task
from alora_runtime.validation import check_length, checked, truth, uses_of, with_checked_tokens


class Admission:
    """What requests are held against: a model, its adapters, and an arena of so many tokens."""

    def __init__(self, model: LanguageModel, library: Library, cache_tokens: int) -> None:
        self._model, self._library, self._cache_tokens = model, library, cache_tokens
        self._vocabulary = Vocabulary(model.tokenizer) if model.tokenizer else None

    def checked(self, request: Request) -> Request:
        """With its fields as this engine takes them, its tokens apart. Raises RequestError."""
        return checked(request, self._library.configs, self._model.vocabulary)

    def with_tokens(self, request: Request) -> Request:
        """With tokens that the model knows. Raises RequestError."""
        return with_checked_tokens(request, self._model.vocabulary)

    def task(self, ticket: int, request: Request, listener: Listener | None, retain: bool) -> Task:
        """A request that is taken under a ticket. Raises RequestError and CapacityError."""
        request = self.checked(request)
        if listener is not None and not callable(listener):
            raise RequestError(f"a listener must be callable, and {shown(listener)} is not")
        trie = ChoiceTrie(request.choices) if request.choices is not None else None
        room = len(trie.tokens) if trie else request.room - 1
        longest = max(map(len, trie.choices)) if trie else request.room
        source = self._model.source
        check_length(request.prompt_length, longest, room, source.max_positions, self._cache_tokens)
        request = self.with_tokens(request)
        runs, kept = self._library.runs(request), truth("retain", retain)
        live = Live(ticket, runs, room, trie, uses_of(request), request.pin, kept)
        stops = (*request.stop_tokens, *(() if request.ignore_eos else source.eos))
        begin = partial(Task, request, live, frozenset(stops), stops[0] if stops else None, listener=listener)
        return self._begun(begin, request, listener)

    def again(self, task: Task) -> Task:
        """The same request from its beginning, with the tokens that were chosen already."""
        if task.ending is not None:
            return task
        old, request, listener = task.live, task.request, task.listener
        live = Live(old.ticket, old.runs, old.room, old.trie, old.uses, old.pin, old.retain)
        known = () if old.trie else tuple(old.generated if len(old.generated) > len(task.known) else task.known)
        begin = partial(Task, request, live, task.stops, task.stop, listener=listener, told=task.told, known=known)
        try:
            return self._begun(begin, request, listener)
        except Exception as error:  # a constraint of one's own that works only once
            return begin(text=self._detokenizer(request, listener), ending=("error", error))

    def _begun(self, begin: Callable[..., Task], request: Request, listener: Listener | None) -> Task:
        text = self._detokenizer(request, listener)
        return begin(text=text, watch=self._watch(request, text), matcher=self._matcher(request))

    def _matcher(self, request: Request) -> Matcher | None:
        if request.constraint is None:
            return None
        if self._vocabulary is None:
            raise RequestError("a constraint needs a tokenizer, and the model folder has no tokenizer.json")
        try:
            matcher = request.constraint.matcher(self._vocabulary)
            for token in request.resumes.written if request.resumes else ():
                matcher.accept(token)
        except EngineError:
            raise
        except Exception as error:
            raise RequestError(f"the constraint made no matcher: {shown(error)}") from error
        own = isinstance(request.constraint, Constraint | Interruptible)
        return CheckedMatcher(matcher, self._model.vocabulary, own)

    def _watch(self, request: Request, text: Detokenizer | None) -> Watch | None:
        return Watch(request.triggers, text, self._vocabulary) if request.triggers else None

    def _detokenizer(self, request: Request, listener: Listener | None) -> Detokenizer | None:
        """Where somebody listens or the text may end the answer; without a tokenizer there is no text to hear of."""
        tokenizer = self._model.tokenizer
        if tokenizer is None and request.stop_strings:
            raise RequestError("stop strings need a tokenizer, and the model folder has no tokenizer.json")
        decides = request.stop_strings or any(isinstance(trigger, TextTrigger) for trigger in request.triggers)
        heard = listener is not None or decides
        if tokenizer is None or request.choices is not None or not heard:
            return None
        return Detokenizer(tokenizer, request.stop_strings, request.resumes.reply if request.resumes else ())
