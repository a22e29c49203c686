"""The planted cases: what each patient's messages are and how it must end, fixed before the first request."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from examlane_api.demo.catalogue import Catalogue
from examlane_api.demo.draft import Draft
from examlane_api.demo.kinds import KINDS, PLAIN
from examlane_api.demo.kinds.kind import Kind

LATEST_ARRIVAL = 235
SOAP_SHARE = 0.3
TWICE_SHARE = 0.08


@dataclass(frozen=True, slots=True)
class Message:
    """What a system sends, `after` so many minutes of the patient's arrival; some are sent twice."""

    after: int
    kind: str
    body: Mapping[str, Any]
    twice: bool = False


@dataclass(frozen=True, slots=True)
class Case:
    """One patient: what is sent for him, whether he comes when his time comes, and how each item must end.

    `expected` maps item keys to outcomes; `together` says what must hold of all his booked items.
    """

    number: str
    kind: str
    story: Mapping[str, str]
    channel: str
    arrives: int
    comes: bool
    at_once: bool
    messages: tuple[Message, ...]
    expected: Mapping[str, str]
    together: str = ""


def generate(patients: int, seed: int, start: datetime, folder: Path) -> list[Case]:
    """As many cases as patients, the same for the same seed."""
    dice = random.Random(seed)
    catalogue = Catalogue(folder)
    kinds = _mixed(patients, dice)
    return [_case(number, kind, dice, catalogue, start) for number, kind in enumerate(kinds, 1)]


def write(cases: Iterable[Case], path: Path) -> None:
    """One case a line. Nothing of the product reads this file."""
    lines = (json.dumps(asdict(case), ensure_ascii=False) for case in cases)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _mixed(patients: int, dice: random.Random) -> list[Kind]:
    """Every special kind at least once while there is room, the rest plain; in any order."""
    special = [kind for kind in KINDS for _ in range(max(1, round(kind.share * patients)))][:patients]
    kinds = special + [PLAIN] * (patients - len(special))
    dice.shuffle(kinds)
    return kinds


def _case(number: int, kind: Kind, dice: random.Random, catalogue: Catalogue, start: datetime) -> Case:
    first, last = kind.arrival or (0, LATEST_ARRIVAL)
    draft = Draft(number, dice, catalogue, start, arrives=dice.randint(first, last))
    kind.build(draft)
    channel = "soap" if dice.random() < SOAP_SHARE and not kind.at_once else "rest"
    messages = sorted(draft.messages, key=lambda message: message[0])
    return Case(
        number=f"C{number:05}",
        kind=kind.name,
        story={"zh": kind.text.zh, "en": kind.text.en},
        channel=channel,
        arrives=draft.arrives,
        comes=kind.comes,
        at_once=kind.at_once,
        messages=tuple(Message(*message, twice=dice.random() < TWICE_SHARE) for message in messages),
        expected=draft.expected,
        together=kind.together,
    )
