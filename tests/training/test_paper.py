"""The paper's tables, small, on the bundled model: trained once, measured, and written as they were measured."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sys
from contextlib import suppress
from os import SEEK_END
from pathlib import Path
from subprocess import PIPE, Popen
from time import sleep

import numpy as np
import pytest
from click.testing import CliRunner

from alora_flow.cli import paper
from alora_flow.errors import BadInput
from alora_flow.mini import WEIGHTS
from alora_flow.training.paper.design import INTRINSICS, Comparison, tables, variant
from alora_flow.training.paper.figures import Answers, Machine, lines
from alora_flow.training.paper.study import SPEC, Study, read_study_spec
from alora_flow.training.spec import read_spec
from tests.command import hearing_interrupts
from tests.training.rows import rows, write

HERE = Machine("2.13.0", 1)

SMALL = """
base = "mini"

[all]
answers = { Y = 1.0, N = 0.0 }
train = "train.jsonl"
validation = "validation.jsonl"
test = "test.jsonl"
batch = 16
rate = 5e-3
warmup = 2
rows = 80
epochs = 8

[intrinsic.safety]
invocation = "<|safety|>"

[intrinsic.hallucination]
invocation = "<|hallucination|>"

[intrinsic.uncertainty]
invocation = "<|uncertainty|>"
answers = { 0 = 0.05, 1 = 0.15, 2 = 0.25 }
train = "digits/train.jsonl"
validation = "digits/validation.jsonl"
test = "digits/test.jsonl"
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a specification and its rows."""
    made = tmp_path_factory.mktemp("paper")
    for seed, (split, count) in enumerate({"train": 96, "validation": 32, "test": 40}.items()):
        some = rows(count, seed)
        write(made / "data" / f"{split}.jsonl", some)
        digits = ({**row, "completion": "2" if row["completion"] == "Y" else "0"} for row in some)
        write(made / "data" / "digits" / f"{split}.jsonl", digits)
    (made / "spec.toml").write_text(SMALL)
    return made


def run(folder: Path, *options: str) -> dict[str, list[dict[str, object]]]:
    places = ["--data", folder / "data", "--spec", folder / "spec.toml", "--work", folder / "work"]
    arguments = [*places, "--out", folder / "results.md", "--json", "-q", *options]
    result = CliRunner().invoke(paper.command, [str(one) for one in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    made: dict[str, list[dict[str, object]]] = json.loads(result.stdout)
    return made


def test_tables_say_what_was_measured_and_nothing_is_trained_twice(folder: Path) -> None:
    options = ("--only", "figure3", "--only", "figure4", "--seeds", "1", "--tests", "24")
    made = run(folder, *options)
    assert [line["variant"] for line in made["figure3"]] == ["LoRA, rank 8", "aLoRA, rank 32"] * 3
    assert [line["measure"] for line in made["figure3"]] == ["error"] * 4 + ["distance"] * 2
    assert [line["intrinsic"] for line in made["figure4"]] == ["safety"] * 2 + ["uncertainty"] * 2
    activated = made["figure3"][1]
    assert activated["figure"]["value"] < 0.2  # type: ignore[index]
    assert activated == {**made["figure4"][0], "variant": activated["variant"], "difference": activated["difference"]}
    adapters = {path: path.stat().st_mtime_ns for path in (folder / "work").rglob("adapter_model.safetensors")}
    # Two kinds of three intrinsics, and two with answers of several tokens.
    assert len(adapters) == 2 * 3 + 2
    text = (folder / "results.md").read_text(encoding="utf-8")
    assert all(part in text for part in ("## Figure 3", "## Figure 4", "1 seed,"))
    assert f"{100 * activated['figure']['value']:.1f} % (" in text  # type: ignore[index]
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in rows} == {8, 7}  # cells hold no bare bar
    assert run(folder, *options) == made
    assert {path: path.stat().st_mtime_ns for path in adapters} == adapters


def test_processes_side_by_side_learn_what_one_learns(folder: Path) -> None:
    options = ("--only", "figure4", "--intrinsic", "safety", "--seeds", "2", "--tests", "12", "--epochs", "2")
    one = run(folder, *options)
    for made in ("adapters", "answers"):
        shutil.rmtree(folder / "work" / made)
    two = run(folder, *options, "--jobs", "2")
    assert [line["seeds"] for line in two["figure4"]] == [line["seeds"] for line in one["figure4"]]
    assert "by 1 thread with torch" in (folder / "results.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("kill", [False, True])
def test_processes_end_when_one_is_killed_or_all_are_interrupted(folder: Path, tmp_path: Path, kill: bool) -> None:
    places = ["--data", folder / "data", "--spec", folder / "spec.toml", "--work", tmp_path / "work"]
    options = ["--out", tmp_path / "results.md", "--only", "figure4", "--epochs", "10000", "--jobs", "2", "-q"]
    command = [sys.executable, "-m", "alora_flow.cli.main", "paper", *map(str, places), *map(str, options)]
    with Popen(hearing_interrupts(command), stderr=PIPE, text=True, start_new_session=True) as process:
        while len(list(tmp_path.rglob("state.pt"))) < 2:
            assert process.poll() is None
            sleep(0.1)
        if kill:
            child = next(one for one in children(process.pid) if "spawn_main" in one.read_text().replace("\0", " "))
            os.kill(int(child.parent.name), signal.SIGKILL)
        else:
            os.killpg(process.pid, signal.SIGINT)
        said = process.communicate(timeout=60)[1]
        for _ in range(300):
            if not (left := children(process.pid)):
                break
            sleep(0.1)
    assert process.returncode == (3 if kill else 130)
    assert ("a process that trained was killed" if kill else "interrupted") in said
    assert "Traceback" not in said
    assert not left


def children(pid: int) -> list[Path]:
    """The command lines of the processes of its session."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it ended meanwhile
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[3]) == pid and fields[0] != "Z":
                found.append(stat.parent / "cmdline")
    return found


def test_other_rows_and_other_bases_are_other_trainings(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "data", tmp_path / "data")
    shutil.copytree(WEIGHTS / "base", tmp_path / "copy")
    shutil.copytree(WEIGHTS / "base", tmp_path / "another")
    with next((tmp_path / "another").glob("*.safetensors")).open("r+b") as weights:
        weights.seek(-1, SEEK_END)
        weights.write(b"?")

    def name(base: str = "mini", tests: int = 24) -> str:
        spec = read_study_spec(tmp_path / "data", base, folder / "spec.toml", None, None)
        study = Study(spec, tmp_path / "work", tests, lambda name, **facts: None)
        return study._name("safety", study._specification(variant("safety", "one"), 0))

    first = name()
    assert name(str(tmp_path / "copy")) == first
    others = [name(str(tmp_path / "another")), name(tests=12)]
    write(tmp_path / "data" / "train.jsonl", rows(96, 7))
    others.append(name())
    assert len({first, *others}) == 4


def test_every_table_compares_arms_that_differ() -> None:
    specs = read_spec(SPEC).intrinsic
    every = tables(specs)
    assert [each.name for each in every] == list(paper.TABLES)
    assert paper.INTRINSICS == INTRINSICS
    assert {one.intrinsic for each in every for one in each.only(["safety"]).comparisons} == {"safety"}
    for table in every:
        for each in table.comparisons:
            assert len({(one.changed, one.words) for one in each.variants}) == len(each.variants) > 1
            assert {one.intrinsic for one in each.variants} == {each.intrinsic} <= set(INTRINSICS)


def test_figures_are_means_over_seeds_and_differences_are_paired() -> None:
    first, second = variant("safety", "first"), variant("safety", "second", rank=4)
    right = np.array([0, 1] * 10)
    wrong = np.where(np.arange(20) < 5, 1 - right, right)
    answers = {
        (first, 0): Answers(right, right, False, range(20), 1.0, HERE),
        (first, 1): Answers(wrong, right, False, range(20), 2.0, HERE),
        (second, 0): Answers(wrong, right, False, range(20), 1.0, HERE),
        (second, 1): Answers(wrong, right, False, range(20), 1.0, HERE),
    }
    one, two = lines(Comparison("safety", (first, second)), answers, (0, 1))
    assert one.seeds == (0.0, 0.25)
    assert one.figure.value == 0.125
    assert one.minutes == 1.5
    assert one.difference is None
    assert two.difference is not None
    assert two.difference.value == pytest.approx(0.125)
    assert two.difference.low < 0.125 < two.difference.high
    steps = {pair: Answers(one.taken * 2, right * 3, True, one.groups, 1.0, HERE) for pair, one in answers.items()}
    [far, _] = lines(Comparison("safety", (first, second)), steps, (0, 1))
    # 10 rows of 3 steps are 1 step off where they were right; of 5 wrong ones the 2 that were 3 are 3 off, 3 are 2.
    assert far.seeds == (0.5, (8 + 2 * 3 + 3 * 2) / 20)


def test_what_is_missing_is_named(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "spec.toml").write_text(SMALL.replace("[intrinsic.hallucination]", "[intrinsic.halucination]"))
    with pytest.raises(BadInput, match="no intrinsic 'hallucination'"):
        read_study_spec(folder / "data", None, tmp_path / "spec.toml", None, None)
    nothing = ["--data", str(folder / "data"), "--spec", str(folder / "spec.toml"), "--only", "rank"]
    with pytest.raises(BadInput, match="rank say nothing of hallucination"):
        CliRunner().invoke(paper.command, [*nothing, "--intrinsic", "hallucination", "-q"], catch_exceptions=False)
    arguments = ["--data", str(tmp_path), "--spec", str(folder / "spec.toml"), "--work", str(tmp_path / "work")]
    with pytest.raises(BadInput, match=r"train\.jsonl can't be read"):
        CliRunner().invoke(paper.command, [*arguments, "-q"], catch_exceptions=False)
