"""What came of the morning: counted by plain SQL on the files themselves, and compared with what was planted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import apsw

from examlane.hospital import Hospital
from examlane.insight import invariants
from examlane.insight.invariants import Violation
from examlane_api.demo.cases import Case

KEPT = "('held', 'booked', 'tentative', 'checked_in', 'called', 'called_absent', 'deferred', 'in_progress', 'fulfilled')"
NUMBERS = {
    "patients": "SELECT count(*) FROM patient",
    "orders": "SELECT count(*) FROM exam_order WHERE number NOT LIKE '%#%'",
    "order_items": "SELECT count(*) FROM order_item WHERE key NOT LIKE '%#%'",
    "bookable_items": """SELECT count(*) FROM order_item oi WHERE oi.key NOT LIKE '%#%' AND EXISTS
(SELECT 1 FROM service s WHERE s.item_id = oi.item_id AND s.mode IN ('automatic', 'manual'))""",
    "booked": """SELECT count(*) FROM appointment_item i JOIN appointment a ON a.id = i.appointment_id
WHERE i.active = 1""",
    "auto_booked": """SELECT count(*) FROM appointment_item i JOIN appointment a ON a.id = i.appointment_id
WHERE i.active = 1 AND a.automatic = 1""",
    "rejected": "SELECT count(*) FROM order_item WHERE state = 'rejected'",
    "awaiting_gate": "SELECT count(*) FROM order_item WHERE reason = 'awaiting_gate'",
    "desk": "SELECT count(*) FROM desk_task WHERE closed_at IS NULL",
    "rescheduled": """SELECT count(DISTINCT appointment_id) FROM appointment_version WHERE from_state = 'booked'
AND state = 'booked' AND reason <> 'planned_together'""",
    "no_shows": "SELECT count(DISTINCT appointment_id) FROM appointment_version WHERE state = 'no_show'",
    "rebooked_at_kiosk": "SELECT count(DISTINCT appointment_id) FROM appointment_version WHERE reason = 'self_rebook'",
    "same_day_share": f"""SELECT round(avg(days = 1), 4) FROM (SELECT count(DISTINCT a.day) AS days
FROM appointment a JOIN appointment_item i ON i.appointment_id = a.id WHERE i.active = 1 AND a.state IN {KEPT}
GROUP BY a.patient_id HAVING count(*) > 1)""",
    "examined": "SELECT count(*) FROM appointment WHERE state = 'fulfilled'",
    "overbooked_slots": """SELECT count(*) FROM slot s JOIN (SELECT slot_id, sum(seats) AS seats FROM claim
WHERE released_at IS NULL GROUP BY slot_id) c ON c.slot_id = s.id WHERE c.seats > s.capacity + s.extra""",
    "events": "SELECT count(*) FROM event",
    "lost_events": """SELECT (SELECT count(*) FROM event e JOIN peer p ON p.id = e.peer_id WHERE NOT EXISTS
(SELECT 1 FROM ledger.heard h WHERE h.event_id = e.event_id AND h.peer = p.code))
+ (SELECT coalesce(sum(last - number), 0) FROM (SELECT max(sequence) AS last, count(DISTINCT sequence) AS number
FROM ledger.heard GROUP BY peer, subject, subject_key))""",
    "events_out_of_order": """SELECT count(*) FROM (SELECT sequence, max(sequence) OVER (PARTITION BY peer, subject,
subject_key ORDER BY first ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
FROM (SELECT peer, subject, subject_key, sequence, min(id) AS first FROM ledger.heard
GROUP BY peer, subject, subject_key, sequence)) WHERE before > sequence""",
    "repeated_deliveries": "SELECT count(*) - count(DISTINCT event_id) FROM ledger.heard",
}
# The finding that stops an item: of the kind that its state stands for, and not confirmed.
STOPPED = """(SELECT json_extract(f.value, '$.code') FROM json_each(oi.findings) f
WHERE json_extract(f.value, '$.kind') = CASE oi.state WHEN 'rejected' THEN 'block'
WHEN 'needs_confirmation' THEN 'confirm' ELSE 'approve' END
AND oi.confirmed NOT LIKE '%"' || json_extract(f.value, '$.code') || '"%' LIMIT 1)"""
# An appointment stands if its exam was done, or its time had not come when the morning ended.
STANDS = f"(a.state = 'fulfilled' OR (a.end_at > :ends AND a.state IN {KEPT}))"
OUTCOMES = f"""SELECT oi.key, CASE
WHEN oi.state IN ('rejected', 'needs_confirmation', 'needs_approval') THEN oi.state || ':' || coalesce({STOPPED}, '')
WHEN {STANDS} AND EXISTS (SELECT 1 FROM appointment_version v WHERE v.appointment_id = a.id
AND v.reason = 'self_rebook') THEN 'rebooked'
WHEN {STANDS} AND EXISTS (SELECT 1 FROM appointment_version v WHERE v.appointment_id = a.id
AND v.from_state = 'booked' AND v.state = 'booked' AND v.claims <> '[]'
AND v.reason NOT IN ('planned_together', 'refund_requested', 'order changed')) THEN 'moved'
WHEN {STANDS} THEN 'booked'
WHEN a.id IS NOT NULL THEN a.state || CASE WHEN a.state = 'no_show' AND NOT EXISTS (SELECT 1 FROM desk_task t
WHERE t.order_item_id = oi.id AND t.code = 'no_show' AND t.closed_at IS NULL) THEN ':no_desk_task' ELSE '' END
WHEN oi.reason = 'awaiting_gate' THEN 'awaiting_gate:' || (SELECT g.code FROM gate g WHERE g.order_item_id = oi.id
AND g.state = 'closed') || CASE oi.payment WHEN 'paid' THEN ':paid' ELSE '' END
WHEN EXISTS (SELECT 1 FROM desk_task t WHERE t.order_item_id = oi.id AND t.closed_at IS NULL) THEN 'desk:' ||
(SELECT t.code FROM desk_task t WHERE t.order_item_id = oi.id AND t.closed_at IS NULL)
ELSE oi.reason END, a.day, a.number
FROM order_item oi LEFT JOIN appointment_item i ON i.order_item_id = oi.id AND i.active = 1
LEFT JOIN appointment a ON a.id = i.appointment_id WHERE oi.key NOT LIKE '%#%'
UNION ALL SELECT order_number, 'stored', NULL, NULL FROM payment WHERE order_item_id IS NULL
UNION ALL SELECT 'call ' || o.number, 'to_be_called', NULL, NULL FROM call_entry c
JOIN appointment_item ci ON ci.appointment_id = c.appointment_id JOIN order_item co ON co.id = ci.order_item_id
JOIN exam_order o ON o.id = co.order_id WHERE c.closed_at IS NULL"""
DESK = """SELECT code, department, count(*) FROM desk_task WHERE closed_at IS NULL
GROUP BY code, department ORDER BY count(*) DESC, code, department"""
TOLD_OF = """SELECT i.name, i.name_en, a.start_at, a.state, g.name FROM order_item oi
JOIN exam_item i ON i.id = oi.item_id JOIN appointment_item ai ON ai.order_item_id = oi.id AND ai.active = 1
JOIN appointment a ON a.id = ai.appointment_id JOIN resource_group g ON g.id = a.group_id
WHERE oi.key LIKE ? || '%' ORDER BY a.start_at"""


@dataclass(frozen=True, slots=True)
class Difference:
    """A planted case that ended otherwise."""

    case: str
    kind: str
    what: str
    expected: str
    found: str


@dataclass(frozen=True)
class Outcome:
    """The numbers, and everything that is not as it must be."""

    numbers: Mapping[str, Any]
    differences: Sequence[Difference]
    violations: Sequence[Violation]
    surprises: Sequence[str]
    desk: Sequence[tuple[str, str, int]]
    examples: Sequence[tuple[Case, Sequence[tuple[Any, ...]]]]

    @property
    def good(self) -> bool:
        nothing = ("overbooked_slots", "lost_events", "events_out_of_order")
        wrong = [self.differences, self.violations, self.surprises, *(self.numbers[name] for name in nothing)]
        return not any(wrong)


def look(
    database: Path, ledger: Path, cases: Sequence[Case], ends: datetime, surprises: Sequence[str], hospital: Hospital
) -> Outcome:
    """Read the database and the ledger as files, apart from everything that played."""
    # The product's own SQLite library: a second one in this process would drop the first one's file locks.
    connection = apsw.Connection(str(database), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        connection.execute("ATTACH ? AS ledger", (str(ledger),))
        ended = {key: rest for key, *rest in connection.execute(OUTCOMES, {"ends": int(ends.timestamp())})}
        differences = [difference for case in cases for difference in _differences(case, ended, ends)]
        numbers = {name: connection.execute(sql).get for name, sql in NUMBERS.items()}
        numbers["cases"] = len(cases)
        numbers["cases_as_expected"] = len(cases) - len({difference.case for difference in differences})
        return Outcome(
            numbers,
            differences,
            invariants.check(hospital.database, clock=hospital.clock),
            surprises,
            list(connection.execute(DESK)),
            _examples(connection, cases),
        )
    finally:
        connection.close()


def _differences(case: Case, ended: Mapping[str, Sequence[Any]], ends: datetime) -> list[Difference]:
    different = [
        Difference(case.number, case.kind, key, expected, found)
        for key, expected in case.expected.items()
        if (found := ended.get(key, ["missing"])[0]) != expected
    ]
    days = {ended[key][1] for key in case.expected if key in ended and ended[key][1]}
    visits = {ended[key][2] for key in case.expected if key in ended and ended[key][2]}
    holds = {
        "": True,
        "one_day": len(days) == 1,
        "one_visit": len(visits) == 1,
        "today": days == {ends.date().isoformat()},
    }
    if not holds[case.together]:
        found = f"{', '.join(sorted(days))} in {len(visits)} visits"
        different.append(Difference(case.number, case.kind, "together", case.together, found))
    return different


def _examples(connection: apsw.Connection, cases: Sequence[Case]) -> list[tuple[Case, Sequence[tuple[Any, ...]]]]:
    found: list[tuple[Case, Sequence[tuple[Any, ...]]]] = []
    for kind in ("pregnant", "paid_then_assessed", "misses_the_ecg"):
        case = next((case for case in cases if case.kind == kind), None)
        if case is not None:
            order = f"O{case.number.removeprefix('C')}-"
            found.append((case, list(connection.execute(TOLD_OF, (order,)))))
    return found
