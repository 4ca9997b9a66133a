"""What a graph needs of the model that it runs on. Imported, by its name, when a flow first calls the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, replace
from functools import partial
from pathlib import Path

from alora_flow.errors import AdapterNotFound, BadAdapter, BadInput
from alora_flow.frozen import dataclass
from alora_flow.intrinsics.contract import Contract, resolve
from alora_flow.intrinsics.library import ModelFiles
from alora_flow.language.meaning.program import Intrinsic, Program
from alora_flow.planning.answer_form import AnswerForm, form_of_generation, form_of_intrinsic
from alora_flow.planning.evaluate import Values, known
from alora_flow.planning.graph import nodes as g
from alora_flow.planning.graph.nodes import Node
from alora_flow.planning.invoking import invoke
from alora_flow.planning.prompts import Prompt, PromptedCall
from alora_flow.prompts.contents import Thread
from alora_flow.prompts.template import ChatTemplate
from alora_flow.prompts.thread import Prompter
from alora_flow.prompts.tokens import Tokenizer
from alora_runtime.compute.support import read_model_folder
from alora_runtime.errors import ConstraintError, ModelError


@dataclass(frozen=True)
class ModelParts:
    """A model's files, and its tokenizer with its chat template. contracts, unusable: by an intrinsic's key, what it
    agrees to, or why it can't be called on this model."""

    model: ModelFiles
    prompter: Prompter
    contracts: Mapping[str, Contract]
    unusable: Mapping[str, BadInput] = field(default_factory=dict)

    @property
    def positions(self) -> int | None:
        """The longest sequence that the model takes, in tokens; None where its configuration does not tell us."""
        try:
            return read_model_folder(self.model.folder).max_positions
        except ModelError:  # a model that another backend may serve
            return None

    def contract(self, intrinsic: Intrinsic) -> Contract:
        """Raises AdapterNotFound or BadAdapter for one that can't be called."""
        if intrinsic.key in self.unusable:
            error = self.unusable[intrinsic.key]
            raise type(error)(error.message, error.help)
        return self.contracts[intrinsic.key]

    def form(self, operation: g.Generate | g.Invoke) -> AnswerForm:
        """How a call's answer is limited and read. An answer that is not one of a few ends where the template ends a
        turn, whatever the model's own end is. Raises BadInput where its type has no grammar."""
        try:
            form = self._form(operation)
        except ConstraintError as error:  # a range too narrow to be written
            raise BadInput(f"line {operation.thread.span.line}: {error}") from error
        end = self.prompter.turn_end
        if end is None or form.choices is not None:
            return form
        return replace(form, settings={**form.settings, "stop_tokens": (end,)})

    def generation(self, node: Node, operation: g.Generate, thread: Thread, form: AnswerForm) -> PromptedCall:
        """A thread is closed turns; a generation opens the assistant's."""
        if operation.may_invoke is not None:
            line = operation.thread.span.line
            raise BadInput(f"line {line}: calls by the model ('may invoke') can be checked, but not run yet")
        prompt = Prompt(self.prompter.writing(thread), self.prompter.generation_tokens(thread))
        return PromptedCall(node, thread, prompt, form)

    def invocation(
        self, node: Node, operation: g.Invoke, thread: Thread, form: AnswerForm, values: Values
    ) -> PromptedCall:
        """An intrinsic is invoked behind the thread, as its library wants it."""
        contract = self.contract(operation.intrinsic)
        said = invoke(operation, thread, contract, self.prompter, values)
        start = said.active_from if contract.adapter.activated else 0
        if form.read is not None and (operation.arguments or said.sentences):
            arguments = {item.name: known(item.value, values) for item in operation.arguments}
            form = replace(form, read=partial(form.read, arguments=arguments, sentences=said.sentences))
        return PromptedCall(node, said.thread, Prompt(said.writing, said.tail, contract, start), form, thread)

    def _form(self, operation: g.Generate | g.Invoke) -> AnswerForm:
        if isinstance(operation, g.Invoke):
            return form_of_intrinsic(self.contract(operation.intrinsic), self.prompter.tokenizer)
        return form_of_generation(operation.as_type, operation.settings, self.prompter.tokenizer)


def open_parts(program: Program, model: ModelFiles, near: Path) -> ModelParts:
    """With the contracts of all intrinsics of a program, imported ones too. What is wrong with one need not care flows
    that don't call it. `near`: the program's folder. Raises BadModel."""
    tokenizer = Tokenizer(model.folder)
    prompter = Prompter(tokenizer, ChatTemplate(model.folder, tokenizer.control))
    contracts: dict[str, Contract] = {}
    unusable: dict[str, BadInput] = {}
    for key, intrinsic in program.intrinsics.items():
        try:
            contracts[key] = resolve(intrinsic, model, tokenizer, near)
        except (AdapterNotFound, BadAdapter) as error:
            unusable[key] = error
    return ModelParts(model, prompter, contracts, unusable)
