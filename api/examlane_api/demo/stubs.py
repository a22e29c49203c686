"""The hospital's other systems, as stubs: each hears events over HTTP, writes them down, and sometimes fails at first."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any

import apsw

HOST = "127.0.0.1"
FAIL_EVERY = 20
PEERS = ("HIS", "RIS", "QUEUE", "GATEWAY")
HEARD = """CREATE TABLE heard (id INTEGER PRIMARY KEY, peer TEXT, event_id TEXT, subject TEXT, subject_key TEXT,
sequence INTEGER, kind TEXT)"""
HEAR = "INSERT INTO heard (peer, event_id, subject, subject_key, sequence, kind) VALUES (?, ?, ?, ?, ?, ?)"
COLUMNS = ("event_id", "subject", "subject_key", "sequence", "kind")
Hear = Callable[[dict[str, Any]], HTTPStatus]


class StubPeers:
    """Every peer on a port of its own, all with one ledger file."""

    def __init__(self, ledger: Path) -> None:
        # The same SQLite as the product's: two libraries in one process would drop each other's file locks.
        self._ledger = apsw.Connection(str(ledger))
        self._ledger.execute("PRAGMA synchronous = OFF")
        self._ledger.execute(HEARD)
        self._ledger.execute("CREATE INDEX heard_event ON heard (event_id)")
        self._lock = threading.Lock()
        self._asked = dict.fromkeys(PEERS, 0)
        self._servers = {peer: _serve(lambda event, peer=peer: self._hear(peer, event)) for peer in PEERS}  # type: ignore[misc]

    @property
    def addresses(self) -> dict[str, str]:
        return {peer: f"http://{HOST}:{server.server_port}/events" for peer, server in self._servers.items()}

    def __enter__(self) -> StubPeers:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for server in self._servers.values():
            server.shutdown()
            server.server_close()
        self._ledger.close()

    def _hear(self, peer: str, event: dict[str, Any]) -> HTTPStatus:
        """One in twenty calls fails; of those, half were heard all the same: the sender cannot know."""
        with self._lock:
            self._asked[peer] += 1
            fails = self._asked[peer] % FAIL_EVERY == 0
            if not fails or self._asked[peer] % (2 * FAIL_EVERY) == 0:
                self._ledger.execute(HEAR, (peer, *(event[name] for name in COLUMNS)))
        return HTTPStatus.SERVICE_UNAVAILABLE if fails else HTTPStatus.NO_CONTENT


def _serve(hear: Hear) -> ThreadingHTTPServer:
    """The standard library's server: unlike wsgiref it keeps connections open, and it costs half of a full one."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response_only(hear(json.loads(body)))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_words: Any) -> None:
            """Nothing: the ledger says it all."""

    server = ThreadingHTTPServer((HOST, 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="peer", daemon=True).start()
    return server
