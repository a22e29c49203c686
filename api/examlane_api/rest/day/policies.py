"""How a department works its day: its policy read and set, with the defaults that count."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from flask import g
from marshmallow import Schema, fields

from examlane.capacity import policy
from examlane.storage.fields import epoch
from examlane_api.rest.api import actor, blueprint, expecting, hospital, operation
from examlane_api.rest.fields import ByName, Code, Whole

blp = blueprint("policies", "How departments work their day")


class Policy(Schema):
    """All settings; what is left out takes its default."""

    policy = ByName(Code(64), fields.Raw(allow_none=True), 60, required=True)
    version = Whole(0, 1_000_000, load_default=None, allow_none=True)


class PolicyAnswer(Schema):
    """`policy` is what was set, `effective` what counts with the defaults."""

    department = fields.String()
    version = fields.Integer()
    policy = fields.Dict()
    effective = fields.Dict()


@blp.route("/departments/<string:code>/policy", methods=["GET"])
@blp.response(200, PolicyAnswer())
@operation("department.policy", tagged=True)
def read_policy(code: str) -> Mapping[str, Any]:
    """What a department has set for its day, and what counts with the defaults."""
    return _answer(code)


@blp.route("/departments/<string:code>/policy", methods=["PUT"])
@blp.arguments(Policy())
@blp.response(200, PolicyAnswer())
@operation("department.policy", expects=True)
def set_policy(body: dict[str, Any], code: str) -> Mapping[str, Any]:
    """Set all of a department's policy. `version` or If-Match names the version that was read."""
    here, body = hospital(), expecting(body)
    policy.set_policy(here.database, code, body["policy"], actor(), epoch(here.clock.now()), version=body["version"])
    return _answer(code)


def _answer(code: str) -> Mapping[str, Any]:
    found = policy.of(hospital().database, code)
    g.version = found.version
    return {
        "department": code, "version": found.version, "policy": found.stored, "effective": asdict(found.effective),
    }  # fmt: skip
