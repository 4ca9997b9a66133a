"""A flow file as a `.pyi`: its enums, records and flows as a type checker sees them."""

from __future__ import annotations

import builtins
import re
from collections.abc import Collection, Iterator, Mapping

from alora_flow.frozen import dataclass
from alora_flow.language.meaning import types as t
from alora_flow.language.meaning.program import AliasDecl, EnumDecl, FlowDecl, Parameter, Program, RecordDecl, ToolDecl
from alora_flow.module import Module
from alora_flow.values.names import ENUM_MEMBERS, field_names, parameter_name, python_names

IMPORTS = ("builtins", "collections.abc", "enum", "typing", "pydantic", "alora_flow")
"""By their full names, so that no name of a flow file can be in the way."""

SIMPLE: Mapping[type, str] = {
    t.StrType: "str",
    t.IntType: "int",
    t.FloatType: "float",
    t.BoolType: "bool",
    t.DurationType: "float",
    t.NoneType: "None",
    t.DocumentType: "alora_flow.Document",
    t.ProbType: "alora_flow.Distribution",
}
FREELY: Mapping[type, str] = {
    t.DocumentType: "alora_flow.Document | collections.abc.Mapping[str, str]",
    t.ChatType: "collections.abc.Sequence[alora_flow.ChatTurn | collections.abc.Mapping[str, typing.Any]]",
}
"""What may be given for a type, where that is more than its own class."""


Named = EnumDecl | RecordDecl


@dataclass(frozen=True)
class Classes:
    """The Python class of each enum, record, flow and tool, and of the module; and how types are written with them."""

    names: Mapping[t.Type, str]
    flows: Mapping[str, str]
    tools: Mapping[str, str]
    module: str

    def gives(self, type: t.Type, hidden: Collection[str] = ()) -> str:
        """What a value of a type is. `hidden`: names that mean something else where this is written."""
        return self._written(type, hidden, False)

    def takes(self, type: t.Type, hidden: Collection[str] = ()) -> str:
        """What may be given for a type: members by their text, records and documents as mappings too."""
        return self._written(type, hidden, True)

    def _written(self, type: t.Type, hidden: Collection[str], freely: bool) -> str:
        return " | ".join(dict.fromkeys(self._each(type, hidden, freely)))

    def _each(self, type: t.Type, hidden: Collection[str], freely: bool) -> Iterator[str]:
        """What a value may be, one by one."""
        match type:
            case t.OptionalType(inner):
                yield from self._each(inner, hidden, freely)
                yield "None"
            case t.UnionType(members):
                for member in members:
                    yield from self._each(member, hidden, freely)
            case t.ListType(element):
                several = "collections.abc.Sequence" if freely else _seen("list", hidden)
                yield f"{several}[{self._written(element, hidden, freely)}]"
            case t.MapType(element):
                several = "collections.abc.Mapping" if freely else _seen("dict", hidden)
                yield f"{several}[{_seen('str', hidden)}, {self._written(element, hidden, freely)}]"
            case t.EnumType():
                yield _seen(self.names[type], hidden)
                if freely:
                    yield f"typing.Literal[{', '.join(map(repr, type.texts))}]"
            case t.RecordType():
                yield _seen(self.names[type], hidden)
                if freely:
                    yield f"collections.abc.Mapping[{_seen('str', hidden)}, typing.Any]"
            case t.ChatType() if not freely:
                yield f"{_seen('list', hidden)}[alora_flow.ChatTurn]"
            case _:
                known = FREELY.get(type.__class__) if freely else None
                written = known or SIMPLE.get(type.__class__, "typing.Any")
                yield re.sub(r"(?<![\w.])\w+(?![\w.])", lambda found: _seen(found[0], hidden), written)


def _seen(name: str, hidden: Collection[str]) -> str:
    """A name where others may hide it."""
    if name not in hidden or name == "None":
        return name
    return f"builtins.{name}" if hasattr(builtins, name) else f"_{name}"


def stub_text(module: Module) -> str:
    """The stub of a loaded file. Nothing of it is run."""
    program = module.compilation.program
    declared = _declarations(program)
    classes = _classes(declared, module)
    parts = [
        *(_declared(each, program, classes) for each in declared.values()),
        *(_alias(each, classes) for each in program.aliases.values() if not each.imported),
        *(_tool(classes.tools[key], tool, classes) for key, tool in program.tools.items()),
        *(_flow(flow.declaration, flow.__doc__ or "", classes) for flow in module.flows.values()),
        _module(module, classes),
    ]
    imports = "".join(f"import {name}\n" for name in IMPORTS if any(f"{name}." in part for part in parts))
    return f"{_doc(program.doc, '')}{imports}\n" + "\n".join(parts)


def _declarations(program: Program) -> dict[str, Named]:
    return {**program.enums, **program.records}


def _classes(declared: Mapping[str, Named], module: Module) -> Classes:
    """The file's own go by their names; an imported one that is called alike has the import's name before its own."""
    taken = {*dir(builtins), *(name.split(".")[0] for name in IMPORTS)}
    names: dict[t.Type, str] = {}
    for key in sorted(declared, key=lambda key: "." in key):
        each = declared[key]
        if each.type not in names:
            plain = each.name not in taken or not each.imported
            names[each.type] = _free(each.name if plain else key.replace(".", "_"), taken)
    flows = {flow: _free(f"{_camel(flow)}Flow", taken) for flow in module.flows}
    tools = {key: _free(f"{_camel(key)}Tool", taken) for key in module.compilation.program.tools}
    return Classes(names, flows, tools, _free(f"{_camel(module.compilation.path.stem)}Module", taken))


def _free(name: str, taken: set[str]) -> str:
    (known,) = python_names([name], taken).values()
    taken.update((known, f"{known}Inputs"))
    return known


def _declared(each: Named, program: Program, classes: Classes) -> str:
    """The class, and a name for it that no field hides."""
    name = classes.names[each.type]
    doc = "" if each.doc == program.doc else each.doc  # what stands at the top is the file's
    lines = _enum(each, name, doc) if isinstance(each, EnumDecl) else _record(each, name, doc, classes)
    return "".join(f"{line}\n" for line in lines) + f"\n_{name} = {name}\n"


def _enum(each: EnumDecl, name: str, doc: str) -> Iterator[str]:
    yield f"class {name}(str, enum.Enum):"
    yield from _doc(doc, "    ").splitlines()
    for member, known in python_names(each.type.members, ENUM_MEMBERS).items():
        yield from _comment(each.docs.get(member, ""))
        hides = "  # type: ignore[assignment]" if known in dir(str) else ""
        yield f"    {known} = {each.type.text(member)!r}{hides}"


def _record(each: RecordDecl, name: str, doc: str, classes: Classes) -> Iterator[str]:
    names = field_names(field.name for field in each.type.fields)
    hidden = set(names.values())
    yield f"class {name}(pydantic.BaseModel, frozen=True):"
    yield from _doc(doc, "    ").splitlines()
    for field in each.type.fields:
        yield from _comment(each.docs.get(field.name, ""))
        yield f"    {names[field.name]}: {classes.gives(field.type, hidden)}"
    given = [
        f"{parameter_name(field.name)}: {classes.takes(field.type, hidden)}{'' if field.required else ' = ...'}"
        for field in each.type.fields
        if parameter_name(field.name) == field.name
    ]
    more = ["**more: typing.Any"] if len(given) < len(each.type.fields) else []
    parameters = ", ".join(["self", *(["*"] if given else []), *given, *more])
    yield f"    def __init__({parameters}) -> None: ..."


def _alias(each: AliasDecl, classes: Classes) -> str:
    return (
        f"{each.name}: typing.TypeAlias = {classes.gives(each.type)}\n\n_{each.name}: typing.TypeAlias = {each.name}\n"
    )


def _tool(name: str, tool: ToolDecl, classes: Classes) -> str:
    """What the function of a tool must be, sync or async. What one gives that has no result is not looked at."""
    parameters = [f"{parameter_name(each.name)}: {classes.gives(each.type)}" for each in tool.parameters]
    result = classes.takes(tool.result)
    result = "object" if tool.result == t.NONE else f"{result} | collections.abc.Awaitable[{result}]"
    lines = [
        f"class {name}(typing.Protocol):",
        *_doc(tool.doc, "    ").splitlines(),
        f"    def __call__({', '.join(['self', *(['*', *parameters] if parameters else [])])}) -> {result}: ...",
    ]
    return "".join(f"{line}\n" for line in lines)


def _flow(flow: FlowDecl, doc: str, classes: Classes) -> str:
    name = classes.flows[flow.name]
    result = f"alora_flow.Result[{classes.gives(flow.result)}]"
    items = ", ".join(f"{parameter.name!r}: {_item(parameter, classes)}" for parameter in flow.parameters)
    parameters = [_parameter(each, classes) for each in flow.parameters]
    given = ", ".join(["self", *(["*", *parameters] if parameters else [])])
    many = f"self, inputs: collections.abc.Iterable[{name}Inputs], listener: typing.Any = ..., *, return_exceptions"
    lines = [
        f'{name}Inputs = typing.TypedDict("{name}Inputs", {{{items}}})',
        "",
        f"class {name}:",
        *_doc(doc, "    ").splitlines(),
        f"    def __call__({given}) -> {result}: ...",
        f"    async def arun({given}) -> {result}: ...",
        f"    def stream({given}) -> {result.replace('.Result', '.Stream', 1)}: ...",
        f"    def run(self, inputs: {name}Inputs, listener: typing.Any = ..., text_listener: typing.Any = ...)"
        f" -> {result}: ...",
        "    @typing.overload",
        f"    def map({many}: typing.Literal[False] = ...) -> list[{result}]: ...",
        "    @typing.overload",
        f"    def map({many}: bool) -> list[{result} | Exception]: ...",
    ]
    return "".join(f"{line}\n" for line in lines)


def _item(parameter: Parameter, classes: Classes) -> str:
    written = classes.takes(parameter.type)
    return written if parameter.default is None else f"typing.NotRequired[{written}]"


def _parameter(parameter: Parameter, classes: Classes) -> str:
    default = "" if parameter.default is None else " = ..."
    return f"{parameter_name(parameter.name)}: {classes.takes(parameter.type)}{default}"


def _module(module: Module, classes: Classes) -> str:
    """The module itself: its flows, and its classes by the names that they have there."""
    program = module.compilation.program
    known = {name: known for known, name in module.names.items()}
    lines = [f"class {classes.module}(alora_flow.Module):"]
    lines += _doc(program.doc, "    ").splitlines()
    for space in program.imports:
        inside = list(_classes_in(program, f"{space}.", classes))
        if inside and space in known:
            lines += [f"    class {known[space]}:", *(f"        {name} = _{own}" for name, own in inside)]
    lines += [f"    {known[name]} = _{own}" for name, own in _classes_in(program, "", classes)]
    lines += [f"    {known[name]}: typing.TypeAlias = _{name}" for name in program.aliases if name in known]
    lines += [f"    {known[name]}: {own}" for name, own in classes.flows.items()]
    return "".join(f"{line}\n" for line in lines)


def _classes_in(program: Program, prefix: str, classes: Classes) -> Iterator[tuple[str, str]]:
    for key, each in _declarations(program).items():
        if key.startswith(prefix) and "." not in key.removeprefix(prefix):
            yield key.removeprefix(prefix), classes.names[each.type]


def _camel(name: str) -> str:
    return "".join(f"{part[:1].upper()}{part[1:]}" for part in re.split(r"\W|_", name)) or "Flow"


def _doc(text: str, indent: str) -> str:
    """As a docstring, with its line end; nothing for no text."""
    if not text.strip():
        return ""
    safe = re.sub(r'\\|"(?="")|"$', lambda found: f"\\{found[0]}", text.strip())
    first, *rest = safe.splitlines()
    lines = [f'{indent}"""{first}', *(f"{indent}{line}".rstrip() for line in rest)]
    return "\n".join(lines) + (f'\n{indent}"""\n' if rest else '"""\n')


def _comment(text: str) -> Iterator[str]:
    for line in text.strip().splitlines():
        yield f"    # {line}".rstrip()
