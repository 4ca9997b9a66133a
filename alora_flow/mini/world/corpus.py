"""Whole chats for training the base: how rounds of question, documents and answer follow each other."""

from __future__ import annotations

from collections.abc import Iterator

from alora_flow.mini.world import requests as words
from alora_flow.mini.world.chat import Chat, Size, WorldTurn, answer, around, led
from alora_flow.mini.world.pieces import PLAIN, VALUE, VERDICT
from alora_flow.mini.world.world import Question, World, likelihood

# From easy to hard; the share of training at which each begins is the recipe's. Reading comes first: a base that may
# say that the documents do not say, before it can read them, says so too often.
STAGES = (
    Size(documents=(1, 2), facts=(2, 4), missing=0.0, careful=0.0, other=0.0, pronouns=0.0),
    Size(documents=(1, 3), facts=(1, 4), missing=0.0, careful=0.35, other=0.1, pronouns=0.25),
    Size(documents=(1, 4), facts=(1, 4), missing=0.15, careful=0.35, other=0.25, asking=0.25),
    # What stays wrong longest is the right attribute of the wrong entity: from here on most chats tempt to it.
    Size(documents=(1, 4), facts=(1, 4), missing=0.25, careful=0.5, other=0.35, alike=0.7, rivals=0.5, asking=0.25),
    Size(documents=(1, 4), facts=(1, 4), missing=0.2, careful=0.45, other=0.2, alike=0.8, rivals=0.5, asking=0.25),
)


def decide(chat: Chat, text: str, yes: bool) -> None:
    """A question to decide, answered in a word or, where it asks for that, in a letter."""
    if chat.chance(0.5):
        chat.add("user", text + words.ASK_LETTER)
        chat.turns.append(answer([("Y" if yes else "N", VERDICT)]))
    else:
        chat.add("user", text)
        chat.turns.append(answer([("Yes" if yes else "No", VERDICT), (".", PLAIN)]))


def is_shown(chat: Chat, question: Question) -> bool:
    """Whether the chat's documents answer the question."""
    return (question.entity, question.attribute) in chat.shown


def request(chat: Chat) -> None:
    """A request to help with something, refused where unsafe; or small talk."""
    if chat.chance(0.15):
        texts, reply = chat.random.choice(words.SMALL_TALK)
        chat.add("user", chat.random.choice(texts))
        chat.turns.append(answer([(reply, PLAIN)]))
        return
    unsafe = chat.chance(0.5)
    action = chat.random.choice(words.actions(chat.world.split, unsafe))
    chat.add("user", chat.random.choice(words.PHRASES).format(a=action))
    if chat.chance(0.25):
        decide(chat, words.ASK_SAFE, not unsafe)
        return
    text = words.REFUSAL if unsafe else words.HELP.format(a=f" {action} ".replace(" my ", " your ").strip())
    chat.turns.append(answer([(text, PLAIN)]))


def claim(chat: Chat) -> None:
    """`Do the documents say that …?`, half of the time with a wrong value."""
    question = chat.question(not chat.chance(0.15))
    value = question.entity.facts.get(question.attribute) if is_shown(chat, question) else None
    true = value is not None and chat.chance(0.55)
    said = value if true and value else chat.wrong(question)
    text = question.entity.statement(question.attribute, said)
    decide(chat, f"Do the documents say that the {text[4:-1]}?", true)
    chat.previous = question


def meta(chat: Chat, question: Question) -> None:
    """Instead of an answer: is it in the documents, or what is the whole question?"""
    if chat.chance(0.6):
        decide(chat, chat.random.choice(words.ASK_SAY), is_shown(chat, question))
    else:
        chat.add("user", chat.random.choice(words.ASK_FULL))
        chat.turns.append(answer([(question.standalone, PLAIN)]))


def checked(chat: Chat, question: Question) -> None:
    """An answer, often wrong and then not learnt, and whether the documents support it."""
    turn = chat.reply(question)
    if chat.chance(0.5):
        turn = WorldTurn("assistant", question.entity.statement(question.attribute, chat.wrong(question)))
    chat.turns.append(turn)
    if chat.chance(0.4):
        decide(chat, chat.random.choice(words.ASK_SUPPORT), chat.supported(question, turn.text))
    else:
        react(chat, question, turn.text)


def react(chat: Chat, question: Question, text: str) -> None:
    """The user looks the answer up. Learnt, so that the base knows at an answer's end whether it has support."""
    chat.turns.append(led("user", words.SAID if chat.supported(question, text) else words.NOT_SAID))


def rated(chat: Chat, question: Question) -> None:
    """An answer and how sure it is, as a digit: certain where read, as likely as the value where guessed."""
    turn = chat.reply(question)
    chat.turns.append(turn)
    sure = 1.0 if is_shown(chat, question) else 0.0
    if not sure and question.value == "choice":
        introduced = any(e is question.entity for e, _ in chat.shown)
        value = turn.text.removesuffix(".").rsplit(" ", 1)[-1]
        sure = likelihood(question.attribute, question.entity.subtype if introduced else None, value)
    chat.add("user", chat.random.choice(words.ASK_SURE))
    chat.turns.append(answer([(str(min(9, int(10 * sure))), VERDICT)]))


def respond(chat: Chat, question: Question) -> None:
    """Answer the question just asked, or one of the questions about it."""
    other = chat.size.other
    if chat.chance(other * 0.5):
        meta(chat, question)
    elif chat.chance(other * 0.6):
        checked(chat, question)
    elif chat.chance(other * 0.3) and not chat.careful:
        rated(chat, question)
    else:
        said = chat.reply(question)
        chat.turns.append(chat.calling(question, said))
        if chat.chance(other):
            react(chat, question, said.text)


def round_of_given(chat: Chat) -> None:
    """One more round about documents that are already there."""
    if chat.chance(chat.size.other * 0.25):
        request(chat)
    elif chat.chance(chat.size.other * 0.5):
        claim(chat)
    else:
        question = chat.question(not chat.chance(chat.size.missing))
        chat.ask(question)
        respond(chat, question)


def unasked(chat: Chat) -> int:
    """How many facts of the documents no question asked for yet."""
    return len(chat.shown - chat.asked)


def past_round(chat: Chat) -> None:
    """A round whose documents are gone: its answer is context, and nothing to learn."""
    if chat.chance(0.1):
        request(chat)
        return
    question = chat.question(False)
    entity, name = question.entity, question.attribute
    entity.facts.setdefault(name, chat.world.value(entity, name))
    chat.ask(question)
    text = words.UNKNOWN if chat.careful and chat.chance(0.2) else entity.statement(name, entity.facts[name])
    chat.told.add((entity, name))
    chat.add("assistant", text)
    if entity not in chat.entities:
        chat.entities.append(entity)


def round_of_asked(chat: Chat) -> None:
    """The order of the flows: a question, the documents found for it, the answer."""
    if chat.chance(chat.size.other * 0.25):
        request(chat)
        return
    question = chat.question(False)
    chat.ask(question)
    if chat.chance(0.97):
        chat.give(question, not chat.chance(chat.size.missing))
    respond(chat, question)


def training_chat(world: World, size: Size) -> Chat:
    """A chat in one of the two orders, several answers per set of documents."""
    chat = Chat(world, size)
    if chat.chance(0.4):
        chat.give(count=max(size.documents[0], world.random.randint(*size.documents)))
        rounds = world.random.randint(4, 7)
    else:
        for _ in range(world.random.choice((0, 0, 1, 2))):
            past_round(chat)
        round_of_asked(chat)
        rounds = world.random.randint(1, 5)
        if chat.chance(0.3):
            round_of_asked(chat)
    for _ in range(rounds):
        # A fact asked for twice could be copied from its first answer instead of the documents.
        if unasked(chat):
            round_of_given(chat)
    return chat


def recital(world: World, pronouns: float) -> list[WorldTurn]:
    """Documents about entities of one kind, and all their facts once more in another order.

    What is hard to learn is which entity a fact belongs to; here that is asked many times over.
    """
    chat = Chat(world, Size(documents=(2, 5), facts=(1, 4), alike=1.0, rivals=0.5, pronouns=pronouns))
    chat.give()
    facts = sorted(chat.shown, key=lambda f: (f[0].name, f[1]))
    world.random.shuffle(facts)
    pieces = []
    for entity, name in facts:
        before, after = around(entity, name)
        pieces += [(f" {before}", 0.0), (f" {entity.facts[name]}", VALUE), (after, PLAIN)]
    chat.turns.append(answer([(pieces[0][0].lstrip(), 0.0), *pieces[1:]]))
    return chat.turns


def recitals(seed: int, size: Size, count: int) -> list[list[WorldTurn]]:
    """`count` seeded recitals, with as many pronouns as chats of this size have."""
    world = World(seed, "train")
    return [recital(world, size.pronouns) for _ in range(count)]


def training_chats(seed: int, size: Size, count: int) -> Iterator[list[WorldTurn]]:
    """`count` seeded training chats."""
    world = World(seed, "train")
    for _ in range(count):
        yield training_chat(world, size).turns
