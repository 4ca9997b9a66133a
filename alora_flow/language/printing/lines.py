"""Lines of output, with the comments and blank lines of the source put back where they belong."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from alora_flow.language.report.source import Source, Span
from alora_flow.language.syntax.scan import Comment

# from the end of a head, of the last parameter, to the bracket behind it, past comments
TO_BRACKET = re.compile(r"(?:#[^\r\n]*|[^#{])*\{")
TO_PARENTHESIS = re.compile(r"(?:#[^\r\n]*|[^#)])*\)")
INDENT = "  "
WIDTH = 120


class Lines:
    """Collects lines. Without a source there are no comments to keep, and no blank lines but those asked for."""

    def __init__(self, source: Source | None, comments: Iterable[Comment]) -> None:
        self.source = source
        self.comments = deque(comments)
        self.lines: list[str] = []
        self.behind: dict[int, str] = {}
        self.indent = ""
        self._end: int | None = None
        self._fresh = True

    @contextmanager
    def nested(self) -> Iterator[None]:
        outer = self.indent
        self.indent += INDENT
        self._fresh = True
        yield
        self.indent = outer

    @contextmanager
    def block(self, head_end: int) -> Iterator[None]:
        """Inside the first `{` after this offset, which is printed. A comment behind it on its line stays there; those
        that stand before it, in the middle of the head, become the first lines inside."""
        early: list[Comment] = []
        if self.source is not None:
            bracket = TO_BRACKET.match(self.source.text, head_end)
            assert bracket is not None
            early = list(self._before(bracket.end()))
            self.end(self.source.span(bracket.end() - 1, bracket.end()))
        with self.nested():
            for comment in early:
                self.add(_demoted(comment).text)
            yield

    def add(self, text: str) -> None:
        """One line, or several of a block string, which bring their own indent."""
        self.lines.append(f"{self.indent}{text}" if text else "")
        self._fresh = False

    def begin(self, span: Span, apart: bool = False) -> None:
        """Before something that stands at `span`: the comments up to it, a blank line where the source has one."""
        for comment in self._before(span.start):
            self._gap(comment.span, apart)
            apart = False
            self.add(comment.text)
            self._end = comment.span.end
        self._gap(span, apart)

    def inside(self, span: Span) -> bool:
        """Is a comment waiting that stands in this span?"""
        return bool(self.comments) and self.comments[0].span.start < span.end

    def parenthesis(self, span: Span) -> Span:
        """The `)` after what stands at `span`."""
        match = TO_PARENTHESIS.match(self.source.text, span.end) if self.source else None
        return Span(span.source, match.end() - 1, match.end()) if match else span

    def hoist(self, until: int) -> None:
        """Comments in the middle of the statement that is printed next go before it."""
        for comment in self._before(until):
            self.add(_demoted(comment).text)

    def end(self, span: Span) -> None:
        """After what stands at `span`: a comment on the same line stays on it; those from its middle come next."""
        self._end = span.end
        if self.source is None:
            return
        early = list(self._before(span.end))
        if self.comments:
            comment = self.comments[0]
            between = self.source.text[span.end : comment.span.start]
            if not between.strip(" \t,"):
                self.comments.popleft()
                place = len(self.lines) - 1
                before = self.behind.get(place)
                self.behind[place] = f"{before}  {comment.text}" if before else comment.text
                self._end = comment.span.end
        self.comments.extendleft(reversed([_demoted(comment) for comment in early]))

    def close(self, span: Span) -> None:
        """At the end of a block: the comments that are left in it."""
        for comment in self._before(span.end):
            self._gap(comment.span, False)
            self.add(comment.text)
            self._end = comment.span.end

    def text(self) -> str:
        """Comments behind neighbouring lines stand under each other, where there is room."""
        lines = list(self.lines)
        for run in self._runs():
            column = max(_width(lines[place]) for place in run) + 2
            aligned = all(column + len(self.behind[place]) <= WIDTH for place in run)
            for place in run:
                gap = column - _width(lines[place]) if aligned else 2
                lines[place] += " " * gap + self.behind[place]
        return "\n".join(lines) + "\n" if lines else ""

    def _runs(self) -> list[list[int]]:
        """Numbers of neighbouring lines that have a comment behind them."""
        runs: list[list[int]] = []
        for place in sorted(self.behind):
            if runs and runs[-1][-1] == place - 1:
                runs[-1].append(place)
            else:
                runs.append([place])
        return runs

    def _before(self, offset: int) -> Iterator[Comment]:
        while self.comments and self.comments[0].span.start < offset:
            yield self.comments.popleft()

    def _gap(self, span: Span, apart: bool) -> None:
        if self._fresh:
            self._fresh = False
            return
        between = self.source.text[self._end : span.start] if self.source and self._end is not None else ""
        if apart or between.replace("\r\n", "\n").count("\n") > 1:
            self.lines.append("")


def _width(line: str) -> int:
    """Of what stands on the last line: a text in three quotes is one entry of several lines."""
    return len(line.rpartition("\n")[2])


def _demoted(comment: Comment) -> Comment:
    """A comment away from its place: it documents nothing, and must not begin to."""
    return replace(comment, text=f"#{comment.text.lstrip('#')}")
