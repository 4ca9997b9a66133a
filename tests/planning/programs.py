"""Flows made at random that are right: calls, branches, loops, called flows and tests."""

from __future__ import annotations

from random import Random

HEAD = """
model base = "mini"
enum Colour { red, green, blue }
record Found { text: str, place: int = 0 }
intrinsic safe() -> bool { adapter "safety" emits enum("Y", "N") value it == "Y" }
intrinsic sure() -> float[0.0..1.0] from "uncertainty"
tool look(q: str, k: int = 2) -> list[document] = python "nowhere:look" with (pure: true)
tool maybe(q: str) -> str? = python "nowhere:maybe"
"""


class _Maker:
    def __init__(self, random: Random) -> None:
        self.random, self.count = random, 0

    def new(self) -> str:
        self.count += 1
        return f"v{self.count}"

    def text(self, names: list[str], helper: bool) -> str:
        """An expression of type str."""
        kinds = ["plain", "name", "hole", "generate", "maybe", *["helper"] * helper]
        match self.random.choice(kinds):
            case "name":
                return self.random.choice(names)
            case "hole":
                return f'"a {{{self.random.choice(names)}}} b"'
            case "generate":
                return f"(generate(max_tokens: {self.random.randint(1, 9)}) on {self.thread(names)}).text"
            case "maybe":
                return f'(maybe(q: {self.random.choice(names)}) ?? "nothing")'
            case "helper":
                return f"helper(a: {self.random.choice(names)}, n: {self.random.randint(0, 5)})"
        return self.random.choice(['"x"', '"two words"', '"é \\" {{"'.replace("{{", "\\{")])

    def thread(self, names: list[str]) -> str:
        turns = [f"user({self.random.choice(names)})", f"documents(look(q: {self.random.choice(names)}))"]
        return f'(system("Be brief.") + {self.random.choice(turns)})'

    def condition(self, names: list[str], helper: bool) -> str:
        """An expression of type bool."""
        parts = [
            f"{self.random.choice(names)} == {self.text(names, False)}",
            f"safe() on {self.thread(names)}",
            f"len({self.random.choice(names)}) > {self.random.randint(0, 4)}",
            f"sure() on {self.thread(names)} < 0.5",
        ]
        one, other = self.random.sample(parts, 2)
        joined = f"{one} {self.random.choice(['and', 'or'])} {other}"
        return self.random.choice([one, f"not ({other})", joined])

    def block(self, names: list[str], depth: int, helper: bool) -> list[str]:
        """Statements that end by returning a str."""
        names, lines = list(names), []
        for _ in range(self.random.randint(1, 3)):
            name = self.new()
            match self.random.choice(["let", "let", "if", "for", "repeat", "match", "else"] if depth else ["let"]):
                case "let":
                    lines.append(f"let {name} = {self.text(names, helper)}")
                    names.append(name)
                case "if":
                    inner = self.block(names, depth - 1, helper)
                    lines += [f"if {self.condition(names, helper)} {{", *inner, "}"]
                case "for":
                    kept = self.text([*names, "d.text"], False)
                    lines.append(f"let {name} = for d in look(q: {names[0]}) limit 2 {{ let k = {kept}  keep k }}")
                    names.append(f'join({name}, " ")')
                case "repeat":
                    again = self.text([*names, "s"], False)
                    lines.append(
                        f"let {name} = repeat (s = {self.text(names, False)}) up to 2 "
                        f'{{ accept s when len(s) > 3  next s = {again} }} else {{ return "no" }}'
                    )
                    names.append(name)
                case "else":
                    way = self.random.choice(['{ "" }', f"{{ accept {names[0]} }}", f"as {name}w {{ return {name}w }}"])
                    lines.append(f"let {name} = {self.text(names, helper)} else {way}")
                    names.append(name)
                case "match":
                    lines += [
                        f"let {name} = maybe(q: {names[0]})",
                        f"match {name} {{ none => {{ return {self.text(names, helper)} }}",
                        f"str as t => {{ let {name}u = t }} }}",
                    ]
        return [*lines, f"return {self.text(names, helper)}"]


def flow_text(random: Random) -> str:
    """A file with a helper, a main flow and a test."""
    maker = _Maker(random)
    mock = random.choice(['mock maybe() = "m" then none', 'mock helper() = "h"', "mock safe() = true"])
    lines = [
        HEAD,
        "flow helper(a: str, n: int = 1) -> str budget { calls <= 900 } {",
        *maker.block(["a"], 1, False),
        "}",
        f'flow main(question: str, hint: str = "h") -> str {"speculate " * random.randint(0, 1)}{{',
        *maker.block(["question", "hint"], 2, True),
        "}",
        'test "it runs" {',
        f'mock look() = []  let before = helper(a: "x")  {mock}  let r = main(question: "q")',
        'expect r != "" and calls(helper) >= 0 and plan.nodes >= 0',
        "}",
    ]
    return "\n".join(lines)
