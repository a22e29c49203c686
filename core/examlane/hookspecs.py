"""The hooks, in the order they fire. These docstrings are the contract; `docs/hooks.md` shows each with an example.

A plugin implements any of them with `@hookimpl` and takes only the arguments it needs. It gets frozen values and
returns values: it owns no tables, and is never called inside a write transaction. Every hook may take `settings` (the
department's, through the plugin's `SettingsSchema`) and `rules` (the versions of its rule files that count today in the
hospital's profiles). Calls that raise, are late
(300 ms) or answer nonsense are set aside one by one; what that means is said at each hook.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import pluggy

from examlane.domain import (
    EvidenceView,
    Fact,
    Finding,
    GateAnswer,
    GroupView,
    IntervalRule,
    NoShow,
    NoShowDecision,
    OrderItemView,
    OrderView,
    PatientView,
    Preparation,
)
from examlane.rulebase.rules import RuleBook
from examlane.visit import Availability, BookingRequest, Infeasible, Proposal, Visit

PROJECT = "examlane"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def validate_order(
    order: OrderView,
    patient: PatientView,
    evidence: Sequence[EvidenceView],
    now: datetime,
    settings: Mapping[str, Any],
    rules: RuleBook,
) -> Sequence[Finding]:
    """Say what is wrong with an order, or fill in what it leaves open.

    Asked of the executing department with its items only, while the doctor writes (dry run) and when the order
    arrives. All answers are collected. An empty answer means: nothing to say.
    If it fails: closed. The item is stored `unverified`, is never booked automatically, and becomes a desk task.
    """
    raise NotImplementedError


@hookspec
def pre_booking_gate(
    order: OrderView,
    patient: PatientView,
    evidence: Sequence[EvidenceView],
    now: datetime,
    settings: Mapping[str, Any],
    rules: RuleBook,
) -> Sequence[GateAnswer]:
    """Say which conditions an item must meet before it may be paid and booked, and which of them are met.

    Asked of the executing department at submission, before payment, before booking and when evidence changes.
    All answers are collected; one closed gate closes its item, never the order's other items.
    It is asked again when the patient arrives, is called and is examined: a closed gate stops him, and so does, from
    the call on, an open one with `before_start`.
    If it fails: closed, not payable, with a desk task.
    """
    raise NotImplementedError


@hookspec
def interval_rules(
    patient: PatientView, context: Mapping[str, Fact], now: datetime, settings: Mapping[str, Any], rules: RuleBook
) -> Sequence[IntervalRule]:
    """Name the distances and the order between exams that the department wants kept, for this patient.

    Asked of every department that the request or the patient's other exams touch. All answers are collected, and
    the core enforces them across departments, in both directions, with the patient's history.
    If it fails: closed. That department's items are not booked automatically and become a desk task.
    """
    raise NotImplementedError


@hookspec
def requirements(
    orders: Sequence[OrderView],
    patient: PatientView,
    groups: Sequence[GroupView],
    evidence: Sequence[EvidenceView],
    now: datetime,
    settings: Mapping[str, Any],
    rules: RuleBook,
) -> Sequence[Visit] | None:
    """Turn a department's bookable items into visits: what is merged, which roles, how long, how early, how late.

    First answer counts; None leaves it to the next and at last to the core (one visit an item, at any group that
    offers it). Every item must be in exactly one visit, and every option must use groups of the answering department.
    If it fails: closed. The items are not booked automatically and become a desk task.
    """
    raise NotImplementedError


@hookspec
def preparation(
    items: Sequence[OrderItemView],
    patient: PatientView,
    context: Mapping[str, Fact],
    evidence: Sequence[EvidenceView],
    now: datetime,
    settings: Mapping[str, Any],
    rules: RuleBook,
) -> Sequence[Preparation]:
    """Say what the patient must do before a visit for these items, and how long that takes.

    All answers are collected. `lead` moves the earliest time; the texts are every slip, reminder and voice line.
    If it fails: the core's own text for fasting is used.
    """
    raise NotImplementedError


@hookspec
def allocate(
    request: BookingRequest, availability: Availability, settings: Mapping[str, Any], rules: RuleBook
) -> Sequence[Proposal] | Infeasible | None:
    """Propose when and at which group the visits of a request are held, best first.

    Asked of the ordering department with the whole request; what it declines, of executing departments; at last of
    the core's own earliest. First answer counts: None = not mine, `Infeasible` = mine and impossible. The core
    checks every proposal against requirements, gates and intervals, so a proposal can make a time worse but never
    break a rule.
    If it fails: open. The next is asked, at last the core's earliest, and the appointment is flagged `fallback`.
    """
    raise NotImplementedError


@hookspec
def on_no_show(no_show: NoShow, settings: Mapping[str, Any], rules: RuleBook) -> NoShowDecision | None:
    """Decide what becomes of a visit whose patient did not come: release, re-booking by the patient, or the desk.

    Asked of the executing department after its grace time; first answer counts, None leaves it to the desk. Asked
    again with `no_show.arrived` when the patient checks in after that time: SELF_REBOOK then gives him the next free
    place of today at once, anything else leads him to the desk.
    If it fails: a desk task, never a silent cancellation.
    """
    raise NotImplementedError
