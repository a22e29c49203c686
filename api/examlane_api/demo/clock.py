"""The demonstration's clock: it is set while the morning is played, and runs by itself while the pages are served."""

from __future__ import annotations

import time
from datetime import datetime, timedelta

from examlane.clock import SetClock


class MorningClock(SetClock):
    """Stands still until it is moved, and after `run` goes on from there."""

    def __init__(self, start: datetime) -> None:
        super().__init__(start)
        self._since: float | None = None

    def now(self) -> datetime:
        if self._since is None:
            return super().now()
        return super().now() + timedelta(seconds=int(time.monotonic() - self._since))

    def set(self, instant: datetime) -> None:
        super().set(instant)
        if self._since is not None:
            self._since = time.monotonic()

    def run(self) -> None:
        self._since = time.monotonic()
