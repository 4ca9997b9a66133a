"""The checked program: what planning and execution read. Names resolved, types known, defaults filled in.

Every node's docstring shows its source text. Every expression carries `type` and `span`; spans never take part in `==`.
Nothing here is erroneous: `ErrorType` never appears, arguments are complete and in the order of the parameters,
constants are folded in place, `on reply` has become `on reply.thread`, a bare enum member has become an `EnumMember`.

Declarations of imported files are part of the one `Program`. A declaration's `key` is unique in it: its own name in
the file that was loaded, `alias.name` (by the shortest chain of aliases) for what an import brought in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field, fields
from typing import Literal as OneOf

from alora_flow.frozen import dataclass
from alora_flow.language.meaning.types import EnumType, FloatType, IntType, RecordType, Type
from alora_flow.language.report.source import Source, Span

BindingKind = OneOf["parameter", "let", "thread", "loop", "state", "pattern", "it"]
Role = OneOf["system", "user", "assistant", "documents", "tool_result"]
Action = OneOf["keep", "drop", "stop"]


@dataclass(frozen=True, slots=True)
class Binding:
    """A place that gives a name to a value: `let query`, `thread ask`, `question: str`, `for d in`, `repeat (th = …)`.

    `id` is unique in the whole program; two bindings of one name differ by it. A flow that is called twice binds the
    same ids twice: keep one environment per call.
    """

    id: int
    name: str
    kind: BindingKind
    type: Type = field(compare=False)
    span: Span = field(compare=False, repr=False)


# ---------------------------------------------------------------- expressions


@dataclass(frozen=True, slots=True)
class Expression:
    """Anything with a value."""

    type: Type
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Literal(Expression):
    """`12`, `0.5`, `true`, `none`, `3s` (as seconds, a float). A string is a `Text`."""

    value: int | float | bool | None


@dataclass(frozen=True, slots=True)
class StringHole:
    """`{question}` in a string: data, never control tokens. Any data type; `str` as it is, the rest as JSON."""

    value: Expression


@dataclass(frozen=True, slots=True)
class Text(Expression):
    """`"Answer {question} briefly."` as `("Answer ", StringHole(question), " briefly.")`; escapes are already resolved.

    The literal parts may make control tokens when the text stands in a turn constructor, directly, through a `const`,
    or as an operand of `+` there; read through any other name it is data like everything else.
    Two literal parts never stand side by side and none is empty; `""` has no parts.
    """

    parts: tuple[str | StringHole, ...]

    @property
    def constant(self) -> str | None:
        """The whole string, or None when it has a hole."""
        literal = [part for part in self.parts if isinstance(part, str)]
        return "".join(literal) if len(literal) == len(self.parts) else None


@dataclass(frozen=True, slots=True)
class Reference(Expression):
    """`question`. `type` may be narrower than the binding's, inside `if r is Refusal { … }`."""

    binding: Binding


@dataclass(frozen=True, slots=True)
class EnumMember(Expression):
    """`output`, `Stage.output`; `type` is the EnumType"""

    member: str


@dataclass(frozen=True, slots=True)
class RecordValue(Expression):
    """`Refusal(reason: "unsafe", stage: input)`; `type` is the RecordType, fields in its order, defaults filled in"""

    fields: tuple[tuple[str, Expression], ...]


@dataclass(frozen=True, slots=True)
class ListValue(Expression):
    """`[a, b]`"""

    items: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class MapValue(Expression):
    """`map(city: "Tarnok", country: "Fendor")`; `type` is a MapType"""

    entries: tuple[tuple[str, Expression], ...]


@dataclass(frozen=True, slots=True)
class DocumentValue(Expression):
    """`document("Tarnok lies by the sea.", title: "Tarnok")`; title `""` when not given"""

    text: Expression
    title: Expression


@dataclass(frozen=True, slots=True)
class FieldAccess(Expression):
    """`reply.text`, `answer.certainty`, `doc.title`, `thread.chat`: the fields of `types.fields_of`, but prob's"""

    target: Expression
    name: str


@dataclass(frozen=True, slots=True)
class Index(Expression):
    """`docs[0]`; negative counts from the end; outside the list it is an error of the run"""

    target: Expression
    index: Expression


@dataclass(frozen=True, slots=True)
class Slice(Expression):
    """`docs[1:3]`, `text[:100]` of a list or a string, as in Python: negative ends count back, nothing is outside"""

    target: Expression
    start: Expression | None
    stop: Expression | None


@dataclass(frozen=True, slots=True)
class Probability(Expression):
    """`wrong.p(true)`: `outcome` has the type that the distribution is over; `type` is float[0.0..1.0]"""

    target: Expression
    outcome: Expression


@dataclass(frozen=True, slots=True)
class Top(Expression):
    """`wrong.top`: the likeliest outcome"""

    target: Expression


@dataclass(frozen=True, slots=True)
class Mean(Expression):
    """`wrong.expected`: p(true) of a bool, mean of an int range, mean place (from 0) of an enum's members"""

    target: Expression


@dataclass(frozen=True, slots=True)
class Expected(Expression):
    """`expected(10 * it + 5)`, only in an intrinsic's `value`: the mean of the operand over the distribution of `it`"""

    operand: Expression


@dataclass(frozen=True, slots=True)
class Unary(Expression):
    """`not safe`, `-x`"""

    operator: OneOf["not", "-"]
    operand: Expression


@dataclass(frozen=True, slots=True)
class Binary(Expression):
    """`a + b`, `x > 0.5`, `a and b` (the right side only when needed), `"x" in text`, `d in docs`, `maybe ?? "none"`

    `+` adds numbers, joins strings, joins lists. Joining threads is a `Join`. `/` is a float. `%` as in Python.
    """

    operator: OneOf["+", "-", "*", "/", "%", "==", "!=", "<", "<=", ">", ">=", "and", "or", "in", "not in", "??"]
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class IsTest(Expression):
    """`r is Refusal`, `r is not none`"""

    operand: Expression
    tested: Type
    negated: bool


@dataclass(frozen=True, slots=True)
class IfValue(Expression):
    """`if c { a } else { b }` where a value stands: only the side that is needed is computed"""

    condition: Expression
    then: Expression
    otherwise: Expression


@dataclass(frozen=True, slots=True)
class ValueArm:
    """`Answer as a => { a.text }`, as an `Arm` with one value"""

    patterns: tuple[Pattern, ...]
    binding: Binding | None
    value: Expression
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class MatchValue(Expression):
    """`match r { Answer as a => { a.text } else => { "" } }` where a value stands; exhaustive"""

    subject: Expression
    arms: tuple[ValueArm, ...]


@dataclass(frozen=True, slots=True)
class Builtin(Expression):
    """`len(docs)`, `clamp(x, 0.0, 1.0)`: a function of the table in `builtins.py`, all arguments in place"""

    function: str
    arguments: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class TurnValue(Expression):
    """`system("…")`, `user(question)`, `assistant("…")`, `tool_result(text)`, `documents(search(q))`; type thread

    `content` is a str, for `documents` a list[document]. A lone `document(…)` value that stands where a thread is
    wanted has become `documents([document(…)])`.
    """

    role: Role
    content: Expression


@dataclass(frozen=True, slots=True)
class Join(Expression):
    """`system("…") + history + user(q)`: two or more parts of type thread or chat, flat, in order; type thread"""

    parts: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Argument:
    """`k: 3` bound to its parameter; `given` is False where the default was filled in"""

    name: str
    value: Expression
    given: bool = True


@dataclass(frozen=True, slots=True)
class OnClause:
    """`on safety(v) when not v => stop`; `binding` is `v`, absent in `on safety => drop`"""

    callee: Intrinsic | ToolDecl
    binding: Binding | None
    condition: Expression | None
    action: Action
    span: Span = field(compare=False, repr=False)


CALLS_AT_MOST = 4
"""The budget of a `may invoke` that says none."""


@dataclass(frozen=True, slots=True)
class MayInvoke:
    """`may invoke [certainty, search] budget 4 depth 2 { on safety(v) when not v => stop }`

    The first clause whose callee and condition fit decides; without one the call is kept. `budget`: the most calls,
    with those that these make in turn. `depth`: the most that wait for each other; None: as many as the callees need.
    One that an intrinsic invokes in a circle is listed as it is without what it may invoke: the program has the whole
    of it under its key.
    """

    callees: tuple[Intrinsic | ToolDecl, ...]
    budget: int
    clauses: tuple[OnClause, ...]
    depth: int | None = None


@dataclass(frozen=True, slots=True)
class Generate(Expression):
    """`generate(max_tokens: 128, stop: ["\\n"]) as Answer on grounded may invoke […]`

    `type` is a ReplyType, or `as_type` itself where there is an `as`; a list of that where `samples` are asked for.
    `settings` are those written (names of `settings.SAMPLING`), in the order written, with at most literal types
    checked; `thread` has type thread or chat.
    """

    thread: Expression
    settings: tuple[Argument, ...]
    as_type: Type | None
    may_invoke: MayInvoke | None
    samples: int | None = None


@dataclass(frozen=True, slots=True)
class Invoke(Expression):
    """`rewrite() on ask`; `thread` has type thread or chat; `type` is the intrinsic's result"""

    intrinsic: Intrinsic
    arguments: tuple[Argument, ...]
    thread: Expression


@dataclass(frozen=True, slots=True)
class ToolCall(Expression):
    """`search(query, k: 5)`"""

    tool: ToolDecl
    arguments: tuple[Argument, ...]


@dataclass(frozen=True, slots=True)
class FlowCall(Expression):
    """`summarise(doc)`; `flow` is a key of `Program.flows` (flows may call themselves)"""

    flow: str
    arguments: tuple[Argument, ...]


@dataclass(frozen=True, slots=True)
class For(Expression):
    """`for d in docs limit 8 { let s = …  keep s when s.ok }`: parallel, in the order of the source; type list[T]

    Only the first `limit` elements are taken; where it is `strict`, more are an error of the run.
    `body` holds no return; its last statement is the only `Keep`, or there
    is none and the elements are `none`.
    """

    binding: Binding
    source: Expression
    limit: int
    body: Block
    strict: bool = False


@dataclass(frozen=True, slots=True)
class State:
    """`th = grounded` of a repeat"""

    binding: Binding
    initial: Expression


@dataclass(frozen=True, slots=True)
class Repeat(Expression):
    """`repeat (th = grounded) up to 3 { let r = …  accept r when good  next th = r.thread + user("again") } else { … }`

    The body's statements run in order; `Accept` and `Next` stand at its top level only, `Next` last (a state that has
    none keeps its value). `otherwise` runs after the last round: it returns, or ends with an unconditional `Accept`.
    """

    states: tuple[State, ...]
    rounds: int
    body: Block
    otherwise: Block


@dataclass(frozen=True, slots=True)
class Attempt(Expression):
    """`search(q) else as why { return none }`: where a call or an operation in `value` fails, `otherwise` runs instead

    It returns, or ends with an unconditional `Accept`. `binding` is `why`, the message of what failed.
    """

    value: Expression
    binding: Binding | None
    otherwise: Block


@dataclass(frozen=True, slots=True)
class Failing(Expression):
    """`fails "no network"` in a mock: the call fails with this message; type never"""

    message: Expression


@dataclass(frozen=True, slots=True)
class Invoking(Expression):
    """`invoke certainty`, `invoke search(q: "x")` in a mock of a generation; type never"""

    callee: Intrinsic | ToolDecl
    arguments: tuple[Argument, ...] = ()


@dataclass(frozen=True, slots=True)
class Scripted(Expression):
    """`"Paris. " then invoke certainty then "It is."` in a mock: one answer, of texts and of calls; type str"""

    parts: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Calls(Expression):
    """`calls(search)`, only in tests: how often it ran in this test so far; type int

    `target` is a declaration, or the string "generate".
    """

    target: Callee


@dataclass(frozen=True, slots=True)
class PlanField(Expression):
    """`plan.reused`, only in tests: a figure of `PLAN_FIELDS`, of all calls of this test so far"""

    name: str


# what `plan.x` may read: share of prompt tokens that came from the cache, then counts of tokens and nodes
PLAN_FIELDS: dict[str, Type] = {
    "reused": FloatType(0.0, 1.0),
    "prefilled": IntType(0),
    "generated": IntType(0),
    "invokes": IntType(0),
    "nodes": IntType(0),
}


def every(part: object) -> Iterator[Expression]:
    """An expression and all those inside it."""
    if isinstance(part, Expression):
        yield part
    if isinstance(part, (Expression, StringHole, Argument, ValueArm)):
        for item in fields(part):
            yield from every(getattr(part, item.name))
    elif isinstance(part, tuple):
        for item in part:
            yield from every(item)


# ----------------------------------------------------------------- statements


@dataclass(frozen=True, slots=True)
class Statement:
    span: Span = field(compare=False, repr=False)


Block = tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class Let(Statement):
    """`let query = rewrite() on ask`, `thread ask = system("…")` (`binding.kind` tells); no binding: `let _ = …`"""

    binding: Binding | None
    value: Expression


@dataclass(frozen=True, slots=True)
class Do(Statement):
    """A `for` or `repeat` that stands alone, for its effects or its `return`"""

    value: For | Repeat


@dataclass(frozen=True, slots=True)
class If(Statement):
    """`if c { … } else { … }`; `else if` is an If alone in `otherwise`; `()` without else"""

    condition: Expression
    then: Block
    otherwise: Block


@dataclass(frozen=True, slots=True)
class TypePattern:
    """`Answer`, `none`, `str`: the value is of this type"""

    type: Type
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class ValuePattern:
    """`input`, `true`, `3`, `"yes"`: the value equals this constant (EnumMember, Literal or constant Text)"""

    value: Expression


Pattern = TypePattern | ValuePattern


@dataclass(frozen=True, slots=True)
class Arm:
    """`Answer as a => { … }`, `input, retrieval => { … }`, `else => { … }` (no patterns)

    `binding` (`a`) has the arm's narrowed type. The first arm that fits runs.
    """

    patterns: tuple[Pattern, ...]
    binding: Binding | None
    body: Block
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Match(Statement):
    """`match r { … }`: exhaustive, the last arm needs no `else` when the patterns cover the type"""

    subject: Expression
    arms: tuple[Arm, ...]


@dataclass(frozen=True, slots=True)
class Return(Statement):
    """`return Answer(text: reply.text)`"""

    value: Expression


@dataclass(frozen=True, slots=True)
class Require(Statement):
    """`require len(docs) > 0 else "nothing found for {query}"`: a typed error of the run; message may be None"""

    condition: Expression
    message: Expression | None


@dataclass(frozen=True, slots=True)
class Keep(Statement):
    """`keep s when s.ok`, last in a `for`"""

    value: Expression
    condition: Expression | None


@dataclass(frozen=True, slots=True)
class Accept(Statement):
    """`accept reply when good`, in a `repeat`"""

    value: Expression
    condition: Expression | None


@dataclass(frozen=True, slots=True)
class Next(Statement):
    """`next th = reply.thread + user("again"), n = n + 1`: all values are computed with the old states"""

    values: tuple[tuple[Binding, Expression], ...]


@dataclass(frozen=True, slots=True)
class Mock(Statement):
    """`mock search(q: "x") = []`, `mock safety() = true then false`, `mock generate() = "text"`; only in tests

    A call fits when its arguments equal those written (`arguments`: only those). `values` answer the first, second, …
    fitting call, the last one all later ones. A later mock that fits wins over an earlier one. A value has the
    callee's result type; for prob[T] also T (certainty), for prob[bool] also p(true) as a float. For generate, it is
    of any type, or text, and answers the calls of that type (of `as_type`, where it is written); `arguments` are
    settings then; `invoke` behind a text, and a text behind that, go on with the same answer (`Scripted`).
    """

    target: Callee
    arguments: tuple[Argument, ...]
    values: tuple[Expression, ...]
    as_type: Type | None = None


@dataclass(frozen=True, slots=True)
class Expect(Statement):
    """`expect r is Refusal and r.stage == input`, only in tests"""

    condition: Expression


# --------------------------------------------------------------- declarations


@dataclass(frozen=True, slots=True)
class Declaration:
    """`name` as written, `key` unique in the program, `doc` the text of the `##` lines before it (`""` without)."""

    key: str
    name: str
    doc: str
    span: Span = field(compare=False, repr=False)

    @property
    def imported(self) -> bool:
        return "." in self.key


@dataclass(frozen=True, slots=True)
class Import(Declaration):
    """`import "checks.flow" as checks`; `path` is the file that was read"""

    path: str


@dataclass(frozen=True, slots=True)
class ModelDecl(Declaration):
    """`model base = "mini"`"""

    reference: str


@dataclass(frozen=True, slots=True)
class EnumDecl(Declaration):
    """`enum Stage { input, retrieval, output }`; `docs` of the members that have one"""

    type: EnumType
    docs: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class RecordDecl(Declaration):
    """`record Refusal { reason: str, stage: Stage = input }`; `defaults` are constant expressions"""

    type: RecordType
    defaults: Mapping[str, Expression]
    docs: Mapping[str, str]
    places: Mapping[str, Span] = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class AliasDecl(Declaration):
    """`type Outcome = Answer | Refusal`"""

    type: Type


@dataclass(frozen=True, slots=True)
class ConstDecl(Declaration):
    """`const LIMIT = 8`; `value` is a constant expression, already folded wherever the name is used"""

    value: Expression


@dataclass(frozen=True, slots=True)
class Parameter:
    """`k: int = 3`; the default is a constant expression"""

    binding: Binding
    default: Expression | None

    @property
    def name(self) -> str:
        return self.binding.name

    @property
    def type(self) -> Type:
        return self.binding.type

    @property
    def said_default(self) -> str:
        """` = 3`, as it is written; ` = none` where nothing is, since the type says so; nothing without one."""
        if self.default is None:
            return ""
        unwritten = isinstance(self.default, Literal) and self.default.value is None
        return f" = {'none' if unwritten else ' '.join(self.default.span.text.split())}"


@dataclass(frozen=True, slots=True)
class Choices:
    """`emits enum("Y", "N")`: exactly one of these strings"""

    options: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Intrinsic(Declaration):
    """`intrinsic safety() -> bool { adapter "safety" invoke "<|safety|>" emits enum("Y", "N") value it == "Y" }`

    The short form `intrinsic rewrite() -> str from "query_rewrite"` has `from_library` and nothing else of the
    contract: `adapter`, `invoke`, `emits`, `value`, `activate` are None and come from the adapter's own files.
    `invoke` may hold holes of the parameters. `emits` is None when not written. `value` is None when what is emitted is
    the result; in it, `it` is a `Reference` to a binding of kind "it" (`it`), a str for Choices, else the emitted type.
    A result prob[T] with a value of type T is the distribution of that value over what may be emitted.
    `settings` are names of `settings.SAMPLING` (`with (max_tokens: 64)`).
    """

    parameters: tuple[Parameter, ...]
    result: Type
    adapter: str | None
    invoke: Text | None
    emits: Choices | Type | None
    value: Expression | None
    activate: OneOf["start", "end"] | None
    from_library: str | None
    settings: tuple[Argument, ...]
    it: Binding | None
    may_invoke: MayInvoke | None = None


@dataclass(frozen=True, slots=True)
class ToolDecl(Declaration):
    """`tool search(q: str, k: int = 3) -> list[document] = python "kb:search" with (pure: true, timeout: 3s, retry: 2)`

    `function` is "module:function". Times in seconds. `fallback` (a constant of the result type) is given when all
    tries fail. Not `pure`: never cached, never speculated, never run twice unless `retry` says so. `invoke`: what a
    model writes to call it, in front of the arguments; None: what its chat template says.
    """

    parameters: tuple[Parameter, ...]
    result: Type
    function: str
    pure: bool
    timeout: float | None
    retry: int
    backoff: float
    fallback: Expression | None
    invoke: str | None = None


@dataclass(frozen=True, slots=True)
class Limit:
    """`tokens <= 9000`, `wall <= 20s` (seconds); resources of `settings.BUDGET`"""

    resource: str
    amount: int | float
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class FlowDecl(Declaration):
    """`flow ask(question: str) -> Answer | Refusal max_depth 3 speculate budget { tokens <= 9000 } { … }`

    `max_depth` is None for a flow that never calls itself, directly or through others. Every path of the body returns.
    """

    parameters: tuple[Parameter, ...]
    result: Type
    body: Block
    max_depth: int | None
    speculate: bool
    budget: tuple[Limit, ...]


@dataclass(frozen=True, slots=True)
class TestDecl(Declaration):
    """`test "an unsafe request never reaches retrieval" { mock … let … expect … }`; `name` is the title"""

    body: Block


Callee = Intrinsic | ToolDecl | FlowDecl | OneOf["generate"]


@dataclass(frozen=True)
class Program:
    """One loaded file with everything that it imports. Mappings go by `key`, in source order, imported ones first.

    `tests` are those of the loaded file only. `doc` is the `##` text at the top of the file.
    """

    source: Source
    doc: str
    imports: Mapping[str, Import]
    models: Mapping[str, ModelDecl]
    enums: Mapping[str, EnumDecl]
    records: Mapping[str, RecordDecl]
    aliases: Mapping[str, AliasDecl]
    consts: Mapping[str, ConstDecl]
    intrinsics: Mapping[str, Intrinsic]
    tools: Mapping[str, ToolDecl]
    flows: Mapping[str, FlowDecl]
    tests: tuple[TestDecl, ...]

    @property
    def path(self) -> str:
        return self.source.path

    @property
    def model(self) -> ModelDecl | None:
        """The model that the program runs on: the loaded file's, else the first that an import declares."""
        own = [model for model in self.models.values() if not model.imported]
        return next(iter(own), None) or next(iter(self.models.values()), None)
