"""How exams of one patient relate: kept in both directions, across departments and in the patient's history."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examlane import (
    EncounterClass,
    Examination,
    ExamItem,
    IntervalRule,
    Priority,
    Relation,
    Selector,
    Severity,
    Text,
    hookimpl,
    interval_of,
    reporting,
)
from examlane.appointments import choosing
from examlane.capacity.calendar import Calendar
from examlane.domain import Finding, FindingKind
from examlane.errors import Refused
from examlane.insight import invariants
from examlane.orders import intervals
from examlane.orders.intake import EncounterData, OrderData, OrderLine
from examlane.orders.patients import Identifier, PatientData
from examlane.storage.fields import epoch
from examlane.storage.ledger import PastExamination
from examlane.testing import TESTER, World, rule_book, small_hospital

TEXT = Text("间隔", "apart")
THYROID, HEART, HEAD = Selector("US-THYROID"), Selector("US-HEART"), Selector("CT-HEAD")
HOUR = timedelta(hours=1)
BOOK = rule_book("core", "examlane.rulebase")
TIMED = [rule for rule in BOOK.rules.values() if "case" in rule.table]
CASES = [(found, case) for found in TIMED for case in found.table["case"]]
CALENDAR = Calendar(ZoneInfo("Asia/Shanghai"))


def rule(first: Selector, second: Selector, relation: Relation, **more: Any) -> IntervalRule:
    return IntervalRule("test.rule", "1", first, second, relation, TEXT, **more)


class Department:
    """A plugin that names interval rules and nothing else."""

    def __init__(self, *rules: IntervalRule) -> None:
        self.rules = rules

    @hookimpl
    def interval_rules(self) -> Sequence[IntervalRule]:
        return self.rules


@pytest.fixture
def hospital(database_url: str) -> Iterator[Any]:
    opened = []

    def build(*rules: IntervalRule, **more: Any) -> World:
        world = small_hospital(database_url, {"test": Department(*rules)}, **more)
        world.switch("CT", "test")
        world.switch("US", "test")
        opened.append(world)
        return world

    yield build
    for world in opened:
        world.hospital.close()


def booked(world: World, order: str, line: int = 1) -> Any:
    item = world.item(f"{order}/{line}")
    assert item.appointment_state == "booked", (item.state, item.reason)
    return item


def order_and_pay(world: World, *items: str, **more: Any) -> str:
    order = world.order(*items, **more)
    world.pay(order)
    world.later(seconds=5)
    return order


def clean(world: World) -> bool:
    return invariants.check(world.database, clock=world.clock) == []


# The core's own rules


@pytest.mark.parametrize("case", CASES, ids=[f"{found.id} {case['given']['hours']}" for found, case in CASES])
def test_a_rule_between_exams_decides_its_own_cases(case: tuple[Any, Mapping[str, Any]]) -> None:
    found, written = case
    interval = interval_of(found)
    first, second = exams_apart(timedelta(hours=written["given"]["hours"]))
    kept = intervals.respected(interval, first, second, CALENDAR)
    assert ("nothing" if kept else found.action) == written["says"]


def exams_apart(gap: timedelta) -> tuple[Examination, Examination]:
    """Two exams of ten minutes, the first at ten in the morning in Shanghai, the second after or before it."""
    item = ExamItem("X", TEXT, "CT", "head", "CT")
    start, length = datetime(2026, 3, 4, 2, tzinfo=UTC), timedelta(minutes=10)
    other = start + length + gap if gap >= timedelta() else start + gap - length
    return Examination(item, start, start + length), Examination(item, other, other + length)


@pytest.mark.parametrize("found", TIMED, ids=lambda found: found.id)
def test_every_rule_between_exams_shows_when_it_speaks_and_when_not(found: Any) -> None:
    said = {case["says"] for case in found.table["case"]}
    assert said == {found.action, "nothing"}


# Windows and checks are two views of one rule

MINUTES = st.integers(0, 3 * 24 * 60)
RELATIONS = st.sampled_from([Relation.EXCLUDE, Relation.BEFORE, Relation.LAG, Relation.SAME_DAY])


@settings(max_examples=300, deadline=None)
@given(RELATIONS, MINUTES, MINUTES, MINUTES, st.integers(0, 6 * 24 * 60), st.booleans(), st.integers(1, 120))
def test_a_start_is_forbidden_exactly_when_the_exams_would_not_keep_the_rule(
    relation: Relation, after: int, before: int, within: int, start: int, new_is_first: bool, length: int
) -> None:
    limits = {"after": timedelta(minutes=after), "before": timedelta(minutes=before)}
    found = rule(THYROID, HEART, relation, **limits, within=timedelta(minutes=after + within))
    midnight = datetime(2026, 3, 2, 16, tzinfo=UTC)
    items = [ExamItem(code, TEXT, "US", "", "US") for code in ("US-THYROID", "US-HEART")]
    mine, theirs = items if new_is_first else reversed(items)
    fixed = midnight + timedelta(days=3, hours=10)
    other = Examination(theirs, fixed, fixed + timedelta(minutes=20))
    starts = midnight + timedelta(minutes=start)
    new = Examination(mine, starts, starts + timedelta(minutes=length))
    if new.starts_at < other.ends_at and other.starts_at < new.ends_at:
        return  # an overlap is forbidden for its own reason
    [distance] = intervals.distances([found], [mine], [theirs])
    span = midnight - timedelta(days=1), midnight + timedelta(days=40)
    stretches = intervals.windows(distance, other, timedelta(minutes=length), CALENDAR, span)
    free = not any(since < starts < until for since, until in stretches)
    pair = (new, other) if new_is_first else (other, new)
    assert free == intervals.respected(found, *pair, CALENDAR)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 200), min_size=0, max_size=6), st.integers(0, 200), st.integers(1, 4), st.integers(1, 90))
def test_a_count_forbids_exactly_the_starts_that_would_exceed_it(
    hours: list[int], start: int, limit: int, within: int
) -> None:
    found = rule(THYROID, THYROID, Relation.COUNT, limit=limit, within=within * HOUR)
    base = datetime(2026, 3, 2, tzinfo=UTC)
    item = ExamItem("US-THYROID", TEXT, "US", "", "US")
    exams = [Examination(item, base + hour * HOUR, base + hour * HOUR + HOUR / 6) for hour in hours]
    starts = base + start * HOUR
    free = not any(since < starts < until for since, until in intervals.count_windows(found, exams))
    new = Examination(item, starts, starts + HOUR / 6, "new")
    assert free == (not intervals.crowded([found], [*exams, new], {"new"}))


# In a hospital, whichever exam comes first


@pytest.mark.parametrize("order", [("US-THYROID", "CT-HEAD"), ("CT-HEAD", "US-THYROID")])
def test_a_distance_holds_across_departments_whichever_is_ordered_first(hospital: Any, order: Sequence[str]) -> None:
    world = hospital(rule(THYROID, HEAD, Relation.EXCLUDE, after=48 * HOUR, before=24 * HOUR))
    first, second = (booked(world, order_and_pay(world, item)) for item in order)
    starts = dict(zip(order, (first.starts_at, second.starts_at), strict=True))
    gap = starts["CT-HEAD"] - starts["US-THYROID"]
    assert gap >= 48 * HOUR or gap <= -24 * HOUR
    assert clean(world)


def test_a_distance_to_an_exam_done_elsewhere_moves_the_time(hospital: Any) -> None:
    world = hospital(rule(HEAD, THYROID, Relation.EXCLUDE, after=72 * HOUR))
    order_and_pay(world, "US-HEART")
    ended = world.clock.now() - HOUR
    item = world.database.value("SELECT id FROM exam_item WHERE code = 'CT-HEAD'")
    world.database.write(lambda: world.database.insert(
        PastExamination, patient=1, item=item, start_at=epoch(ended - HOUR), end_at=epoch(ended), source="RIS",
    ))  # fmt: skip

    found = booked(world, order_and_pay(world, "US-THYROID"))
    assert found.starts_at - ended >= 72 * HOUR


def test_a_lag_has_a_shortest_and_a_longest_length(hospital: Any) -> None:
    world = hospital(rule(THYROID, HEAD, Relation.LAG, after=HOUR, within=2 * HOUR))
    thyroid = booked(world, order_and_pay(world, "US-THYROID"))
    head = booked(world, order_and_pay(world, "CT-HEAD"))
    assert HOUR <= head.starts_at - (thyroid.starts_at + HOUR / 6) <= 2 * HOUR
    assert clean(world)


def test_exams_of_one_day_follow_the_one_that_is_booked(hospital: Any) -> None:
    world = hospital(rule(THYROID, HEAD, Relation.SAME_DAY))
    thyroid = booked(world, order_and_pay(world, "US-THYROID"))
    choosing.reschedule(
        world.hospital, thyroid.appointment, "US-N", thyroid.starts_at + timedelta(days=2), TESTER, reason="later"
    )
    head = booked(world, order_and_pay(world, "CT-HEAD"))
    assert head.starts_at.date() == thyroid.starts_at.date() + timedelta(days=2)
    assert clean(world)


def test_exams_that_a_lag_draws_together_are_planned_together(hospital: Any) -> None:
    world = hospital(
        rule(THYROID, HEAD, Relation.LAG, after=HOUR / 2, within=HOUR),
        data={"rosters": [
            {"resource": "group:US-N", "weekdays": "1-5", "starts": "08:00", "ends": "12:00"},
            {"resource": "group:CT-N", "weekdays": "1-5", "starts": "11:00", "ends": "12:00"},
        ]},
    )  # fmt: skip
    order = order_and_pay(world, "US-THYROID", "CT-HEAD")
    thyroid, head = booked(world, order, 1), booked(world, order, 2)
    assert HOUR / 2 <= head.starts_at - (thyroid.starts_at + HOUR / 6) <= HOUR
    assert head.starts_at.strftime("%d %H:%M") == "23 11:00"
    assert clean(world)


def test_exams_of_one_day_wait_for_a_day_that_holds_both(hospital: Any) -> None:
    world = hospital(
        rule(THYROID, HEAD, Relation.SAME_DAY),
        data={"rosters": [
            {"resource": "group:US-N", "weekdays": "1-5", "starts": "08:00", "ends": "12:00"},
            {"resource": "group:CT-N", "weekdays": "3", "starts": "08:00", "ends": "12:00"},
        ]},
    )  # fmt: skip
    order = order_and_pay(world, "US-THYROID", "CT-HEAD")
    assert {booked(world, order, line).starts_at.day for line in (1, 2)} == {25}
    assert clean(world)


def test_no_more_exams_than_a_count_allows_lie_within_its_stretch(hospital: Any) -> None:
    world = hospital(rule(Selector(), Selector(), Relation.COUNT, limit=2, within=24 * HOUR))
    items = ("US-THYROID", "CT-HEAD", "US-HEART")
    starts = sorted(booked(world, order_and_pay(world, item)).starts_at for item in items)
    assert starts[1] - starts[0] < 24 * HOUR <= starts[2] - starts[0]


def test_a_count_holds_for_exams_that_are_planned_together(hospital: Any) -> None:
    world = hospital(rule(Selector(modality="US"), Selector(modality="US"), Relation.COUNT, limit=1, within=24 * HOUR))
    order = order_and_pay(world, "US-THYROID", "US-HEART")
    first, second = sorted(booked(world, order, line).starts_at for line in (1, 2))
    assert second - first >= 24 * HOUR


def test_a_choice_by_hand_that_breaks_a_distance_is_refused(hospital: Any) -> None:
    world = hospital(rule(THYROID, HEAD, Relation.EXCLUDE, after=48 * HOUR, before=48 * HOUR))
    thyroid = booked(world, order_and_pay(world, "US-THYROID"))
    head = booked(world, order_and_pay(world, "CT-HEAD"))
    with pytest.raises(Refused):
        choosing.reschedule(world.hospital, head.appointment, "CT-N", thyroid.starts_at + 2 * HOUR, TESTER, reason="sooner")


# Confirming and overriding


def order_data(world: World, number: str, lines: tuple[OrderLine, ...], **more: Any) -> OrderData:
    return OrderData(
        number=number,
        patient=PatientData((Identifier("card", "P1"),), "患者P1"),
        encounter=EncounterData("V-P1", EncounterClass.OUTPATIENT, campus="N"),
        ordering_department="CLINIC",
        ordered_at=world.clock.now(),
        lines=lines,
        verified=True,
        **more,
    )


@pytest.mark.parametrize(
    ("severity", "override", "urgent", "reason", "near"),
    [
        (Severity.CONFIRM, False, False, "为手术定位", True),
        (Severity.CONFIRM, False, False, "", False),
        (Severity.BLOCK, False, True, "为手术定位", False),
        (Severity.BLOCK, True, True, "为手术定位", True),
        (Severity.BLOCK, True, True, "  ", False),
        (Severity.BLOCK, True, False, "为手术定位", False),
    ],
)
def test_a_distance_is_set_aside_only_as_its_severity_allows_and_with_a_reason(
    hospital: Any, severity: Severity, override: bool, urgent: bool, reason: str, near: bool
) -> None:
    world = hospital(
        rule(THYROID, HEAD, Relation.EXCLUDE, after=48 * HOUR, before=48 * HOUR, severity=severity,
             urgent_override=override)
    )  # fmt: skip
    thyroid = booked(world, order_and_pay(world, "US-THYROID"))
    head = booked(world, order_and_pay(
        world, "CT-HEAD", confirmed=("test.rule",), confirm_reason=reason,
        priority=Priority.URGENT if urgent else Priority.ROUTINE,
    ))  # fmt: skip
    assert (abs(head.starts_at - thyroid.starts_at) < 48 * HOUR) is near
    kept = world.database.rows("SELECT overridden_by FROM appointment_interval ORDER BY id")
    assert kept == [(reason.strip() if near else "",)]
    assert clean(world)


def test_a_hint_moves_nothing(hospital: Any) -> None:
    world = hospital(rule(THYROID, HEAD, Relation.EXCLUDE, after=48 * HOUR, severity=Severity.HINT))
    thyroid = booked(world, order_and_pay(world, "US-THYROID"))
    head = booked(world, order_and_pay(world, "CT-HEAD"))
    assert head.starts_at - thyroid.starts_at < 2 * HOUR


# What the doctor hears before signing


def heard(world: World, item: str, **more: Any) -> list[Finding]:
    data = order_data(world, "DRAFT", (OrderLine(1, item),), **more)
    [judgement] = reporting.validate_order(world.hospital, data)
    return list(judgement.findings)


def test_the_doctor_hears_of_an_exam_that_moves_the_time(hospital: Any) -> None:
    world = hospital(rule(THYROID, HEAD, Relation.EXCLUDE, after=48 * HOUR, before=48 * HOUR))
    order_and_pay(world, "US-THYROID")
    assert [(found.kind, found.rule) for found in heard(world, "CT-HEAD")] == [(FindingKind.HINT, "test.rule")]
    assert heard(world, "US-HEART") == []


def test_a_repeated_order_waits_for_the_doctors_confirmation_with_a_reason(hospital: Any) -> None:
    world = hospital()
    order_and_pay(world, "US-THYROID")
    again = world.order("US-THYROID", settle=True)
    assert world.item(f"{again}/1").state == "needs_confirmation"
    [found] = [found for found in heard(world, "US-THYROID") if found.kind is FindingKind.CONFIRM]
    assert (found.rule, found.needs_reason, bool(found.source)) == ("core.repeated_order", True, True)


@pytest.mark.parametrize(("reason", "state"), [("", "needs_confirmation"), ("复查", "accepted")])
def test_only_a_reason_lets_a_repeated_order_pass(hospital: Any, reason: str, state: str) -> None:
    world = hospital(rule(THYROID, THYROID, Relation.REPLACE, severity=Severity.CONFIRM, within=24 * HOUR))
    order_and_pay(world, "US-THYROID")
    lines = (OrderLine(1, "US-THYROID", ("test.rule", "core.repeated_order"), reason),)
    [judgement] = reporting.validate_order(world.hospital, order_data(world, "DRAFT", lines))
    assert judgement.state == state


def test_two_lines_of_one_order_for_the_same_exam_are_noticed(hospital: Any) -> None:
    world = hospital()
    order = world.order("US-THYROID", "US-THYROID")
    assert [world.item(f"{order}/{line}").state for line in (1, 2)] == ["accepted", "needs_confirmation"]


def test_exams_that_belong_together_are_one_visit_where_no_plugin_decides(database_url: str) -> None:
    from examlane.extension import rules
    from examlane.rulebase import files

    world = small_hospital(database_url)
    together = {
        "id": "core.neck_and_heart", "version": "1", "valid_from": "2026-01-01", "source": "test", "approvers": ["us"],
        "action": "hint", "zh": "合单", "en": "one visit",
        "data": {"relation": "merge", "first": {"item": "US-THYROID"}, "second": {"item": "US-HEART"}},
    }  # fmt: skip
    rules.load(world.database, "core", files.RuleSet((files.version("core", together),)), TESTER, world.clock.now())
    order = order_and_pay(world, "US-THYROID", "US-HEART", "CT-HEAD")
    one, two, three = (booked(world, order, line) for line in (1, 2, 3))
    assert one.appointment == two.appointment != three.appointment
    minutes = world.database.value("SELECT (end_at - start_at) / 60 FROM appointment WHERE number = ?", one.appointment)
    assert minutes == 30
    world.hospital.close()
