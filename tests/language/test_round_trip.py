"""Text → tree → text → the same tree; printing twice changes nothing; comments and meaning survive."""

import random
from pathlib import Path

import pytest

from alora_flow.language import FlowErrors, check_file, format_source
from alora_flow.language.printing.file import print_file
from alora_flow.language.report.source import Source
from alora_flow.language.syntax.parser import Parsed, parse, parse_file
from alora_flow.language.syntax.scan import Comment
from tests.language.cases import CASES, programs

ROOT = CASES.parent.parent
FLOWS = sorted((ROOT / "flows").glob("*.flow"))
PARSED = [*programs("valid"), *programs("errors"), *FLOWS]


def named(path: Path) -> str:
    return path.stem


def printed_again(text: str) -> tuple[Parsed, Parsed, str]:
    """What is read from a text, what is read from its canonical form, and that form; printing it again keeps it."""
    source = Source("", text)
    before = parse(source)
    assert before.file is not None, before.diagnostics
    canonical = Source("", print_file(before.file, source, before.comments))
    after = parse(canonical)
    assert after.file is not None, after.diagnostics
    assert print_file(after.file, canonical, after.comments) == canonical.text
    return before, after, canonical.text


def test_printing_keeps_tree_and_comments() -> None:
    for path in PARSED:
        before, after, _ = printed_again(path.read_text())
        assert after.file == before.file, named(path)
        assert [item.text for item in after.comments] == [item.text for item in before.comments], named(path)


def test_printing_without_the_source_keeps_the_tree() -> None:
    for path in [*programs("valid"), *FLOWS]:
        tree = parse_file(Source("", path.read_text()))
        assert parse_file(Source("", print_file(tree))).declarations == tree.declarations, named(path)


def test_right_programs_have_no_errors() -> None:
    for path in [*programs("valid"), *FLOWS]:
        program, found = check_file(path)
        assert program is not None, (named(path), found)


def test_the_example_of_the_design_has_not_even_a_warning() -> None:
    program, found = check_file(CASES / "valid" / "example.flow")
    assert found == ()
    assert program is not None
    assert list(program.flows) == ["safety_rag"]


def test_printing_a_printed_program_keeps_what_it_means() -> None:
    path = CASES / "valid" / "example.flow"
    before, _ = check_file(path)
    after = parse_file(Source(str(path), format_source(path.read_text())))
    assert before is not None
    assert print_file(after) == print_file(parse_file(before.source))


def test_a_file_with_syntax_errors_is_not_printed() -> None:
    with pytest.raises(FlowErrors) as raised:
        format_source("flow f( {\n")
    assert [item.code for item in raised.value.diagnostics] == ["E0101"]


LAYOUTS = {
    "comments everywhere": (
        """
# first
model base="mini"# behind


# between

enum Stage{ # after the bracket
input, # one
# two
output }
flow f(x:str # in the head
)->str{# opened
# alone
return x # result
# last
}
# end
""",
        """\
# first
model base = "mini"  # behind

# between

enum Stage {  # after the bracket
  input,      # one
  # two
  output,
}

flow f(
  x: str,   # in the head
) -> str {  # opened
  # alone
  return x  # result
  # last
}
# end
""",
    ),
    "groups of lines": (
        "const A=1\nconst B=2\n\n\n\nconst C=3\n",
        "const A = 1\nconst B = 2\n\nconst C = 3\n",
    ),
    "brackets": (
        "const A=((1+2))*3-(4-(5-6))\nconst B=(not(true))and(not false or true)\n",
        "const A = (1 + 2) * 3 - (4 - (5 - 6))\nconst B = not true and (not false or true)\n",
    ),
    "strings": (
        'const A = "\\u{41}\\t\\{x\\} \\u{1F600}\\u{200b}"\n',
        'const A = "A\\t\\{x} 😀\\u{200b}"\n',
    ),
    "long calls": (
        f"flow f(x: str) -> str {{ return g(first: {'x' * 60}, second: {'y' * 60}) }}\n",
        f"flow f(x: str) -> str {{\n  return g(\n    first: {'x' * 60},\n    second: {'y' * 60},\n  )\n}}\n",
    ),
    "long threads": (
        f'flow f(x: str) -> str {{ thread t = system("{"a" * 60}") + user("{"b" * 60}") return x }}\n',
        f'flow f(x: str) -> str {{\n  thread t = system("{"a" * 60}")\n    + user("{"b" * 60}")\n  return x\n}}\n',
    ),
    "carriage returns": ("const A = 1\r\n# x\r\nconst B = 2", "const A = 1\n# x\nconst B = 2\n"),
    "nothing": ("", ""),
    "only a comment": ("  # x", "# x\n"),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_layout(name: str) -> None:
    before, after = LAYOUTS[name]
    assert format_source(before) == after
    assert format_source(after) == after


ACCIDENTS = ["\n", "\n\n\n", " ", "  # c\n", "# own\n", "\n# x\n", "\n## doc\n", " " * 60, "#\n"]


@pytest.mark.parametrize("seed", range(2))
def test_comments_and_blanks_anywhere(seed: int) -> None:
    """Wherever there is white space there can be more of it, and comments: they are kept, and change nothing."""
    chance = random.Random(seed)
    texts = [path.read_text() for path in programs("valid")]
    for _ in range(8):
        text = chance.choice(texts)
        for _ in range(chance.randint(1, 6)):
            place = chance.choice([offset for offset, character in enumerate(text) if character.isspace()])
            text = text[:place] + chance.choice(ACCIDENTS) + text[place + 1 :]
        if parse(Source("", text)).file is not None:
            before, after, _ = printed_again(text)
            assert before.file is not None
            assert after.file is not None
            assert after.file.declarations == before.file.declarations
            assert words(after.comments) == words(before.comments)


def words(found: tuple[Comment, ...]) -> list[str]:
    return sorted(comment.text.lstrip("#") for comment in found)


AROUND_AN_ELSE = """
flow f(xs: list[int]) -> int {  # 1
  let x = # 2
    xs[0] # 3
    else # 4
    as # 5
    why # 6
    { # 7
      # 8
      len(why) # 9
      # 10
    } # 11
  let y = xs[1] # 12
    else { # 13
    # 14
    accept 0 # 15
    # 16
  } # 17
  return xs[2] else { x + y } # 18
}
"""
AROUND_CALLS = """
flow f(t: thread) -> str {
  let r = generate() on t may invoke [a, b] budget 2 { # 1
    on a => drop # 2
    # 3
    on b => stop # 4
    # 5
  } # 6
  else as why { # 7
    return why # 8
  } # 9
  let s = generate() on t may invoke [a] { # 10
    on a => drop # 11
  } # 12
  else { generate() on t } # 13
  return (r + s).chat # 14
}
"""


@pytest.mark.parametrize("text", [AROUND_AN_ELSE, AROUND_CALLS])
def test_comments_around_an_else_stay(text: str) -> None:
    before, after, _ = printed_again(text)
    assert [item.text for item in after.comments] == [item.text for item in before.comments]
    assert after.file == before.file
