"""The retriever of the example flows: BM25 over the documents in `kb/`."""

from functools import cache
from pathlib import Path

try:
    import bm25s
except ImportError as error:
    raise ImportError("the example flows search with bm25s: pip install 'alora-flow[examples]'") from error

FOLDER = Path(__file__).parent / "kb"


def search(q: str, k: int = 2) -> list[dict[str, str]]:
    """The k documents that fit a question best; none where no word of it occurs anywhere."""
    titles, texts, index = _library()
    words = bm25s.tokenize(q, stopwords="en", show_progress=False)
    found, scores = index.retrieve(words, k=min(k, len(texts)), show_progress=False)
    hits = zip(found[0].tolist(), scores[0].tolist(), strict=True)
    return [{"title": titles[place], "text": texts[place]} for place, score in hits if score > 0]


@cache
def _library() -> tuple[list[str], list[str], bm25s.BM25]:
    """All documents and their index, made when a flow first searches."""
    files = sorted(FOLDER.glob("*.txt"))
    texts = [file.read_text().strip() for file in files]
    index = bm25s.BM25()
    index.index(bm25s.tokenize(texts, stopwords="en", show_progress=False), show_progress=False)
    return [file.stem for file in files], texts, index
