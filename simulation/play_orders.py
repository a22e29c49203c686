"""Contrast orders through the hospital: what becomes of every error, and what is asked of orders that are right."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from examlane import EncounterClass, Fact, Finding, FindingKind
from examlane.orders.intake import OrderData
from simulation import intake
from simulation.contrast_orders import MONDAY, ContrastOrder, stream
from simulation.materials import materials
from simulation.people import creatinine_umol_l
from simulation.playing import CAMPUS, ORDERING, Progress, Stage, approvals, confirming, opened, ready
from simulation.verdict import STOPPING, Verdict, judge, topics

STOPPED, FILLED, LATER, NOT_BOOKED = "before signing", "by fill", "by the time booked", "not booked"
HINTED, OVERRIDDEN = "by a hint that is enough", "urgent: with a reason"
SHOWN, MISSED, RIGHT = "shown only", "missed", "right"
NOTICED = (STOPPED, FILLED, HINTED, OVERRIDDEN, LATER, NOT_BOOKED)
REFUSING = ("rejected", "needs_confirmation", "needs_approval", "unverified")


@dataclass(frozen=True, slots=True)
class Played:
    """One order: how its error ended (`RIGHT` if it has none), what was answered, and what was booked.

    `unexplained`: stopped without a finding that names its rule and its source.
    """

    order: ContrastOrder
    end: str
    verdict: Verdict
    findings: tuple[Finding, ...]
    unexplained: bool
    reason: str
    starts_at: datetime | None


def play(orders: int, seed: int, held_out: bool, progress: Progress) -> list[Played]:
    """Play a stream through a new hospital."""
    made = stream(seed, orders, held_out)
    with tempfile.TemporaryDirectory() as folder:
        stage = opened(Path(folder), ready(MONDAY))
        try:
            return list(_play(stage, made, progress))
        finally:
            stage.hospital.close()


def _play(stage: Stage, made: Sequence[ContrastOrder], progress: Progress) -> list[Played]:
    played = []
    for index, order in enumerate(made, 1):
        stage.at(order.ordered_at)
        for other, each in intake.other_exams(order, ORDERING, CAMPUS):
            stage.remember(other, each.starts_at, each.ends_at)
        played.append(_one(stage, order))
        if index % 50 == 0 or index == len(made):
            progress(f"orders {index}/{len(made)}")
    return played


def _one(stage: Stage, order: ContrastOrder) -> Played:
    """The doctor tries, corrects what he is shown to be wrong, answers the rest, and signs; the patient pays."""
    written = intake.contrast_order(order, ORDERING, CAMPUS)
    dry = stage.dry_run(written)
    findings = dry.findings
    early = _before_booking(order, findings)
    unexplained = dry.state in REFUSING and not _explained(findings)
    if early == STOPPED:
        return Played(order, early, judge(order, findings), findings, unexplained, "rewritten", None)
    reason, starts_at = _signed(stage, _answered(order, written, findings, stage.clock.now()))
    verdict = judge(order, findings, starts_at)
    end = early or _after_booking(order, verdict, reason, starts_at)
    return Played(order, end, verdict, findings, unexplained, reason, starts_at)


def _before_booking(order: ContrastOrder, findings: Sequence[Finding]) -> str:
    """Whether the dry run alone tells the doctor; a delay is believed only when the booking keeps it."""
    if not order.truth.error:
        return RIGHT
    stops = [each for each in findings if each.kind in STOPPING and each.kind is not FindingKind.DELAY_UNTIL]
    fills = [each for each in findings if each.kind is FindingKind.FILL]
    if judge(order, stops).caught:
        return STOPPED
    if judge(order, fills).caught:
        return FILLED
    hints = [each for each in findings if each.kind is FindingKind.HINT]
    if judge(order, hints).caught:
        return HINTED
    return OVERRIDDEN if any(_overridden(order, each) for each in findings) else ""


def _overridden(order: ContrastOrder, finding: Finding) -> bool:
    """Whether an urgent order goes on although the doctor was asked about its error, with his reason on record."""
    wanted = {topic for each in order.truth.expected for topic in each.topics}
    return finding.kind is FindingKind.CONFIRM and finding.needs_reason and bool(topics(materials(), finding) & wanted)


def _after_booking(order: ContrastOrder, verdict: Verdict, reason: str, starts_at: datetime | None) -> str:
    safe = order.truth.safe_from
    if starts_at is None and verdict.shown and safe is not None:
        return NOT_BOOKED
    if starts_at is not None and verdict.caught and (safe is None or starts_at >= safe):
        return LATER
    return SHOWN if verdict.shown else MISSED


def _explained(findings: Sequence[Finding]) -> bool:
    stops = [each for each in findings if each.kind in STOPPING]
    return bool(stops) and all(each.rule and each.source for each in stops)


def _answered(order: ContrastOrder, written: OrderData, findings: Sequence[Finding], now: datetime) -> OrderData:
    """Questions are answered with the truth: what may be confirmed is confirmed, what is missing is looked up."""
    confirmed = confirming(written, findings)
    if not any(each.kind is FindingKind.BLOCK for each in findings):
        return confirmed
    who = order.person
    egfr = creatinine_umol_l(who.egfr, who.age, who.sex)
    known = {**who.conditions, "weight_kg": who.weight_kg, "height_cm": who.height_cm, "creatinine_umol_l": egfr}
    looked_up = {name: Fact(value, now, "EMR") for name, value in known.items()}
    return replace(confirmed, context={**written.context, **looked_up})


def _signed(stage: Stage, order: OrderData) -> tuple[str, datetime | None]:
    """Submitted, approved where that is asked, and paid where that is due: the reason, and the time booked."""
    item = stage.submit(order)
    if item.state == "needs_confirmation":
        # Facts that were looked up may lead to a question of their own.
        order = confirming(order, stage.dry_run(order).findings)
        item = stage.submit(order)
    if item.state == "needs_approval":
        for each in approvals(order, stage.dry_run(order).findings, stage.clock.now()):
            stage.report(each)
    if order.encounter.encounter_class is EncounterClass.OUTPATIENT and stage.status(order.number).payable:
        stage.pay(order.number)
    item = stage.status(order.number)
    return item.reason or item.state, item.appointment.starts_at if item.appointment else None
