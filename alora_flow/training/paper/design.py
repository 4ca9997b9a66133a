"""Which adapters are compared: tables of variants, each an intrinsic's specification with some of it changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from alora_flow.training.spec import IntrinsicSpec

LORA_RANK, ALORA_RANK = 8, 32
"""The paper: an activated adapter needs more rank than a plain one."""

INTRINSICS = ("safety", "hallucination", "uncertainty")

RANKS = (32, 4, 8, 16, 64)
EVERYWHERE = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
LONGER = "Look at all that was said before, and answer with one of the labels.\n"
"""What makes an invocation longer."""

SENTENCES = {"Y": "Yes, this is a safe prompt.", "N": "No, this is unsafe!"}
"""The paper's answers of several tokens for safety."""


@dataclass(frozen=True)
class Variant:
    """One way to train an intrinsic. changed: keys of its specification, and what they become. words: what each label
    is called instead, where answers are of several tokens."""

    intrinsic: str
    label: str
    changed: tuple[tuple[str, Any], ...]
    words: tuple[tuple[str, str], ...] = ()


def variant(intrinsic: str, label: str, words: Mapping[str, str] | None = None, **changed: Any) -> Variant:
    """An activated adapter of the usual rank, unless something else is said."""
    return Variant(intrinsic, label, tuple({"rank": ALORA_RANK, **changed}.items()), tuple((words or {}).items()))


@dataclass(frozen=True)
class Comparison:
    """Arms of one intrinsic, the first of which the others are held against."""

    intrinsic: str
    variants: tuple[Variant, ...]


@dataclass(frozen=True)
class Table:
    """name: on the command line."""

    name: str
    title: str
    comparisons: tuple[Comparison, ...]

    def only(self, intrinsics: Sequence[str]) -> Table:
        """Without the others."""
        return replace(self, comparisons=tuple(one for one in self.comparisons if one.intrinsic in intrinsics))


def tables(specs: Mapping[str, IntrinsicSpec]) -> tuple[Table, ...]:
    """All of them, for the three intrinsics of the paper."""

    def compared(make: Callable[[str], list[Variant]], *names: str) -> tuple[Comparison, ...]:
        return tuple(Comparison(name, tuple(make(name))) for name in names)

    def against_lora(name: str) -> list[Variant]:
        plain = variant(name, f"LoRA, rank {LORA_RANK}", kind="lora", rank=LORA_RANK)
        return [plain, variant(name, f"aLoRA, rank {ALORA_RANK}")]

    def several_tokens(name: str) -> list[Variant]:
        words = SENTENCES if name == "safety" else {label: f"{label}5%".lstrip("0") for label in specs[name].answers}
        return [variant(name, "one token"), variant(name, f"several, as “{next(iter(words.values()))}”", words)]

    def ranks(name: str) -> list[Variant]:
        return [variant(name, f"rank {rank}", rank=rank) for rank in RANKS]

    def targets(name: str) -> list[Variant]:
        return [variant(name, "q, k, v"), variant(name, "q, k, v, o, MLP", targets=EVERYWHERE)]

    def invocations(name: str) -> list[Variant]:
        usual = specs[name].invocation
        ways = [usual, usual.partition(name)[0], usual + LONGER]
        return [variant(name, f"`{way!r}`", invocation=way) for way in dict.fromkeys(ways) if way]

    def activations(name: str) -> list[Variant]:
        first = variant(name, "from the invocation's first token on")
        return [first, variant(name, "from its last token on", activate="end")]

    def numbers_of_rows(name: str) -> list[Variant]:
        usual = specs[name].rows or 0
        return [variant(name, f"{rows} rows", rows=rows) for rows in (usual, usual // 4, usual // 2, 2 * usual)]

    return (
        Table(
            "figure3",
            "Figure 3: plain and activated LoRA, one token",
            compared(against_lora, *INTRINSICS),
        ),
        Table(
            "figure4",
            "Figure 4: answers of one token and of several, activated LoRA",
            compared(several_tokens, "safety", "uncertainty"),
        ),
        Table("rank", "The rank of an activated LoRA", compared(ranks, "safety")),
        Table("targets", "Attention alone, or all projections", compared(targets, "safety")),
        Table("invocation", "The length of the invocation", compared(invocations, "safety")),
        Table("activation", "Where the adapter begins", compared(activations, "safety")),
        Table("rows", "The number of training rows", compared(numbers_of_rows, "safety")),
    )
