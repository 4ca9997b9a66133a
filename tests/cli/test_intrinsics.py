"""`alora-flow intrinsics`: what libraries offer, contracts and costs, and everything that can be wrong in one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from shutil import copytree

import pytest

import alora_flow
from tests.command import warm
from tests.intrinsics.library import INVENTORY, flow_file, write_intrinsic, write_model


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with a library beside it."""
    folder = write_model(tmp_path_factory.mktemp("library") / "tiny")
    for name in INVENTORY:
        write_intrinsic(folder, name)
    return folder


@pytest.fixture
def model(made: Path, tmp_path: Path) -> Path:
    """A copy that may be spoilt."""
    copytree(made.parent, tmp_path / "copy")
    return tmp_path / "copy" / "tiny"


def test_the_bundled_library_is_listed_by_default() -> None:
    done = warm("intrinsics", "list", "--json")
    assert done.code == 0
    assert [row["name"] for row in json.loads(done.stdout)] == [
        "answerability",
        "hallucination",
        "judge",
        "query_rewrite",
        "safety",
        "uncertainty",
    ]
    assert warm("intrinsics", "check").stdout == "checked 6 intrinsics: no errors\n"


@pytest.mark.parametrize("by", ["folder", "flow", "model"])
def test_a_library_is_named_by_its_folder_a_flow_file_or_a_model(made: Path, by: str) -> None:
    flow = flow_file(made, 'flow f() -> str { return "x" }')
    named = {"folder": [made.parent / "intrinsics"], "flow": [flow], "model": ["--model", made]}[by]
    done = warm("intrinsics", "list", *map(str, named), "--json")
    assert {row["name"]: row["adapter"] for row in json.loads(done.stdout)} == dict.fromkeys(INVENTORY, "alora")


def test_a_library_is_named_by_its_hub_id(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository, commit = tmp_path / "models--org--lib", "0123456789abcdef" * 2 + "01234567"
    copytree(made.parent / "intrinsics", repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    rows = json.loads(warm("intrinsics", "list", "org/lib", "--json").stdout)
    assert {row["name"] for row in rows} == set(INVENTORY)
    assert warm("intrinsics", "check", "org/lib").stdout == f"checked {len(INVENTORY)} intrinsics: no errors\n"
    assert warm("intrinsics", "list", "org/other").stderr == "error: org/other is not a folder\n"


def test_older_layouts_other_bases_and_both_kinds_are_listed(model: Path) -> None:
    library = model.parent / "intrinsics"
    new = library / "uncertainty" / "tiny" / "alora"
    copytree(new, library / "uncertainty" / "other" / "lora")
    copytree(new, library / "old" / "lora" / "tiny")
    rows = json.loads(warm("intrinsics", "list", str(library), "--json").stdout)
    found = {(row["name"], row["base"], row["adapter"]) for row in rows}
    assert {("uncertainty", "tiny", "alora"), ("uncertainty", "other", "lora"), ("old", "tiny", "lora")} <= found
    only = json.loads(warm("intrinsics", "list", str(library), "--model", str(model), "--json").stdout)
    assert {row["base"] for row in only} == {"tiny"}


@pytest.mark.parametrize(
    ("name", "computes", "shares"),
    [
        ("uncertainty", {"tokens": 14, "holes": []}, "the whole thread"),
        ("answerability", {"tokens": 1, "holes": []}, "the whole thread"),
        (
            "requirement-check",
            {"tokens": 92, "holes": [{"of": "requirement", "times": 1, "at_most": None}]},
            "the whole thread",
        ),
        (
            "hallucination_detection",
            {"tokens": 56, "holes": [{"of": "thread with <i…>", "times": 1, "at_most": None}]},
            "the thread up to the first sentence that it numbers (last_message)",
        ),
        (
            "query_clarification",
            {"tokens": 60, "holes": []},
            "the thread where it has no documents, else nothing: they are put in front",
        ),
    ],
)
def test_show_says_what_a_call_shares_and_computes(made: Path, name: str, computes: object, shares: str) -> None:
    said = json.loads(warm("intrinsics", "show", name, "--model", str(made), "--json").stdout)
    assert (said["computes"], said["shares"]) == (computes, shares)


def test_show_computes_what_a_run_measures(made: Path) -> None:
    said = json.loads(warm("intrinsics", "show", "uncertainty", "--model", str(made), "--json").stdout)
    text = f"""{said["declaration"]}
    flow f() -> float {{
      let a = generate(max_tokens: 2) on user("a")
      return uncertainty() on a
    }}"""
    call = alora_flow.load(flow_file(made, text)).f().trace.calls[1]
    closing = 2  # the reply's last token, whose KV was never computed, and the turn's end
    assert call.actual.prefilled == said["computes"]["tokens"] + closing


@pytest.mark.parametrize("name", INVENTORY)
def test_the_declaration_that_is_shown_is_right(made: Path, name: str) -> None:
    said = json.loads(warm("intrinsics", "show", name, "--model", str(made), "--json").stdout)
    called = name.replace("-", "_")
    arguments = ", ".join('"x"' for _ in said["arguments"])
    text = f"""{said["declaration"]}
    flow f() -> int {{
      thread said = user("a") + documents([document("B.")])
      let v = {called}({arguments}) on said
      return 1
    }}"""
    assert alora_flow.load(flow_file(made, text), backend="echo").f().value == 1
    done = warm("intrinsics", "check", str(flow_file(made, text)))
    assert (done.code, done.stdout) == (0, "checked 1 intrinsic: no errors\n")


def test_show_takes_a_folder_too(made: Path) -> None:
    library = made.parent / "intrinsics"
    for folder in (library / "uncertainty", library / "uncertainty" / "tiny" / "alora"):
        done = warm("intrinsics", "show", str(folder), "--model", str(made))
        assert done.stdout.startswith('intrinsic uncertainty() -> float[0.05..0.95] from "uncertainty"\n')


@pytest.mark.parametrize("place", ["folder", "relative", "hub", "hub adapter"])
def test_what_is_shown_of_another_library_can_be_pasted(
    made: Path, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library, commit = tmp_path / "models--org--lib" / "snapshots" / ("01234567" * 5), "01234567" * 5
    copytree(made.parent / "intrinsics", library)
    (library.parent.parent / "refs").mkdir()
    (library.parent.parent / "refs" / "main").write_text(commit)
    write_model(tmp_path / "elsewhere" / "tiny")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.chdir(library)
    name, written = {
        "folder": (str(library / "uncertainty"), str(library / "uncertainty")),
        "relative": ("uncertainty/", str(library / "uncertainty")),
        "hub": ("org/lib/uncertainty", "org/lib/uncertainty"),
        "hub adapter": ("org/lib/uncertainty/tiny/alora@main", "org/lib/uncertainty/tiny/alora@main"),
    }[place]
    model = tmp_path / "elsewhere" / "tiny"
    said = json.loads(warm("intrinsics", "show", name, "--model", str(model), "--json").stdout)
    assert said["declaration"].endswith(f'intrinsic uncertainty() -> float[0.05..0.95] from "{written}"')
    text = f"""{said["declaration"]}
    flow f() -> float {{ return uncertainty() on user("a") }}"""
    assert warm("intrinsics", "check", str(flow_file(model, text))).stdout == "checked 1 intrinsic: no errors\n"


def test_a_plain_lora_and_one_without_io_yaml_are_shown(model: Path) -> None:
    folder = write_intrinsic(model, "query_rewrite", activated=False)
    assert "none: a plain LoRA" in warm("intrinsics", "show", str(folder), "--model", str(model)).stdout
    (folder / "io.yaml").unlink()
    assert "has no io.yaml: declare it in full" in warm("intrinsics", "show", str(folder), "--model", str(model)).stdout


def test_nothing_of_a_file_is_obeyed_by_a_terminal(model: Path) -> None:
    wild = INVENTORY["uncertainty"].replace("instruction: <certainty>", 'instruction: "<certainty>\\e[31m\\nred"')
    write_intrinsic(model, "uncertainty", wild)
    shown = warm("intrinsics", "show", "uncertainty", "--model", str(model)).stdout
    assert "\x1b" not in shown
    assert "red" in shown


Spoil = Callable[[Path], object]


def edited(name: str, old: str, new: str) -> Spoil:
    def spoil(folder: Path) -> None:
        path = folder / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    return spoil


SPOILT: list[tuple[Spoil, str]] = [
    (edited("io.yaml", "project", "projekt"), "io.yaml:12:12: there is no transformation 'projekt'"),
    (edited("io.yaml", "instruction: <certainty>", "instruction: sure?"), "neither its instruction nor"),
    (edited("adapter_config.json", '"q_proj"', '"lm_head"'), "target_modules has 'lm_head'"),
    (edited("adapter_config.json", '"r": 4', '"r": 5'), "and its rank is 5"),
    (edited("adapter_config.json", '"bias": "none"', '"bias": "all"'), 'bias = "all" is not supported'),
    (lambda folder: (folder / "adapter_model.safetensors").write_bytes(b"x"), "cannot be read"),
    (lambda folder: (folder / "adapter_model.safetensors").unlink(), "adapter_model.safetensors is missing"),
]


@pytest.mark.parametrize(("spoil", "said"), SPOILT, ids=[said for _, said in SPOILT])
def test_check_names_what_is_wrong_and_goes_on(model: Path, spoil: Spoil, said: str) -> None:
    spoil(model.parent / "intrinsics" / "uncertainty" / "tiny" / "alora")
    done = warm("intrinsics", "check", str(model.parent / "intrinsics"), "--model", str(model))
    assert (done.code, done.stdout) == (1, f"checked {len(INVENTORY)} intrinsics: 1 wrong\n")
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    told = json.loads(
        warm("intrinsics", "check", str(model.parent / "intrinsics"), "--model", str(model), "--json").stdout
    )
    assert [entry["name"] for entry in told if entry["problem"]] == ["uncertainty"]


def test_check_compiles_a_grammar_without_a_base(model: Path) -> None:
    edited("io.yaml", '"required": ["score"]', '"not": {}')(
        model.parent / "intrinsics" / "uncertainty" / "tiny" / "alora"
    )
    done = warm("intrinsics", "check", str(model.parent / "intrinsics"))
    assert done.code == 1
    assert (
        "io.yaml:4:18: the answer's schema: the json_schema constraint does not compile: Unimplemented" in done.stderr
    )


def test_a_plain_lora_in_the_place_of_an_activated_one_is_told(model: Path) -> None:
    folder = write_intrinsic(model, "uncertainty", activated=False)
    target = folder.parent / "alora"
    (target / "adapter_config.json").write_text((folder / "adapter_config.json").read_text())
    done = warm("intrinsics", "check", str(model.parent / "intrinsics"))
    assert done.code == 1
    assert "holds a plain LoRA" in done.stderr


def test_check_of_a_flow_file_names_every_wrong_declaration(made: Path) -> None:
    text = """
    intrinsic a() -> list[str] from "uncertainty"
    intrinsic b() -> bool from "requirement-check"
    intrinsic c() -> float[0.0..1.0] from "uncertainty"
    intrinsic d() -> float from "uncertanty"
    flow f() -> int {
      let w = a() on user("")  let x = b() on user("")  let y = c() on user("")  let z = d() on user("")
      return 1
    }
    """
    done = warm("intrinsics", "check", str(flow_file(made, text)))
    assert (done.code, done.stdout) == (1, "checked 4 intrinsics: 3 wrong\n")
    assert [line.split(": ")[1] for line in done.stderr.splitlines() if line.startswith("error")] == ["a", "b", "d"]
    assert "did you mean 'uncertainty'?" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["list", "nowhere"], "nowhere is not a folder"),
        (["show", "nothing"], "adapter 'nothing' is neither a folder nor in the intrinsics library of model 'mini'"),
        (["show", "safety", "--model", "nothing"], "model 'nothing' is neither"),
        (["check", "nowhere.flow"], "there is no file nowhere.flow"),
    ],
)
def test_what_leads_nowhere_is_bad_input(arguments: list[str], said: str) -> None:
    done = warm("intrinsics", *arguments)
    assert done.code == 1
    assert said in done.stderr


def test_an_empty_folder_is_no_library(tmp_path: Path) -> None:
    done = warm("intrinsics", "check", str(tmp_path))
    assert (done.code, "holds no intrinsics" in done.stderr) == (1, True)


def test_bad_usage() -> None:
    assert warm("intrinsics", "show").code == 2
    assert warm("intrinsics", "lst").code == 2
