"""What an intrinsics library holds: every adapter in its folders, for every base."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from alora_flow.errors import BadInput
from alora_flow.frozen import dataclass
from alora_flow.intrinsics.library import TECHNOLOGIES
from alora_runtime.adapters.config import CONFIG


@dataclass(frozen=True)
class Offer:
    """One adapter of a library. `base` as its folder names it; `technology`: alora or lora."""

    name: str
    base: str
    technology: str
    folder: Path


def offers_of(library: Path, base: str | None = None) -> list[Offer]:
    """All of a folder, or those for one base, by name. Raises BadInput where the folder is not there, or holds none."""
    if not library.is_dir():
        raise BadInput(f"{library} is not a folder")
    found = sorted(_found(library), key=lambda offer: (offer.name, offer.base, TECHNOLOGIES.index(offer.technology)))
    if not found:
        raise BadInput(
            f"{library} holds no intrinsics",
            f"a library holds <intrinsic>/<base>/<lora|alora>/{CONFIG}, or <intrinsic>/<lora|alora>/<base>/{CONFIG}",
        )
    return [offer for offer in found if base in (None, offer.base)]


def _found(library: Path) -> Iterator[Offer]:
    for config in library.glob(f"*/*/*/{CONFIG}"):
        name, outer, inner = config.parent.relative_to(library).parts
        if inner in TECHNOLOGIES:
            yield Offer(name, outer, inner, config.parent)
        elif outer in TECHNOLOGIES:
            yield Offer(name, inner, outer, config.parent)
