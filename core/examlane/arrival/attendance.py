"""Check-in sources that fall silent or are declared offline: no-shows wait, and paper check-ins are entered later."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from examlane.appointments import desk
from examlane.capacity.policy import DepartmentPolicy
from examlane.domain import Text
from examlane.errors import Conflict, InvalidInput
from examlane.hospital import Hospital
from examlane.records import audit, events, receipts
from examlane.records.audit import SYSTEM, Actor
from examlane.records.receipts import RequestKey
from examlane.storage.database import Database
from examlane.storage.fields import epoch, instant, maybe_instant

PAUSED = "check_in_paused"
PAPER = "paper_check_ins"
DUE_DEPARTMENTS = "SELECT DISTINCT department FROM appointment WHERE state = 'booked' AND end_at <= ?"
PAUSE = """SELECT id, kind, since, reason, actor, noticed_at, ended_at, resumes_at FROM check_in_pause
WHERE department = ? ORDER BY id DESC LIMIT 1"""
OPEN_PAUSE = """INSERT INTO check_in_pause (department, kind, since, reason, actor, noticed_at, ended_by)
VALUES (?, ?, ?, ?, ?, ?, '') ON CONFLICT DO NOTHING RETURNING id"""
REDECLARE = """UPDATE check_in_pause SET kind = 'offline', since = CASE WHEN since < ? THEN since ELSE ? END, reason = ?,
actor = ? WHERE department = ? AND ended_at IS NULL RETURNING since"""
END_PAUSE = """UPDATE check_in_pause SET ended_at = CASE WHEN since > ? THEN since ELSE ? END, ended_by = ?,
resumes_at = ? WHERE department = ? AND ended_at IS NULL RETURNING since, ended_at"""
REPORTS = """a.department = ? AND a.day = ? AND v.at > ? AND v.evidence NOT LIKE '%"told_later":true%'
AND v.state IN ('checked_in', 'called', 'called_absent', 'deferred', 'in_progress', 'fulfilled', 'not_done')"""
LAST_REPORT = f"""SELECT max(v.at) FROM appointment a JOIN appointment_version v ON v.appointment_id = a.id
WHERE {REPORTS}"""
UNREPORTED = """SELECT count(*) FROM appointment WHERE department = ? AND day = ? AND state IN ('booked', 'no_show')
AND start_at >= ? AND start_at <= ?"""
OPEN_SLOTS = """SELECT DISTINCT s.start_at, s.end_at FROM slot s JOIN resource r ON r.id = s.resource_id
JOIN resource_group g ON g.id = r.group_id JOIN department d ON d.id = g.department_id
WHERE d.code = ? AND s.day = ? AND s.closed = 0 AND s.end_at > ? AND s.start_at < ? ORDER BY s.start_at"""
CLOSE_NOTICE = """UPDATE desk_task SET closed_at = ?, closed_by = ? WHERE department = ? AND code = ?
AND closed_at IS NULL RETURNING id"""
ALREADY_ON = Text("签到来源未停用", "the check-in source is not offline")


@dataclass(frozen=True, slots=True)
class Source:
    """How a department hears of its patients: online, offline (declared), silent (noticed), or back on paper.

    `sweeps_from`: when no-shows are noticed again, after paper check-ins were entered.
    """

    department: str
    state: str
    since: datetime | None
    reason: str
    sweeps_from: datetime | None


def source(hospital: Hospital, department: str) -> Source:
    """The state of a department's check-in source now. Raises `NotFound`."""
    _policy(hospital, department)
    row = hospital.database.row(PAUSE, department)
    now = epoch(hospital.clock.now())
    if row is None or (row[6] is not None and (row[7] or 0) <= now):
        return Source(department, "online", None, "", None)
    state = row[1] if row[6] is None else "paper"
    return Source(department, state, instant(row[2]), row[3], maybe_instant(row[7]))


def paused(hospital: Hospital, department: str) -> bool:
    """Whether no-shows of a department wait: its source is silent or offline, or paper check-ins are being entered."""
    return source(hospital, department).state != "online"


def declare(
    hospital: Hospital, department: str, state: str, actor: Actor, key: RequestKey | None = None, *,
    since: datetime | None = None, reason: str = "",
) -> Source:  # fmt: skip
    """A person or a system says that a department's check-in source is `offline`, or `online` again, since when.

    Raises `NotFound`, `InvalidInput`, and `Conflict` where it was not offline.
    """
    now = hospital.clock.now()
    if since is not None and (since - now).total_seconds() > 300:
        raise InvalidInput([("/since", Text("时间在将来", "in the future"))])
    _policy(hospital, department)
    at = min(since or now, now)
    act = _gone if state == "offline" else _back

    def write() -> None:
        receipts.keep(hospital.database, key, "check_in_source", department, epoch(now))
        act(hospital, department, at, actor, reason)

    hospital.database.write(write)
    return source(hospital, department)


def look(hospital: Hospital) -> None:
    """Notice which departments' sources fell silent, and which silent ones speak again; the notices follow."""
    now = hospital.clock.now()
    silent = hospital.database.rows(
        "SELECT department, noticed_at FROM check_in_pause WHERE kind = 'silent' AND ended_at IS NULL"
    )
    for department, noticed_at in silent:
        spoke = hospital.database.value(LAST_REPORT, department, _today(hospital), noticed_at)
        if spoke:
            hospital.database.write(partial(_back, hospital, department, instant(spoke), SYSTEM, ""))
    over = hospital.database.rows(
        "SELECT id FROM desk_task WHERE code = ? AND closed_at IS NULL AND deadline_at <= ?", PAPER, epoch(now)
    )
    for (task,) in over:
        hospital.database.write(partial(_close, hospital.database, task, now))
    for (department,) in hospital.database.rows(DUE_DEPARTMENTS, epoch(now)):
        if not paused(hospital, department) and (since := _silent_since(hospital, department)):
            hospital.database.write(partial(_fell_silent, hospital, department, since))


def _close(database: Database, task: int, now: datetime) -> None:
    database.rows(
        "UPDATE desk_task SET closed_at = ?, closed_by = ? WHERE id = ? RETURNING id", epoch(now), SYSTEM.name, task
    )


def _silent_since(hospital: Hospital, department: str) -> datetime | None:
    """Since when nothing was heard of a department's patients, if it is too long and visits were due meanwhile."""
    policy, now, day = _policy(hospital, department), hospital.clock.now(), _today(hospital)
    if not policy.check_in_silent_minutes:
        return None
    database = hospital.database
    midnight = epoch(hospital.calendar.midnight(hospital.calendar.day_of(now)))
    pause = database.row(PAUSE, department)
    heard = database.value(LAST_REPORT, department, day, midnight) or midnight
    since = max(heard, (pause[7] or 0) if pause else 0)
    unreported = database.value(UNREPORTED, department, day, since, epoch(now))
    if unreported < policy.check_in_silent_visits:
        return None
    slots = database.rows(OPEN_SLOTS, department, day, since, epoch(now))
    if _open_seconds(slots, since, epoch(now)) < policy.check_in_silent_minutes * 60:
        return None
    return instant(max(since, slots[0][0]))


def _open_seconds(slots: Sequence[tuple[int, int]], since: int, until: int) -> int:
    """How long a department was open between two instants, by its slots in order of their start."""
    seconds, covered = 0, since
    for start, end in slots:
        begins, ends = max(start, covered), min(end, until)
        seconds += max(0, ends - begins)
        covered = max(covered, ends)
    return seconds


def _fell_silent(hospital: Hospital, department: str, since: datetime) -> None:
    now = hospital.clock.now()
    opened = hospital.database.rows(OPEN_PAUSE, department, "silent", epoch(since), "", SYSTEM.name, epoch(now))
    if opened:
        _paused(hospital, department, "silent", since, SYSTEM, "")


def _gone(hospital: Hospital, department: str, since: datetime, actor: Actor, reason: str) -> None:
    database, now = hospital.database, hospital.clock.now()
    database.rows(OPEN_PAUSE, department, "offline", epoch(since), reason, actor.name, epoch(now))
    declared = database.rows(REDECLARE, epoch(since), epoch(since), reason, actor.name, department)
    _paused(hospital, department, "offline", instant(declared[0][0]), actor, reason)


def _back(hospital: Hospital, department: str, at: datetime, actor: Actor, reason: str) -> None:
    """The source is heard of again: for a while paper check-ins are entered, then no-shows are noticed again."""
    database, now = hospital.database, hospital.clock.now()
    resumes = now + timedelta(minutes=_policy(hospital, department).paper_check_in_minutes)
    ended = database.rows(END_PAUSE, epoch(at), epoch(at), actor.name, epoch(resumes), department)
    if not ended:
        if actor is SYSTEM:
            return
        raise Conflict("not_offline", ALREADY_ON, "/state")
    since, until = (instant(value) for value in ended[0])
    database.rows(CLOSE_NOTICE, epoch(now), actor.name, department, PAUSED)
    if resumes > now:
        hour = f"{resumes.astimezone(hospital.settings.zone):%H:%M}"
        words = Text(f"签到已恢复，请在 {hour} 前补录纸质签到", f"check-in is back: enter paper check-ins until {hour}")
        desk.open_task(database, PAPER, department, None, None, now, resumes - now, reason=words)
    payload = {
        "department": department, "since": since.isoformat(), "until": until.isoformat(),
        "sweeps_from": resumes.isoformat(),
    }  # fmt: skip
    events.emit(database, "department", department, "department.check_in_resumed", payload, epoch(now))
    audit.record(
        database, actor, "department.check_in_resumed", "department", department, epoch(now), until=at.isoformat(),
        reason=reason,
    )  # fmt: skip


def _paused(hospital: Hospital, department: str, kind: str, since: datetime, actor: Actor, reason: str) -> None:
    """Tell the desk once, and every peer, that no-shows of a department wait."""
    database, now = hospital.database, hospital.clock.now()
    hour = f"{since.astimezone(hospital.settings.zone):%H:%M}"
    words = Text(
        f"自 {hour} 起收不到签到信息，未按时检查的判定已暂停",
        f"no check-ins are heard of since {hour}: nobody is marked as a no-show meanwhile",
    )
    database.rows(CLOSE_NOTICE, epoch(now), actor.name, department, PAUSED)
    database.rows(CLOSE_NOTICE, epoch(now), actor.name, department, PAPER)
    desk.open_task(database, PAUSED, department, None, None, now, hospital.settings.desk_deadline, reason=words)
    payload = {"department": department, "kind": kind, "since": since.isoformat(), "reason": reason}
    events.emit(database, "department", department, "department.check_in_paused", payload, epoch(now))
    audit.record(
        database, actor, "department.check_in_paused", "department", department, epoch(now), kind=kind,
        since=since.isoformat(), reason=reason,
    )  # fmt: skip


def _policy(hospital: Hospital, department: str) -> DepartmentPolicy:
    return hospital.catalogues.current().department(department).policy


def _today(hospital: Hospital) -> str:
    return hospital.calendar.day_of(hospital.clock.now()).isoformat()
