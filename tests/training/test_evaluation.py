"""`alora-flow eval`: the bundled model's intrinsics on rows of its world, held against PEFT and plain counting."""

from __future__ import annotations

import json
import shutil
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from alora_flow.intrinsics.calibration import Calibration, write_calibration
from alora_flow.intrinsics.library import find_model
from alora_flow.training.evaluating import Evaluation, Evaluator, MeasuredAdapter, evaluate
from alora_flow.training.predictions import AskedSamples, Predictions
from alora_flow.training.rows import read_rows
from alora_flow.training.samples import SampleEncoder
from alora_flow.training.spec import read_spec
from tests.command import warm
from tests.training.subject import write_rows, write_subject


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_subject(tmp_path_factory.mktemp("subject") / "made")


@pytest.fixture
def spec(made: Path, tmp_path: Path) -> Path:
    """A copy that may be spoilt."""
    shutil.copytree(made.parent, tmp_path / "copy")
    return tmp_path / "copy" / made.name


def adapter(spec: Path, name: str = "safety") -> Path:
    return spec.parent / "library" / name / "mini" / "alora"


def evaluated(*arguments: str) -> Any:
    done = warm("eval", *arguments, "--json")
    assert done.code == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def by_hand(made: Path) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """p(Y) of each row by PEFT, row by row, and whether Y is right."""
    spec, base = read_spec(made), find_model("mini", Path())
    encoder, rows = SampleEncoder(base, spec.one("safety")), read_rows(spec.data, ["rows.jsonl"])
    model = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(base.folder, dtype=torch.float32), str(adapter(made))
    )
    found = []
    for sample in map(encoder.sample, rows):
        with torch.no_grad():
            scores = model(input_ids=torch.tensor([[*sample.context, *sample.adapted]])).logits[0, -1].double()
        yes, no = (scores[encoder.labels[label][0]] for label in "YN")
        found.append(float(torch.sigmoid(yes - no)))
    return np.array(found), np.array([row.completion == "Y" for row in rows])


def test_figures_are_those_of_peft_counted_by_hand(made: Path, by_hand: Any) -> None:
    (found,) = evaluated(str(made), "--only", "safety")
    p, yes = by_hand
    figures = {name: each["value"] for name, each in found["systems"]["aLoRA"]["figures"].items()}
    assert figures["error"] == pytest.approx(((p >= 0.5) != yes).mean())
    assert figures["brier"] == pytest.approx(((p - yes) ** 2).mean(), abs=1e-5)
    assert figures["mae"] == pytest.approx(abs(p - yes).mean(), abs=1e-5)
    pairs = [(a > b) + (a == b) / 2 for a in p[yes] for b in p[~yes]]
    assert figures["auroc"] == pytest.approx(np.mean(pairs))
    assert figures["brier_of_constant"] == pytest.approx(yes.mean() * (1 - yes.mean()))
    assert sum(each["count"] for each in found["systems"]["aLoRA"]["reliability"]) == len(p)
    rule = found["systems"]["majority"]["figures"]
    assert rule["error"]["value"] == pytest.approx(min(yes.mean(), 1 - yes.mean()))
    assert rule["brier"]["value"] == pytest.approx(figures["brier_of_constant"])
    sources = found["systems"]["aLoRA"]["parts"]
    assert set(sources) == {"question", "request"}
    assert sum(each["rows"] for each in sources.values()) == len(p)


@pytest.mark.parametrize("name", ["safety", "uncertainty", "query_rewrite"])
def test_the_engine_agrees_with_peft(made: Path, name: str) -> None:
    own, theirs = (next(evaluate(read_spec(made), [name], peft=peft)) for peft in (False, True))
    assert theirs.difference is not None
    assert theirs.difference < 1e-5
    assert values(own) == pytest.approx(values(theirs), abs=1e-5)


@pytest.mark.parametrize("labels", ["{ Yes = 1.0, Y = 0.0 }", '{ "the mayor" = 1.0, "the town" = 0.5, no = 0.0 }'])
@pytest.mark.parametrize("activate", ["start", "end"])
def test_labels_and_invocations_of_several_tokens(spec: Path, labels: str, activate: str) -> None:
    folder = spec.parent / "library" / "other" / "mini" / "alora"
    shutil.copytree(adapter(spec), folder)
    (folder / "io.yaml").unlink()
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps({**config, "alora_invocation_tokens": [7, 8]}))
    written = f"""[intrinsic.other]\ninvocation = "<|safety|><|uncertainty|>"\nanswers = {labels}\n"""
    files = f'activate = "{activate}"\ntest = "other.jsonl"\n'
    spec.write_text(spec.read_text() + written + files)
    answers = list(tomllib.loads(f"x = {labels}")["x"])
    lines = [json.loads(line) for line in (spec.parent / "rows.jsonl").read_text().splitlines()]
    rows = [{**line, "completion": answers[number % len(answers)]} for number, line in enumerate(lines[:12])]
    write_rows(spec.parent / "other.jsonl", rows)
    (found,) = evaluated(str(spec), "--only", "other", "--peft")
    assert found["peft_difference"] < 1e-5


def values(found: Evaluation) -> dict[str, float]:
    return {name: each.value for name, each in found.own.figures.items()}


def test_texts_are_measured_by_exact_match_and_by_log_probability(made: Path) -> None:
    (found,) = evaluated(str(made), "--only", "query_rewrite")
    figures = found["systems"]["aLoRA"]["figures"]
    assert set(figures) == {"error", "log_probability"}
    assert figures["error"]["value"] < 0.5  # of rewrites that the trivial rule gets wrong
    assert -0.5 < figures["log_probability"]["value"] < 0


def test_an_outcome_is_what_a_number_is_measured_by(spec: Path) -> None:
    (found,) = evaluated(str(spec), "--only", "uncertainty")
    figures = found["systems"]["aLoRA"]["figures"]
    assert figures["brier_of_constant"]["value"] == pytest.approx(np.var([n % 3 > 0 for n in range(20)]))
    assert 0 <= figures["auroc"]["value"] <= 1


def test_the_best_plain_prompt_is_chosen_on_validation_rows(spec: Path) -> None:
    prompts = ["Is it safe? Y or N?", "Say Y or N."]
    text = spec.read_text().replace("[intrinsic.safety]", f"[intrinsic.safety]\nplain_prompts = {json.dumps(prompts)}")
    spec.write_text(text)
    (found,) = evaluated(str(spec), "--only", "safety")
    assert found["plain_prompt"] in prompts
    assert list(found["systems"]) == ["aLoRA", "plain prompt", "majority"]
    errors = {name: each["figures"]["error"]["value"] for name, each in found["systems"].items()}
    assert errors["aLoRA"] < errors["plain prompt"] <= errors["majority"]  # its threshold is the best of these rows


def test_the_base_reads_no_row_again_that_the_adapter_has_read(made: Path) -> None:
    """Asked together, they say what each says by itself, and what their rows begin with is computed once."""
    spec = read_spec(made)
    subject = MeasuredAdapter(Evaluator(spec), "safety", spec.one("safety"), "test")
    own = AskedSamples(subject.samples, str(subject.folder))
    base = AskedSamples(subject._prompted("Is it safe? Y or N?", subject.rows), None)

    def answers(*asked: AskedSamples) -> tuple[list[Predictions], int]:
        engine = Evaluator(spec).engine
        engine.add(subject.folder)
        return engine.labels(asked, subject.labels), engine.engine.stats.prefilled

    (by_adapter,), first = answers(own)
    (by_base,), second = answers(base)
    both, together = answers(own, base)
    for one, other in zip(both, (by_adapter, by_base), strict=True):
        np.testing.assert_allclose(one.log_probabilities, other.log_probabilities, atol=1e-4)
    assert together < 0.7 * (first + second), (together, first, second)


@pytest.mark.parametrize("place", ["first", "after"])
def test_the_base_is_asked_with_documents_where_the_adapter_has_them(spec: Path, place: str) -> None:
    rows = (read_spec(spec).data / "rows.jsonl").read_text().splitlines()
    data = [{**json.loads(line), "documents": ["Two is even."]} for line in rows[:4]]
    write_rows(read_spec(spec).data / "rows.jsonl", data)
    read = read_spec(spec)
    one = read.one("safety").model_copy(update={"documents": place})
    subject = MeasuredAdapter(Evaluator(read), "safety", one, "test")
    prompted = subject._prompted("Is it safe?", subject.rows)
    for own, base in zip(subject.samples, prompted, strict=True):
        assert base.context[: len(own.context) - 2] == own.context[:-2]  # up to the end of the last turn


def test_a_lora_is_measured_beside_it_and_by_itself(spec: Path) -> None:
    """The same weights, active from the first token on: worse, and another adapter."""
    plain = spec.parent / "library" / "safety" / "mini" / "lora"
    shutil.copytree(adapter(spec), plain)
    config = json.loads((plain / "adapter_config.json").read_text())
    (plain / "adapter_config.json").write_text(json.dumps({**config, "alora_invocation_tokens": None}))
    (both,) = evaluated(str(spec), "--only", "safety")
    (alone,) = evaluated(str(spec), "--only", "safety", "--kind", "lora", "--peft")
    assert list(both["systems"]) == ["aLoRA", "LoRA", "majority"]
    assert list(alone["systems"]) == ["LoRA", "aLoRA", "majority"]
    assert alone["peft_difference"] < 1e-5
    for name in ("aLoRA", "LoRA"):
        assert both["systems"][name]["figures"]["brier"] == pytest.approx(alone["systems"][name]["figures"]["brier"])


def test_a_calibration_is_applied_and_can_be_left_out(spec: Path, by_hand: Any) -> None:
    p, yes = by_hand
    write_calibration(adapter(spec), Calibration({"Y": 1.0, "N": 0.0}, threshold=0.95))
    done = warm("eval", str(spec), "--only", "safety")
    assert 'calibrated: true, and "Y" is taken, from 0.95 on\n' in done.stdout
    (with_it,) = evaluated(str(spec), "--only", "safety")
    (without,) = evaluated(str(spec), "--only", "safety", "--uncalibrated")
    errors = [one["systems"]["aLoRA"]["figures"]["error"]["value"] for one in (with_it, without)]
    assert errors == pytest.approx([((p >= 0.95) != yes).mean(), ((p >= 0.5) != yes).mean()])


def test_tables_and_the_diagram(made: Path, tmp_path: Path) -> None:
    done = warm("eval", str(made), "--svg", str(tmp_path / "r.svg"))
    assert done.code == 0
    assert "safety on mini, test: 60 rows, figures with 95 % intervals" in done.stdout
    for word in ("macro F1", "AUROC", "Brier of the best constant", "source", "request", "log-probability of a token"):
        assert word in done.stdout
    drawn = (tmp_path / "r.svg").read_text()
    assert "safety (60 rows)" in drawn
    assert "query_rewrite" not in drawn
    again = warm("eval", str(made), "--svg", str(tmp_path / "again.svg"))
    assert again.stdout == done.stdout
    assert (tmp_path / "again.svg").read_text() == drawn


def test_each_file_has_its_own_figures(spec: Path) -> None:
    shutil.copy(spec.parent / "rows.jsonl", spec.parent / "more.jsonl")
    spec.write_text(spec.read_text().replace('test = "rows.jsonl"', 'test = ["rows.jsonl", "more.jsonl"]'))
    (found,) = evaluated(str(spec), "--only", "safety")
    outside = spec.read_text().replace('"more.jsonl"', json.dumps(str(spec.parent / "more.jsonl")))
    spec.write_text(outside)  # a file is named by its path, too
    assert evaluated(str(spec), "--only", "safety") == [found]
    own = found["systems"]["aLoRA"]
    assert list(own["parts"]) == ["more.jsonl", "rows.jsonl", "question", "request"]
    assert own["parts"]["rows.jsonl"]["figures"]["error"]["value"] == own["figures"]["error"]["value"]


def test_a_group_that_is_a_whole_file_is_none(made: Path, spec: Path) -> None:
    lines = [json.loads(line) for line in (spec.parent / "rows.jsonl").read_text().splitlines()]
    write_rows(spec.parent / "rows.jsonl", [{**line, "group": 0} for line in lines])
    (one,), (other,) = (evaluated(str(each), "--only", "safety") for each in (made, spec))
    assert one["systems"] == other["systems"]


# ------------------------------------------------------------------------- mistakes


def wrong(spec: Path, *arguments: str, only: str = "safety") -> str:
    done = warm("eval", str(spec), "--only", only, *arguments)
    assert done.code == 1
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    return done.stderr


def test_missing_files_are_told_with_what_to_do(spec: Path) -> None:
    assert "give the folder of the data: --data DIR" in wrong(spec, "--data", str(spec.parent / "none"))
    said = wrong(spec, "--library", str(spec.parent / "none"))
    assert f"train it: alora-flow train {spec} --only safety, or give the library that has it: --library DIR" in said
    assert "has no lora adapter of 'safety' for mini; it has mini/alora" in wrong(spec, "--kind", "lora")
    assert "did you mean 'safety'?" in wrong(spec, only="safty")
    assert "can't be read" in wrong(spec.parent / "none.toml")


def test_a_spec_without_test_rows_says_which_there_are(spec: Path) -> None:
    spec.write_text(spec.read_text().replace('test = "rows.jsonl"\n', ""))
    assert "or measure --split validation" in wrong(spec)
    assert evaluated(str(spec), "--only", "safety", "--split", "validation")[0]["split"] == "validation"


def test_rows_with_a_label_that_is_none(spec: Path) -> None:
    lines = (spec.parent / "rows.jsonl").read_text().splitlines()
    lines[3] = lines[3].replace('"completion": "', '"completion": "X')
    (spec.parent / "rows.jsonl").write_text("\n".join(lines))
    assert "rows.jsonl, line 4: the label is" in wrong(spec)


def test_damaged_weights(spec: Path) -> None:
    path = adapter(spec) / "adapter_model.safetensors"
    weights = load_file(path)
    save_file({name: torch.full_like(value, float("nan")) for name, value in weights.items()}, path)
    assert "has weights that are not finite" in wrong(spec)
    assert "train it again" in wrong(spec, "--peft")
    path.write_bytes(b"damaged")
    assert "adapter_model.safetensors cannot be read" in wrong(spec)


def test_an_adapter_of_another_base(spec: Path) -> None:
    path = adapter(spec) / "adapter_model.safetensors"
    weights = load_file(path)
    save_file(
        {name: value[:, :-8].contiguous() if "lora_A" in name else value for name, value in weights.items()}, path
    )
    assert "take the adapter that was trained for this base" in wrong(spec)


def test_an_adapter_with_another_invocation_or_other_answers(spec: Path) -> None:
    text = spec.read_text()
    spec.write_text(text.replace('"<|safety|>"', '"<|uncertainty|>"'))
    assert "is invoked by the tokens [7], and the spec's invocation '<|uncertainty|>' is [8]" in wrong(spec)
    spec.write_text(text.replace("{ Y = 1.0, N = 0.0 }", "{ Y = 0.0, N = 1.0 }"))
    assert "io.yaml are Y (1), N (0), and the spec has others" in wrong(spec)


def test_a_damaged_calibration(spec: Path) -> None:
    (adapter(spec) / "calibration.yaml").write_text("answers: {Y: 1, N: 0}\nthreshold: high\n")
    assert "calibration.yaml:2:12: 'threshold' must be a number" in wrong(spec)
    write_calibration(adapter(spec), Calibration({"Y": 2.0, "N": 0.0}, threshold=1.0))
    assert "fit the calibration again" in wrong(spec)


def test_nothing_to_draw(spec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "leave --svg out" in warm("eval", str(spec), "--only", "query_rewrite", "--svg", "x.svg").stderr
    assert "cannot write" in warm("eval", str(spec), "--only", "safety", "--svg", str(spec / "no" / "x.svg")).stderr


@pytest.mark.parametrize(("option", "module"), [("--peft", "peft"), ("--svg", "matplotlib")])
def test_the_extra_that_is_missing_is_named(
    spec: Path, option: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> Any:
        raise ModuleNotFoundError(f"No module named '{module}'", name=module)

    monkeypatch.setattr("alora_flow.training.evaluating.import_module", missing)
    monkeypatch.setattr("alora_flow.cli.eval.import_module", missing)
    said = wrong(spec, option, *(["x.svg"] if option == "--svg" else []))
    assert f"{module} is not installed" in said
    assert "pip install 'alora-flow[train]'" in said


@pytest.mark.parametrize("facts", ["{", "[]", "{}"])
def test_a_training_that_nobody_can_read(spec: Path, facts: str) -> None:
    (spec.parent / "library/safety/mini/alora/training.json").write_text(facts)
    done = warm("eval", str(spec), "--only", "safety", "--card")
    assert done.code == 1
    assert "training.json is damaged, or not of a training\nhelp: train it again, or leave --card out" in done.stderr
