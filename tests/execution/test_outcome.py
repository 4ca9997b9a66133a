"""From what an adapter wrote to the value of an intrinsic, in both forms of a contract."""

from __future__ import annotations

from math import log
from pathlib import Path
from typing import Any

import pytest

from alora_flow.backends.echo import open_echo
from alora_flow.errors import RunFailed
from alora_flow.module import Module
from alora_flow.planning.compilation import Compilation
from alora_flow.planning.reading import intrinsic_value
from alora_flow.values.data import Distribution
from alora_runtime.requests import Completion
from tests import tiny

FLOW = """
model base = "model"
enum Mood {{ calm, angry }}
intrinsic judge() -> {result} {{ adapter "adapter" emits {emits} {value} }}
intrinsic short() -> {short} from "adapter"
flow main(q: str) -> str {{ let a = judge() on user(q) let b = short() on user(q) return "done" }}
"""
IO = "model: ~\nresponse_format: ~\ntransformations:\n"
IO += "  - {type: likelihood, input_path: [], categories_to_values: {calm: 0.25, angry: 1.0}}\n"


def values(folder: Path, shares: tuple[float, ...], **fields: str) -> tuple[Any, Any]:
    """What the full and the short form make of one distribution over what was written."""
    tiny.write_model_folder(folder / "model")
    tiny.write_adapter_folder(folder / "adapter", [257])
    (folder / "adapter" / "io.yaml").write_text(IO)
    defaults = {"result": "prob[Mood]", "emits": 'enum("calm", "angry")', "value": "", "short": "prob[Mood]"}
    (folder / "case.flow").write_text(FLOW.format(**{**defaults, **fields}))
    compilation = Compilation(folder / "case.flow")
    done = Completion((1,), "", "choice", choice=0, choice_logprobs=tuple(log(share) for share in shares))
    setup = compilation.setup
    judge, short = (intrinsic_value(setup.contracts[key], setup.prompter.tokenizer, done) for key in ("judge", "short"))
    return judge, short


def test_a_distribution_over_an_enum_has_its_members(tmp_path: Path) -> None:
    full, short = values(tmp_path, (0.6, 0.2), emits="Mood")
    for found in (full, short):
        assert isinstance(found, Distribution)
        assert found.top.name == "calm"
        assert found.expected == pytest.approx(0.25)  # mean place: angry is 1, a quarter of what may be written
        assert found.p(found.top) == pytest.approx(0.75)


def test_a_number_is_the_mean_over_the_distribution(tmp_path: Path) -> None:
    value = "value expected(clamp(it, 0, 1)) / 1"
    full, short = values(
        tmp_path, (0.6, 0.2), result="float[0.0..1.0]", emits="int[0..1]", value=value, short="float[0.0..1.0]"
    )
    assert full == pytest.approx(0.25)
    assert short == pytest.approx(0.75 * 0.25 + 0.25 * 1.0)


def test_a_flow_without_an_answer_for_an_empty_list_fails_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "best.flow").write_text(
        'model base = "mini"\nrecord D { score: float }\n'
        'flow main(ds: list[D]) -> D { return best(ds, "score") }\n'
        "flow cut(s: str) -> list[str] { return split(s, s) }\n"
    )
    module = Module(Compilation(tmp_path / "best.flow"), open_echo)
    with pytest.raises(RunFailed, match=r"line 3, 'best\(ds, .*there is no best of an empty list"):
        module.main(ds=[])
    with pytest.raises(RunFailed, match=r"line 4, .*empty separator"):
        module.cut(s="")
