"""Changes of orders that came before their order: kept whole, made once it is there, else a dead letter after a day."""

from __future__ import annotations

import json
from functools import partial

from examlane.corrections import order_changes
from examlane.corrections.order_changes import ItemChange, OrderChange
from examlane.domain import Priority
from examlane.errors import ExamlaneError, Refused, Unavailable
from examlane.hospital import Hospital
from examlane.orders import intake, snapshot
from examlane.orders.intake import OrderLine
from examlane.records import inbox, receipts
from examlane.records.audit import Actor
from examlane.records.inbox import Missing, Parked
from examlane.records.receipts import RequestKey
from examlane.storage.fields import dump, maybe_epoch, maybe_instant

ACTION = "order.change"
NEEDLESS = frozenset({"superseded", "order_closed"})
"""Refusals of a change that came too late to mean anything."""


def change(hospital: Hospital, changed: OrderChange, actor: Actor, key: RequestKey) -> list[ItemChange]:
    """Change an order. What says when it was made waits for an order that has not come: then no item is answered.

    Raises like `order_changes.change`.
    """
    if changed.changed_at is None or changed.version is not None or _is_here(hospital, changed.order):
        return order_changes.change(hospital, changed, actor, key)
    order_changes.check(hospital, changed)
    missing = [Missing(inbox.ORDER, changed.order)]
    inbox.park(hospital.database, key.client, ACTION, key, _written(changed), missing, hospital.clock.now())
    if _is_here(hospital, changed.order):  # it came at the same moment, and did not see what was just parked
        make_all(hospital, changed.order, actor)
    return []


def make_arrived(hospital: Hospital, actor: Actor) -> None:
    """Make every change whose order is here: whoever took the order in may have died before."""
    orders = {json.loads(each.body)["order"] for each in _parked(hospital)}
    for order in filter(partial(_is_here, hospital), sorted(orders)):
        make_all(hospital, order, actor)


def make_all(hospital: Hospital, order: str, actor: Actor) -> None:
    """Make the changes that waited for an order which is here now, the oldest first."""
    for each in sorted(_parked(hospital, order), key=_made):
        make(hospital, each, actor)


def make(hospital: Hospital, parked: Parked, actor: Actor) -> str:
    """Make a change that waited, once: `done`, still `parked`, or why it is refused for good."""
    key = RequestKey(parked.peer, f"parked-{parked.id}", ACTION)
    sender = Actor(parked.peer, actor.channel, actor.request_id)
    reason = ""
    try:
        if receipts.find(hospital.database, key) is None:
            order_changes.change(hospital, _read(parked.body), sender, key)
    except Unavailable:
        return "parked"
    except ExamlaneError as error:
        if not isinstance(error, Refused) or error.code not in NEEDLESS:
            reason = str(error)
    inbox.settle(hospital.database, parked.id, hospital.clock.now(), reason)
    return reason or "done"


def _is_here(hospital: Hospital, order: str) -> bool:
    return hospital.database.row("SELECT 1 FROM exam_order WHERE number = ?", order) is not None


def _parked(hospital: Hospital, order: str = "") -> list[Parked]:
    return [each for each in inbox.parked(hospital.database, order=order) if each.action == ACTION]


def _made(parked: Parked) -> tuple[int, int]:
    return json.loads(parked.body)["changed_at"], parked.id


def _written(changed: OrderChange) -> str:
    lines = changed.lines and [
        [each.line, each.item, each.confirmed, each.confirm_reason, each.price] for each in changed.lines
    ]
    return dump({
        "order": changed.order, "context": intake.context_as_data(changed.context), "note": changed.note,
        "drawing": changed.drawing, "priority": changed.priority and changed.priority.value, "lines": lines,
        "changed_at": maybe_epoch(changed.changed_at),
    })  # fmt: skip


def _read(body: str) -> OrderChange:
    said = json.loads(body)
    lines = said["lines"] and tuple(OrderLine(line, item, tuple(codes), *rest) for line, item, codes, *rest in said["lines"])
    return OrderChange(
        said["order"], None, snapshot.facts(dump(said["context"])), said["note"], said["drawing"],
        said["priority"] and Priority(said["priority"]), lines, maybe_instant(said["changed_at"]),
    )  # fmt: skip
