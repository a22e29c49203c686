"""A seeded stream of contrast orders with their truth: `python -m simulation.contrast_orders` shows what it holds.

The truth of an order is how it was made (error_classes.toml, near_misses.toml, phrasings.toml), never what a rule
says of it.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

from examlane import EncounterClass, Fact, Priority
from simulation.materials import Agent, Case, ErrorClass, Exam, Expected, Materials, materials
from simulation.people import MATTERS, Person, facts, person

ORDERS_A_DAY = 200
NEAR_MISSES = 0.25
HARMLESS_NOTES = 0.25
"""Of the correct orders, how many look like an error in their facts, and in their note; the others are ordinary."""
MONDAY = datetime(2026, 11, 23, 7, 30, tzinfo=ZoneInfo("Asia/Shanghai"))


@dataclass(frozen=True, slots=True)
class Entry:
    """What the doctor wrote himself: agent, mg I/ml, ml, ml/s; `where`: in fields of the order, or by hand in the note."""

    agent: str
    strength: int | None
    volume_ml: float
    rate_ml_s: float | None
    where: str


@dataclass(frozen=True, slots=True)
class Earlier:
    """Another exam of the patient: held before the order, or already booked when the order is written."""

    exam: str
    starts_at: datetime
    ends_at: datetime


@dataclass(frozen=True, slots=True)
class Truth:
    """What an order really is. `error` is empty when it is right.

    `expected`: one of these must be answered. `tolerated`: topics on which the sources differ, `unknown`: topics of facts
    that matter for the exam and are not on record; answers about either are questions, not false alarms.
    `safe_from`: when the exam may be held at the earliest, where the error is one of time.
    """

    error: str
    group: str
    case: str
    held_out: bool
    booking_fails: bool
    harm: str
    expected: tuple[Expected, ...]
    tolerated: frozenset[str]
    unknown: frozenset[str]
    safe_from: datetime | None


@dataclass(frozen=True, slots=True)
class ContrastOrder:
    """One order as it leaves the doctor's station, with its truth."""

    number: str
    ordered_at: datetime
    person: Person
    encounter_class: EncounterClass
    priority: Priority
    exam: Exam
    facts: Mapping[str, Fact]
    earlier: tuple[Earlier, ...]
    entry: Entry | None
    note: str
    truth: Truth


@dataclass(frozen=True, slots=True)
class Plan:
    """What one order of the stream is to be."""

    error: ErrorClass | None
    case: Case
    booking_fails: bool = False
    ordinary: bool = False


def stream(seed: int = 1, orders: int = 2000, held_out: bool = False, start: datetime = MONDAY) -> tuple[ContrastOrder, ...]:
    """Orders in the order they are written. `held_out` draws only what was set aside, otherwise nothing of it."""
    table = materials()
    plans = _plans(Random(f"{seed}/plans"), table, orders, held_out)
    times = _times(Random(f"{seed}/times"), orders, start)
    return tuple(
        _order(Random(f"{seed}/{index}"), table, plan, f"SIM{seed}-{index + 1:05d}", at)
        for index, (plan, at) in enumerate(zip(plans, times, strict=True))
    )


def _times(random: Random, orders: int, start: datetime) -> list[datetime]:
    """Ten working hours a day, seven days a week."""
    minutes = (divmod(index, ORDERS_A_DAY)[0] * 1440 + random.randrange(600) for index in range(orders))
    return sorted(start + timedelta(minutes=each) for each in minutes)


def _plans(random: Random, table: Materials, orders: int, held_out: bool) -> list[Plan]:
    """Exact numbers for every class, in random order."""
    plans = [plan for each in table.classes for plan in _wrong(random, each, round(each.share * orders), held_out)]
    right = orders - len(plans)
    near, noted = round(right * NEAR_MISSES), round(right * HARMLESS_NOTES)
    plans += [Plan(None, case) for case in _draw(random, table.near_misses, near, held_out)]
    plans += [Plan(None, case) for case in _draw(random, table.harmless, noted, held_out)]
    exams = [each for each in table.exams.values() if each.frequency]
    asked = random.choices(exams, [each.frequency for each in exams], k=right - near - noted)
    plans += [Plan(None, Case("ordinary", (each.key,), {}), ordinary=True) for each in asked]
    random.shuffle(plans)
    return plans


def _wrong(random: Random, error: ErrorClass, count: int, held_out: bool) -> list[Plan]:
    failing = round(count * error.booking_fails)
    fails = random.sample([True] * failing + [False] * (count - failing), count)
    return [Plan(error, case, fail) for case, fail in zip(_draw(random, error.cases, count, held_out), fails, strict=True)]


def _draw(random: Random, cases: Sequence[Case], count: int, held_out: bool) -> list[Case]:
    """Every case before any comes twice, so that a small stream leaves few out."""
    pool = [each for each in cases if each.held_out is held_out]
    weighted = random.choices(pool, [each.weight for each in pool], k=max(0, count - len(pool)))
    return [*random.sample(pool, min(count, len(pool))), *weighted]


def _order(random: Random, table: Materials, plan: Plan, number: str, at: datetime) -> ContrastOrder:
    make = plan.case.make
    exam = random.choice([each for each in table.exams.values() if each.fits(plan.case.exams)])
    encounter = _encounter(random, make, wrong=plan.error is not None)
    who = person(random, make, exam.contrast)
    known, unknown = facts(random, who, make, at)
    entry = _entry(random, table, exam, who, make)
    earlier = _earlier(random, table, make, at)
    return ContrastOrder(
        number=number,
        ordered_at=at,
        person=who,
        encounter_class=encounter,
        priority=_priority(random, encounter, make),
        exam=exam,
        facts=known,
        earlier=earlier,
        entry=entry,
        note=_note(random, table, exam, entry, make),
        truth=_truth(plan, frozenset(each for each in unknown if exam.fits(MATTERS[each])), earlier),
    )


def _encounter(random: Random, make: Mapping[str, Any], wrong: bool) -> EncounterClass:
    if "encounter" in make:
        return EncounterClass(random.choice(make["encounter"]))
    shares = (0.62, 0.38, 0.0) if wrong or "earlier" in make else (0.6, 0.3, 0.1)
    return random.choices((EncounterClass.OUTPATIENT, EncounterClass.INPATIENT, EncounterClass.EMERGENCY), shares)[0]


def _priority(random: Random, encounter: EncounterClass, make: Mapping[str, Any]) -> Priority:
    if encounter is EncounterClass.EMERGENCY:
        return random.choice((Priority.URGENT, Priority.STAT))
    if "earlier" in make:
        return Priority.ROUTINE
    return Priority.URGENT if random.random() < 0.06 else Priority.ROUTINE


def right_agents(table: Materials, exam: Exam) -> list[Agent]:
    """Agents that suit the exam, whatever the patient's kidneys: of its class, in a strength that it can use."""
    return [
        each
        for each in table.agents.values()
        if each.contrast == exam.contrast
        and each.group in (0, 2)
        and (not exam.strengths or set(each.strengths) & set(exam.strengths))
    ]


def right_volume(exam: Exam, agent: Agent, weight_kg: float) -> tuple[float, float] | None:
    """The lowest and highest volume, ml, that the sources allow of this agent for this exam and weight."""
    if exam.volume:
        return exam.volume
    if exam.per_kg and exam.cap:
        return min(exam.per_kg[0] * weight_kg, exam.cap[0]), min(exam.per_kg[1] * weight_kg, exam.cap[1])
    return (agent.ml_per_kg * weight_kg,) * 2 if agent.ml_per_kg else None


def _entry(random: Random, table: Materials, exam: Exam, who: Person, make: Mapping[str, Any]) -> Entry | None:
    """The doctor's own entry: right, but for what the case changes."""
    wanted = make.get("entry", {})
    if not exam.contrast or (not wanted and random.random() < 0.4):
        return None
    spared = who.conditions.get("contrast_reaction_agent")
    agents = [each for each in right_agents(table, exam) if each.key != spared]
    agent = table.agents[random.choice(wanted["agent"])] if "agent" in wanted else random.choice(agents)
    where = wanted.get("where") or random.choice(("order", "note"))
    return Entry(agent.key, _strength(random, exam, agent, wanted), _volume(random, exam, agent, who, wanted),
                 _rate(random, exam, wanted), where)  # fmt: skip


def _strength(random: Random, exam: Exam, agent: Agent, wanted: Mapping[str, Any]) -> int | None:
    usable = [each for each in agent.strengths if not exam.strengths or each in exam.strengths]
    offered = wanted.get("strength") or usable or agent.strengths
    return int(random.choice(offered)) if offered else None


def _volume(random: Random, exam: Exam, agent: Agent, who: Person, wanted: Mapping[str, Any]) -> float:
    low, high = right_volume(exam, agent, who.weight_kg) or (0.0, 0.0)
    if "volume" in wanted:
        return round(random.uniform(*wanted["volume"]), 1 if wanted["volume"][1] < 10 else 0)
    if "volume_factor" in wanted:
        factor = random.uniform(*wanted["volume_factor"])
        return round(factor * (high if factor > 1 else low), 0 if high > 20 else 1)
    return round(random.uniform(low, high), 0 if high > 20 else 1)


def _rate(random: Random, exam: Exam, wanted: Mapping[str, Any]) -> float | None:
    if exam.rate is None:
        return None
    if "rate_factor" in wanted:
        factor = random.uniform(*wanted["rate_factor"])
        return round(factor * exam.rate[1 if factor > 1 else 0], 1)
    return round(random.uniform(*exam.rate), 1)


def _earlier(random: Random, table: Materials, make: Mapping[str, Any], at: datetime) -> tuple[Earlier, ...]:
    wanted = make.get("earlier")
    if wanted is None:
        return ()
    end = at - timedelta(minutes=round(random.uniform(*wanted["hours"]) * 60))
    return (Earlier(wanted["exam"], end - timedelta(minutes=15), end),)


def _note(random: Random, table: Materials, exam: Exam, entry: Entry | None, make: Mapping[str, Any]) -> str:
    parts = []
    ordinary = table.ordinary.get(exam.part, ())
    if ordinary and random.random() < 0.6:
        parts.append(random.choice(ordinary))
    if entry is not None and entry.where == "note":
        parts.append(written(random, table, entry))
    if "notes" in make:
        parts.append(random.choice(make["notes"]))
    return random.choice(("，", "；", "。", " ")).join(parts)


def written(random: Random, table: Materials, entry: Entry) -> str:
    """An entry as doctors write it by hand: 碘海醇350 80ml 3.0ml/s."""
    strength = "" if entry.strength is None else str(entry.strength)
    rate = "" if entry.rate_ml_s is None else f" {entry.rate_ml_s}ml/s"
    return f"{random.choice(table.agents[entry.agent].names)}{strength} {entry.volume_ml:g}ml{rate}"


def _truth(plan: Plan, unknown: frozenset[str], earlier: Iterable[Earlier]) -> Truth:
    error, case = plan.error, plan.case
    apart = case.make.get("apart_hours")
    ends = [each.ends_at for each in earlier]
    return Truth(
        error=error.id if error else "",
        group=error.group if error else "",
        case=case.id,
        held_out=case.held_out,
        booking_fails=plan.booking_fails,
        harm=error.harm if error else "",
        expected=case.expected or (error.expected if error else ()),
        tolerated=case.tolerated,
        unknown=unknown,
        safe_from=max(ends) + timedelta(hours=apart) if ends and apart is not None else None,
    )


def main() -> None:
    """Counts of a stream: by class, in all, and how much is unknown."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--orders", type=int, default=2000)
    parser.add_argument("--held-out", action="store_true", help="what was set aside, for the final examination only")
    asked = parser.parse_args()
    made = stream(asked.seed, asked.orders, asked.held_out)
    for name, count in sorted(Counter(each.truth.error or "right" for each in made).items()):
        print(f"{name:32}{count:6}{count / len(made):8.1%}")
    print(f"{'bookings that fail today':32}{sum(each.truth.booking_fails for each in made) / len(made):14.1%}")


if __name__ == "__main__":
    main()
