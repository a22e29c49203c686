"""A fair lock around SQLite's single writer.

SQLite's own busy handler polls and starves: with 64 writers the slowest waited seconds. A blocking flock is served
in order, and holding it over begin, commit, checkpoint and close also keeps checkpoints of several processes apart.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: one process only, the thread lock is enough
    fcntl = None  # type: ignore[assignment]


class FairLock:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._threads = threading.Lock()
        self._descriptor: int | None = None
        self._owner = 0

    @contextmanager
    def held(self) -> Iterator[None]:
        with self._threads:
            descriptor = self._open()
            if fcntl:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            try:
                yield
            finally:
                if fcntl:
                    fcntl.flock(descriptor, fcntl.LOCK_UN)

    def _open(self) -> int:
        # A descriptor inherited through fork would share its lock with the parent.
        if self._descriptor is None or self._owner != os.getpid():
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
            self._owner = os.getpid()
            weakref.finalize(self, os.close, self._descriptor).atexit = False
        return self._descriptor
