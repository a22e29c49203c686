"""What goes over the wire, one schema a resource. Input is strict: unknown names are refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from examlane import DepartmentMode, EncounterClass, Priority, Sex, Stage
from examlane.appointments.states import State
from examlane.arrival.executing import NOT_DONE
from examlane_api.rest.fields import (
    ByName,
    CleanText,
    ClinicalValue,
    Code,
    Count,
    Day,
    Instant,
    OrderNumber,
    PatientKey,
    Phone,
    Several,
    Whole,
    YesNo,
)
from examlane_api.rest.paging import Page, Paged


class Words(Schema):
    zh = fields.String()
    en = fields.String()


# What is sent to us


class Identifier(Schema):
    kind = Code(32, required=True)
    value = Code(64, required=True)


class Patient(Schema):
    identifiers = Several(fields.Nested(Identifier), 1, 10, required=True)
    name = CleanText(64, required=True)
    sex = fields.Enum(Sex, by_value=True, load_default=Sex.UNKNOWN)
    birth_date = Day(load_default=None, allow_none=True)
    phone = Phone(load_default="")
    region = CleanText(16, minimum=0, load_default="")
    out_of_town = YesNo(load_default=False)


class Encounter(Schema):
    number = Code(64, required=True)
    encounter_class = fields.Enum(EncounterClass, by_value=True, required=True)
    ward = CleanText(64, minimum=0, load_default="")
    campus = CleanText(32, minimum=0, load_default="")
    needs = Several(Code(32), 0, 10, load_default=())


class OrderLine(Schema):
    line = Whole(1, 999, required=True)
    item = Code(64, required=True)
    confirmed = Several(Code(64), 0, 20, load_default=())
    confirm_reason = CleanText(200, minimum=0, load_default="")
    price = fields.String(load_default="", validate=validate.Regexp(r"([0-9]{1,9}(\.[0-9]{1,2})?)?\Z"))


class ClinicalFact(Schema):
    value = ClinicalValue(required=True)
    observed_at = Instant(load_default=None, allow_none=True)
    source = CleanText(64, minimum=0, load_default="")


class Order(Schema):
    number = OrderNumber(64, required=True)
    patient = fields.Nested(Patient, required=True)
    encounter = fields.Nested(Encounter, required=True)
    ordering_department = Code(32, required=True)
    doctor = CleanText(64, minimum=0, load_default="")
    priority = fields.Enum(Priority, by_value=True, load_default=Priority.ROUTINE)
    ordered_at = Instant(required=True)
    items = Several(fields.Nested(OrderLine), 1, 50, required=True)
    context = ByName(Code(48), fields.Nested(ClinicalFact), 60, load_default=dict)
    note = CleanText(2000, minimum=0, lines=True, load_default="")
    replaces = CleanText(64, minimum=0, load_default="")
    verified = YesNo(load_default=False)
    carry_payment = YesNo(load_default=False)


class Evidence(Schema):
    patient = fields.Nested(Identifier, required=True)
    kind = Code(64, required=True)
    outcome = Code(32, required=True)
    observed_at = Instant(required=True)
    valid_until = Instant(load_default=None, allow_none=True)
    scope = CleanText(80, minimum=0, load_default="")
    source = CleanText(64, minimum=0, load_default="")
    data = ByName(Code(48), ClinicalValue(), 40, load_default=dict)


class Payment(Schema):
    order = Code(64, required=True)
    lines = Several(Whole(1, 999), 0, 50, load_default=())
    amount = fields.String(load_default="", validate=validate.Regexp(r"([0-9]{1,9}(\.[0-9]{1,2})?)?\Z"))
    settlement = CleanText(64, minimum=0, load_default="")
    paid_at = Instant(required=True)


class TimeQuery(Schema):
    items = Several(Code(80), 0, 20, load_default=())
    appointment = Code(16, load_default=None)
    days = Count(1, 60, load_default=7)
    limit = Count(1, 200, load_default=20)
    since = Day(load_default=None)


class ChosenTime(Schema):
    items = Several(Code(80), 1, 20, required=True)
    group = Code(64, required=True)
    starts_at = Instant(required=True)


class Booking(Schema):
    """Either `items` with `group` and `starts_at`, or the token of a `hold`."""

    items = Several(Code(80), 0, 20, load_default=list)
    group = Code(64, load_default=None)
    starts_at = Instant(load_default=None)
    hold = CleanText(200, load_default=None)

    @validates_schema
    def _one_of_both(self, data: Mapping[str, Any], **_: Any) -> None:
        missing = [name for name in ("items", "group", "starts_at") if not data[name]]
        if data["hold"] and len(missing) < 3:
            raise ValidationError({"hold": ["Not beside items, group and starts_at."]})
        if not data["hold"] and missing:
            raise ValidationError({name: ["Missing data for required field."] for name in missing})


class Reschedule(Schema):
    group = Code(64, required=True)
    starts_at = Instant(required=True)
    version = Whole(1, 1_000_000, load_default=None, allow_none=True)
    reason = CleanText(200, minimum=0, load_default="")


class Cancellation(Schema):
    """`by_patient`: he gives the time up himself; left out, it is so unless a registrar sends it."""

    reason = CleanText(200, required=True)
    by_patient = YesNo(load_default=None, allow_none=True)
    version = Whole(1, 1_000_000, load_default=None, allow_none=True)


class Nothing(Schema):
    """A write that needs no more than its address."""


class CheckIn(Schema):
    """`at` is when the patient came, for a report that is sent later."""

    at = Instant(load_default=None, allow_none=True)


class Call(Schema):
    absent = YesNo(load_default=False)


class Execution(Schema):
    """`items`: the order items of the visit it is about; none: all. `at`: when it was, for a report that comes later.

    `rebook`: whether what was not done is planned again, free of charge; left out, `reason_code` decides.
    """

    state = fields.String(required=True, validate=validate.OneOf(["started", "finished", "not_done"]))
    items = Several(Code(80), 0, 20, load_default=())
    reason = CleanText(200, minimum=0, load_default="")
    reason_code = fields.String(validate=validate.OneOf(list(NOT_DONE)), load_default=None, allow_none=True)
    rebook = YesNo(load_default=None, allow_none=True)
    at = Instant(load_default=None, allow_none=True)


class AppointmentQuery(Page):
    """`state`: one or several. `day`, or `from` and `until`: the business date on which it is held."""

    department = Code(32, load_default=None)
    group = Code(64, load_default=None)
    day = Day(load_default=None)
    since = Day(load_default=None, data_key="from")
    until = Day(load_default=None)
    state = fields.List(fields.String(validate=validate.OneOf([state.value for state in State])), load_default=list)
    patient = PatientKey(load_default=None)


class Mode(Schema):
    mode = fields.Enum(DepartmentMode, by_value=True, required=True)
    version = Whole(1, 1_000_000, load_default=None, allow_none=True)


class PluginStage(Schema):
    stage = fields.Enum(Stage, by_value=True, required=True)
    pilot_percent = Whole(0, 100, load_default=None, allow_none=True)
    version = Whole(0, 1_000_000, load_default=None, allow_none=True)


class PluginSettings(Schema):
    """All settings; what is left out takes the plugin's default. `required` and `position` stay where null."""

    settings = ByName(Code(64), fields.Raw(allow_none=True), 60, required=True)
    required = YesNo(load_default=None, allow_none=True)
    position = Whole(0, 999, load_default=None, allow_none=True)
    version = Whole(0, 1_000_000, load_default=None, allow_none=True)


# What we answer


class PreparationAnswer(Schema):
    code = fields.String()
    text = fields.Nested(Words)
    fasting_hours = fields.Integer()
    lead_minutes = fields.Integer()


class AppointmentAnswer(Schema):
    """The patient's name is masked."""

    number = fields.String()
    version = fields.Integer()
    state = fields.String()
    patient = fields.String()
    department = fields.String()
    starts_at = fields.String()
    ends_at = fields.String()
    period = fields.Dict(fields.String(), fields.String())
    campus = fields.String()
    group = fields.String()
    place = fields.Nested(Words)
    queue_number = fields.Integer()
    automatic = fields.Boolean()
    fallback = fields.Boolean()
    items = fields.List(fields.String())
    preparation = fields.List(fields.Nested(PreparationAnswer))
    explanation = fields.Dict()
    no_show = fields.Dict()
    hold_expires_at = fields.String(allow_none=True)


class FindingAnswer(Schema):
    kind = fields.String()
    code = fields.String()
    text = fields.Nested(Words)
    rule = fields.String()
    rule_version = fields.String()
    source = fields.String()
    field = fields.String()
    value = fields.Raw(allow_none=True)
    until = fields.String(allow_none=True)
    needs_reason = fields.Boolean()


class GateAnswer(Schema):
    kind = fields.String()
    state = fields.String()
    code = fields.String()
    reason = fields.Dict()
    next_action = fields.Dict()
    owner = fields.String()
    payable = fields.Boolean()
    valid_until = fields.String(allow_none=True)


class ItemAnswer(Schema):
    order = fields.String()
    key = fields.String()
    line = fields.Integer()
    item = fields.String()
    name = fields.Nested(Words)
    department = fields.String()
    state = fields.String()
    reason = fields.String()
    message = fields.Nested(Words)
    payable = fields.Boolean()
    payment = fields.String()
    findings = fields.List(fields.Nested(FindingAnswer))
    fills = fields.Dict()
    gates = fields.List(fields.Nested(GateAnswer))
    appointment = fields.Nested(AppointmentAnswer, allow_none=True)


class ItemsAnswer(Schema):
    items = fields.List(fields.Nested(ItemAnswer))


class PayableItem(ItemAnswer):
    class Meta:
        fields = ("line", "key", "payable", "payment", "reason", "message", "gates")


class PayableAnswer(Schema):
    items = fields.List(fields.Nested(PayableItem))


class PaymentAnswer(ItemsAnswer):
    state = fields.String()


class JudgementAnswer(Schema):
    key = fields.String()
    item = fields.String()
    state = fields.String()
    payable = fields.Boolean()
    findings = fields.List(fields.Nested(FindingAnswer))
    gates = fields.List(fields.Nested(GateAnswer))


class ValidationAnswer(Schema):
    items = fields.List(fields.Nested(JudgementAnswer))


class TimeAnswer(Schema):
    starts_at = fields.String()
    period = fields.Dict(fields.String(), fields.String())
    group = fields.String()
    place = fields.Nested(Words)
    campus = fields.String()


class TimesAnswer(Schema):
    times = fields.List(fields.Nested(TimeAnswer))


class AppointmentsAnswer(Paged):
    appointments = fields.List(fields.Nested(AppointmentAnswer))


class HoldAnswer(AppointmentAnswer):
    """`token`: what books it, presented as `hold`, until `hold_expires_at`."""

    token = fields.String()


class PluginAnswer(Schema):
    plugin = fields.String()
    stage = fields.String()
    pilot_percent = fields.Integer()
    required = fields.Boolean()
    version = fields.Integer()
    changed_by = fields.String()
    changed_at = fields.String(allow_none=True)


class PluginSettingsAnswer(Schema):
    """`settings` are those that were set, `effective` those with the plugin's defaults."""

    department = fields.String()
    plugin = fields.String()
    stage = fields.String()
    required = fields.Boolean()
    position = fields.Integer()
    version = fields.Integer()
    changed_by = fields.String()
    changed_at = fields.String(allow_none=True)
    settings = fields.Dict()
    effective = fields.Dict()
    problem = fields.String()


class DepartmentAnswer(Schema):
    code = fields.String()
    name = fields.Nested(Words)
    campus = fields.String()
    mode = fields.String()
    version = fields.Integer()
    changed_by = fields.String()
    changed_at = fields.String(allow_none=True)
    plugins = fields.List(fields.Nested(PluginAnswer))


class DepartmentsAnswer(Schema):
    departments = fields.List(fields.Nested(DepartmentAnswer))


class ProblemPart(Schema):
    pointer = fields.String()
    detail = fields.String()
    detail_zh = fields.String()
    code = fields.String()
    rule = fields.String()


class Problem(Schema):
    """RFC 9457; must match what `problems.py` makes."""

    type = fields.String()
    title = fields.String()
    status = fields.Integer()
    code = fields.String()
    detail = fields.String()
    message = fields.Nested(Words)
    instance = fields.String()
    errors = fields.List(fields.Nested(ProblemPart))
