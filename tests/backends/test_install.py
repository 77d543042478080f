"""make backends: what is there is left alone, what fails leaves nothing behind and says what it needs."""

from __future__ import annotations

import pathlib

import pytest

from backends import install


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    """Nothing of this is done to the backends that are installed here."""
    monkeypatch.setattr(install, "FOLDER", tmp_path)
    monkeypatch.setattr(install, "PARTS", {})


def part(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path, name: str, *, fails: str = "") -> list[pathlib.Path]:
    """A backend of two files; gives the folders that it was made in."""
    made: list[pathlib.Path] = []

    def make(into: pathlib.Path) -> None:
        made.append(into)
        (into / "half").touch()
        if fails:
            raise install.Missing(fails)
        (into / "whole").touch()

    monkeypatch.setitem(install.PARTS, name, (tmp_path / f"{name}-1", make))
    return made


def test_installs_once(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    """It is made in a folder aside, moved to its place when it is whole, and not made again."""
    made = part(monkeypatch, tmp_path, "one")
    assert install.main([]) == install.main([]) == 0
    assert [folder == tmp_path / "one-1" for folder in made] == [False]
    assert {path.name for path in (tmp_path / "one-1").iterdir()} == {"half", "whole"}


def test_a_failure_is_told_and_the_others_are_installed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit status is 1, nothing half-made is left, and what comes after it is there."""
    part(monkeypatch, tmp_path, "broken", fails="needs a spanner")
    part(monkeypatch, tmp_path, "one")
    assert install.main([]) == 1
    assert {path.name for path in tmp_path.iterdir()} == {"lock", "one-1"}
    assert capsys.readouterr().err == "broken: not installed: needs a spanner\n"


def test_only_those_that_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`make backends ARGS=two` installs that one; an unknown name is told, with those that there are."""
    part(monkeypatch, tmp_path, "one")
    part(monkeypatch, tmp_path, "two")
    assert install.main(["two"]) == 0
    assert not (tmp_path / "one-1").exists()
    assert install.main(["three"]) == 2
    assert capsys.readouterr().err == "no such backend: three; there are one, two\n"


def test_a_missing_program_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    """Where we may not install packages, the message names the program and Debian's package."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(install.Missing, match=r"needs `mvn` \(Debian's maven\): install it, or run this once as root"):
        install.need("mvn", "maven")


def test_a_failed_command_shows_its_last_words() -> None:
    """The command, and what it said."""
    with pytest.raises(install.Missing, match=r"(?s)`sh -c echo why >&2; exit 3` failed:\nwhy"):
        install.run("sh", "-c", "echo why >&2; exit 3")
