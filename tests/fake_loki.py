"""A Loki in a function: it stores and refuses lines as Loki 3.7 does, in its words."""

from __future__ import annotations

import base64
import datetime
import json
import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

from delivering import SECOND

HOUR = 3600 * SECOND


class Loki:
    """Answers as Loki 3.7 does, by the rules that its errors name. `stored`: (labels, stamp, line).

    What is pushed again is stored again: the real one merges lines that are near each other in its memory, and no
    others.
    """

    def __init__(self, now: int, newest: dict[str, int] | None = None) -> None:
        self.now = now
        self.newest = newest or {}
        self.stored: list[tuple[str, int, str]] = []
        self.metadata_limit = 65_536
        self.line_limit = 262_144

    def __call__(self, sent: Any) -> tuple[int, str]:
        return self.queried(sent.url) if sent.method == "GET" else self.pushed(sent)

    def queried(self, url: str) -> tuple[int, str]:
        """The answer to a query for the lines of one stream, each cut down to its length and its two ends."""
        asked = {name: value for name, [value] in parse_qs(urlsplit(url).query).items()}
        selector, template = re.fullmatch(
            r"\{(.*)\} \| line_format `(.*)` \| keep late", asked["query"], re.DOTALL
        ).groups()  # type: ignore[union-attr]
        edge = int(re.search(r"trunc (\d+)", template)[1])  # type: ignore[index]
        both = "{{len __line__}} {{trunc %d __line__ | b64enc}} {{trunc -%d __line__ | b64enc}}"
        assert template == both % (edge, edge)
        wanted = {name: json.loads(value) for name, value in re.findall(r'(\w+)=("(?:[^"\\]|\\.)*")', selector)}
        name = named({key: value for key, value in wanted.items() if value})
        found = []
        for labels, stamp, line in sorted(self.stored):
            if labels == name and int(asked["start"]) <= stamp < int(asked["end"]):
                text = line.encode()
                ends = [base64.b64encode(one).decode() for one in (text[:edge], text[-edge:])]
                found.append([str(stamp), " ".join([str(len(text)), *ends]), {}])
        return 200, json.dumps({"data": {"result": [{"stream": {}, "values": found[: int(asked["limit"])]}]}})

    def pushed(self, sent: Any) -> tuple[int, str]:
        """Store what is good, and refuse the rest in its words."""
        invalid: list[str] = []
        failed: str = ""
        for stream in json.loads(sent.body)["streams"]:
            labels = stream["stream"]
            name = named(labels)
            shown = name[:-1] + ', service_name="unknown_service"}'
            behind: list[str] = []
            for stamp_text, line, *rest in stream["values"]:
                stamp, metadata = int(stamp_text), rest[0] if rest else {}
                size = sum(len(key) + len(value.encode()) for key, value in metadata.items())
                newest = self.newest.get(name, 0)
                if stamp < self.now - 168 * HOUR:
                    oldest = time_of(self.now - 168 * HOUR)
                    invalid.append(
                        f"entry for stream '{shown}' has timestamp too old: {time_of(stamp)}, "
                        f"oldest acceptable timestamp is: {oldest}"
                    )
                elif stamp > self.now + HOUR // 6:
                    invalid.append(f"entry for stream '{shown}' has timestamp too new: {time_of(stamp)}")
                elif len(line.encode()) > self.line_limit:
                    invalid.append(
                        f"max entry size '{self.line_limit}' bytes exceeded for stream '{shown}' while adding an entry "
                        f"with length '{len(line.encode())}' bytes"
                    )
                elif size > self.metadata_limit:
                    invalid.append(
                        f"stream '{shown}' has structured metadata too large: '{size}' bytes, limit: "
                        f"'{self.metadata_limit}' bytes. Please see `limits_config.max_structured_metadata_size`"
                    )
                elif stamp < newest - HOUR:
                    behind.append(
                        f"entry with timestamp {exact(stamp)} ignored, reason: 'entry too far behind, entry timestamp "
                        f"is: {time_of(stamp)}, oldest acceptable timestamp is: {time_of(newest - HOUR)}',\n"
                    )
                else:
                    self.newest[name] = max(newest, stamp)
                    self.stored.append((name, stamp, line))
            failed = ""  # of the errors of several streams, the last one's is told, or none
            if behind:
                total = f"total ignored: {len(behind)} out of {len(stream['values'])}"
                failed = "".join(behind[:10]) + f"user 'fake', {total} for stream: {named}"
        if failed:  # of the errors of both kinds, Loki tells one
            return 400, failed
        unique = dict.fromkeys(invalid)
        text = "; ".join(f"{invalid.count(one)} errors like: {one}" if len(unique) > 1 else one for one in unique)
        return (400, text) if invalid else (204, "")


def named(labels: Any) -> str:
    return "{" + ", ".join(f'{key}="{labels[key]}"' for key in sorted(labels)) + "}"


def time_of(stamp: int) -> str:
    return f"{datetime.datetime.fromtimestamp(stamp // SECOND, datetime.UTC):%Y-%m-%dT%H:%M:%SZ}"


def exact(stamp: int) -> str:
    when = f"{datetime.datetime.fromtimestamp(stamp // SECOND, datetime.UTC):%Y-%m-%d %H:%M:%S}"
    fraction = f".{stamp % SECOND:09d}".rstrip("0").rstrip(".")
    return f"{when}{fraction} +0000 UTC"
