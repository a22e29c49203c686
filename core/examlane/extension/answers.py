"""What an answer must look like to be used: one check a hook. Nothing a plugin returns is taken on trust."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, time, timedelta
from functools import partial
from math import isfinite
from typing import Any, TypeVar

from examlane.domain import (
    Finding,
    FindingKind,
    GateAnswer,
    GateClosed,
    GateOpen,
    GroupView,
    IntervalRule,
    NoShowAction,
    NoShowDecision,
    Preparation,
    Relation,
    Selector,
    Severity,
    Text,
)
from examlane.visit import BookingRequest, Infeasible, Need, Placement, Proposal, Segment, Visit, VisitOption

LIMIT = 500
CODE_LENGTH = 64
TEXT_LENGTH = 2000
DAY_MINUTES = 1440
LONGEST = timedelta(days=366)
YEARS = range(1970, 2200)
Value = TypeVar("Value")


def findings(answer: Any, items: Collection[str]) -> tuple[Finding, ...]:
    found = _all(answer, Finding)
    for finding in found:
        _want(isinstance(finding.kind, FindingKind), "a finding's kind must be a FindingKind")
        _want(finding.item in items, f"finding about an item that was not asked: {finding.item!r}")
        _named(finding.code, finding.text)
        _words(finding.rule, finding.rule_version, finding.field)
        _want(isinstance(finding.source, str) and _is_clean(finding.source), "a source is plain text")
        _want(finding.kind is not FindingKind.DELAY_UNTIL or finding.until is not None, "delay_until needs `until`")
        _want(finding.kind is not FindingKind.FILL or bool(finding.field), "fill needs `field`")
        _want(isinstance(finding.needs_reason, bool), "needs_reason is yes or no")
        _want(_is_plain(finding.value), "a fill is a word, a number, a flag or nothing")
        _aware(finding.until)
    return found


def gates(answer: Any, items: Collection[str]) -> tuple[GateAnswer, ...]:
    found: tuple[GateAnswer, ...] = _all(answer, (GateOpen, GateClosed))
    for gate in found:
        _want(gate.item in items, f"gate of an item that was not asked: {gate.item!r}")
        _want(bool(gate.kind), "a gate needs a kind")
        _words(gate.kind)
        if isinstance(gate, GateClosed):
            _named(gate.code, gate.reason)
            _named(gate.code, gate.next_action)
            _words(gate.owner)
            _want(isinstance(gate.payable, bool), "payable is yes or no")
        else:
            _aware(gate.until)
            if gate.before_start is not None:
                _text(gate.before_start)
    return found


def requirements(answer: Any, items: Collection[str], groups: Mapping[str, GroupView]) -> tuple[Visit, ...] | None:
    """Visits of exactly these items, at these groups: those of the department that is asked."""
    if answer is None:
        return None
    visits = _all(answer, Visit)
    covered = [item for visit in visits for item in _all(visit.items, str)]
    _want(sorted(covered) == sorted(items), "every item must be in exactly one visit")
    for visit in visits:
        _want(bool(visit.items) and visit.key == "+".join(visit.items), "a visit's key is its items joined by +")
        _want(isinstance(visit.fasting, bool), "fasting is yes or no")
        _aware(visit.earliest)
        _aware(visit.latest)
        _want(visit.starts_until is None or _is_local(visit.starts_until), "starts_until is a local time of day")
        for option in _all(visit.options, VisitOption):
            _option(option, groups)
            _want(groups[option.group].department == visit.department, "a group of another department")
        _gaps(visit)
    return visits


def _gaps(visit: Visit) -> None:
    _want(isinstance(visit.gaps, bool), "gaps is yes or no")
    if visit.gaps:
        _want(len({len(option.segments) for option in visit.options}) <= 1, "with gaps every option has the same segments")


def _option(option: VisitOption, groups: Mapping[str, GroupView]) -> None:
    _want(option.group in groups, f"unknown group {option.group!r}")
    place = groups[option.group]
    _want((option.campus, option.zone) == (place.campus, place.zone), "an option is where its group is")
    segments = _all(option.segments, Segment)
    _want(bool(segments), "an option needs a segment")
    for segment in segments:
        _segment(segment, groups)
    _want(segments[0].after_max == 0, "the first segment starts the visit")


def _segment(segment: Segment, groups: Mapping[str, GroupView]) -> None:
    times = (segment.minutes, segment.after_min, segment.after_max)
    _want(all(type(minutes) is int for minutes in times), "minutes are whole numbers")
    _want(0 < segment.minutes <= DAY_MINUTES, "a segment lasts 1 to 1440 minutes")
    _want(0 <= segment.after_min <= segment.after_max <= DAY_MINUTES, "a segment's lag must lie within the day")
    _words(segment.name, limit=32)
    needs = _all(segment.needs, Need)
    _want(bool(needs), "a segment needs a resource")
    for need in needs:
        _words(need.role, limit=32)
        _want(need.group in groups, f"unknown group {need.group!r}")
        _want(type(need.seats) is int and 0 < need.seats <= 50, "seats must be 1 to 50")


def interval_rules(answer: Any) -> tuple[IntervalRule, ...]:
    rules = _all(answer, IntervalRule)
    for rule in rules:
        _named(rule.rule, rule.text)
        _words(rule.version, limit=32)
        _selector(rule.first)
        _selector(rule.second)
        _want(isinstance(rule.relation, Relation), "unknown relation")
        _want(isinstance(rule.severity, Severity), "unknown severity")
        _stretch(rule.after)
        _stretch(rule.before)
        _stretch(rule.within)
        _relation(rule)
    return rules


def _relation(rule: IntervalRule) -> None:
    _want(isinstance(rule.same_item, bool) and isinstance(rule.urgent_override, bool), "flags are yes or no")
    _want(type(rule.limit) is int and 0 <= rule.limit <= LIMIT, "a limit is a whole number")
    if rule.relation is Relation.COUNT:
        _want(rule.limit > 0 and rule.within > timedelta(), "a count needs a limit and a stretch")
    if rule.relation is Relation.LAG:
        _want(rule.within >= rule.after, "the longest lag is not below the shortest")


def _selector(selector: Any) -> None:
    _want(isinstance(selector, Selector), "a Selector is wanted")
    for field in (selector.item, selector.modality, selector.body_part, selector.department):
        _words(*(field if isinstance(field, tuple) else (field,)))
    _want(isinstance(selector.attributes, Mapping), "attributes are a mapping")


def preparation(answer: Any) -> tuple[Preparation, ...]:
    steps = _all(answer, Preparation)
    for step in steps:
        _named(step.code, step.text)
        _stretch(step.lead)
        _want(type(step.fasting_hours) is int and 0 <= step.fasting_hours <= 72, "fasting lasts 0 to 72 whole hours")
    return steps


def proposals(answer: Any, request: BookingRequest) -> tuple[Proposal, ...] | Infeasible | None:
    if answer is None:
        return None
    if isinstance(answer, Infeasible):
        _named(answer.code, answer.reason)
        return answer
    found = _all(answer, Proposal)
    _want(bool(found), "an empty list is no answer: None declines, Infeasible refuses")
    options = {(visit.key, option.group): option for visit in request.visits for option in visit.options}
    for proposal in found:
        _named(proposal.code, proposal.reason)
        _want(isinstance(proposal.proven, bool), "proven is yes or no")
        placements = _all(proposal.placements, Placement)
        _want(bool(placements), "a proposal places at least one visit")
        _want(len({placement.visit for placement in placements}) == len(placements), "a visit is placed twice")
        for placement in placements:
            option = options.get((placement.visit, placement.group))
            _want(option is not None, "placed at a group that is no option")
            _want(placement.starts_at is not None, "a placement needs a start")
            for start in (placement.starts_at, *_segment_starts(placement, option)):
                _aware(start)
                _within_horizon(start, request)
    return found


def _segment_starts(placement: Placement, option: VisitOption | None) -> tuple[datetime, ...]:
    starts = _all(placement.segments, datetime)
    fits = option is not None and len(starts) == len(option.segments) and starts[0] == placement.starts_at
    _want(not starts or fits, "a start for each segment is wanted, the first one the visit's own")
    return starts


def _within_horizon(starts_at: datetime, request: BookingRequest) -> None:
    _want(starts_at >= request.not_before, "placed too early")
    _want(starts_at.date() <= request.horizon + timedelta(days=1), "placed beyond the horizon")


def no_show(answer: Any) -> NoShowDecision | None:
    if answer is None:
        return None
    _want(isinstance(answer, NoShowDecision), "a NoShowDecision is wanted")
    _want(isinstance(answer.action, NoShowAction), "unknown action")
    _words(answer.code)
    _text(answer.text)
    _want(type(answer.limit) is int and 0 <= answer.limit <= 20, "limit must be 0 to 20")
    _aware(answer.rebook_until)
    return answer  # type: ignore[no-any-return]


def about(check: Any, *context: Any) -> Any:
    """A check with its context filled in."""
    return partial(_swapped, check, context)


def _swapped(check: Any, context: Sequence[Any], answer: Any) -> Any:
    return check(answer, *context)


def _all(answer: Any, kind: type[Value] | tuple[type[Value], ...]) -> tuple[Value, ...]:
    _want(isinstance(answer, list | tuple), f"a list is wanted, not {type(answer).__name__}")
    _want(len(answer) <= LIMIT, f"more than {LIMIT} answers")
    for value in answer:
        _want(isinstance(value, kind), f"unexpected {type(value).__name__}")
    return tuple(answer)


def _named(code: Any, text: Any) -> None:
    _want(bool(code), "a code of 1 to 64 characters is wanted")
    _words(code)
    _text(text)


def _text(text: Any) -> None:
    _want(isinstance(text, Text), "a text in both languages is wanted")
    for words in (text.zh, text.en):
        _want(isinstance(words, str) and 0 < len(words) <= TEXT_LENGTH, "a text in both languages is wanted")
        _want(_is_clean(words), "a text must be storable")


def _words(*values: Any, limit: int = CODE_LENGTH) -> None:
    for value in values:
        _want(isinstance(value, str) and len(value) <= limit, f"a word of at most {limit} characters is wanted")
        _want(_is_clean(value), "a word must be storable")


def _is_clean(value: str) -> bool:
    """Whether both databases can store it. Half of a surrogate pair raises a `ValueError` of its own."""
    return b"\0" not in value.encode()


def _is_plain(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) <= TEXT_LENGTH and _is_clean(value)
    return value is None or isinstance(value, bool | int) or (isinstance(value, float) and isfinite(value))


def _stretch(value: Any) -> None:
    _want(isinstance(value, timedelta) and timedelta() <= value <= LONGEST, "a stretch of 0 to 366 days is wanted")


def _aware(value: Any) -> None:
    _want(value is None or _is_aware(value), "instants must be aware")
    _want(value is None or value.year in YEARS, "an instant of this era is wanted")


def _is_local(value: Any) -> bool:
    return isinstance(value, time) and value.tzinfo is None


def _is_aware(value: Any) -> bool:
    return isinstance(value, datetime) and value.utcoffset() is not None


def _want(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)
