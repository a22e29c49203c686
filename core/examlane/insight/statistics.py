"""What got better: the figures of a department's work by business date, each as a part of a whole, so that they add up."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from examlane.storage.database import Database, where

KEPT = "a.state NOT IN ('held', 'expired', 'replaced')"
CALLED_OFF = "a.state IN ('cancelled', 'suspended')"
VISITS = f"""SELECT a.department, a.day, SUM(CASE WHEN {KEPT} THEN 1 ELSE 0 END),
SUM(CASE WHEN {KEPT} AND a.automatic = 1 THEN 1 ELSE 0 END),
SUM(CASE WHEN a.state = 'fulfilled' THEN 1 ELSE 0 END), SUM(CASE WHEN a.state = 'no_show' THEN 1 ELSE 0 END),
SUM(CASE WHEN a.state = 'cancelled' THEN 1 ELSE 0 END), SUM(CASE WHEN {KEPT} AND a.moved_by_patient = 1 THEN 1 ELSE 0 END)
FROM appointment a WHERE a.mode <> 'external' AND """
LEADS = f"""SELECT a.department, a.day, (a.start_at - o.ordered_at) / 3600, count(*) FROM appointment a
JOIN appointment_item ai ON ai.appointment_id = a.id AND ai.active = 1 JOIN order_item oi ON oi.id = ai.order_item_id
JOIN exam_order o ON o.id = oi.order_id WHERE {KEPT} AND NOT {CALLED_OFF} AND a.start_at >= o.ordered_at AND """
STARTED = "(SELECT min(v.at) FROM appointment_version v WHERE v.appointment_id = a.id AND v.state = 'in_progress')"
ARRIVED = "(SELECT min(v.at) FROM appointment_version v WHERE v.appointment_id = a.id AND v.state = 'checked_in')"
WAITS = f"""SELECT w.department, w.day,
(w.started - CASE WHEN w.arrived > w.start_at THEN w.arrived ELSE w.start_at END) / 60,
w.started >= w.period_start_at AND w.started < w.period_end_at, count(*)
FROM (SELECT a.department, a.day, a.start_at, a.period_start_at, a.period_end_at, {STARTED} AS started, {ARRIVED} AS arrived
FROM appointment a WHERE a.mode <> 'external' AND a.state IN ('in_progress', 'fulfilled', 'not_done') AND """
SEATS = """SELECT d.code, s.day, sum(s.taken * (s.end_at - s.start_at)) / 60,
sum((s.capacity + s.extra) * (s.end_at - s.start_at)) / 60
FROM slot s JOIN resource r ON r.id = s.resource_id JOIN resource_group g ON g.id = r.group_id
JOIN department d ON d.id = g.department_id WHERE (s.closed = 0 OR s.taken > 0) AND """
PERIODS: Mapping[str, Callable[[str], str]] = {
    "all": lambda day: "", "month": lambda day: day[:7], "day": lambda day: day,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Share:
    """A part of a whole; no rate where there is no whole."""

    count: int
    of: int

    @property
    def rate(self) -> float | None:
        return round(self.count / self.of, 4) if self.of else None


@dataclass(frozen=True, slots=True)
class Spread:
    """How some lengths of time are spread: how many there are, mean, median and the 90th percentile."""

    count: int
    mean: float | None
    median: int | None
    p90: int | None


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of a department and period; an empty department is all that were asked for, together.

    `automatic`: booked without a person's choice. `lead_hours`: from the order to the exam. `wait_minutes`: from the
    later of arrival and appointed time to the start. `on_time`: begun within the period the patient was told.
    `utilisation`: minutes of seats taken of those offered.
    """

    department: str
    period: str
    appointments: int
    automatic: Share
    no_show: Share
    cancelled: Share
    moved_by_patient: Share
    on_time: Share
    utilisation: Share
    lead_hours: Spread
    wait_minutes: Spread


@dataclass
class _Tally:
    """What is counted of one department and period."""

    sums: Counter[str] = field(default_factory=Counter)
    leads: Counter[int] = field(default_factory=Counter)
    waits: Counter[int] = field(default_factory=Counter)

    def add(self, other: _Tally) -> None:
        self.sums.update(other.sums)
        self.leads.update(other.leads)
        self.waits.update(other.waits)

    def figures(self, department: str, period: str) -> Figures:
        s = self.sums
        return Figures(
            department, period, s["visits"], Share(s["automatic"], s["visits"]),
            Share(s["no_show"], s["no_show"] + s["examined"]), Share(s["cancelled"], s["visits"]),
            Share(s["moved"], s["visits"]), Share(s["on_time"], s["started"]), Share(s["used"], s["offered"]),
            _spread(self.leads), _spread(self.waits),
        )  # fmt: skip


def figures(
    database: Database, since: str, until: str, *, departments: Sequence[str] = (), by: str = "all"
) -> list[Figures]:
    """The figures of business dates, by department and period, each period with the sum of its departments first."""
    tallies = _tallies(database, since, until, departments)
    found: dict[tuple[str, str], _Tally] = defaultdict(_Tally)
    for (department, day), tally in tallies.items():
        period = PERIODS[by](day)
        found[period, department].add(tally)
        found[period, ""].add(tally)
    return [found[key].figures(key[1], key[0]) for key in sorted(found)]


def _tallies(database: Database, since: str, until: str, departments: Sequence[str]) -> dict[tuple[str, str], _Tally]:
    found: dict[tuple[str, str], _Tally] = defaultdict(_Tally)
    names = ("visits", "automatic", "examined", "no_show", "cancelled", "moved")
    condition, values = where(("a.day >= ?", since), ("a.day <= ?", until), ("a.department IN", tuple(departments)))
    for department, day, *numbers in database.rows(f"{VISITS} {condition} GROUP BY a.department, a.day", *values):
        found[department, day].sums.update(dict(zip(names, map(int, numbers), strict=True)))
    for department, day, hours, count in database.rows(f"{LEADS} {condition} GROUP BY 1, 2, 3", *values):
        found[department, day].leads[int(hours)] += count
    waits = database.rows(f"{WAITS} {condition}) w WHERE w.started IS NOT NULL GROUP BY 1, 2, 3, 4", *values)
    for department, day, minutes, on_time, count in waits:
        tally = found[department, day]
        tally.waits[max(0, int(minutes))] += count
        tally.sums.update({"started": count, "on_time": count if on_time else 0})
    condition, values = where(("s.day >= ?", since), ("s.day <= ?", until), ("d.code IN", tuple(departments)))
    for department, day, used, offered in database.rows(f"{SEATS} {condition} GROUP BY d.code, s.day", *values):
        found[department, day].sums.update({"used": int(used), "offered": int(offered)})
    return found


def _spread(lengths: Counter[int]) -> Spread:
    count = lengths.total()
    if not count:
        return Spread(0, None, None, None)
    mean = sum(length * times for length, times in lengths.items()) / count
    return Spread(count, round(mean, 1), _percentile(lengths.items(), count / 2), _percentile(lengths.items(), count * 0.9))


def _percentile(lengths: Iterable[tuple[int, int]], rank: float) -> int:
    """The length that so many are not longer than."""
    ordered = sorted(lengths)
    seen = accumulate(times for _, times in ordered)
    return next(length for (length, _), so_far in zip(ordered, seen, strict=True) if so_far >= rank)
