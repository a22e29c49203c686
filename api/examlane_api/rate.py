"""How many requests a minute a client may send; counted in this process, so that no request costs a write for it."""

from __future__ import annotations

import time
from math import ceil

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from examlane_api.access import Caller


class RateLimiter:
    """A moving window of a minute for each client."""

    def __init__(self) -> None:
        self._window = MovingWindowRateLimiter(MemoryStorage())

    def seconds_to_wait(self, caller: Caller) -> int:
        """Count a request; 0 lets it pass, else so many seconds until the next one may."""
        if not caller.per_minute:
            return 0
        limit = RateLimitItemPerMinute(caller.per_minute)
        if self._window.hit(limit, caller.name):
            return 0
        reset = self._window.get_window_stats(limit, caller.name).reset_time
        return max(1, ceil(reset - time.time()))  # the library counts by the system's clock
