"""`mini` on the command line."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from alora_flow.cli.mini import command
from alora_flow.errors import BadInput
from alora_flow.mini import WEIGHTS
from alora_flow.mini.recipe import recipe
from alora_flow.mini.recipe.base import BasePlan
from alora_flow.mini.recipe.folders import shape_of
from alora_flow.mini.recipe.network import Shape
from alora_flow.mini.recipe.shipping import manifest, recipe_of, ship


def test_card_prints_the_shipped_card() -> None:
    result = CliRunner().invoke(command, ["card"])
    assert result.exit_code == 0, result.output
    assert result.output == (WEIGHTS / "CARD.md").read_text(encoding="utf-8") + "\n"


def test_train_needs_a_folder() -> None:
    result = CliRunner().invoke(command, ["train"])
    assert result.exit_code == 2
    assert "--out" in result.output


def test_train_hands_its_options_to_the_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The recipe itself takes most of an hour; here stands in for it what writes down what it was given."""
    given: list[object] = []

    def run(*parts: object) -> dict[str, object]:
        given.extend(parts)
        return json.loads((WEIGHTS / "results.json").read_text(encoding="utf-8"))

    monkeypatch.setattr(recipe, "run", run)
    options = ["--seed", "3", "--tokens", "500", "--threads", "1"]
    result = CliRunner().invoke(command, ["train", "--out", str(tmp_path), *options], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert given == [tmp_path, BasePlan(seed=3, tokens=500, threads=1)]


def seed_folder(folder: Path, seed: int, small: float) -> Path:
    """A folder as the recipe leaves it: the shipped weights under another seed and with another figure."""
    shutil.copytree(WEIGHTS, folder)
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    results["base"]["small"]["rate"] = small
    results["seed"], results["command"] = seed, f"train --seed {seed} --tokens 5"
    (folder / "results.json").write_text(json.dumps(results), encoding="utf-8")
    (folder / "base" / "seed").write_text(str(seed), encoding="utf-8")
    return folder


def test_ship_takes_the_best_seed_and_lists_all(tmp_path: Path) -> None:
    folders = [seed_folder(tmp_path / str(seed), seed, small) for seed, small in ((2, 0.9), (0, 0.97), (1, 0.5))]
    result = CliRunner().invoke(command, ["ship", *map(str, folders), "--out", str(tmp_path / "best")])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "best" / "base" / "seed").read_text(encoding="utf-8") == "0"
    lines = [line for line in result.output.splitlines() if line.startswith(("| 0 |", "| 1 |", "| 2 |"))]
    assert [line.split(" | ")[:2] for line in lines] == [["| 0", "97.0 %"], ["| 1", "50.0 %"], ["| 2", "90.0 %"]]
    assert manifest(tmp_path / "best") == json.loads((tmp_path / "best" / "manifest.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("command", "other", "same"),
    [
        ("train --seed 1 --tokens 5 --threads 2", "train --seed 2 --tokens 5 --threads 1", True),
        ("train --seed 1 --tokens 5 --threads 2", "train --seed 1 --tokens 6 --threads 2", False),
        ("train --seed 1 --minutes 5 --threads 2", "train --seed 1 --minutes 5 --threads 1", False),
    ],
)
def test_threads_are_no_part_of_a_recipe_of_so_many_tokens(command: str, other: str, same: bool) -> None:
    assert (recipe_of(command) == recipe_of(other)) == same


@pytest.mark.parametrize("seeds", [(3, 3), (3, None)])
def test_ship_refuses_what_are_no_seeds_of_one_recipe(tmp_path: Path, seeds: tuple[int, int | None]) -> None:
    first = seed_folder(tmp_path / "a", 3, 0.9)
    second = WEIGHTS if seeds[1] is None else seed_folder(tmp_path / "b", 3, 0.9)
    with pytest.raises(BadInput, match="not seeds of one recipe"):
        ship([first, second], tmp_path / "best")


def test_ship_says_where_the_recipe_did_not_finish(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"no results\.json"):
        ship([tmp_path], tmp_path / "best")


def test_a_config_gives_back_its_shape() -> None:
    shape = Shape(1344, heads=4, theta=20000.0)
    assert shape_of(shape.config()) == shape
