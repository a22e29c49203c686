"""Lists page by page: what every list asks and answers. A page begins after a key, so that new rows shift nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import Any, TypeVar

from marshmallow import Schema, fields

from examlane_api.rest.fields import Count, Cursor, cursor

Row = TypeVar("Row")
MOST = 200


class Page(Schema):
    """Of a list that is ordered by numbers."""

    cursor = Cursor()
    limit = Count(1, MOST, load_default=50)


class CodePage(Page):
    """Of a list that is ordered by codes."""

    cursor = Cursor("")


class Paged(Schema):
    next_cursor = fields.String(allow_none=True, metadata={"description": "the `cursor` of the next page; null: the last"})


def paged(
    name: str, query: dict[str, Any], read: Callable[..., Sequence[Row]], show: Callable[[Row], Mapping[str, Any]], *,
    by: str = "id", **more: Any,
) -> dict[str, Any]:  # fmt: skip
    """One page of what `read` finds `after` a key up to a `limit`; one row more tells that there is a next page."""
    after, limit = query["cursor"], query["limit"]
    found = read(after=after, limit=limit + 1, **more)
    shown = found[:limit]
    last = attrgetter(by)(shown[-1]) if len(found) > limit else None
    return {name: [show(one) for one in shown], "next_cursor": None if last is None else cursor(last)}
