"""`mini` and `paper` tell what is wrong with their numbers and folders before they compute anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.command import warm

TRAIN = ("train", "--out", "out")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((*TRAIN, "--tokens", "0"), 2, "0 is not in the range x>=1"),
        ((*TRAIN, "--minutes", "nan"), 2, "--minutes is a number of minutes, not nan"),
        ((*TRAIN, "--minutes", "-1"), 2, "-1.0 is not in the range x>0"),
        ((*TRAIN, "--threads", "0"), 2, "0 is not in the range x>=1"),
        ((*TRAIN, "--seed", "-1"), 2, "-1 is not in the range x>=0"),
        (("evaluate", "--count", "0"), 2, "0 is not in the range x>=1"),
        (("evaluate", "."), 1, "holds no bundled model: it has no base"),
        (("card", "."), 1, "results.json can't be read: No such file"),
        (("card", "damaged"), 1, "results.json is damaged"),
        (("card", "others"), 1, "results.json is damaged, or not of this recipe"),
    ],
)
def test_mistakes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], code: int, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in (("damaged", "{"), ("others", "{}")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "results.json").write_text(text)
    done = warm("mini", *arguments)
    assert (done.code, said in done.stderr, "Traceback" in done.stderr) == (code, True, False), done.stderr
    assert not (tmp_path / "out").exists()


def test_tables_that_can_be_written_nowhere(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = warm("paper", "--data", str(tmp_path), "--out", str(tmp_path / "file" / "results.md"))
    assert done.code == 1
    assert "results.md can't be written: " in done.stderr
