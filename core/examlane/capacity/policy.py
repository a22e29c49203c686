"""How a department works its day: the minutes, counts and switches an administrator sets, each with its default."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from examlane.domain import Text
from examlane.errors import Conflict, InvalidInput, NotFound
from examlane.records import audit
from examlane.records.audit import Actor
from examlane.records.versions import bump
from examlane.storage.database import Database
from examlane.storage.fields import dump

STALE = Text("他人刚改过，请刷新", "somebody else changed this just now: please reload")


def number(default: int, least: int, most: int) -> Any:
    """A whole number with its bounds."""
    return field(default=default, metadata={"bounds": (least, most)})


def choice(default: str, *others: str) -> Any:
    """One of some words; the first is the default."""
    return field(default=default, metadata={"choices": (default, *others)})


@dataclass(frozen=True, slots=True)
class DepartmentPolicy:
    """What an administrator may set of a department's day. Clinical numbers are rules, not policy."""

    # Arrival

    check_in_opens_minutes: int = number(30, 0, 600)
    """How long before the start a patient may check in; earlier he is told when."""

    absent_places: int = number(3, 1, 50)
    """How many places whoever was called in vain goes back."""

    absent_limit: int = number(2, 1, 10)
    """How many times a patient may be called in vain before the desk decides."""

    elderly_age: int = number(75, 0, 120)
    """From which age patients are called before the others of their period; 0: no age."""

    call_order_owner: str = choice("examlane", "queue_system")
    """Who says who is next. With `queue_system` nobody calls here: its calls are reported and taken as they come."""

    cleaning_minutes: int = number(15, 0, 120)
    """How long a room is cleaned after an infectious patient, who is called last."""

    add_ons_a_day: int = number(5, 0, 200)
    """How many seats a day registrars may add at a place for patients who came without one."""

    # No-shows

    grace_minutes: int = number(15, 0, 240)
    """How long after the end of his time a patient may still come before it counts as a no-show."""

    check_in_silent_minutes: int = number(60, 0, 480)
    """No check-in, call or execution report for so many opening minutes while visits were due: no-shows wait. 0: never."""

    check_in_silent_visits: int = number(3, 1, 50)
    """So many visits must have been due without a word before the silence counts: a lone no-show is none."""

    paper_check_in_minutes: int = number(30, 0, 480)
    """How long the desk may enter paper check-ins once the check-in source is back, before no-shows are noticed again."""

    no_show_limit: int = number(0, 0, 50)
    """So many missed visits within the period, and a patient is booked at the desk only. 0: never."""

    no_show_period_days: int = number(90, 1, 730)
    """Missed visits of so many days count together."""

    restriction_days: int = number(90, 1, 730)
    """How long a patient who missed too many visits is booked at the desk only."""

    # Seats that come free

    cancelled_seat_delay_minutes: int = number(0, 0, 1440)
    """Within how long a seat that a patient gave up returns to everybody, at a random moment; 0: at once."""

    offer_minutes: int = number(30, 5, 1440)
    """How long somebody on the waiting list may think about a freed time before it is offered to the next."""

    offers_at_once: int = number(3, 1, 20)
    """To how many a freed time is offered at once when it is near; the first to accept has it."""

    offer_near_minutes: int = number(240, 0, 2880)
    """A freed time that starts within this long is near: it is offered to several at once."""

    # Reminders

    evening_reminder_hour: int = number(18, 12, 22)
    """The hour of the evening before at which a patient is reminded at the latest; earlier before a long fast."""

    quiet_from_hour: int = number(21, 18, 24)
    """From this hour on messages that can wait do not disturb a patient."""

    quiet_until_hour: int = number(7, 0, 12)
    """Until this hour messages that can wait do not disturb a patient."""

    call_again_minutes: int = number(60, 5, 1440)
    """How long after a call in vain a patient of the call list is called again."""


DEFAULT = DepartmentPolicy()


@dataclass(frozen=True, slots=True)
class StoredPolicy:
    """What a department has set, what counts there with the defaults, and the version it stands at."""

    stored: Mapping[str, Any]
    effective: DepartmentPolicy
    version: int


def read(stored: str) -> DepartmentPolicy:
    """The policy from its stored JSON; what is left out takes its default."""
    return DepartmentPolicy(**json.loads(stored))


def of(database: Database, department: str) -> StoredPolicy:
    """A department's policy. Raises `NotFound`."""
    row = database.row("SELECT policy, version FROM department WHERE code = ?", department)
    if row is None:
        raise NotFound("department", department)
    return StoredPolicy(json.loads(row[0]), read(row[0]), row[1])


def problems(values: Mapping[str, Any]) -> list[tuple[str, Text]]:
    """What is wrong with some values, each with its pointer: unknown names, wrong kinds, out of bounds."""
    known = {each.name: each for each in fields(DepartmentPolicy)}
    found = []
    for name, value in values.items():
        if name not in known:
            found.append((f"/policy/{name}", Text("未知的设置", "unknown setting")))
        elif words := _wrong(known[name].metadata, known[name].default, value):
            found.append((f"/policy/{name}", words))
    return found


def _wrong(metadata: Mapping[str, Any], default: Any, value: Any) -> Text | None:
    if "choices" in metadata:
        allowed = ", ".join(metadata["choices"])
        return None if value in metadata["choices"] else Text(f"只能是：{allowed}", f"must be one of: {allowed}")
    if type(value) is not type(default):
        return Text("类型不符", f"must be {'a whole number' if isinstance(default, int) else 'true or false'}")
    least, most = metadata.get("bounds", (0, 1))
    return None if least <= value <= most else Text(f"须在 {least}–{most} 之间", f"must be from {least} to {most}")


def set_policy(
    database: Database, department: str, values: Mapping[str, Any], actor: Actor, now: int, version: int | None = None
) -> None:
    """Set all of a department's policy; what is left out takes its default.

    Raises `InvalidInput`, `NotFound`, and `Conflict` on a stale version.
    """
    if wrong := problems(values):
        raise InvalidInput(wrong)

    def store() -> None:
        before = of(database, department)
        if version is not None and version != before.version:
            raise Conflict("version_conflict", STALE, "/version")
        database.rows(
            "UPDATE department SET policy = ?, version = version + 1 WHERE code = ? RETURNING id",
            dump(dict(values)), department,
        )  # fmt: skip
        bump(database, "catalogue")
        changed = {name: value for name, value in values.items() if before.stored.get(name) != value}
        audit.record(database, actor, "department.policy", "department", department, now, **changed)

    database.write(store)
