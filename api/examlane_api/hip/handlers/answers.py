"""Acknowledgements that several handlers give, and what is kept of a message that changed nothing."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from examlane.appointments import status
from examlane.appointments.status import ItemStatus
from examlane.records import inbox, receipts
from examlane.storage.fields import epoch
from examlane_api.hip.codes import Call
from examlane_api.hip.frame import Ack, Detail

ACCEPTED = Detail("accepted", "已受理")
SUPERSEDED = Detail("superseded", "已收到更新的消息，本消息不再生效")


def accepted(call: Call, said: Any) -> Ack:
    return Ack(True, (ACCEPTED,))


def noted(call: Call, detail: Detail) -> Ack:
    """Nothing is to be done; the message counts as answered."""
    database, now = call.hospital.database, epoch(call.hospital.clock.now())
    database.write(lambda: receipts.keep(database, call.key, "hip", detail.code, now))
    return Ack(True, (detail,))


def is_late(call: Call, subject: str, key: str, at: datetime | None = None) -> bool:
    """Whether a newer message of this platform about the subject came before this one."""
    return inbox.is_late(call.hospital.database, call.profile.code, subject, key, at or call.made_at)


def heard(call: Call, subject: str, key: str, at: datetime | None = None) -> None:
    """Remember how new this message about the subject is."""
    database = call.hospital.database
    database.write(lambda: inbox.heard(database, call.profile.code, subject, key, at or call.made_at))


def standing(call: Call, order: str) -> Ack:
    """How the lines of an order stand now, a detail each."""
    return Ack(True, tuple(item_detail(call, item) for item in status.of_order(call.hospital, order)))


def item_detail(call: Call, item: ItemStatus) -> Detail:
    words = f"第{item.line}项 {item.name.zh}：{item.message.zh}"
    if item.appointment is not None:
        since, until = (
            at.astimezone(call.profile.timezone)
            for at in (item.appointment.period_starts_at, item.appointment.period_ends_at)
        )
        words += f"，{since:%Y-%m-%d %H:%M}–{until:%H:%M} {item.appointment.place.zh}"
    return Detail(item.reason, words)
