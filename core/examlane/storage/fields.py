"""Column types and conversions shared by all tables: instants, business dates, flags and JSON."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import Any

from peewee import BigIntegerField, CharField, SmallIntegerField, TextField


def epoch(instant: datetime) -> int:
    """An aware instant as whole UTC seconds, as every table stores it."""
    return int(instant.timestamp())


def instant(seconds: int) -> datetime:
    """Whole UTC seconds as an aware instant."""
    return datetime.fromtimestamp(seconds, UTC)


def maybe_instant(seconds: int | None) -> datetime | None:
    return None if seconds is None else instant(seconds)


def maybe_epoch(value: datetime | None) -> int | None:
    return None if value is None else epoch(value)


def maybe_day(value: str | None) -> date | None:
    return date.fromisoformat(value) if value else None


def dump(value: Any) -> str:
    """JSON text as every table stores it: compact, readable Chinese, keys in order."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), default=str)


class InstantField(BigIntegerField):
    """Whole UTC seconds."""


class DayField(CharField):
    """A business date as YYYY-MM-DD."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=10, **options)


class FlagField(SmallIntegerField):
    """0 or 1: the one spelling of truth that partial indexes understand on both databases."""


class JsonField(TextField):
    """JSON text; read and written by the functions of this file."""
