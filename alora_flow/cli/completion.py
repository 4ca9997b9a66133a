"""What a shell is told where a word of a command is begun."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import import_module
from typing import TypeAlias

import click
from click.shell_completion import CompletionItem

from alora_flow.cli.files import find_flow_file
from alora_flow.errors import BadInput
from alora_flow.language.checking.check import check_file
from alora_flow.planning.flow_file import bundled_flows

Completion: TypeAlias = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def among(words: Iterable[str]) -> Completion:
    """One of some words that are known beforehand."""
    known = tuple(words)
    return lambda context, option, begun: _items(known, begun)


def complete_path(context: click.Context, option: click.Parameter, begun: str) -> list[CompletionItem]:
    """The shell's own files."""
    return [CompletionItem(begun, type="file")]


def complete_file(context: click.Context, option: click.Parameter, begun: str) -> list[CompletionItem]:
    """The shell's own files, and bundled flows."""
    return [CompletionItem(begun, type="file"), *_items([f"{name}.flow" for name in bundled_flows()], begun)]


def complete_model(context: click.Context, option: click.Parameter, begun: str) -> list[CompletionItem]:
    """The shell's own files, and the models at hand."""
    models = import_module("alora_flow.intrinsics.at_hand").at_hand()  # imports what reads them: no other word needs it
    return [CompletionItem(begun, type="file"), *_items([each.name for each in models], begun)]


def complete_flow(context: click.Context, option: click.Parameter, begun: str) -> list[CompletionItem]:
    """The flows of the file that stands before it; none while that is wrong."""
    try:
        program, _ = check_file(find_flow_file(context.params["file"], tell=False))
    except BadInput:
        return []
    flows = program.flows.values() if program else ()
    return _items([flow.name for flow in flows if not flow.imported], begun)


def _items(words: Iterable[str], begun: str) -> list[CompletionItem]:
    return [CompletionItem(word) for word in words if word.startswith(begun)]
