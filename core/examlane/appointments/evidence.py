"""What was decided and on what, as the tables and the interfaces carry it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from examlane.domain import Finding, GateClosed, Preparation
from examlane.planning.planner import Plan, PlannedVisit


def of_visit(plan: Plan, visit: PlannedVisit) -> dict[str, Any]:
    """On what a visit was decided: plugins with versions, gates, findings' rules; kept with the version."""
    keys = {item.key for item in visit.items}
    verdicts = [verdict for verdict in plan.verdicts if verdict.item.key in keys]
    return {
        "plugins": sorted({f"{answer.plugin} {answer.version}" for answer in plan.trace if not answer.failure}),
        "failed": sorted({f"{answer.plugin} {answer.hook}" for answer in plan.trace if answer.failure}),
        "gates": [
            {"kind": gate.answer.kind, "until": _iso(gate.answer.until)}
            for verdict in verdicts
            for gate in verdict.gates
            if not isinstance(gate.answer, GateClosed)
        ],
        "rules": sorted({f"{f.rule} {f.rule_version}" for v in verdicts for f in v.findings if f.rule}),
        "rollout": plan.snapshot.rollout_version,
        "fallback": visit.fallback,
    }


def findings_as_data(findings: Iterable[Finding]) -> list[dict[str, Any]]:
    """Findings as the tables and the interfaces carry them."""
    return [_finding(finding) for finding in findings]


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "kind": finding.kind.value, "code": finding.code, "text": {"zh": finding.text.zh, "en": finding.text.en},
        "rule": finding.rule, "rule_version": finding.rule_version, "source": finding.source,
        "field": finding.field, "value": finding.value, "until": _iso(finding.until),
        "needs_reason": finding.needs_reason,
    }  # fmt: skip


def preparation_as_data(steps: Iterable[Preparation]) -> list[dict[str, Any]]:
    """What the patient must do, as the tables and the interfaces carry it."""
    return [_preparation(step) for step in steps]


def _preparation(step: Preparation) -> dict[str, Any]:
    return {
        "code": step.code, "text": {"zh": step.text.zh, "en": step.text.en}, "fasting_hours": step.fasting_hours,
        "lead_minutes": int(step.lead / timedelta(minutes=1)),
    }  # fmt: skip


def _iso(value: Any) -> str | None:
    return value.isoformat() if value is not None else None
