"""The retriever of the example flows: BM25 over the documents of a folder.

The folder is `kb/`, or what the environment variable ALORA_FLOW_KB names: its text and Markdown files are cut into
passages of some paragraphs each.
"""

import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

try:
    import bm25s
except ImportError as error:
    raise ImportError("the example flows search with bm25s: pip install 'alora-flow[examples]'") from error

FOLDER = Path(__file__).parent / "kb"

LONGEST = 1200
"""Characters of a passage, unless one paragraph has more."""


def search(q: str, k: int = 2) -> list[dict[str, str]]:
    """The k passages that fit a question best; none where no word of it occurs anywhere."""
    titles, texts, index = _library(Path(os.environ.get("ALORA_FLOW_KB") or FOLDER))
    words = bm25s.tokenize(q, stopwords="en", show_progress=False)
    found, scores = index.retrieve(words, k=min(k, len(texts)), show_progress=False)
    hits = zip(found[0].tolist(), scores[0].tolist(), strict=True)
    return [{"title": titles[place], "text": texts[place]} for place, score in hits if score > 0]


@cache
def _library(folder: Path) -> tuple[list[str], list[str], bm25s.BM25]:
    """All passages and their index, made when a flow first searches."""
    files = sorted(path for path in folder.glob("*") if path.suffix in (".txt", ".md"))
    passages = [(file.stem, text) for file in files for text in _passages(file.read_text(encoding="utf-8"))]
    if not passages:
        raise FileNotFoundError(f"{folder} holds no .txt and no .md file with text")
    titles, texts = map(list, zip(*passages, strict=True))
    index = bm25s.BM25()
    index.index(bm25s.tokenize(texts, stopwords="en", show_progress=False), show_progress=False)
    return titles, texts, index


def _passages(text: str) -> Iterator[str]:
    """Neighbouring paragraphs, as many as fit."""
    passage = ""
    for paragraph in filter(None, map(str.strip, text.split("\n\n"))):
        if passage and len(passage) + len(paragraph) > LONGEST:
            yield passage
            passage = ""
        passage = f"{passage}\n\n{paragraph}".strip()
    if passage:
        yield passage
