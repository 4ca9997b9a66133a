"""A flow graph made by hand, as lowering makes it from the text below: the views are tested without the language."""

from __future__ import annotations

from collections.abc import Iterator

from alora_flow.language.meaning import program as p
from alora_flow.language.meaning import types as t
from alora_flow.language.report.source import Source, Span
from alora_flow.planning.graph import nodes as g

TEXT = """\
flow rag(question: str, history: chat = []) -> str {
  thread ask = system("You answer.") + history + user(question)
  if not safety() on ask { return "unsafe \\"request\\" <b>" }
  let query = rewrite() on ask
  let found = search(query)
  thread grounded = ask + documents(found)
  let reply = generate(max_tokens: 64) on grounded
  let sure = certainty() on reply
  if sure > 0.5 { return reply.text }
  return "no"
}
"""
SOURCE = Source("rag.flow", TEXT)
NOT_UNSAFE = (g.Guard("if", False),)
DOCUMENTS = t.ListType(t.DocumentType())


def at(text: str, after: str = "") -> Span:
    start = TEXT.index(text, TEXT.index(after))
    return SOURCE.span(start, start + len(text))


def parameter(name: str, type: t.Type, default: str | None = None) -> p.Parameter:
    span = at(name)
    value = None if default is None else p.ListValue(type, at(default), ())
    return p.Parameter(p.Binding(hash(name), name, "parameter", type, span), value)


QUESTION = parameter("question", t.STR)
HISTORY = parameter("history", t.ChatType(), "[]")
FLOW = p.FlowDecl("rag", "rag", "", at("flow rag"), (QUESTION, HISTORY), t.STR, (), None, False, ())


def intrinsic(name: str, result: t.Type, adapter: str) -> p.Intrinsic:
    settings = (p.Argument("max_tokens", p.Literal(t.INT, at("64"), 16)),)
    return p.Intrinsic(name, name, "", at(name), (), result, adapter, None, None, None, None, None, settings, None)


INTRINSICS = {
    "safety": intrinsic("safety", t.BOOL, "safety"),
    "rewrite": intrinsic("rewrite", t.STR, "query_rewrite"),
    "certainty": intrinsic("certainty", t.FLOAT, "uncertainty"),
}
SEARCH = p.ToolDecl(
    "search",
    "search",
    "",
    at("search"),
    (parameter("query", t.STR),),
    DOCUMENTS,
    "kb:search",
    True,
    None,
    0,
    0.0,
    None,
)


def value(node: str, type: t.Type, text: str | None = None) -> g.NodeValue:
    return g.NodeValue(type, at(text or node), node)


def text(content: str, where: str) -> p.Text:
    return p.Text(t.STR, at(where), (content,))


def _threads() -> tuple[p.Join, p.Join]:
    ask = p.Join(
        t.THREAD,
        at('system("You answer.") + history + user(question)'),
        (
            p.TurnValue(t.THREAD, at('system("You answer.")'), "system", text("You answer.", '"You answer."')),
            value("history", t.ChatType()),
            p.TurnValue(t.THREAD, at("user(question)"), "user", value("question", t.STR)),
        ),
    )
    documents = p.TurnValue(t.THREAD, at("documents(found)"), "documents", value("found", DOCUMENTS))
    return ask, p.Join(t.THREAD, at("ask + documents(found)"), (value("ask", t.THREAD), documents))


def _nodes() -> Iterator[g.Node]:
    ask, grounded = _threads()
    safe, sure = value("safety", t.BOOL, "safety() on ask"), value("sure", t.FLOAT)
    unsafe = at('"unsafe \\"request\\" <b>"')
    reply = t.ReplyType()
    settings = (p.Argument("max_tokens", p.Literal(t.INT, at("64"), 64)),)
    high, low = (*NOT_UNSAFE, g.Guard("if_2")), (*NOT_UNSAFE, g.Guard("if_2", False))
    text = p.FieldAccess(t.STR, at("reply.text"), value("reply", reply), "text")
    yield g.Node("question", g.Input(QUESTION), t.STR, (), at("question"))
    yield g.Node("history", g.Input(HISTORY), t.ChatType(), (), at("history"))
    yield g.Node("ask", g.Thread(ask), t.THREAD, (), ask.span)
    yield g.Node("safety", invoke("safety", value("ask", t.THREAD)), t.BOOL, (), at("safety() on ask"))
    condition = p.Unary(t.BOOL, at("not safety() on ask"), "not", safe)
    yield g.Node("if", g.Condition(condition), t.BOOL, (), condition.span)
    answer = p.Text(t.STR, unsafe, ('unsafe "request" <b>',))
    yield g.Node("return", g.Return(answer), t.STR, (g.Guard("if"),), at("return"))
    yield g.Node("query", invoke("rewrite", value("ask", t.THREAD)), t.STR, NOT_UNSAFE, at("rewrite() on ask"))
    tool = g.Tool(SEARCH, (p.Argument("query", value("query", t.STR)),))
    yield g.Node("found", tool, DOCUMENTS, NOT_UNSAFE, at("search(query)"))
    yield g.Node("grounded", g.Thread(grounded), t.THREAD, NOT_UNSAFE, grounded.span)
    generate = g.Generate(value("grounded", t.THREAD, "grounded\n"), settings, None, None)
    yield g.Node("reply", generate, reply, NOT_UNSAFE, at("generate(max_tokens: 64) on grounded"))
    certainty = invoke("certainty", value("reply", reply))
    yield g.Node("sure", certainty, t.FLOAT, NOT_UNSAFE, at("certainty() on reply"))
    above = p.Binary(t.BOOL, at("sure > 0.5"), ">", sure, p.Literal(t.FLOAT, at("0.5"), 0.5))
    yield g.Node("if_2", g.Condition(above), t.BOOL, NOT_UNSAFE, above.span)
    yield g.Node("return_2", g.Return(text), t.STR, high, at("return reply.text"))
    yield g.Node("return_3", g.Return(p.Text(t.STR, at('"no"'), ("no",))), t.STR, low, at('return "no"'))


def invoke(name: str, thread: g.NodeValue) -> g.Invoke:
    return g.Invoke(thread, INTRINSICS[name], ())


GRAPH = g.FlowGraph(FLOW, {node.id: node for node in _nodes()})
