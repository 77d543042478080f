"""The folder of one destination: records are appended here, and leave it when the backend has taken them.

Each process appends to a segment of its own (`llmlog.handlers.segments`) and holds its lock; a full one is let go of.
A segment that nobody holds is sent by whichever process comes to it first, so an outage, a restart, a fork and a
process that was killed are all the same case.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from llmlog.faults import fault, notice
from llmlog.handlers.segments import Segment, make_folder, segments_of
from llmlog.handlers.stamps import Stamps

__all__ = ["Spool"]

_MAX_SEGMENT = 2 * 1024 * 1024  # counting and removing one, which the caller may have to do, takes 3 ms
_SEGMENTS = 32  # that a full spool is made of, at the least
_AROUND = len("1800000000000000000 \n")
_NEVER = 1 << 62
_LOOK_AGAIN = 0.1  # seconds, while the spool is full

_sync: Callable[[int], None] = getattr(os, "fdatasync", os.fsync)
_exiting = threading.Event()


class Spool:
    """What waits for one destination, in `folder`, with at most about `max_bytes` in all the files of its processes.

    What happens beyond that is `full`'s to say: "drop_oldest" removes the oldest segment that nobody is sending,
    "drop_newest" takes no more records, "block" waits until there is room, but for the thread that makes room and
    when the interpreter exits. With `fsync` a record is on the disk when `append` returns, not only with the system.
    OSError where the folder cannot be made or written.
    """

    def __init__(
        self,
        folder: str,
        *,
        max_bytes: int = 1 << 30,
        full: str = "drop_oldest",
        fsync: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        make_folder(folder)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(f"not this user's to write: {folder}")
        self.folder = folder
        self.wake = threading.Event()
        """Set when there is enough for the one who sends; he says by `wake_when` what is enough."""
        self.dropped = 0
        """How many records this process has dropped in its life, at the bound or for a full disk."""
        self.torn = 0
        """How many lines were passed over that were no entries, such as the half line of a killed process."""
        self.is_pressed = False
        """Whether somebody waits for room: no time to wait for a fuller batch."""
        self._max_bytes = max_bytes
        self._full = full
        self._fsync = fsync
        self._clock = clock
        self._segment_bytes = max(1, min(_MAX_SEGMENT, max_bytes // _SEGMENTS))
        self._lock = threading.RLock()  # reentrant: a signal handler may log in the middle of an append
        self._room = threading.Condition(self._lock)
        self._writing = False
        self._nested: deque[tuple[bytes, float]] = deque()
        self._active: Segment | None = None  # where this process appends
        self._current: Segment | None = None  # what it is sending: the active one, or one that nobody had
        self._orphans: deque[Segment] = deque()  # somebody has removed their files: they can be read here only
        self._stuck: set[str] = set()  # settled, and cannot be removed
        self._own: dict[str, None] = {}  # paths of those that were appended here, until they are known to be gone
        self._wake_records, self._wake_size = 1, _NEVER
        self._used = self._look_at = 0  # bytes in the folder; from how many on it is looked at again
        self._full_until = 0.0
        self._freed = False
        self._checked = 0.0
        self._closed = False
        _spools.add(self)

    # What the caller's thread does

    def append(self, line: bytes, created: float, *, always: bool = False) -> bool:
        """Keep `line`, one JSON object: True, or False where it was dropped and counted. Raises nothing.

        `always`: the bound gives way, and nobody waits: for the record that tells what was dropped, by who makes room.
        """
        with self._lock:
            if self._writing:  # a signal handler, in the middle of the append below: that one takes it along
                self._nested.append((line, created))
                return True
            if self._full == "block" and not always:
                self._wait_for_room(len(line) + _AROUND)
            self._writing = True
            try:
                done = self._put(line, created, always)
                while self._nested:
                    self._put(*self._nested.popleft())
            except OSError as error:
                self._lost(error)
                return False
            finally:
                self._writing = False
        return done

    def _put(self, line: bytes, created: float, always: bool = False) -> bool:
        active = self._active
        if active is None or active.size >= self._segment_bytes:
            active = self._next_segment()
        elif not -1.0 < created - self._checked < 1.0:
            self._checked = created
            if active.is_unlinked():  # with its folder, perhaps
                active = self._next_segment()
        if not active.sound:
            active.resync()
        nbytes = len(line) + _AROUND
        if self._used + nbytes > self._look_at and not always and not self._has_room(nbytes):
            if self._full != "drop_oldest":
                self.dropped += 1
                return False
            self._drop_oldest(nbytes)
        data = b"%d %b\n" % (_stamps.next(created), line)
        active.sound = False
        written = os.write(active.fd, data)
        if written != len(data):
            active.resync()
            raise OSError("the disk is full")
        active.size += written
        active.records += 1
        active.sound = True
        self._used += written
        if self._fsync:
            _sync(active.fd)
        if active.records >= self._wake_records or active.size >= self._wake_size:
            self._wake_up()
        return True

    def _lost(self, error: OSError) -> None:
        self.dropped += 1
        notice(
            f"appending to {self.folder}",
            f"a record could not be kept in {self.folder} ({error}); records are dropped, and counted, until it can",
        )
        active = self._active
        if active is not None and not active.sound:
            with suppress(OSError):
                active.resync()

    def _next_segment(self) -> Segment:
        self._seal()
        made = Segment.make(self.folder)
        self._active = made
        self._own[made.path] = None
        if self._fsync:  # its name is to be on the disk, too
            fd = os.open(self.folder, os.O_RDONLY)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
        if self._wake_records != _NEVER:
            self._wake_up()
        return made

    def _seal(self) -> None:
        """Nothing is appended to the active segment any more; it is anybody's unless it is being sent just now."""
        active, self._active = self._active, None
        if active is None:
            return
        if not active.sound:
            with suppress(OSError):
                active.resync()
        if active is self._current:
            return
        if active.position >= active.size:
            active.unlink()
            self._own.pop(active.path, None)
        elif active.is_unlinked():
            self._orphans.append(active)
            return
        active.close()

    def _wake_up(self) -> None:
        self._wake_records = self._wake_size = _NEVER
        self.wake.set()

    # The bound

    def _has_room(self, nbytes: int) -> bool:
        """Whether there is room for so many bytes; asks the folder, which is other processes' as well."""
        if self._used + nbytes <= self._look_at:
            return True
        now = self._clock()
        if now < self._full_until and not self._freed:
            return False
        self._freed = False
        self._used = self.nbytes()
        left = self._max_bytes - self._used
        if nbytes <= left:
            self._look_at = self._used + max(left // 64, min(left, 4096), nbytes)
            return True
        self._look_at, self._full_until = 0, now + _LOOK_AGAIN
        return False

    def _wait_for_room(self, nbytes: int) -> None:
        while not self._has_room(nbytes):
            # When the main thread has ended, the interpreter waits for the others, and may wait for ever.
            if self._closed or _exiting.is_set() or not threading.main_thread().is_alive():
                return
            self.is_pressed = True
            self.wake.set()
            self._room.wait(_LOOK_AGAIN)

    def _drop_oldest(self, nbytes: int) -> None:
        """Remove the oldest segments that nobody is sending or appending to, as many as it takes.

        Where there are none, the bound gives way by one segment: the newest records are the ones to keep.
        """
        self._full_until = 0.0
        for name in segments_of(self.folder):
            if self._used + nbytes <= self._max_bytes:
                break
            path = f"{self.folder}/{name}"
            if (segment := Segment.adopt(path)) is not None:
                try:
                    self.dropped += segment.unsettled()
                    segment.unlink()
                    self._used -= segment.size
                    self._own.pop(path, None)
                finally:
                    segment.close()
        self._look_at = self._used + max((self._max_bytes - self._used) // 64, self._segment_bytes // 4)

    def nbytes(self) -> int:
        """The bytes of all files in the folder."""
        total = 0
        with suppress(OSError), os.scandir(self.folder) as files:
            for file in files:
                with suppress(OSError):
                    total += file.stat().st_size
        return total

    # What the one who sends does; one thread at a time

    def pick(self, *, look: bool) -> Segment | None:
        """The segment to send from: one that nobody holds, oldest first, or else this process's own.

        `look`: whether to look for the former, where the own one was picked before.
        """
        with self._lock:
            current = self._current
            if current is not None and (current is not self._active or not look):
                return current
            self._current = None
            self._current = self._orphans.popleft() if self._orphans else self._adopt() or self._active
            return self._current

    def _adopt(self) -> Segment | None:
        try:
            names = segments_of(self.folder)
        except OSError:  # removed, perhaps: the next append makes it again
            return None
        own = self._active.path if self._active is not None else None
        for name in names:
            path = f"{self.folder}/{name}"
            if path != own and path not in self._stuck and (segment := Segment.adopt(path)) is not None:
                return segment
        return None

    def is_active(self, segment: Segment) -> bool:
        """Whether this process appends to it."""
        return segment is self._active

    def finish(self, segment: Segment) -> None:
        """Remove the current segment, if all of it is settled and this process does not append to it any more."""
        with self._lock:
            if segment is self._active or segment.position < segment.size:
                return
            self._current = None
        try:
            segment.unlink()
        except OSError as error:
            self._stuck.add(segment.path)
            notice(f"removing {self.folder}", f"what is settled cannot be removed from {self.folder} ({error})")
        with self._lock:
            self._own.pop(segment.path, None)
            self._used -= segment.size
            self._look_at -= segment.size
            self._freed, self.is_pressed = True, False
            self._room.notify_all()
        segment.close()

    def release(self) -> None:
        """Let go of the current segment, settled or not."""
        with self._lock:
            current, self._current = self._current, None
            if current is not None and current is not self._active:
                current.close()

    def wake_when(self, records: int, nbytes: int) -> bool:
        """Set `wake` when the active segment has so many records or bytes; False where it has them already."""
        with self._lock:
            active = self._active
            if active is not None and (active.records >= records or active.size >= nbytes):
                return False
            self._wake_records, self._wake_size = records, nbytes
            return True

    def seal(self) -> None:
        """What was appended so far stands in segments of its own, so that it can be told when all of it has left."""
        with self._lock:
            if self._active is not None and self._active.size and not self._writing:
                self._seal()

    def left(self) -> bool:
        """Whether something may still be there that stood in a sealed segment of this process, or is being sent."""
        with self._lock:
            active = self._active.path if self._active is not None else None
            for path in list(self._own):
                if path != active and not os.path.exists(path):
                    del self._own[path]
            sending = self._current is not None and self._current is not self._active
            return sending or bool(self._orphans) or any(path != active for path in self._own)

    def close(self) -> None:
        """Let go of all locks: what is left is for the next process, or for another of now. `append` still works."""
        with self._lock:
            self._closed = True
            self._room.notify_all()
            self._seal()

    def __del__(self) -> None:
        if hasattr(self, "_orphans"):
            self._close_all()

    def _close_all(self) -> None:
        for segment in (self._active, self._current, *self._orphans):
            if segment is not None:
                segment.close()
        self._active = self._current = None
        self._orphans.clear()

    def _forget(self) -> None:
        """In the child of a fork: the segments, and their locks, are the parent's."""
        self._lock = threading.RLock()
        self._room = threading.Condition(self._lock)
        self.wake = threading.Event()
        self._close_all()
        self._own.clear()
        self._nested.clear()
        self._writing = False
        self._wake_records, self._wake_size = 1, _NEVER
        self.dropped = self.torn = 0


_stamps = Stamps()
_spools: weakref.WeakSet[Spool] = weakref.WeakSet()
_forking = threading.local()  # two threads may fork at once


def _before_fork() -> None:
    """No thread is opening a segment then: the child would keep its lock, and not know of it."""
    _forking.held = sorted(_spools, key=id)
    for spool in _forking.held:
        spool._lock.acquire()


def _after_fork_in_parent() -> None:
    for spool in _forking.held:
        spool._lock.release()
    _forking.held = []


def _after_fork_in_child() -> None:
    global _stamps
    _forking.held = []
    _stamps = Stamps()
    for spool in list(_spools):
        try:
            spool._forget()
        except Exception as error:
            fault("starting anew after a fork", error)


def _exit() -> None:
    """Nobody waits for room any more: who makes it may be gone."""
    _exiting.set()
    for spool in list(_spools):
        with spool._lock:
            spool._room.notify_all()


atexit.register(_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
