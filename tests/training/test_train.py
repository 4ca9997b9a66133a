"""From a spec to a library, by the command and from Python; what was killed goes on; what is wrong is told first."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load, load_file, save_file
from transformers import AutoModelForCausalLM

import alora_flow
from alora_flow.errors import BadInput, BadModel, FlowError, RunFailed
from alora_flow.intrinsics.library import find_model
from alora_flow.training import fitting
from alora_flow.training.rows import LabelledRow, read_rows
from alora_flow.training.samples import SampleEncoder
from alora_flow.training.spec import read_spec
from alora_flow.training.training import in_order, prepare, train
from tests.command import cold
from tests.training.rows import SPEC, rows, small, write

ADAPTER = Path("library/even/mini/alora")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a spec and the library that was trained of it."""
    folder = tmp_path_factory.mktemp("trained")
    [one] = train(read_spec(small(folder)))
    assert one.folder == folder / ADAPTER
    return folder


def test_it_learns(trained: Path) -> None:
    facts = json.loads((trained / ADAPTER / "training.json").read_text())
    assert facts["validation_error"] < 0.1
    assert facts["rows"] == {"train": 96, "validation": 32, "test": 0}
    log = [json.loads(line) for line in (trained / ADAPTER / "training.jsonl").read_text().splitlines()]
    losses = [one["validation"] for one in log if "validation" in one]
    assert min(losses) == facts["validation_loss"]
    assert "<svg" in (trained / ADAPTER / "training.svg").read_text()
    modes = {path.name: path.stat().st_mode for path in (trained / ADAPTER).iterdir()}
    assert len({*modes.values()}) == 1, modes  # weights can be read by whoever can read the rest
    assert {path.name for path in (trained / ADAPTER).iterdir()} == {
        *("adapter_config.json", "adapter_model.safetensors", "io.yaml"),
        *("training.json", "training.jsonl", "training.svg"),
    }
    assert [path.name for path in (trained / ADAPTER).parent.iterdir()] == ["alora"]


def test_a_flow_decides_by_it(trained: Path) -> None:
    """The numbers are those of PEFT's full forward pass, and the promise is kept."""
    (trained / "ask.flow").write_text(
        'model base = "mini"\n\n'
        f'intrinsic even() -> float[0.0..1.0] from "{ADAPTER.parent.parent}"\n\n'
        "flow ask(question: str) -> float { return even() on user(question) }\n"
    )
    module = alora_flow.load(trained / "ask.flow")
    some = read_rows(trained / "data", ["validation.jsonl"])[:12]
    results = module.ask.map([{"question": row.messages[0].content} for row in some])
    spec = read_spec(trained / "spec.toml").one("even")
    base = find_model("mini", Path())
    encoder = SampleEncoder(base, spec)
    peft = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(base.folder, dtype=torch.float32), trained / ADAPTER
    )
    yes, no = (encoder.labels[label][0] for label in ("Y", "N"))
    right = sum((result.value > 0.5) == (row.completion == "Y") for row, result in zip(some, results, strict=True))
    assert right >= 10
    for row, result in zip(some, results, strict=True):
        sample = encoder.sample(row)
        with torch.no_grad():
            logits = peft(input_ids=torch.tensor([[*sample.context, *sample.adapted]])).logits[0, -1]
        chances = logits.softmax(-1)
        assert result.value == pytest.approx(float(chances[yes] / (chances[yes] + chances[no])), abs=1e-5)


def test_its_card_says_what_was_measured(trained: Path, tmp_path: Path) -> None:
    """From the command: every figure of the evaluation, and how it was trained."""
    shutil.copytree(trained, tmp_path / "copy")
    spec = tmp_path / "copy" / "spec.toml"
    spec.write_text(spec.read_text().replace("epochs = 6", 'epochs = 6\ntest = "validation.jsonl"'))
    code, _, error = cold("eval", str(spec), "--card")
    assert code == 0, error
    folder = tmp_path / "copy" / ADAPTER
    card, measured = (folder / "CARD.md").read_text(), json.loads((folder / "evaluation.json").read_text())
    own = measured["systems"]["aLoRA"]["figures"]
    assert f"{100 * own['error']['value']:.1f} % (" in card
    assert f"{own['auroc']['value']:.3f} (" in card
    assert "96 rows" in card
    assert all(f"| {word} |" in card for word in ("one", "eight"))
    assert "<svg" in (folder / "reliability.svg").read_text()


def test_the_same_settings_give_the_same_weights(trained: Path, tmp_path: Path) -> None:
    [one] = train(read_spec(small(tmp_path)))
    first, second = (load_file(folder / "adapter_model.safetensors") for folder in (trained / ADAPTER, one.folder))
    assert all(torch.equal(first[name], second[name]) for name in first)


SLOW = """
import os, sys, time
from alora_flow.cli.main import main
from alora_flow.training import fitting
learn, end = fitting.Fitting._learn, int(os.environ["KILLED_AT"])
def slow(self, batch):
    if self.step == end:
        print("here", flush=True)
        time.sleep(60)
    learn(self, batch)
fitting.Fitting._learn = slow
fitting.KEPT = 0.0
main()
"""


@pytest.mark.parametrize("step", [4, 13])
def test_what_was_killed_comes_to_the_same_weights(trained: Path, tmp_path: Path, step: int) -> None:
    spec = small(tmp_path)
    environment = {**os.environ, "KILLED_AT": str(step), "OMP_NUM_THREADS": str(torch.get_num_threads())}
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW, "train", str(spec)], env=environment, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "here\n"
    with pytest.raises(BadInput, match=r"another training of .* is under way"):
        train(read_spec(spec))
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / ADAPTER).exists()
    steps = []
    [one] = train(read_spec(spec), told=lambda name, **facts: steps.append(facts))
    assert steps[1] == {"step": step, "of": 36, "resumed": True}
    first, second = (load_file(folder / "adapter_model.safetensors") for folder in (trained / ADAPTER, one.folder))
    assert all(torch.equal(first[name], second[name]) for name in first)
    logs = [(folder / "training.jsonl").read_text().splitlines() for folder in (trained / ADAPTER, one.folder)]
    assert len(logs[0]) == len(logs[1])


def test_several_kinds_and_places(tmp_path: Path) -> None:
    """A plain LoRA, one that is active from the invocation's end on, one of texts, and two on one pass."""
    more = (
        '\n[intrinsic.plain]\nkind = "lora"\ninvocation = "<|safety|>"\nepochs = 1\nrank = 4\n'
        '\n[intrinsic.late]\nactivate = "end"\ninvocation = "<|safety|><|uncertainty|>"\nepochs = 1\n'
        'targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]\n'
        '\n[intrinsic.said]\nanswers = {}\ninvocation = "<|query_rewrite|>"\nepochs = 1\ntrain = "said.jsonl"\n'
    )
    spec = small(tmp_path, SPEC + more, count=32)
    write(tmp_path / "data" / "said.jsonl", [{**row, "completion": "yes it is"} for row in rows(32, 1)])
    told: list[str] = []
    trained = train(read_spec(spec), told=lambda name, **facts: told.append(name))
    assert [one.name for one in trained] == ["even", "plain", "late", "said"]
    kinds = [one.folder.name for one in trained]
    assert kinds == ["alora", "lora", "alora", "alora"]
    assert told.index("even") > max(index for index, name in enumerate(told) if not name)  # contexts come first
    configs = [json.loads((one.folder / "adapter_config.json").read_text()) for one in trained]
    base = find_model("mini", Path())
    encode = SampleEncoder(base, read_spec(spec).one("late")).invocation
    assert [config["alora_invocation_tokens"] for config in configs][1:3] == [None, [encode[-1]]]
    assert configs[2]["target_modules"] == sorted(read_spec(spec).one("late").targets)  # the same file each time
    assert (trained[3].folder / "io.yaml").read_text().count("likelihood") == 0
    out = cold("intrinsics", "check", str(tmp_path / "library"), "--model", "mini")
    assert out == (0, "checked 4 intrinsics: no errors\n", "")


def no_step(name: str, **facts: Any) -> None:
    assert not name, f"{name} was begun: {facts}"


def test_one_begins_where_another_ended(trained: Path, tmp_path: Path) -> None:
    """What the first has learnt, the second knows before it has learnt much."""
    shutil.copytree(trained, tmp_path / "copy")
    later = '\n[intrinsic.later]\nstart = "even"\ninvocation = "<|safety|>"\nepochs = 1\nrate = 1e-5\n'
    spec = tmp_path / "copy" / "spec.toml"
    spec.write_text(SPEC + later)
    later_facts = train(read_spec(spec), ["later"])[0].facts
    assert later_facts["validation_error"] < 0.1
    first = json.loads((trained / ADAPTER / "training.json").read_text())
    told = ("intrinsic", "rows", "steps", "minutes", "minutes_of_reading")
    assert later_facts["beginnings"] == [{key: first[key] for key in told}]
    assert first["beginnings"] == []
    told_there = tmp_path / "copy" / ADAPTER / "training.json"
    for without in ("minutes_of_reading", "beginnings"):  # as it was before these were written
        first.pop(without)
    told_there.write_text(json.dumps(first))
    again = train(read_spec(spec), ["later"], again=True)[0].facts["beginnings"]
    assert again == [{key: first[key] for key in told if key in first}]
    for damaged in ("{", "[]", "{}", '"a text"'):
        told_there.write_text(damaged)
        with pytest.raises(BadInput, match="is damaged, or not of a training"):
            train(read_spec(spec), ["later"], again=True, told=no_step)
    told_there.unlink()
    assert train(read_spec(spec), ["later"], again=True)[0].facts["beginnings"] == [{"intrinsic": "even"}]
    spec.write_text(SPEC + later + "rank = 4\n")
    with pytest.raises(BadInput, match="has other weights than this adapter"):
        train(read_spec(spec), ["later"], again=True)
    shutil.rmtree(tmp_path / "copy" / ADAPTER)
    with pytest.raises(BadInput, match=r"there is no .*adapter_model.safetensors to begin with"):
        train(read_spec(spec), ["later"], again=True, told=lambda name, **facts: pytest.fail("it was begun"))
    spec.write_text(SPEC + later.replace('"even"', '"evn"'))
    with pytest.raises(BadInput, match="no intrinsic 'evn'"):
        train(read_spec(spec), ["later"], again=True)


@pytest.mark.parametrize(
    ("roles", "first", "after"),
    [
        (("user",), "du", "ud"),
        (("system", "user"), "sdu", "sud"),
        (("system", "user", "assistant"), "sdua", "suda"),
        (("system", "user", "assistant", "user", "assistant"), "sduaua", "suauda"),
        (("system",), "sd", "sd"),
    ],
)
def test_documents_stand_behind_the_system_turn(roles: tuple[str, ...], first: str, after: str) -> None:
    messages = [{"role": role, "content": role} for role in roles]
    row = LabelledRow.model_validate({"messages": messages, "documents": ["a text"], "completion": "Y"})
    assert "".join(turn.role[0] for turn in row.thread) == first
    assert "".join(turn.role[0] for turn in row.thread_with(row.after_question)) == after


def test_documents_stand_where_the_spec_says(tmp_path: Path) -> None:
    """First, behind the last question, or drawn for each group of rows, which is read once so; what is measured has
    them first."""
    some = [{**row, "documents": ["Two is even."], "group": f"p{n // 2}"} for n, row in enumerate(rows(12, 1))]
    base = find_model("mini", Path())
    seen = {}
    for place in ("first", "after", "either"):
        spec = read_spec(small(tmp_path, SPEC + f'documents = "{place}"'))
        write(tmp_path / "data" / "train.jsonl", some)
        write(tmp_path / "data" / "validation.jsonl", [{**row, "group": f"v{row['group']}"} for row in some])
        prepared = prepare(spec, "even", base)
        spell = prepared.encoder.prompter.tokenizer.spell
        texts = {split: [spell(one.context) for one in own] for split, own in prepared.samples.items()}
        seen[place] = {
            split: [text.index("<|doc") < text.index("<|user") for text in own] for split, own in texts.items()
        }
    assert all(map(all, seen["first"].values()))
    assert not any(map(any, seen["after"].values()))
    for drawn in seen["either"].values():
        assert {True, False} == {*drawn}
        assert drawn[::2] == drawn[1::2]
    measured = [spell(one.context) for one in prepared.encoder.samples(prepared.rows["validation"], None)]
    assert all(text.index("<|doc") < text.index("<|user") for text in measured)


def test_rows_of_no_group_stand_where_they_did_whatever_their_folder(tmp_path: Path) -> None:
    """And all rows of group 0 stand in one place."""
    some = [{**row, "documents": ["Two is even."], "group": ""} for row in rows(12, 1)]
    encoder, places = SampleEncoder(find_model("mini", Path()), read_spec(small(tmp_path)).one("even")), []
    encoder.spec = encoder.spec.model_copy(update={"documents": "either"})
    for folder, group in (("a", ""), ("b", ""), ("c", 0)):
        write(tmp_path / folder / "train.jsonl", [{**row, "group": group} for row in some])
        samples = encoder.samples(read_rows(tmp_path / folder, ["train.jsonl"]), None, drawn=True)
        texts = [encoder.prompter.tokenizer.spell(one.context) for one in samples]
        places.append([text.index("<|doc") < text.index("<|user") for text in texts])
    assert {True, False} == {*places[0]}
    assert places[0] == places[1]
    assert len({*places[2]}) == 1


def test_it_stops_where_nothing_gets_better(tmp_path: Path) -> None:
    spec = small(tmp_path, SPEC.replace("epochs = 6", "epochs = 50\nrate = 1.0\npatience = 2"))
    [one] = train(read_spec(spec))
    assert one.facts["steps"] < 300
    assert one.facts["best_step"] < one.facts["steps"]


def test_the_command(tmp_path: Path) -> None:
    spec = small(tmp_path)
    code, out, error = cold("train", str(spec), "--epochs", "1", "--json")
    assert code == 0, error
    [one] = json.loads(out)
    assert (one["name"], one["settings"]["epochs"]) == ("even", 1)
    assert "validation loss" in error
    code, out, error = cold("train", str(spec))
    assert (code, out) == (1, "")
    assert f"{tmp_path / ADAPTER} is there already" in error


WRONG = {
    "a key that is not known": (SPEC + "epoch = 3", "intrinsic.even.epoch is no key that is known here", "'epochs'"),
    "another at the top": (SPEC.replace("library", "libary"), "libary is no key", "did you mean 'library'?"),
    "no TOML": ("base = ", "is not TOML", ""),
    "a wrong value": (SPEC + "rank = 0", "intrinsic.even.rank: Input should be greater than or equal to 1, not 0", ""),
    "a wrong projection": (SPEC + 'targets = ["lm_head"]', "intrinsic.even.targets.0: Input should be", ""),
    "one label": (SPEC + "answers = { Y = 1.0 }", "one label is no choice", ""),
    "no base": (SPEC.replace('base = "mini"', ""), "base is missing", ""),
    "a base that is not there": (SPEC.replace('"mini"', '"mimi"'), "model 'mimi'", "did you mean 'mini'?"),
    "no file of rows": (SPEC.replace("train.jsonl", "none.jsonl"), "none.jsonl can't be read", "--data DIR"),
    "a label that no row has": (
        SPEC + "answers = {Y = 1.0, N = 0.0, M = 0.0}",
        "no training row has the label 'M'",
        "",
    ),
    "a label that is none": (
        SPEC + "answers = {Y = 1.0, M = 0.0}",
        "line 3: the label is 'N', which is none of",
        "Y, M",
    ),
    "a label that is empty": (SPEC + 'answers = {"" = 1.0, N = 0.0}', "a label of `answers` is empty", ""),
    "a number that is none": (SPEC + "answers = {Y = nan, N = 0.0}", "even.answers.Y: wants a number, not nan", ""),
    "a text for a number": (SPEC + 'batch = "4"', "intrinsic.even.batch: wants a whole number, not '4'", ""),
    "a rank that no base has": (SPEC + "rank = 100000000", "intrinsic.even.rank: Input should be less than", ""),
    "a seed that torch can't take": (SPEC + f"seed = {1 << 70}", "intrinsic.even.seed: Input should be less than", ""),
    "a name that leads elsewhere": (SPEC.replace("intrinsic.even", 'intrinsic."../x"'), "../x: a name is a folder", ""),
    "what holds for all, and is no table": (
        "all = 3\n" + SPEC.replace("[all]", "[intrinsic.other]"),
        "all is no table",
        "write [all]",
    ),
    "the file's own path": ('path = "x"\n' + SPEC, "path is no key", "there are base"),
    "a folder that can be none": ('data = "a\\u0000"\n' + SPEC.replace('data = "data"\n', ""), "can be no folder", ""),
    "rows in a folder that can be none": (SPEC.replace("train.jsonl", "a\\u0000"), "can't be read", "--data DIR"),
    "a beginning that is not there": (SPEC + 'start = "odd"', "has no intrinsic 'odd'", "there are even"),
    "a beginning in itself": (SPEC + 'start = "even"', "`start` leads in a circle: even → even", "by itself"),
    "rows that would be cut": (
        SPEC + "longest = 20",
        "rows have more than 20 tokens with the answer",
        "train.jsonl, line",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_told_before_the_first_step(tmp_path: Path, what: str) -> None:
    spec, said, further = WRONG[what]
    path = small(tmp_path, spec)
    with pytest.raises(FlowError) as caught:
        train(read_spec(path))
    assert said in caught.value.message
    assert further in f"{caught.value.message} {caught.value.help}"
    assert not (tmp_path / "library").exists()


def test_an_invocation_that_grows_together_with_the_text_before_it(tmp_path: Path) -> None:
    """'… i' and 's it' are ' is' and ' it', where they stand side by side."""
    shutil.copytree(find_model("mini", Path()).folder, tmp_path / "model")
    template = tmp_path / "model" / "chat_template.jinja"
    template.write_text("{% for m in messages %}{{ m['role'] + ': ' + m['content'] + ' i' }}{% endfor %}")
    spec = small(tmp_path, SPEC.replace("mini", "model").replace("<|safety|>", "s it"))
    with pytest.raises(BadInput, match=r"the invocation 's it' is the tokens .* by itself, and others behind"):
        train(read_spec(spec))


LINES = {
    "{": "line 33, column 2: not JSON",
    '{"messages": [], "completion": "Y"}': "line 33: messages is empty",
    '{"messages": [{"role": "user", "content": "a"}], "completion": "Y", "lable": 1}': "line 33: lable is no key",
    '{"messages": [{"role": "boss", "content": "a"}], "completion": "Y"}': "line 33: messages.0.role",
    '{"completion": "Y", "completion": "N"}': "line 33: 'completion' is given twice",
    '{"outcome": NaN}': "line 33: NaN is no JSON",
    "[1]": "line 33: not a JSON object",
    '{"messages": "hi"}': "line 33: messages: wants a list, not 'hi'",
    '{"messages": [{"role": "user", "content": "a"}], "completion": 1}': "line 33: completion: wants a text, not 1",
    '{"messages": [{"role": "user", "content": "a"}], "completion": "Y", "group": [1]}': "line 33: group: wants a text",
    '{"messages": [{"role": "user", "content": "a"}]}': "line 33: completion is missing",
}


@pytest.mark.parametrize("line", LINES)
def test_a_wrong_line_is_named(tmp_path: Path, line: str) -> None:
    path = small(tmp_path)
    with (tmp_path / "data" / "validation.jsonl").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(BadInput) as caught:
        train(read_spec(path))
    assert f"validation.jsonl, {LINES[line]}" in caught.value.message


def test_what_other_editors_write_is_read(tmp_path: Path) -> None:
    path = small(tmp_path)
    whole = prepare(read_spec(path), "even", find_model("mini", Path()))
    file = tmp_path / "data" / "train.jsonl"
    file.write_text("\n" + file.read_text().replace("\n", "\r\n\r\n"), encoding="utf-8-sig")
    assert prepare(read_spec(path), "even", find_model("mini", Path())).samples == whole.samples


def test_each_comes_behind_the_one_that_it_begins_with(tmp_path: Path) -> None:
    text = SPEC
    for name, start in (("b", "c"), ("c", "even")):
        own = SPEC[SPEC.index("[intrinsic.even]") :].replace("[intrinsic.even]", f"\n[intrinsic.{name}]")
        text += f'{own}\nstart = "{start}"\n'
    spec = read_spec(small(tmp_path, text))
    assert in_order(spec, ("b", "c", "even", "b")) == ["even", "c", "b"]
    assert in_order(spec, ("b", "even")) == ["even", "b"]
    circle = read_spec(small(tmp_path / "circle", text.replace('start = "even"', 'start = "b"')))
    with pytest.raises(BadInput, match="in a circle: b → c → b"):
        in_order(circle, ("b",))


def test_a_library_that_can_not_be_written(tmp_path: Path) -> None:
    path = small(tmp_path)
    with pytest.raises(BadInput, match="can't be written"):
        train(read_spec(path, library=path))


def test_what_fails_before_it_kept_anything_leaves_nothing(tmp_path: Path) -> None:
    path = small(tmp_path, SPEC + 'targets = ["qkv_proj"]')
    with pytest.raises(BadInput, match="the base has no qkv_proj"):
        train(read_spec(path))
    assert not [*(tmp_path / "library").rglob("*")]


def test_a_disk_that_fills_and_is_emptied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trained: Path) -> None:
    """The state before it is kept, and is gone on with."""
    path, kept = small(tmp_path), 0

    def full(self: Path, content: bytes) -> int:
        nonlocal kept
        kept += 1
        if kept > 2:
            raise OSError(28, "No space left on device")
        return write(self, content)

    write = Path.write_bytes
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(RunFailed, match=r"alora-training can't be written: No space left"):
        train(read_spec(path))
    monkeypatch.undo()
    assert not (tmp_path / ADAPTER).exists()
    train(read_spec(path))
    weights = "adapter_model.safetensors"
    assert (tmp_path / ADAPTER / weights).read_bytes() == (trained / ADAPTER / weights).read_bytes()


def test_a_damaged_state(tmp_path: Path) -> None:
    path = small(tmp_path)
    work = (tmp_path / ADAPTER).with_name(".alora-training")
    work.mkdir(parents=True)
    (work / "state.pt").write_bytes(b"no state")
    with pytest.raises(BadInput, match=r"state\.pt is damaged") as caught:
        train(read_spec(path))
    assert "--again" in str(caught.value.help)


def test_the_ends_of_a_scale_may_be_empty(tmp_path: Path) -> None:
    """Ten numbers of certainty, of which no row has the highest."""
    spec = read_spec(small(tmp_path, SPEC + "answers = {N = 0.0, M = 0.5, Y = 1.0}"))
    assert prepare(spec, "even", find_model("mini", Path())).rows["train"]


def test_a_group_in_two_splits(tmp_path: Path) -> None:
    path = small(tmp_path)
    write(tmp_path / "data" / "validation.jsonl", rows(8, 1))
    with pytest.raises(BadInput, match=r"group '1-0' stands in train \(.*line 1\) and in validation"):
        train(read_spec(path))


def test_settings_that_changed_on_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = small(tmp_path)
    monkeypatch.setattr(fitting.Fitting, "_note", lambda self: (_ for _ in ()).throw(KeyboardInterrupt()))
    monkeypatch.setattr(fitting, "KEPT", 0.0)
    with pytest.raises(KeyboardInterrupt):
        train(read_spec(path))
    monkeypatch.undo()
    with pytest.raises(BadInput, match="other settings or other rows"):
        train(read_spec(path, rank=8))
    assert train(read_spec(path, rank=8), again=True)[0].facts["settings"]["rank"] == 8


def test_numbers_that_are_not_finite(tmp_path: Path) -> None:
    path = small(tmp_path, SPEC + "alpha = 1e38")
    with pytest.raises(RunFailed, match=r"step \d+: the loss"):
        train(read_spec(path))
    assert not (tmp_path / ADAPTER).exists()


def test_an_adapter_that_takes_no_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = fitting.Fitting._scores
    monkeypatch.setattr(fitting.Fitting, "_scores", lambda self, batch: scores(self, batch) * 0 + 1.0)
    with pytest.raises(RunFailed, match="step 1: the gradient is zero"):
        train(read_spec(small(tmp_path)))


def test_a_state_that_was_written_halfway_is_the_one_before(tmp_path: Path) -> None:
    """Killed while it writes: only the temporary file is torn."""
    spec = read_spec(small(tmp_path))
    folder = tmp_path / "library/even/mini/.alora-training"
    folder.mkdir(parents=True)
    (folder / "state.new").write_bytes(b"torn")
    assert train(spec)[0].facts["validation_error"] < 0.1


def test_a_file_in_two_splits_without_groups(tmp_path: Path) -> None:
    path = small(tmp_path, SPEC.replace("validation.jsonl", "train.jsonl"))
    write(tmp_path / "data" / "train.jsonl", [{**row, "group": ""} for row in rows(8, 1)])
    with pytest.raises(BadInput, match=r"a row stands in train \(.*line 1\) and in validation"):
        train(read_spec(path))


def test_a_label_that_no_validation_row_has(tmp_path: Path) -> None:
    path = small(tmp_path)
    write(tmp_path / "data" / "validation.jsonl", [row for row in rows(32, 2) if row["completion"] == "Y"])
    with pytest.raises(BadInput, match="no validation row has the label 'N'"):
        train(read_spec(path))


def test_a_label_that_begins_another(tmp_path: Path) -> None:
    """All that follows the shorter one makes the longer one less likely."""
    spec = read_spec(small(tmp_path, SPEC.replace("Y = 1.0", '"Y Y" = 1.0, Y = 0.5')))
    with pytest.raises(BadInput, match="the label 'Y Y' begins with all tokens of the label 'Y'"):
        SampleEncoder(find_model("mini", Path()), spec.one("even"))


@pytest.mark.parametrize("kind", ["alora", "lora"])
def test_a_base_of_pickles_or_cut_short(tmp_path: Path, kind: str) -> None:
    path, base = small(tmp_path, SPEC.replace("mini", "base")), tmp_path / "base"
    shutil.copytree(find_model("mini", Path()).folder, base)
    weights = load((base / "model.safetensors").read_bytes())
    (base / "model.safetensors").write_bytes(b"cut")
    with pytest.raises(BadModel, match="it is cut short"):
        train(read_spec(path, kind=kind))
    (base / "model.safetensors").unlink()
    torch.save(weights, base / "pytorch_model.bin")
    with pytest.raises(BadModel, match="which may run code when it is read"):
        train(read_spec(path, kind=kind))
    assert not (tmp_path / "library").exists()


def test_a_base_that_is_not_finite(tmp_path: Path) -> None:
    path, base = small(tmp_path, SPEC.replace("mini", "base")), tmp_path / "base"
    shutil.copytree(find_model("mini", Path()).folder, base)
    weights = load((base / "model.safetensors").read_bytes())
    nothing = {name: torch.full_like(value, torch.nan) for name, value in weights.items()}
    save_file(nothing, base / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BadModel, match="weights that are not finite"):
        train(read_spec(path))
    assert not [*(tmp_path / "library").rglob("*")]
