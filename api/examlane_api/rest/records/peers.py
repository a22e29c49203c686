"""Peers and the events they are owed: switched, looked at, sent again, given up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from flask import g
from marshmallow import Schema, fields, validate

from examlane.errors import NotFound
from examlane.outbound.kinds import KINDS
from examlane.records import dead_letters
from examlane.records import peers as kept
from examlane.records.peers import PeerRow
from examlane.records.receipts import RequestKey
from examlane_api.rest import schemas
from examlane_api.rest.api import actor, answers, blueprint, expecting, hospital, operation, write
from examlane_api.rest.fields import CleanText, Code, Several, Whole, YesNo
from examlane_api.rest.paging import Page, Paged, paged

blp = blueprint("peers", "Peers and the events they are owed")


class PeerChange(Schema):
    """What is left out stays. `version` or If-Match names the version that was read."""

    address = CleanText(300, load_default=None, allow_none=True)
    event_types = Several(fields.String(validate=validate.OneOf(list(KINDS))), 0, 60, load_default=None, allow_none=True)
    enabled = YesNo(load_default=None, allow_none=True)
    timeout_seconds = Whole(1, 120, load_default=None, allow_none=True)
    version = Whole(1, 1_000_000, load_default=None, allow_none=True)


class PeerAnswer(Schema):
    """A peer, with what waits for it."""

    code = fields.String()
    kind = fields.String()
    address = fields.String()
    event_types = fields.List(fields.String())
    enabled = fields.Boolean()
    timeout_seconds = fields.Integer()
    failures = fields.Integer()
    paused_until = fields.String(allow_none=True)
    listens_since = fields.String()
    keys = fields.Integer()
    waiting = fields.Integer()
    dead = fields.Integer()
    oldest = fields.String(allow_none=True)


class PeersAnswer(Schema):
    peers = fields.List(fields.Nested(PeerAnswer))


class EventQuery(Page):
    state = fields.String(load_default=None, validate=validate.OneOf(list(dead_letters.STATES)))
    peer = Code(32, load_default=None)
    subject_key = Code(80, load_default=None)


class Discard(Schema):
    reason = CleanText(200, required=True)


class EventAnswer(Schema):
    event_id = fields.String()
    peer = fields.String()
    subject = fields.String()
    subject_key = fields.String()
    sequence = fields.Integer()
    kind = fields.String()
    payload = fields.Dict()
    created_at = fields.String()
    due_at = fields.String()
    attempts = fields.Integer()
    sent_at = fields.String(allow_none=True)
    state = fields.String()
    error = fields.String()


class EventsAnswer(Paged):
    events = fields.List(fields.Nested(EventAnswer))


class AttemptAnswer(Schema):
    at = fields.String()
    attempt = fields.Integer()
    outcome = fields.String()
    milliseconds = fields.Integer()
    request = fields.String()
    answer = fields.String()


class EventShown(EventAnswer):
    behind = fields.Integer()
    deliveries = fields.List(fields.Nested(AttemptAnswer))


@blp.route("/peers", methods=["GET"])
@blp.response(200, PeersAnswer())
@operation("peers.read")
def list_peers() -> Mapping[str, Any]:
    """Every peer, with what waits for it."""
    return {"peers": [_peer(row) for row in kept.overview(hospital().database)]}


@blp.route("/peers/<string:code>", methods=["GET"])
@blp.response(200, PeerAnswer())
@operation("peers.read", tagged=True)
def read_peer(code: str) -> Mapping[str, Any]:
    """One peer."""
    return _one(code)


@blp.route("/peers/<string:code>", methods=["PUT"])
@blp.arguments(PeerChange())
@blp.response(200, PeerAnswer())
@operation("peers.change", expects=True)
def change_peer(body: dict[str, Any], code: str) -> Mapping[str, Any]:
    """Change a peer; a PUT is repeatable by itself. Who is enabled again is owed what happens from now on."""
    here = hospital()
    kept.change(here.database, code, actor(), here.clock.now(), **expecting(body))
    return _one(code)


@blp.route("/events", methods=["GET"])
@blp.arguments(EventQuery(), location="query")
@blp.response(200, EventsAnswer())
@operation("events.read")
def list_events(query: dict[str, Any]) -> Mapping[str, Any]:
    """Events by state, peer and subject, page by page."""
    filters = {name: query[name] for name in ("state", "peer", "subject_key")}
    return paged(
        "events", query, lambda **page: dead_letters.listed(hospital().database, **filters, **page), answers().event
    )


@blp.route("/events/<string:event_id>", methods=["GET"])
@blp.response(200, EventShown())
@operation("events.read")
def show_event(event_id: str) -> Mapping[str, Any]:
    """One event with every attempt to deliver it, and how many later ones of its subject wait behind it."""
    row, attempts, behind = dead_letters.show(hospital().database, event_id)
    deliveries = [{**asdict(each), "at": answers().time(each.at)} for each in attempts]
    return {**answers().event(row), "behind": behind, "deliveries": deliveries}


@blp.route("/events/<string:event_id>/replay", methods=["POST"])
@blp.arguments(schemas.Nothing())
@blp.response(200, EventAnswer())
@operation("events.settle", writes=True)
def replay_event(body: dict[str, Any], event_id: str) -> Mapping[str, Any]:
    """Send a dead letter again, at once."""
    here = hospital()

    def act(key: RequestKey) -> Mapping[str, Any]:
        dead_letters.replay(here.database, event_id, actor(), here.clock.now(), key)
        return answers().event(dead_letters.show(here.database, event_id)[0])

    return write("event.replay", body, act)


@blp.route("/events/<string:event_id>/discard", methods=["POST"])
@blp.arguments(Discard())
@blp.response(200, EventAnswer())
@operation("events.settle", writes=True)
def discard_event(body: dict[str, Any], event_id: str) -> Mapping[str, Any]:
    """Give a dead letter up, with a reason: the later ones of its subject go on."""
    here = hospital()

    def act(key: RequestKey) -> Mapping[str, Any]:
        dead_letters.discard(here.database, event_id, actor(), here.clock.now(), body["reason"], key)
        return answers().event(dead_letters.show(here.database, event_id)[0])

    return write("event.discard", body, act)


def _one(code: str) -> Mapping[str, Any]:
    row = next((row for row in kept.overview(hospital().database) if row.code == code), None)
    if row is None:
        raise NotFound("peer", code)
    g.version = kept.version(hospital().database, code)
    return _peer(row)


def _peer(row: PeerRow) -> dict[str, Any]:
    times = {name: answers().time(getattr(row, name)) for name in ("paused_until", "listens_since", "oldest")}
    return {**asdict(row), **times}
