"""What can be said and asked in the closed world: four kinds of entity, four attributes each.

In templates `{n}` is the entity's name, `{v}` the value, `{s} {S}` he/she, `{p} {P}` his/her and `{o}` him/her.
The attribute's word comes before its value everywhere, so that a causal model knows at the value what it answers.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Attribute:
    """One attribute. `questions` and `follow_ups` are parallel: the same phrase with the name and with a pronoun."""

    value: str  # person | name | year | choice
    documents: tuple[str, ...]
    continuations: tuple[str, ...]
    questions: tuple[str, ...]
    follow_ups: tuple[str, ...]
    statement: str


KINDS: dict[str, dict[str, Attribute]] = {
    "town": {
        "mayor": Attribute(
            "person",
            ("The mayor of {n} is {v}.", "{n} is led by mayor {v}."),
            ("Its mayor is {v}.", "It is led by mayor {v}."),
            ("Who is the mayor of {n}?", "Tell me the mayor of {n}.", "Who leads {n} as mayor?"),
            ("Who is its mayor?", "Tell me its mayor.", "Who leads it as mayor?"),
            "The mayor of {n} is {v}.",
        ),
        "river": Attribute(
            "name",
            ("{n} lies on the river {v}.", "The river of {n} is called {v}."),
            ("It lies on the river {v}.", "Its river is called {v}."),
            ("Which river runs through {n}?", "On which river does {n} lie?", "What is the river of {n} called?"),
            ("Which river runs through it?", "On which river does it lie?", "What is its river called?"),
            "The river of {n} is {v}.",
        ),
        "founded": Attribute(
            "year",
            ("{n} was founded in {v}.", "The founding year of {n} is {v}."),
            ("It was founded in {v}.", "Its founding year is {v}."),
            ("When was {n} founded?", "In which year was {n} founded?", "What is the founding year of {n}?"),
            ("When was it founded?", "In which year was it founded?", "What is its founding year?"),
            "The founding year of {n} is {v}.",
        ),
        "export": Attribute(
            "choice",
            ("{n} exports {v}.", "The main export of {n} is {v}."),
            ("It exports {v}.", "Its main export is {v}."),
            ("What does {n} export?", "What is the main export of {n}?", "Tell me the main export of {n}."),
            ("What does it export?", "What is its main export?", "Tell me its main export."),
            "The main export of {n} is {v}.",
        ),
    },
    "person": {
        "job": Attribute(
            "choice",
            ("{n} works as a {v}.", "The job of {n} is {v}."),
            ("{S} works as a {v}.", "{P} job is {v}."),
            ("What is the job of {n}?", "What does {n} do for a living?", "Tell me the job of {n}."),
            ("What is {p} job?", "What does {s} do for a living?", "Tell me {p} job."),
            "The job of {n} is {v}.",
        ),
        "birthplace": Attribute(
            "name",
            ("{n} comes from {v}.", "The home town of {n} is {v}."),
            ("{S} comes from {v}.", "{P} home town is {v}."),
            ("Where does {n} come from?", "What is the home town of {n}?", "Which town does {n} come from?"),
            ("Where does {s} come from?", "What is {p} home town?", "Which town does {s} come from?"),
            "The home town of {n} is {v}.",
        ),
        "born": Attribute(
            "year",
            ("{n} was born in {v}.", "The birth year of {n} is {v}."),
            ("{S} was born in {v}.", "{P} birth year is {v}."),
            ("When was {n} born?", "In which year was {n} born?", "What is the birth year of {n}?"),
            ("When was {s} born?", "In which year was {s} born?", "What is {p} birth year?"),
            "The birth year of {n} is {v}.",
        ),
        "teacher": Attribute(
            "person",
            ("{n} was taught by {v}.", "The teacher of {n} was {v}."),
            ("{S} was taught by {v}.", "{P} teacher was {v}."),
            ("Who taught {n}?", "Who was the teacher of {n}?", "Tell me the teacher of {n}."),
            ("Who taught {o}?", "Who was {p} teacher?", "Tell me {p} teacher."),
            "The teacher of {n} was {v}.",
        ),
    },
    "ship": {
        "captain": Attribute(
            "person",
            ("The captain of the {n} is {v}.", "The {n} sails under captain {v}."),
            ("Its captain is {v}.", "It sails under captain {v}."),
            ("Who is the captain of the {n}?", "Who commands the {n}?", "Tell me the captain of the {n}."),
            ("Who is its captain?", "Who commands it?", "Tell me its captain."),
            "The captain of the {n} is {v}.",
        ),
        "built": Attribute(
            "year",
            ("The {n} was built in {v}.", "The building year of the {n} is {v}."),
            ("It was built in {v}.", "Its building year is {v}."),
            ("When was the {n} built?", "In which year was the {n} built?", "What is the building year of the {n}?"),
            ("When was it built?", "In which year was it built?", "What is its building year?"),
            "The building year of the {n} is {v}.",
        ),
        "port": Attribute(
            "name",
            ("The home port of the {n} is {v}.", "The {n} is based in {v}."),
            ("Its home port is {v}.", "It is based in {v}."),
            ("What is the home port of the {n}?", "Where is the {n} based?", "Tell me the home port of the {n}."),
            ("What is its home port?", "Where is it based?", "Tell me its home port."),
            "The home port of the {n} is {v}.",
        ),
        "colour": Attribute(
            "choice",
            ("The {n} is painted {v}.", "The colour of the {n} is {v}."),
            ("It is painted {v}.", "Its colour is {v}."),
            ("What colour is the {n}?", "What is the colour of the {n}?", "Tell me the colour of the {n}."),
            ("What colour is it?", "What is its colour?", "Tell me its colour."),
            "The colour of the {n} is {v}.",
        ),
    },
    "company": {
        "founder": Attribute(
            "person",
            ("{n} was started by {v}.", "The founder of {n} is {v}."),
            ("It was started by {v}.", "Its founder is {v}."),
            ("Who is the founder of {n}?", "Who started {n}?", "Tell me the founder of {n}."),
            ("Who is its founder?", "Who started it?", "Tell me its founder."),
            "The founder of {n} is {v}.",
        ),
        "seat": Attribute(
            "name",
            ("The main office of {n} is in {v}.", "{n} is run from {v}."),
            ("Its main office is in {v}.", "It is run from {v}."),
            ("Where is the main office of {n}?", "From where is {n} run?", "Where does {n} have its main office?"),
            ("Where is its main office?", "From where is it run?", "Where does it have its main office?"),
            "The main office of {n} is in {v}.",
        ),
        "opened": Attribute(
            "year",
            ("{n} opened in {v}.", "The opening year of {n} is {v}."),
            ("It opened in {v}.", "Its opening year is {v}."),
            ("When did {n} open?", "In which year did {n} open?", "What is the opening year of {n}?"),
            ("When did it open?", "In which year did it open?", "What is its opening year?"),
            "The opening year of {n} is {v}.",
        ),
        "product": Attribute(
            "choice",
            ("{n} makes {v}.", "The main product of {n} is {v}."),
            ("It makes {v}.", "Its main product is {v}."),
            ("What does {n} make?", "What is the main product of {n}?", "Tell me the main product of {n}."),
            ("What does it make?", "What is its main product?", "Tell me its main product."),
            "The main product of {n} is {v}.",
        ),
    },
}

# How often a value goes with a subtype: what a well-read guess can know, so that certainty has something to measure.
CHOICES: dict[str, dict[str, dict[str, float]]] = {
    "export": {
        "fishing": {"fish": 0.95, "salt": 0.05},
        "mining": {"iron": 0.65, "coal": 0.35},
        "farming": {"wool": 0.45, "corn": 0.3, "apples": 0.25},
        "market": {"silk": 0.25, "paper": 0.25, "pots": 0.25, "spice": 0.25},
    },
    "job": {
        "seafarer": {"sailor": 0.85, "cook": 0.15},
        "nomad": {"hunter": 0.55, "singer": 0.45},
        "noble": {"judge": 0.35, "poet": 0.35, "soldier": 0.3},
        "villager": {"farmer": 0.75, "baker": 0.25},
    },
    "colour": {
        "war": {"grey": 0.95, "black": 0.05},
        "royal": {"white": 0.75, "gold": 0.25},
        "trade": {"red": 0.5, "blue": 0.5},
        "fishing": {"green": 0.25, "brown": 0.25, "yellow": 0.25, "orange": 0.25},
    },
    "product": {
        "textile": {"cloth": 0.85, "rope": 0.15},
        "metal": {"nails": 0.55, "bells": 0.45},
        "food": {"cheese": 0.65, "bread": 0.35},
        "glass": {"lamps": 0.35, "bowls": 0.35, "mirrors": 0.3},
    },
}
CHOICE_OF = {"town": "export", "person": "job", "ship": "colour", "company": "product"}
INTRODUCTIONS = {
    "town": ("{n} is a {t} town.", "The {t} town {n} is well known."),
    "person": ("{n} is a {t}.", "The {t} {n} is well known."),
    "ship": ("The {n} is a {t} ship.", "The {t} ship {n} is well known."),
    "company": ("{n} is a {t} company.", "The {t} company {n} is well known."),
}
PRONOUNS = {"it": ("it", "its", "it"), "he": ("he", "his", "him"), "she": ("she", "her", "her")}
