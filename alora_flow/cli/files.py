"""Which flow files a command is given: paths, folders, `-`, names of bundled flows; and the completion of these."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from alora_flow.errors import BadInput
from alora_flow.language.checking.check import check_file, read
from alora_flow.language.report.diagnostics import Diagnostic
from alora_flow.language.report.source import Source

STDIN = Path("-")

Command = TypeVar("Command", bound=Callable[..., Any])


def flow_arguments(command: Command) -> Command:
    """`FILE [FLOW]`, as `file` and `flow`."""
    flow = click.argument("flow", required=False, shell_complete=_complete_flow)
    return click.argument("file", shell_complete=complete_file)(flow(command))


def complete_file(context: click.Context, option: click.Parameter, begun: str) -> list[CompletionItem]:
    """The shell's own files, and bundled flows."""
    bundled = [CompletionItem(f"{name}.flow") for name in _bundled() if name.startswith(begun)]
    return [CompletionItem(begun, type="file"), *bundled]


def _complete_flow(context: click.Context, option: click.Parameter, begun: str) -> list[CompletionItem]:
    """The flows of the file that stands before it; none while that is wrong."""
    try:
        program, _ = check_file(find_flow_file(context.params["file"], tell=False))
    except BadInput:
        return []
    flows = program.flows.values() if program else ()
    return [CompletionItem(flow.name) for flow in flows if not flow.imported and flow.name.startswith(begun)]


def flow_files(paths: Sequence[Path]) -> list[Path]:
    """Each file once, in order; for a folder all `*.flow` below it, sorted, but for those in hidden folders.

    Raises BadInput for a folder that has none.
    """
    return list(dict.fromkeys(file for path in paths for file in _below(path)))


def _below(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    found = [file for file in sorted(path.rglob("*.flow")) if not _hidden(file.relative_to(path))]
    if not found:
        raise BadInput(f"there are no flow files in {path}", "flow files end in .flow")
    yield from found


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def read_source(path: Path) -> tuple[Source, Diagnostic | None]:
    """A file's text, or that of standard input; an unreadable one gives a diagnostic."""
    if path != STDIN:
        return read(path)
    source, problem = read(Path("/dev/stdin"), "<stdin>")
    return Source("<stdin>", source.text), problem


def find_flow_file(text: str, tell: bool = True) -> Path:
    """The flow file: a path, `-` for standard input, else the name of a bundled flow (which `tell` says on stderr),
    with or without `.flow`.

    Raises BadInput with the nearest name where there is none.
    """
    path = Path("/dev/stdin") if text == "-" else Path(text)
    if path.is_file() or text == "-":
        return path
    if path.is_dir():
        raise BadInput(f"{text} is a folder, not a flow file", _choice(path.glob("*.flow")))
    bundled = _bundled() if path.name == text else {}
    if text.removesuffix(".flow") in bundled:
        found = bundled[text.removesuffix(".flow")]
        if tell:
            click.echo(f"bundled flow: {found}", err=True)
        return found
    raise _not_found(path, bundled)


def _bundled() -> dict[str, Path]:
    """The flows that come with alora-flow, by name without `.flow`."""
    folder = Path(str(files("alora_flow.flows").joinpath("")))
    return {path.stem: path for path in sorted(folder.glob("*.flow"))}


def _choice(paths: Iterable[Path]) -> str | None:
    names = ", ".join(sorted(path.name for path in paths))
    return f"flow files in it: {names}" if names else None


def _not_found(path: Path, bundled: dict[str, Path]) -> BadInput:
    beside = {str(other): other for other in path.parent.glob("*.flow")} if path.parent.is_dir() else {}
    known = [*beside, *(found.name for found in bundled.values())]
    near = get_close_matches(str(path), known, n=1) or get_close_matches(f"{path}.flow", known, n=1)
    listed = f"bundled flows: {', '.join(found.name for found in bundled.values())}" if bundled else None
    return BadInput(f"there is no file {path}", f"did you mean '{near[0]}'?" if near else listed)
