"""Every diagnostic's code with its title. `docs/errors.md` explains each with a wrong and a mended program."""

from __future__ import annotations

CODES: dict[str, str] = {
    # text
    "E0101": "the text does not fit the grammar",
    "E0102": "a string is not closed",
    "E0103": "a bracket is not closed, or closes nothing",
    "E0104": "a character that has no meaning here",
    "E0105": "an unknown escape in a string",
    "E0106": "a hole in a string that is not an expression",
    "E0107": "a number that cannot be held",
    "E0108": "nested too deeply",
    "E0109": "a file that cannot be read",
    # declarations
    "E0201": "a name is declared twice",
    "E0202": "a name is bound twice",
    "E0203": "a field, member or parameter is named twice",
    "E0204": "a declaration needs itself",
    "E0205": "a declaration with nothing in it",
    "E0206": "a second model",
    "E0207": "an intrinsic's contract is incomplete or contradicts itself",
    "E0208": "a value that is not a constant",
    "E0209": "a tool that names no Python function",
    "E0210": "a clause of a flow that is wrong or written twice",
    "E0211": "a name that the language itself has",
    # names
    "E0301": "an unknown type",
    "E0302": "an unknown name",
    "E0303": "an unknown field",
    "E0304": "an unknown enum member",
    "E0305": "a name of another kind than needed",
    "E0306": "an unknown setting",
    "E0307": "an unknown resource or figure",
    # types
    "E0401": "a value of the wrong type",
    "E0402": "an operator that does not take these types",
    "E0403": "a condition that is not a bool",
    "E0404": "a type that cannot be used here",
    "E0405": "a test that can never be true, or never false",
    "E0406": "`on` something that is not a thread",
    "E0407": "something in a thread that is not a turn",
    "E0408": "something in a hole that is not data",
    "E0409": "a type that is written wrongly",
    # calls
    "E0501": "a missing argument",
    "E0502": "an unknown argument",
    "E0503": "an argument given twice",
    "E0504": "too many arguments",
    "E0505": "a call of something that cannot be called",
    "E0506": "a missing `on`",
    "E0507": "`on` with something that runs on no thread",
    "E0508": "`as` or `may invoke` with something that generates nothing",
    "E0509": "`may invoke` of something that a model cannot call",
    # control flow
    "E0601": "a path that returns nothing",
    "E0602": "a match that misses a case",
    "E0603": "a case that can never be reached",
    "E0604": "a statement in the wrong place",
    "E0605": "a fan-out without a limit",
    "E0606": "a loop that cannot end well",
    "E0607": "a flow that calls itself without `max_depth`",
    "E0608": "`next` of something that is not a state of the loop",
    # imports
    "E0701": "an import that cannot be found",
    "E0702": "files that import each other",
    "E0703": "an import with errors of its own",
    # warnings
    "W0801": "a name that is never used",
    "W0802": "a statement that is never reached",
    "W0803": "a thread that nothing runs on",
    "W0804": "a clause without effect",
    "W0805": "two invocations that cannot be told apart",
    # warnings of a plan, which knows the model's tokenizer
    "W0901": "an invocation that its prompt tokenises otherwise",
    "W0902": "a chat template that rewrites earlier turns",
}
