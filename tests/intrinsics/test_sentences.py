"""Sentences as an untrained Punkt finds them (what is expected was written by nltk), and threads with their numbers."""

from __future__ import annotations

import pytest

from alora_flow.intrinsics.sentences import numbered, spans
from alora_flow.prompts.contents import Generated, Hole, KnownText, Passages, Turn

SPLIT = [
    ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
    ("Dr. Smith met J. Smith. He won.", ["Dr.", "Smith met J. Smith.", "He won."]),
    ("It costs 3.14 dollars. e.g. this", ["It costs 3.14 dollars.", "e.g.", "this"]),
    ('He said "stop." Then (really.) he left.', ['He said "stop."', "Then (really.)", "he left."]),
    ("Wait... what? No.", ["Wait... what?", "No."]),
    ("Very bad acting!!! I promise.", ["Very bad acting!!!", "I promise."]),
    ("He was 5. the end. He was 5. The end.", ["He was 5. the end.", "He was 5.", "The end."]),
    ("A line.\n\nAnother.\n", ["A line.", "Another."]),
    ("no end", ["no end"]),
    ("   ", []),
    ("", []),
]


@pytest.mark.parametrize(("text", "sentences"), SPLIT)
def test_sentences_are_punkts(text: str, sentences: list[str]) -> None:
    found = spans(text)
    assert [text[start:end].strip() for start, end in found] == sentences
    assert [start for start, _ in found[1:]] == [end for _, end in found[:-1]]
    assert not found or (found[0][0], found[-1][1]) == (0, len(text))


THREAD = (
    Turn("user", (KnownText("Hi there. ", control=True), KnownText("Who? Me."))),
    Turn("documents", (Passages((("t", "A. B cat."), ("", "One. Two."))),)),
    Turn("assistant", (Generated((1, 2), "Yes. No."),)),
)


def test_documents_and_earlier_messages_are_numbered_on_and_the_last_message_by_itself() -> None:
    marks = {"last_message": "r", "documents": "c", "all_but_last_message": "c"}
    (user, documents, last), sentences = numbered(THREAD, marks)
    assert documents.content == (Passages((("t", "<c0> A. B cat."), ("", "<c1> One. <c2> Two."))),)
    assert [piece.text for piece in user.content] == ["<c3> Hi there. ", "<c4> Who? <c5> Me."]  # type: ignore[union-attr]
    assert [piece.control for piece in user.content] == [True, False]  # type: ignore[union-attr]
    assert last.content == (KnownText("<r0> Yes. <r1> No."),)
    assert sorted(sentences["documents"]) == [0, 1, 2]
    assert sorted(sentences["all_but_last_message"]) == [3, 4, 5]
    two = sentences["documents"][2]
    assert (two.begin, two.end, two.text, two.document_id) == (5, 9, "Two.", "2")
    me = sentences["all_but_last_message"][5]
    assert (me.begin, me.text, me.message_index) == (15, "Me.", 0)
    assert sentences["last_message"][1].message_index == 1


def test_only_what_is_asked_for_is_numbered() -> None:
    thread, sentences = numbered(THREAD, {"documents": "c"})
    assert (thread[0], thread[2]) == (THREAD[0], THREAD[2])
    assert set(sentences) == {"documents"}


def test_what_is_not_known_yet_is_another_hole() -> None:
    thread = (Turn("", (Hole("history"),)), Turn("user", (KnownText("a "), Hole("q"))))
    found, sentences = numbered(thread, {"last_message": "r"})
    assert tuple(found) == (thread[0], Turn("user", (KnownText("a "), Hole("q with <r…>"))))
    assert sentences == {}


def test_a_sentence_may_lie_in_several_pieces() -> None:
    pieces = (KnownText("On", control=True), KnownText("e. Tw"), KnownText("o. End."))
    (turn,), _ = numbered((Turn("user", pieces),), {"last_message": "s"})
    assert "".join(piece.text for piece in turn.content) == "<s0> One. <s1> Two. <s2> End."  # type: ignore[union-attr]


def test_a_million_full_stops_are_looked_at_once() -> None:
    dots = "." * 1_000_000
    assert spans(f"A{dots} b") == [(0, len(dots) + 3)]
    assert spans(f"A{dots}b") == [(0, len(dots) + 2)]
