"""The rows that recipes make: what each is for, and that none is wrong by construction."""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

import pytest

from alora_flow.errors import BadInput
from alora_flow.training.rows import LabelledRow
from alora_flow.training.spec import read_spec
from recipes.smollm2 import answerability, command, hallucination, query_rewrite, safety, uncertainty

ROOT = Path(__file__).parent.parent.parent

QUESTIONS = (
    ("Who founded the Abbey of Fécamp?", ["Richard"], "Normandy#1"),
    ("When was the Abbey of Fécamp built?", ["in 1001", "1001"], "Normandy#1"),
    ("What did William of Dijon reform?", ["the Abbey"], "Normandy#1"),
    ("how deep is the lake", ["90 metres"], "Lakes#2"),
)


def rows() -> list[LabelledRow]:
    texts = {"Normandy#1": "Richard founded the Abbey of Fécamp in 1001.", "Lakes#2": "The lake is 90 metres deep."}
    return [
        LabelledRow.model_validate(
            {
                "messages": [{"role": "user", "content": question}],
                "documents": [texts[group]],
                "completion": "Y",
                "answers": answers,
                "group": group,
            }
        )
        for question, answers, group in QUESTIONS
    ]


def validated(made: list[dict[str, Any]]) -> list[LabelledRow]:
    return [LabelledRow.model_validate_json(json.dumps(row)) for row in made]


def test_the_spec_reads_and_names_every_file_that_the_recipes_write() -> None:
    spec = read_spec(ROOT / "recipes/smollm2/library.toml")
    assert set(spec.intrinsic) == {
        *("safety", "answerability", "hallucination_short", "hallucination", "uncertainty", "query_rewrite"),
    }
    assert spec.one("hallucination").answers == {"Y": 0.0, "N": 1.0}
    assert "safety_more/train.jsonl" in spec.one("safety").train


@pytest.mark.parametrize("recipe", [answerability, hallucination, query_rewrite, safety, uncertainty])
def test_a_folder_without_the_rows_is_named(
    recipe: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["recipe", "--data", str(tmp_path / "none"), "--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit) as ended:
        command.run(recipe.main)
    told = capsys.readouterr().err
    assert ended.value.code == 1
    assert told.startswith(f"error: {tmp_path / 'none'}/")
    assert told.endswith("help: give the folder of the data: --data DIR\n")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "answerability").mkdir()
    for split in ("train", "val", "test"):
        (tmp_path / "answerability" / f"{split}.jsonl").write_text(
            "".join(row.model_dump_json(exclude_none=True) + "\n" for row in rows())
        )
    (tmp_path / "out").write_text("a file")
    monkeypatch.setattr("sys.argv", ["recipe", "--data", str(tmp_path), "--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit) as ended:
        command.run(answerability.main)
    assert ended.value.code == 1
    assert capsys.readouterr().err == f"error: {tmp_path}/out/answerability_more can't be written: Not a directory\n"


def test_no_request_is_both_safe_and_unsafe() -> None:
    words = tomllib.loads(safety.WORDS.read_text())
    made = list(safety.made(words, Random(0)))
    labels: dict[str, set[str]] = {}
    for text, label, _ in made:
        labels.setdefault(text, set()).add(label)
    assert all(len(some) == 1 for some in labels.values())
    assert Counter(label for _, label, _ in made)["N"] > 100
    assert not any("{" in text for text, _, _ in made)


def test_a_framed_request_stays_what_it_is() -> None:
    texts = {f"request {number}": "YN"[number % 2] for number in range(40)}
    plain = [
        LabelledRow.model_validate({"messages": [{"role": "user", "content": text}], "completion": label})
        for text, label in texts.items()
    ]
    made = validated(list(safety.framed(plain, Random(0))))
    assert [row.messages[-1].content for row in made] == [*texts]
    assert [row.completion for row in made] == [*texts.values()]
    assert {tuple(turn.role for turn in row.messages) for row in made} == {
        ("system", "user"),
        ("user", "assistant", "user"),
        ("system", "user", "assistant", "user"),
    }
    # What was asked before is safe, so that the label is the last request's alone.
    earlier = {turn.content for row in made for turn in row.messages[:-1] if turn.role == "user"}
    assert all(texts.get(text, "Y") == "Y" for text in earlier)


def test_sources_that_are_left_out_are_asked_and_nothing_near_to_them_is_learnt(tmp_path: Path) -> None:
    (tmp_path / "safety").mkdir()
    for split, lines in {
        "train": [("a", "Y", 1), ("b", "N", 2), ("a", "N", 3)],
        "val": [("a", "Y", 4), ("b", "N", 5)],
        "test": [("a", "Y", 6), ("b", "Y", 3)],
    }.items():
        made = [
            {
                "messages": [{"role": "user", "content": f"{group}"}],
                "completion": label,
                "source": source,
                "group": group,
            }
            for source, label, group in lines
        ]
        (tmp_path / "safety" / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in made))

    def groups(*without: str) -> dict[str, list[object]]:
        return {split: [row.group for row in rows] for split, rows in safety.parted(tmp_path, without).items()}

    assert groups() == {"train": [1, 2, 3], "val": [4, 5], "test": [6, 3]}
    assert groups("b") == {"train": [1], "val": [4], "test": [2, 5, 3]}
    with pytest.raises(BadInput, match="no source 'c'"):
        groups("b", "c")


def test_a_question_that_looks_answered_asks_for_something_else() -> None:
    made = validated([one for seed in range(40) for one in answerability.made(rows(), Random(seed))])
    asked = {row.messages[0].content: row for row in rows()}
    kinds = {
        kind: [row for row in made if row.source == kind] for kind in ("asked", "looks_answered", "asked_of_another")
    }
    assert all(kinds.values())
    assert sum(map(len, kinds.values())) == len(made)
    assert all((row.completion == "Y") == (row.source == "asked") for row in made)
    for row in kinds["asked"]:
        assert asked[row.messages[-1].content].documents[0].text in [
            " ".join(one.text.split()) for one in row.documents
        ]
    assert not {row.messages[-1].content for row in kinds["looks_answered"]} & set(asked)
    for row in kinds["asked_of_another"]:
        assert asked[row.messages[-1].content].group != row.group
    assert {row.messages[0].role for row in made} == {"system", "user"}


@pytest.mark.parametrize(
    ("question", "other"),
    [
        ("Which was the first abbey?", "Which was the last abbey?"),
        ("Who won before 1001?", "Who lost before 1001?"),
        ("Who reformed it?", None),
    ],
)
def test_one_word_is_turned_into_its_opposite(question: str, other: str | None) -> None:
    assert answerability.opposite(question) == other


def test_an_answer_that_could_be_right_is_never_called_made_up() -> None:
    made = validated([one for seed in range(20) for one in hallucination.made(rows(), Random(seed))])
    assert {row.completion for row in made} == {"Y", "N"}
    gold = {row.messages[0].content: row.answers for row in rows()}
    for row in made:
        question, answer = row.messages[0].content, row.messages[1].content
        assert (answer in gold[question]) == (row.completion == "Y")


def test_a_sentence_that_could_be_right_is_never_called_made_up() -> None:
    made = validated([one for seed in range(40) for one in hallucination.sentences(rows(), Random(seed))])
    gold = {row.messages[0].content: row.answers for row in rows()}
    for row in made:
        *before, question, answer = [turn.content for turn in row.messages]
        assert any(one in answer for one in gold[question]) == (row.completion == "Y")
        assert len(before) == (row.messages[0].role == "system")
        assert 1 <= len(row.documents) <= 2
    assert {row.completion for row in made} == {"Y", "N"}
    assert len({row.messages[-1].content for row in made}) > 6


@pytest.mark.parametrize("recipe", [hallucination.sentences, answerability.made])
def test_a_passage_stands_in_one_place_so_that_it_is_read_once(
    recipe: Callable[[list[LabelledRow], Random], Iterator[dict[str, Any]]],
) -> None:
    for seed in range(40):
        places: dict[Any, set[str]] = {}
        for row in recipe(rows(), Random(seed)):
            systems = [turn for turn in row["messages"] if turn["role"] == "system"]
            places.setdefault(row["group"], set()).add(json.dumps([systems, row["documents"]]))
        assert all(len(ways) == 1 for ways in places.values())


def test_a_rewritten_question_is_the_one_that_was_hidden() -> None:
    made = validated([one for seed in range(20) for one in query_rewrite.made(rows(), Random(seed))])
    sources = Counter(row.source for row in made)
    assert set(sources) == {"names what was named before", "stands alone"}
    for row in made:
        asked = row.messages[-1].content
        assert (asked == row.completion) == (row.source == "stands alone")
        assert asked not in [turn.content for turn in row.messages[:-1]]
        if row.source != "stands alone":
            assert len(row.messages) == 3
            assert row.completion in gold_questions()


def gold_questions() -> set[str]:
    return {question for question, _, _ in QUESTIONS}


@pytest.mark.parametrize(
    ("answer", "right"),
    [("It was Richard.", True), ("the RICHARD", True), ("Richards did it", False), ("nobody", False), ("", False)],
)
def test_right_is_word_for_word(answer: str, right: bool) -> None:
    said = f" {uncertainty.normal(answer)} "
    assert any(f" {uncertainty.normal(gold)} " in said for gold in rows()[0].answers) is right


def test_the_calibration_finds_what_makes_an_answer_right() -> None:
    """By what the base wrote and how sure it was, for each way of asking by itself."""
    kinds, question = uncertainty.KINDS, rows()[0]
    many = [
        uncertainty.Answered(question, kind, text, [chance])
        for kind in kinds[:2]
        for text in ("It was Richard.", "the lake")
        for chance in (-0.1, -0.2)
        for _ in range(50)
    ]
    told = uncertainty.calibrated(many)(many)
    right = [one.right for one in many]
    assert min(p for p, true in zip(told, right, strict=True) if true) > 0.7
    assert max(p for p, true in zip(told, right, strict=True) if not true) < 0.3
    assert abs(float(told.mean()) - 0.5) < 0.01
    from_memory = [one for one in many if one.kind is kinds[1]]
    assert uncertainty.calibrated(from_memory)(from_memory).tolist() == told[200:].tolist()


def test_digits_stand_for_the_middle_of_ten_bins() -> None:
    answers = read_spec(ROOT / "recipes/smollm2/library.toml").one("uncertainty").answers
    for chance in (0.0, 0.049, 0.1, 0.55, 0.999, 1.0):
        assert abs(answers[uncertainty.digit(chance)] - chance) <= 0.0501
