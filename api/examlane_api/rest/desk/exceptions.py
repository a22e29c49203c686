"""Exceptions over REST: why automation stopped; taken by somebody, closed for a reason."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from flask import g
from marshmallow import Schema, fields, validate

from examlane.appointments import desk
from examlane.reading import exceptions
from examlane.reading.exceptions import STATES, Task
from examlane.records.receipts import RequestKey
from examlane_api.rest.api import (
    actor,
    allow_department,
    answers,
    blueprint,
    departments_of,
    expecting,
    hospital,
    operation,
    write,
)
from examlane_api.rest.fields import CleanText, Code, Flag, Whole, internal
from examlane_api.rest.paging import Page, Paged, paged
from examlane_api.rest.schemas import Words

blp = blueprint("exceptions", "Exceptions that somebody must settle")
READ, SETTLE = "exception.read", "exception.settle"


class ExceptionQuery(Page):
    """`overdue`: only those whose deadline has passed."""

    department = Code(32, load_default=None)
    state = fields.String(validate=validate.OneOf(list(STATES)), load_default=None)
    code = Code(64, load_default=None)
    owner = CleanText(64, load_default=None)
    overdue = Flag(load_default=False)


class Taking(Schema):
    """`version` or If-Match names the version that was read."""

    version = Whole(1, 1_000_000, load_default=None, allow_none=True)


class Closing(Taking):
    reason = CleanText(200, required=True)


class ExceptionAnswer(Schema):
    """`state`: open, taken or closed. Without a department it is the whole hospital's. The patient's name is masked."""

    id = fields.String()
    code = fields.String()
    state = fields.String()
    department = fields.String()
    owner = fields.String()
    patient = fields.String(allow_none=True)
    order_item = fields.String(allow_none=True)
    appointment = fields.String(allow_none=True)
    reason = fields.Nested(Words)
    next_step = fields.Nested(Words)
    opened_at = fields.String()
    deadline_at = fields.String(allow_none=True)
    taken_by = fields.String()
    taken_at = fields.String(allow_none=True)
    closed_at = fields.String(allow_none=True)
    closed_by = fields.String()
    close_reason = fields.String()
    version = fields.Integer()


class ExceptionsAnswer(Paged):
    exceptions = fields.List(fields.Nested(ExceptionAnswer))


@blp.route("/exceptions", methods=["GET"])
@blp.arguments(ExceptionQuery(), location="query")
@blp.response(200, ExceptionsAnswer())
@operation(READ)
def list_exceptions(query: dict[str, Any]) -> Mapping[str, Any]:
    """What somebody must settle, by department, state, code and owner."""
    departments = departments_of(READ, query["department"])
    overdue_at = hospital().clock.now() if query["overdue"] else None

    def read(**page: Any) -> list[Task]:
        return exceptions.tasks(
            hospital().database, departments=departments, state=query["state"], code=query["code"],
            owner=query["owner"], overdue_at=overdue_at, **page,
        )  # fmt: skip

    return paged("exceptions", query, read, answers().exception)


@blp.route("/exceptions/<string:number>", methods=["GET"])
@blp.response(200, ExceptionAnswer())
@operation(READ, tagged=True)
def read_exception(number: str) -> Mapping[str, Any]:
    """One exception."""
    found = _allowed(READ, number)
    g.version = found.version
    return answers().exception(found)


@blp.route("/exceptions/<string:number>/taking", methods=["POST"])
@blp.arguments(Taking())
@blp.response(200, ExceptionAnswer())
@operation(SETTLE, writes=True, expects=True)
def take(body: dict[str, Any], number: str) -> Mapping[str, Any]:
    """The caller works on it now."""
    version = expecting(body)["version"]
    return _changed(
        "exception.take", number, body,
        lambda task, key: desk.take(
            hospital().database, task, actor(), hospital().clock.now(), key, version=version
        ),
    )  # fmt: skip


@blp.route("/exceptions/<string:number>/closing", methods=["POST"])
@blp.arguments(Closing())
@blp.response(200, ExceptionAnswer())
@operation(SETTLE, writes=True, expects=True)
def close(body: dict[str, Any], number: str) -> Mapping[str, Any]:
    """It is settled, for a reason."""
    version = expecting(body)["version"]
    return _changed(
        "exception.close", number, body,
        lambda task, key: desk.settle(
            hospital().database, task, actor(), hospital().clock.now(), key, reason=body["reason"], version=version
        ),
    )  # fmt: skip


def _allowed(name: str, number: str) -> Task:
    found = exceptions.task(hospital().database, internal(number))
    allow_department(name, found.department)
    return found


def _changed(name: str, number: str, body: Mapping[str, Any], act: Callable[[int, RequestKey], None]) -> Mapping[str, Any]:
    task = _allowed(SETTLE, number).id

    def once(key: RequestKey) -> Mapping[str, Any]:
        act(task, key)
        return answers().exception(exceptions.task(hospital().database, task))

    return write(name, body, once)
