"""The model that a graph runs on, and what each of its calls sends to it: the same walk serves the plan and the run."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

from alora_flow.language.meaning.program import Intrinsic
from alora_flow.planning.evaluate import Values, thread_of
from alora_flow.planning.graph import nodes as g
from alora_flow.planning.graph.nodes import Node
from alora_flow.planning.prompts import PromptedCall
from alora_flow.prompts.contents import Thread

if TYPE_CHECKING:  # a flow that calls no model pays for none of these
    from alora_flow.intrinsics.contract import Contract
    from alora_flow.intrinsics.library import ModelFiles
    from alora_flow.planning.answer_form import AnswerForm
    from alora_flow.planning.model_parts import ModelParts
    from alora_flow.prompts.thread import Prompter


class Setup:
    """What a graph needs to know of the model that it runs on. It is looked for when it is first asked for: a flow that
    calls no model needs none."""

    def __init__(self, find: Callable[[], ModelParts]) -> None:
        """`find` raises BadInput where there is no model; so does each question then."""
        self._find = cache(find)
        self._forms: dict[Hashable, AnswerForm] = {}

    def bare(self) -> Setup:
        """The same model, without intrinsics."""
        return Setup(lambda: replace(self._find(), contracts={}))

    @property
    def model(self) -> ModelFiles:
        return self._find().model

    @property
    def prompter(self) -> Prompter:
        return self._find().prompter

    @property
    def positions(self) -> int | None:
        return self._find().positions

    @property
    def contracts(self) -> Mapping[str, Contract]:
        return self._find().contracts

    def contract(self, intrinsic: Intrinsic) -> Contract:
        """Raises AdapterNotFound or BadAdapter for one that can't be called."""
        return self._find().contract(intrinsic)

    def form(self, operation: g.Generate | g.Invoke) -> AnswerForm:
        """How a call's answer is limited and read; made once for all calls alike. Raises BadInput where its type has no
        grammar."""
        key: Hashable = (
            operation.intrinsic.key
            if isinstance(operation, g.Invoke)
            else (operation.as_type, operation.settings, operation.may_invoke)
        )
        if key not in self._forms:
            self._forms[key] = self._find().form(operation)
        return self._forms[key]

    def prompted(self, node: Node, operation: g.Generate | g.Invoke, thread: Thread, values: Values) -> PromptedCall:
        """What a call on a thread sends."""
        form = self.form(operation)
        if isinstance(operation, g.Invoke):
            return self._find().invocation(node, operation, thread, form, values)
        return self._find().generation(node, operation, thread, form)


def call_of(node: Node, setup: Setup, values: Values) -> PromptedCall:
    """What a model call sends, by what is known of the values that it reads."""
    operation = node.operation
    assert isinstance(operation, (g.Generate, g.Invoke))
    return setup.prompted(node, operation, thread_of(operation.thread, values), values)
