"""Text → syntax tree, or every syntax error of the text."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from hashlib import sha256
from importlib import resources
from pathlib import Path
from typing import cast

from lark import Lark
from lark import __version__ as lark_version
from lark.exceptions import UnexpectedInput

from alora_flow.frozen import dataclass
from alora_flow.language.report.diagnostics import Diagnostic, in_order
from alora_flow.language.report.source import Source, Span
from alora_flow.language.syntax import nodes
from alora_flow.language.syntax.builder import TreeBuilder
from alora_flow.language.syntax.depth import too_deep
from alora_flow.language.syntax.problems import Problem, explain
from alora_flow.language.syntax.recovery import Cut, cuts
from alora_flow.language.syntax.scan import Comment, comments, docs_by_line, file_doc
from alora_flow.language.syntax.strings import HoleText

MOST_ERRORS = 50
NEXT_LINE = re.compile(r"\n\s*\S")
WORD = re.compile(r"[^\W\d]\w*")

_builder = TreeBuilder()


@dataclass(frozen=True)
class Gap:
    """A place of the text where a faulty statement was left out; `torn` where blocks around it are a guess.

    `doubtful` begins with the statement before, where that may have been meant to go on.
    `nameless` where a name is missing that would have been bound or declared. `is_bracket` where the statement stays.
    """

    span: Span
    doubtful: Span
    torn: bool
    nameless: bool
    is_bracket: bool


def words(span: Span) -> frozenset[str]:
    """The names that a piece of text may bind or declare."""
    return frozenset(WORD.findall(span.text))


@dataclass(frozen=True)
class Parsed:
    """`file` is None when `diagnostics` is not empty; `sound` is then what remains of it, where anything does."""

    file: nodes.File | None
    comments: tuple[Comment, ...]
    diagnostics: tuple[Diagnostic, ...]
    sound: nodes.File | None = None
    gaps: tuple[Gap, ...] = ()


def parse(source: Source) -> Parsed:
    """Reads a file; after an error the faulty place is blanked and the rest is read again."""
    found = comments(source)
    docs = docs_by_line(found)
    wrong: list[Diagnostic] = []
    made: list[Cut] = []
    attempt, text = _attempt(source, source.text, docs), source.text
    for _ in range(MOST_ERRORS):
        wrong += attempt.wrong
        if attempt.problem is None:
            break
        if not _swallowed(attempt.problem, wrong):
            wrong.append(attempt.problem.diagnostic)
        for cut in cuts(text, attempt.problem):
            rest = cut.rest(cut.of(text))
            following = _attempt(source, rest, docs)
            if not cut.is_bracket or following.is_beyond(NEXT_LINE.search(text, attempt.problem.faulty)):
                break
        else:
            break
        made.append(cut)
        attempt, text = following, rest
    file = attempt.file and replace(attempt.file, doc=file_doc(source, found))
    sound = _without(source, made) if file and made else file
    if sound and (deep := too_deep(sound)):
        wrong, sound = wrong or deep, None
    gaps = tuple(_gap(source, cut) for cut in made)
    return Parsed(None if wrong else file, found, in_order(wrong), sound, gaps)


def _gap(source: Source, cut: Cut) -> Gap:
    start = cut.start if cut.doubtful is None else cut.doubtful
    return Gap(source.span(cut.start, cut.end), source.span(start, cut.end), cut.torn, cut.nameless, cut.is_bracket)


def _without(source: Source, cuts: list[Cut]) -> nodes.File | None:
    """The whole file again, without what is wrong."""
    text = source.text
    for cut in cuts:
        text = cut.of(text)
    return _attempt(source, text, {}).file


def _swallowed(problem: Problem, wrong: list[Diagnostic]) -> bool:
    """A string that is not closed may have taken the bracket along that is missed now."""
    return bool(problem.closers) and any(item.code == "E0102" for item in wrong)


def parse_file(source: Source) -> nodes.File:
    """For text that is known to be right; asserts it."""
    parsed = parse(source)
    assert parsed.file is not None, parsed.diagnostics
    return parsed.file


@dataclass(frozen=True)
class _Attempt:
    file: nodes.File | None
    wrong: list[Diagnostic]
    problem: Problem | None = None

    def is_beyond(self, line: re.Match[str] | None) -> bool:
        """Is what stands before the line right, and may its first word stand there?"""
        return self.problem is None or (line is not None and self.problem.faulty >= line.end())


def _attempt(source: Source, text: str, docs: dict[int, str]) -> _Attempt:
    wrong = _builder.begin(source, 0, docs, lambda hole: _parse_hole(source, hole, docs))
    try:
        file = lark().parse(text, start="start")
    except UnexpectedInput as error:
        problem = explain(error, source, text)
        return _Attempt(None, wrong, problem)
    assert isinstance(file, nodes.File)
    return _Attempt(file, wrong)


def _parse_hole(source: Source, hole: HoleText, docs: dict[int, str]) -> nodes.Expression | None:
    """Reads a hole in the middle of the parse of its file; the builder then goes on where it was."""
    outer = vars(_builder).copy()
    wrong = _builder.begin(source, hole.span.start, docs, lambda inner: None)
    expression = None
    try:
        expression = lark().parse(hole.text, start="expression")
    except UnexpectedInput as error:
        problem = explain(error, source, hole.text, hole.span.start).diagnostic
        help = problem.help or _help_with_hole(hole.text)
        wrong.append(replace(problem, code="E0106", message=f"in this hole: {problem.message}", help=help))
    vars(_builder).update(outer)
    _builder.wrong += wrong
    return cast("nodes.Expression | None", expression)


def _help_with_hole(text: str) -> str | None:
    if re.match(r"""\s*(\\?["'][^"']*["']\s*:|\Z)""", text) or re.search(r"""["']\s*:""", text):
        return "braces that are text are written '\\{' and '\\}'"
    if "\\" in text:
        return "braces that are text are written '\\{' and '\\}'; a string in a hole has no escapes: bind it with 'let'"
    return None


def tokens_of(source: Source) -> Iterator[tuple[int, int, str, str]]:
    """Line, column, terminal and text of every token of a text that is right."""
    _builder.begin(source, 0, {}, lambda hole: None)
    reader = lark().parse_interactive(source.text, start="start")
    for token in reader.lexer_thread.lex(reader.parser_state):  # type: ignore[no-untyped-call]
        yield token.line, token.column, token.type, str(token)
        reader.feed_token(token)


@cache
def lark() -> Lark:
    """The parser. Its tables are kept in the user's cache folder; without one they are made anew in each process."""
    return made(resources.files("alora_flow.grammar").joinpath("flow.lark").read_text(encoding="utf-8"))


def made(grammar: str) -> Lark:
    """The parser of a grammar, from the cache where it is there and whole."""
    return Lark(
        grammar,
        parser="lalr",
        lexer="contextual",
        start=["start", "expression"],
        keep_all_tokens=True,
        maybe_placeholders=True,
        transformer=_builder,
        cache=_cache_file(grammar) or False,
    )


def _cache_file(grammar: str) -> str | None:
    digest = sha256(f"{grammar}{lark_version}{sys.version_info[:2]}".encode()).hexdigest()[:16]
    try:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "alora-flow"
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # a home that cannot be written, or none at all
        return None
    return str(folder / f"grammar-{digest}") if os.access(folder, os.W_OK) else None
