"""Clinical context from other systems: asked before the rules are. What does not answer stays unknown."""

from __future__ import annotations

import json
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Protocol

from examlane.capacity.catalogue import Catalogue
from examlane.domain import Fact
from examlane.orders import patients
from examlane.orders.patients import Identifier
from examlane.records import audit
from examlane.records.audit import SYSTEM
from examlane.storage.database import Database
from examlane.storage.fields import dump, epoch, instant, maybe_epoch
from examlane.storage.ledger import PastExamination

LATER = timedelta(minutes=5)
"""How far two systems' clocks may differ."""
AT_ONCE = 4
"""Calls of one provider at the same time: one that hangs holds these and no others."""
LONGEST = timedelta(hours=24)
CONFIGURED = """SELECT code, kind, address, facts, history, limit_ms, cache_minutes FROM context_provider
WHERE enabled = 1 ORDER BY code"""
KNOWN = """SELECT name, value, observed_at, source, recorded_at FROM patient_fact WHERE patient_id = ?
ORDER BY coalesce(observed_at, recorded_at), id"""
OPEN_ORDERS = """SELECT DISTINCT o.id, o.context, o.ordered_at FROM order_item oi JOIN exam_order o ON o.id = oi.order_id
JOIN exam_item i ON i.id = oi.item_id JOIN department d ON d.id = i.department_id WHERE oi.patient_id = ?
AND oi.state NOT IN ('cancelled', 'fulfilled') AND d.mode <> 'external' AND oi.release <> 'external'"""
IDENTIFIERS = "SELECT kind, value FROM patient_identifier WHERE patient_id = ? ORDER BY id"
ANSWERED = "SELECT provider, answered_at FROM context_answer WHERE patient_id = ?"
KEEP_FACT = """INSERT INTO patient_fact (patient_id, name, value, observed_at, source, recorded_at) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (patient_id, name, source) DO UPDATE SET value = excluded.value, observed_at = excluded.observed_at,
recorded_at = excluded.recorded_at RETURNING id"""
KEEP_ANSWER = """INSERT INTO context_answer (patient_id, provider, answered_at) VALUES (?, ?, ?)
ON CONFLICT (patient_id, provider) DO UPDATE SET answered_at = excluded.answered_at RETURNING id"""
HAD = "SELECT 1 FROM past_examination WHERE patient_id = ? AND item_id = ? AND start_at = ? AND source = ?"


@dataclass(frozen=True, slots=True)
class Past:
    """An exam that a provider says a patient has had."""

    item: str
    starts_at: datetime
    ends_at: datetime


class ContextProvider(Protocol):
    """A system that knows facts of patients. It raises `Unanswered`, `OSError` or `ValueError` instead of guessing."""

    def facts(self, identifiers: Sequence[Identifier], names: Sequence[str]) -> Mapping[str, Fact]:
        """Those of the named facts that are known of the patient with these identifiers, each with its time."""
        ...

    def examinations(self, identifiers: Sequence[Identifier]) -> Sequence[Past]:
        """The exams he has had, where the system knows of any."""
        ...


class Unanswered(Exception):
    """Why a provider's answer cannot be used, as a short code without personal data."""


@dataclass(frozen=True, slots=True)
class Config:
    """How one provider is asked: `facts` maps names to number, flag or text; `limit` is in seconds."""

    code: str
    kind: str
    address: str
    facts: tuple[tuple[str, str], ...]
    history: bool
    limit: float
    cache: timedelta


@dataclass(frozen=True, slots=True)
class Gathered:
    """What the providers said: facts and exams by provider, and whoever did not answer, with the reason."""

    facts: Mapping[str, Mapping[str, Fact]] = field(default_factory=dict)
    exams: Mapping[str, Sequence[Past]] = field(default_factory=dict)
    unanswered: Sequence[tuple[str, str]] = ()

    @property
    def known(self) -> dict[str, Fact]:
        """All facts, the newest of each name."""
        found: dict[str, Fact] = {}
        for answer in self.facts.values():
            found = dict(newest(found, answer))
        return found


class Breaker(Protocol):
    """Says whether a provider may be asked, and learns how it went."""

    def admits(self) -> bool: ...

    def note(self, succeeded: bool) -> bool: ...


Connect = Callable[[Config], ContextProvider]
"""Makes a provider of one kind, as it is configured."""


class _Line:
    """One configured provider with its breaker and the calls that are under way."""

    def __init__(self, provider: ContextProvider, breaker: Breaker) -> None:
        self.provider = provider
        self.breaker = breaker
        self.free = threading.BoundedSemaphore(AT_ONCE)


class _Call:
    """One question in a thread of its own, so that who waits may stop waiting."""

    def __init__(self, line: _Line, config: Config, identifiers: Sequence[Identifier], names: Sequence[str]) -> None:
        self._line = line
        self._asked = (config, identifiers, names)
        self._done = threading.Event()
        self._outcome: tuple[Mapping[str, Fact], Sequence[Past], str] = ({}, (), "late")

    def start(self) -> _Call:
        if not self._line.free.acquire(blocking=False):
            self._outcome = ({}, (), "busy")
            self._done.set()
            return self
        threading.Thread(target=self._run, daemon=True, name="examlane-context").start()
        return self

    def outcome(self, seconds: float) -> tuple[Mapping[str, Fact], Sequence[Past], str]:
        return self._outcome if self._done.wait(seconds) else ({}, (), "late")

    def _run(self) -> None:
        config, identifiers, names = self._asked
        try:
            facts = self._line.provider.facts(identifiers, names) if names else {}
            exams = self._line.provider.examinations(identifiers) if config.history else ()
            self._outcome = (facts, exams, "")
        except Unanswered as error:
            self._outcome = ({}, (), str(error)[:48])
        except Exception as error:  # noqa: BLE001 - whatever a foreign system does to us, the fact stays unknown
            self._outcome = ({}, (), "unreachable" if isinstance(error, OSError) else "failed")
        finally:
            self._line.free.release()
            self._done.set()


class Providers:
    """The providers of one hospital, asked as its table says; made for each kind by what the application brings."""

    def __init__(self, kinds: Mapping[str, Connect], breaker: Callable[[], Breaker]) -> None:
        self._kinds = kinds
        self._breaker = breaker
        self._lines: dict[Config, _Line] = {}
        self._lock = threading.Lock()
        self.unanswered: Counter[tuple[str, str]] = Counter()
        """How often a provider did not answer, by reason, since this process began."""

    def configured(self, database: Database) -> list[Config]:
        """The providers that may be asked now."""
        if not self._kinds:
            return []
        return [_config(*row) for row in database.rows(CONFIGURED) if row[1] in self._kinds]

    def complete(self, database: Database, catalogue: Callable[[], Catalogue], patient: int, now: datetime) -> None:
        """Ask for what is not known freshly enough of a patient with open orders, and keep it. Outside transactions."""
        configs = self.configured(database)
        orders = database.rows(OPEN_ORDERS, patient) if configs else []
        if not orders:
            return
        known = [Fact(None, instant(row[4]), row[0]) for row in database.rows(KNOWN, patient)]
        known += [
            Fact(None, instant(fact["observed_at"] or ordered_at), name)
            for _, context, ordered_at in orders
            for name, fact in json.loads(context).items()
        ]
        wanted = _wanted(database, configs, patient, known, now)
        if not wanted:
            return
        found = self.gather(wanted, [Identifier(*row) for row in database.rows(IDENTIFIERS, patient)], now)
        if found.facts or found.exams or found.unanswered:
            database.write(lambda: _keep(database, catalogue(), patient, found, now))

    def look_up(
        self, database: Database, patient: int, identifiers: Sequence[Identifier], known: Mapping[str, Fact], now: datetime
    ) -> Gathered:
        """Ask for what is not known freshly enough of a patient, who may be unknown here (0), and keep nothing."""
        fresh = [Fact(None, fact.observed_at, name) for name, fact in known.items()]
        wanted = _wanted(database, self.configured(database), patient, fresh, now)
        return self.gather(wanted, identifiers, now)

    def gather(self, wanted: Mapping[Config, Sequence[str]], identifiers: Sequence[Identifier], now: datetime) -> Gathered:
        """Ask all at the same time, each within its limit; answers are checked, and what makes no sense is unknown."""
        started = time.monotonic()
        asked = []
        for config, names in wanted.items():
            line = self._line(config)
            if line is not None and line.breaker.admits():
                asked.append((config, names, line, _Call(line, config, identifiers, names).start()))
        facts, exams, unanswered = {}, {}, []
        for config, names, line, call in asked:
            told, done, failure = call.outcome(max(0.0, started + config.limit - time.monotonic()))
            if not failure:
                facts[config.code], nonsense = _facts(told, dict(config.facts), names, now)
                exams[config.code], strange = _exams(done, now)
                failure = nonsense or strange
            if failure != "busy":
                line.breaker.note(not failure)
            if failure:
                unanswered.append((config.code, failure))
        self.unanswered.update(unanswered)
        return Gathered(facts, exams, unanswered)

    def _line(self, config: Config) -> _Line | None:
        with self._lock:
            if config not in self._lines:
                try:
                    self._lines[config] = _Line(self._kinds[config.kind](config), self._breaker())
                except Exception:  # noqa: BLE001 - an address that cannot be used stops nobody's booking
                    self.unanswered[config.code, "cannot be used"] += 1
                    return None
            return self._lines[config]


def _config(code: str, kind: str, address: str, facts: str, history: int, limit_ms: int, minutes: int) -> Config:
    named = tuple(sorted(json.loads(facts).items()))
    return Config(code, kind, address, named, bool(history), limit_ms / 1000, timedelta(minutes=minutes))


def _wanted(
    database: Database, configs: Sequence[Config], patient: int, known: Sequence[Fact], now: datetime
) -> dict[Config, list[str]]:
    """Whom to ask, and for what: those that have not answered within their cache age, for what nobody told since."""
    answered: dict[str, int] = dict(database.rows(ANSWERED, patient)) if configs and patient else {}
    due = [each for each in configs if answered.get(each.code, 0) <= epoch(now - each.cache)]
    names = {each: _missing(each, known, now) for each in due}
    return {each: wanted for each, wanted in names.items() if wanted or each.history}


def _missing(config: Config, known: Iterable[Fact], now: datetime) -> list[str]:
    """The facts of a provider that nobody has told within its cache age (those given are named by their source)."""
    since = now - config.cache
    fresh = {fact.source for fact in known if fact.observed_at and fact.observed_at > since}
    return [name for name, _ in config.facts if name not in fresh]


# What is known


def known_facts(database: Database, patient: int) -> Mapping[str, Fact]:
    """What is known of a patient whatever is ordered: of each fact the newest, observed at the latest when it was told."""
    return {
        name: Fact(json.loads(value), instant(observed_at or recorded_at), source)
        for name, value, observed_at, source, recorded_at in database.rows(KNOWN, patient)
    }


def newest(facts: Mapping[str, Fact], others: Mapping[str, Fact], at: datetime | None = None) -> Mapping[str, Fact]:
    """Of each fact the newest of two sources; the first one's count as observed at `at` where they do not say when."""
    if not others:
        return facts
    merged = dict(facts)
    for name, fact in others.items():
        own = merged.get(name)
        when = own and (own.observed_at or at)
        if own is None or (when and fact.observed_at and fact.observed_at > when):
            merged[name] = fact
    return MappingProxyType(merged)


# Checking and keeping


def _facts(told: Any, kinds: Mapping[str, str], asked: Sequence[str], now: datetime) -> tuple[dict[str, Fact], str]:
    """The facts that make sense, and what is wrong with the others."""
    if not isinstance(told, Mapping):
        return {}, "nonsense"
    known = {name: told[name] for name in asked if told.get(name) is not None}
    good = {name: fact for name, fact in known.items() if _makes_sense(fact, kinds[name], now)}
    return good, "" if len(good) == len(known) else "nonsense"


def _makes_sense(fact: Any, kind: str, now: datetime) -> bool:
    if not isinstance(fact, Fact) or not _is_past(fact.observed_at, now):
        return False
    value = fact.value
    if kind == "flag":
        return isinstance(value, bool)
    if kind == "number":
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and abs(value) < 1e6
    return isinstance(value, str) and 0 < len(value) <= 200 and value.isprintable()


def _is_past(when: Any, now: datetime) -> bool:
    """Whether an instant is one, with its offset, and not to come. A fact without its time could be of any age."""
    return isinstance(when, datetime) and when.tzinfo is not None and when.year > 1900 and when <= now + LATER


def _exams(told: Any, now: datetime) -> tuple[list[Past], str]:
    if not isinstance(told, Sequence):
        return [], "nonsense"
    good = [
        exam
        for exam in told
        if isinstance(exam, Past) and _is_past(exam.starts_at, now) and _is_past(exam.ends_at, now + LONGEST)
        if timedelta() < exam.ends_at - exam.starts_at <= LONGEST
    ]
    return good, "" if len(good) == len(told) else "nonsense"


def _keep(database: Database, catalogue: Catalogue, patient: int, found: Gathered, now: datetime) -> None:
    patients.touch(database, patient)
    at = epoch(now)
    for provider, facts in found.facts.items():
        for name, fact in facts.items():
            observed = maybe_epoch(fact.observed_at)
            database.rows(KEEP_FACT, patient, name, dump(fact.value), observed, provider, at)
        for exam in found.exams.get(provider, ()):
            _keep_exam(database, catalogue, patient, provider, exam)
        database.rows(KEEP_ANSWER, patient, provider, at)
    for provider, reason in found.unanswered:
        audit.record(database, SYSTEM, "context.unanswered", "provider", provider, at, reason=reason)


def _keep_exam(database: Database, catalogue: Catalogue, patient: int, provider: str, exam: Past) -> None:
    if not catalogue.knows(exam.item):  # what we do not know stands in no distance to ours
        return
    item = catalogue.item_id(exam.item)
    start, end = epoch(exam.starts_at), epoch(exam.ends_at)
    if not database.row(HAD, patient, item, start, provider):
        database.insert(PastExamination, patient=patient, item=item, start_at=start, end_at=end, source=provider)
