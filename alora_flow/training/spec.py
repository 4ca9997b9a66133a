"""What is trained, on what, and how: a TOML file.

```toml
base = "smollm2"                       # as in a flow's `model base = …`
library = "intrinsics"                 # where adapters go: LIBRARY/NAME/BASE/KIND/

[intrinsic.safety]
invocation = "<|im_start|>safety\\n"
answers = { Y = 1.0, N = 0.0 }         # the labels, and the number that each stands for
train = "safety/train.jsonl"           # a file of the data folder, or a list of them
validation = "safety/val.jsonl"
test = ["safety/test.jsonl", "safety/xstest.jsonl"]
```

What stands under `[all]` holds for every intrinsic that says nothing else.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from alora_flow.errors import BadInput
from alora_flow.training.faults import first_fault, meant

Precision = Literal["auto", "float32", "bfloat16"]


def _listed(value: Any) -> Any:
    return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value


Listed = Annotated[tuple[str, ...], BeforeValidator(_listed)]
"""A text, or a list of them."""

Target = Literal[
    "q_proj", "k_proj", "v_proj", "qkv_proj", "o_proj", "gate_proj", "up_proj", "gate_up_proj", "down_proj"
]

Targets = Annotated[tuple[Target, ...], BeforeValidator(_listed), Field(min_length=1)]


def _folder_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}", name):
        raise ValueError("a name is a folder's, too: at most 100 letters, digits, '_', '-' and '.'")
    return name


Name = Annotated[str, AfterValidator(_folder_name)]
"""Of an intrinsic."""

WIDEST, SEEDS = 8192, 1 << 63
"""More than any base is wide; and how many seeds torch tells apart."""


class IntrinsicSpec(BaseModel):
    """One intrinsic.

    kind: "alora", or "lora" for a plain adapter. invocation: what a call appends to the closed turns. activate: is an
    activated adapter on from the invocation's first token, or from its last one. answers: each label, and the number
    that it stands for; without any the answers are texts. description: a sentence for the card. weakness: what it is
    known to be bad at. licences: of the data, by source. plain_prompts: questions to the bare base, the best of which
    evaluation compares with.

    documents: where a row's documents stand: "first", or "after" the last question, as what was retrieved does in a
    flow, or in "either" place, drawn for each group of training and validation rows; `eval` has them first then.

    train, validation, test: files of rows. rows: how many of the training rows are used, drawn by the seed.

    rank, alpha, targets, dropout: the adapter's, as PEFT has them. rate: of learning, reached after `warmup` steps and
    falling to zero in a straight line until the end of `epochs`. decay: of the weights. batch: rows a step.
    evaluations: of the validation rows in an epoch. patience: how many of them without a smaller loss end the training.
    start: another intrinsic, with whose weights this one begins; it is trained before. longest: tokens that a row may
    have with its answer. seed: of the first weights, and of the rows' order.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    kind: Literal["alora", "lora"] = "alora"
    invocation: str = Field(min_length=1)
    activate: Literal["start", "end"] = "start"
    answers: dict[str, float] = Field(default_factory=dict)
    description: str = ""
    weakness: str = ""
    licences: dict[str, str] = Field(default_factory=dict)
    plain_prompts: Listed = ()
    documents: Literal["first", "after", "either"] = "first"

    train: Listed = Field(min_length=1)
    validation: Listed = Field(min_length=1)
    test: Listed = ()
    rows: int | None = Field(default=None, ge=1)

    rank: int = Field(default=32, ge=1, le=WIDEST)
    alpha: float = Field(default=32.0, gt=0)
    targets: Targets = ("q_proj", "k_proj", "v_proj")
    dropout: float = Field(default=0.0, ge=0, lt=1)
    rate: float = Field(default=1e-3, gt=0)
    warmup: int = Field(default=20, ge=0)
    epochs: int = Field(default=3, ge=1)
    decay: float = Field(default=0.01, ge=0)
    batch: int = Field(default=32, ge=1)
    evaluations: int = Field(default=2, ge=1)
    patience: int = Field(default=4, ge=1)
    start: str = ""
    longest: int = Field(default=2048, ge=2)
    seed: int = Field(default=0, ge=0, lt=SEEDS)

    @model_validator(mode="after")
    def _labels_differ(self) -> IntrinsicSpec:
        if len(self.answers) == 1:
            raise ValueError("one label is no choice: give at least two `answers`, or none for texts")
        if "" in self.answers:
            raise ValueError("a label of `answers` is empty: nothing would be learnt from it")
        return self


class Spec(BaseModel):
    """A whole file. base: a model as a flow names it. library: the folder that adapters are written to. precision: what
    the base computes with; "auto" is bfloat16 where the processor multiplies it faster. path: the file itself.
    data: where the files of rows are."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    base: str = Field(min_length=1)
    library: Path = Path("intrinsics")
    data: Path = Path()
    precision: Precision = "auto"
    intrinsic: dict[Name, IntrinsicSpec] = Field(min_length=1)
    path: Path

    def one(self, name: str) -> IntrinsicSpec:
        """An intrinsic by its name. Raises BadInput with those that there are."""
        if name not in self.intrinsic:
            raise BadInput(f"{self.path} has no intrinsic '{name}'", meant(name, self.intrinsic))
        return self.intrinsic[name]


def read_spec(path: Path, *, data: Path | None = None, library: Path | None = None, **changed: object) -> Spec:
    """Read a file; its folders are relative to it. data, library: in the place of the file's own, relative to the
    working folder. changed: keys of every intrinsic, in the place of the file's own. Raises BadInput with the key."""
    try:
        read = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise BadInput(f"{path} can't be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} is not TOML: {error}") from error
    shared, own = read.pop("all", {}), read.get("intrinsic")
    if not isinstance(shared, Mapping):
        raise BadInput(f"{path}: all is no table", "write [all], and keys of intrinsics below it")
    if "path" in read:
        raise BadInput(f"{path}: path is no key that is known here", meant("", Spec.model_fields))
    if isinstance(own, Mapping):
        given = {key: value for key, value in changed.items() if value is not None}
        read["intrinsic"] = {
            name: {**shared, **one, **given} if isinstance(one, Mapping) else one for name, one in own.items()
        }
    try:
        spec = Spec.model_validate({**read, "path": path})
    except ValidationError as error:
        inside = error.errors()[0]["loc"][0] == "intrinsic"
        raise first_fault(error, str(path), IntrinsicSpec if inside else Spec) from error
    places = {"data": data or _near(path, spec.data), "library": library or _near(path, spec.library)}
    return spec.model_copy(update=places)


def _near(path: Path, folder: Path) -> Path:
    """A folder that a file names. Raises BadInput for one that can't be."""
    try:
        found = path.parent / folder.expanduser()
        found.resolve()
    except (RuntimeError, ValueError, OSError) as error:
        raise BadInput(f"{path}: {str(folder)!r} can be no folder: {error}") from error
    return found
