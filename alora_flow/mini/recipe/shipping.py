"""What is shipped: the best of several seeds, with the figures of all of them on its card, and a manifest."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from alora_flow.errors import BadInput
from alora_flow.mini import INTRINSICS
from alora_flow.mini.recipe import card
from alora_flow.mini.recipe.folders import adapter_folder, write_json

Results = dict[str, Any]


def read_results(folder: Path) -> Results:
    """The figures of a folder that the recipe wrote. Raises BadInput where there are none."""
    try:
        results: Results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BadInput(f"{folder} has no results.json: the recipe did not finish there") from error
    return results


def summary(results: Results) -> Results:
    """One seed's line: its main rates, and each intrinsic's error or, for certainty, Brier score."""
    base, intrinsics = results["base"], results["intrinsics"]
    rates = {name: base[name]["rate"] for name in ("small", "large", "admits")}
    errors = {name: figures.get("rate", figures.get("brier")) for name, figures in intrinsics.items()}
    return {"seed": results["seed"], **rates, **errors}


def recipe_of(command: str) -> str:
    """What seeds of one recipe have in common. Threads only count where the budget is time."""
    return re.sub(r"--seed \d+", "", re.sub(r"(--tokens \d+) --threads \d+", r"\1", command))


def merit(results: Results) -> tuple[int, float]:
    """How many intrinsics work, and how well the base answers."""
    base = results["base"]
    return sum(one["works"] for one in results["intrinsics"].values()), base["small"]["rate"] + base["large"]["rate"]


def ship(folders: Sequence[Path], out: Path) -> Results:
    """Write the folder with the most working intrinsics, and of those the one whose base answers best, to `out`.

    Its card lists all. Returns the results written.

    Raises BadInput unless the folders are of one recipe and differ in their seed alone.
    """
    every = [read_results(folder) for folder in folders]
    recipes = {recipe_of(results["command"]) for results in every}
    seeds = [results["seed"] for results in every]
    if len(recipes) > 1 or len(set(seeds)) < len(seeds):
        raise BadInput(f"these are not seeds of one recipe: {', '.join(results['command'] for results in every)}")
    best = max(range(len(every)), key=lambda i: merit(every[i]))
    results = {**every[best], "seeds": sorted(map(summary, every), key=lambda line: line["seed"])}
    for part in ("base", "intrinsics"):
        shutil.rmtree(out / part, ignore_errors=True)
        shutil.copytree(folders[best] / part, out / part)
    write(results, out)
    return results


def write(results: Results, out: Path) -> None:
    """Write what goes with trained weights: figures, card and manifest."""
    write_json(out / "results.json", results)
    (out / "CARD.md").write_text(card.render(results), encoding="utf-8")
    write_json(out / "manifest.json", manifest(out))


def shipped_files(folder: Path) -> list[Path]:
    """The files that the manifest covers, in a fixed order."""
    own = [folder / "results.json", folder / "CARD.md", *(folder / "base").rglob("*")]
    own += [p for name in INTRINSICS for p in adapter_folder(folder, name).rglob("*")]
    return sorted(p for p in own if p.is_file())


def manifest(folder: Path) -> dict[str, dict[str, object]]:
    """Size and SHA-256 of each shipped file."""
    return {
        p.relative_to(folder).as_posix(): {
            "bytes": p.stat().st_size,
            "sha256": hashlib.sha256(p.read_bytes()).hexdigest(),
        }
        for p in shipped_files(folder)
    }
