"""What a backend refused for good: kept in a file, with the backend's words, for people to look at."""

from __future__ import annotations

import datetime
import os

import orjson

from llmlog.handlers.backend import Entry

__all__ = ["DeadLetters"]


class DeadLetters:
    """The file `dead-letter.jsonl` of a spool's folder, of all its processes, with at most about `max_bytes`."""

    def __init__(self, folder: str, max_bytes: int) -> None:
        self.path = f"{folder}/dead-letter.jsonl"
        self._max_bytes = max_bytes

    def add(self, entry: Entry, reason: str) -> bool:
        """Keep the entry and why it was refused; False where the file is full. OSError: not kept either."""
        try:
            record = orjson.loads(entry.line)
        except ValueError:
            record = entry.line.decode("utf-8", "backslashreplace")
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        words = reason.encode("utf-8", "backslashreplace").decode()
        line = orjson.dumps({"refused_at": now, "reason": words, "key": entry.key, "record": record}) + b"\n"
        fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            size = os.fstat(fd).st_size
            if size + len(line) > self._max_bytes:
                return False
            written = os.write(fd, line)
            if written != len(line):
                os.ftruncate(fd, size)
                raise OSError("the disk is full")
        finally:
            os.close(fd)
        return True
