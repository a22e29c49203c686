"""Plugins, their settings and traces in lines for the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, tzinfo
from typing import Any

from examlane.extension.configuring import PluginSettings
from examlane.extension.health import Health, Place
from examlane.extension.shadow import Difference
from examlane.insight.trace import DecidedVersion, Said, Trace
from examlane.storage.fields import instant

NAMING = ("item", "key", "kind", "code", "rule", "action", "earliest", "latest", "until")
"""What tells one kept answer from another."""


def plugins(found: Iterable[Health], zone: tzinfo) -> Iterator[str]:
    """A line for each plugin and, below it, one for each department."""
    for one in found:
        if one.broken:
            yield f"{one.name:14} broken   {one.broken}"
        else:
            rules = f"  {one.rules} rules" if one.rules else ""
            yield f"{one.name:14} {one.version:8} {one.title}  [{', '.join(sorted(one.hooks))}]{rules}"
        for place in one.places:
            yield f"  {place.department:8} {_stage(place)}{_shadow(place)}"
            if place.problem:
                yield f"           {place.problem}"
            for rest in place.rests:
                yield f"           {rest.hook} rested at {_time(instant(rest.at), zone)} after failures: {rest.failure}"


def _stage(place: Place) -> str:
    share = f" {place.pilot_percent} %" if place.stage == "pilot" else ""
    return f"{place.stage}{share}{', required' if place.required else ''}"


def _shadow(place: Place) -> str:
    kept, asked, differ = place.shadow.kept, place.shadow.asked, place.shadow.differ
    if not kept:
        return ""
    waiting = f", {kept - asked} not asked yet" if kept > asked else ""
    return f"   shadow: {asked} compared, {differ} differ{waiting}"


def differences(found: Sequence[Difference], zone: tzinfo) -> Iterator[str]:
    """Two lines for each decision that would have been another one."""
    for one in found:
        yield f"{_time(instant(one.at), zone)}  {one.hook:17} decided: {_brief(one.live)}"
        yield f"{'':35}   instead: {_brief(one.shadow)}"
    if not found:
        yield "no difference was seen"


def _brief(answers: Any) -> str:
    """Answers kept as JSON in one line: of each what names it."""
    if isinstance(answers, dict) and "failure" in answers:
        return f"FAILED: {answers['failure']}"
    each = [one for answer in answers if answer for one in (answer if isinstance(answer, list) else [answer])]
    return "; ".join(" ".join(str(one[name]) for name in NAMING if one.get(name)) for one in each) or "nothing"


def settings(department: str, plugin: str, found: PluginSettings) -> Iterator[str]:
    """What counts in the department; what it set itself is marked."""
    required = "required" if found.required else "optional"
    yield f"{plugin} in {department}: {found.stage}, {required}, position {found.position}, version {found.version}"
    if found.problem:
        yield f"  cannot be used: {found.problem}"
    for name, value in sorted(found.effective.items()):
        yield f"  {name} = {value}" + ("" if name in found.stored else "  (default)")
    if not found.effective:
        yield "  no settings"


def trace(found: Trace, zone: tzinfo) -> Iterator[str]:
    """What is stored of an order, then what planning it again says, in the order the hooks fire."""
    yield f"order {found.order}: what was decided"
    for item in found.items:
        yield f"  {item.key}  {item.item} {item.name.zh}  {item.state}, {item.reason}"
        for finding in item.findings:
            yield f"    {finding['kind']:8} {finding['code']}  rule version {finding['rule_version']}"
        for gate in (gate for gate in found.gates if gate.item == item.key):
            code = f": {gate.code}" if gate.code else ""
            yield f"    gate     {gate.kind} {gate.state}{code}  ({gate.plugin}, {_time(gate.evaluated_at, zone)})"
    for version in found.versions:
        yield from _version(version, zone)
    yield "planned again now, as if it were not booked (its own seats count as taken); nothing is stored"
    yield from map(_said, found.said)
    for outcome in found.outcome:
        place = f" {_time(outcome.starts_at, zone)} at {outcome.group}" if outcome.starts_at else ""
        yield f"  {outcome.item}  {outcome.state}, {outcome.reason}{place}"


def _version(version: DecidedVersion, zone: tzinfo) -> Iterator[str]:
    yield (
        f"  {version.number} version {version.version}  {version.state} for {_time(version.starts_at, zone)}  "
        f"({version.reason}, by {version.actor}, {_time(version.at, zone)})"
    )
    evidence = version.evidence
    for name in ("plugins", "failed", "rules"):
        if evidence.get(name):
            yield f"    {name:8} {', '.join(word.strip() for word in evidence[name])}"
    if "rollout" in evidence:
        yield f"    rollout  {evidence['rollout']}"


def _said(said: Said) -> str:
    who = f"{said.plugin} {said.version}".strip()
    answer = f"FAILED: {said.failure}" if said.failure else said.answer
    return f"  {said.department:8} {said.hook:17} {who:22} {said.milliseconds:7.1f} ms  {answer}"


def _time(moment: datetime, zone: tzinfo) -> str:
    return f"{moment.astimezone(zone):%Y-%m-%d %H:%M}"
