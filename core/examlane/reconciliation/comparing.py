"""The nightly run: compare with each peer, keep the differences, open a desk task for them or for a peer that is silent."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from examlane.appointments import desk
from examlane.domain import Text
from examlane.hospital import Hospital
from examlane.reconciliation import entries
from examlane.reconciliation.entries import Entries, NoList, Open, Source
from examlane.records import audit
from examlane.records.audit import SYSTEM, Actor
from examlane.storage.exchange import Reconciliation, ReconciliationDifference
from examlane.storage.fields import dump, epoch

NIGHT_HOUR = 2
LOOK_BACK_DAYS = 3
MOST_KEPT = 2000
SOURCES = "SELECT code, kind, address, subjects, departments, timeout_seconds FROM reconciliation_source ORDER BY code"
COMPLETE = "SELECT 1 FROM reconciliation WHERE peer = ? AND day = ? AND state = 'complete'"
RUN = "SELECT id, task FROM reconciliation WHERE peer = ? AND day = ?"
STORE = """UPDATE reconciliation SET state = ?, error = ?, compared = ?, differences = ?, ran_at = ?, task = ?,
settled_at = NULL, settled_by = '', note = '' WHERE id = ? RETURNING id"""
FORGET = "DELETE FROM reconciliation_difference WHERE reconciliation_id = ? RETURNING id"
CLOSE = "UPDATE desk_task SET closed_at = ?, closed_by = ? WHERE id = ? AND closed_at IS NULL RETURNING id"
INACTIVE = ("void", "not_done")
"""What only one side may know of: it never came about."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not the same on both sides: missing_here, missing_there, or another value of a field (other)."""

    subject: str
    key: str
    code: str
    field: str = ""
    here: str = ""
    there: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run found; with an `error` it found nothing out."""

    compared: dict[str, list[int]]
    differences: tuple[Difference, ...] = ()
    error: str = ""


def sources(hospital: Hospital) -> list[Source]:
    """The peers that list what they know."""
    rows = hospital.database.rows(SOURCES)
    return [Source(code, kind, address, tuple(json.loads(subjects)), tuple(json.loads(departments)), timeout)
            for code, kind, address, subjects, departments, timeout in rows]  # fmt: skip


def night(hospital: Hospital, open_lists: Open) -> int:
    """Compare the last days that were not compared yet, from two in the morning on; returns how many runs there were."""
    now = hospital.calendar.local(hospital.clock.now())
    if now.hour < NIGHT_HOUR:
        return 0
    days = [now.date() - timedelta(days=back) for back in range(1, LOOK_BACK_DAYS + 1)]
    due = [
        (source, day)
        for source in sources(hospital)
        for day in days
        if not hospital.database.value(COMPLETE, source.code, day.isoformat())
    ]
    for source, day in due:
        run(hospital, source, day, open_lists, SYSTEM)
    return len(due)


def run(hospital: Hospital, source: Source, day: date, open_lists: Open, actor: Actor) -> Outcome:
    """Compare one day with one peer and keep what was found. A peer that is silent leaves the run failed."""
    outcome = _compared(hospital, source, day, open_lists)
    hospital.database.write(lambda: _keep(hospital, source, day, outcome, actor))
    return outcome


def _compared(hospital: Hospital, source: Source, day: date, open_lists: Open) -> Outcome:
    compared, found = dict[str, list[int]](), list[Difference]()
    try:
        lists = open_lists(source)
        for subject in source.subjects:
            there = entries.theirs(subject, lists.read(subject, day))
            here = entries.ours(hospital, source, subject, day)
            compared[subject] = [len(here), len(there)]
            found.extend(_differences(hospital, source, subject, here, there))
    except NoList as error:
        return Outcome({}, error=str(error)[:200])
    return Outcome(compared, tuple(found))


def _differences(hospital: Hospital, source: Source, subject: str, here: Entries, there: Entries) -> Iterator[Difference]:
    """What a peer lists on another day than we hold it is no difference."""
    for key, said in there.items():
        known = here.get(key) or entries.held(hospital, source, subject, key)
        if known is None and said.get("state") not in INACTIVE:
            yield Difference(subject, key, "missing_here", there=_words(said))
        for name, value in (known or {}).items():
            if value and said[name] and value != said[name]:
                yield Difference(subject, key, "other", name, value, said[name])
    for key, known in here.items():
        if key not in there and known.get("state") not in INACTIVE:
            yield Difference(subject, key, "missing_there", here=_words(known))


def _words(values: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items() if value)


def _keep(hospital: Hospital, source: Source, day: date, outcome: Outcome, actor: Actor) -> None:
    database, now = hospital.database, hospital.clock.now()
    key, task = database.row(RUN, source.code, day.isoformat()) or (None, None)
    if task is not None:
        database.rows(CLOSE, epoch(now), actor.name, task)
    if key is None:
        key = database.insert(Reconciliation, peer=source.code, day=day.isoformat(), ran_at=epoch(now))
    state = "failed" if outcome.error else "complete"
    database.rows(
        STORE, state, outcome.error, dump(outcome.compared), len(outcome.differences), epoch(now),
        _open_task(hospital, source, day, outcome), key,
    )  # fmt: skip
    database.rows(FORGET, key)
    for each in outcome.differences[:MOST_KEPT]:
        database.insert(
            ReconciliationDifference, reconciliation=key, subject=each.subject, key=each.key, code=each.code,
            field=each.field, here=each.here[:200], there=each.there[:200],
        )  # fmt: skip
    audit.record(database, actor, "peer.reconcile", "peer", source.code, epoch(now), day=day.isoformat(), state=state,
                 differences=len(outcome.differences))  # fmt: skip


def _open_task(hospital: Hospital, source: Source, day: date, outcome: Outcome) -> int | None:
    count, who = len(outcome.differences), f"{source.code} {day}"
    if outcome.error:
        code = "reconciliation_failed"
        words = Text(f"{who} 对账未完成：对方未给出清单", f"{who}: no list was given, nothing is known")
    elif count:
        code, words = "reconciliation", Text(f"{who} 对账有 {count} 处差异", f"{who}: {count} differences")
    else:
        return None
    department = source.departments[0] if len(source.departments) == 1 else ""
    return desk.open_task(
        hospital.database, code, department, None, None, hospital.clock.now(), hospital.settings.desk_deadline, reason=words
    )
