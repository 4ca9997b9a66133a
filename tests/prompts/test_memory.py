"""What a tokenizer keeps is bounded by its bytes, whatever the texts are."""

from __future__ import annotations

from alora_flow.prompts.memory import EncodingMemory


def test_bounded_by_bytes_whatever_the_texts() -> None:
    asked: list[str] = []

    def encode(text: str) -> tuple[int, ...]:
        asked.append(text)
        return tuple(map(ord, text))

    memory = EncodingMemory(encode, 100_000)
    for length, most in ((10, 400), (1000, 4), (20_000, 4)):
        for number in range(500):
            assert memory(text := f"{number:{length}}") == tuple(map(ord, text))
            assert memory.size <= 100_000
        assert len(memory) <= most
    assert len(asked) == 1500


def test_what_was_asked_last_stays() -> None:
    asked: list[str] = []

    def encode(text: str) -> tuple[int, ...]:
        asked.append(text)
        return (0,) * 100

    memory = EncodingMemory(encode, 10 * 4500)
    for number in range(30):
        memory("often")
        memory(str(number))
    assert asked.count("often") == 1
    memory("0")
    assert asked.count("0") == 2
