"""`mini` on the command line."""

from click.testing import CliRunner

from alora_flow.cli.mini import command
from alora_flow.mini import WEIGHTS


def test_card_prints_the_shipped_card() -> None:
    result = CliRunner().invoke(command, ["card"])
    assert result.exit_code == 0, result.output
    assert result.output == (WEIGHTS / "CARD.md").read_text(encoding="utf-8") + "\n"


def test_train_needs_a_folder() -> None:
    result = CliRunner().invoke(command, ["train"])
    assert result.exit_code == 2
    assert "--out" in result.output
