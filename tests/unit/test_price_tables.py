"""The user's own price table."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

import llmlog
from llmlog import price_tables, settings
from llmlog.costs import Price, price
from llmlog.exceptions import UsageTypeError, UsageValueError
from llmlog.price_tables import PriceTable, load
from llmlog.usage import Usage

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
USAGE = Usage(1_000_000, 1_000_000)

TOML = """\
name = "acme"
version = "2026-03"

[models."gpt-4o*"]
input = 2.25
output = 9.1
web_search = 0.01
tiers = [{above = 1_500_000, input = 5}]

[models.gpt-4o-mini]
input = 0.1
output = 0.4

[models.gpt-4o-mini.service_tiers.flex]
discount = 0.5

[models.gpt-4o-mini.service_tiers.priority]
output = 0.8

[[models."claude-*"]]
provider = "anthropic"
until = 2026-06-01
input = 3
output = 15

[[models."claude-*"]]
from = 2026-06-01
input = 2
output = 10
discount = 0.1
"""


NOTHING = {"models": {"no-such-model": {"input": 1}}}


def amount(table: PriceTable, model: str, usage: Usage = USAGE, **options: Any) -> Decimal | None:
    """What `usage` costs by `table`."""
    found = price(usage, model, table=table, **{"at": NOON, **options})
    return None if found is None else found.amount


@pytest.fixture
def toml(tmp_path: pathlib.Path) -> Callable[[str], pathlib.Path]:
    """Writes a table."""

    def write(text: str) -> pathlib.Path:
        path = tmp_path / "prices.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


class TestTable:
    def test_is_over_genai_prices(self, toml: Callable[[str], pathlib.Path]) -> None:
        """What is in it has its prices, all else has genai-prices', and the source says which."""
        table = load(toml(TOML))
        ours, other = (price(USAGE, model, at=NOON, table=table) for model in ("gpt-4o", "gpt-4.1"))
        assert ours is not None
        assert other is not None
        assert (ours.amount, ours.source) == (Decimal("11.35"), "acme 2026-03")
        assert other.source.startswith("genai-prices ")

    def test_prices_a_model_that_nobody_knows(self) -> None:
        """A model of one's own."""
        assert amount(load({"models": {"llama-at-home": {"input": 1, "output": 2}}}), "llama-at-home") == 3

    def test_prefers_the_full_name_then_the_provider_then_the_longest_pattern(self) -> None:
        """The order in the file decides only between equals."""
        table = load(
            {
                "models": {
                    "*": {"input": 1, "output": 0},
                    "gpt-*": [{"input": 2, "output": 0}, {"provider": "azure", "input": 3, "output": 0}],
                    "gpt-4o*": {"input": 4, "output": 0},
                    "gpt-?o*": {"input": 99, "output": 0},
                    "gpt-4o-mini": {"input": 5, "output": 0},
                }
            }
        )
        found = [amount(table, model) for model in ("o3", "gpt-5", "gpt-4o", "gpt-4o-mini", "openai/GPT-4o-mini")]
        assert found == [1, 2, 4, 5, 5]
        assert amount(table, "gpt-4o", provider="azure.ai.openai") == 3
        assert amount(table, "azure/gpt-4o") == 3
        assert amount(table, "gpt-4o", provider="openai") == 4

    def test_has_dates(self, toml: Callable[[str], pathlib.Path]) -> None:
        """From one day, until before another; midnight is UTC."""
        table = load(toml(TOML))
        before = datetime(2026, 5, 31, 23, 59, tzinfo=UTC)
        assert amount(table, "claude-x", provider="anthropic", at=before) == 18
        assert amount(table, "claude-x", provider="anthropic", at=datetime(2026, 6, 1, tzinfo=UTC)) == Decimal("10.8")
        assert amount(table, "claude-x", provider="bedrock", at=before) is None

    @pytest.mark.parametrize("backwards", [False, True])
    def test_has_the_latest_of_overlapping_dates(self, backwards: bool) -> None:
        """A new price below the old one, which nobody has ended; the order in the file does not matter."""
        entries = [
            {"input": 1, "output": 0},
            {"until": "2025-01-01", "input": 2, "output": 0},
            {"from": "2026-01-01", "input": 3, "output": 0},
            {"from": "2026-07-01", "input": 4, "output": 0},
            {"from": "2026-07-01", "until": "2026-08-01", "input": 5, "output": 0},
        ]
        table = load({"models": {"mine": entries[::-1] if backwards else entries}})
        months = [(2024, 6), (2025, 6), (2026, 6), (2026, 7), (2026, 9)]
        found = [amount(table, "mine", at=datetime(year, month, 15, tzinfo=UTC)) for year, month in months]
        assert found == [2, 1, 3, 5, 4]

    def test_has_its_names_without_blanks_and_in_any_case(self) -> None:
        """As they are looked up."""
        assert amount(load({"models": {" Mine ": {"input": 1, "output": 1}}}), "MINE") == 2

    def test_takes_dates_as_text_dates_and_times(self) -> None:
        """JSON has no dates of its own; a time without a zone is UTC."""
        for since in ("2026-06-01", "2026-06-01T00:00:00Z", date(2026, 6, 1), datetime(2026, 6, 1, tzinfo=UTC)):
            table = load({"models": {"mine": {"from": since, "input": 1, "output": 1}}})
            assert amount(table, "mine") == 2
            assert amount(table, "mine", at=datetime(2026, 5, 31, tzinfo=UTC)) is None

    def test_has_tiers_by_size(self, toml: Callable[[str], pathlib.Path]) -> None:
        """A larger request has other prices for all of it; what the tier does not name stays."""
        table = load(toml(TOML))
        assert amount(table, "gpt-4o", Usage(1_500_000, 0)) == Decimal("3.375")
        assert amount(table, "gpt-4o", Usage(2_000_000, 1_000_000)) == Decimal("19.1")

    def test_has_service_tiers(self, toml: Callable[[str], pathlib.Path]) -> None:
        """By the response's word, in any case: a discount on the prices, or other prices."""
        table = load(toml(TOML))
        found = [amount(table, "gpt-4o-mini", service_tier=tier) for tier in (None, "default", "FLEX", "priority")]
        assert found == [Decimal("0.5"), Decimal("0.5"), Decimal("0.25"), Decimal("0.9")]

    def test_discounts_genai_prices(self) -> None:
        """An entry without token prices changes those of genai-prices, tiers and all, and names both."""
        table = load({"name": "acme", "version": "1", "models": {"*": {"provider": "openai", "discount": 0.15}}})
        listed, ours = (price(USAGE, "o3", provider="openai", at=NOON, table=each) for each in (None, table))
        assert listed is not None
        assert ours is not None
        assert ours.amount == listed.amount * Decimal("0.85")
        assert ours.source == f"acme 1 over {listed.source}"
        later = datetime(2026, 11, 1, tzinfo=UTC)
        flex = [amount(each, "o3", provider="openai", at=later, service_tier="flex") for each in (load(NOTHING), table)]
        assert flex[0] is not None
        assert flex[1] == flex[0] * Decimal("0.85") < ours.amount

    def test_adds_fees_to_genai_prices(self) -> None:
        """A gateway's charge for each request, and the provider's for its searches."""
        table = load({"models": {"gpt-4o": {"request": 0.001, "web_search": 0.01}}})
        usage = Usage(0, 0, web_searches=2)
        assert amount(table, "gpt-4o", usage, provider="openai") == Decimal("0.021")

    def test_may_have_nothing_but_fees_for_a_model_of_ones_own(self) -> None:
        """They are a lower bound; a discount off nothing is no price, and neither is one in another service tier."""
        mine = {"request": 0.01, "service_tiers": {"batch": {"input": 1, "output": 1}}}
        table = load({"name": "x", "version": "1", "models": {"mine": mine, "whisper-1": {"discount": 0.1}}})
        assert price(USAGE, "mine", table=table) == Price(Decimal("0.01"), "x 1", partial=True)
        assert price(USAGE, "mine", table=table, service_tier="batch") == Price(Decimal("2.01"), "x 1")
        assert price(USAGE, "whisper-1", table=table, provider="openai") is None
        assert price(USAGE, "mine", table=load({"models": {"mine": {"web_search": 0.01}}})) is None
        only = load({"models": {"mine": {"service_tiers": {"batch": {"input": 1, "output": 1}}}}})
        assert amount(only, "mine", service_tier="batch") == 2
        assert amount(only, "mine") is None

    def test_may_be_a_surcharge(self) -> None:
        """A discount below 0."""
        table = load({"models": {"gpt-4o": {"input": 1, "output": 1, "discount": -0.1}}})
        assert amount(table, "gpt-4o") == Decimal("2.2")

    def test_may_be_in_another_currency(self) -> None:
        """The note says which, and what one of it is worth; the cost is in US dollars."""
        table = load(
            {"name": "acme", "version": "1", "currency": "EUR", "usd": 1.08, "models": {"m": {"input": 1, "output": 1}}}
        )
        found = price(USAGE, "m", at=NOON, table=table)
        assert found is not None
        assert (found.amount, found.source) == (Decimal("2.16"), "acme 1 (EUR at 1.08)")

    def test_has_its_numbers_as_they_are_written(self, tmp_path: pathlib.Path) -> None:
        """No float comes between: in TOML, in JSON, and of a mapping's floats what they print as."""
        written = {"name": "x", "models": {"m": {"input": 0.1, "output": 0.3}}}
        json_file = tmp_path / "prices.json"
        json_file.write_text(json.dumps(written))
        toml_file = tmp_path / "prices.toml"
        toml_file.write_text("[models.m]\ninput = 0.1\noutput = 0.3\n")
        for source in (json_file, str(toml_file), written, {"models": {"m": {"input": Decimal("0.1"), "output": 0.3}}}):
            assert amount(load(source), "m", Usage(3, 1)) == Decimal("0.0000006")

    def test_is_named_after_its_file_where_it_has_no_name(self, toml: Callable[[str], pathlib.Path]) -> None:
        """And its version is a digest, which changes with it."""
        first = load(toml("[models.m]\ninput = 1")).source
        again, other = load(toml("[models.m]\ninput = 1")).source, load(toml("[models.m]\ninput = 2")).source
        assert first == again != other
        assert first.startswith("prices.toml ")
        assert len(first.split()[1]) == 10

    def test_is_as_its_documentation_shows(self, toml: Callable[[str], pathlib.Path]) -> None:
        """The example in the module's docstring."""
        lines = [line[4:] for line in (price_tables.__doc__ or "").splitlines() if line.startswith("    ")]
        table = load(toml("\n".join(lines)))
        assert table.source == "acme 2026-03 (EUR at 1.08)"
        assert amount(table, "gpt-4o", service_tier="batch") == 15 * Decimal("1.08") / 2
        assert amount(table, "claude-opus-4-6", provider="anthropic") == 30 * Decimal("0.85")

    def test_is_configured(self, toml: Callable[[str], pathlib.Path]) -> None:
        """`configure(prices=...)` has it used, and None takes it back."""
        before = llmlog.cost(USAGE, "gpt-4o", at=NOON)
        llmlog.configure(prices=toml(TOML))
        assert llmlog.cost(USAGE, "gpt-4o", at=NOON) == Decimal("11.35") != before
        llmlog.configure(prices=None)
        assert llmlog.cost(USAGE, "gpt-4o", at=NOON) == before


WRONG = [
    ('[models.m]\ninput = "2"', 2, "models.m.input", "'2'"),
    ("[models.m]\ninput = true", 2, "models.m.input", "True"),
    ("[models.m]\ninput = -1", 2, "models.m.input", "-1"),
    ("[models.m]\ninput = nan", 2, "models.m.input", "NaN"),
    ("[models.m]\ninput = 1e300", 2, "models.m.input", "1E+300"),
    ("[models.m]\n\ninptu = 5", 3, "models.m.inptu", "cache_read"),
    ("name = 5\n[models.m]\ninput = 1", 1, "name", "5"),
    ('currency = "EUR"\n[models.m]\ninput = 1', 1, "currency", "'EUR'"),
    ('[models."gpt*"]\ninput = 1\ndiscount = 15', 3, 'models."gpt*".discount', "15"),
    ("[models.m]\ninput = 1\nfrom = 2026-02-01\nuntil = 2026-01-01", 4, "models.m.until", "2026"),
    ("[models.m]\ninput = 1\nfrom = 2026-02-01T10:00:30", 3, "models.m.from", "full minute"),
    ('[models.m]\ninput = 1\nfrom = "soon"', 3, "models.m.from", "'soon'"),
    ("[models.m]\ninput = 1\ntiers = 5", 3, "models.m.tiers", "5"),
    ("[models.m]\ninput = 1\ntiers = [\n {input = 2}]", 4, "models.m.tiers.0", "above"),
    ("[models.m]\ninput = 1\ntiers = [\n {above = 1, input = 2},\n # more\n {above = 9, inptu = 2},\n]", 6,
     "models.m.tiers.1.inptu", "2"),
    ("[models.m]\ninput = 1\ntiers = [{above = 1, input = 2},\n {above = 9, input = 2}]\noutput = 'x'", 5,
     "models.m.output", "'x'"),
    ("[models.m]\ninput = 1\n[[models.m.tiers]]\nabove = 9\ninput = 2\n[[models.m.tiers]]\nabove = 5\ninput = 3", 6,
     "models.m.tiers.1", "5"),
    ("[models.m]\ninput = 1\n[[models.m.tiers]]\nabove = 9\noutput = 2", 5, "models.m.tiers.0.output", "smaller"),
    ("[models.m]\ninput = 1\n[models.m.service_tiers]\nflex = 0.5", 4, "models.m.service_tiers.flex", "0.5"),
    ("[models.m]\ninput = 1\n[models.m.service_tiers.flex]\nfrom = 1", 4, "models.m.service_tiers.flex.from", "1"),
    ("[[models.m]]\ninput = 1\n[[models.m]]\ninput = 'x'", 4, "models.m.1.input", "'x'"),
    ("models = 5", 1, "models", "5"),
    ("[models]\nm = []", 2, "models.m", "empty"),
    ('[models."  "]\ninput = 1', 1, 'models."  "', "name"),
    ("[[models.m]]\ninput = 1\n[[models.m]]\n# again\ninput = 2", 3, "models.m.1", "before"),
    ('[models.m]\nprovider = "azure"\ninput = 1\n[models.M]\ninput = 2\nprovider = "azure_openai"', 4, "models.M",
     "before"),
    ('currency = "EUR"\nusd = 0\n[models.m]\ninput = 1', 2, "usd", "0"),
    ('currency = "usd"\nusd = 1.1\n[models.m]\ninput = 1', 2, "usd", "1.1"),
    ("# a\u2028b\x85\n[models.m]\ninput = true", 3, "models.m.input", "True"),
]  # fmt: skip


class TestWrong:
    @pytest.mark.parametrize(("text", "line", "path", "shown"), WRONG)
    def test_is_told_with_file_line_and_value(
        self, text: str, line: int, path: str, shown: str, toml: Callable[[str], pathlib.Path]
    ) -> None:
        """Where to look, and what stands there."""
        file = toml(text)
        with pytest.raises((UsageTypeError, UsageValueError)) as error:
            load(file)
        assert str(error.value).startswith(f"{file}, line {line}: {path} ")
        assert shown in str(error.value)

    @pytest.mark.parametrize(("text", "line", "path", "shown"), WRONG)
    def test_is_told_of_json_too(self, text: str, line: int, path: str, shown: str, tmp_path: pathlib.Path) -> None:
        """The same table in JSON, of which no parser tells the lines either."""
        import tomllib

        parsed = tomllib.loads(text, parse_float=str)
        file = tmp_path / "prices.JSON"
        file.write_text(json.dumps(parsed, indent=1, default=str).replace('"nan"', "NaN").replace('"1e300"', "1e300"))
        with pytest.raises((UsageTypeError, UsageValueError)) as error:
            load(file)
        place, _, said = str(error.value).partition(": ")
        number = int(place.rpartition(" ")[2])
        assert said.startswith(f"{path} ")
        last = path.rpartition(".")[2]
        if not last.isdigit():
            assert f'"{last.strip(chr(34))}":' in file.read_text().splitlines()[number - 1]

    @pytest.mark.parametrize(
        ("name", "text", "shown"),
        [
            ("p.toml", "[models.m]\ninput == 2", "line 2"),
            ("p.toml", "[models.m]\ninput = 1\ninput = 2\n# the end", "line 3"),
            ("p.json", '{"models": {\n"m" {}}}', "line 2"),
            (
                "p.json",
                '{"models": {"m": {"input": 1,\n"output": 1,\n"inp\\u0075t": 2}}}',
                "line 3: models.m.input stands twice",
            ),
            ("p.json", "[" * 100_000, "JSON"),
        ],
    )
    def test_is_told_where_it_cannot_be_parsed(self, name: str, text: str, shown: str, tmp_path: pathlib.Path) -> None:
        """The parser's own words, with the file."""
        (tmp_path / name).write_text(text)
        with pytest.raises(UsageValueError) as error:
            load(tmp_path / name)
        assert str(tmp_path / name) in str(error.value)
        assert shown in str(error.value)

    def test_file_is_told(self, tmp_path: pathlib.Path) -> None:
        """One that is not there, a folder, and what is no text."""
        (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
        for path in (tmp_path / "missing.toml", tmp_path, tmp_path / "binary.toml", "a\0b"):
            with pytest.raises(UsageValueError, match="cannot be read"):
                load(path)

    @pytest.mark.parametrize("wrong", [5, b"x.toml", ["x"], True])
    def test_kind_is_told(self, wrong: Any) -> None:
        """Neither a path nor a mapping; and then nothing is changed."""
        with pytest.raises(UsageTypeError, match="prices"):
            llmlog.configure(prices=wrong, log_start=True)
        assert not settings.current().log_start

    def test_number_of_another_kind_is_taken(self) -> None:
        """NumPy's floats, which are floats and write themselves in another way."""

        class Float(float):
            def __repr__(self) -> str:
                return f"Float({float(self)})"

        assert amount(load({"models": {"mine": {"input": Float(0.1), "output": 0}}}), "mine") == Decimal("0.1")

    def test_number_that_cannot_be_written_is_told(self) -> None:
        """Python refuses to write an integer of more than some thousand digits."""
        with pytest.raises(UsageValueError, match="from 0 to 1000000000"):
            load({"models": {"mine": {"input": 10**5000}}})

    def test_mapping_has_no_lines(self) -> None:
        """What was not read from a file is told by its path alone."""
        with pytest.raises(UsageTypeError) as error:
            load({"models": {"m": {"input": "x"}}})
        assert str(error.value) == "prices: models.m.input is a number, the price of a million tokens, got 'x'"
