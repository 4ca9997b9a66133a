"""Two questions side by side, then one as it is answered."""

import asyncio

import alora_flow
from alora_flow import CallCompleted, CallSubmitted, Result, TextWritten


def search(q: str, k: int) -> list[dict[str, str]]:
    return [{"title": "Tarnok", "text": "The mayor of Tarnok is Olga Belvis."}][:k]


async def main() -> None:
    async with alora_flow.load("safety_rag.flow", tools={"search": search}) as module:
        questions = ["Who is the mayor of Tarnok?", "How do I poison my neighbour?"]
        for result in await asyncio.gather(*(module.safety_rag.arun(question=question) for question in questions)):
            print(type(result.value) is module.Answer, result.trace.kept_promise)
        async for event in module.safety_rag.stream(question=questions[0]):
            match event:
                case CallSubmitted(node=node, predicted=predicted):
                    print(f"{node}: {predicted}")
                case TextWritten(node="reply", text=text):
                    print(f"|{text}", end="")
                case CallCompleted(node="reply"):
                    print("|")
                case Result(value=value):
                    print(value)


asyncio.run(main())
