"""What must always hold in the database, one row each: SQL that lists whatever breaks it, the same on both engines."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from peewee import ForeignKeyField

from examlane.appointments import states
from examlane.domain import Text
from examlane.storage.fields import InstantField, epoch
from examlane.storage.tables import TABLES

HOLD_PATIENCE = 600
DUE_PATIENCE = 900
"""Seconds the worker may lag behind before it counts: longer than a restart of the service takes."""
FIRST_INSTANT = epoch(datetime(2000, 1, 1, tzinfo=UTC))
LAST_INSTANT = epoch(datetime(2100, 1, 1, tzinfo=UTC))


class Severity(StrEnum):
    """Whether a promise is broken, or only something is late."""

    VIOLATION = "violation"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Invariant:
    """`sql` selects one text column: a key of every row that breaks it, never a name or a number of a person.

    With `patience` it has one parameter: the instant so many seconds before now.
    """

    id: str
    title: Text
    sql: str
    severity: Severity = Severity.VIOLATION
    patience: int | None = None


def _listed(values: Iterable[str]) -> str:
    return ", ".join(f"'{value}'" for value in sorted(values))


def _foreign_keys() -> str:
    """Every foreign key of the declared schema, as one statement."""
    return " UNION ALL ".join(
        f"SELECT '{table._meta.table_name}.{field.column_name} ' || t.id FROM {table._meta.table_name} t "
        f"WHERE t.{field.column_name} IS NOT NULL AND NOT EXISTS "
        f"(SELECT 1 FROM {field.rel_model._meta.table_name} r WHERE r.id = t.{field.column_name})"
        for table in TABLES
        for field in table._meta.sorted_fields
        if isinstance(field, ForeignKeyField)
    )


def _instants() -> str:
    """Every instant of the declared schema, as one statement; a column with the default 0 means "never" by it."""
    return " UNION ALL ".join(
        f"SELECT '{table._meta.table_name}.{field.column_name} ' || t.id FROM {table._meta.table_name} t "
        f"WHERE t.{field.column_name} NOT BETWEEN {FIRST_INSTANT} AND {LAST_INSTANT}"
        + (f" AND t.{field.column_name} <> 0" if field.default == 0 else "")
        for table in TABLES
        for field in table._meta.sorted_fields
        if isinstance(field, InstantField)
    )


ACTIVE = _listed(states.ACTIVE)
KEEPING = _listed(states.ACTIVE | {"fulfilled"})
RELEASING = _listed(states.RELEASING)
MOVES = _listed(
    {f"{before}>{after}" for before, moves in states.MOVES.items() for after in moves}
    | {f"{state}>{state}" for state in states.STAYS}
)
# A no-show may have given its seats back and still be examined later: then it holds none until it is moved. What
# another system booked holds the seats it is known to need, which may be none.
HOLDS = f"""a.mode IN ('slot', 'external') AND a.state IN ({KEEPING}) AND (
EXISTS (SELECT 1 FROM claim h WHERE h.appointment_id = a.id AND h.released_at IS NULL)
OR (a.mode <> 'external' AND NOT EXISTS (SELECT 1 FROM appointment_version m WHERE m.appointment_id = a.id
AND m.state = 'no_show' AND m.version > (SELECT max(n.version) FROM appointment_version n
WHERE n.appointment_id = a.id AND n.claims <> '[]'))))"""
# The kind of event a version is told by, as `visits.event_kind` names it.
KIND = """CASE WHEN v.state = 'booked' AND v.from_state IN ('booked', 'no_show', 'suspended')
THEN 'appointment.rescheduled' ELSE 'appointment.' || v.state END"""
# Where an event's payload ends with its version: payloads are written with their keys in order.
OF_VERSION = """'%,"version":' || v.version || '}'"""

CAPACITY = (
    Invariant(
        "slot_taken",
        Text("号源已占数等于未释放的占用之和", "a slot's taken seats are the sum of its unreleased claims"),
        """SELECT 'slot ' || s.id FROM slot s LEFT JOIN
(SELECT slot_id, sum(seats) AS seats FROM claim WHERE released_at IS NULL GROUP BY slot_id) c ON c.slot_id = s.id
WHERE s.taken <> coalesce(c.seats, 0)""",
    ),
    Invariant(
        "slot_bounds",
        Text("号源不超卖，也不为负", "no slot is overbooked or below zero"),
        "SELECT 'slot ' || id FROM slot WHERE taken < 0 OR withheld < 0 OR taken + withheld > capacity + extra",
    ),
    Invariant(
        "slot_open",
        Text("可约标志与占用、暂缓、停用一致", "a slot is open exactly when it has a free seat and is not closed"),
        """SELECT 'slot ' || id FROM slot
WHERE is_open <> CASE WHEN closed = 0 AND taken + withheld < capacity + extra THEN 1 ELSE 0 END""",
    ),
    Invariant(
        "slot_withheld",
        Text("号源暂缓数等于未结束的暂缓记录之和", "a slot's withheld seats are those of open freed times"),
        """SELECT 'slot ' || s.id FROM slot s LEFT JOIN
(SELECT slot_id, sum(seats) AS seats FROM withheld_seat WHERE ended_at IS NULL GROUP BY slot_id) w ON w.slot_id = s.id
WHERE s.withheld <> coalesce(w.seats, 0)""",
    ),
    Invariant(
        "freed_time",
        Text("空出的时间在且仅在未处理完时暂缓号源", "a freed time withholds seats exactly while it is open"),
        """SELECT 'freed time ' || f.id FROM freed_time f WHERE (f.state = 'open') <>
EXISTS (SELECT 1 FROM withheld_seat w WHERE w.freed_id = f.id AND w.ended_at IS NULL)""",
    ),
    Invariant(
        "offer_open",
        Text(
            "有效的候补通知对应仍暂缓的时间，同一时间只给一人",
            "what an open offer offers is still withheld, and a freed time was given to one at most",
        ),
        """SELECT 'offer ' || o.id FROM offer o JOIN freed_time f ON f.id = o.freed_id
WHERE (o.state = 'open' AND f.state <> 'open') OR (o.state = 'accepted' AND (f.state <> 'given' OR EXISTS
(SELECT 1 FROM offer p WHERE p.freed_id = o.freed_id AND p.state = 'accepted' AND p.id <> o.id)))""",
    ),
    Invariant(
        "freed_late",
        Text("空出的时间及时处理", "no freed time waits long for being offered or returned"),
        "SELECT 'freed time ' || id FROM freed_time WHERE state = 'open' AND due_at < ?",
        Severity.WARNING,
        DUE_PATIENCE,
    ),
    Invariant(
        "claim_resource",
        Text("占用的号源属于所记的资源", "every claim's slot belongs to the claim's resource"),
        "SELECT 'claim ' || c.id FROM claim c JOIN slot s ON s.id = c.slot_id WHERE s.resource_id <> c.resource_id",
    ),
    Invariant(
        "released_states",
        Text("已取消等终止的预约不占号源", "cancelled, expired, replaced, suspended and undone visits hold no seat"),
        f"""SELECT a.number FROM appointment a WHERE a.state IN ({RELEASING})
AND EXISTS (SELECT 1 FROM claim c WHERE c.appointment_id = a.id AND c.released_at IS NULL)""",
    ),
    Invariant(
        "claims_as_booked",
        Text("有效预约占用的正是最近一次预约时的号源", "a visit holds exactly the seats that its last booking took"),
        f"""SELECT a.number FROM appointment a
LEFT JOIN appointment_version v ON v.appointment_id = a.id AND v.version =
(SELECT max(n.version) FROM appointment_version n WHERE n.appointment_id = a.id AND n.claims <> '[]')
LEFT JOIN (SELECT appointment_id, count(*) AS held FROM claim WHERE released_at IS NULL GROUP BY appointment_id) c
ON c.appointment_id = a.id
WHERE {HOLDS} AND (v.id IS NULL
OR coalesce(c.held, 0) <> length(v.claims) - length(replace(v.claims, '[', '')) - 1
OR EXISTS (SELECT 1 FROM claim k WHERE k.appointment_id = a.id AND k.released_at IS NULL
AND v.claims NOT LIKE '%[' || k.slot_id || ',' || k.seats || ']%'))""",
    ),
    # Needs of one segment may end at different slices: each is without a gap, the longest reaches the end.
    Invariant(
        "segment_cover",
        Text("每一段检查时间都被号源完整覆盖", "the claims of a segment cover it from start to end without a gap"),
        f"""WITH held AS (SELECT c.appointment_id, c.segment, s.start_at, s.end_at, max(s.end_at) OVER
(PARTITION BY c.appointment_id, c.segment, c.role ORDER BY s.start_at, s.id
ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS covered
FROM claim c JOIN slot s ON s.id = c.slot_id WHERE c.released_at IS NULL),
cover AS (SELECT appointment_id, segment, max(CASE WHEN covered IS NULL THEN start_at END) AS begins,
max(end_at) AS ends, max(CASE WHEN start_at > covered THEN 1 ELSE 0 END) AS gap
FROM held GROUP BY appointment_id, segment)
SELECT a.number || ' segment ' || g.position FROM appointment a JOIN appointment_segment g ON g.appointment_id = a.id
LEFT JOIN cover ON cover.appointment_id = a.id AND cover.segment = g.position
WHERE {HOLDS} AND (cover.ends IS NULL OR cover.begins > g.start_at OR cover.ends < g.end_at OR cover.gap = 1)""",
    ),
)

VISITS = (
    Invariant(
        "one_active_appointment",
        Text("一个项目同一次检查只有一个有效预约", "an order item has one active appointment a session"),
        """SELECT 'order item ' || order_item_id FROM appointment_item WHERE active = 1
GROUP BY order_item_id, session HAVING count(*) > 1""",
    ),
    Invariant(
        "active_items",
        Text("项目的有效标志与预约状态一致", "a visit serves an active item exactly while it is not given up"),
        f"""SELECT a.number FROM appointment a WHERE
(a.state IN ({RELEASING}) AND EXISTS
(SELECT 1 FROM appointment_item i WHERE i.appointment_id = a.id AND i.active = 1))
OR ({HOLDS} AND NOT EXISTS (SELECT 1 FROM appointment_item i WHERE i.appointment_id = a.id AND i.active = 1))""",
    ),
    Invariant(
        "item_patient",
        Text("预约只包含本人的项目", "a visit serves its own patient's order items"),
        """SELECT a.number FROM appointment_item i JOIN appointment a ON a.id = i.appointment_id
JOIN order_item oi ON oi.id = i.order_item_id WHERE i.active = 1 AND oi.patient_id <> a.patient_id""",
    ),
    Invariant(
        "patient_overlap",
        Text(
            "同一患者的检查时间不重叠，合并患者造成且待人工处理或已完成的除外",
            "no two visits of one patient overlap, unless merged: then the desk has the pair as a task, or one is done",
        ),
        f"""SELECT a.number || ' ' || b.number FROM appointment a
JOIN appointment b ON b.patient_id = a.patient_id AND b.id > a.id AND b.start_at < a.end_at AND a.start_at < b.end_at
WHERE a.state IN ({KEEPING}) AND b.state IN ({KEEPING}) AND a.mode = 'slot' AND b.mode = 'slot' AND EXISTS
(SELECT 1 FROM appointment_segment f JOIN appointment_segment g ON g.start_at < f.end_at AND f.start_at < g.end_at
WHERE f.appointment_id = a.id AND g.appointment_id = b.id)
AND NOT EXISTS (SELECT 1 FROM merge_overlap m JOIN desk_task t ON t.id = m.task_id AND t.closed_at IS NULL
WHERE m.first_id = a.id AND m.second_id = b.id)
AND NOT ('fulfilled' IN (a.state, b.state) AND EXISTS (SELECT 1 FROM patient_merge_row r
JOIN patient_merge m ON m.id = r.merge_id AND m.undone_at IS NULL
WHERE r.of_table = 'appointment.patient_id' AND r.of_row IN (a.id, b.id)))""",
    ),
    Invariant(
        "visit_times",
        Text("预约的起止时间等于各段的起止", "a visit lasts from its first segment's start to its last segment's end"),
        """SELECT a.number FROM appointment a LEFT JOIN (SELECT appointment_id, min(start_at) AS begins, max(end_at) AS ends
FROM appointment_segment GROUP BY appointment_id) g ON g.appointment_id = a.id
WHERE g.begins IS NULL OR g.begins <> a.start_at OR g.ends <> a.end_at""",
    ),
    Invariant(
        "period",
        Text("开始时间在所示时段内，时段不超过一小时", "a visit starts within the period shown, of one hour at most"),
        """SELECT number FROM appointment WHERE start_at < period_start_at OR start_at >= period_end_at
OR period_end_at - period_start_at > 3600""",
    ),
    Invariant(
        "queue_number",
        Text("同一地点同一天的排队号不重复", "no two visits of a place and day share a queue number"),
        """SELECT 'group ' || group_id || ' ' || day || ' number ' || queue_number FROM appointment
GROUP BY group_id, day, queue_number HAVING count(*) > 1""",
    ),
    Invariant(
        "not_in_the_past",
        Text("没有约在过去的预约", "nothing was booked at a time before the booking or before its appointment existed"),
        """SELECT a.number || ' v' || v.version FROM appointment_version v JOIN appointment a ON a.id = v.appointment_id
WHERE v.at < a.created_at OR (v.claims <> '[]' AND v.start_at < v.at AND v.reason <> 'external')""",
    ),
    Invariant(
        "hold_expired",
        Text("过期的保留已释放", "holds that expired were given back"),
        """SELECT number FROM appointment WHERE state = 'held' AND coalesce(hold_expires_at, 0) < ?""",
        patience=HOLD_PATIENCE,
    ),
)

RULES = (
    Invariant(
        "gate_respected",
        Text("已预约项目的前置条件均满足且到检查时仍有效", "a booked item's gates are open, and still are at its start"),
        """SELECT a.number || ' ' || g.kind FROM appointment a JOIN appointment_item i ON i.appointment_id = a.id
JOIN gate g ON g.order_item_id = i.order_item_id
WHERE i.active = 1 AND i.held_until IS NULL AND a.state IN ('booked', 'held') AND a.mode <> 'external'
AND (g.state <> 'open' OR g.valid_until < a.start_at)""",
    ),
    # A distance is written again when a visit is moved: the newest row of a pair and rule is the one that counts.
    Invariant(
        "interval_respected",
        Text("检查之间的间隔与先后得到遵守", "the distances and orders owed between two visits are kept"),
        f"""SELECT a.number || ' ' || b.number || ' ' || i.rule FROM appointment_interval i
JOIN appointment a ON a.id = i.first_id JOIN appointment b ON b.id = i.second_id
WHERE a.state IN ({ACTIVE}) AND b.state IN ({ACTIVE}) AND i.overridden_by = ''
AND NOT EXISTS (SELECT 1 FROM appointment_interval j WHERE j.first_id = i.first_id AND j.second_id = i.second_id
AND j.rule = i.rule AND j.id > i.id)
AND ((i.relation = 'before' AND a.day = b.day AND a.end_at > b.start_at)
OR (i.relation = 'same_day' AND a.day <> b.day)
OR (i.relation = 'lag' AND b.start_at - a.end_at NOT BETWEEN i.after_seconds AND i.before_seconds)
OR (i.relation = 'exclude' AND b.start_at >= a.end_at AND b.start_at - a.end_at < i.after_seconds)
OR (i.relation = 'exclude' AND b.start_at < a.end_at AND a.start_at - b.end_at < i.before_seconds))""",
    ),
    Invariant(
        "item_bookable",
        Text("自动预约的项目已通过审核并已放行", "an automatically booked item is accepted and released"),
        f"""SELECT a.number FROM appointment a JOIN appointment_item i ON i.appointment_id = a.id
JOIN order_item oi ON oi.id = i.order_item_id
WHERE i.active = 1 AND i.held_until IS NULL AND a.state IN ({ACTIVE}) AND a.state <> 'tentative'
AND (oi.state IN ('cancelled', 'withdrawn', 'replaced')
OR (a.automatic = 1 AND (oi.state NOT IN ('accepted', 'fulfilled') OR oi.release = '')))""",
    ),
)

HISTORY = (
    Invariant(
        "version_chain",
        Text("版本号连续，状态首尾相接", "versions count from 1 without a gap, each from the state before"),
        """SELECT c.number || ' v' || c.version FROM (SELECT a.number, v.version, v.from_state,
coalesce(lag(v.state) OVER (PARTITION BY v.appointment_id ORDER BY v.version), '') AS before,
row_number() OVER (PARTITION BY v.appointment_id ORDER BY v.version) AS place
FROM appointment_version v JOIN appointment a ON a.id = v.appointment_id) c
WHERE c.version <> c.place OR c.from_state <> c.before""",
    ),
    Invariant(
        "legal_moves",
        Text("每次状态变化都是允许的", "every change of state is an allowed one"),
        f"""SELECT a.number || ' v' || v.version FROM appointment_version v JOIN appointment a ON a.id = v.appointment_id
WHERE v.from_state || '>' || v.state NOT IN ({MOVES})""",
    ),
    Invariant(
        "last_version",
        Text("最后版本与预约一致", "an appointment is what its last version says"),
        """SELECT a.number FROM appointment a LEFT JOIN appointment_version v ON v.appointment_id = a.id
AND v.version = (SELECT max(n.version) FROM appointment_version n WHERE n.appointment_id = a.id)
WHERE v.id IS NULL OR v.version <> a.version OR v.state <> a.state OR v.start_at <> a.start_at OR v.end_at <> a.end_at""",
    ),
    Invariant(
        "version_audit",
        Text("每个版本恰有一条审计记录", "every version has exactly one audit row, by its actor and channel"),
        """SELECT a.number || ' v' || v.version FROM appointment_version v JOIN appointment a ON a.id = v.appointment_id
WHERE v.actor = '' OR v.channel = '' OR 1 <> (SELECT count(*) FROM audit u WHERE u.subject = 'appointment'
AND u.subject_key = a.number AND u.version = v.version AND u.actor = v.actor AND u.channel = v.channel)""",
    ),
    Invariant(
        "audit_version",
        Text("没有版本不存在的审计记录", "no audit row tells of a version that does not exist"),
        """SELECT 'audit ' || u.id FROM audit u WHERE u.subject = 'appointment' AND u.version IS NOT NULL AND NOT EXISTS
(SELECT 1 FROM appointment_version v JOIN appointment a ON a.id = v.appointment_id
WHERE a.number = u.subject_key AND v.version = u.version)""",
    ),
)

MESSAGES = (
    # Strictly before: within the second in which a peer is added, nobody can say which came first.
    Invariant(
        "version_event",
        Text("每个版本都恰好通知各订阅方一次", "every version is told once to every peer that wants to hear of it"),
        f"""SELECT a.number || ' v' || v.version || ' ' || p.code FROM appointment_version v
JOIN appointment a ON a.id = v.appointment_id JOIN peer p ON p.enabled = 1 AND p.created_at < v.at AND p.listens_since < v.at
WHERE (p.event_types = '[]' OR p.event_types LIKE '%"' || {KIND} || '"%') AND 1 <>
(SELECT count(*) FROM event e WHERE e.peer_id = p.id AND e.subject = 'appointment' AND e.subject_key = a.number
AND e.kind = {KIND} AND e.payload LIKE {OF_VERSION})""",
    ),
    Invariant(
        "event_version",
        Text("没有版本不存在的通知", "no event tells of a version that does not exist"),
        f"""SELECT 'event ' || e.id FROM event e WHERE e.subject = 'appointment' AND e.payload LIKE '%,"version":%'
AND NOT EXISTS (SELECT 1 FROM appointment a JOIN appointment_version v ON v.appointment_id = a.id
WHERE a.number = e.subject_key AND e.payload LIKE {OF_VERSION})""",
    ),
    Invariant(
        "event_sequence",
        Text("对每个订阅方的通知序号连续", "events of a subject to a peer count from 1 without a gap"),
        """SELECT 'event ' || min(id) FROM event GROUP BY peer_id, subject, subject_key
HAVING min(sequence) <> 1 OR max(sequence) <> count(*)""",
    ),
    Invariant(
        "event_order",
        Text("通知按序发送", "no event was sent while an earlier one of its subject and peer waits"),
        """SELECT 'event ' || e.id FROM event e WHERE e.sent_at IS NOT NULL AND EXISTS (SELECT 1 FROM event f
WHERE f.peer_id = e.peer_id AND f.subject = e.subject AND f.subject_key = e.subject_key
AND f.sequence < e.sequence AND f.sent_at IS NULL AND f.discarded_at IS NULL)""",
    ),
    Invariant(
        "receipt_unique",
        Text("请求标识不重复", "a client's request key was used once"),
        "SELECT 'receipt ' || min(id) FROM receipt GROUP BY client, key HAVING count(*) > 1",
    ),
    Invariant(
        "booking_late",
        Text("没有积压的待预约患者", "no patient waits long for his plan"),
        "SELECT 'booking due ' || id FROM booking_due WHERE due_at < ?",
        Severity.WARNING,
        DUE_PATIENCE,
    ),
    Invariant(
        "reminder_late",
        Text("没有积压的患者通知", "no message to a patient waits long after it is due"),
        "SELECT 'reminder ' || id FROM reminder WHERE state = 'pending' AND due_at < ?",
        Severity.WARNING,
        DUE_PATIENCE,
    ),
    Invariant(
        "reminder_sent",
        Text("已发出的通知都交给了网关", "what a patient was sent was handed to the message gateway"),
        """SELECT 'reminder ' || r.id FROM reminder r WHERE r.state IN ('sent', 'delivered') AND NOT EXISTS
(SELECT 1 FROM event e WHERE e.subject = 'message' AND e.subject_key = r.message)""",
    ),
)

SCHEMA = (
    Invariant("foreign_keys", Text("引用都有对象", "every reference leads to a row"), _foreign_keys()),
    Invariant("instants", Text("时间都在 2000 至 2100 年之间", "every time lies between 2000 and 2100"), _instants()),
)

PROMISES: tuple[Invariant, ...] = (*CAPACITY, *VISITS, *RULES, *HISTORY, *MESSAGES)
"""What holds whatever a day brings; `day_promises.py` has the rest."""
