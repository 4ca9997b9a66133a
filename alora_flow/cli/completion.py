"""What a shell is told where a word of a command is begun."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path
from typing import TypeAlias

import click
from click.shell_completion import CompletionItem

from alora_flow.cli.files import find_flow_file
from alora_flow.errors import BadInput
from alora_flow.language.checking.check import check_file
from alora_flow.language.meaning.program import FlowDecl
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
    return _items([flow.name for flow in _flows(context)], begun)


def complete_input(context: click.Context, option: click.Parameter, begun: str) -> list[CompletionItem]:
    """`NAME=` of each input of the flow that stands before it, else of the file's main one; those that are given are
    left out. None where the shell is at the value."""
    flows = {flow.name: flow for flow in _flows(context)}
    words = _arguments(context)
    wanted = words.get("flow") or words.get("name") or Path(words.get("file", "")).stem
    chosen = next(iter(flows.values())) if len(flows) == 1 else flows.get(wanted)
    given = {text.partition("=")[0] for text in context.params.get("inputs") or ()}
    names = [item.name for item in chosen.parameters if item.name not in given] if chosen else []
    return _items([f"{name}=" for name in names], begun)


def _arguments(context: click.Context) -> dict[str, str]:
    """Those that are there, by name. Where an option lacks its value, click has split the words but named none."""
    names = [item.name or "" for item in context.command.params if isinstance(item, click.Argument)]
    known = {name: context.params[name] for name in names if context.params.get(name)}
    return known or dict(zip(names, context.args, strict=False))


def _flows(context: click.Context) -> list[FlowDecl]:
    try:
        program, _ = check_file(find_flow_file(_arguments(context).get("file", ""), tell=False))
    except BadInput:
        return []
    return [flow for flow in program.flows.values() if not flow.imported] if program else []


def _items(words: Iterable[str], begun: str) -> list[CompletionItem]:
    return [CompletionItem(word) for word in words if word.startswith(begun)]
