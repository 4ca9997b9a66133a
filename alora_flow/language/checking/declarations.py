"""Declarations: from the syntax tree of one file to its symbols. A declaration is read when it is first needed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from alora_flow.language.checking.fit import fit
from alora_flow.language.checking.frames import Frame, constant_int
from alora_flow.language.checking.intrinsics import intrinsic
from alora_flow.language.checking.invocations import inner_calls
from alora_flow.language.checking.scope import Scope, Symbol, Unit
from alora_flow.language.checking.statements import Checked, block
from alora_flow.language.checking.tools import tool
from alora_flow.language.checking.types import TYPE_NAMES, resolve, resolve_data, resolve_lasting
from alora_flow.language.checking.values import reader
from alora_flow.language.meaning import program
from alora_flow.language.meaning.builtins import FUNCTIONS, OWN_NAMES
from alora_flow.language.meaning.folding import fold
from alora_flow.language.meaning.settings import BUDGET
from alora_flow.language.meaning.types import ERROR, NONE, EnumType, Field, RecordType, Type, alternatives
from alora_flow.language.report.diagnostics import Note, did_you_mean
from alora_flow.language.report.source import Span
from alora_flow.language.syntax import nodes
from alora_flow.language.syntax.parser import Gap, words
from alora_flow.language.syntax.words import RESERVED

ENDS = frozenset(("E0601", "E0604", "E0606"))
"""What is said of a block that does not end as it should."""
UNKNOWN = frozenset(("E0301", "E0302"))
"""What is said of a name that nothing declares."""


def collect(unit: Unit) -> None:
    """The names that the file declares; reports those declared twice, and those that the language has itself."""
    for node in unit.file.declarations:
        if isinstance(node, nodes.Test):
            continue
        name = node.name.text
        earlier = unit.declared.get(name)
        if earlier is not None and not isinstance(earlier, nodes.Test):
            note = Note(f"'{name}' is declared here first", earlier.name.span)
            unit.report.add("E0201", f"'{name}' is declared twice", node.name.span, None, note)
        elif name in TYPE_NAMES or name in OWN_NAMES or name in FUNCTIONS or name in RESERVED:
            message = f"'{name}' is a word of the language and cannot be declared"
            unit.report.add("E0211", message, node.name.span, "choose another name")
            unit.declared[name] = node
        else:
            unit.declared[name] = node
    open_gaps = _open_gaps(unit)
    unit.unsure = frozenset(word for gap in open_gaps for word in words(gap.span))
    unit.report.ignored = UNKNOWN if any(gap.torn or gap.nameless for gap in open_gaps) else frozenset()
    _only_one_model(unit)


def _open_gaps(unit: Unit) -> list[Gap]:
    """Those that do not belong to a declaration, or begin one."""
    spans = [node.span for node in unit.file.declarations]
    return [gap for gap in unit.gaps if not any(span.start < gap.span.start < span.end for span in spans)]


def _only_one_model(unit: Unit) -> None:
    models = [node for node in unit.file.declarations if isinstance(node, nodes.ModelDef)]
    for node in models[1:]:
        note = Note("the first one", models[0].span)
        help = "a program runs on one model: the prefixes of two share nothing"
        unit.report.add("E0206", f"a second model, '{node.name.text}'", node.span, help, note)


def elaborate(unit: Unit) -> None:
    """All symbols of the file, then the bodies of its flows, then its tests."""
    open_names: list[str] = []

    def need(name: str) -> None:
        node = unit.declared[name]
        if name in open_names:
            _report_cycle(unit, [unit.declared[item] for item in open_names[open_names.index(name) :]])
            return
        open_names.append(name)
        symbol = READERS[type(node)](unit, node)
        open_names.pop()
        if symbol is not None:
            unit.symbols[name] = symbol

    unit.need = need
    for name in unit.declared:
        if name not in unit.symbols:
            need(name)
    _let_invoke(unit)
    for name, symbol in list(unit.symbols.items()):
        node = unit.declared[name]
        if isinstance(symbol, program.FlowDecl) and isinstance(node, nodes.FlowDef):
            unit.symbols[name] = _flow_body(unit, node, symbol)
    unit.tests += [_test(unit, node) for node in unit.file.declarations if isinstance(node, nodes.Test)]
    _forget_torn_heads(unit)


def _forget_torn_heads(unit: Unit) -> None:
    """Of a declaration whose head lost something, only the syntax error is said; of a flow, its body's errors too."""
    bodies = (nodes.FlowDef, nodes.Test)
    for node in unit.file.declarations if unit.gaps else ():
        end = node.body.span.start if isinstance(node, bodies) else node.span.end
        head = Span(node.span.source, node.span.start, end)
        if any(head.start <= gap.span.start < head.end for gap in unit.gaps):
            unit.report.found = [item for item in unit.report.found if not head.start <= item.span.start < head.end]


def _let_invoke(unit: Unit) -> None:
    """Intrinsics with what they may invoke: those that are invoked before those that do, but in a circle."""
    seen: set[str] = set()

    def complete(name: str) -> None:
        node, symbol = unit.declared.get(name), unit.symbols.get(name)
        if name in seen or not isinstance(node, nodes.Intrinsic) or not isinstance(symbol, program.Intrinsic):
            return
        seen.add(name)
        for callee in (callee for may in node.permissions for callee in may.callees if callee.qualifier is None):
            complete(callee.name.text)
        if node.permissions:
            unit.symbols[name] = inner_calls(unit, node, symbol)

    for name in list(unit.symbols):
        complete(name)


def _report_cycle(unit: Unit, chain: list[nodes.Declaration]) -> None:
    names = [node.name.text for node in chain if not isinstance(node, nodes.Test)]
    shown = " → ".join([*names, names[0]])
    first = chain[0]
    assert not isinstance(first, nodes.Test)
    what = "a record cannot contain itself" if isinstance(first, nodes.Record) else "this needs itself"
    unit.report.add("E0204", f"{what}: {shown}", first.name.span)


def _head(unit: Unit, node: Any) -> tuple[str, str, str, Span]:
    """key, name, doc, span of a declaration."""
    return f"{unit.prefix}{node.name.text}", node.name.text, node.doc, node.name.span


# ------------------------------------------------------------------ types and consts


def _model(unit: Unit, node: nodes.ModelDef) -> Symbol:
    _plain(unit, node.reference, "the name of a model")
    return program.ModelDecl(*_head(unit, node), node.reference.text)


def _plain(unit: Unit, string: nodes.String, what: str) -> None:
    """A string without holes, and not empty."""
    if any(not isinstance(part, str) for part in string.parts):
        unit.report.add("E0208", f"{what} must be a constant: it has a hole", string.span)
    elif not string.text:
        unit.report.add("E0205", f"{what} is empty", string.span)


def _enum(unit: Unit, node: nodes.Enum) -> Symbol:
    members = [member.name for member in node.members]
    _unique(unit, members, "member")
    if not members:
        unit.report.add("E0205", f"'{node.name.text}' has no members", node.name.span)
    docs = {member.name.text: member.doc for member in node.members if member.doc}
    names = tuple(dict.fromkeys(name.text for name in members))
    type = EnumType(node.name.text, names, unit.source.path, _texts(unit, node))
    return program.EnumDecl(*_head(unit, node), type, docs)


def _texts(unit: Unit, node: nodes.Enum) -> tuple[tuple[str, str], ...]:
    """The members that are written otherwise as data; no two are written alike."""
    seen: dict[str, nodes.Member] = {}
    for member in node.members:
        if member.text is not None:
            _plain(unit, member.text, "what a member is written as")
        text = member.text.text if member.text else member.name.text
        earlier = seen.setdefault(text, member)
        if earlier.name.text != member.name.text:
            note = Note("this one is written so already", earlier.span)
            unit.report.add("E0203", f"a second member written '{text}'", member.span, None, note)
    return tuple((member.name.text, member.text.text) for member in node.members if member.text)


def _unique(unit: Unit, names: Iterable[nodes.Identifier], what: str) -> None:
    seen: dict[str, nodes.Identifier] = {}
    for name in names:
        if name.text in seen:
            note = Note("it stands here first", seen[name.text].span)
            unit.report.add("E0203", f"a second {what} '{name.text}'", name.span, None, note)
        seen.setdefault(name.text, name)


def _record(unit: Unit, node: nodes.Record) -> Symbol:
    _unique(unit, [field.name for field in node.fields], "field")
    if not node.fields:
        unit.report.add("E0205", f"'{node.name.text}' has no fields", node.name.span)
    fields: list[Field] = []
    defaults: dict[str, program.Expression] = {}
    for item in {field.name.text: field for field in reversed(node.fields)}.values():
        type = resolve_lasting(unit, item.type, "a field")
        fields.append(Field(item.name.text, type, item.default is None and not _may_be_none(type)))
        if item.default is None and _may_be_none(type):
            defaults[item.name.text] = program.Literal(NONE, item.span, None)
        if item.default is not None:
            defaults[item.name.text] = constant(unit, item.default, type, f"'{item.name.text}'", item.type.span)
    docs = {field.name.text: field.doc for field in node.fields if field.doc}
    places = {field.name.text: field.name.span for field in node.fields}
    record = RecordType(node.name.text, tuple(reversed(fields)), unit.source.path, _tag(unit, node))
    return program.RecordDecl(*_head(unit, node), record, defaults, docs, places)


def _may_be_none(type: Type) -> bool:
    """What is not given is none then."""
    return NONE in alternatives(type)


def _tag(unit: Unit, node: nodes.Record) -> str:
    if node.tag is None:
        return ""
    _plain(unit, node.tag, "a tag")
    field = next((field for field in node.fields if field.name.text == "tag"), None)
    if field is not None:
        note = Note("the tag of the record stands here", node.tag.span)
        unit.report.add("E0203", "a field 'tag' beside the record's own tag", field.name.span, None, note)
    return node.tag.text


def _alias(unit: Unit, node: nodes.Alias) -> Symbol:
    return program.AliasDecl(*_head(unit, node), resolve(unit, node.type))


def _const(unit: Unit, node: nodes.Const) -> Symbol:
    type = resolve(unit, node.type) if node.type else None
    return program.ConstDecl(*_head(unit, node), constant(unit, node.value, type, f"'{node.name.text}'"))


def constant(
    unit: Unit, node: nodes.Expression, type: Type | None, what: str, declared: Span | None = None
) -> program.Expression:
    """The value of an expression that must be known before the run."""
    checker = reader(Scope(unit))
    found = checker.value(node, type)
    if type is not None:
        found = fit(checker, found, type, what, *([Note("its type stands here", declared)] if declared else []))
    folded = fold(found)
    if folded is None:
        help = "constants are made of literals, other consts, records and lists of them"
        unit.report.add("E0208", f"{what} must be a constant", node.span, help)
    return folded or replace(found, type=ERROR)


# ------------------------------------------------------------ intrinsics, tools, flows


def _parameters(unit: Unit, items: tuple[nodes.Parameter, ...], data: str | None) -> tuple[program.Parameter, ...]:
    """`data` says whose parameters they are where they must be data."""
    _unique(unit, [item.name for item in items], "parameter")
    found = []
    for item in items:
        type = resolve_data(unit, item.type, data) if data else resolve(unit, item.type)
        default: program.Expression | None = None
        if _may_be_none(type):
            default = program.Literal(NONE, item.span, None)
        if item.default is not None:
            default = constant(unit, item.default, type, f"'{item.name.text}'", item.type.span)
        found.append(program.Parameter(unit.binding(item.name, "parameter", type), default))
    _defaults_last(unit, items, found)
    return tuple(found)


def _defaults_last(unit: Unit, items: Iterable[nodes.Parameter], found: Iterable[program.Parameter]) -> None:
    """What may be none need not be given, so it may stand anywhere behind."""
    earlier: nodes.Parameter | None = None
    for item, parameter in zip(items, found, strict=True):
        if item.default is not None:
            earlier = earlier or item
        elif earlier is not None and parameter.default is None and parameter.binding.type != ERROR:
            note = Note("this one has a default", earlier.span)
            help = "parameters with defaults stand last"
            unit.report.add(
                "E0203", f"'{item.name.text}' needs a value, but stands after a default", item.span, help, note
            )


def _intrinsic(unit: Unit, node: nodes.Intrinsic) -> Symbol:
    parameters = _parameters(unit, node.parameters, "a parameter of an intrinsic")
    return intrinsic(unit, node, _head(unit, node), parameters)


def _tool(unit: Unit, node: nodes.Tool) -> Symbol:
    return tool(unit, node, _head(unit, node), _parameters(unit, node.parameters, "a parameter of a tool"))


def _flow(unit: Unit, node: nodes.FlowDef) -> Symbol:
    parameters = _parameters(unit, node.parameters, None)
    result = resolve(unit, node.result)
    depths = [clause for clause in node.clauses if isinstance(clause, nodes.MaxDepth)]
    budgets = [clause for clause in node.clauses if isinstance(clause, nodes.Budget)]
    marks = [clause for clause in node.clauses if isinstance(clause, nodes.Speculate)]
    for repeated in (*depths[1:], *budgets[1:], *marks[1:]):
        unit.report.add("E0210", "this clause stands here twice", repeated.span, "leave one of them out")
    depth = constant_int(reader(Scope(unit)), depths[0].depth, "'max_depth'") if depths else None
    limits = _limits(unit, budgets[0]) if budgets else ()
    return program.FlowDecl(*_head(unit, node), parameters, result, (), depth, bool(marks), limits)


def _limits(unit: Unit, node: nodes.Budget) -> tuple[program.Limit, ...]:
    _unique(unit, [limit.resource for limit in node.limits], "limit of")
    found = []
    for limit in node.limits:
        name = limit.resource.text
        if name not in BUDGET:
            help = did_you_mean(name, BUDGET) or f"known are {', '.join(BUDGET)}"
            unit.report.add("E0307", f"there is no resource '{name}'", limit.resource.span, help)
            continue
        amount = constant(unit, limit.amount, BUDGET[name], f"'{name}'")
        if isinstance(amount, program.Literal) and isinstance(amount.value, (int, float)):
            found.append(program.Limit(name, amount.value, limit.span))
    return tuple(found)


def _flow_body(unit: Unit, node: nodes.FlowDef, flow: program.FlowDecl) -> program.FlowDecl:
    scope = Scope(unit, owner=flow.key, unsure=_words(unit, node), doubted=_words(unit, node, TESTS))
    unit.used_in_body.clear()
    for parameter in flow.parameters:
        scope.hide(parameter.name, parameter.binding.span)
        scope.adopt(parameter.binding)
    body, ended = _body(scope, node, Frame("flow", flow.result, node.result.span))
    if not ended and flow.result != ERROR and not unit.gaps_in(node.span):
        end = Span(node.span.source, node.body.span.end - 1, node.body.span.end)
        note = Note(f"'{node.name.text}' must give {flow.result}", node.result.span)
        help = "end every path with 'return'"
        unit.report.add("E0601", f"the end of '{node.name.text}' can be reached without a result", end, help, note)
    return replace(flow, body=body)


TESTS = frozenset(("if", "else", "match", "require", "is", "for", "repeat", "and"))
"""What a statement says that finds out more of a value, or binds names in a block."""


def _words(unit: Unit, node: nodes.Declaration, among: frozenset[str] = frozenset()) -> frozenset[str]:
    """Those of statements that were cut out; of those that have one of these words, where some are given."""
    gaps = [words(gap.doubtful) for gap in unit.gaps_in(node.span) if not gap.is_bracket]
    return frozenset(word for gap in gaps if not among or gap & among for word in gap)


def _members(unit: Unit) -> frozenset[str]:
    enums = [node for node in unit.file.declarations if isinstance(node, nodes.Enum)]
    return frozenset(member.name.text for enum in enums for member in enum.members)


def _body(scope: Scope, node: nodes.FlowDef | nodes.Test, frame: Frame) -> Checked:
    """The statements of a flow or a test. Where some are left out, nothing is said of what they may have ended."""
    gaps = scope.unit.gaps_in(node.span)
    unsure = UNKNOWN if any(gap.torn or gap.nameless for gap in gaps) else frozenset()
    scope.unit.used_in_body.clear()
    with scope.unit.report.without(ENDS | unsure if gaps else frozenset()):
        return block(reader(scope), node.body, frame)


def _test(unit: Unit, node: nodes.Test) -> program.TestDecl:
    unsure = _words(unit, node)
    if any(gap.span.start == node.span.start for gap in unit.gaps):  # a flow whose head is cut: its types are not known
        unsure |= _members(unit)
    else:
        _plain(unit, node.title, "the title of a test")
    body, _ = _body(Scope(unit, in_test=True, unsure=unsure, doubted=_words(unit, node, TESTS)), node, Frame("test"))
    title = node.title.text
    return program.TestDecl(f"{unit.prefix}{title}", title, node.doc, node.title.span, body)


def _import(unit: Unit, node: nodes.Import) -> Symbol | None:
    imported = unit.imports.get(node.name.text)
    path = imported.source.path if imported else node.file.text
    return program.Import(*_head(unit, node), path)


Reader = Callable[[Unit, Any], Symbol | None]
READERS: dict[type, Reader] = {
    nodes.Import: _import,
    nodes.ModelDef: _model,
    nodes.Enum: _enum,
    nodes.Record: _record,
    nodes.Alias: _alias,
    nodes.Const: _const,
    nodes.Intrinsic: _intrinsic,
    nodes.Tool: _tool,
    nodes.FlowDef: _flow,
}
