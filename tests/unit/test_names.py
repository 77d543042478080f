"""What the name of a field says of its value."""

import pytest

from llmlog.redaction.names import KEYS, Names, squeezed, stems_of


@pytest.mark.parametrize("name", ["API-Key", "apiKey", "api.key", "api key", "OPENAI_API_KEY", "apiKeys", "x-api-key"])
def test_a_key_in_every_spelling(name: str) -> None:
    """Capitals, hyphens, dots and what stands before make no difference."""
    assert Names(["api_key"]).tell(name) == (True, f"{name}: ")


def test_what_a_name_tells() -> None:
    """A name says that its value goes, or how to read it, or nothing."""
    names = Names(KEYS)
    assert names.tell("db_password")[0]
    assert names.tell("home_phone_number") == (False, "phone: ")
    assert names.tell("x_token") == (False, "x_token: ")
    assert names.tell("rows") == (False, "")


def test_short_keys_are_whole_names() -> None:
    """A key of up to five letters is no end of other names: `ssn` is not in `classn`."""
    names = Names(["pin"])
    assert names.tell("PIN")[0]
    assert not names.tell("spin")[0]


def test_names_without_end() -> None:
    """What is learnt of names is bounded, and long ones are not kept."""
    names = Names(KEYS)
    for number in range(5000):
        names.tell(f"key{number}")
    assert len(names._known) <= 4096
    before = len(names._known)
    names.tell("x" * 1000)
    assert len(names._known) == before


def test_a_stem_is_in_every_spelling() -> None:
    """Whatever the spelling of a key, its lower case holds one of the stems, and no stem is in another."""
    stems = stems_of(KEYS)
    for key in KEYS:
        for spelling in (key, squeezed(key), key.replace("_", "-"), key.title()):
            assert any(stem in spelling.lower() for stem in stems), spelling
    assert not any(one in other for one in stems for other in stems if one != other)
