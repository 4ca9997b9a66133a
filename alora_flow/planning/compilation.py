"""One flow file and all its stages, made when first asked for: checking loads no model, planning no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alora_flow.collector import no_collection
from alora_flow.errors import BadInput
from alora_flow.intrinsics.library import ModelFiles, find_model
from alora_flow.language import load
from alora_flow.language.checking.check import read
from alora_flow.language.meaning.program import FlowDecl, Program, TestDecl
from alora_flow.language.report.diagnostics import FlowErrors
from alora_flow.language.report.source import Source
from alora_flow.planning.budget import within_budgets
from alora_flow.planning.evaluate import evaluate
from alora_flow.planning.graph.nodes import FlowGraph
from alora_flow.planning.lowering.lowering import lower, lower_test
from alora_flow.planning.passes.table import run_passes
from alora_flow.planning.prefix.plan import PrefixPlan
from alora_flow.planning.schedule import Schedule, schedule
from alora_flow.planning.setup import Setup
from alora_flow.values.models import declare_defaults, nesting

if TYPE_CHECKING:
    from alora_flow.planning.model_parts import ModelParts

MODEL_PARTS = "alora_flow.planning.model_parts"
"""Imported when a flow calls a model: one that calls none need not wait for tokenizers, templates and grammars."""


class Compilation:
    """A flow file on its way from text to plan."""

    def __init__(self, path: Path, model: str | None = None, left_out: Sequence[str] = ()) -> None:
        """`model` replaces the file's own model; `left_out` are passes that its graphs do without."""
        self.path = path
        self._model = model
        self._left_out = frozenset(left_out)
        self.graphs: dict[str, FlowGraph] = {}  # that were made, by their flows' keys

    def __reduce__(self) -> tuple[Any, ...]:
        return Compilation, (self.path.absolute(), self._model, tuple(self._left_out))

    @cached_property
    def program(self) -> Program:
        """The checked program. Raises FlowErrors with all diagnostics, and BadInput for a file that can't be read."""
        program = load(self.path)
        for record in sorted(program.records.values(), key=lambda record: nesting(record.type)):
            defaults = {name: evaluate(value, {}) for name, value in record.defaults.items()}
            declare_defaults(record.type, defaults)
        return program

    @cached_property
    def source(self) -> Source:
        """The file's text, right or wrong. Raises FlowErrors for one that can't be read."""
        source, problem = read(self.path)
        if problem:
            raise FlowErrors((problem,))
        return source

    @property
    def folder(self) -> Path:
        """What relative paths of models, adapters and tools are relative to."""
        return self.path.parent

    @property
    def _own(self) -> dict[str, FlowDecl]:
        """The flows of the file itself, by name."""
        return {flow.name: flow for flow in self.program.flows.values() if not flow.imported}

    def flow(self, name: str | None) -> FlowDecl:
        """A flow of the file itself by name; without a name the one named like the file, or the only one.

        Raises BadInput with the names that there are.
        """
        flows = self._own
        known = ", ".join(flows) or "none"
        if name is None and len(flows) == 1:
            return next(iter(flows.values()))
        if name is None and len(flows) > 1 and self.path.stem not in flows:
            raise BadInput(f"{self.path} has several flows, none of them named like the file: {known}", "name one")
        name = self.path.stem if name is None else name
        if name in flows:
            return flows[name]
        close = get_close_matches(name, flows, n=1)
        raise BadInput(
            f"{self.path} has no flow '{name}'; its flows: {known}", f"did you mean '{close[0]}'?" if close else None
        )

    def test_graph(self, test: TestDecl) -> FlowGraph:
        """The graph of one of its tests."""
        return run_passes(lower_test(self.program, test), self._left_out)

    def doc(self, flow: FlowDecl) -> str:
        """What a flow is for: its own documentation, for the file's main flow else the file's."""
        main = flow.name == self.path.stem or not any(other is not flow for other in self._own.values())
        return flow.doc or (self.program.doc if main else "")

    def graph(self, flow: FlowDecl) -> FlowGraph:
        """The graph of one of its flows."""
        if flow.key not in self.graphs:
            program = self.program
            with no_collection():
                self.graphs[flow.key] = run_passes(lower(program, flow), self._left_out)
        return self.graphs[flow.key]

    @cached_property
    def model(self) -> ModelFiles:
        """The model that it runs on. Raises BadInput where neither the file nor the caller names one."""
        declared = self.program.model
        reference = self._model or (declared.reference if declared else None)
        if reference is None:
            raise BadInput(f"{self.path} names no model", 'write `model base = "mini"` or give --model')
        return find_model(reference, self.folder)

    @cached_property
    def setup(self) -> Setup:
        """What its graphs need to know of the model, found when one of them calls it."""
        return Setup(self._model_parts)

    def _model_parts(self) -> ModelParts:
        parts: ModelParts = import_module(MODEL_PARTS).open_parts(self.program, self.model, self.folder)
        return parts

    def schedule(self, flow: FlowDecl, inputs: Mapping[str, Any]) -> Schedule:
        """The schedule of one flow, with the inputs that are known; parameters that are not stay holes."""
        return schedule(self.graph(flow), self.setup, inputs)

    def plan(self, flow: FlowDecl, inputs: Mapping[str, Any]) -> PrefixPlan:
        """The prefix plan of that schedule. Raises BudgetTooSmall where the worst case breaks a budget."""
        return within_budgets(self.schedule(flow, inputs))
