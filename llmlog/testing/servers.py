"""ScriptedServer: a local HTTP server that answers as OpenAI and Anthropic do, by scripts."""

from __future__ import annotations

import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from socketserver import TCPServer
from types import TracebackType
from typing import Any, Self

from llmlog.exceptions import UsageTypeError, UsageValueError, shown
from llmlog.testing.answering import Handler, Request
from llmlog.testing.chains import Chain
from llmlog.testing.scripts import Script

__all__ = ["Request", "ScriptedServer", "serve"]

Play = Script | Callable[[dict[str, Any]], Script]
"""What is played for a request: a script, or a function that makes one of the request's body."""

_JOIN = 1.0  # seconds for the connections' threads to end; a gate of the test's own may hold one longer


def serve(*scripts: Play) -> ScriptedServer:
    """A server that plays these scripts, for `with`: it runs until the block is left.

    One script for each request, in order; the last one again and again. A function makes the script of the request's
    body. Without any, it answers "Hello world". UsageTypeError for what is neither.
    """
    return ScriptedServer(*scripts)


class ScriptedServer:
    """An HTTP server on a free port of 127.0.0.1, in threads of its own. `serve()` makes it.

    A POST to a path that ends in `/chat/completions` is answered in OpenAI's form, in `/messages` in Anthropic's,
    streamed where its body says so. Any thread may use its attributes and methods.
    """

    def __init__(self, *scripts: Play) -> None:
        self._scripts = deque(_checked(scripts) or (Script(),))
        self._changed = threading.Condition()
        self._requests: list[Request] = []
        self._chains: deque[Chain] = deque()
        self._hung_up = 0
        self._failures: list[Exception] = []
        self.stopping = threading.Event()
        self._listener = _Listener(self)
        # Its loop looks for the end now and then: often, so that the end of a test does not wait.
        self._thread = threading.Thread(
            target=self._listener.serve_forever, args=(0.02,), name="llmlog-scripted-server", daemon=True
        )
        self._thread.start()

    @property
    def url(self) -> str:
        """Its root, without a slash at the end."""
        return f"http://127.0.0.1:{self._listener.server_address[1]}"

    @property
    def openai_url(self) -> str:
        """What OpenAI's SDK takes as `base_url`."""
        return f"{self.url}/v1"

    @property
    def anthropic_url(self) -> str:
        """What Anthropic's SDK takes as `base_url`."""
        return self.url

    @property
    def requests(self) -> list[Request]:
        """What was asked so far, in order; those that got a 404 too."""
        with self._changed:
            return list(self._requests)

    @property
    def hung_up(self) -> int:
        """How many clients went away while they were being answered.

        A short answer is soon sent: what is to be left in its middle had better hang, or wait at a gate.
        """
        with self._changed:
            return self._hung_up

    def wait_for_hang_up(self, count: int = 1, timeout: float = 5.0) -> bool:
        """Wait until so many clients have gone: True, or False where it were fewer after `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: self._hung_up >= count, timeout)

    def play(self, *scripts: Play) -> None:
        """Play these for the next requests, in the place of what was to come. UsageValueError where there is none."""
        if not scripts:
            raise UsageValueError(f"play() takes at least one script, got {shown(scripts)}")
        made = deque(_checked(scripts))
        with self._changed:
            self._scripts = made

    def one_by_one(self, timeout: float = 5.0) -> Chain:
        """Have the next streamed answer sent in lock-step with what the far end reports to the chain returned.

        A piece that does not arrive within `timeout` seconds is the check's failure.
        """
        if isinstance(timeout, bool) or not isinstance(timeout, (int, float)):
            raise UsageTypeError(f"timeout is a number of seconds, got {shown(timeout)}")
        chain = Chain(timeout)
        with self._changed:
            self._chains.append(chain)
        return chain

    def close(self) -> None:
        """Stop, at once: open answers are cut, and its threads end."""
        if self.stopping.is_set():
            return
        self.stopping.set()
        self._listener.shutdown()
        self._listener.server_close()
        self._thread.join()
        self._listener.close_connections()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop. What a script's function or a gate raised is raised here, unless the block raises itself."""
        self.close()
        if error is None and self._failures:
            raise self._failures[0]

    # What the connections tell.

    def received(self, request: Request) -> int:
        """Keep the request; its number, from 1."""
        with self._changed:
            self._requests.append(request)
            return len(self._requests)

    def next_script(self, body: dict[str, Any]) -> tuple[Script, Chain | None]:
        """What to send for it, and the chain that waits for it. What a script's function raises."""
        with self._changed:
            play = self._scripts.popleft() if len(self._scripts) > 1 else self._scripts[0]
        script = play if isinstance(play, Script) else play(body)
        if not isinstance(script, Script):
            raise UsageTypeError(f"a function of the server's makes a Script, got {shown(script)}")
        streams = body.get("stream") and script.status is None and script.hang_before is None
        with self._changed:
            return script, self._chains.popleft() if streams and self._chains else None

    def client_gone(self) -> None:
        """A client went away while it was being answered."""
        with self._changed:
            if not self.stopping.is_set():
                self._hung_up += 1
                self._changed.notify_all()

    def failed(self, error: Exception) -> None:
        """A function of the test's raised."""
        with self._changed:
            self._failures.append(error)


class _Listener(TCPServer):
    """Accepts connections, one thread for each, and knows those that are open."""

    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, played: ScriptedServer) -> None:
        self.played = played
        self._connections: list[tuple[socket.socket, threading.Thread]] = []
        super().__init__(("127.0.0.1", 0), Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer the connection's requests in a thread."""
        thread = threading.Thread(
            target=self._run, args=(request, client_address), name="llmlog-scripted-server-connection", daemon=True
        )
        thread.start()
        self._connections = [(one, its) for one, its in self._connections if its.is_alive()] + [(request, thread)]

    def _run(self, request: socket.socket, client_address: Any) -> None:
        try:
            self.finish_request(request, client_address)
        except OSError:  # it broke between two requests
            pass
        finally:
            self.shutdown_request(request)

    def close_connections(self) -> None:
        """End them, whatever their threads are waiting for. Only once none is accepted any more."""
        for connection, _ in self._connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:  # it is closed already
                pass
        deadline = time.monotonic() + _JOIN
        for _, thread in self._connections:
            thread.join(max(0.0, deadline - time.monotonic()))


def _checked(scripts: tuple[Play, ...]) -> tuple[Play, ...]:
    for script in scripts:
        if not (isinstance(script, Script) or callable(script)):
            raise UsageTypeError(f"a server plays scripts, or functions that make them, got {shown(script)}")
    return scripts
