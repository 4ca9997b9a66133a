"""The retriever of the demo: BM25 over the paragraphs of alora-flow's README."""

import re
from functools import cache
from pathlib import Path

import bm25s

README = Path(__file__).parent.parent.parent / "README.md"
LONGEST = 1200
"""Letters of a paragraph that are handed to the model."""


def search(q: str) -> list[dict[str, str]]:
    """The two paragraphs that fit a question best, under their headings."""
    titles, texts, index = _library()
    found, _ = index.retrieve(bm25s.tokenize(q, stopwords="en", show_progress=False), k=2, show_progress=False)
    return [{"title": titles[place], "text": texts[place]} for place in found[0].tolist()]


@cache
def _library() -> tuple[list[str], list[str], bm25s.BM25]:
    """Headings, paragraphs and their index."""
    sections = re.split(r"^#+ (.*)\n", README.read_text(encoding="utf-8"), flags=re.MULTILINE)
    pairs = [
        (title, paragraph.strip()[:LONGEST])
        for title, section in zip(sections[1::2], sections[2::2], strict=True)
        for paragraph in re.sub(r"```.*?```", "", section, flags=re.DOTALL).split("\n\n")
        if paragraph.strip()
    ]
    titles, texts = [title for title, _ in pairs], [text for _, text in pairs]
    index = bm25s.BM25()
    index.index(bm25s.tokenize(texts, stopwords="en", show_progress=False), show_progress=False)
    return titles, texts, index
