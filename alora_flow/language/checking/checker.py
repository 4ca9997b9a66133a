"""Who reads a file: the names that are bound at a place, where findings go, and a rule for each kind of expression."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from alora_flow.frozen import dataclass
from alora_flow.language.checking.scope import Report, Scope, Unit
from alora_flow.language.meaning.narrowing import Path
from alora_flow.language.meaning.program import Binding, BindingKind, Expression
from alora_flow.language.meaning.types import Type
from alora_flow.language.syntax import nodes


@dataclass(frozen=True)
class Checker:
    """Reads what stands at one place of a file. `rules` say what each kind of node means.

    A rule calls the checker for the parts of its node, so that no module of rules needs another one.
    """

    scope: Scope
    rules: Mapping[type, Rule]

    @property
    def unit(self) -> Unit:
        return self.scope.unit

    @property
    def report(self) -> Report:
        return self.scope.unit.report

    def value(self, node: nodes.Expression, expected: Type | None = None) -> Expression:
        """`expected` only helps to find enum members; it is `fit` that demands. Where it is the error type, a bare name
        may be a member of an enum that is not known, and nothing is said."""
        return self.rules[type(node)](self, node, expected)

    def inside(self, known: Mapping[Path, Type] | None = None) -> Checker:
        """In a block, where more is known of some values than here."""
        return replace(self, scope=self.scope.child(known))

    def find(self, name: str) -> Binding | None:
        return self.scope.find(name)

    def bind(self, name: nodes.Identifier, kind: BindingKind, type: Type) -> Binding:
        return self.scope.bind(name, kind, type)


Rule = Callable[[Checker, Any, Type | None], Expression]
