"""The waiting list over REST: joined, read, left; offers accepted and declined; the fairness log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, fields, validate

from examlane.records.receipts import RequestKey
from examlane.waiting import backfill, offers, waitlist
from examlane.waiting.waitlist import CHANNELS, Entry, EntryData
from examlane_api import waiting
from examlane_api.rest.api import (
    actor,
    allow_department,
    answers,
    blueprint,
    departments_of,
    hospital,
    operation,
    write,
)
from examlane_api.rest.fields import Code, Day, Several, Whole, YesNo, internal
from examlane_api.rest.paging import Page, Paged, paged
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


class DepartmentPage(Page):
    department = Code(32, load_default=None)


class Listing(DepartmentPage):
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


class EntriesAnswer(Paged):
    entries = fields.List(fields.Nested(EntryAnswer))


class LogAnswer(Paged):
    lines = fields.List(fields.Dict())


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
    """The waiting list of the caller's departments, page by page; names are masked."""
    departments = departments_of(READ, query["department"])

    def read(**page: Any) -> list[Entry]:
        return waitlist.entries(hospital().database, departments, query["state"] or "", **page)

    return paged("entries", query, read, lambda one: waiting.entry(hospital(), answers(), one))


@blp.route("/waiting/log", methods=["GET"])
@blp.arguments(DepartmentPage(), location="query")
@blp.response(200, LogAnswer())
@operation(READ)
def read_log(query: dict[str, Any]) -> Mapping[str, Any]:
    """Of each freed time who was considered, in which order, why skipped or offered, who got it; without names."""
    departments = departments_of(READ, query["department"])
    return paged(
        "lines", query, lambda **page: backfill.log(hospital().database, departments, **page),
        lambda line: waiting.log_line(answers(), line),
    )  # fmt: skip


@blp.route("/waiting/<number:entry>", methods=["GET"])
@blp.response(200, EntryAnswer())
@operation(READ)
def read_entry(entry: str) -> Mapping[str, Any]:
    """One entry with its offers."""
    found = waitlist.entry_of(hospital().database, internal(entry))
    allow_department(READ, found.department)
    return waiting.entry(hospital(), answers(), found)


@blp.route("/waiting/<string:entry>/withdrawal", methods=["POST"])
@blp.arguments(Nothing())
@blp.response(200, EntryAnswer())
@operation(CHANGE, writes=True)
def withdraw(body: dict[str, Any], entry: str) -> Mapping[str, Any]:
    """The patient no longer waits."""
    allow_department(CHANGE, waitlist.entry_of(hospital().database, internal(entry)).department)

    def act(key: RequestKey) -> Mapping[str, Any]:
        return waiting.entry(hospital(), answers(), waitlist.withdraw(hospital(), internal(entry), actor(), key))

    return write("waiting.withdraw", body, act)


@blp.route("/waiting/<string:entry>/resumption", methods=["POST"])
@blp.arguments(Nothing())
@blp.response(200, EntryAnswer())
@operation(CHANGE, writes=True)
def resume(body: dict[str, Any], entry: str) -> Mapping[str, Any]:
    """A paused entry counts again."""
    allow_department(CHANGE, waitlist.entry_of(hospital().database, internal(entry)).department)

    def act(key: RequestKey) -> Mapping[str, Any]:
        return waiting.entry(hospital(), answers(), waitlist.resume(hospital(), internal(entry), actor(), key))

    return write("waiting.resume", body, act)


@blp.route("/offers/<string:offer>/acceptance", methods=["POST"])
@blp.arguments(Nothing())
@blp.response(200, AppointmentAnswer())
@operation(CHANGE, writes=True)
def accept(body: dict[str, Any], offer: str) -> Mapping[str, Any]:
    """Take an offered time; the first to accept has it."""
    _allow_offer(offer)

    def act(key: RequestKey) -> Mapping[str, Any]:
        return answers().appointment(offers.accept(hospital(), internal(offer), actor(), key))

    return write("offer.accept", body, act)


@blp.route("/offers/<string:offer>/decline", methods=["POST"])
@blp.arguments(Nothing())
@blp.response(200, OfferAnswer())
@operation(CHANGE, writes=True)
def decline(body: dict[str, Any], offer: str) -> Mapping[str, Any]:
    """Do not take an offered time; it goes to the next."""
    _allow_offer(offer)

    def act(key: RequestKey) -> Mapping[str, Any]:
        return waiting.offer(answers(), offers.decline(hospital(), internal(offer), actor(), key))

    return write("offer.decline", body, act)


def _allow_offer(offer: str) -> None:
    found = offers.find(hospital().database, internal(offer))
    allow_department(CHANGE, waitlist.entry_of(hospital().database, found.entry).department)
