"""Entities of the closed world, their documents, and questions about them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from random import Random

from alora_flow.mini.world.facts import CHOICE_OF, CHOICES, INTRODUCTIONS, KINDS, PRONOUNS, Attribute
from alora_flow.mini.world.names import Names


@dataclass(eq=False)
class Entity:
    """A town, person, ship or company; `facts` fill as documents need them."""

    kind: str
    name: str
    pronoun: str
    subtype: str
    facts: dict[str, str] = field(default_factory=dict)

    def say(self, template: str, value: str = "") -> str:
        """`template` with this entity and `value` filled in."""
        s, p, o = PRONOUNS[self.pronoun]
        words = {"s": s, "p": p, "o": o, "S": s.capitalize(), "P": p.capitalize()}
        return template.format(n=self.name, v=value, t=self.subtype, **words)

    def attribute(self, name: str) -> Attribute:
        """The attribute's templates for this kind of entity."""
        return KINDS[self.kind][name]

    def statement(self, attribute: str, value: str) -> str:
        """The sentence that answers a question about `attribute`."""
        return self.say(self.attribute(attribute).statement, value)


@dataclass(frozen=True)
class Question:
    """A question as asked and as it stands alone. `mode` is name, pronoun or ellipsis."""

    entity: Entity
    attribute: str
    phrase: int
    mode: str
    text: str
    standalone: str

    @property
    def value(self) -> str:
        """The kind of value asked for: person, name, year or choice."""
        return self.entity.attribute(self.attribute).value


def weighted(random: Random, weights: dict[str, float]) -> str:
    """One key, by weight."""
    return random.choices(list(weights), list(weights.values()))[0]


def likelihood(attribute: str, subtype: str | None, value: str) -> float:
    """How often a choice takes this value, for one subtype or over all of them."""
    rows = [CHOICES[attribute][subtype]] if subtype else list(CHOICES[attribute].values())
    return sum(row.get(value, 0.0) for row in rows) / len(rows)


class World:
    """Makes entities, values and documents of one split from one seed; `reset` begins a chat."""

    def __init__(self, seed: int, split: str = "train") -> None:
        self.split = split
        self.names = Names(seed, split)
        self.random = self.names.random

    def reset(self) -> None:
        """Forget which names this chat has used."""
        self.names.reset()

    def entity(self, kind: str | None = None) -> Entity:
        """A new entity without facts."""
        kind = kind or self.random.choice(list(KINDS))
        name, pronoun = self.names.person() if kind == "person" else (self.names.name(), "it")
        return Entity(kind, name, pronoun, self.random.choice(list(CHOICES[CHOICE_OF[kind]])))

    def value(self, entity: Entity, attribute: str, stated: bool = False) -> str:
        """A value of the right sort. A choice follows its subtype, `stated` ones only half of the time.

        Documents may say the unlikely, so that reading them beats guessing.
        """
        sort = entity.attribute(attribute).value
        if sort == "person":
            return self.names.person()[0]
        if sort == "name":
            return self.names.name()
        if sort == "year":
            return self.names.year()
        table = CHOICES[attribute]
        if stated and self.random.random() < 0.5:
            return self.random.choice([v for row in table.values() for v in row])
        return weighted(self.random, table[entity.subtype])

    def document(self, entity: Entity, attributes: Iterable[str], pronouns: float = 0.5) -> str:
        """A short document that introduces the entity and states these attributes, some of them with a pronoun."""
        sentences = [entity.say(self.random.choice(INTRODUCTIONS[entity.kind]))]
        for name in attributes:
            if name not in entity.facts:
                entity.facts[name] = self.value(entity, name, stated=True)
            forms = entity.attribute(name)
            options = forms.continuations if self.random.random() < pronouns else forms.documents
            sentences.append(entity.say(self.random.choice(options), entity.facts[name]))
        return " ".join(sentences)

    def question(self, entity: Entity, attribute: str, mode: str, phrase: int | None = None) -> Question:
        """A question about one attribute; `phrase` picks the wording."""
        forms = entity.attribute(attribute)
        phrase = self.random.randrange(len(forms.questions)) if phrase is None else phrase
        full = entity.say(forms.questions[phrase])
        short = entity.name if entity.kind != "ship" else f"the {entity.name}"
        texts = {
            "name": full,
            "pronoun": entity.say(forms.follow_ups[phrase]),
            "ellipsis": self.random.choice(("And {x}?", "What about {x}?")).format(x=short),
        }
        return Question(entity, attribute, phrase, mode, texts[mode], full)
