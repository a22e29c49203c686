"""Assessment and endoscopy planned together: the assessment early, but not so early that it runs out before the exam."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from examlane import (
    Availability,
    BookingRequest,
    IntervalRule,
    Placement,
    Proposal,
    Relation,
    RuleBook,
    Selector,
    Text,
    Visit,
)
from examlane_endoscopy.facts import KIND, is_assessment, is_sedated

TRIES = 20
ASSESSMENT = Selector(attributes={"opens": KIND})


def interval_rules(rules: RuleBook) -> list[IntervalRule]:
    """The assessment ends before a sedated exam of the same day, with some time between."""
    first = rules["assessment_first"]
    lag = timedelta(minutes=first["lag_minutes"])
    return [
        IntervalRule(name, first.version, ASSESSMENT, exam, relation, first.text(), after=after, source=first.source)
        for exam in (Selector(attributes={"sedation": kind}) for kind in (True, "deep", "moderate"))
        for name, relation, after in (
            (f"{first.id}_same_day", Relation.BEFORE, timedelta()),
            (first.id, Relation.EXCLUDE, lag),
        )
    ]


def allocate(request: BookingRequest, availability: Availability, rules: RuleBook) -> Sequence[Proposal] | None:
    """The earliest assessment that still holds at the earliest endoscopy that could follow it."""
    if len(request.visits) != 1 or not is_assessment(request.items[request.visits[0].items[0]]):
        return None
    visit = request.visits[0]
    exams = [waiting for waiting in request.waiting if is_sedated(request.items[waiting.items[0]])]
    not_before = request.not_before
    for _ in range(TRIES):
        placed = availability.earliest(visit, not_before)
        if placed is None:
            return None
        exam = _earliest_after(availability.ends_at(visit, placed), exams, request, availability, rules)
        needed_from = exam - timedelta(days=rules["assessment_validity"]["days"]) if exam else placed.starts_at
        if placed.starts_at >= needed_from:
            return [_proposal(placed, exam, availability, rules)]
        not_before = needed_from
    return None


def _earliest_after(
    assessed: datetime, exams: Sequence[Visit], request: BookingRequest, availability: Availability, rules: RuleBook
) -> datetime | None:
    """When the first of the exams could be held once the patient is assessed, has paid and is prepared."""
    lag = timedelta(minutes=rules["assessment_first"]["lag_minutes"])
    starts = []
    for exam in exams:
        # What delays the exam from now on, its preparation first of all, begins when the assessment is passed.
        lead = max(timedelta(), (exam.earliest or request.not_before) - request.not_before)
        found = availability.earliest(exam, assessed + max(lag, lead))
        starts += [found.starts_at] if found else []
    return min(starts, default=None)


def _proposal(placed: Placement, exam: datetime | None, availability: Availability, rules: RuleBook) -> Proposal:
    planned = rules["assessment_planned"]
    if exam is None:
        alone = planned.table["data"]
        return Proposal((placed,), Text(alone["alone_zh"], alone["alone_en"]), planned.id)
    day = next(day for day in reversed(availability.days()) if availability.instant(day, 0) <= exam)
    return Proposal((placed,), planned.text(day=day.isoformat()), planned.id)
