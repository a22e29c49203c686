"""Calls whose answer is bounded in size and in time: zeep alone would read for ever what a platform sends for ever."""

from __future__ import annotations

import io
import time
from typing import Any

import requests
import zeep
from urllib3.exceptions import HTTPError

MOST_BYTES = 1 << 20
PIECE = 1 << 16


class Unbounded(Exception):
    """An answer that is too large, takes too long to come in whole, or never does."""


class BoundedTransport(zeep.Transport):
    """Posts a message and reads the answer piece by piece, up to a size and an instant."""

    def __init__(self, session: requests.Session, connect_seconds: float, answer_seconds: float) -> None:
        super().__init__(  # type: ignore[no-untyped-call]
            session=session, timeout=connect_seconds, operation_timeout=(connect_seconds, answer_seconds)
        )
        self._seconds = answer_seconds

    def post(self, address: str, message: bytes, headers: dict[str, str]) -> requests.Response:
        answer = self.session.post(
            address, data=message, headers=headers, timeout=self.operation_timeout, stream=True, allow_redirects=False
        )
        try:
            answer.raw = io.BytesIO(self._read(answer.raw))
        except HTTPError as error:
            raise Unbounded(f"the answer broke off: {type(error).__name__}") from error
        return answer

    def _read(self, raw: Any) -> bytes:
        """The body, as far as it may go; the connection is given back whole or not at all."""
        found, began = bytearray(), time.monotonic()
        while piece := raw.read1(PIECE, decode_content=True):
            found += piece
            if len(found) > MOST_BYTES:
                raw.close()
                raise Unbounded(f"the answer is larger than {MOST_BYTES} bytes")
            if time.monotonic() - began > self._seconds:
                raw.close()
                raise Unbounded(f"the answer took longer than {self._seconds:g} s")
        raw.release_conn()
        return bytes(found)
