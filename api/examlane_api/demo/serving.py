"""A WSGI application behind waitress, in a thread of this process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any

from waitress.server import create_server

HOST = "127.0.0.1"
ANYWHERE = "0.0.0.0"
Application = Callable[..., Iterable[bytes]]


class Served:
    """Serves from the moment it is made; port 0 is any free one."""

    def __init__(self, application: Application, *, port: int = 0, threads: int = 8, host: str = HOST) -> None:
        self._sockets: dict[int, Any] = {}
        try:
            self._server: Any = create_server(application, map=self._sockets, host=host, port=port, threads=threads)
        except OSError:
            self._close()
            raise
        self.port = int(self._server.effective_port)
        self.address = f"http://{HOST if host == ANYWHERE else host}:{self.port}"
        self._thread = threading.Thread(target=self._server.run, name=self.address, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Finish what is being answered, then close: in the server's thread, which may be waiting for these sockets."""
        self._server.task_dispatcher.shutdown()
        self._server.trigger.pull_trigger(self._close)
        self._thread.join(5)

    def _close(self) -> None:
        for channel in list(self._sockets.values()):
            channel.close()
