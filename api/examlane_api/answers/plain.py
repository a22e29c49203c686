"""How every value of the core becomes plain data: instants with the hospital's offset, words in both languages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from examlane.domain import Text


class PlainAnswers:
    """Makes answers whose instants carry the hospital's offset."""

    def __init__(self, zone: ZoneInfo) -> None:
        self._zone = zone

    def row(self, found: Any) -> dict[str, Any]:
        """A row of the core, each field under its own name."""
        return {each.name: self.value(getattr(found, each.name)) for each in fields(found)}

    def value(self, value: Any) -> Any:
        if isinstance(value, Text):
            return words(value)
        if isinstance(value, datetime):
            return self.time(value)
        if isinstance(value, Mapping):
            return {name: self.value(one) for name, one in value.items()}
        if isinstance(value, tuple | list):
            return [self.value(one) for one in value]
        return self.row(value) if is_dataclass(value) else value

    def period(self, starts: datetime, ends: datetime) -> dict[str, Any]:
        return {"starts_at": self.time(starts), "ends_at": self.time(ends)}

    def time(self, instant: datetime | None) -> str | None:
        return None if instant is None else instant.astimezone(self._zone).isoformat()


def words(text: Text) -> dict[str, str]:
    return {"zh": text.zh, "en": text.en}
