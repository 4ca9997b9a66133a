"""Program → FlowGraph: every call becomes a node, every branch a guard, every loop its unrolled worst case."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from threading import Lock
from typing import Any, TypeVar

from alora_flow.language.meaning import program as p
from alora_flow.language.meaning.folding import fold
from alora_flow.language.meaning.program import Argument, Binding, Block, Expression, FlowDecl, Program
from alora_flow.language.meaning.types import BOOL, INT, NONE, STR, THREAD, ListType
from alora_flow.language.report.source import Span
from alora_flow.planning.graph import nodes as g
from alora_flow.planning.graph.nodes import FlowGraph, Guard, NodeValue, Path, callee_of, flow_of_test, key_of
from alora_flow.planning.graph.walk import every, mapped
from alora_flow.planning.lowering.building import (
    DEEPEST,
    GraphBuilder,
    LoweringState,
    Names,
    Place,
    check_depth,
    too_deep,
)

T = TypeVar("T")


def lower(program: Program, flow: FlowDecl) -> FlowGraph:
    """The graph of one flow of a checked program."""
    lowering = _Lowering(program)
    names = {
        parameter.binding.id: lowering.add(
            g.Input(parameter), parameter.type, Place((), "", {}), parameter.binding.span, parameter.name
        )
        for parameter in flow.parameters
    }
    lowering.budget(flow, "")
    lowering.whole(flow.body, LoweringState(names, Place((), "", {flow.key: 1}, flow.speculate)), flow.span)
    return lowering.graph(flow)


def lower_test(program: Program, test: p.TestDecl) -> FlowGraph:
    """The graph of one test: its mocks and its expectations are nodes."""
    lowering = _Lowering(program)
    lowering.whole(test.body, LoweringState({}, Place((), "", {})), test.span)
    return lowering.graph(flow_of_test(test))


Exits = list[tuple[Path, Expression]]
"""The values that leave a block early, each with the path on which it does."""


_DEEPER = Lock()
"""Held while Python's limit, which is every thread's and guards what is read elsewhere, is higher than usual."""


class _Lowering(GraphBuilder):
    def __init__(self, program: Program) -> None:
        super().__init__()
        self.program = program
        self._returned: list[Exits] = [[]]  # one entry a flow that is being inlined, innermost last
        self._kept: list[Exits] = []  # likewise for loops: what `keep` and `accept` hand out
        self._constant: dict[int, object] = {}  # by their ids, which are theirs while they are here
        self._next: Names = {}  # what the round that is being lowered hands to the next

    def whole(self, block: Block, state: LoweringState, span: Span) -> None:
        """All that is lowered. Raises BadInput where it is nested deeper than Python can follow."""
        with _DEEPER:
            usual = sys.getrecursionlimit()
            sys.setrecursionlimit(max(usual, DEEPEST))
            try:
                self.block(block, state)
            except RecursionError:
                raise too_deep(span) from None
            finally:
                sys.setrecursionlimit(usual)

    def condition(self, expression: Expression, state: LoweringState, name: str) -> str:
        """The id of a node that decides `expression`."""
        lowered = self.value(expression, state)
        return self.add(g.Condition(lowered), BOOL, state.place, expression.span, name).node

    # ------------------------------------------------------------ expressions

    def value(self, expression: Expression, state: LoweringState, name: str | None = None) -> Expression:
        """The expression with every name and call replaced by a node's value; `name`: what it is bound to."""
        rule = _RULES.get(type(expression))
        return self._parts(expression, state) if rule is None else rule(self, expression, state, name)

    def _reference(self, reference: p.Reference, state: LoweringState, _: str | None) -> Expression:
        meant = state.names[reference.binding.id]
        if isinstance(meant, NodeValue):
            return NodeValue(reference.type, reference.span, meant.node)
        return replace(meant, type=reference.type, span=reference.span)

    def _parts(self, part: T, state: LoweringState) -> T:
        """`value` for the expressions directly inside something. What has no name and no call in it stays what it is,
        wherever it is lowered: round after round of a loop nothing is looked for in it again."""
        if id(part) in self._constant:
            return part
        made = mapped(part, lambda inner: self.value(inner, state))
        if made is part:
            self._constant[id(part)] = part
        return made

    def _node(self, operation: g.Operation, expression: Expression, state: LoweringState, name: str) -> NodeValue:
        return self.add(operation, expression.type, state.place, expression.span, name)

    def _generate(self, call: p.Generate, state: LoweringState, name: str | None) -> NodeValue:
        name = name or "reply"
        thread, settings = self.value(call.thread, state), self._parts(call.settings, state)
        made = g.Generate(thread, settings, call.as_type, self._handlers(call.may_invoke, state))
        return self._node(made, call, state, name) if call.samples is None else self._samples(made, call, state, name)

    def _handlers(self, part: T, state: LoweringState) -> T:
        """What decides about a model's own calls reads values of the flow, and the result of a call by its own name."""

        def named(inner: Expression) -> Expression:
            own = isinstance(inner, p.Reference) and inner.binding.id not in state.names
            return self.value(inner, state) if isinstance(inner, p.Reference) and not own else mapped(inner, named)

        return mapped(part, named)

    def _samples(self, made: g.Generate, call: p.Generate, state: LoweringState, name: str) -> NodeValue:
        """`n: 4`: as many calls on one thread, each with a seed of its own."""
        assert isinstance(call.type, ListType)
        name, path, samples = self.name(state.place, name), state.place.path, []
        for index in range(call.samples or 0):
            settings = tuple(_nth_seed(item, index) for item in made.settings)
            place = state.place.inside(f"{name}[{index}]")
            sample = self.add(replace(made, settings=settings), call.type.element, place, call.span, "sample")
            samples.append((path, sample))
        return self.put(g.Collect(tuple(samples)), call.type, state.place, call.span, name)

    def _invoke(self, call: p.Invoke, state: LoweringState, name: str | None) -> NodeValue:
        thread, arguments = self.value(call.thread, state), self._parts(call.arguments, state)
        return self._node(g.Invoke(thread, call.intrinsic, arguments), call, state, name or call.intrinsic.name)

    def _tool_call(self, call: p.ToolCall, state: LoweringState, name: str | None) -> NodeValue:
        operation = g.Tool(call.tool, self._parts(call.arguments, state))
        return self._node(operation, call, state, name or call.tool.name)

    def _call_count(self, count: p.Calls, state: LoweringState, _: str | None) -> NodeValue:
        key = key_of(count.target)
        among = tuple(node.id for node in self.nodes.values() if _calls(node.operation, key))
        return self._node(g.CallCount(key, among), count, state, "calls")

    def _figure(self, figure: p.PlanField, state: LoweringState, _: str | None) -> NodeValue:
        among = tuple(node.id for node in self.nodes.values() if isinstance(node.operation, g.MODEL_CALLS))
        return self._node(g.Figure(figure.name, among), figure, state, "plan")

    def _binary(self, expression: p.Binary, state: LoweringState, _: str | None) -> Expression:
        """`a and f()`: where the right side calls something, the left side guards it."""
        if expression.operator not in LAZY or not calls_something(expression.right):
            return self._parts(expression, state)
        left = self.value(expression.left, state)
        tested = p.IsTest(BOOL, left.span, left, NONE, False) if expression.operator == "??" else left
        decided = self.add(g.Condition(tested), BOOL, state.place, left.span, "left").node
        guarded = state.at(state.place.when(Guard(decided, expression.operator != "or")))
        kept = left if expression.operator == "??" else NodeValue(BOOL, left.span, decided)
        return replace(expression, left=kept, right=self.value(expression.right, guarded))

    # ------------------------------------------------------ values by condition

    def _if_value(self, choice: p.IfValue, state: LoweringState, name: str | None) -> Expression:
        """Where a side calls something, the condition guards it and a Select takes what ran; else it is one value."""
        if not calls_something(choice.then, choice.otherwise):
            return self._parts(choice, state)
        decided = self.condition(choice.condition, state, "if")
        sides = ((choice.then, True), (choice.otherwise, False))
        return self._select(
            choice, [(side, self._guarded(state, decided, on)) for side, on in sides], state, name or "if"
        )

    def _match_value(self, choice: p.MatchValue, state: LoweringState, name: str | None) -> Expression:
        """The arms as they are of a statement; without calls one value, which tests one arm after the other."""
        subject = self.value(choice.subject, state)
        if not isinstance(subject, NodeValue) and calls_something(choice.arms):
            subject = self.add(g.Value(subject), subject.type, state.place, choice.subject.span, "subject")
        if not calls_something(choice.arms):
            return self._tested(choice, subject, state)
        sides: list[tuple[Expression, LoweringState]] = []
        left: LoweringState | None = state
        for arm in choice.arms:
            assert left is not None, "an arm stands behind one that always fits"
            inside, left = self._arm(arm, subject, left, last=arm is choice.arms[-1])
            sides.append((arm.value, inside.bind(arm.binding, subject)))
        return self._select(choice, sides, state, name or "match")

    def _tested(self, choice: p.MatchValue, subject: Expression, state: LoweringState) -> Expression:
        *arms, last = [(arm, self.value(arm.value, state.bind(arm.binding, subject))) for arm in choice.arms]
        found = last[1]
        for arm, value in reversed(arms):
            found = p.IfValue(choice.type, arm.span, _any_test(arm, subject), value, found)
        return found

    def _guarded(self, state: LoweringState, decided: str, holds: bool) -> LoweringState:
        return state.at(state.place.when(Guard(decided, holds)))

    def _select(
        self, choice: Expression, sides: list[tuple[Expression, LoweringState]], state: LoweringState, name: str
    ) -> NodeValue:
        found = tuple((inside.place.path, self.value(side, inside)) for side, inside in sides)
        return self.add(g.Select(found), choice.type, state.place, choice.span, name)

    # ------------------------------------------------------- flows and loops

    def _flow_call(self, call: p.FlowCall, state: LoweringState, name: str | None) -> Expression:
        """The called flow in place of the call: its parameters are values, its returns are selected among."""
        flow, arguments = self.program.flows[call.flow], self._parts(call.arguments, state)
        check_depth(len(self._returned), call.span)
        name = self.name(state.place, name or flow.name)
        place = state.place.inside(name)
        depth = place.depth.get(flow.key, 0) + 1
        if flow.max_depth is not None and depth > flow.max_depth:
            return self.add(g.TooDeep(flow.name, flow.max_depth), call.type, place, call.span, "too_deep")
        place = place._replace(depth={**place.depth, flow.key: depth}, speculate=flow.speculate or place.speculate)
        before = len(self.nodes)
        choices = self._inline(flow, arguments, place)
        result = self.put(g.Select(tuple(choices), flow.key), call.type, state.place, call.span, name)
        first = next(islice(reversed(self.nodes), len(self.nodes) - before - 1, None))
        self.inlined.append(g.Inlined(flow.key, arguments, first, result.node))
        return result

    def _inline(self, flow: FlowDecl, arguments: tuple[Argument, ...], place: Place) -> Exits:
        """The body of a flow at a place; the values that it returns, each with the path on which it does."""
        self.budget(flow, place.prefix)
        names = {
            parameter.binding.id: self._bound(argument.value, parameter.binding, place)
            for argument, parameter in zip(arguments, flow.parameters, strict=True)
        }
        self._returned.append([])
        self.block(flow.body, LoweringState(names, place))
        return self._returned.pop()

    def _for(self, loop: p.For, state: LoweringState, name: str | None) -> NodeValue:
        """`limit` copies of the body, side by side; copy i runs when the list is that long."""
        source, name = self.value(loop.source, state), self.name(state.place, name or "for")
        if not isinstance(source, NodeValue):
            source = self.add(g.Value(source), source.type, state.place, source.span, f"{name}_source")
        if loop.strict:
            state = self._at_most(loop, source, state)
        self._kept.append([])
        for index in range(loop.limit):
            place = state.place.inside(f"{name}[{index}]")
            self._element(loop, source, index, state.at(place))
        return self.put(g.Collect(tuple(self._kept.pop())), loop.type, state.place, loop.span, name)

    def _at_most(self, loop: p.For, source: NodeValue, state: LoweringState) -> LoweringState:
        """`limit 8 strict`: nothing of the fan-out starts where the list is longer."""
        span = loop.source.span
        length = p.Builtin(INT, span, "len", (source,))
        fits = p.Binary(BOOL, span, "<=", length, p.Literal(INT, span, loop.limit))
        said = p.Text(STR, span, (p.StringHole(length), f" elements are more than the limit of {loop.limit}"))
        node = self.add(g.Require(fits, said), BOOL, state.place, span, "limit")
        return self._guarded(state, node.node, True)

    def _element(self, loop: p.For, source: NodeValue, index: int, state: LoweringState) -> None:
        span = loop.source.span
        longer = p.Binary(BOOL, span, ">", p.Builtin(INT, span, "len", (source,)), p.Literal(INT, span, index))
        there = self.add(g.Condition(longer), BOOL, state.place, span, "there").node
        state = state.at(state.place.when(Guard(there)))
        element = p.Index(loop.binding.type, span, source, p.Literal(INT, span, index))
        bound = self.add(g.Value(element), loop.binding.type, state.place, span, loop.binding.name)
        self.block(loop.body, state.bind(loop.binding, bound))

    def _repeat(self, loop: p.Repeat, state: LoweringState, name: str) -> tuple[NodeValue, Place]:
        """`rounds` copies of the body, one after the other; the value accepted first, and where the run goes on."""
        self._kept.append([])
        place, name = state.place, self.name(state.place, name)
        names = {**state.names, **{s.binding.id: self._named(s.initial, s.binding, state) for s in loop.states}}
        for index in range(loop.rounds):
            self._next = {}
            ended = self.block(loop.body, LoweringState(names, place.inside(f"{name}[{index}]")))
            names = {**names, **self._next}
            if ended is None:
                break
            place = place._replace(path=ended.path)
        else:
            self.block(loop.otherwise, LoweringState(names, place.inside(f"{name}.else")))
        accepted = self._kept.pop()
        value = self.put(g.Select(tuple(accepted)), loop.type, state.place, loop.span, name)
        return value, self._continue(state.place, [path for path, _ in accepted], loop.span)

    def _value_placed(self, value: Expression, state: LoweringState, name: str | None) -> Expression:
        return self._placed(value, state, name)[0]

    def _placed(self, value: Expression, state: LoweringState, name: str | None = None) -> tuple[Expression, Place]:
        """A value, and where the run goes on behind it: the `else` of a loop or an attempt may have returned."""
        match value:
            case p.Repeat():
                return self._repeat(value, state, name or "repeat")
            case p.Attempt():
                return self._attempt(value, state, name or "value")
        return self.value(value, state, name), state.place

    def _attempt(self, attempt: p.Attempt, state: LoweringState, name: str) -> tuple[Expression, Place]:
        """The value; where one of the nodes that it takes fails, what the `else` gives."""
        before, returned = len(self.nodes), len(self._returned[-1])
        value = self._tried(attempt.value, state, name)
        nodes = list(islice(reversed(self.nodes.values()), len(self.nodes) - before))[::-1]
        inside = {member for n in nodes if isinstance(n.operation, g.Attempt) for member in n.operation.among}
        operation = g.Attempt(value, tuple(node.id for node in nodes if node.id not in inside))
        worked = self.add(operation, BOOL, state.place, attempt.value.span, f"{name}_worked").node
        there = self._guarded(state, worked, True).place
        accepted = self._otherwise(attempt, worked, state)
        if not accepted:
            return value, there
        either = g.Select(((there.path, value), *accepted))
        found = self.add(either, attempt.type, state.place, attempt.span, f"{name}_or_else")
        if len(self._returned[-1]) == returned:
            return found, state.place
        return found, self._continue(state.place, [there.path, *(path for path, _ in accepted)], attempt.span)

    def _tried(self, value: Expression, state: LoweringState, name: str) -> NodeValue:
        """A node for what is tried, since only nodes fail."""
        lowered = self.value(value, state, name)
        if isinstance(lowered, NodeValue):
            return lowered
        operation = g.Thread(lowered) if lowered.type == THREAD else g.Value(lowered)
        return self.add(operation, lowered.type, state.place, lowered.span, name)

    def _otherwise(self, attempt: p.Attempt, worked: str, state: LoweringState) -> Exits:
        """What the `else` accepts. It starts only once something has failed, where guarded work starts early too."""
        inside = self._guarded(state, worked, False)
        inside = inside._replace(place=inside.place._replace(speculate=False))
        if attempt.binding:
            binding = attempt.binding
            inside = inside.bind(binding, self.add(g.Failure(worked), STR, inside.place, binding.span, binding.name))
        self._kept.append([])
        self.block(attempt.otherwise, inside)
        return self._kept.pop()

    def _named(self, value: Expression, binding: Binding, state: LoweringState) -> Expression:
        """What a `let`, a `thread` or a state of a loop stands for."""
        return self._bound(self.value(value, state, binding.name), binding, state.place)

    def _bound(self, value: Expression, binding: Binding, place: Place) -> Expression:
        """A node that bears the binding's name; another node's value is that node itself, only chats become threads."""
        threaded = binding.kind == "thread" or binding.type == THREAD
        if isinstance(value, NodeValue) and (not threaded or value.type == THREAD):
            return value
        operation = g.Thread(value) if threaded else g.Value(value)
        return self.add(operation, binding.type, place, value.span, binding.name)

    # ------------------------------------------------------------- statements

    def block(self, block: Block, state: LoweringState) -> Place | None:
        """Lower statements in order. Returns where the run goes on after them, None where it never does."""
        for statement in block:
            going = self._statement(statement, state)
            if going is None:
                return None
            state = going
        return state.place

    def _statement(self, statement: p.Statement, state: LoweringState) -> LoweringState | None:
        match statement:
            case p.Let(binding=None, value=value):
                return state.at(self._placed(value, state)[1])
            case p.Let(binding=p.Binding() as binding, value=value):
                found, place = self._placed(value, state, binding.name)
                return state.at(place).bind(binding, self._bound(found, binding, place))
            case p.Do(value=value):
                return state.at(self._placed(value, state)[1])
            case p.If():
                return self._if(statement, state)
            case p.Match():
                return self._match(statement, state)
            case p.Return():
                self._return(statement, state)
                return None
            case p.Require():
                return self._require(statement, state)
            case p.Mock():
                self._mock(statement, state)
            case p.Expect(condition=condition, span=span):
                self.add(g.Expect(self.value(condition, state)), BOOL, state.place, span, "expect")
            case p.Keep() | p.Accept():
                return self._keep(statement, state)
            case p.Next(values=values):
                self._next = {binding.id: self._named(value, binding, state) for binding, value in values}
            case _:
                raise AssertionError(f"a flow holds no {type(statement).__name__}")
        return state

    def _if(self, branch: p.If, state: LoweringState) -> LoweringState | None:
        decided = self.condition(branch.condition, state, "if")
        returned = len(self._returned[-1])
        ends = [
            self.block(body, state.at(state.place.when(Guard(decided, holds))))
            for body, holds in ((branch.then, True), (branch.otherwise, False))
        ]
        return self._after(state, ends, returned, branch.span)

    def _after(self, state: LoweringState, ends: list[Place | None], returned: int, span: Span) -> LoweringState | None:
        """Where a branching goes on: as before where no branch returned, else only on the paths that did not."""
        if len(self._returned[-1]) == returned:
            return state
        going = [end.path for end in ends if end is not None]
        return state.at(self._continue(state.place, going, span)) if going else None

    def _continue(self, place: Place, paths: list[Path], span: Span) -> Place:
        """One place to go on from after several paths, guarded by a Merge where there is more than one."""
        if len(paths) == 1:
            return place._replace(path=paths[0])
        merged = self.add(g.Merge(tuple(paths)), BOOL, place, span, "merge")
        return place.when(Guard(merged.node))

    def _match(self, match: p.Match, state: LoweringState) -> LoweringState | None:
        """Arms are tried in order: an arm's guards are its own test and that no earlier one held."""
        subject = self.value(match.subject, state)
        returned = len(self._returned[-1])
        ends: list[Place | None] = []
        left: LoweringState | None = state
        for arm in match.arms:
            assert left is not None, "an arm stands behind one that always fits"
            inside, left = self._arm(arm, subject, left, last=arm is match.arms[-1])
            if arm.binding:
                inside = inside.bind(arm.binding, self._bound(subject, arm.binding, inside.place))
            ends.append(self.block(arm.body, inside))
        return self._after(state, ends, returned, match.span)

    def _arm(
        self, arm: p.Arm | p.ValueArm, subject: Expression, state: LoweringState, last: bool
    ) -> tuple[LoweringState, LoweringState | None]:
        """The state inside an arm and the one for the arms after it; the last arm needs no test."""
        if last or not arm.patterns:
            return state, None
        decided = self.add(g.Condition(_any_test(arm, subject)), BOOL, state.place, arm.span, "case").node
        inside, after = (state.at(state.place.when(Guard(decided, on))) for on in (True, False))
        return inside, after

    def _return(self, statement: p.Return, state: LoweringState) -> None:
        value, place = self._placed(statement.value, state)
        operation = g.Return(value) if len(self._returned) == 1 else g.Value(value)
        node = self.add(operation, value.type, place, statement.span, "return")
        self._returned[-1].append((place.path, node))

    def _require(self, statement: p.Require, state: LoweringState) -> LoweringState:
        """What follows is guarded by the requirement, so that nothing starts that a failed run would throw away."""
        condition = self.value(statement.condition, state)
        message = None if statement.message is None else self.value(statement.message, state)
        node = self.add(g.Require(condition, message), BOOL, state.place, statement.span, "require")
        return state.at(state.place.when(Guard(node.node)))

    def _mock(self, mock: p.Mock, state: LoweringState) -> None:
        parts = self._parts(mock.arguments, state), self._parts(mock.values, state)
        operation = g.Mock(key_of(mock.target), *parts, mock.as_type)
        self.add(operation, NONE, state.place, mock.span, "mock")

    def _keep(self, statement: p.Keep | p.Accept, state: LoweringState) -> LoweringState | None:
        """`keep x when c`, `accept v when c`: the value is lowered on the path on which it counts."""
        place = state.place
        if statement.condition is not None:
            name = type(statement).__name__.lower()
            place = place.when(Guard(self.condition(statement.condition, state, name)))
        value, there = self._placed(statement.value, state.at(place))
        self._kept[-1].append((there.path, value))
        if statement.condition is None:
            return None
        return state.at(state.place.when(replace(place.path[-1], holds=False)))


def _nth_seed(setting: Argument, index: int) -> Argument:
    """The samples of one call count its seed up."""
    if setting.name != "seed" or not index:
        return setting
    seed = p.Binary(INT, setting.value.span, "+", setting.value, p.Literal(INT, setting.value.span, index))
    return replace(setting, value=fold(seed) or seed)


def _any_test(arm: p.Arm | p.ValueArm, subject: Expression) -> Expression:
    either, *tests = (_test(pattern, subject) for pattern in arm.patterns)
    for test in tests:
        either = p.Binary(BOOL, arm.span, "or", either, test)
    return either


def _test(pattern: p.Pattern, subject: Expression) -> Expression:
    match pattern:
        case p.TypePattern(type=tested, span=span):
            return p.IsTest(BOOL, span, subject, tested, False)
        case p.ValuePattern(value=value):
            return p.Binary(BOOL, value.span, "==", subject, value)


CALLS = (p.Generate, p.Invoke, p.ToolCall, p.FlowCall, p.For, p.Repeat, p.Calls, p.PlanField)
"""Expressions that become nodes of their own."""


def calls_something(*parts: object) -> bool:
    """Does computing these take more than arithmetic?"""
    return any(isinstance(item, CALLS) for item in every(parts))


def _calls(operation: g.Operation, key: str) -> bool:
    """Does a node call it, or may a model in the middle of its answer?"""
    return callee_of(operation) == key or key in map(key_of, g.called_within(operation))


LAZY = ("and", "or", "??")

_RULES: dict[type[Expression], Callable[[_Lowering, Any, LoweringState, str | None], Expression]] = {
    p.Reference: _Lowering._reference,
    p.Generate: _Lowering._generate,
    p.Invoke: _Lowering._invoke,
    p.ToolCall: _Lowering._tool_call,
    p.FlowCall: _Lowering._flow_call,
    p.Calls: _Lowering._call_count,
    p.PlanField: _Lowering._figure,
    p.For: _Lowering._for,
    p.Repeat: _Lowering._value_placed,
    p.Attempt: _Lowering._value_placed,
    p.Binary: _Lowering._binary,
    p.IfValue: _Lowering._if_value,
    p.MatchValue: _Lowering._match_value,
}
"""What is more than its parts; `name`: what it is bound to."""
