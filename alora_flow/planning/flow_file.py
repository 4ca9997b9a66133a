"""Where flow files lie: at a path, or among those that come with alora-flow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path

from alora_flow.errors import BadInput


def find_flow_file(text: str | Path) -> tuple[Path, bool]:
    """The file at a path, else the bundled flow of that name, with or without `.flow`; and whether it is that.

    Raises BadInput with the nearest name where there is none.
    """
    path = Path(text)
    if path.is_dir():
        raise BadInput(f"{text} is a folder, not a flow file", _choice(path.glob("*.flow")))
    if path.exists():
        return path, False
    bundled = bundled_flows() if path.name == str(text) else {}
    name = path.name.removesuffix(".flow")
    if name in bundled:
        return bundled[name], True
    raise _not_found(path, bundled)


def bundled_flows() -> dict[str, Path]:
    """The flows that come with alora-flow, by name without `.flow`."""
    folder = Path(str(files("alora_flow.flows").joinpath("")))
    return {path.stem: path for path in sorted(folder.glob("*.flow"))}


def _choice(paths: Iterable[Path]) -> str | None:
    names = ", ".join(sorted(path.name for path in paths))
    return f"flow files in it: {names}" if names else None


def _not_found(path: Path, bundled: Mapping[str, Path]) -> BadInput:
    beside = [str(other) for other in path.parent.glob("*.flow")] if path.parent.is_dir() else []
    known = {name.removesuffix(".flow"): name for name in [*beside, *(found.name for found in bundled.values())]}
    near = [known[name] for name in get_close_matches(str(path).removesuffix(".flow"), known, n=1)]
    listed = f"bundled flows: {', '.join(found.name for found in bundled.values())}" if bundled else None
    return BadInput(f"there is no file {path}", f"did you mean '{near[0]}'?" if near else listed)
