"""Tools of the flows in this folder."""


def search(q: str, k: int = 2) -> list[dict[str, str]]:
    """The same documents whatever is asked."""
    texts = [
        "Tarnok is a fishing town. The mayor of Tarnok is Olga Belvis.",
        "Norsed is a farming town. It exports wool.",
        "Kursem is a glass company. Its main product is lamps.",
    ]
    return [{"title": text.split()[0], "text": text} for text in texts[:k]]
