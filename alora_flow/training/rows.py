"""Labelled rows: one JSON object a line, as chats are stored, with the answer that is to be learnt."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from alora_flow.errors import BadInput
from alora_flow.prompts.contents import Thread, Turn
from alora_flow.training.faults import first_fault
from alora_flow.training.spec import IntrinsicSpec
from alora_flow.values.data import Document, passages, thread_of_chat
from alora_flow.values.history import ChatTurn
from alora_flow.values.json_text import read_objects
from alora_flow.values.text import UnicodeText


def _document(value: Any) -> Any:
    return {"text": value} if isinstance(value, str) else value


def _group(value: Any) -> Any:
    if not isinstance(value, str | int):
        raise ValueError(f"wants a text or a whole number, not {value!r}")
    return value


class LabelledRow(BaseModel):
    """One line. documents: texts, or objects with `text` and `title`; where they stand says the spec. source: where the
    row comes from, for figures of each. group: rows of one group never stand in two splits. outcome: what came true,
    from 0 to 1, where that is not the label's own number. answer, answers: what the base should have said."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    messages: tuple[ChatTurn, ...] = Field(min_length=1)
    documents: tuple[Annotated[Document, BeforeValidator(_document)], ...] = ()
    completion: UnicodeText
    source: str = ""
    group: Annotated[str | int, BeforeValidator(_group)] = ""
    outcome: float | None = Field(None, ge=0, le=1)
    answer: str | None = None
    answers: tuple[str, ...] = ()

    _where: str = ""

    @property
    def where(self) -> str:
        """Its file and line, for messages."""
        return self._where

    @property
    def file(self) -> str:
        """Its file."""
        return self._where.rpartition(", line ")[0]

    @property
    def thread(self) -> Thread:
        """What the intrinsic reads, with the documents first."""
        return self.thread_with(self.after_system)

    def thread_with(self, place: int) -> Thread:
        """What the intrinsic reads, with the documents in front of the message of this number."""
        said = [*thread_of_chat(self.messages)]
        given = [Turn("documents", (passages(self.documents),))] if self.documents else []
        return Thread.of([*said[:place], *given, *said[place:]])

    @property
    def after_system(self) -> int:
        """The number of the first message that is no system turn: documents that are first stand in front of it."""
        return next((number for number, turn in enumerate(self.messages) if turn.role != "system"), len(self.messages))

    @property
    def after_question(self) -> int:
        """The number of the message that follows the last one of a user."""
        places = (number for number, turn in enumerate(self.messages, 1) if turn.role == "user")
        return max(places, default=self.after_system)


def read_rows(data: Path, names: Iterable[str]) -> list[LabelledRow]:
    """The rows of some files of a folder. Raises BadInput with the file, the line, and what is wrong there."""
    missing = "give the folder of the data: --data DIR"
    return [_row(row, place) for name in names for place, row in read_objects(data / name, missing)]


def _row(content: Mapping[str, Any], where: str) -> LabelledRow:
    try:
        row = LabelledRow.model_validate(content)
    except ValidationError as error:
        inside = error.errors()[0]["loc"][:1] == ("documents",)
        raise first_fault(error, where, Document if inside else LabelledRow) from error
    row._where = where
    return row


def check_labels(rows: Sequence[LabelledRow], spec: IntrinsicSpec, split: str) -> None:
    """Raises BadInput for a label that is none of the intrinsic's; of rows that are learnt from, or that choose the
    best weights, also for one that none has."""
    if not spec.answers:
        return
    known = ", ".join(spec.answers)
    for row in rows:
        if row.completion not in spec.answers:
            raise BadInput(f"{row.where}: the label is {row.completion!r}, which is none of the answers: {known}")
    labels = {row.completion for row in rows}
    empty = [label for label in spec.answers if label not in labels]
    scale = len({*spec.answers.values()}) > 2 and len(labels) > 1  # the ends of one may be empty
    if split != "test" and empty and not scale:
        raise BadInput(f"no {split} row has the label {empty[0]!r}", f"the answers are {known}")


def check_splits(splits: Mapping[str, Sequence[LabelledRow]]) -> None:
    """Raises BadInput for a group that stands in two splits, and for a row of no group that does."""
    seen: dict[tuple[str | int, str], tuple[str, LabelledRow]] = {}
    for split, rows in splits.items():
        for row in rows:
            alone = row.group == ""
            other, first = seen.setdefault((row.group, row.where if alone else ""), (split, row))
            if other != split:
                what = "a row" if alone else f"group {row.group!r}"
                raise BadInput(
                    f"{what} stands in {other} ({first.where}) and in {split} ({row.where})",
                    "rows of one group belong into one split: what is measured would have been learnt",
                )
