"""Rules over the wire: versions, drafts, signatures, choices between sources, and dry runs."""

from __future__ import annotations

from marshmallow import Schema, fields, validate

from examlane.extension.rules import ACTIVE, PROPOSED
from examlane.insight import trials
from examlane_api.rest.fields import ByName, CleanText, Code, Several, Whole, YesNo
from examlane_api.rest.paging import Page, Paged
from examlane_api.rest.schemas import Words

# What is sent to us


class RuleQuery(Page):
    plugin = Code(64, load_default=None)
    state = fields.String(load_default=None, validate=validate.OneOf([ACTIVE, PROPOSED]))


class Draft(Schema):
    """Fields of `rule` replace those of the version `based_on`, or of the one that counts; null leaves one out."""

    rule = fields.Dict(fields.String(), fields.Raw(), required=True)
    based_on = CleanText(32, minimum=0, load_default="")
    whole = YesNo(load_default=False)


class Proposal(Draft):
    reason = CleanText(200, required=True)


class Approval(Schema):
    role = CleanText(64, required=True)


class Choice(Schema):
    plugin = Code(64, required=True)
    choice = Code(64, required=True)
    profile = Code(64, required=True)


class TriedDraft(Draft):
    id = Code(56, required=True)


class Trial(Schema):
    plugin = Code(64, required=True)
    drafts = Several(fields.Nested(TriedDraft), 0, 20, load_default=list)
    profiles = ByName(Code(64), Code(64), 20, load_default=dict)
    days = Whole(1, 92, load_default=trials.DAYS)
    limit = Whole(1, 10_000, load_default=trials.LIMIT)


# What we answer


class ApprovalAnswer(Schema):
    role = fields.String()
    by = fields.String()
    at = fields.String()


class RuleVersionAnswer(Schema):
    plugin = fields.String()
    rule = fields.String()
    version = fields.String()
    state = fields.String()
    valid_from = fields.String()
    valid_to = fields.String(allow_none=True)
    profile = fields.Dict(fields.String(), fields.String())
    source = fields.String()
    action = fields.String()
    text = fields.Nested(Words)
    approvers = fields.List(fields.String())
    missing = fields.List(fields.String())
    approvals = fields.List(fields.Nested(ApprovalAnswer))
    created_by = fields.String()
    created_at = fields.String()
    reason = fields.String()


class WholeVersionAnswer(RuleVersionAnswer):
    content = fields.Dict()


class RulesAnswer(Paged):
    rules = fields.List(fields.Nested(RuleVersionAnswer))


class RuleAnswer(Schema):
    rule = fields.String()
    counts = fields.String(allow_none=True, metadata={"description": "the version that counts today"})
    versions = fields.List(fields.Nested(WholeVersionAnswer))


class ChoiceAnswer(Schema):
    plugin = fields.String()
    choice = fields.String()
    text = fields.Nested(Words)
    profiles = fields.Dict(fields.String(), fields.Nested(Words))
    default = fields.String()
    profile = fields.String()
    chosen_by = fields.String()
    chosen_at = fields.String(allow_none=True)


class ChoicesAnswer(Schema):
    choices = fields.List(fields.Nested(ChoiceAnswer))


class SaidAnswer(Schema):
    kind = fields.String()
    code = fields.String()
    text = fields.Nested(Words)


class DecisionAnswer(Schema):
    state = fields.String()
    said = fields.List(fields.Nested(SaidAnswer))


class DifferenceAnswer(Schema):
    order = fields.String()
    item = fields.String()
    name = fields.Nested(Words)
    ordered_at = fields.String()
    before = fields.Nested(DecisionAnswer)
    after = fields.Nested(DecisionAnswer)


class LeftOutAnswer(Schema):
    reason = fields.Nested(Words)
    items = fields.Integer()


class TrialAnswer(Schema):
    since = fields.String()
    until = fields.String()
    orders = fields.Integer()
    replayed = fields.Integer()
    items = fields.Integer()
    different = fields.Integer()
    differences = fields.List(fields.Nested(DifferenceAnswer))
    left_out = fields.List(fields.Nested(LeftOutAnswer))
