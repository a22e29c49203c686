"""What must hold of a hospital's ordinary day: suspensions, no-shows, wards and what else happens between order and exam."""

from __future__ import annotations

from examlane.domain import Text
from examlane.insight.promises import Invariant

# The slots that a suspension is about.
SCOPED = """suspension u JOIN suspension_scope p ON p.suspension_id = u.id JOIN slot l ON l.resource_id = p.resource_id
AND l.start_at < p.end_at AND l.end_at > p.start_at AND (p.day IS NULL OR l.day = p.day)"""
SUSPENSIONS = (
    Invariant(
        "suspension_closes",
        Text("停用期间的号源都已关闭", "no slot is open while a suspension covers it"),
        f"SELECT DISTINCT 'slot ' || l.id FROM {SCOPED} WHERE p.closes = 1 AND l.closed = 0",
    ),
    Invariant(
        "suspension_empties",
        Text("停用处理完后，停用号源上只剩待人工处理的预约", "on suspended slots only those stay who wait for a person"),
        f"""SELECT DISTINCT a.number || ' ' || u.number FROM {SCOPED}
JOIN claim c ON c.slot_id = l.id AND c.released_at IS NULL JOIN appointment a ON a.id = c.appointment_id
WHERE u.state IN ('applied', 'ended') AND l.closed = 1 AND l.start_at >= u.created_at
AND a.state IN ('held', 'booked', 'tentative') AND NOT EXISTS (SELECT 1 FROM suspension_visit v
WHERE v.appointment_id = a.id AND v.outcome IN ('kept', 'pending'))""",
    ),
    Invariant(
        "suspension_loses_nobody",
        Text("停诊待改约的项目都有待办", "whoever was suspended waits as an open task of the desk"),
        """SELECT a.number FROM appointment a JOIN appointment_item i ON i.appointment_id = a.id
JOIN order_item oi ON oi.id = i.order_item_id WHERE a.state = 'suspended' AND oi.reason = 'suspended'
AND oi.state NOT IN ('cancelled', 'fulfilled') AND NOT EXISTS (SELECT 1 FROM desk_task t
WHERE t.order_item_id = oi.id AND t.code = 'suspended' AND t.closed_at IS NULL)""",
    ),
)

NO_SHOWS = (
    Invariant(
        "nothing_for_the_dead",
        Text("已死亡患者没有有效预约", "a patient who has died has no visit to come"),
        """SELECT a.number FROM appointment a JOIN patient p ON p.id = a.patient_id WHERE p.died_at IS NOT NULL
AND a.state IN ('held', 'booked', 'tentative', 'checked_in', 'called', 'called_absent', 'deferred')""",
    ),
    # A minute's tolerance: another process may be marking in the moment in which the silence is noticed.
    Invariant(
        "sweep_paused",
        Text("签到中断期间不判定未按时检查", "nobody is noticed as a no-show while his department hears of nobody"),
        """SELECT a.number || ' v' || v.version FROM appointment_version v JOIN appointment a ON a.id = v.appointment_id
JOIN check_in_pause p ON p.department = a.department WHERE v.state = 'no_show' AND v.actor = 'system'
AND v.at > p.noticed_at + 60 AND (p.resumes_at IS NULL OR v.at < p.resumes_at)""",
    ),
    Invariant(
        "restriction_grounds",
        Text("预约限制有足够的依据和期限，同科室不重复", "a restriction has its grounds and its end, and stands alone"),
        """SELECT 'restriction ' || r.id FROM no_show_restriction r WHERE r.state = 'active' AND (r.until_at <= r.from_at
OR length(r.visits) - length(replace(r.visits, ',', '')) + 1 < r.threshold
OR EXISTS (SELECT 1 FROM no_show_restriction o WHERE o.patient_id = r.patient_id AND o.department = r.department
AND o.state = 'active' AND o.id <> r.id AND o.until_at > r.from_at AND o.from_at < r.until_at))""",
    ),
)

PATIENTS = (
    Invariant(
        "merged_empty",
        Text(
            "已合并的患者名下没有内容，只指向一个未合并的患者",
            "a merged patient has nothing left and leads to one who is not",
        ),
        " UNION ALL ".join(
            f"SELECT '{table} ' || t.id FROM {table} t JOIN patient p ON p.id = t.patient_id "
            "WHERE p.merged_into_id IS NOT NULL"
            for table in ("patient_identifier", "encounter", "exam_order", "order_item", "appointment", "evidence")
        )
        + """ UNION ALL SELECT 'patient ' || p.id FROM patient p JOIN patient k ON k.id = p.merged_into_id
WHERE k.merged_into_id IS NOT NULL""",
    ),
    Invariant(
        "one_owner",
        Text("就诊、申请单、项目属于同一患者", "an encounter, its orders and their items belong to one patient"),
        """SELECT o.number FROM exam_order o JOIN encounter e ON e.id = o.encounter_id WHERE e.patient_id <> o.patient_id
UNION ALL SELECT i.key FROM order_item i JOIN exam_order o ON o.id = i.order_id WHERE i.patient_id <> o.patient_id
UNION ALL SELECT a.number FROM appointment a JOIN encounter e ON e.id = a.encounter_id WHERE a.patient_id <> e.patient_id""",
    ),
)

CHECKUPS = (
    Invariant(
        "checkup_quota",
        Text("团检每日名额不超、与已约人数一致", "no group day has more people than its quota, and it counts who is booked"),
        """SELECT 'quota ' || q.id FROM checkup_quota q LEFT JOIN (SELECT quota_id, count(*) AS people FROM checkup_person
WHERE state = 'booked' GROUP BY quota_id) p ON p.quota_id = q.id
WHERE q.taken > q.seats OR q.taken <> coalesce(p.people, 0)
UNION ALL SELECT 'person ' || id FROM checkup_person WHERE (state = 'booked') <> (quota_id IS NOT NULL)""",
    ),
)

DAY: tuple[Invariant, ...] = (*SUSPENSIONS, *NO_SHOWS, *PATIENTS, *CHECKUPS)
