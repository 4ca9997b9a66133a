"""Training rows: what an answer is copied from, and that padding keeps it."""

from pathlib import Path

import pytest

from alora_flow.mini.recipe import vocabulary
from alora_flow.mini.recipe.encoding import Row, pad, rows_of, shard
from alora_flow.mini.recipe.vocabulary import Encoder
from alora_flow.mini.world.chat import WorldTurn, answer
from alora_flow.mini.world.corpus import STAGES, recitals
from alora_flow.mini.world.pieces import PLAIN, VALUE


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    folder: Path = tmp_path_factory.mktemp("tokenizer")
    vocabulary.save(folder)
    return Encoder.load(folder)


def copied(encoder: Encoder, row: Row) -> list[tuple[str, str, str]]:
    """At which token, which one is written next, and the two tokens that end where that is copied from."""
    return [
        (
            encoder.decode([row.ids[at]]),
            encoder.decode([row.ids[at + 1]]),
            encoder.decode(row.ids[source - 1 : source + 1]),
        )
        for at, source in sorted(row.sources().items())
    ]


DOCUMENTS = WorldTurn(
    "documents", "[1] Tarnok is a mining town. It lies on the river Vosrik. Its mayor is Anna Belvis."
)


def test_values_point_to_the_documents_and_so_does_the_role(encoder: Encoder) -> None:
    reply = answer([("The mayor of Tarnok is", PLAIN), (" Anna Belvis", VALUE), (".", PLAIN)])
    [row] = rows_of(encoder, [[DOCUMENTS, WorldTurn("user", "Who is its mayor?"), reply]])
    assert copied(encoder, row) == [
        ("<|assistant|>", "The", " is Anna"),
        (" is", " Anna", " is Anna"),
        (" Anna", " Bel", " Anna Bel"),
        (" Bel", "vis", " Belvis"),
    ]


def test_what_is_written_twice_before_points_nowhere(encoder: Encoder) -> None:
    reply = answer([("The river is", PLAIN), (" Vosrik", VALUE), (".", PLAIN)])
    [row] = rows_of(encoder, [[DOCUMENTS, WorldTurn("user", "Do the documents say Vosrik?"), reply]])
    assert not row.sources()


def test_a_recital_learns_values_and_not_which_comes_first(encoder: Encoder) -> None:
    for row in rows_of(encoder, recitals(3, STAGES[2], 20)):
        sources = row.sources()
        assert sources
        assert all(row.ids[at + 1] == row.ids[source] and source < at + 1 for at, source in sources.items())
        assert encoder.assistant not in {row.ids[at] for at in sources}


def test_batches_keep_sources(encoder: Encoder) -> None:
    row = rows_of(encoder, recitals(3, STAGES[0], 1))[0]
    batch = pad([row], 512)
    places = batch.sources[0].nonzero()[0]
    assert {int(at): int(batch.sources[0, at]) - 1 for at in places} == row.sources()


def test_the_same_seed_makes_the_same_shard(encoder: Encoder) -> None:
    once, again = (shard(encoder, 5, STAGES[4], 60, 0.35, 2048) for _ in range(2))
    assert once
    assert all((a.ids == b.ids).all() and (a.sources == b.sources).all() for a, b in zip(once, again, strict=True))
