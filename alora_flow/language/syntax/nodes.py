"""The syntax tree: what stands in a flow file, before any name means anything. Each docstring shows source text.

Nodes compare by content, never by place, so that parse → print → parse can be compared. Numbers keep their spelling.
"""

from __future__ import annotations

from dataclasses import field
from typing import Literal

from alora_flow.frozen import dataclass
from alora_flow.language.report.source import Span


@dataclass(frozen=True, slots=True)
class Node:
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Identifier(Node):
    """`question`, where a name is given or a field is named"""

    text: str


@dataclass(frozen=True, slots=True)
class Qualified(Node):
    """`search`, `checks.search`: a name of this file, or of an import"""

    qualifier: Identifier | None
    name: Identifier


# ----------------------------------------------------------------------- types


@dataclass(frozen=True, slots=True)
class NamedType(Node):
    """`str`, `Answer`, `checks.Answer`; in a match also an enum's member"""

    name: Qualified


@dataclass(frozen=True, slots=True)
class RangeType(Node):
    """`int[0..9]`, `float[0.0..]`"""

    name: Identifier
    low: Number | None
    high: Number | None


@dataclass(frozen=True, slots=True)
class GenericType(Node):
    """`list[str]`, `prob[bool]`"""

    name: Identifier
    argument: TypeNode


@dataclass(frozen=True, slots=True)
class NoneTypeNode(Node):
    """`none`, after `is` and in a match"""


@dataclass(frozen=True, slots=True)
class OptionalTypeNode(Node):
    """`str?`"""

    inner: TypeNode


@dataclass(frozen=True, slots=True)
class UnionTypeNode(Node):
    """`Answer | Refusal`"""

    members: tuple[TypeNode, ...]


TypeNode = NamedType | RangeType | GenericType | NoneTypeNode | OptionalTypeNode | UnionTypeNode


# ----------------------------------------------------------------- expressions


@dataclass(frozen=True, slots=True)
class Name(Node):
    """`question`"""

    text: str


@dataclass(frozen=True, slots=True)
class Number(Node):
    """`12`, `1_000`, `0.5`, `1e-3`, in a range also `-1`"""

    raw: str

    @property
    def value(self) -> int | float:
        """Raises ValueError where Python cannot hold the number."""
        return float(self.raw) if any(mark in self.raw for mark in ".eE") else int(self.raw)


@dataclass(frozen=True, slots=True)
class Duration(Node):
    """`3s`, `500ms`, `2m`, `1h`"""

    raw: str

    @property
    def seconds(self) -> float:
        digits = self.raw.rstrip("hms")
        return float(digits) * {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}[self.raw[len(digits) :]]


@dataclass(frozen=True, slots=True)
class String(Node):
    """`"Answer {question}."`; `block` when written in three quotes. Parts are decoded text and holes."""

    parts: tuple[str | Expression, ...]
    block: bool = False

    @property
    def text(self) -> str:
        """The literal text; holes leave nothing."""
        return "".join(part for part in self.parts if isinstance(part, str))


@dataclass(frozen=True, slots=True)
class Boolean(Node):
    """`true`"""

    value: bool


@dataclass(frozen=True, slots=True)
class NoneValue(Node):
    """`none`"""


@dataclass(frozen=True, slots=True)
class List(Node):
    """`[a, b]`"""

    items: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Access(Node):
    """`reply.text`"""

    target: Expression
    name: Identifier


@dataclass(frozen=True, slots=True)
class Index(Node):
    """`docs[0]`"""

    target: Expression
    index: Expression


@dataclass(frozen=True, slots=True)
class Slice(Node):
    """`docs[1:3]`, `text[:100]`, `xs[-2:]`"""

    target: Expression
    start: Expression | None
    stop: Expression | None


@dataclass(frozen=True, slots=True)
class Argument(Node):
    """`question`, `k: 3`"""

    name: Identifier | None
    value: Expression


@dataclass(frozen=True, slots=True)
class CallNode(Node):
    """`search(query, k: 3)`, `wrong.p(true)`, `Refusal(reason: "…")`"""

    callee: Expression
    arguments: tuple[Argument, ...]


@dataclass(frozen=True, slots=True)
class RunOn(Node):
    """`generate(max_tokens: 9) as Answer on grounded`; one of `as_type` and `thread` is there"""

    call: Expression
    as_type: TypeNode | None
    thread: Expression | None


@dataclass(frozen=True, slots=True)
class Unary(Node):
    """`not safe`, `-x`"""

    operator: Literal["not", "-"]
    operand: Expression


@dataclass(frozen=True, slots=True)
class Binary(Node):
    """`a + b`, `x > 0.5 and y`; `mark` is the operator's own place"""

    operator: str
    left: Expression
    right: Expression
    mark: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class IsTest(Node):
    """`r is Refusal`, `r is not none`"""

    operand: Expression
    tested: TypeNode
    negated: bool


@dataclass(frozen=True, slots=True)
class IfValue(Node):
    """`if c { a } else { b }`, `if c { a } else if d { b } else { c }`, where a value stands"""

    condition: Expression
    then: Expression
    otherwise: Expression


@dataclass(frozen=True, slots=True)
class ValueArm(Node):
    """`Answer as a => { a.text }`, `else => { "none" }` (no patterns)"""

    patterns: tuple[TypePattern | ValuePattern, ...]
    name: Identifier | None
    value: Expression


@dataclass(frozen=True, slots=True)
class MatchValue(Node):
    """`match r { Answer as a => { a.text } else => { "none" } }`, where a value stands"""

    subject: Expression
    arms: tuple[ValueArm, ...]


@dataclass(frozen=True, slots=True)
class State(Node):
    """`th = grounded`, in `repeat (…)` and after `next`"""

    name: Identifier
    value: Expression


@dataclass(frozen=True, slots=True)
class For(Node):
    """`for d in docs limit 8 { … keep x when c }`; `limit 8 strict` where more are an error"""

    name: Identifier
    source: Expression
    limit: Expression | None
    body: Block
    strict: bool = False


@dataclass(frozen=True, slots=True)
class Repeat(Node):
    """`repeat (th = grounded) up to 3 { … accept v when c  next th = … } else { return … }`"""

    states: tuple[State, ...]
    rounds: Expression
    body: Block
    otherwise: Block | None


@dataclass(frozen=True, slots=True)
class OnClause(Node):
    """`on safety(v) when not v => stop`"""

    callee: Qualified
    name: Identifier | None
    condition: Expression | None
    action: Identifier


@dataclass(frozen=True, slots=True)
class Permission(Node):
    """`may invoke [certainty, search] budget 4 depth 2 { on safety(v) when not v => stop }`"""

    callees: tuple[Qualified, ...]
    budget: Expression | None
    depth: Expression | None
    clauses: tuple[OnClause, ...]


@dataclass(frozen=True, slots=True)
class MayInvoke(Node):
    """`generate() on t may invoke [certainty]`"""

    call: Expression
    permission: Permission


@dataclass(frozen=True, slots=True)
class Attempt(Node):
    """`search(q) else { [] }`, `generate() as P on t else as why { return … }`: what there is where the value fails"""

    value: Expression
    name: Identifier | None
    otherwise: Block | Expression


Expression = (
    Name
    | Number
    | Duration
    | String
    | Boolean
    | NoneValue
    | List
    | Access
    | Index
    | Slice
    | CallNode
    | RunOn
    | Unary
    | Binary
    | IsTest
    | IfValue
    | MatchValue
    | For
    | Repeat
    | MayInvoke
    | Attempt
)


# ------------------------------------------------------------------ statements


@dataclass(frozen=True, slots=True)
class Block(Node):
    """`{ … }`"""

    statements: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class Let(Node):
    """`let query: str = rewrite() on ask`"""

    name: Identifier
    type: TypeNode | None
    value: Expression


@dataclass(frozen=True, slots=True)
class Thread(Node):
    """`thread ask = system("…") + user(question)`"""

    name: Identifier
    value: Expression


@dataclass(frozen=True, slots=True)
class If(Node):
    """`if c { … } else { … }`, `if c { … } else if d { … }`"""

    condition: Expression
    then: Block
    otherwise: Block | If | None


@dataclass(frozen=True, slots=True)
class TypePattern(Node):
    """`Answer`, `input`, `list[str]`, `none`"""

    type: TypeNode


@dataclass(frozen=True, slots=True)
class ValuePattern(Node):
    """`3`, `"yes"`, `true`"""

    value: Number | Duration | String | Boolean


@dataclass(frozen=True, slots=True)
class Arm(Node):
    """`Answer as a => { … }`, `input, retrieval => { … }`, `else => { … }` (no patterns)"""

    patterns: tuple[TypePattern | ValuePattern, ...]
    name: Identifier | None
    body: Block


@dataclass(frozen=True, slots=True)
class Match(Node):
    """`match r { … }`"""

    subject: Expression
    arms: tuple[Arm, ...]


@dataclass(frozen=True, slots=True)
class Return(Node):
    """`return x`"""

    value: Expression


@dataclass(frozen=True, slots=True)
class Require(Node):
    """`require len(docs) > 0 else "nothing found"`"""

    condition: Expression
    message: Expression | None


@dataclass(frozen=True, slots=True)
class Keep(Node):
    """`keep x when c`"""

    value: Expression
    condition: Expression | None


@dataclass(frozen=True, slots=True)
class Accept(Node):
    """`accept x when c`"""

    value: Expression
    condition: Expression | None


@dataclass(frozen=True, slots=True)
class Next(Node):
    """`next th = reply.thread, n = n + 1`"""

    states: tuple[State, ...]


@dataclass(frozen=True, slots=True)
class Do(Node):
    """A `for` or `repeat` as a statement"""

    value: For | Repeat


@dataclass(frozen=True, slots=True)
class Failing(Node):
    """`fails "no network"`, in a mock"""

    message: Expression


@dataclass(frozen=True, slots=True)
class Invoking(Node):
    """`invoke certainty`, `invoke search(q: "x")`, in a mock of a generation: behind what it has written, the model
    calls"""

    callee: Qualified
    arguments: tuple[Argument, ...] = ()


@dataclass(frozen=True, slots=True)
class Mock(Node):
    """`mock search(q: "x") = []`, `mock safety() = true then false`, `mock generate() as Pet fails "cut"`,
    `mock generate() = "Paris. " then invoke certainty then "It is."`"""

    callee: Qualified
    arguments: tuple[Argument, ...]
    as_type: TypeNode | None
    values: tuple[Expression | Failing | Invoking, ...]


@dataclass(frozen=True, slots=True)
class Expect(Node):
    """`expect r is Refusal`"""

    condition: Expression


Statement = Let | Thread | If | Match | Return | Require | Keep | Accept | Next | Do | Mock | Expect


# ---------------------------------------------------------------- declarations


@dataclass(frozen=True, slots=True)
class Import(Node):
    """`import "checks.flow" as checks`"""

    file: String
    name: Identifier
    doc: str = ""


@dataclass(frozen=True, slots=True)
class ModelDef(Node):
    """`model base = "mini"`"""

    name: Identifier
    reference: String
    doc: str = ""


@dataclass(frozen=True, slots=True)
class Member(Node):
    """`input`, `yes = "Yes, it is"`, in an enum"""

    name: Identifier
    text: String | None = None
    doc: str = ""


@dataclass(frozen=True, slots=True)
class Enum(Node):
    """`enum Stage { input, retrieval, output }`"""

    name: Identifier
    members: tuple[Member, ...]
    doc: str = ""


@dataclass(frozen=True, slots=True)
class Field(Node):
    """`stage: Stage = input`, in a record"""

    name: Identifier
    type: TypeNode
    default: Expression | None
    doc: str = ""


@dataclass(frozen=True, slots=True)
class Record(Node):
    """`record Refusal { reason: str, stage: Stage }`, `record Cat tag "cat" { name: str }`"""

    name: Identifier
    fields: tuple[Field, ...]
    tag: String | None = None
    doc: str = ""


@dataclass(frozen=True, slots=True)
class Alias(Node):
    """`type Outcome = Answer | Refusal`"""

    name: Identifier
    type: TypeNode
    doc: str = ""


@dataclass(frozen=True, slots=True)
class Const(Node):
    """`const LIMIT: int = 8`"""

    name: Identifier
    type: TypeNode | None
    value: Expression
    doc: str = ""


@dataclass(frozen=True, slots=True)
class Parameter(Node):
    """`k: int = 3`"""

    name: Identifier
    type: TypeNode
    default: Expression | None


@dataclass(frozen=True, slots=True)
class Settings(Node):
    """`with (pure: true, timeout: 3s)`"""

    arguments: tuple[Argument, ...]


@dataclass(frozen=True, slots=True)
class Choices(Node):
    """`enum("Y", "N")`, after `emits`"""

    options: tuple[String, ...]


@dataclass(frozen=True, slots=True)
class Item(Node):
    """`adapter "safety"`, `value it == "Y"`: a line of an intrinsic's block; `keyword` is its first word"""

    keyword: Identifier
    value: Expression | TypeNode | Choices | Identifier


@dataclass(frozen=True, slots=True)
class Intrinsic(Node):
    """`intrinsic safety() -> bool { adapter "safety" … }`, `intrinsic rewrite() -> str from "query_rewrite"`

    `library` is there in the short form, `items` in the long one; `permissions`: what it may invoke, once.
    """

    name: Identifier
    parameters: tuple[Parameter, ...]
    result: TypeNode
    library: String | None
    settings: Settings | None
    items: tuple[Item, ...]
    permissions: tuple[Permission, ...] = ()
    doc: str = ""


@dataclass(frozen=True, slots=True)
class Tool(Node):
    """`tool search(q: str) -> list[document] = python "kb:search" with (pure: true)`"""

    name: Identifier
    parameters: tuple[Parameter, ...]
    result: TypeNode | None
    host: Identifier
    function: String
    settings: Settings | None
    doc: str = ""


@dataclass(frozen=True, slots=True)
class Limit(Node):
    """`tokens <= 9000`"""

    resource: Identifier
    amount: Expression


@dataclass(frozen=True, slots=True)
class MaxDepth(Node):
    """`max_depth 3`"""

    depth: Expression


@dataclass(frozen=True, slots=True)
class Speculate(Node):
    """`speculate`"""


@dataclass(frozen=True, slots=True)
class Budget(Node):
    """`budget { tokens <= 9000, wall <= 20s }`"""

    limits: tuple[Limit, ...]


Clause = MaxDepth | Speculate | Budget


@dataclass(frozen=True, slots=True)
class FlowDef(Node):
    """`flow ask(question: str) -> Answer max_depth 3 { … }`"""

    name: Identifier
    parameters: tuple[Parameter, ...]
    result: TypeNode
    clauses: tuple[Clause, ...]
    body: Block
    doc: str = ""


@dataclass(frozen=True, slots=True)
class Test(Node):
    """`test "an unsafe request never reaches retrieval" { … }`"""

    title: String
    body: Block
    doc: str = ""


Declaration = Import | ModelDef | Enum | Record | Alias | Const | Intrinsic | Tool | FlowDef | Test


@dataclass(frozen=True, slots=True)
class File(Node):
    """A whole file. `doc` is the `##` text it begins with."""

    declarations: tuple[Declaration, ...]
    doc: str = ""
