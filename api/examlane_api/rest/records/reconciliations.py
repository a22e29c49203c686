"""Nightly reconciliations with peers: listed, looked at, settled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from typing import Any

from marshmallow import Schema, fields, validate

from examlane.reconciliation import runs
from examlane.reconciliation.runs import Run
from examlane.records.receipts import RequestKey
from examlane_api.rest.api import actor, answers, blueprint, hospital, operation, write
from examlane_api.rest.fields import CleanText, Code, Day, internal
from examlane_api.rest.paging import Page, Paged, paged

blp = blueprint("reconciliations", "Nightly reconciliations with peers")


class ReconciliationQuery(Page):
    peer = Code(32, load_default=None)
    day = Day(load_default=None)
    unsettled = fields.String(load_default="", validate=validate.OneOf(["", "true"]))


class ReconciliationSettlement(Schema):
    reason = CleanText(200, required=True)


class ReconciledDifference(Schema):
    subject = fields.String()
    key = fields.String()
    code = fields.String()
    field = fields.String()
    here = fields.String()
    there = fields.String()


class ReconciliationAnswer(Schema):
    id = fields.Integer()
    peer = fields.String()
    day = fields.String()
    state = fields.String()
    error = fields.String()
    compared = fields.Dict()
    differences = fields.Integer()
    ran_at = fields.String()
    settled_at = fields.String(allow_none=True)
    settled_by = fields.String()
    note = fields.String()


class ReconciliationsAnswer(Paged):
    reconciliations = fields.List(fields.Nested(ReconciliationAnswer))


class ReconciliationShown(ReconciliationAnswer):
    found = fields.List(fields.Nested(ReconciledDifference))


@blp.route("/reconciliations", methods=["GET"])
@blp.arguments(ReconciliationQuery(), location="query")
@blp.response(200, ReconciliationsAnswer())
@operation("reconciliation.read")
def list_runs(query: dict[str, Any]) -> Mapping[str, Any]:
    """Runs by peer and day, page by page; `unsettled`: those that failed or found differences nobody has cleared."""
    read = partial(runs.listed, hospital().database)
    day = query["day"].isoformat() if query["day"] else None
    more = {"peer": query["peer"], "day": day, "unsettled": bool(query["unsettled"])}
    return paged("reconciliations", query, read, _run, **more)


@blp.route("/reconciliations/<string:key>", methods=["GET"])
@blp.response(200, ReconciliationShown())
@operation("reconciliation.read")
def show_run(key: str) -> Mapping[str, Any]:
    """One run with its differences, 2,000 of them at most."""
    run, found = runs.show(hospital().database, internal(key))
    return {**_run(run), "found": [asdict(each) for each in found]}


@blp.route("/reconciliations/<string:key>/settlement", methods=["POST"])
@blp.arguments(ReconciliationSettlement())
@blp.response(200, ReconciliationAnswer())
@operation("reconciliation.settle", writes=True)
def settle_run(body: dict[str, Any], key: str) -> Mapping[str, Any]:
    """Somebody has cleared what a run found, or why it failed: its desk task is closed."""

    def act(request: RequestKey) -> Mapping[str, Any]:
        return _run(runs.settle(hospital(), internal(key), body["reason"], actor(), request))

    return write("reconciliation.settle", body, act)


def _run(run: Run) -> dict[str, Any]:
    return {**asdict(run), "ran_at": answers().time(run.ran_at), "settled_at": answers().time(run.settled_at)}
