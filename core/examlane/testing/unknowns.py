"""Unknown is never fine: a fact that is taken away, or cannot be read, lifts no restriction that it caused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial

from examlane.domain import Finding, FindingKind, GateClosed, PatientView, Sex
from examlane.testing.subject import NotConforming, Subject, one_item, with_fact, without
from examlane.testing.worlds import RandomWorld

QUIET_WORLDS = 8
"""How many worlds are searched for an order with which nothing is wrong."""
UNREADABLE = "unreadable"
"""What is no answer where the rules speak of numbers, or of yes and no."""
RESTRICTING = (FindingKind.BLOCK, FindingKind.CONFIRM, FindingKind.APPROVE, FindingKind.DELAY_UNTIL)
JUDGING = ("validate_order", "pre_booking_gate")
Restrictions = dict[str, set[str]]
"""By item, the codes of what blocks, asks, delays or closes."""


def check(subject: Subject) -> str:
    """From orders with which nothing is wrong, one fact at a time is made wrong and then unknown."""
    hooks = [hook for hook in JUDGING if hook in subject.plugin.hooks]
    if not hooks:
        return "it judges no orders"
    worlds = [replace(world, patient=_anybody(world)) for world in subject.worlds]
    tried = sum(_all_lost(subject, world, hooks) for world in worlds)
    for world in worlds[:QUIET_WORLDS]:
        for alone in one_item(world):
            tried += _each_wrong(subject, _quiet(subject, alone, hooks), hooks)
    beyond = f", {len(subject.always_known)} rules of facts that are never unknown" if subject.always_known else ""
    return f"{tried} facts taken away{beyond}"


def _anybody(world: RandomWorld) -> PatientView:
    """A patient to whom every question applies, that of pregnancy too."""
    return replace(world.patient, sex=Sex.FEMALE, birth_date=world.now.date() - timedelta(days=33 * 366))


def _all_lost(subject: Subject, world: RandomWorld, hooks: Sequence[str]) -> int:
    said = _restrictions(subject, world, hooks)
    for name in world.order.context:
        _must_still_speak(subject, world, name, said, hooks)
    return len(world.order.context)


def _each_wrong(subject: Subject, quiet: RandomWorld, hooks: Sequence[str]) -> int:
    tried = 0
    for name in sorted(subject.vocabulary.facts):
        for value in subject.vocabulary.telling(name, quiet.now.date()):
            wrong = with_fact(quiet, name, value)
            said = _restrictions(subject, wrong, hooks)
            if said:
                _must_still_speak(subject, wrong, name, said, hooks)
                tried += 1
    return tried


def _must_still_speak(subject: Subject, world: RandomWorld, name: str, said: Restrictions, hooks: Sequence[str]) -> None:
    """Neither without the fact nor with what is no answer to it may an item be fine that was not."""
    changes: dict[str, Callable[[RandomWorld], RandomWorld]] = {f"without {name}": partial(without, name=name)}
    if subject.vocabulary.is_measured(name):
        changes[f"with {name} = {UNREADABLE!r}"] = partial(with_fact, name=name, value=UNREADABLE)
    for how, change in changes.items():
        if _lost(subject, said, _restrictions(subject, change(world), hooks)):
            world = _smallest(subject, world, name, change, hooks)
            codes = ", ".join(_lost(subject, _restrictions(subject, world, hooks), {}))
            raise NotConforming(
                f"{how} nothing is said any more, otherwise {codes}; about {subject.told(world)}: "
                "what is unknown or cannot be read must be asked for (`unknown` in the rule)"
            )


def _lost(subject: Subject, before: Restrictions, after: Restrictions) -> list[str]:
    """What was said of the items about which nothing is said any more, but for rules whose facts are never unknown."""
    silent = [codes for item, codes in before.items() if not after.get(item)]
    return sorted({code for codes in silent for code in codes} - subject.always_known)


def _smallest(
    subject: Subject,
    world: RandomWorld,
    name: str,
    change: Callable[[RandomWorld], RandomWorld],
    hooks: Sequence[str],
) -> RandomWorld:
    """The same fault in a world without the facts that have nothing to do with it."""
    for other in list(world.order.context):
        smaller = without(world, other)
        if other != name and _lost(
            subject, _restrictions(subject, smaller, hooks), _restrictions(subject, change(smaller), hooks)
        ):
            world = smaller
    return world


def _quiet(subject: Subject, world: RandomWorld, hooks: Sequence[str]) -> RandomWorld:
    """A like world in which as little as possible is wrong: each fact in turn takes the value with the fewest answers."""
    for name in sorted(subject.vocabulary.facts):
        best = _count(_restrictions(subject, world, hooks))
        for value in subject.vocabulary.telling(name, world.now.date()) if best else ():
            other = with_fact(world, name, value)
            count = _count(_restrictions(subject, other, hooks))
            if count < best:
                world, best = other, count
    return world


def _count(said: Restrictions) -> int:
    return sum(len(codes) for codes in said.values())


def _restrictions(subject: Subject, world: RandomWorld, hooks: Sequence[str]) -> Restrictions:
    found: Restrictions = {}
    for hook in hooks:
        for answer in subject.ask(subject.question(world, hook)):
            if isinstance(answer, GateClosed) or (isinstance(answer, Finding) and answer.kind in RESTRICTING):
                found.setdefault(answer.item, set()).add(answer.code)
    return found
