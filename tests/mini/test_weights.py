"""The shipped weights: the files are those of the manifest, small, and as good as the card says, less a margin."""

import json
from functools import cache

import pytest
import torch
import yaml
from alora_flow.flows.kb import search
from peft import PeftModel
from transformers import AutoModelForCausalLM

from alora_flow.mini import INTRINSICS, WEIGHTS
from alora_flow.mini.recipe import card
from alora_flow.mini.recipe.encoding import samples, thread_ids
from alora_flow.mini.recipe.evaluation import certainty, evaluate_base
from alora_flow.mini.recipe.folders import MEANINGS, adapter_folder, load_adapter, load_base
from alora_flow.mini.recipe.measuring import judge, own_answers
from alora_flow.mini.recipe.network import Network
from alora_flow.mini.recipe.reading import follow, greedy, read
from alora_flow.mini.recipe.shipping import manifest
from alora_flow.mini.recipe.vocabulary import Encoder
from alora_flow.mini.world import heldout
from alora_flow.mini.world.chat import WorldTurn
from alora_flow.mini.world.tasks import cases_of

RESULTS = json.loads((WEIGHTS / "results.json").read_text(encoding="utf-8"))
SAMPLES = 96
# Half of the interval that so few samples have; the figures themselves come from 400 or more.
MARGIN = 0.08


@cache
def base() -> tuple[Network, Encoder]:
    return load_base(WEIGHTS / "base"), Encoder.load(WEIGHTS / "base")


def test_files_are_those_of_the_manifest() -> None:
    assert manifest(WEIGHTS) == json.loads((WEIGHTS / "manifest.json").read_text(encoding="utf-8"))


def test_all_files_together_are_small() -> None:
    assert sum(p.stat().st_size for p in WEIGHTS.rglob("*") if p.is_file()) <= 8_000_000


def test_the_card_is_written_from_the_results() -> None:
    assert (WEIGHTS / "CARD.md").read_text(encoding="utf-8") == card.render(RESULTS)


def test_the_readme_says_what_the_card_says() -> None:
    readme = " ".join((WEIGHTS.parents[2] / "README.md").read_text(encoding="utf-8").split())
    base = RESULTS["base"]
    assert f"model of {RESULTS['costs']['base']['parameters'] / 1e6:.1f} M parameters" in readme
    assert f"answers {card.percent(base['small']['rate'])} of the questions on one or two documents" in readme
    assert f"exactly and {card.percent(base['large']['rate'])} of those on two to four" in readme
    assert "all six adapters work" in readme
    assert all(figures["works"] for figures in RESULTS["intrinsics"].values())


def test_the_base_answers_as_measured() -> None:
    figures = evaluate_base(*base(), count=SAMPLES)
    for name in ("small", "large", "admits", "calls_before", "reads_yes", "reads_no", "calls_after", "reads_digit"):
        assert figures[name]["rate"] >= RESULTS["base"][name]["rate"] - MARGIN, name
    assert figures["calls_unasked"]["rate"] <= RESULTS["base"]["calls_unasked"]["rate"] + MARGIN


@pytest.mark.parametrize("name", [n for n in INTRINSICS if n != "uncertainty"])
def test_an_adapter_errs_no_more_than_measured(name: str) -> None:
    network, encoder = base()
    cases = cases_of(name, "test", SAMPLES, 4711, own_answers(network, encoder))
    right, _ = judge(network, samples(encoder, name, cases), load_adapter(network.shape, name, WEIGHTS))
    assert 1 - sum(right) / len(right) <= RESULTS["intrinsics"][name]["rate"] + MARGIN


def test_certainty_is_no_worse_than_measured() -> None:
    network, encoder = base()
    cases = cases_of("uncertainty", "test", SAMPLES, 4711, own_answers(network, encoder))
    _, scores = judge(
        network, samples(encoder, "uncertainty", cases), load_adapter(network.shape, "uncertainty", WEIGHTS)
    )
    right = torch.tensor([float(c.right) for c in cases])
    brier = float(((certainty(scores, encoder) - right) ** 2).mean())
    assert brier <= RESULTS["intrinsics"]["uncertainty"]["brier"] + MARGIN


@cache
def reference() -> torch.nn.Module:
    model: torch.nn.Module = AutoModelForCausalLM.from_pretrained(WEIGHTS / "base", dtype=torch.float32)
    return model


@torch.no_grad()
def test_transformers_reads_the_same_base() -> None:
    network, encoder = base()
    samples = heldout.answerable(31, heldout.SMALL, 4)
    for sample in samples:
        ids = torch.tensor([thread_ids(encoder, sample.turns)])
        ours = network.logits(network(ids))
        torch.testing.assert_close(ours, reference()(ids).logits, atol=2e-4, rtol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("name", INTRINSICS)
def test_peft_gives_the_same_scores(name: str) -> None:
    network, encoder = base()
    adapter = load_adapter(network.shape, name, WEIGHTS)
    thread = thread_ids(encoder, heldout.answerable(32, heldout.SMALL, 1)[0].turns)
    suffix = torch.tensor([[encoder.role(name), *encoder.text("Who is the mayor of Tarnok?")]])
    ours = follow(network, read(network, [thread]), suffix, adapter)
    model = AutoModelForCausalLM.from_pretrained(WEIGHTS / "base", dtype=torch.float32)
    tuned = PeftModel.from_pretrained(model, str(adapter_folder(WEIGHTS, name))).eval()
    ids = torch.cat([torch.tensor([thread]), suffix], 1)
    theirs = tuned(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[:, len(thread) :]
    torch.testing.assert_close(ours, theirs, atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("name", INTRINSICS)
def test_contracts_are_whole(name: str) -> None:
    contract = yaml.safe_load((adapter_folder(WEIGHTS, name) / "io.yaml").read_text(encoding="utf-8"))
    assert {"model", "response_format", "transformations"} <= set(contract)
    if MEANINGS[name]:
        (rule,) = contract["transformations"]
        assert rule["type"] == "likelihood"
        assert rule["categories_to_values"] == MEANINGS[name]


DEMO = {
    "Who is the mayor of Tarnok?": "The mayor of Tarnok is Olga Belvis.",
    "When was Tarnok founded?": "The founding year of Tarnok is 1742.",
    "Which river runs through Kelmar?": "The river of Kelmar is Nimtor.",
    "What is the job of Anna Galdun?": "The job of Anna Galdun is judge.",
    "Who taught Felix Rusden?": "The teacher of Felix Rusden was Clara Sivrok.",
    "Who commands the Vosrik?": "The captain of the Vosrik is Paul Lorkin.",
    "What is the home port of the Fendor?": "The home port of the Fendor is Pelgar.",
    "What does Bartus make?": "The main product of Bartus is cloth.",
    "Where is the main office of Kursem?": "The main office of Kursem is in Gortal.",
}


@pytest.mark.parametrize("question", DEMO)
def test_the_demo_documents_are_answered(question: str) -> None:
    network, encoder = base()
    documents = "\n".join(f"[{i}] {d['text']}" for i, d in enumerate(search(question), 1))
    turns = [
        WorldTurn("system", "You answer from the documents only."),
        WorldTurn("user", question),
        WorldTurn("documents", documents),
    ]
    (ids,) = greedy(network, [thread_ids(encoder, turns)], encoder.assistant, encoder.end)
    assert encoder.decode(ids) == DEMO[question]
