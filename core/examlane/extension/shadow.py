"""对照运行: what plugins in shadow would have said, asked by the worker after the commit on the stored input."""

from __future__ import annotations

import json
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache, partial
from typing import Any, cast

from cattrs.preconf.json import JsonConverter, make_converter

from examlane import hookspecs
from examlane.extension import answers
from examlane.extension.dispatch import Budget, Check, Dispatcher
from examlane.extension.rollout import Link, Rollout
from examlane.storage.database import Database
from examlane.storage.fields import dump
from examlane.storage.ledger import ShadowDecision
from examlane.visit import Availability, BookingRequest

PENDING = """SELECT id, department, plugin, hook, question, live FROM shadow_decision
WHERE asked_at IS NULL ORDER BY id LIMIT ?"""
ANSWERED = "UPDATE shadow_decision SET shadow = ?, differs = ?, asked_at = ? WHERE id = ? RETURNING id"

COLLECTED = ("validate_order", "pre_booking_gate", "interval_rules", "preparation")
NOT_ASKED = "no longer in shadow"
DIFFERENCES = """SELECT hook, created_at, live, shadow FROM shadow_decision
WHERE department = ? AND plugin = ? AND differs = 1 ORDER BY id DESC LIMIT ?"""


@dataclass(frozen=True, slots=True)
class Difference:
    """A decision that would have been another one, as JSON data; `at` in UTC seconds."""

    hook: str
    at: int
    live: Any
    shadow: Any


AvailabilityFor = Callable[[BookingRequest], Availability]


@dataclass(frozen=True, slots=True)
class Question:
    """A question that was put to a live chain, what it answered, and which plugins only watch there."""

    department: str
    hook: str
    watchers: tuple[str, ...]
    arguments: Mapping[str, Any]
    live: Sequence[Any]


def question(
    rollout: Rollout, department: str, hook: str, arguments: Mapping[str, Any], live: Sequence[Any]
) -> Question | None:
    """The question to keep, or None when nobody watches."""
    watchers = tuple(link.plugin.name for link in rollout.shadows(department, hook))
    return Question(department, hook, watchers, arguments, live) if watchers else None


def remember(database: Database, questions: Sequence[Question], now: int) -> None:
    """Store questions beside what was decided; inside the transaction of the decision."""
    for asked in questions:
        for plugin in asked.watchers:
            database.insert(
                ShadowDecision, department=asked.department, plugin=plugin, hook=asked.hook,
                question=dump(_to_data(asked.hook, asked.arguments)), live=dump(plain(asked.live)), created_at=now,
            )  # fmt: skip


def ask_pending(
    database: Database, dispatcher: Dispatcher, rollout: Rollout, availability: AvailabilityFor, now: int,
    limit: int = 50,
) -> int:  # fmt: skip
    """Ask the watching plugins what is still unasked; nothing they say has an effect. Returns how many were asked."""
    rows = database.rows(PENDING, limit)
    for key, department, plugin, hook, stored, live in rows:
        links = [link for link in rollout.shadows(department, hook) if link.plugin.name == plugin]
        said = _ask(dispatcher, links[0], department, hook, stored, availability) if links else {"failure": NOT_ASKED}
        differs = None if not links else int(differ(hook, json.loads(live), said))
        database.write(partial(database.rows, ANSWERED, dump(said), differs, now, key))
    return len(rows)


def differences(database: Database, department: str, plugin: str, limit: int) -> list[Difference]:
    """Where a plugin would have decided otherwise in a department, newest first."""
    rows = database.rows(DIFFERENCES, department, plugin, limit)
    return [Difference(hook, at, json.loads(live), json.loads(said)) for hook, at, live, said in rows]


def _ask(dispatcher: Dispatcher, link: Link, department: str, hook: str, stored: str, availability: AvailabilityFor) -> Any:
    """What the plugin says, as JSON data: a list of its one answer, or a failure."""
    try:
        arguments = _from_data(hook, json.loads(stored))
    except Exception as error:  # noqa: BLE001 - a question kept by an older release must not stop the newer ones
        return {"failure": f"the stored question cannot be read: {type(error).__name__}"}
    if "request" in arguments:
        arguments["availability"] = availability(arguments["request"])
    arguments.update(link.handed)
    check = _check(hook, arguments)
    answer = dispatcher.ask(
        link.plugin, hook, department, arguments, lambda value: json.loads(dump(plain([check(value)]))), Budget(1.0)
    )
    return {"failure": answer.failure} if answer.failure else answer.value


def _check(hook: str, arguments: Mapping[str, Any]) -> Check:
    """The check a live answer would have to pass."""
    if hook in ("validate_order", "pre_booking_gate"):
        keys = [item.key for item in arguments["order"].items]
        return cast(Check, answers.about(answers.findings if hook == "validate_order" else answers.gates, keys))
    if hook == "requirements":
        keys = [item.key for order in arguments["orders"] for item in order.items]
        groups = {group.code: group for group in arguments["groups"]}
        return cast(Check, answers.about(answers.requirements, keys, groups))
    if hook == "allocate":
        return cast(Check, answers.about(answers.proposals, arguments["request"]))
    return {
        "interval_rules": answers.interval_rules, "preparation": answers.preparation, "on_no_show": answers.no_show
    }[hook]  # fmt: skip


def differ(hook: str, live: Sequence[Any], said: Any) -> bool:
    """Whether a decision would have been another one: all answers together, or the first one given."""
    if not isinstance(said, list):
        return True
    if hook in COLLECTED:
        return _together(live) != _together(said)
    # A plugin that declines leaves the decision as it was.
    return said[0] is not None and said[0] != next((answer for answer in live if answer is not None), None)


def _together(given: Sequence[Any]) -> list[str]:
    return sorted(dump(one) for answer in given for one in answer or ())


def plain(value: Any) -> Any:
    """Domain values as JSON data."""
    return _converter().unstructure(value)


@cache
def _converter() -> JsonConverter:
    converter = make_converter()
    converter.register_unstructure_hook(timedelta, timedelta.total_seconds)
    converter.register_structure_hook(timedelta, lambda seconds, _: timedelta(seconds=seconds))
    converter.register_unstructure_hook_func(
        lambda kind: isinstance(kind, type) and issubclass(kind, Mapping),
        lambda mapping: {str(key): converter.unstructure(value) for key, value in mapping.items()},
    )
    return converter


@cache
def _types(hook: str) -> dict[str, Any]:
    kinds = typing.get_type_hints(getattr(hookspecs, hook))
    return {name: kind for name, kind in kinds.items() if name not in ("return", "availability", "settings", "rules")}


def _to_data(hook: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    values = {name: arguments[name] for name in _types(hook)}
    if "request" in values:
        values["request"] = replace(values["request"], walking={})
    return {name: _converter().unstructure(value) for name, value in values.items()}


def _from_data(hook: str, stored: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _converter().structure(stored[name], kind) for name, kind in _types(hook).items()}
