"""The zoo: plugins with every fault we could think of, each at one hook."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from examlane import (
    Finding,
    FindingKind,
    GateClosed,
    GateOpen,
    IntervalRule,
    Need,
    NoShowAction,
    NoShowDecision,
    Placement,
    Preparation,
    Proposal,
    Relation,
    Segment,
    Selector,
    Text,
    Visit,
    VisitOption,
    hookimpl,
)

Behaviour = Callable[[SimpleNamespace], Any]
WORDS = Text("规则", "a rule")
NAIVE = datetime(2026, 11, 24, 9)
FAR = datetime(9999, 12, 31, tzinfo=UTC)
HALF_A_PAIR = "\ud800"


def plugin(hook: str, behave: Behaviour) -> SimpleNamespace:
    """A plugin with one hook, which does what `behave` does with the arguments."""
    return SimpleNamespace(**{hook: hookimpl(HOOKS[hook](behave))})


HOOKS: Mapping[str, Callable[[Behaviour], Callable[..., Any]]] = {
    "validate_order": lambda behave: lambda order, patient, evidence, now, settings: behave(SimpleNamespace(**locals())),
    "pre_booking_gate": lambda behave: lambda order, patient, evidence, now, settings: behave(SimpleNamespace(**locals())),
    "requirements": lambda behave: (
        lambda orders, patient, groups, evidence, now, settings: behave(SimpleNamespace(**locals()))
    ),
    "interval_rules": lambda behave: lambda patient, context, settings: behave(SimpleNamespace(**locals())),
    "preparation": lambda behave: lambda items, settings: behave(SimpleNamespace(**locals())),
    "allocate": lambda behave: lambda request, availability: behave(SimpleNamespace(**locals())),
    "on_no_show": lambda behave: lambda no_show, settings: behave(SimpleNamespace(**locals())),
}


def _raising(error: BaseException) -> Behaviour:
    def behave(given: SimpleNamespace) -> Any:
        raise error

    return behave


def _saying(*answer: Any) -> Behaviour:
    return lambda given: answer


class Unheard(BaseException):
    """What no `except Exception` catches."""


class Unprintable(Exception):
    def __str__(self) -> str:
        raise self


def _recursing(given: SimpleNamespace) -> Any:
    return _recursing(given)


def _spinning(given: SimpleNamespace) -> Any:
    until = time.monotonic() + 0.15
    while time.monotonic() < until:
        pass
    return []


def _mutating(given: SimpleNamespace) -> Any:
    for value in vars(given).values():
        for change in (lambda v: v.clear(), lambda v: v.append(None), lambda v: v.update(x=1)):
            try:
                change(value)
            except (AttributeError, TypeError):
                continue
    given.first = next(iter(vars(given).values()))
    given.first.items = ()
    return []


ANYWHERE: dict[str, Behaviour] = {
    "raises": _raising(KeyError("weight_kg")),
    "exits": _raising(SystemExit(1)),
    "interrupts": _raising(KeyboardInterrupt()),
    "raises what nobody catches": _raising(Unheard()),
    "raises what cannot be printed": _raising(Unprintable()),
    "runs out of memory": _raising(MemoryError()),
    "recurses": _recursing,
    "hangs": lambda given: time.sleep(0.6),
    "is slow": lambda given: [time.sleep(0.1)],  # type: ignore[func-returns-value]
    "spins": _spinning,
    "leaves the thread": lambda given: sys.exit("bye"),
    "answers a word": lambda given: "yes",
    "answers no number": lambda given: math.nan,
    "answers a dictionary": lambda given: {"kind": "block"},
    "answers a million": lambda given: [None] * 1_000_000,
    "answers an iterator": lambda given: iter([]),
    "answers strange things": lambda given: [object()],
    "changes its arguments": _mutating,
}
NOTHING: dict[str, Behaviour] = {"answers None": lambda given: None}


def _finding(**changes: Any) -> Behaviour:
    def behave(given: SimpleNamespace) -> Any:
        sound = Finding(FindingKind.HINT, "zoo.hint", WORDS, given.order.items[0].key)
        return [replace(sound, **changes)]

    return behave


def _closed(**changes: Any) -> Behaviour:
    def behave(given: SimpleNamespace) -> Any:
        sound = GateClosed("zoo", given.order.items[0].key, "zoo.closed", WORDS, WORDS, "nurse")
        return [replace(sound, **changes)]

    return behave


def _visit(option: Mapping[str, Any] | None = None, segment: Mapping[str, Any] | None = None, **changes: Any) -> Behaviour:
    """A sound visit at the department's first group, with something wrong in it."""

    def behave(given: SimpleNamespace) -> Any:
        key, place = given.orders[0].items[0].key, given.groups[0]
        part = replace(Segment("exam", 10, (Need("room", place.code),)), **(segment or {}))
        way = replace(VisitOption(place.code, place.campus, place.zone, (part,)), **(option or {}))
        return [replace(Visit(key, place.department, (key,), (way,)), **changes)]

    return behave


def _one_too_many(given: SimpleNamespace) -> Any:
    sound = _visit()(given)
    return [*sound, replace(sound[0], key="", items=())]


def _iterated(given: SimpleNamespace) -> Any:
    sound = _visit()(given)[0]
    return [replace(sound, items=(key for key in sound.items))]


def _ct_group(given: SimpleNamespace) -> Any:
    segment = Segment("exam", 10, (Need("room", "CT-N"),))
    return _visit(department="CT", options=(VisitOption("CT-N", "N", "N-2", (segment,)),))(given)


def _rule(**changes: Any) -> Behaviour:
    every = Selector(department="US")
    return _saying(replace(IntervalRule("zoo.rule", "1", every, every, Relation.EXCLUDE, WORDS), **changes))


def _proposal(**changes: Any) -> Behaviour:
    """A sound proposal at the earliest time, with something wrong in its placement."""

    def behave(given: SimpleNamespace) -> Any:
        sound = given.availability.earliest(given.request.visits[0], given.request.not_before)
        return [Proposal((replace(sound, **changes),), WORDS)]

    return behave


def _shifted(**delta: float) -> Behaviour:
    def behave(given: SimpleNamespace) -> Any:
        sound = given.availability.earliest(given.request.visits[0], given.request.not_before)
        return [Proposal((replace(sound, starts_at=sound.starts_at + timedelta(**delta)),), WORDS)]

    return behave


HERE: dict[str, dict[str, Behaviour]] = {
    "validate_order": {
        **NOTHING,
        "speaks of another's item": _finding(item="O9999/1"),
        "fills in nothing named": _finding(kind=FindingKind.FILL),
        "fills in what cannot be sorted": _finding(kind=FindingKind.FILL, field="dose", value={1: 2, "a": 3}),
        "fills in no number": _finding(kind=FindingKind.FILL, field="dose", value=math.nan),
        "fills in a list as a field": _finding(kind=FindingKind.FILL, field=["dose"], value=1),
        "delays to no time": _finding(kind=FindingKind.DELAY_UNTIL),
        "delays to a naive time": _finding(kind=FindingKind.DELAY_UNTIL, until=NAIVE),
        "delays to the end of time": _finding(kind=FindingKind.DELAY_UNTIL, until=FAR),
        "has a code that cannot be stored": _finding(code="a\0b"),
        "has words that cannot be stored": _finding(text=Text("规则", HALF_A_PAIR)),
        "has words that are none": _finding(text=Text(1, 2)),  # type: ignore[arg-type]
        "has an unknown kind": _finding(kind="block"),
    },
    "pre_booking_gate": {
        **NOTHING,
        "speaks of another's item": _saying(GateOpen("zoo", "O9999/1")),
        "is open until a naive time": lambda given: [GateOpen("zoo", given.order.items[0].key, NAIVE)],
        "has a kind that cannot be stored": _closed(kind="a\0b"),
        "has a kind that is too long": _closed(kind="k" * 65),
        "has an owner that is too long": _closed(owner="o" * 65),
        "has an owner that is nobody": _closed(owner=None),
        "is payable perhaps": _closed(payable="perhaps"),
        "has no next action": _closed(next_action=None),
    },
    "requirements": {
        "forgets an item": lambda given: [],
        "takes a group of another department": _visit(segment={"needs": (Need("room", "CT-N"),)}),
        "makes a visit of another department": _ct_group,
        "takes a group that is not there": _visit(option={"group": "MR-1"}),
        "puts its group elsewhere": _visit(option={"zone": "S-9"}),
        "gives a visit another's name": _visit(key="O9999/1"),
        "makes a visit for nothing": _one_too_many,
        "lists its items once only": _iterated,
        "opens at a naive time": _visit(earliest=NAIVE),
        "opens at the end of time": _visit(earliest=FAR),
        "takes no time": _visit(segment={"minutes": 0}),
        "takes half minutes": _visit(segment={"minutes": 10.5}),
        "lags by half minutes": _visit(segment={"after_min": 0.5, "after_max": 0.5}),
        "needs nobody": _visit(segment={"needs": ()}),
        "needs strange things": _visit(segment={"needs": ("room",)}),
    },
    "interval_rules": {
        **NOTHING,
        "selects by a word": _rule(first="US"),
        "keeps an endless distance": _rule(after=timedelta.max),
        "keeps a negative distance": _rule(before=-timedelta(hours=1)),
        "keeps a number as a distance": _rule(after=3600),
        "has a version that is too long": _rule(version="1" * 33),
    },
    "preparation": {
        **NOTHING,
        "takes for ever": _saying(Preparation("zoo.step", WORDS, timedelta.max)),
        "fasts by the word": _saying(Preparation("zoo.step", WORDS, fasting_hours="8")),  # type: ignore[arg-type]
        "says nothing in Chinese": _saying(Preparation("zoo.step", Text("", "fast"))),
    },
    "allocate": {
        "proposes nothing": lambda given: [],
        "places no visit": _saying(Proposal((), WORDS)),
        "places in the past": _shifted(days=-1),
        "places beyond the horizon": _shifted(days=300),
        "places at night": _shifted(hours=10),
        "places beside the grid": _shifted(minutes=3),
        "places at a naive time": _proposal(starts_at=NAIVE),
        "places at no time": _proposal(starts_at=None),
        "places in another department": _proposal(group="CT-N"),
        "places another's visit": _saying(
            Proposal((Placement("O9999/1", "US-N", datetime(2026, 11, 24, 1, tzinfo=UTC)),), WORDS)
        ),
        "proves perhaps": lambda given: [replace(_proposal()(given)[0], proven="perhaps")],
    },
    "on_no_show": {
        "decides by a word": lambda given: "release",
        "says nothing": _saying(NoShowDecision(NoShowAction.RELEASE, None)),  # type: ignore[arg-type]
        "forgives for ever": lambda given: NoShowDecision(NoShowAction.SELF_REBOOK, WORDS, limit=10**9),
        "rebooks until a naive time": lambda given: NoShowDecision(NoShowAction.SELF_REBOOK, WORDS, rebook_until=NAIVE),
    },
}


SOUND: dict[str, Behaviour] = {
    "validate_order": _finding(),
    "pre_booking_gate": lambda given: [GateOpen("zoo", item.key) for item in given.order.items],
    "interval_rules": _rule(after=timedelta(days=1), before=timedelta(days=1)),
    "preparation": _saying(Preparation("zoo.step", WORDS)),
    "requirements": _visit(),
    "allocate": _proposal(),
}
"""The same without the fault: what makes each of the faults above a fault."""


def animals(hook: str) -> dict[str, Behaviour]:
    """Every fault that makes sense at a hook."""
    return {**ANYWHERE, **HERE[hook]}
