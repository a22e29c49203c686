"""A seeded day of an ECG department: who comes when, who is late, who gets on with the kiosk; data and truth only.

`python -m simulation.no_shows` shows what it holds. Numbers as in alloc.md §3.1 (e): 720 orders, 15 % late, the kiosk works
for 92 %, two clerks at the window who take 1.5 minutes a patient and 3 to book again. A late patient turns up after his
time has passed for good: beyond the slot's end and the grace of 15 minutes (domain.md §6.1). 2 % never
come (§6.1: 2.26-3.36 %).
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

from examlane import EncounterClass, Sex

OPENING = datetime(2026, 11, 23, 8, 0, tzinfo=ZoneInfo("Asia/Shanghai"))
HALF_DAYS = ((0, 240), (360, 570))
"""Minutes after opening: 08:00-12:00 and 14:00-17:30 (domain.md §6.3, U)."""
LATE, NEVER, KIOSK = 0.15, 0.02, 0.92
SLOT_MINUTES, GRACE_MINUTES = 5, 15
CLERKS, CLERK_MINUTES, REBOOK_MINUTES = 2, 1.5, 3.0
ITEM = "320300001"


@dataclass(frozen=True, slots=True)
class EcgPatient:
    """One order of the day. `arrives_at` None: never comes. `kiosk_works`: would manage at the kiosk without help.

    `window_minutes`: what a clerk would need for him. Complaints are not modelled.
    """

    number: str
    item: str
    ordered_at: datetime
    wanted_at: datetime
    arrives_at: datetime | None
    late: bool
    kiosk_works: bool
    exam_minutes: float
    window_minutes: float
    sex: Sex
    age: int
    encounter_class: EncounterClass


def day(seed: int = 1, orders: int = 720, opening: datetime = OPENING) -> tuple[EcgPatient, ...]:
    """The day's patients in the order of the times they are asked to come; exact numbers of late and never."""
    random = Random(f"{seed}/ecg")
    late, never = round(orders * LATE), round(orders * NEVER)
    fates = random.sample(["late"] * late + ["never"] * never + ["in time"] * (orders - late - never), orders)
    works = {fate: _able(random, fates.count(fate)) for fate in sorted(set(fates))}
    times = sorted(_wanted(random, opening) for _ in range(orders))
    return tuple(
        _patient(Random(f"{seed}/ecg/{index}"), f"ECG{seed}-{index + 1:04d}", at, opening, fate, works[fate].pop())
        for index, (at, fate) in enumerate(zip(times, fates, strict=True))
    )


def _able(random: Random, patients: int) -> list[bool]:
    """The share for whom the kiosk works, the same among the late as among the others."""
    able = round(patients * KIOSK)
    return random.sample([True] * able + [False] * (patients - able), patients)


def _wanted(random: Random, opening: datetime) -> datetime:
    """A time on the grid of slots; the later half-day ends early enough for late patients to be seen."""
    first, last = random.choices(HALF_DAYS, (0.6, 0.4))[0]
    slots = (last - first) // SLOT_MINUTES - (12 if last == HALF_DAYS[1][1] else 0)
    return opening + timedelta(minutes=first + SLOT_MINUTES * random.randrange(slots))


def _patient(random: Random, number: str, wanted: datetime, opening: datetime, fate: str, kiosk_works: bool) -> EcgPatient:
    late = fate == "late"
    return EcgPatient(
        number=number,
        item=ITEM,
        ordered_at=opening - timedelta(minutes=random.randint(30, 2 * 1440)),
        wanted_at=wanted,
        arrives_at=None if fate == "never" else wanted + _delay(random, late),
        late=late,
        kiosk_works=kiosk_works,
        exam_minutes=round(min(9.0, max(2.5, random.gauss(4.5, 1.2))), 1),
        window_minutes=REBOOK_MINUTES if late else CLERK_MINUTES,
        sex=random.choice((Sex.FEMALE, Sex.MALE)),
        age=round(min(92.0, max(15.0, random.gauss(57, 18)))),
        encounter_class=EncounterClass.OUTPATIENT,
    )


def _delay(random: Random, late: bool) -> timedelta:
    """In time: mostly early, never beyond the grace. Late: beyond slot and grace, up to an hour more."""
    grace = SLOT_MINUTES + GRACE_MINUTES
    minutes = grace + random.uniform(1, 60) if late else min(grace - 1.0, random.gauss(-16, 14))
    return timedelta(minutes=round(minutes))


def main() -> None:
    """Counts of a day."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    made = day(asked.seed)
    never = sum(each.arrives_at is None for each in made)
    late = [each for each in made if each.late]
    print(f"{len(made)} orders, {len(late)} late, {never} never come; the kiosk would work for")
    print(f"{sum(each.kiosk_works for each in made)} of all, {sum(each.kiosk_works for each in late)} of the late")


if __name__ == "__main__":
    main()
