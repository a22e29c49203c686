"""Taking in a list: each line in a transaction of its own, so that a bad one stops no other, and twice adds nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

from examlane.appointments.changes import tried
from examlane.domain import Text
from examlane.errors import InvalidInput, NotFound, Refused
from examlane.golive import lines as reading
from examlane.golive import placing, received
from examlane.golive.lines import Done, Line, Wrong
from examlane.golive.received import Received, Report, Terms
from examlane.hospital import Hospital
from examlane.orders import patients
from examlane.records import audit, jobs, receipts
from examlane.records.audit import Actor
from examlane.records.receipts import RequestKey
from examlane.storage.daily import Transfer
from examlane.storage.fields import dump, epoch
from examlane.storage.ledger import PastExamination

KINDS = ("appointments", "history")
SUBJECT = "transfer"
BATCH = 100
"""After so many lines the progress is kept and told."""
REFUSED = frozenset({"unknown_resource", "outside_roster", "no_place", "overlap", "seat_full", "already_booked_here"})
OF_POINTER = {"items": "unknown_item", "orders": "unknown_item", "starts_at": "bad_time", "ends_at": "bad_time"}
ALREADY = ("unchanged", "outdated")
PAST = """SELECT p.id, p.start_at, p.end_at FROM past_examination p JOIN exam_item i ON i.id = p.item_id
WHERE p.patient_id = ? AND p.source = ? AND p.number = ? AND i.code = ?"""
MOVE = "UPDATE past_examination SET start_at = ?, end_at = ? WHERE id = ? RETURNING id"
REPORT = "UPDATE transfer SET report = ?, finished_at = ? WHERE id = ? RETURNING id"
FIND = "SELECT kind, system, department, complete, started_at, finished_at, report FROM transfer WHERE id = ?"


@dataclass(frozen=True, slots=True)
class Options:
    """How a list is taken in.

    `as_of`: when the list was made, so that what was reported later wins. `extra_seats`: where a time is full. `complete`:
    the list holds all future appointments of the `department`. `dry_run` writes nothing: each line is tried on its own.
    """

    system: str
    as_of: datetime
    department: str = ""
    complete: bool = False
    dry_run: bool = False
    extra_seats: bool = False


@dataclass
class Tally:
    """How a list ended: counts, and each line that could not be taken with its number and the reason's code."""

    id: int | None = None
    kind: str = ""
    finished: bool = False
    read: int = 0
    taken: int = 0
    already: int = 0
    changed: int = 0
    refused: list[dict[str, Any]] = field(default_factory=list)


class _Undone(Exception):
    """What a dry run found, after which its transaction is rolled back."""

    def __init__(self, received: Received) -> None:
        super().__init__()
        self.received = received


def run(
    hospital: Hospital, kind: str, lines: Sequence[Line], options: Options, actor: Actor, key: RequestKey | None = None,
    progress: Callable[[int], None] = lambda lines: None,
) -> Tally:  # fmt: skip
    """Take in a list of appointments or of exams done elsewhere; `progress` hears of every batch how many lines it had."""
    _check(hospital, kind, options)
    tally = Tally(kind=kind)
    if not options.dry_run:
        tally.id = hospital.database.write(lambda: _begin(hospital, kind, options, actor, key))
    seen: set[str] = set()
    for start in range(0, len(lines), BATCH):
        batch = lines[start : start + BATCH]
        for line in batch:
            _take(hospital, kind, line, options, actor, tally, seen)
        _keep(hospital, tally, finished=False)
        progress(len(batch))
    tally.finished = True
    _keep(hospital, tally, finished=True)
    return tally


def of(hospital: Hospital, transfer: int) -> dict[str, Any]:
    """A list as it was taken in, or an export as it was kept. Raises `NotFound`."""
    row = hospital.database.row(FIND, transfer)
    if row is None:
        raise NotFound("transfer", str(transfer))
    return {
        "id": transfer, "kind": row[0], "system": row[1], "department": row[2], "complete": bool(row[3]),
        "started_at": row[4], "finished_at": row[5], **json.loads(row[6]),
    }  # fmt: skip


def _check(hospital: Hospital, kind: str, options: Options) -> None:
    problems = []
    if kind not in KINDS:
        problems.append(("/kind", Text("未知的类型", f"must be one of: {', '.join(KINDS)}")))
    if options.complete and not options.department:
        problems.append(("/department", Text("完整清单须指明科室", "a complete list is of one department")))
    if not reading.CODE.fullmatch(options.system) or len(options.system) > 16:
        problems.append(("/system", Text("系统代码无效", "a system's code has up to 16 letters, digits and . _ : / # -")))
    if problems:
        raise InvalidInput(problems)
    if options.department:
        hospital.catalogues.current().department(options.department)


def _begin(hospital: Hospital, kind: str, options: Options, actor: Actor, key: RequestKey | None) -> int:
    database, now = hospital.database, epoch(hospital.clock.now())
    transfer = database.insert(
        Transfer, kind=kind, system=options.system, department=options.department, complete=int(options.complete),
        actor=actor.name, started_at=now,
    )  # fmt: skip
    receipts.keep(database, key, SUBJECT, str(transfer), now)
    audit.record(database, actor, f"import.{kind}", SUBJECT, str(transfer), now, system=options.system)
    return transfer


def _keep(hospital: Hospital, tally: Tally, *, finished: bool) -> None:
    if tally.id is not None:
        content = {name: value for name, value in asdict(tally).items() if name not in ("id", "kind")}
        now = epoch(hospital.clock.now()) if finished else None
        hospital.database.write(lambda: hospital.database.rows(REPORT, dump(content), now, tally.id))


def _take(hospital: Hospital, kind: str, line: Line, options: Options, actor: Actor, tally: Tally, seen: set[str]) -> None:
    tally.read += 1
    try:
        result = _taken(hospital, kind, line, options, actor, seen)
    except InvalidInput as error:
        _refuse(tally, line, OF_POINTER.get(error.problems[0][0].split("/")[1], "bad_line"), error.problems[0][0])
    except NotFound as error:
        _refuse(tally, line, "unknown_patient" if error.subject == "patient" else "bad_line", f"/{error.subject}")
    except Refused as error:
        _refuse(tally, line, error.code, error.pointer)
    else:
        tally.already += result in ALREADY
        tally.changed += result == "changed"
        tally.taken += result not in (*ALREADY, "changed")


def _refuse(tally: Tally, line: Line, code: str, pointer: str) -> None:
    """A line's number and its external number, if that can be read, and nothing else of it."""
    number = line.cells.get("number", "")
    plain = number if reading.CODE.fullmatch(number) and len(number) <= reading.WIDEST["number"] else ""
    tally.refused.append({"line": line.number, "number": plain, "code": code, "field": pointer.lstrip("/")})


def _taken(hospital: Hospital, kind: str, line: Line, options: Options, actor: Actor, seen: set[str]) -> str:
    zone = hospital.settings.zone
    if kind == "history":
        exam = reading.done(line, zone)
        _once(seen, exam.number)
        _check_past(hospital, exam)
        return _written(hospital, options, lambda: Received(_remember(hospital, exam, options.system))).result
    told = reading.report(line, options.system, zone, options.as_of)
    _once(seen, told.number)
    _check_time(hospital, told)
    terms = Terms(REFUSED - ({"seat_full"} if options.extra_seats else set()), known_patients_only=True)
    return _written(hospital, options, lambda: received.apply(hospital, told, actor, None, terms)[1]).result


def _once(seen: set[str], number: str) -> None:
    if number in seen:
        raise Wrong("double_line", "number")
    seen.add(number)


def _written(hospital: Hospital, options: Options, work: Callable[[], Received]) -> Received:
    """Do it in one transaction, again when somebody was faster; in a dry run nothing of it stays."""
    found: list[Received] = []

    def all_or_nothing() -> Received:
        result = work()
        if options.dry_run:
            raise _Undone(result)
        return result

    def attempt() -> int:
        try:
            found.append(hospital.database.write(all_or_nothing))
        except _Undone as undone:
            found.append(undone.received)
        return 0

    tried(attempt)
    return found[-1]


def _check_time(hospital: Hospital, told: Report) -> None:
    """A future appointment lies within the days that are open."""
    if told.state != "booked" or told.starts_at is None:
        return
    now, calendar = hospital.clock.now(), hospital.calendar
    if told.starts_at < now:
        raise Wrong("bad_time", "starts_at")
    if (calendar.day_of(told.starts_at) - calendar.day_of(now)).days >= hospital.settings.horizon_days:
        raise Wrong("outside_horizon", "starts_at")


def _check_past(hospital: Hospital, exam: Done) -> None:
    catalogue = hospital.catalogues.current()
    for code in exam.items:
        try:
            catalogue.item(code)
        except NotFound as error:
            raise Wrong("unknown_item", "items") from error
    if exam.starts_at > hospital.clock.now() or (exam.ends_at is not None and exam.ends_at <= exam.starts_at):
        raise Wrong("bad_time", "starts_at")


def _remember(hospital: Hospital, exam: Done, system: str) -> str:
    """Keep an exam done elsewhere, in the caller's transaction; returns what is new: created, changed or unchanged."""
    database, now = hospital.database, epoch(hospital.clock.now())
    if not exam.patient.name and patients.find(database, exam.patient.identifiers) is None:
        raise NotFound("patient", exam.patient.identifiers[0].kind)
    patient = patients.register(database, exam.patient)
    patients.touch(database, patient)
    results = {_exam(hospital, exam, code, patient, system) for code in exam.items}
    if results == {"unchanged"}:
        return "unchanged"
    jobs.mark_due(database, patient, now)
    return "changed" if "changed" in results else "created"


def _exam(hospital: Hospital, exam: Done, code: str, patient: int, system: str) -> str:
    database, catalogue = hospital.database, hospital.catalogues.current()
    usual = timedelta(minutes=placing.minutes(catalogue, (code,)))
    start, end = epoch(exam.starts_at), epoch(exam.ends_at or exam.starts_at + usual)
    row = database.row(PAST, patient, system, exam.number, code)
    if row is None:
        database.insert(
            PastExamination, patient=patient, item=catalogue.item_id(code), start_at=start, end_at=end, source=system,
            number=exam.number,
        )  # fmt: skip
        return "created"
    if tuple(row[1:]) == (start, end):
        return "unchanged"
    database.rows(MOVE, start, end, row[0])
    return "changed"
