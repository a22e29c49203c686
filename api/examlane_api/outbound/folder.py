"""The file drop for a peer without a service: one file an event, whole or not there, named in the order of events."""

from __future__ import annotations

import os
from pathlib import Path

from examlane.records.events import Message, Sent, Unreachable
from examlane_api.peers import wire


class Folder:
    """Drops files. Who reads them takes them away in the order of their names; the same event has the same name."""

    def __init__(self, root: Path | None) -> None:
        self._root = root

    def shown(self, message: Message) -> str:
        return f"FILE {self._path(message)}\n\n{wire(message).decode()}"

    def send(self, message: Message) -> Sent:
        path, body = self._path(message), wire(message)
        try:
            drop(path, body)
        except OSError as error:
            raise Unreachable(f"{path.parent}: {error.strerror}", Sent(body.decode())) from error
        return Sent(body.decode(), path.name)

    def _path(self, message: Message) -> Path:
        if self._root is None:
            raise Unreachable("EXAMLANE_EXCHANGE_FOLDER is not set")
        return self._root / message.address / f"{message.id:012d}-{message.event_id}.json"


def drop(path: Path, body: bytes) -> None:
    """Write a file so that nobody ever reads a part of it, and so that it outlives a power cut."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.part")
    with unfinished.open("wb") as file:
        file.write(body)
        file.flush()
        os.fsync(file.fileno())
    os.replace(unfinished, path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
