"""The retriever of the demo: BM25 over the paragraphs of alora-flow's README and of its page on models."""

import re
from functools import cache
from pathlib import Path

import bm25s

ROOT = Path(__file__).parent.parent.parent
PAGES = (ROOT / "README.md", ROOT / "docs" / "models.md")
SHORTEST, LONGEST = 60, 700
"""Letters of a paragraph that is worth a look, and that are handed to the model."""


def search(q: str) -> dict[str, str]:
    """The paragraph that fits a question best, under its page and heading."""
    titles, texts, index = _library()
    found, _ = index.retrieve(bm25s.tokenize(q, stopwords="en", show_progress=False), k=1, show_progress=False)
    place = int(found[0][0])
    return {"title": titles[place], "text": texts[place]}


@cache
def _library() -> tuple[list[str], list[str], bm25s.BM25]:
    """Headings, paragraphs and their index; no code and no tables."""
    titles, texts = [], []
    for page in PAGES:
        prose = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        sections = re.split(r"^#+ (.*)\n", prose, flags=re.MULTILINE)
        for title, section in zip(sections[1::2], sections[2::2], strict=True):
            paragraphs = [" ".join(paragraph.split()) for paragraph in section.split("\n\n")]
            kept = [each[:LONGEST] for each in paragraphs if len(each) >= SHORTEST and not each.startswith("|")]
            titles += [f"{page.name}: {title}"] * len(kept)
            texts += kept
    index = bm25s.BM25()
    words = [f"{title} {text}" for title, text in zip(titles, texts, strict=True)]
    index.index(bm25s.tokenize(words, stopwords="en", show_progress=False), show_progress=False)
    return titles, texts, index
