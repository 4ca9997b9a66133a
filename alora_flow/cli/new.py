"""`alora-flow new NAME`: a small flow file with a test, to start from."""

from __future__ import annotations

from pathlib import Path

import click

from alora_flow.errors import BadInput
from alora_flow.language.checking.check import check

TEXT = """\
## Answer a question in a few words.
model base = "mini"

flow {name}(question: str = "Who is the mayor of Tarnok?") -> str {{
  let answer = generate(max_tokens: 32) on user(question)
  return answer.text
}}

test "it gives back what the model says" {{
  mock generate() = "Olga Belvis"
  let text = {name}(question: "Who is the mayor?")
  expect text == "Olga Belvis" and calls(generate) == 1
}}
"""


@click.command("new")
@click.argument("name")
def command(name: str) -> None:
    """Write NAME.flow: a flow that calls the bundled model, and a test of it. No file is overwritten."""
    path = Path(f"{name.removesuffix('.flow')}.flow")
    text = TEXT.format(name=path.stem)
    if not path.stem.isidentifier() or check(text)[0] is None:
        raise BadInput(f"'{path.stem}' is no name for a flow", "write letters, digits and _, and none of the keywords")
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise BadInput(f"{path} is there already", "choose another name, or move that file away") from None
    except OSError as error:
        reason = f"there is no folder {path.parent}" if not path.parent.is_dir() else error.strerror
        raise BadInput(f"cannot write {path}: {reason}") from error
    click.echo(f"wrote {path}; try:\n  alora-flow test --echo {path}\n  alora-flow run {path}", err=True)
