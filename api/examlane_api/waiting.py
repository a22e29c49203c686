"""Waiting list, offers, messages and calls as plain data: answers of the first request and of a repeated one."""

from __future__ import annotations

from typing import Any

from examlane.hospital import Hospital
from examlane.reminders import call_list
from examlane.reminders.call_list import Call
from examlane.waiting import offers, waitlist
from examlane.waiting.backfill import LogLine
from examlane.waiting.offers import OfferView
from examlane.waiting.waitlist import Entry
from examlane_api.answers import Answers, words

MESSAGE = "SELECT state FROM reminder WHERE message = ? UNION ALL SELECT state FROM offer WHERE message = ? LIMIT 1"
SUBJECTS = ("waiting", "offer", "call", "message")
"""The subjects of receipts whose answers are made here."""


def of_subject(hospital: Hospital, answers: Answers, subject: str, key: str) -> dict[str, Any]:
    """What a write on one of these led to, as it stands now."""
    database = hospital.database
    if subject == "waiting":
        return entry(hospital, answers, waitlist.entry_of(database, int(key)))
    if subject == "offer":
        return offer(answers, offers.find(database, int(key)))
    if subject == "call":
        return call(answers, call_list.call_of(database, int(key)))
    return {"message": key, "state": database.value(MESSAGE, key, key)}


def entry(hospital: Hospital, answers: Answers, found: Entry) -> dict[str, Any]:
    """An entry with its offers; the patient's name is masked."""
    return {
        "id": found.id, "state": found.state, "reason": found.reason, "department": found.department,
        "patient": found.patient, "appointment": found.appointment or None, "items": list(found.items),
        "from": found.from_day, "until": found.until_day, "notice_minutes": found.notice_minutes,
        "campuses": list(found.campuses), "groups": list(found.groups), "channel": found.channel,
        "automatic": found.automatic, "urgent": found.urgent, "ordered_at": answers.time(found.ordered_at),
        "declines": found.declines, "created_at": answers.time(found.created_at),
        "offers": [offer(answers, one) for one in offers.of_entry(hospital.database, found.id)],
    }  # fmt: skip


def offer(answers: Answers, found: OfferView) -> dict[str, Any]:
    return {
        "id": found.id, "entry": found.entry, "state": found.state, "group": found.group,
        "starts_at": answers.time(found.starts_at), "made_at": answers.time(found.made_at),
        "expires_at": answers.time(found.expires_at),
    }  # fmt: skip


def log_line(answers: Answers, line: LogLine) -> dict[str, Any]:
    return {
        "id": line.id, "freed": line.freed, "department": line.department, "group": line.group,
        "starts_at": answers.time(line.starts_at), "entry": line.entry, "place": line.place, "urgent": line.urgent,
        "ordered_at": answers.time(line.ordered_at), "outcome": line.outcome, "reason": line.reason,
        "at": answers.time(line.at),
    }  # fmt: skip


def call(answers: Answers, found: Call, *, whole: bool = False) -> dict[str, Any]:
    """Somebody to be called; name and number are masked unless who calls asks for the `whole`."""
    name, phone = (found.name, found.phone) if whole else found.masked
    return {
        "id": found.id, "department": found.department, "patient": name, "phone": phone,
        "appointment": found.appointment, "state": found.state, "period_starts_at": answers.time(found.period_starts_at),
        "reason": found.reason, "kind": found.kind, "text": words(found.words),
        "opened_at": answers.time(found.opened_at), "next_try_at": answers.time(found.next_try_at),
        "misses": found.misses, "result": found.result, "closed": found.closed,
    }  # fmt: skip
