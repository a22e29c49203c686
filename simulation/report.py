"""Plays the streams through the hospital and holds the figures against the goals: `python -m simulation.report`.

Exits with 1 when a goal is missed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from examlane import Finding
from simulation import play_assessments, play_no_shows, play_orders
from simulation.play_orders import MISSED, NOTICED, OVERRIDDEN, RIGHT, SHOWN, Played

ENDS = (*NOTICED, SHOWN, MISSED)


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure and what it must not exceed."""

    name: str
    figure: float
    at_most: float

    @property
    def met(self) -> bool:
        return self.figure <= self.at_most


@dataclass(frozen=True, slots=True)
class Orders:
    """The figures of a stream of contrast orders. What is shown by a hint only counts as missed."""

    played: tuple[Played, ...]

    @property
    def wrong(self) -> list[Played]:
        return [each for each in self.played if each.end != RIGHT]

    @property
    def right(self) -> list[Played]:
        return [each for each in self.played if each.end == RIGHT]

    @property
    def residual(self) -> list[Played]:
        return [each for each in self.wrong if each.end in (SHOWN, MISSED)]

    @property
    def overridden(self) -> list[Played]:
        return [each for each in self.wrong if each.end == OVERRIDDEN]

    def share(self, some: Iterable[Played]) -> float:
        return len(list(some)) / len(self.played)

    def classes(self) -> dict[str, dict[str, int]]:
        """Of every error class: how often it ended how."""
        names = sorted({each.order.truth.error for each in self.wrong})
        counted = Counter((each.order.truth.error, each.end) for each in self.wrong)
        return {name: {end: counted[name, end] for end in ENDS} for name in names}

    def goals(self, part: str) -> list[Goal]:
        failing = [each for each in self.residual if each.order.truth.booking_fails]
        unexplained = [each for each in self.right if each.unexplained]
        return [
            Goal(f"{part}: wrong orders that nobody notices, of all orders", self.share(self.residual), 0.006),
            Goal(f"{part}: bookings that fail for it, of all orders", self.share(failing), 0.004),
            Goal(f"{part}: right orders stopped without rule and source", len(unexplained), 0),
        ]

    def as_data(self) -> dict[str, Any]:
        alarmed = [each for each in self.right if each.verdict.false_alarms]
        return {
            "orders": len(self.played),
            "right": len(self.right),
            "wrong_before": self.share(self.wrong),
            "fail_before": self.share(each for each in self.wrong if each.order.truth.booking_fails),
            "residual_share": self.share(self.residual),
            "residual_share_with_urgent": self.share([*self.residual, *self.overridden]),
            "fail_after": self.share(each for each in self.residual if each.order.truth.booking_fails),
            "classes": self.classes(),
            "residual": [_told(each) for each in self.residual],
            "right_orders_stopped_wrongly": len(alarmed),
            "false_alarms": _by_code(finding for each in self.right for finding in each.verdict.false_alarms),
            "questions": _by_code(finding for each in self.right for finding in each.verdict.questions),
            "questions_a_right_order": sum(len(each.verdict.questions) for each in self.right) / max(1, len(self.right)),
            "wrong_fills": _by_code(finding for each in self.played for finding in each.verdict.wrong_fills),
            "right_orders_end": dict(Counter(each.reason for each in self.right).most_common()),
        }


def _by_code(findings: Iterable[Finding]) -> dict[str, int]:
    return dict(Counter(each.code for each in findings).most_common())


def _told(played: Played) -> dict[str, str]:
    truth = played.order.truth
    return {
        "order": played.order.number, "error": truth.error, "case": truth.case, "exam": played.order.exam.key,
        "priority": played.order.priority.value, "note": played.order.note, "end": played.end,
        "said": ", ".join(sorted({each.code for each in played.findings if each.kind.value != "fill"})),
    }  # fmt: skip


def orders(count: int, seed: int, held_out: bool, progress: Any = None) -> Orders:
    """Play a stream of contrast orders."""
    return Orders(tuple(play_orders.play(count, seed, held_out, progress or _quiet)))


def departments(seed: int, progress: Any) -> tuple[list[Goal], dict[str, Any]]:
    """Play the endoscopy and the ECG."""
    endoscopy = play_assessments.play(600, seed, progress)
    ecg = play_no_shows.play(720, seed, progress)
    late = len(ecg.late)
    goals = [
        Goal("endoscopy: cancelled on the day for want of a valid assessment", endoscopy.cancelled, 0),
        Goal("endoscopy: hours from the pass to the booking, median", endoscopy.hours_to_booking, 24),
        Goal("ECG: late patients who touch a window", ecg.at_check_in / late, 0.05),
    ]
    return goals, {
        "endoscopy": {
            "orders": len(endoscopy.followed), "booked": len(endoscopy.booked), "cancelled_before": endoscopy.before,
            "cancelled": endoscopy.cancelled, "hours_to_booking": endoscopy.hours_to_booking,
            "hours_to_exam": endoscopy.hours_to_exam, "waiting": endoscopy.waiting(),
        },
        "ecg": {
            "patients": len(ecg.arrived), "late": late, "window_before": late, "window_after": ecg.at_check_in,
            "window_by_kiosk_alone": ecg.by_kiosk_alone,
            "received": dict(Counter(f"{each.received} {each.why}".strip() for each in ecg.arrived)),
        },
    }  # fmt: skip


def _quiet(_: str) -> None:
    pass


def _progress(text: str) -> None:
    sys.stderr.write(f"\r{text:60}")
    sys.stderr.flush()


def _table(part: str, figures: Orders) -> None:
    data = figures.as_data()
    print(f"\n{part}: {data['orders']} orders, {data['wrong_before']:.1%} wrong before")
    print(f"{'class':30}" + "".join(f"{end:>26}" for end in ENDS))
    for name, ends in figures.classes().items():
        print(f"{name:30}" + "".join(f"{ends[end]:26}" for end in ENDS))
    for each in data.pop("residual"):
        print("missed:", "; ".join(f"{name} {value}" for name, value in each.items()))
    del data["classes"]
    for name, value in data.items():
        print(f"{name:32}{value}")


def main() -> int:
    """Play, print, and hold against the goals."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--orders", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--held-out", action="store_true", help="what was set aside as well: for the examination only")
    asked = parser.parse_args()
    parts = {"dev": orders(asked.orders, asked.seed, False, _progress)}
    if asked.held_out:
        parts["held out"] = orders(asked.orders, asked.seed, True, _progress)
    goals, others = departments(asked.seed, _progress)
    goals = [*(goal for part, figures in parts.items() for goal in figures.goals(part)), *goals]
    sys.stderr.write("\n")
    if asked.json:
        data = {part: figures.as_data() for part, figures in parts.items()}
        print(json.dumps({**data, **others, "goals": [asdict(goal) for goal in goals]}, ensure_ascii=False, indent=1))
    else:
        for part, figures in parts.items():
            _table(part, figures)
        for name, value in others.items():
            print(f"\n{name}: {value}")
        print()
        for goal in goals:
            print(f"{'met   ' if goal.met else 'MISSED'} {goal.name}: {goal.figure:.4g} (at most {goal.at_most:g})")
    return 0 if all(goal.met for goal in goals) else 1


if __name__ == "__main__":
    sys.exit(main())
