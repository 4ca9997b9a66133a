"""The checked program as text: what the checker has found out, made visible. For golden tests and curious people.

    flow ask(question#0: str, k#1: int = 3) -> str
      thread t#2: thread = system("Be brief.") + user(question#0)
      let found#3: list[document] = search(q: question#0, k: 3 [default])

Names carry the identity of their binding, arguments their parameter, filled-in defaults are marked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from alora_flow.language.meaning import program as p
from alora_flow.language.meaning.types import EnumType, IntType, Type
from alora_flow.language.syntax.strings import encode

INDENT = "  "


def show_program(program: p.Program) -> str:
    """All declarations, imported ones under their keys, with the bodies of flows and tests."""
    lines: list[str] = []
    for name in ("models", "enums", "records", "aliases", "consts", "intrinsics", "tools", "flows"):
        for declaration in getattr(program, name).values():
            lines += DECLARATIONS[type(declaration)](declaration)
    for test in program.tests:
        lines += [f'test "{encode(test.name)}"', *_block(test.body)]
    return "\n".join(lines) + "\n"


def show_expression(expression: p.Expression) -> str:
    return EXPRESSIONS[type(expression)](expression)


def _binding(binding: p.Binding | None) -> str:
    return "_" if binding is None else f"{binding.name}#{binding.id}"


def _declared(binding: p.Binding | None, type: Type) -> str:
    return f"{_binding(binding)}: {type}"


# ---------------------------------------------------------------- declarations


def _enum(node: p.EnumDecl) -> list[str]:
    return [f"enum {node.key} {{ {', '.join(_member(node.type, name) for name in node.type.members)} }}"]


def _member(type: EnumType, name: str) -> str:
    text = type.text(name)
    return name if text == name else f'{name} = "{encode(text)}"'


def _record(node: p.RecordDecl) -> list[str]:
    tag = f' tag "{encode(node.type.tag)}"' if node.type.tag else ""
    return [f"record {node.key}{tag}", *(f"{INDENT}{_field(item.name, item.type, node)}" for item in node.type.fields)]


def _field(name: str, type: Type, node: p.RecordDecl) -> str:
    default = node.defaults.get(name)
    return f"{name}: {type}" + (f" = {show_expression(default)}" if default else "")


def _parameters(parameters: tuple[p.Parameter, ...]) -> str:
    shown = (
        _declared(item.binding, item.type) + (f" = {show_expression(item.default)}" if item.default else "")
        for item in parameters
    )
    return f"({', '.join(shown)})"


def _intrinsic(node: p.Intrinsic) -> list[str]:
    head = f"intrinsic {node.key}{_parameters(node.parameters)} -> {node.result}"
    contract = {
        "from": node.from_library,
        "adapter": node.adapter,
        "invoke": show_expression(node.invoke) if node.invoke else None,
        "emits": list(node.emits.options) if isinstance(node.emits, p.Choices) else node.emits,
        "value": show_expression(node.value) if node.value else None,
        "activate": node.activate,
        "with": _arguments(node.settings) if node.settings else None,
        "may": _may(node.may_invoke).removeprefix(" may ") or None,
    }
    return [head, *(f"{INDENT}{name} {value}" for name, value in contract.items() if value is not None)]


def _tool(node: p.ToolDecl) -> list[str]:
    head = f"tool {node.key}{_parameters(node.parameters)} -> {node.result} = {node.function}"
    settings = f"pure={node.pure} timeout={node.timeout} retry={node.retry} backoff={node.backoff}"
    fallback = f" fallback={show_expression(node.fallback)}" if node.fallback else ""
    invoke = f' invoke="{encode(node.invoke)}"' if node.invoke else ""
    return [head, f"{INDENT}{settings}{fallback}{invoke}"]


def _flow(node: p.FlowDecl) -> list[str]:
    clauses = "".join(
        [
            f" max_depth {node.max_depth}" if node.max_depth is not None else "",
            " speculate" if node.speculate else "",
            *(f" {limit.resource} <= {limit.amount}" for limit in node.budget),
        ]
    )
    return [f"flow {node.key}{_parameters(node.parameters)} -> {node.result}{clauses}", *_block(node.body)]


DECLARATIONS: dict[type, Callable[[Any], list[str]]] = {
    p.ModelDecl: lambda node: [f'model {node.key} = "{node.reference}"'],
    p.EnumDecl: _enum,
    p.RecordDecl: _record,
    p.AliasDecl: lambda node: [f"type {node.key} = {node.type}"],
    p.ConstDecl: lambda node: [f"const {node.key} = {show_expression(node.value)}"],
    p.Intrinsic: _intrinsic,
    p.ToolDecl: _tool,
    p.FlowDecl: _flow,
}


# ------------------------------------------------------------------ statements


def _block(block: p.Block) -> Iterator[str]:
    for statement in block:
        for line in STATEMENTS[type(statement)](statement):
            yield INDENT + line


def _valued(head: str, value: p.Expression, tail: str = "") -> list[str]:
    """`head value tail`, the blocks of a fan-out or loop below."""
    if isinstance(value, p.For):
        source = f"for {_declared(value.binding, value.binding.type)} in {show_expression(value.source)}"
        return [f"{head}{source} limit {value.limit}{' strict' * value.strict}{tail}", *_block(value.body)]
    if isinstance(value, p.Repeat):
        states = ", ".join(
            f"{_declared(item.binding, item.binding.type)} = {show_expression(item.initial)}" for item in value.states
        )
        body, otherwise = _block(value.body), _block(value.otherwise)
        return [f"{head}repeat ({states}) up to {value.rounds}{tail}", *body, "else", *otherwise]
    if isinstance(value, p.Attempt):
        why = f" as {_declared(value.binding, value.binding.type)}" if value.binding else ""
        return [f"{head}{show_expression(value.value)}{tail}", f"else{why}", *_block(value.otherwise)]
    return [f"{head}{show_expression(value)}{tail}"]


def _let(node: p.Let) -> list[str]:
    word = "thread" if node.binding is not None and node.binding.kind == "thread" else "let"
    type = node.binding.type if node.binding is not None else node.value.type
    return _valued(f"{word} {_declared(node.binding, type)} = ", node.value)


def _if(node: p.If) -> list[str]:
    otherwise = ["else", *_block(node.otherwise)] if node.otherwise else []
    return [f"if {show_expression(node.condition)}", *_block(node.then), *otherwise]


def _match(node: p.Match) -> list[str]:
    lines = [f"match {show_expression(node.subject)}"]
    for arm in node.arms:
        lines += [f"{INDENT}{_arm_head(arm)}", *(INDENT + line for line in _block(arm.body))]
    return lines


def _arm_head(arm: p.Arm | p.ValueArm) -> str:
    patterns = ", ".join(map(_pattern, arm.patterns)) or "else"
    return patterns + (f" as {_declared(arm.binding, arm.binding.type)}" if arm.binding else "")


def _pattern(pattern: p.Pattern) -> str:
    return f"is {pattern.type}" if isinstance(pattern, p.TypePattern) else show_expression(pattern.value)


def _when(condition: p.Expression | None) -> str:
    return f" when {show_expression(condition)}" if condition else ""


def _mock(node: p.Mock) -> list[str]:
    values = " then ".join(map(show_expression, node.values))
    as_type = f" as {node.as_type}" if node.as_type else ""
    return [f"mock {_callee(node.target)}{_arguments(node.arguments)}{as_type} = {values}"]


def _next(node: p.Next) -> list[str]:
    return ["next " + ", ".join(f"{_binding(binding)} = {show_expression(value)}" for binding, value in node.values)]


def _require(node: p.Require) -> list[str]:
    message = f" else {show_expression(node.message)}" if node.message else ""
    return [f"require {show_expression(node.condition)}{message}"]


STATEMENTS: dict[type, Callable[[Any], list[str]]] = {
    p.Let: _let,
    p.Do: lambda node: _valued("", node.value),
    p.If: _if,
    p.Match: _match,
    p.Return: lambda node: _valued("return ", node.value),
    p.Require: _require,
    p.Keep: lambda node: _valued("keep ", node.value, _when(node.condition)),
    p.Accept: lambda node: _valued("accept ", node.value, _when(node.condition)),
    p.Next: _next,
    p.Mock: _mock,
    p.Expect: lambda node: [f"expect {show_expression(node.condition)}"],
}


# ----------------------------------------------------------------- expressions


def _callee(target: p.Callee) -> str:
    return target if isinstance(target, str) else target.key


def _arguments(arguments: tuple[p.Argument, ...]) -> str:
    shown = (f"{item.name}: {show_expression(item.value)}{'' if item.given else ' [default]'}" for item in arguments)
    return f"({', '.join(shown)})"


def _literal(node: p.Literal) -> str:
    if node.value is None:
        return "none"
    return str(node.value).lower() if isinstance(node.value, bool) else str(node.value)


def _text(node: p.Text) -> str:
    parts = (encode(part) if isinstance(part, str) else f"{{{show_expression(part.value)}}}" for part in node.parts)
    return f'"{"".join(parts)}"'


def _reference(node: p.Reference) -> str:
    """With its type where that is narrower than the binding's."""
    narrower = node.type != node.binding.type and not isinstance(node.type, IntType)
    return f"({_binding(node.binding)} as {node.type})" if narrower else _binding(node.binding)


def _generate(node: p.Generate) -> str:
    as_type = f" as {node.as_type}" if node.as_type else ""
    head = f"{f'{node.samples} times ' if node.samples else ''}generate{_arguments(node.settings)}{as_type}"
    return f"{head} on {show_expression(node.thread)}{_may(node.may_invoke)}"


def _may(node: p.MayInvoke | None) -> str:
    if node is None:
        return ""
    clauses = "; ".join(
        f"on {item.callee.key}({_binding(item.binding)}){_when(item.condition)} => {item.action}"
        for item in node.clauses
    )
    depth = f" depth {node.depth}" if node.depth else ""
    return f" may invoke [{', '.join(item.key for item in node.callees)}] budget {node.budget}{depth} {{ {clauses} }}"


def _joined(items: tuple[p.Expression, ...], between: str = ", ") -> str:
    return between.join(map(show_expression, items))


def _binary(node: p.Binary) -> str:
    return f"({show_expression(node.left)} {node.operator} {show_expression(node.right)})"


def _is_test(node: p.IsTest) -> str:
    return f"({show_expression(node.operand)} is {'not ' if node.negated else ''}{node.tested})"


def _end(node: p.Expression | None) -> str:
    return show_expression(node) if node else ""


def _if_value(node: p.IfValue) -> str:
    sides = (show_expression(side) for side in (node.condition, node.then, node.otherwise))
    return "(if {} {{ {} }} else {{ {} }})".format(*sides)


def _match_value(node: p.MatchValue) -> str:
    arms = (f"{_arm_head(arm)} => {{ {show_expression(arm.value)} }}" for arm in node.arms)
    return f"(match {show_expression(node.subject)} {{ {' '.join(arms)} }})"


EXPRESSIONS: dict[type, Callable[[Any], str]] = {
    p.Literal: _literal,
    p.Text: _text,
    p.Reference: _reference,
    p.EnumMember: lambda node: f"{node.type}.{node.member}",
    p.RecordValue: lambda node: (
        f"{node.type}({', '.join(f'{name}: {show_expression(value)}' for name, value in node.fields)})"
    ),
    p.MapValue: lambda node: f"map({', '.join(f'{key}: {show_expression(value)}' for key, value in node.entries)})",
    p.ListValue: lambda node: f"[{_joined(node.items)}]",
    p.DocumentValue: lambda node: f"document({show_expression(node.text)}, title: {show_expression(node.title)})",
    p.FieldAccess: lambda node: f"{show_expression(node.target)}.{node.name}",
    p.Index: lambda node: f"{show_expression(node.target)}[{show_expression(node.index)}]",
    p.Slice: lambda node: f"{show_expression(node.target)}[{_end(node.start)}:{_end(node.stop)}]",
    p.Probability: lambda node: f"{show_expression(node.target)}.p({show_expression(node.outcome)})",
    p.Top: lambda node: f"{show_expression(node.target)}.top",
    p.Mean: lambda node: f"{show_expression(node.target)}.expected",
    p.Expected: lambda node: f"expected({show_expression(node.operand)})",
    p.Unary: lambda node: f"({node.operator} {show_expression(node.operand)})",
    p.Binary: _binary,
    p.IsTest: _is_test,
    p.IfValue: _if_value,
    p.MatchValue: _match_value,
    p.Builtin: lambda node: f"{node.function}({_joined(node.arguments)})",
    p.TurnValue: lambda node: f"{node.role}({show_expression(node.content)})",
    p.Join: lambda node: _joined(node.parts, " + "),
    p.Generate: _generate,
    p.Invoke: lambda node: f"({node.intrinsic.key}{_arguments(node.arguments)} on {show_expression(node.thread)})",
    p.ToolCall: lambda node: f"{node.tool.key}{_arguments(node.arguments)}",
    p.FlowCall: lambda node: f"{node.flow}{_arguments(node.arguments)}",
    p.Invoking: lambda node: (
        f"invoke {node.callee.key}{_arguments(node.arguments) if isinstance(node.callee, p.ToolDecl) else ''}"
    ),
    p.Scripted: lambda node: _joined(node.parts, " then "),
    p.Failing: lambda node: f"fails {show_expression(node.message)}",
    p.Calls: lambda node: f"calls({_callee(node.target)})",
    p.PlanField: lambda node: f"plan.{node.name}",
}
