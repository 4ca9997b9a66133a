"""From text to the checked program: reads the file and what it imports, checks all of it, puts it together."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import TypeVar

from alora_flow.collector import no_collection
from alora_flow.language.checking.chains import check_chains
from alora_flow.language.checking.declarations import collect, elaborate
from alora_flow.language.checking.recursion import check_recursion
from alora_flow.language.checking.results import check_results
from alora_flow.language.checking.scope import Report, Symbol, Unit
from alora_flow.language.checking.unused import warn_unused
from alora_flow.language.meaning.program import (
    AliasDecl,
    ConstDecl,
    EnumDecl,
    FlowDecl,
    Import,
    Intrinsic,
    ModelDecl,
    Program,
    RecordDecl,
    ToolDecl,
)
from alora_flow.language.report.diagnostics import Diagnostic, FlowErrors, Note, in_order
from alora_flow.language.report.source import Source
from alora_flow.language.syntax import nodes
from alora_flow.language.syntax.parser import parse

S = TypeVar("S", bound=Symbol)
Checked = tuple[Program | None, tuple[Diagnostic, ...]]


def load(path_or_text: Path | str) -> Program:
    """The program of a file (a Path, or a str without line ends) or of a text. Raises FlowErrors, with warnings too."""
    is_text = isinstance(path_or_text, str) and ("\n" in path_or_text or "{" in path_or_text)
    program, found = check(Source("<text>", str(path_or_text))) if is_text else check_file(Path(path_or_text))
    if program is None:
        raise FlowErrors(found)
    return program


def check_file(path: Path) -> Checked:
    source, problem = read(path)
    return (None, (problem,)) if problem else check(source)


def check(source: Source | str) -> Checked:
    """The program, or None when an error is among the diagnostics; they are in the order of the text."""
    with no_collection():
        return _check(Source("<text>", source) if isinstance(source, str) else source)


def _check(source: Source) -> Checked:
    found: list[Diagnostic] = []
    loader = _Loader(found, source)
    root = loader.unit(source)
    if root is None:
        return None, in_order(found)
    _set_prefixes(root)
    for unit in loader.order:
        _drop_broken(unit)
        elaborate(unit)
    if found:  # what is missing would be warned of
        return None, in_order([*found, *(item for item in root.report.found if item.severity == "error")])
    check_recursion(loader.order)
    check_chains(loader.order)
    check_results(root)
    if not root.report.wrong:
        warn_unused(root)
    found += root.report.found
    wrong = any(item.severity == "error" for item in found)
    return None if wrong else _program(root, loader.order), in_order(found)


STDIN = Path("<stdin>")
"""The file that is standard input: what it names lies in the folder where the command was given."""


def read(path: Path, shown: str | None = None) -> tuple[Source, Diagnostic | None]:
    """A file's text as it is, line ends too; an unreadable one gives a diagnostic that calls it `shown`."""
    shown = shown or str(path)
    empty = Source(str(path), "")
    try:
        file = Path("/dev/stdin") if path == STDIN else path
        return Source(str(path), file.read_bytes().decode("utf-8")), None
    except UnicodeDecodeError as error:
        message = f"cannot read '{shown}': byte {error.start + 1} is not UTF-8"
    except OSError as error:
        message = f"cannot read '{shown}': {(error.strerror or str(error)).lower()}"
    except ValueError as error:
        message = f"cannot read '{shown}': {error}"
    return empty, Diagnostic("E0109", message, empty.span(0, 0))


@dataclass(frozen=True)
class _Open:
    """An import that is being followed: the file that it stands in, and where."""

    path: Path
    unit: Unit
    node: nodes.Import


@dataclass
class _Loader:
    """Reads a file and its imports, each once, imports first; `found` gets what is wrong with the text."""

    found: list[Diagnostic]
    root: Source
    order: list[Unit] = field(default_factory=list)
    units: dict[Path, Unit | None] = field(default_factory=dict)
    open: list[_Open] = field(default_factory=list)
    ids: Iterator[int] = field(default_factory=count)

    def unit(self, source: Source) -> Unit | None:
        parsed = parse(source)
        self.found += parsed.diagnostics
        file = parsed.sound if source is self.root else parsed.file
        if file is None:
            return None
        unit = Unit(source, file, Report(), self.ids, gaps=parsed.gaps)
        collect(unit)
        for node in file.declarations:
            if isinstance(node, nodes.Import):
                self.open.append(_Open(Path(os.path.realpath(source.path)), unit, node))
                unit.imports[node.name.text] = self._imported(unit, node)
                self.open.pop()
        self.order.append(unit)
        return unit

    def _imported(self, unit: Unit, node: nodes.Import) -> Unit | None:
        if not _names_file(node.file):
            help = 'write a path that is relative to this file, as in "checks.flow"'
            unit.report.add("E0701", f"{node.file.span.text} is no flow file", node.file.span, help)
            return None
        path = Path(unit.source.path).parent / node.file.text
        key = Path(os.path.realpath(path))
        cycle = next((self.open[place:] for place, item in enumerate(self.open) if item.path == key), None)
        if cycle is not None:
            _report_cycle(cycle)
            return None
        if key not in self.units:
            self.units[key] = self._read(unit, node, path)
        return self.units[key]

    def _read(self, unit: Unit, node: nodes.Import, path: Path) -> Unit | None:
        source, problem = read(path, node.file.text)
        if problem is not None:
            unit.report.add("E0701", problem.message, node.file.span, "imports are relative to the file they stand in")
            return None
        inner = _Loader([], self.root, self.order, self.units, self.open, self.ids)
        found = inner.unit(source)
        if found is None:
            _report_broken(unit, node, inner.found)
        return found


def _names_file(string: nodes.String) -> bool:
    return string.text.endswith(".flow") and "\0" not in string.text and all(isinstance(it, str) for it in string.parts)


def _report_cycle(cycle: list[_Open]) -> None:
    """In the file where it begins, with the way round."""
    first, *others = cycle
    chain = " → ".join(item.path.name for item in [*cycle, first])
    notes = [
        Note(f"'{item.path.name}' imports {item.node.file.span.text} here", item.node.file.span) for item in others
    ]
    help = "move what both need to a file that both import"
    first.unit.report.add("E0702", f"files that import each other: {chain}", first.node.file.span, help, *notes)


def _drop_broken(unit: Unit) -> None:
    """An import with errors is reported where it is imported, once, and its names are silent from then on."""
    for node in unit.file.declarations:
        imported = unit.imports.get(node.name.text) if isinstance(node, nodes.Import) else None
        if isinstance(node, nodes.Import) and imported is not None and imported.report.wrong:
            _report_broken(unit, node, [item for item in imported.report.found if item.severity == "error"])
            unit.imports[node.name.text] = None


def _report_broken(unit: Unit, node: nodes.Import, found: list[Diagnostic]) -> None:
    errors = in_order(found)
    number = f"{len(errors)} error{'' if len(errors) == 1 else 's'}"
    notes = [Note(f"{item.code}: {item.message}", item.span) for item in errors[:3]]
    unit.report.add("E0703", f"{node.file.span.text} has {number}", node.file.span, "mend that file first", *notes)


def _set_prefixes(root: Unit) -> None:
    """Breadth first, so that a file which is imported twice is named by the shorter chain of aliases."""
    waiting, known = [root], {id(root)}
    while waiting:
        unit = waiting.pop(0)
        for alias, imported in unit.imports.items():
            if imported is not None and id(imported) not in known:
                known.add(id(imported))
                imported.prefix = f"{unit.prefix}{alias}."
                waiting.append(imported)


def _program(root: Unit, units: list[Unit]) -> Program:
    symbols: list[Symbol] = [symbol for unit in units for symbol in unit.symbols.values()]

    def of(kind: type[S]) -> dict[str, S]:
        return {symbol.key: symbol for symbol in symbols if isinstance(symbol, kind)}

    return Program(
        root.source,
        root.file.doc,
        of(Import),
        of(ModelDecl),
        of(EnumDecl),
        of(RecordDecl),
        of(AliasDecl),
        of(ConstDecl),
        of(Intrinsic),
        of(ToolDecl),
        of(FlowDecl),
        tuple(root.tests),
    )
