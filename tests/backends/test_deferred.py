"""A backend is opened by the first run that calls a model, before anything of that run is done."""

from __future__ import annotations

from pathlib import Path

import pytest

import alora_flow
from alora_flow.backends.base import Backend
from alora_flow.backends.echo import Echo, open_echo
from alora_flow.errors import BadModel
from alora_flow.planning.setup import Setup

FLOW = """
model base = "mini"
tool note(n: int) -> int = python "notes:note"
flow plain(n: int = 1) -> int { return note(n) + 1 }
flow asks(n: int = 1) -> str {
  let m = note(n)
  let r = generate(max_tokens: 4) on user("{m}")
  return r.text
}
"""


def test_it_is_opened_once_and_late(tmp_path: Path) -> None:
    (tmp_path / "f.flow").write_text(FLOW)
    (tmp_path / "notes.py").write_text("noted = []\ndef note(n):\n    noted.append(n)\n    return len(noted)\n")
    opened: list[Setup] = []
    broken = [True]

    def open_it(setup: Setup) -> Backend:
        opened.append(setup)
        if broken:
            raise BadModel("the weights are broken")
        return open_echo(setup)

    module = alora_flow.load(tmp_path / "f.flow", backend=open_it)
    module.forget()
    assert (module.plain().value, opened) == (2, [])
    for _ in range(2):
        with pytest.raises(BadModel, match="broken"):
            module.asks()
    assert module.plain().value == 3  # no run that failed to open has called the tool
    broken.clear()
    assert [module.asks().value, module.asks().value] == ["3", "4"]
    assert isinstance(module.backend, Echo)
    assert len(opened) == 3
