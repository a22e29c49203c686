"""The waiting list over REST: joined, read, left; offers accepted and declined; the fairness log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, fields, validate

from examlane.records.receipts import RequestKey
from examlane.waiting import backfill, offers, waitlist
from examlane.waiting.waitlist import CHANNELS, EntryData
from examlane_api import waiting
from examlane_api.rest.api import actor, allow_department, answers, blueprint, hospital, operation, write
from examlane_api.rest.fields import Code, Count, Day, Several, Whole, YesNo
from examlane_api.rest.schemas import AppointmentAnswer, Nothing

blp = blueprint("waiting", "Waiting list and offers")
READ, CHANGE = "waiting.read", "waiting.change"


class Joining(Schema):
    """Either `items` without a time or the `appointment` that should be earlier, and what the patient agreed to."""

    items = Several(Code(80), 1, 20, load_default=list)
    appointment = Code(16, load_default=None, allow_none=True)
    from_day = Day(required=True, data_key="from")
    until_day = Day(required=True, data_key="until")
    notice_minutes = Whole(0, 20_160, load_default=120)
    campuses = Several(Code(32), 0, 20, load_default=list)
    groups = Several(Code(64), 0, 50, load_default=list)
    channel = fields.String(validate=validate.OneOf(CHANNELS), load_default=CHANNELS[0])
    automatic = YesNo(load_default=False)


class Page(Schema):
    department = Code(32, load_default=None)
    cursor = Count(0, 2**53, load_default=0)
    limit = Count(1, 200, load_default=50)


class Listing(Page):
    state = fields.String(validate=validate.OneOf(("active", "paused", "ended")), load_default=None)


class OfferAnswer(Schema):
    id = fields.Integer()
    entry = fields.Integer()
    state = fields.String()
    group = fields.String()
    starts_at = fields.String()
    made_at = fields.String()
    expires_at = fields.String()


class EntryAnswer(Schema):
    """One entry; the patient's name is masked."""

    id = fields.Integer()
    state = fields.String()
    reason = fields.String()
    department = fields.String()
    patient = fields.String()
    appointment = fields.String(allow_none=True)
    items = fields.List(fields.String())
    from_day = fields.String(data_key="from", attribute="from")
    until = fields.String()
    notice_minutes = fields.Integer()
    campuses = fields.List(fields.String())
    groups = fields.List(fields.String())
    channel = fields.String()
    automatic = fields.Boolean()
    urgent = fields.Boolean()
    ordered_at = fields.String()
    declines = fields.Integer()
    created_at = fields.String()
    offers = fields.List(fields.Nested(OfferAnswer))


class EntriesAnswer(Schema):
    entries = fields.List(fields.Nested(EntryAnswer))
    next_cursor = fields.Integer(allow_none=True)


class LogAnswer(Schema):
    lines = fields.List(fields.Dict())
    next_cursor = fields.Integer(allow_none=True)


@blp.route("/waiting", methods=["POST"])
@blp.arguments(Joining())
@blp.response(200, EntryAnswer())
@operation(CHANGE, writes=True)
def join(body: dict[str, Any]) -> Mapping[str, Any]:
    """Put a patient on the waiting list, as he agreed."""
    data = EntryData(
        body["from_day"], body["until_day"], tuple(body["items"]), body["appointment"] or "", body["notice_minutes"],
        tuple(body["campuses"]), tuple(body["groups"]), body["channel"], body["automatic"],
    )  # fmt: skip
    for department in waitlist.departments_of(hospital().database, data):
        allow_department(CHANGE, department)

    def act(key: RequestKey) -> Mapping[str, Any]:
        return waiting.entry(hospital(), answers(), waitlist.join(hospital(), data, actor(), key))

    sent = {**body, "from_day": str(body["from_day"]), "until_day": str(body["until_day"])}
    return write("waiting.join", sent, act)


@blp.route("/waiting", methods=["GET"])
@blp.arguments(Listing(), location="query")
@blp.response(200, EntriesAnswer())
@operation(READ)
def list_entries(query: dict[str, Any]) -> Mapping[str, Any]:
    """The waiting list of a department, page by page; names are masked."""
    allow_department(READ, query["department"] or "")
    found = waitlist.entries(
        hospital().database, query["department"] or "", query["state"] or "", query["cursor"], query["limit"]
    )
    return {
        "entries": [waiting.entry(hospital(), answers(), one) for one in found],
        "next_cursor": found[-1].id if len(found) == query["limit"] else None,
    }


@blp.route("/waiting/log", methods=["GET"])
@blp.arguments(Page(), location="query")
@blp.response(200, LogAnswer())
@operation(READ)
def read_log(query: dict[str, Any]) -> Mapping[str, Any]:
    """Of each freed time who was considered, in which order, why skipped or offered, who got it; without names."""
    allow_department(READ, query["department"] or "")
    found = backfill.log(hospital().database, query["department"] or "", query["cursor"], query["limit"])
    return {
        "lines": [waiting.log_line(answers(), line) for line in found],
        "next_cursor": found[-1].id if len(found) == query["limit"] else None,
    }


@blp.route("/waiting/<string:entry>", methods=["GET"])
@blp.response(200, EntryAnswer())
@operation(READ)
def read_entry(entry: str) -> Mapping[str, Any]:
    """One entry with its offers."""
    found = waitlist.entry_of(hospital().database, number(entry))
    allow_department(READ, found.department)
    return waiting.entry(hospital(), answers(), found)


@blp.route("/waiting/<string:entry>/withdrawal", methods=["POST"])
@blp.arguments(Nothing())
@blp.response(200, EntryAnswer())
@operation(CHANGE, writes=True)
def withdraw(body: dict[str, Any], entry: str) -> Mapping[str, Any]:
    """The patient no longer waits."""
    allow_department(CHANGE, waitlist.entry_of(hospital().database, number(entry)).department)

    def act(key: RequestKey) -> Mapping[str, Any]:
        return waiting.entry(hospital(), answers(), waitlist.withdraw(hospital(), number(entry), actor(), key))

    return write("waiting.withdraw", body, act)


@blp.route("/waiting/<string:entry>/resumption", methods=["POST"])
@blp.arguments(Nothing())
@blp.response(200, EntryAnswer())
@operation(CHANGE, writes=True)
def resume(body: dict[str, Any], entry: str) -> Mapping[str, Any]:
    """A paused entry counts again."""
    allow_department(CHANGE, waitlist.entry_of(hospital().database, number(entry)).department)

    def act(key: RequestKey) -> Mapping[str, Any]:
        return waiting.entry(hospital(), answers(), waitlist.resume(hospital(), number(entry), actor(), key))

    return write("waiting.resume", body, act)


@blp.route("/offers/<string:offer>/acceptance", methods=["POST"])
@blp.arguments(Nothing())
@blp.response(200, AppointmentAnswer())
@operation(CHANGE, writes=True)
def accept(body: dict[str, Any], offer: str) -> Mapping[str, Any]:
    """Take an offered time; the first to accept has it."""
    _allow_offer(offer)

    def act(key: RequestKey) -> Mapping[str, Any]:
        return answers().appointment(offers.accept(hospital(), number(offer), actor(), key))

    return write("offer.accept", body, act)


@blp.route("/offers/<string:offer>/decline", methods=["POST"])
@blp.arguments(Nothing())
@blp.response(200, OfferAnswer())
@operation(CHANGE, writes=True)
def decline(body: dict[str, Any], offer: str) -> Mapping[str, Any]:
    """Do not take an offered time; it goes to the next."""
    _allow_offer(offer)

    def act(key: RequestKey) -> Mapping[str, Any]:
        return waiting.offer(answers(), offers.decline(hospital(), number(offer), actor(), key))

    return write("offer.decline", body, act)


def _allow_offer(offer: str) -> None:
    found = offers.find(hospital().database, number(offer))
    allow_department(CHANGE, waitlist.entry_of(hospital().database, found.entry).department)


def number(path: str) -> int:
    """The internal number in an address; what is none finds nothing."""
    return int(path) if path.isascii() and path.isdigit() and len(path) < 16 else 0
