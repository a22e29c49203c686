"""The injection: agent, dose, flow and cannula, from the protocol and the patient, or as the doctor wrote them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import floor
from typing import Any

from examlane import Finding, FindingKind, Rule, RuleBook, Text
from examlane_radiology import agents
from examlane_radiology.agents import Wanted
from examlane_radiology.case import Case


@dataclass(frozen=True, slots=True)
class Dose:
    """A volume (ml), the most and least that may be written, and whether the weight would want more than the cap."""

    volume: float | None
    most: float
    least: float = 0.0
    capped: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """What is filled in for an item; None where nothing can be said."""

    protocol: Rule | None
    agent: Rule | None
    dose: Dose | None
    flow: float | None


def facts(case: Case, plan: Plan) -> dict[str, Any]:
    """What the rules ask of the plan, and of what the doctor wrote."""
    parameters = plan.protocol.parameters if plan.protocol else {}
    agent = plan.agent.parameters if plan.agent else {}
    return {
        "protocol": plan.protocol.id.partition("protocol.")[2] if plan.protocol else "none",
        "by_weight": "per_kg" in parameters,
        "has_flow": "flow_ml_s" in parameters,
        "dose_capped": plan.dose is not None and plan.dose.capped and plan.dose.volume is not None,
        "volume_ml": plan.dose.volume if plan.dose else None,
        "volume_most": plan.dose.most if plan.dose else None,
        "volume_least": plan.dose.least if plan.dose else None,
        "agent_class": agent.get("class", "none"),
        "gadolinium_group": agent.get("group"),
        "concentration_from": parameters.get("concentration_from"),
        "concentration_to": parameters.get("concentration_to"),
        "flow_most": parameters.get("flow_most"),
        "flow_least": _least_flow(case, plan.protocol),
        **_written(case, plan),
        **_cannula(case, plan),
        **_reaction(case, plan),
    }


def plan(case: Case) -> Plan:
    """The agent that suits, the dose by weight, and the flow for adults."""
    if case.contrast == "none":
        return Plan(None, None, None, None)
    protocol = protocol_of(case)
    agent = agents.chosen(wanted(case, protocol), [written_agent(case, protocol)], case.settings, case.rules)
    dose = _bounded(case, dose_of(protocol, agent, case.known["weight_kg"])) if protocol and agent else None
    if dose and case.known["contrast_volume_ml"] is not None and _is_kept(case, protocol, agent):
        dose = _as_written(dose, case.known["contrast_volume_ml"])
    return Plan(protocol, agent, dose, _flow(case, protocol))


def protocol_of(case: Case) -> Rule | None:
    """The injection protocol of an item: its own, else the one of its kind of contrast, else none."""
    usual = case.rules["usual_protocol"].table["data"]
    name = case.item.attributes.get("contrast_protocol") or usual.get(case.contrast)
    own = agents.protocols(case.known["contrast_agent"], case.rules).get(case.item.body_part, {})
    return case.rules.rules.get(f"protocol.{own.get(name, name)}")


def wanted(case: Case, protocol: Rule | None) -> Wanted:
    culprits = agents.substances(case.known["contrast_reaction_agent"], case.rules)
    return Wanted(case.contrast, protocol, culprits, case.settings.get("stock", ()))


def written_agent(case: Case, protocol: Rule | None) -> Rule | None:
    return agents.recognised(case.known["contrast_agent"], case.rules, wanted(case, protocol))


def dose_of(protocol: Rule, agent: Rule, weight_kg: float | None) -> Dose:
    """The volume by weight, rounded down to the step, never above the cap; a fixed one where the protocol has one."""
    cap = _cap(protocol, agent)
    if "fixed_ml" in protocol.parameters:
        return Dose(float(protocol["fixed_ml"]), cap)
    if weight_kg is None:
        return Dose(None, cap)
    most, usual = (_by_weight(protocol, agent, name, weight_kg) for name in ("most_per_kg", "per_kg"))
    step = protocol["step_ml"]
    return Dose(_stepped(min(usual, cap), step), round(min(most, cap), 3), capped=usual > cap)


def _bounded(case: Case, dose: Dose) -> Dose:
    """With the least that counts as a dose and not as a slip of the pen."""
    return dose if dose.volume is None else replace(dose, least=dose.volume * case.rules["written_bounds"]["least"])


def _by_weight(protocol: Rule, agent: Rule, name: str, weight_kg: float) -> float:
    amount = agent.parameters.get(name, protocol[name])
    return float(amount * weight_kg / agent["concentration"])


def _cap(protocol: Rule, agent: Rule) -> float:
    if "cap_mmol" in protocol.parameters:
        return float(protocol["cap_mmol"] / agent["concentration"])
    return float(protocol["cap_ml"])


def _stepped(volume: float, step: float) -> float:
    """Rounded down to the step, and below ten steps to a finer one, so that an infant is not given nothing."""
    step = next((finer for finer in (step, step / 10) if volume >= 10 * finer), step / 100)
    # Rounded to a millionth first: 7.0 / 0.1 is 69.99… in binary and must not lose a step.
    return float(round(floor(round(volume / step, 6)) * step, 3))


def _as_written(dose: Dose, written: float) -> Dose:
    right = dose.volume is not None and dose.least <= written <= dose.most
    return replace(dose, volume=written, capped=False) if right else dose


def _flow(case: Case, protocol: Rule | None) -> float | None:
    """The flow for an adult: as written up to the protocol's most, else the protocol's."""
    if protocol is None or "flow_ml_s" not in protocol.parameters or not _is_adult(case):
        return None
    written, least = case.known["contrast_flow_ml_s"], _least_flow(case, protocol) or 0.0
    right = written is not None and least <= written <= protocol["flow_most"]
    return float(written if right else protocol["flow_ml_s"])


def _least_flow(case: Case, protocol: Rule | None) -> float | None:
    usual = protocol.parameters.get("flow_ml_s") if protocol else None
    return None if usual is None else float(usual * case.rules["written_bounds"]["least"])


def _is_adult(case: Case) -> bool:
    return case.age is not None and case.age >= case.rules["child_rate"]["below_age"]


def _is_kept(case: Case, protocol: Rule | None, agent: Rule | None) -> bool:
    """Whether a written volume speaks of the agent that is filled in."""
    return case.known["contrast_agent"] is None or written_agent(case, protocol) is agent


def _written(case: Case, plan: Plan) -> dict[str, bool]:
    """What is wrong with what the doctor wrote; of an agent only the first fault."""
    known = case.known
    volume, flow = known["contrast_volume_ml"], known["contrast_flow_ml_s"]
    flow_most = plan.protocol.parameters.get("flow_most") if plan.protocol else None
    flow_least = _least_flow(case, plan.protocol) if _is_adult(case) else None
    more = case.rules["written_bounds"]["rounding_ml"]
    faults = {
        "agent_written": known["contrast_agent"] is not None,
        "no_suitable_agent": plan.protocol is not None and plan.agent is None,
        "volume_too_high": volume is not None and plan.dose is not None and round(volume - plan.dose.most, 3) > more,
        "volume_too_low": volume is not None and plan.dose is not None and volume < plan.dose.least,
        "flow_too_high": flow is not None and flow_most is not None and flow > flow_most,
        "flow_too_low": flow is not None and flow_least is not None and flow < flow_least,
    }
    return faults | dict.fromkeys(AGENT_FAULTS, False) | _agent_fault(case, plan)


AGENT_FAULTS = (
    "agent_unrecognised", "agent_wrong_class", "agent_wrong_concentration", "agent_is_culprit", "agent_not_in_stock",
)  # fmt: skip


def _agent_fault(case: Case, plan: Plan) -> dict[str, bool]:
    if case.known["contrast_agent"] is None or case.contrast == "none":
        return {}
    needs, agent = wanted(case, plan.protocol), written_agent(case, plan.protocol)
    if agent is None:
        return {"agent_unrecognised": True}
    if agent["contrast"] != case.contrast:
        return {"agent_wrong_class": True}
    if not needs.has_concentration(agent):
        return {"agent_wrong_concentration": True}
    if agents.substance(agent) in needs.avoided:
        return {"agent_is_culprit": True}
    return {"agent_not_in_stock": not needs.in_stock(agent)}


def _cannula(case: Case, plan: Plan) -> dict[str, Any]:
    """Whether the cannula that the patient has carries the flow, the written one where nothing is filled in."""
    flow = plan.flow if plan.flow is not None else case.known["contrast_flow_ml_s"]
    has = case.known["cannula"]
    if flow is None or case.contrast == "none":
        return {"cannula_too_thin": False}
    needed = cannula(flow, case.rules)
    return {"cannula_needed": needed, "cannula_too_thin": has is not None and _gauge(has) > _gauge(needed)}


def cannula(flow_ml_s: float, rules: RuleBook) -> str:
    """The thinnest cannula that carries a flow."""
    gauges = rules["cannula"]
    if flow_ml_s >= gauges["from_18g"]:
        return "18G"
    return "20G" if flow_ml_s >= gauges["from_20g"] else "22G"


def _gauge(name: str) -> int:
    return int(name.removesuffix("G"))


def _reaction(case: Case, plan: Plan) -> dict[str, Any]:
    """The grade of an earlier reaction that counts for this exam, and whether another agent is filled in."""
    culprit = case.known["contrast_reaction_agent"]
    grade = case.known["contrast_reaction"] if case.contrast != "none" else "none"
    known = agents.classes(culprit, case.rules)
    if grade not in (None, "none") and known and case.contrast not in known:
        grade = "other_class"
    switched = bool(known) and plan.agent is not None
    return {
        "reaction": grade,
        "agent_switched": switched,
        "premedication_waived": case.urgent and bool(case.view.confirmed.get("radiology.premedication_accelerated")),
    }


def fills(case: Case, plan: Plan) -> Iterator[Finding]:
    """What is written into the order for the doctor."""
    if plan.protocol is None or plan.agent is None:
        return
    yield _fill(case, plan.agent, "agent", agents.code(plan.agent), plan.agent.text())
    volume = plan.dose.volume if plan.dose else None
    if volume is not None:
        yield _fill(case, plan.protocol, "volume_ml", volume, case.rules["volume_ml"].text(volume=volume))
        if plan.agent["contrast"] == "iodine":
            load = round(volume * plan.agent["concentration"] / 1000, 2)
            yield _fill(case, case.rules["iodine_g"], "iodine_g", load, case.rules["iodine_g"].text(iodine_g=load))
    if plan.flow is not None:
        needed = cannula(plan.flow, case.rules)
        yield _fill(case, plan.protocol, "flow_ml_s", plan.flow, case.rules["flow_ml_s"].text(flow=plan.flow))
        yield _fill(case, case.rules["cannula"], "cannula", needed, case.rules["cannula"].text(gauge=needed))


def _fill(case: Case, proof: Rule, field: str, value: Any, text: Text) -> Finding:
    return Finding(
        kind=FindingKind.FILL,
        code=f"radiology.{field}",
        text=text,
        item=case.view.key,
        rule=proof.id,
        rule_version=proof.version,
        source=proof.source,
        field=field,
        value=value,
    )
