"""试算: which orders of the last weeks other rules would have decided differently. It reads only and has no effect.

Each order is put to the plugin twice as it stood when it was written, once with the rules that count today and once
with the changed ones. Asked are findings, gates and preparation; requirements, distances and times are not tried.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from examlane.capacity.catalogue import Catalogue
from examlane.domain import (
    EvidenceView,
    Finding,
    GateAnswer,
    GateClosed,
    OrderItemView,
    OrderView,
    PatientView,
    Preparation,
    Sex,
    Text,
)
from examlane.errors import NotFound
from examlane.extension import answers
from examlane.extension import rules as kept_rules
from examlane.extension.dispatch import Budget, Dispatcher
from examlane.extension.rollout import Link, Rollout
from examlane.hospital import Hospital
from examlane.orders import snapshot
from examlane.planning.judging import state_of
from examlane.rulebase import files
from examlane.rulebase.files import Version
from examlane.rulebase.rules import RuleBook
from examlane.storage.fields import epoch, maybe_day

DAYS = 30
LIMIT = 2000
"""How many orders one trial replays at most, the newest first, unless it is told otherwise."""
SHOWN = 200
HOOKS = ("validate_order", "pre_booking_gate", "preparation")
GONE = Text("项目已停用", "an item is no longer offered")
UNREADABLE = Text("申请单数据不可读", "the stored order cannot be read")
BOTH_FAIL = Text("现行与修改后的规则均未能回答", "the plugin answers neither with today's rules nor with the changed ones")

OF_DEPARTMENTS = """o.ordered_at >= ? AND o.ordered_at <= ? AND EXISTS (SELECT 1 FROM order_item oi
JOIN exam_item i ON i.id = oi.item_id JOIN department d ON d.id = i.department_id
WHERE oi.order_id = o.id AND d.code IN ({marks}))"""
COUNT = f"SELECT count(*) FROM exam_order o WHERE {OF_DEPARTMENTS}"
ORDERS = f"SELECT o.id FROM exam_order o WHERE {OF_DEPARTMENTS} ORDER BY o.ordered_at DESC, o.id DESC LIMIT ?"
ORDER = """SELECT p.id, p.sex, p.birth_date, p.out_of_town, o.number, o.ordering_department, o.priority, o.context,
o.note, o.ordered_at, e.number, e.encounter_class, e.ward, e.campus, e.needs FROM exam_order o
JOIN encounter e ON e.id = o.encounter_id JOIN patient p ON p.id = o.patient_id WHERE o.id = ?"""
ITEMS = """SELECT oi.key, oi.confirmed, i.code FROM order_item oi JOIN exam_item i ON i.id = oi.item_id
WHERE oi.order_id = ? ORDER BY oi.line"""

Progress = Callable[[int, int], None]
"""Told after each order how many of how many are done."""


@dataclass(frozen=True, slots=True)
class Said:
    """One thing that the rules say of an item: which kind of thing, its code, its words, and what else counts."""

    kind: str
    code: str
    text: Text
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """What is decided of an item, and why: `state` as in `judging.py`, or awaiting_gate."""

    state: str
    said: tuple[Said, ...] = ()

    @property
    def essence(self) -> tuple[Any, ...]:
        """What makes two decisions the same: other words alone decide nothing differently."""
        return self.state, sorted((one.kind, one.code, one.detail) for one in self.said)


@dataclass(frozen=True, slots=True)
class Difference:
    """An item of an order that would have been decided differently; nothing in it names a patient."""

    order: str
    item: str
    name: Text
    ordered_at: datetime
    before: Decision
    after: Decision


@dataclass
class Trial:
    """What a change would have done: of all `orders` of the period `replayed` were tried, so many items of them."""

    since: datetime
    until: datetime
    orders: int = 0
    replayed: int = 0
    items: int = 0
    different: int = 0
    shown: list[Difference] = field(default_factory=list)
    left_out: Counter[Text] = field(default_factory=Counter)
    """Items that could not be replayed, by the reason."""


@dataclass(frozen=True, slots=True)
class Change:
    """What is tried: versions in place of those that count today, and profiles in place of those chosen."""

    plugin: str
    versions: Sequence[Version] = ()
    profiles: Mapping[str, str] = field(default_factory=dict)


def run(
    hospital: Hospital, change: Change, *, days: int = DAYS, limit: int = LIMIT,
    progress: Progress = lambda done, of: None,
) -> Trial:  # fmt: skip
    """Replay the orders of the last days with a changed rule or profile.

    Raises `NotFound` for a plugin that is not loaded, or for a profile there is not.
    """
    until = hospital.clock.now()
    trial = Trial(until - timedelta(days=days), until)
    version = hospital.database.value("SELECT value FROM setting WHERE name = 'rollout'") or 0
    today = hospital.rollouts.at(version, until)
    changed = today.with_rules({change.plugin: changed_book(hospital, today, change)})
    departments = tuple(today.placed(change.plugin))
    if not departments:
        return trial
    sides = [_Side(hospital, rollout.placed(change.plugin)) for rollout in (today, changed)]
    with closing(sides[0]), closing(sides[1]):
        _replay_all(hospital, trial, departments, sides, limit, progress)
    return trial


def changed_book(hospital: Hospital, today: Rollout, change: Change) -> RuleBook:
    """Today's rules with the change in them, whenever it is to begin."""
    plugin = hospital.plugins.loaded.get(change.plugin)
    if plugin is None:
        raise NotFound("plugin", change.plugin)
    for choice, profile in change.profiles.items():
        if choice not in plugin.rules.choices or profile not in plugin.rules.choices[choice].profiles:
            raise NotFound("profile", f"{change.plugin} {choice} {profile}")
    kept = kept_rules.kept(hospital.database)
    chosen = {**kept.chosen.get(change.plugin, {}), **change.profiles}
    tried = [replace(version, valid_from=today.day, valid_to=None) for version in change.versions]
    return files.book([*kept.of(change.plugin, plugin.rules), *tried], plugin.rules.choices, chosen, today.day)


def _replay_all(
    hospital: Hospital, trial: Trial, departments: Sequence[str], sides: Sequence[_Side], limit: int, progress: Progress
) -> None:
    database = hospital.database
    marks = ", ".join("?" for _ in departments)
    period = (epoch(trial.since), epoch(trial.until), *departments)
    trial.orders = database.value(COUNT.format(marks=marks), *period)
    found = database.rows(ORDERS.format(marks=marks), *period, limit)
    for done, (order,) in enumerate(found, 1):
        _replay(hospital, trial, order, departments, sides)
        progress(done, len(found))
    trial.replayed = len(found)


def _replay(hospital: Hospital, trial: Trial, order: int, departments: Sequence[str], sides: Sequence[_Side]) -> None:
    try:
        asked = _Asked.read(hospital, order)
    except (ValueError, KeyError, TypeError):
        trial.left_out[UNREADABLE] += 1
        return
    trial.left_out[GONE] += asked.gone
    for department, part in asked.by_department().items():
        if department not in departments:
            continue
        before, after = (side.decisions(department, part, asked) for side in sides)
        for item in part.items:
            _compare(trial, asked, item, before[item.key], after[item.key])
    trial.left_out = +trial.left_out


def _compare(trial: Trial, asked: _Asked, item: OrderItemView, before: Decision, after: Decision) -> None:
    if before.state == after.state == "unverified":
        trial.left_out[BOTH_FAIL] += 1
        return
    trial.items += 1
    if before.essence == after.essence:
        return
    trial.different += 1
    if len(trial.shown) < SHOWN:
        order = asked.order
        trial.shown.append(Difference(order.number, item.key, item.item.name, order.ordered_at, before, after))


@dataclass(frozen=True)
class _Asked:
    """An order as it stood when it was written, with what was known of its patient then."""

    order: OrderView
    patient: PatientView
    evidence: tuple[EvidenceView, ...]
    gone: int

    @classmethod
    def read(cls, hospital: Hospital, order: int) -> _Asked:
        row = hospital.database.row(ORDER, order)
        assert row is not None
        key, sex, birth_date, out_of_town, *columns = row
        patient = PatientView(key, Sex(sex), maybe_day(birth_date), bool(out_of_town))
        view = snapshot.order_view(*columns)
        rows = hospital.database.rows(ITEMS, order)
        catalogue = hospital.catalogues.current()
        items = [item for row in rows if (item := _item(catalogue, patient, view, *row)) is not None]
        evidence = snapshot.evidence_of(hospital.database, key, epoch(view.ordered_at))
        return cls(replace(view, items=tuple(items)), patient, evidence, len(rows) - len(items))

    def by_department(self) -> dict[str, OrderView]:
        parts: dict[str, list[OrderItemView]] = defaultdict(list)
        for item in self.order.items:
            parts[item.item.department].append(item)
        return {department: replace(self.order, items=tuple(items)) for department, items in parts.items()}


def _item(
    catalogue: Catalogue, patient: PatientView, order: OrderView, key: str, confirmed: str, code: str
) -> OrderItemView | None:
    """The item as it was sent, without what rules filled in since; None when it is no longer offered."""
    try:
        item = catalogue.item(code)
    except NotFound:
        return None
    day = catalogue.calendar.day_of(order.ordered_at)
    services = catalogue.offered(code, patient, order.encounter, order.known("weight_kg"), day)
    return OrderItemView(key, item, services, confirmed=json.loads(confirmed))


class _Side:
    """One of the two rule books: asks with breakers of its own, so that a trial never closes a live department."""

    def __init__(self, hospital: Hospital, links: Mapping[str, Link]) -> None:
        settings = hospital.settings
        self._links = links
        self._seconds = settings.booking_seconds
        self._dispatcher = Dispatcher(settings.hook_seconds, thread_ends=hospital.database.close)

    def close(self) -> None:
        self._dispatcher.close()

    def decisions(self, department: str, order: OrderView, asked: _Asked) -> dict[str, Decision]:
        """What this book decides of each item of a department."""
        budget = Budget(self._seconds)
        said = {hook: self._ask(department, hook, order, asked, budget) for hook in HOOKS}
        if failed := [text for _, text in said.values() if text]:
            closed = Decision("unverified", (Said("failure", "unverified", Text(failed[0], failed[0])),))
            return {item.key: closed for item in order.items}
        found = {hook: value for hook, (value, _) in said.items()}
        return {item.key: _decision(item, found, asked.evidence) for item in order.items}

    def _ask(self, department: str, hook: str, order: OrderView, asked: _Asked, budget: Budget) -> tuple[Any, str]:
        link = self._links[department]
        if hook not in link.plugin.hooks:
            return (), ""
        arguments = {
            "order": order, "patient": asked.patient, "evidence": asked.evidence, "now": order.ordered_at,
            "items": order.items, "context": order.context, **link.handed,
        }  # fmt: skip
        check = _checks([item.key for item in order.items])[hook]
        answer = self._dispatcher.ask(link.plugin, hook, department, arguments, check, budget, link.problem)
        return answer.value, answer.failure


def _checks(keys: Sequence[str]) -> dict[str, Any]:
    return {
        "validate_order": answers.about(answers.findings, keys),
        "pre_booking_gate": answers.about(answers.gates, keys),
        "preparation": answers.preparation,
    }


def _decision(item: OrderItemView, found: Mapping[str, Any], evidence: Sequence[EvidenceView]) -> Decision:
    findings = [finding for finding in found["validate_order"] if finding.item == item.key]
    gates = [gate for gate in found["pre_booking_gate"] if gate.item == item.key]
    state = state_of(findings, item.confirmed, evidence)
    if state == "accepted" and any(isinstance(gate, GateClosed) for gate in gates):
        state = "awaiting_gate"
    said = [*_of_findings(findings), *_of_gates(gates), *_of_preparation(found["preparation"])]
    return Decision(state, tuple(said))


def _of_findings(findings: Iterable[Finding]) -> Iterable[Said]:
    for one in findings:
        detail = f"{one.field} {one.value} {one.until} {one.needs_reason}"
        yield Said(one.kind.value, one.code, one.text, detail)


def _of_gates(gates: Iterable[GateAnswer]) -> Iterable[Said]:
    for one in gates:
        if isinstance(one, GateClosed):
            yield Said("gate", one.code, one.reason, f"{one.kind} {one.payable}")
        elif one.until is not None:
            yield Said("gate", one.kind, Text("有效期", "open until"), f"{one.until}")


def _of_preparation(steps: Iterable[Preparation]) -> Iterable[Said]:
    for one in steps:
        yield Said("preparation", one.code, one.text, f"{one.lead} {one.fasting_hours}")
