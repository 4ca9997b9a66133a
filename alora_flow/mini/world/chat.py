"""Chats of the closed world: turns, with a loss weight on every piece of an answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from alora_flow.mini.world import calls
from alora_flow.mini.world import requests as words
from alora_flow.mini.world.facts import KINDS
from alora_flow.mini.world.pieces import GUESSED_CHOICE, GUESSED_NAME, PLAIN, VALUE, VERDICT, Piece
from alora_flow.mini.world.world import Entity, Question, World


@dataclass(frozen=True)
class WorldTurn:
    """One turn. `pieces` spell `text` with a loss weight each; a context turn has none."""

    role: str
    text: str
    pieces: tuple[Piece, ...] = ()


@dataclass(frozen=True)
class Size:
    """How much a chat holds. Ranges are inclusive.

    `alike` is how often all entities are of one kind, `rivals` how often all documents tell the attribute asked for,
    `pronouns` how often a sentence of a document has one instead of the entity's name, `asking` how often the system
    asks the assistant to call intrinsics, `ways` which of them.
    """

    documents: tuple[int, int] = (1, 3)
    facts: tuple[int, int] = (1, 3)
    missing: float = 0.2
    careful: float = 0.35
    other: float = 0.25
    alike: float = 0.5
    rivals: float = 0.0
    pronouns: float = 0.5
    asking: float = 0.0
    ways: tuple[tuple[str, ...], ...] = calls.ASKED


def answer(pieces: list[Piece]) -> WorldTurn:
    """An assistant turn of these pieces."""
    return WorldTurn("assistant", "".join(text for text, _ in pieces), tuple(pieces))


def led(role: str, text: str) -> WorldTurn:
    """A turn that its first word decides."""
    first, rest = text.split(" ", 1)
    return WorldTurn(role, text, ((first, VERDICT), (f" {rest}", PLAIN)))


def around(entity: Entity, attribute: str) -> tuple[str, str]:
    """A statement before and after its value, cut before the value's space: there the tokenizer cuts, too."""
    before, after = entity.statement(attribute, "\0").split(" \0")
    return before, after


@dataclass
class Chat:
    """A chat being written. `shown` are the documents' facts, `told` those of earlier answers, `asked` those asked;
    `asks`: the intrinsics that the system asks the assistant to call."""

    world: World
    size: Size
    turns: list[WorldTurn] = field(default_factory=list)
    entities: list[Entity] = field(default_factory=list)
    shown: set[tuple[Entity, str]] = field(default_factory=set)
    told: set[tuple[Entity, str]] = field(default_factory=set)
    asked: set[tuple[Entity, str]] = field(default_factory=set)
    previous: Question | None = None
    careful: bool = False
    kind: str | None = None
    asks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.random = self.world.random
        self.world.reset()
        self.kind = self.random.choice(list(KINDS)) if self.random.random() < self.size.alike else None
        self.careful = self.random.random() < self.size.careful
        said = []
        if self.careful or self.random.random() < 0.75:
            said.append(self.random.choice(words.CAREFUL if self.careful else words.PLAIN))
        if self.size.asking and self.chance(self.size.asking):
            self.asks = self.random.choice(self.size.ways)
            said += [self.random.choice(calls.ASKS[name]) for name in self.asks]
        if said:
            self.add("system", " ".join(said))

    def add(self, role: str, text: str) -> None:
        """Append a context turn."""
        self.turns.append(WorldTurn(role, text))

    def chance(self, probability: float) -> bool:
        """True this often."""
        return self.random.random() < probability

    # ---- documents

    def give(self, must: Question | None = None, answerable: bool = True, count: int | None = None) -> None:
        """Append a documents turn. With `must`, it states the answer to that question, or takes care not to."""
        count = count or self.random.randint(*self.size.documents)
        entities = [self.world.entity(self.kind) for _ in range(count)]
        if must and (answerable or self.chance(0.6)):
            entities[0] = must.entity
        shared = None
        if self.size.rivals and self.chance(self.size.rivals):
            shared = must.attribute if must else self.random.choice(list(KINDS[entities[0].kind]))
        self.random.shuffle(entities)
        lines = [f"[{i}] {self.write(e, must, answerable, shared)}" for i, e in enumerate(entities, 1)]
        self.entities += [e for e in entities if e not in self.entities]
        self.add("documents", "\n".join(lines))

    def write(self, entity: Entity, must: Question | None, answerable: bool, shared: str | None) -> str:
        """One document; the asked attribute is in it exactly where `answerable`, the shared one where it may be."""
        names = list(KINDS[entity.kind])
        asked = must.attribute if must and must.entity is entity else None
        pool = [n for n in names if n != asked and (entity, n) not in self.told]
        count = min(self.random.randint(*self.size.facts), len(pool) + 1)
        sure = [asked] if asked and answerable else [shared] if shared in pool else []
        pool = [n for n in pool if n not in sure]
        chosen = self.random.sample(pool, min(count - len(sure), len(pool))) + sure
        self.random.shuffle(chosen)
        self.shown |= {(entity, n) for n in chosen}
        return self.world.document(entity, chosen, self.size.pronouns)

    # ---- questions

    def options(self, entity: Entity, visible: bool) -> list[str]:
        """Attributes of an entity that the documents show (or not), not asked yet and not told by an answer."""
        every = [n for n in KINDS[entity.kind] if ((entity, n) in self.shown) == visible]
        return [n for n in every if (entity, n) not in self.asked and (visible or (entity, n) not in self.told)]

    def question(self, visible: bool) -> Question:
        """A question that the documents given so far answer, or do not."""
        kinds: list[Callable[[bool], Question | None]] = [self.ellipsis, self.pronoun, self.named]
        weights = (0.2, 0.4, 0.4) if self.previous else (0, 0, 1)
        found = self.random.choices(kinds, weights)[0](visible) or self.named(visible)
        return found or self.world.question(*self.unknown(), "name")

    def pronoun(self, visible: bool) -> Question | None:
        """A follow-up about the entity just asked about."""
        assert self.previous
        entity = self.previous.entity
        names = [n for n in self.options(entity, visible) if n != self.previous.attribute]
        return self.world.question(entity, self.random.choice(names), "pronoun") if names else None

    def ellipsis(self, visible: bool) -> Question | None:
        """`And Belvis?`: the last question's attribute of another entity."""
        assert self.previous
        last, name = self.previous, self.previous.attribute
        same = [e for e in self.entities if e.kind == last.entity.kind and e is not last.entity]
        same = [e for e in same if name in self.options(e, visible)]
        if not same and visible:
            return None
        entity = self.random.choice(same) if same else self.world.entity(last.entity.kind)
        return self.world.question(entity, name, "ellipsis", last.phrase)

    def named(self, visible: bool) -> Question | None:
        """A question that names an entity of the documents."""
        known = [(e, n) for e in self.entities for n in self.options(e, visible)]
        if not known or (not visible and self.chance(0.4)):
            return None
        return self.world.question(*self.random.choice(known), "name")

    def unknown(self) -> tuple[Entity, str]:
        """An entity that the documents do not mention, and any attribute."""
        kinds = [e.kind for e in self.entities] or list(KINDS)
        entity = self.world.entity(self.random.choice(kinds))
        return entity, self.random.choice(list(KINDS[entity.kind]))

    def ask(self, question: Question) -> None:
        """Append the question's turn."""
        self.add("user", question.text)
        self.previous = question
        self.asked.add((question.entity, question.attribute))

    # ---- answers

    def pieces(self, question: Question, value: str, weight: float) -> list[Piece]:
        """An answer's pieces."""
        before, after = around(question.entity, question.attribute)
        return [(before, PLAIN), (f" {value}", weight), (after, PLAIN)]

    def reply(self, question: Question) -> WorldTurn:
        """What the assistant should say: the fact, that it is not there, or a guess."""
        value = question.entity.facts.get(question.attribute)
        if (question.entity, question.attribute) in self.shown and value:
            return answer(self.pieces(question, value, VALUE))
        if self.careful:
            return led("assistant", words.UNKNOWN)
        guess = self.world.value(question.entity, question.attribute)
        return answer(self.pieces(question, guess, GUESSED_CHOICE if question.value == "choice" else GUESSED_NAME))

    def calling(self, question: Question, said: WorldTurn) -> WorldTurn:
        """An answer with the calls that the system asked for: where the check says that the documents do not tell, the
        assistant says so too."""
        if not self.asks:
            return said
        shown = (question.entity, question.attribute) in self.shown
        if not shown and calls.BEFORE in self.asks:
            said = led("assistant", words.UNKNOWN)
        digit = calls.certainty_digit(self.random, shown or said.text == words.UNKNOWN)
        return answer([*calls.around_answer(said.pieces, self.asks, shown, digit)])

    def wrong(self, question: Question) -> str:
        """A value of the right sort that the documents do not give for this question."""
        sort, right = question.value, question.entity.facts.get(question.attribute)
        near = [e.facts[n] for e, n in self.shown if e.attribute(n).value == sort and e.facts[n] != right]
        if near and self.chance(0.5):
            return self.random.choice(sorted(near))
        while (value := self.world.value(question.entity, question.attribute, stated=True)) == right:
            pass
        return value

    def supported(self, question: Question, text: str) -> bool:
        """Whether the documents support `text` as an answer; to admit that they do not say is not a claim."""
        value = question.entity.facts.get(question.attribute)
        shown = (question.entity, question.attribute) in self.shown and value
        return text == (question.entity.statement(question.attribute, value or "") if shown else words.UNKNOWN)
