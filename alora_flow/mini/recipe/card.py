"""The model card, written from `results.json`: no figure in it is typed by hand."""

from __future__ import annotations

from typing import Any

from alora_flow.training.card import percent, spread, table, verdict

Results = dict[str, Any]

INTRODUCTION = """# The bundled model

A tiny Llama and six activated LoRA adapters, trained from nothing on chats about a closed world of invented towns,
people, ships and companies. It exists so that flows run, tests pass and caches can be watched on any machine without a
download. It knows nothing else: use it to try alora-flow out, never to answer a real question.
"""

LIMITS = """## What it can not do

- Text outside its closed world: other words fall apart into bytes that training never showed it.
- Names that share a syllable within one prompt, names that are values and subjects at once, more than four documents,
  threads of more than about 500 tokens: none of these were trained.
- Choosing between documents that contradict each other, arithmetic, following instructions of any kind.
- Calling intrinsics other than `answerability` before an answer and `uncertainty` after one, calling where nobody asks
  for it in the words that it was trained on, and reading `tool_result` turns.
- Its sense of safety is a table of verbs and objects. It protects nobody.
- With a plain system turn it guesses where the documents do not say. That is meant: the intrinsics are there to notice.
"""

BASE_ROWS = {
    "small": "exact answers, 1–2 documents of 1–3 facts",
    "large": "exact answers, 2–4 documents of 2–4 facts",
    "admits": "says that the documents do not say, when told to be careful and they don't",
    "guesses": "guesses when they don't and nobody told it to be careful",
    "calls_before": "asked to check before it answers: calls `answerability` first",
    "reads_yes": "… and answers to the letter after a `Y`",
    "reads_no": "… and says that the documents do not say after an `N`",
    "calls_after": "asked how sure it is: answers to the letter, then calls `uncertainty`",
    "reads_digit": "… and says that it is not sure after a digit below 5, and nothing after another",
    "calls_unasked": "calls where nobody asked it to",
}
BREAKDOWNS = {"by_order": "order", "by_wording": "wording", "by_value": "asked for"}


def restarts(starts: list[float]) -> str:
    """A sentence about a base that was not trained in one go."""
    if len(starts) < 2:
        return ""
    times = ", ".join(f"{minute:.1f}" for minute in starts[1:])
    return (
        f" The base was not trained in one go: it was started again from its checkpoint at minutes {times}, with a"
        " longer budget or other shares of chats than before, so its learning rate fell and rose again. The recipe now"
        " has the final shares from the start; run in one go it will not give the same weights."
    )


def base_table(base: Results) -> str:
    """The base's figures, then the two main ones by part."""
    rows = [[text, percent(base[k]["rate"]), spread(base[k]), str(base[k]["n"])] for k, text in BASE_ROWS.items()]
    for key in ("small", "large"):
        for part, word in BREAKDOWNS.items():
            rows += [
                [f"{key}: {word} = {name}", percent(f["rate"]), spread(f), str(f["n"])]
                for name, f in base[key][part].items()
            ]
    return table(["base", "rate", "95 % interval", "n"], rows)


def adapter_table(intrinsics: Results) -> str:
    """The errors of those that are right or wrong, against the trivial rule."""
    rows = [
        [name, percent(f["rate"]), spread(f), percent(f["trivial"]), str(f["n"]), verdict(f["works"], f["rate"])]
        for name, f in intrinsics.items()
        if "rate" in f
    ]
    return table(["intrinsic", "error", "95 % interval", "trivial rule's error", "n", "verdict"], rows)


def group_table(intrinsics: Results) -> str:
    """Where the errors are."""
    rows = [
        [name, group, percent(f["rate"]), spread(f), str(f["n"])]
        for name, figures in intrinsics.items()
        for group, f in figures.get("by_group", {}).items()
    ]
    return table(["intrinsic", "cases", "error", "95 % interval", "n"], rows)


def certainty_table(f: Results) -> str:
    """Certainty's own figures."""
    gain = f"{f['gain_low']:.3f} to {f['gain_high']:.3f}"
    row = [f"{f['brier']:.3f}", f"{f['brier_constant']:.3f}", gain, f"{f['ece']:.3f}", str(f["n"]), verdict(f["works"])]
    return table(["Brier", "best constant's Brier", "gain, 95 % interval", "ECE", "n", "verdict"], [row])


def cost_table(costs: Results) -> str:
    """What each part took."""
    base = costs["base"]
    rows = [
        [
            "base",
            f"{base['parameters']:,}",
            f"{base['minutes']:g} min, {base['tokens']:,} tokens, {base['steps']:,} steps",
        ]
    ]
    for name, part in costs.items():
        if name != "base":
            rows.append([name, f"{part['parameters']:,}", f"{part['seconds']} s, {part['cases']:,} cases"])
    return table(["part", "parameters", "cost"], rows)


def seed_table(seeds: list[Results]) -> str:
    """A line for each seed: the base's main rates, the intrinsics' errors, certainty's Brier score."""
    names = [name for name in seeds[0] if name not in ("seed", "uncertainty")]
    rows = [
        [str(line["seed"]), *(percent(line[name]) for name in names), f"{line['uncertainty']:.3f}"] for line in seeds
    ]
    heads = [name if name in BASE_ROWS else f"{name}, error" for name in names]
    return table(["seed", *heads, "certainty, Brier"], rows)


def render(results: Results) -> str:
    """The whole card."""
    base, others, costs = results["base"], results["intrinsics"], results["costs"]
    numbers = "bf16 matrix products" if costs["base"]["bf16_matrices"] else "float32"
    threads = f"{costs['base']['threads']} CPU thread{'s' * (costs['base']['threads'] > 1)}"
    made = (
        f"## How it was made\n\n```\n{results['command']}\n```\n\n"
        f"Seed {results['seed']}, {threads} shared with other work, {numbers} for the"
        f" base, float32 for the adapters. The adapters have rank {results['course']['rank']} on q, k and v; the"
        " base's keys and values before the invocation token were computed once and kept. While the base trained, two"
        " of its attention heads were told where to look: one token back, and where an answer is copied from."
        f"{restarts(results['starts'])}\n\n"
    )
    measured = (
        "## What was measured\n\nOn names, and on pairs of verb and object, that training never saw; float32, greedy,"
        " right to the letter. Intervals are Wilson's. What is shipped is what was measured.\n\n"
    )
    seeds = f"All seeds that were trained; seed {results['seed']} is shipped.\n\n"
    sections = [
        INTRODUCTION,
        made + cost_table(costs),
        measured + base_table(base),
        adapter_table(others),
        "Certainty is the mean over the ten digits, as `io.yaml` reads them.\n\n"
        + certainty_table(others["uncertainty"]),
        group_table(others),
        seeds + seed_table(results["seeds"]),
        LIMITS,
    ]
    return "\n".join(sections)
