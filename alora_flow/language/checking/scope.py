"""What the checker knows while it reads: the findings so far, the files, the names that are bound at a place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import count

from alora_flow.language.meaning import program
from alora_flow.language.meaning.narrowing import Facts, Path, narrowed
from alora_flow.language.meaning.program import Binding, BindingKind
from alora_flow.language.meaning.types import ERROR, Type
from alora_flow.language.report.diagnostics import Diagnostic, Note
from alora_flow.language.report.source import Source, Span
from alora_flow.language.syntax import nodes
from alora_flow.language.syntax.parser import Gap

Symbol = (
    program.EnumDecl
    | program.RecordDecl
    | program.AliasDecl
    | program.ConstDecl
    | program.ModelDecl
    | program.Import
    | program.Intrinsic
    | program.ToolDecl
    | program.FlowDecl
)

KINDS: dict[type[Symbol], str] = {
    program.EnumDecl: "an enum",
    program.RecordDecl: "a record",
    program.AliasDecl: "a type",
    program.ConstDecl: "a const",
    program.ModelDecl: "a model",
    program.Import: "an import",
    program.Intrinsic: "an intrinsic",
    program.ToolDecl: "a tool",
    program.FlowDecl: "a flow",
}


def kind_of(symbol: Symbol) -> str:
    return KINDS[type(symbol)]


class Report:
    """Collects diagnostics; `quiet` lets a place be looked at without saying anything, `ignored` codes are not said."""

    def __init__(self) -> None:
        self.found: list[Diagnostic] = []
        self.ignored: frozenset[str] = frozenset()

    def add(self, code: str, message: str, span: Span, help: str | None = None, *notes: Note) -> None:
        if code not in self.ignored:
            self.found.append(Diagnostic(code, message, span, help, notes))

    @contextmanager
    def quiet(self) -> Iterator[None]:
        before = len(self.found)
        yield
        del self.found[before:]

    @contextmanager
    def without(self, codes: frozenset[str]) -> Iterator[None]:
        """Ignores some codes for a while."""
        before, self.ignored = self.ignored, self.ignored | codes
        yield
        self.ignored = before

    @property
    def wrong(self) -> bool:
        return any(item.severity == "error" for item in self.found)


@dataclass(frozen=True)
class Permitted:
    """Who calls by itself: an intrinsic by its key, or a generation (""); and where that stands."""

    owner: str
    may: program.MayInvoke
    node: nodes.Permission


@dataclass
class Unit:
    """One file. `prefix` goes before the keys of its declarations (`"checks."`); a broken import is None.

    A declared name is in `symbols` once it has been elaborated; `need` elaborates it when it is wanted earlier.
    `gaps` are left by syntax errors; `unsure` are the names that a gap between declarations may have declared.
    `lengths`: by their ids, of bindings to lists of known length.
    """

    source: Source
    file: nodes.File
    report: Report
    ids: Iterator[int] = field(default_factory=count)
    prefix: str = ""
    gaps: tuple[Gap, ...] = ()
    unsure: frozenset[str] = frozenset()
    imports: dict[str, Unit | None] = field(default_factory=dict)
    declared: dict[str, nodes.Declaration] = field(default_factory=dict)
    symbols: dict[str, Symbol] = field(default_factory=dict)
    tests: list[program.TestDecl] = field(default_factory=list)
    need: Callable[[str], None] = lambda name: None
    used: set[str] = field(default_factory=set)
    used_in_body: set[str] = field(default_factory=set)
    bindings: list[tuple[Binding, bool]] = field(default_factory=list)
    used_ids: set[int] = field(default_factory=set)
    lengths: dict[int, int] = field(default_factory=dict)
    calls: list[tuple[str, str, Span]] = field(default_factory=list)
    invoking: list[Permitted] = field(default_factory=list)

    def find(self, name: str) -> Symbol | None:
        if name in self.declared and name not in self.symbols:
            self.need(name)
        self.used.add(name)
        self.used_in_body.add(name)
        return self.symbols.get(name)

    def names(self, *kinds: type) -> list[str]:
        """Declared names for suggestions, all or of some kinds, those of imports with their alias."""
        own = [name for name, symbol in self.symbols.items() if not kinds or isinstance(symbol, kinds)]
        for alias, unit in self.imports.items():
            own += [f"{alias}.{name}" for name in (unit.names(*kinds) if unit else []) if "." not in name]
        return own

    def gaps_in(self, span: Span) -> tuple[Gap, ...]:
        return tuple(gap for gap in self.gaps if gap.doubtful.start < span.end and span.start < gap.doubtful.end)

    def is_doubtful(self, statement: nodes.Statement) -> bool:
        """Is a bracket of it wrong, or is it the statement before a gap, perhaps torn off from it?"""
        span = statement.span
        return any(
            gap.doubtful.start <= span.start
            and (span.end <= gap.span.start or (gap.is_bracket and not isinstance(statement, nodes.If | nodes.Match)))
            and span.start < gap.doubtful.end
            for gap in self.gaps
        )

    def binding(self, name: nodes.Identifier, kind: BindingKind, type: Type, counted: bool = False) -> Binding:
        """`counted` when it is worth a warning that nothing uses it."""
        binding = Binding(next(self.ids), name.text, kind, type, name.span)
        self.bindings.append((binding, counted))
        return binding


@dataclass
class Scope:
    """The names bound at a place, inner ones first; `narrowed` holds what tests have found out about values.

    `on_trial` while a loop's body is read ahead: loops inside it are not read ahead again.
    `unsure` are names that a syntax error may have bound: that they are not known is not said. `doubted` are those
    that it may have tested: of which type they are is not said.
    `owner` is the key of the flow around, empty in a test or an intrinsic.
    """

    unit: Unit
    parent: Scope | None = None
    bound: dict[str, Binding] = field(default_factory=dict)
    narrowed: Facts = field(default_factory=dict)
    owner: str = ""
    in_test: bool = False
    in_value: bool = False
    on_trial: bool = False
    unsure: frozenset[str] = frozenset()
    doubted: frozenset[str] = frozenset()

    def child(self, known: Mapping[Path, Type] | None = None) -> Scope:
        flags = (self.owner, self.in_test, self.in_value, self.on_trial, self.unsure, self.doubted)
        return Scope(self.unit, self, {}, dict(known or {}), *flags)

    def find(self, name: str) -> Binding | None:
        scope: Scope | None = self
        while scope is not None:
            if name in scope.bound:
                return scope.bound[name]
            scope = scope.parent
        return None

    def known(self, path: Path, type: Type) -> Type:
        """The type of a value here, where it is declared with `type`: tests have perhaps found out more."""
        scope: Scope | None = self
        while scope is not None:
            if path in scope.narrowed:
                found = scope.narrowed[path]
                return found if found == ERROR or len(path) == 1 else narrowed(type, found, True)
            scope = scope.parent
        return type

    def names(self) -> list[str]:
        outer = self.parent.names() if self.parent else []
        return [*self.bound, *outer]

    def bind(self, name: nodes.Identifier, kind: BindingKind, type: Type) -> Binding:
        """Names are bound once: not again inside, and not over a declaration that is used."""
        binding = self.unit.binding(name, kind, type, counted=not self.in_test)
        earlier = self.find(name.text)
        if earlier is not None:
            note = Note(f"'{name.text}' is bound here", earlier.span)
            message = f"'{name.text}' is bound already"
            self.unit.report.add("E0202", message, name.span, "names are bound once: choose another", note)
            binding = replace(binding, type=ERROR)
        else:
            self.hide(name.text, name.span)
        self.adopt(binding)
        return binding

    def hide(self, name: str, span: Span) -> None:
        """A name of a declaration may be bound where the declaration itself is not used before."""
        declared = self.unit.declared.get(name)
        if declared is None or isinstance(declared, nodes.Test):
            return
        note = Note(f"'{name}' is declared here", declared.name.span)
        if name in self.unit.used_in_body:
            message = f"'{name}' is declared already, and used in this block"
            self.unit.report.add("E0202", message, span, "names are bound once: choose another", note)
        else:
            message = f"'{name}' hides what is declared under this name"
            self.unit.report.add("W0808", message, span, "choose another name", note)

    def adopt(self, binding: Binding) -> None:
        """A parameter, or `it`."""
        self.bound[binding.name] = replace(binding, type=ERROR) if binding.name in self.doubted else binding

    def is_unsure(self, name: str) -> bool:
        """May it have been bound or declared where the text is wrong?"""
        return name in self.unsure or name in self.unit.unsure


def bad(span: Span) -> program.Expression:
    """Stands for what was wrong and is reported; says nothing more."""
    return program.Literal(ERROR, span, None)
