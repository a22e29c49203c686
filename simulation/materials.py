"""Reads the tables of this folder: exams, agents, error classes, cases, phrasings, and what was set aside."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Exam:
    """An exam; `volume` in ml or `per_kg` in ml/kg up to `cap` ml, `rate` in ml/s.

    `strengths` in mg I/ml where only some will do.
    """

    key: str
    item: str
    zh: str
    modality: str
    part: str
    contrast: str = ""
    tags: frozenset[str] = frozenset()
    frequency: float = 0
    volume: Range | None = None
    per_kg: Range | None = None
    cap: Range | None = None
    rate: Range | None = None
    strengths: tuple[int, ...] = ()

    def fits(self, wanted: Iterable[str]) -> bool:
        """Whether one of these tags or exam keys names this exam."""
        return any(each == self.key or each in self.tags for each in wanted)


@dataclass(frozen=True, slots=True)
class Agent:
    """A contrast agent; `strengths` in mg I/ml, `ml_per_kg` one labelled dose, `group` by ACR for gadolinium."""

    key: str
    contrast: str
    names: tuple[str, ...]
    strengths: tuple[int, ...] = ()
    ml_per_kg: float = 0
    group: int = 0


@dataclass(frozen=True, slots=True)
class Expected:
    """One answer that counts: of one of these kinds ("later" is a time), about one of these topics."""

    answers: frozenset[str]
    topics: frozenset[str]


@dataclass(frozen=True, slots=True)
class Case:
    """How an order of a class is made: `make` holds the fields as the table gives them."""

    id: str
    exams: tuple[str, ...]
    make: Mapping[str, Any]
    expected: tuple[Expected, ...] = ()
    tolerated: frozenset[str] = frozenset()
    weight: float = 1
    held_out: bool = False


@dataclass(frozen=True, slots=True)
class ErrorClass:
    """One way to get a contrast order wrong, with its share of all orders and its source."""

    id: str
    group: str
    zh: str
    en: str
    wrong: str
    share: float
    booking_fails: float
    harm: str
    source: str
    expected: tuple[Expected, ...]
    cases: tuple[Case, ...]


@dataclass(frozen=True, slots=True)
class Materials:
    """All tables at once."""

    exams: Mapping[str, Exam]
    agents: Mapping[str, Agent]
    classes: tuple[ErrorClass, ...]
    near_misses: tuple[Case, ...]
    harmless: tuple[Case, ...]
    ordinary: Mapping[str, tuple[str, ...]]
    topics: Mapping[str, tuple[str, ...]]
    generic: frozenset[str]
    always: frozenset[str]


@cache
def materials() -> Materials:
    """Everything, with what was set aside marked `held_out`."""
    tables = {name: _read(name) for name in ("exams", "error_classes", "near_misses", "phrasings", "held_out")}
    aside = tables["held_out"]
    classes = tables["error_classes"]
    written = [*tables["phrasings"]["phrasings"], *aside["phrasings"]]
    return Materials(
        exams={key: _exam(key, row) for key, row in tables["exams"]["exams"].items()},
        agents={key: _agent(key, row) for key, row in tables["exams"]["agents"].items()},
        classes=tuple(_class(row, aside["cases"], written) for row in classes["classes"]),
        near_misses=tuple(_case(row) for row in [*tables["near_misses"]["near_misses"], *aside["near_misses"]]),
        harmless=tuple(_phrases(written, "")),
        ordinary={part: tuple(texts) for part, texts in tables["phrasings"]["ordinary"].items()},
        topics={topic: tuple(words) for topic, words in classes["topics"].items()},
        generic=frozenset(classes["generic"]["topics"]),
        always=frozenset(classes["always"]["topics"]),
    )


def _read(name: str) -> dict[str, Any]:
    return tomllib.loads((HERE / f"{name}.toml").read_text("utf-8"))


def _exam(key: str, row: Mapping[str, Any]) -> Exam:
    lists: dict[str, Any] = {name: tuple(value) for name, value in row.items() if isinstance(value, list)}
    return Exam(key=key, **{**row, **lists, "tags": frozenset(row["tags"])})


def _agent(key: str, row: Mapping[str, Any]) -> Agent:
    lists = {"names": tuple(row["names"]), "strengths": tuple(row.get("strengths", ()))}
    return Agent(key=key, **{**row, **lists})


def _class(row: Mapping[str, Any], aside: Sequence[Mapping[str, Any]], written: Sequence[Mapping[str, Any]]) -> ErrorClass:
    own = [*row.get("cases", ()), *(each for each in aside if each["class"] == row["id"])]
    cases = [*(_case(each) for each in own), *_phrases(written, row["id"])]
    rest = {name: value for name, value in row.items() if name not in ("cases", "expected")}
    return ErrorClass(expected=_expected(row), cases=tuple(cases), **rest)


def _case(row: Mapping[str, Any]) -> Case:
    return Case(
        id=row["id"],
        exams=tuple(row["exams"]),
        make=row,
        expected=_expected(row),
        tolerated=frozenset(row.get("tolerated", ())),
        weight=row.get("weight", 1),
        held_out=row.get("held_out", False),
    )


def _phrases(written: Sequence[Mapping[str, Any]], error: str) -> Iterator[Case]:
    """Each phrasing as a case of its class; a named `entry` agent is coded in the order."""
    for block in written:
        for text in block["texts"] if block["error"] == error else ():
            entry = {"entry": {"agent": [block["entry"]], "where": "order"}} if "entry" in block else {}
            yield _case({**block, **entry, "id": text, "notes": [text]})


def _expected(row: Mapping[str, Any]) -> tuple[Expected, ...]:
    return tuple(Expected(frozenset(each["answers"]), frozenset(each["topics"])) for each in row.get("expected", ()))
