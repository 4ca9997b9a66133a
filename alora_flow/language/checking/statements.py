"""Statements and the values that have blocks of their own: fan-out, loop, calls by the model."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace

from alora_flow.language.checking.bounds import length_of, limit
from alora_flow.language.checking.checker import Checker
from alora_flow.language.checking.choices import common, side
from alora_flow.language.checking.fit import condition, described, fit, wanted
from alora_flow.language.checking.frames import Frame, constant_int, misplaced, when
from alora_flow.language.checking.invocations import may_invoke
from alora_flow.language.checking.matches import match_arms
from alora_flow.language.checking.tests import expect, mock
from alora_flow.language.checking.types import resolve
from alora_flow.language.meaning import program
from alora_flow.language.meaning.failing import may_fail
from alora_flow.language.meaning.narrowing import facts, path_of
from alora_flow.language.meaning.operators import widened
from alora_flow.language.meaning.relations import join
from alora_flow.language.meaning.types import ERROR, NEVER, NONE, STR, THREAD, ListType, MapType, ReplyType, Type
from alora_flow.language.report.diagnostics import Note, did_you_mean
from alora_flow.language.report.source import Span
from alora_flow.language.syntax import nodes

Checked = tuple[program.Block, bool]


def block(checker: Checker, node: nodes.Block, frame: Frame) -> Checked:
    """The statements, and whether the end of the block is never reached."""
    found: list[program.Statement] = []
    ended = warned = False
    reached = 0
    for position, item in enumerate(node.statements):
        if ended and not warned:
            warned = True
            checker.report.add("W0802", "this is never reached", item.span, "leave it out")
            reached = len(checker.unit.bindings)
        last = position == len(node.statements) - 1
        with checker.report.quiet() if checker.unit.is_doubtful(item) else nullcontext():
            statement, ends = _statement(checker, item, frame, last)
        ended = ended or ends
        found.append(statement)
    if warned:
        checker.unit.used_ids |= {binding.id for binding, _ in checker.unit.bindings[reached:]}
    return tuple(found), ended


def _statement(checker: Checker, node: nodes.Statement, frame: Frame, last: bool) -> tuple[program.Statement, bool]:
    match node:
        case nodes.Let():
            return _let(checker, node, frame), False
        case nodes.Thread():
            return _thread(checker, node, frame), False
        case nodes.If():
            return _if(checker, node, frame)
        case nodes.Match():
            return _match(checker, node, frame)
        case nodes.Return():
            return _return(checker, node, frame), True
        case nodes.Require():
            return _require(checker, node), False
        case nodes.Do():
            return program.Do(node.span, _loop(checker, node.value, frame)), False
        case nodes.Keep():
            return _keep(checker, node, frame, last), False
        case nodes.Accept():
            return _accept(checker, node, frame), node.condition is None and frame.takes_accept
        case nodes.Next():
            return _next(checker, node, frame, last), False
        case nodes.Mock():
            return mock(checker, node, frame), False
        case nodes.Expect():
            return expect(checker, node, frame), False


# ------------------------------------------------------------- names and returns


def _let(checker: Checker, node: nodes.Let, frame: Frame) -> program.Statement:
    declared = resolve(checker.unit, node.type) if node.type else None
    found = _value(checker, node.value, frame, declared)
    if declared is not None and node.type is not None:
        found = fit(checker, found, declared, f"'{node.name.text}'", Note("its type stands here", node.type.span))
    if node.name.text == "_":
        return program.Let(node.span, None, found)
    binding = checker.bind(node.name, "let", declared or found.type)
    length = length_of(checker, found)
    if length is not None:
        checker.unit.lengths[binding.id] = length
    return program.Let(node.span, binding, found)


def _thread(checker: Checker, node: nodes.Thread, frame: Frame) -> program.Statement:
    found = fit(checker, _value(checker, node.value, frame, THREAD), THREAD)
    return program.Let(node.span, checker.bind(node.name, "thread", THREAD), found)


def _return(checker: Checker, node: nodes.Return, frame: Frame) -> program.Statement:
    found = _value(checker, node.value, frame, frame.result)
    if frame.fan_out:
        help = "collect values with 'keep', and return after the fan-out"
        checker.report.add("E0604", "'return' cannot leave a fan-out", node.span, help)
    elif frame.result is None:
        misplaced(checker, node.span, "return", "in flows")
    else:
        notes = (Note("the flow's result stands here", frame.result_span),)
        found = fit(checker, found, frame.result, "the result", *notes)
    return program.Return(node.span, found)


def _require(checker: Checker, node: nodes.Require) -> program.Statement:
    holds = condition(checker, checker.value(node.condition), "what is required")
    message = wanted(checker, node.message, STR, "the message") if node.message else None
    checker.scope.narrowed |= facts(holds, True)
    return program.Require(node.span, holds, message)


# ------------------------------------------------------------------- branches


def _if(checker: Checker, node: nodes.If, frame: Frame) -> tuple[program.Statement, bool]:
    holds = condition(checker, checker.value(node.condition), "a condition")
    yes, no = facts(holds, True), facts(holds, False)
    then, then_ends = block(checker.inside(yes), node.then, frame.nested())
    otherwise: program.Block = ()
    else_ends = False
    if isinstance(node.otherwise, nodes.If):
        inner, else_ends = _if(checker.inside(no), node.otherwise, frame.nested())
        otherwise = (inner,)
    elif node.otherwise is not None:
        otherwise, else_ends = block(checker.inside(no), node.otherwise, frame.nested())
    if then_ends != else_ends:
        checker.scope.narrowed |= no if then_ends else yes
    return program.If(node.span, holds, then, otherwise), then_ends and else_ends


def _match(checker: Checker, node: nodes.Match, frame: Frame) -> tuple[program.Statement, bool]:
    subject = checker.value(node.subject)
    arms: list[program.Arm] = []
    ended = True
    cases = match_arms(checker, node, subject)
    for arm, case in zip(node.arms, cases, strict=True):
        path = path_of(subject)
        inner = checker.inside({} if path is None else {path: case.type})
        binding = inner.bind(arm.name, "pattern", case.type) if arm.name else None
        body, ends = block(inner, arm.body, frame.nested())
        ended = ended and ends
        arms.append(program.Arm(case.patterns, binding, body, arm.span))
    return program.Match(node.span, subject, tuple(arms)), ended and bool(arms)


# ------------------------------------------------- values with blocks of their own


def _value(checker: Checker, node: nodes.Expression, frame: Frame, expected: Type | None) -> program.Expression:
    match node:
        case nodes.For() | nodes.Repeat():
            return _loop(checker, node, frame)
        case nodes.MayInvoke():
            return may_invoke(checker, node)
        case nodes.Attempt():
            return _attempt(checker, node, frame, expected)
    return checker.value(node, expected)


def _loop(checker: Checker, node: nodes.For | nodes.Repeat, frame: Frame) -> program.For | program.Repeat:
    return _for(checker, node, frame) if isinstance(node, nodes.For) else _repeat(checker, node, frame)


def _for(checker: Checker, node: nodes.For, frame: Frame) -> program.For:
    source = checker.value(node.source)
    if not isinstance(source.type, ListType) and source.type != ERROR:
        text = source.span.text
        help = f"go through 'keys({text})', or 'values({text})'" if isinstance(source.type, MapType) else None
        checker.report.add("E0401", f"a fan-out needs a list, found {described(source)}", source.span, help)
    element = source.type.element if isinstance(source.type, ListType) else ERROR
    most = limit(checker, node, source)
    inner = checker.inside()
    binding = inner.bind(node.name, "loop", element)
    inside = frame.body("for")
    body, _ = block(inner, node.body, inside)
    kept = inside.given[0].type if inside.given else ERROR if checker.unit.gaps_in(node.body.span) else NONE
    return program.For(ERROR if kept == ERROR else ListType(kept), node.span, binding, source, most, body, node.strict)


def _repeat(checker: Checker, node: nodes.Repeat, frame: Frame) -> program.Repeat:
    rounds = constant_int(checker, node.rounds, "the number of rounds")
    inner, inside = checker.inside(), frame.body("repeat")
    states = []
    for item in node.states:
        initial = checker.value(item.value)
        binding = inner.bind(item.name, "state", _state_type(checker, node, item, initial))
        inside.states[item.name.text] = binding
        states.append(program.State(binding, initial))
    body, _ = block(inner.inside(), node.body, inside)
    if not inside.given:
        help = "write 'accept value when condition'"
        checker.report.add("E0606", "this loop accepts nothing", _head(node, "repeat"), help)
    otherwise = _otherwise(checker, node, frame, inside)
    types: list[Type] = [item.type for item in inside.given]
    if checker.unit.gaps_in(node.body.span):
        types = [ERROR]
    return program.Repeat(ERROR if ERROR in types else join(types), node.span, tuple(states), rounds, body, otherwise)


def _state_type(checker: Checker, node: nodes.Repeat, item: nodes.State, initial: program.Expression) -> Type:
    """What a state may hold: the type of its first value without range; of `[]` and `none`, what `next` gives."""
    if checker.unit.gaps_in(node.body.span):
        return ERROR
    type = widened(initial.type)
    unsettled = isinstance(type, ReplyType) or type in (NONE, ListType(NEVER))
    if unsettled and not checker.scope.on_trial:
        return _joined_with_next(checker, node, item, type)
    return type


def _joined_with_next(checker: Checker, node: nodes.Repeat, item: nodes.State, type: Type) -> Type:
    """Reads the body once, quietly, with the type so far."""
    trial = checker.inside()
    trial.scope.on_trial = True
    frame = Frame("repeat")
    with checker.report.quiet():
        for state in node.states:
            kind = type if state is item else widened(checker.value(state.value).type)
            frame.states[state.name.text] = trial.bind(state.name, "state", kind)
        body, _ = block(trial.inside(), node.body, frame)
    binding = frame.states[item.name.text]
    given = [
        new.type
        for statement in body
        if isinstance(statement, program.Next)
        for to, new in statement.values
        if to == binding
    ]
    return join([type, *(widened(new) for new in given if new != ERROR)])


def _otherwise(checker: Checker, node: nodes.Repeat, frame: Frame, inside: Frame) -> program.Block:
    if node.otherwise is None:
        help = "add 'else { return … }', or 'else { accept … }'"
        checker.report.add(
            "E0606", "this loop does not say what happens when no round is accepted", _head(node, "repeat"), help
        )
        return ()
    return _else(checker, node.otherwise, replace(frame.body("else"), given=inside.given))


def _else(checker: Checker, node: nodes.Block, frame: Frame) -> program.Block:
    """What is done where there is no value: it returns, or accepts another one."""
    found, ended = block(checker, node, frame)
    if not ended:
        help = "it must 'return', or 'accept' a value"
        checker.report.add("E0606", "this 'else' gives no value", node.span, help)
    return found


def _attempt(checker: Checker, node: nodes.Attempt, frame: Frame, expected: Type | None) -> program.Attempt:
    """The value of `else { x }` is what `else { accept x }` accepts."""
    calls = isinstance(node.value, nodes.MayInvoke)
    value = _value(checker, node.value, frame, expected) if calls else side(checker, node.value, expected)
    if value.type != ERROR and not may_fail(value):
        help = "leave it out: it is for calls, and for what a number or a place in a list may not fit"
        checker.report.add("W0804", "this never fails: its 'else' does nothing", node.value.span, help)
    inner = checker.inside()
    binding = inner.bind(node.name, "pattern", STR) if node.name else None
    after = replace(frame.body("else"), wanted=expected or value.type)
    if isinstance(node.otherwise, nodes.Block):
        otherwise = _else(inner, node.otherwise, after)
    else:
        given = side(inner, node.otherwise, after.wanted)
        after.given.append(given)
        otherwise = (program.Accept(given.span, given, None),)
    types = [value.type, *(item.type for item in after.given)]
    kind = ERROR if checker.unit.gaps_in(node.otherwise.span) else common(types, expected)
    return program.Attempt(kind, node.span, value, binding, otherwise)


def _head(node: nodes.Node, word: str) -> Span:
    return Span(node.span.source, node.span.start, node.span.start + len(word))


def _keep(checker: Checker, node: nodes.Keep, frame: Frame, last: bool) -> program.Statement:
    found = _value(checker, node.value, frame, None)
    if frame.inside != "for" or not frame.top:
        misplaced(checker, node.span, "keep", "at the end of a 'for'")
    elif not last:
        checker.report.add("E0604", "'keep' must be the last statement of its 'for'", node.span)
    frame.given.append(found)
    return program.Keep(node.span, found, when(checker, node.condition))


def _accept(checker: Checker, node: nodes.Accept, frame: Frame) -> program.Statement:
    found = _value(checker, node.value, frame, frame.wanted)
    if frame.wanted == THREAD:
        found = fit(checker, found, THREAD)
    if not frame.takes_accept:
        misplaced(checker, node.span, "accept", "directly in a 'repeat', or in the 'else' of a value")
    frame.given.append(found)
    return program.Accept(node.span, found, when(checker, node.condition))


def _next(checker: Checker, node: nodes.Next, frame: Frame, last: bool) -> program.Statement:
    elsewhere = frame.inside != "repeat" or not frame.top
    if elsewhere:
        misplaced(checker, node.span, "next", "at the end of a 'repeat'")
    elif not last:
        checker.report.add("E0604", "'next' must be the last statement of its 'repeat'", node.span)
    values = []
    for item in node.states:
        binding = frame.states.get(item.name.text)
        found = checker.value(item.value, binding.type if binding else None)
        if binding is not None and checker.scope.on_trial:
            values.append((binding, found))
        elif binding is not None:
            note = Note("its first value stands here", binding.span)
            values.append((binding, fit(checker, found, binding.type, f"'{item.name.text}'", note)))
        elif not elsewhere:
            help = did_you_mean(item.name.text, frame.states)
            checker.report.add("E0608", f"'{item.name.text}' is no state of the loop", item.name.span, help)
    return program.Next(node.span, tuple(values))
