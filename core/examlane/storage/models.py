"""The tables of people, places and orders; appointments and records are in `ledger.py`. Words: docs/glossary.md."""

from __future__ import annotations

from peewee import (
    SQL,
    BigAutoField,
    CharField,
    Check,
    ForeignKeyField,
    IntegerField,
    Model,
    Node,
    TextField,
)

from examlane.storage.fields import DayField, FlagField, InstantField, JsonField

ZERO: list[Node] = [SQL("DEFAULT 0")]


class Table(Model):
    """Every table has a permanent internal id and a singular, lower-case name."""

    id = BigAutoField()

    class Meta:
        legacy_table_names = False


class Setting(Table):
    """Counters that tell every process that master data or the rollout changed."""

    name = CharField(max_length=64, unique=True)
    value = IntegerField(default=0)


# Who and where


class Campus(Table):
    code = CharField(max_length=32, unique=True)
    name = CharField(max_length=64)
    name_en = CharField(max_length=64, default="")


class Department(Table):
    code = CharField(max_length=32, unique=True)
    name = CharField(max_length=64)
    name_en = CharField(max_length=64, default="")
    campus = ForeignKeyField(Campus)
    executing = FlagField(default=0)
    ordering = FlagField(default=0)
    mode = CharField(max_length=16, default="manual")
    mode_changed_by = CharField(max_length=64, default="")
    mode_changed_at = InstantField(null=True)
    policy = JsonField(default="{}")
    version = IntegerField(default=1)


class DepartmentPlugin(Table):
    """How far a plugin counts in a department; `position` orders the chain."""

    department = ForeignKeyField(Department)
    plugin = CharField(max_length=64)
    stage = CharField(max_length=8, default="off")
    pilot_percent = IntegerField(default=10)
    required = FlagField(default=0)
    position = IntegerField(default=0)
    settings = JsonField(default="{}")
    changed_by = CharField(max_length=64, default="")
    changed_at = InstantField(null=True)
    version = IntegerField(default=1)

    class Meta:
        indexes = ((("department", "plugin"), True),)


class RuleVersion(Table):
    """One version of a clinical rule as this hospital keeps it; never changed in place, active once it is signed."""

    plugin = CharField(max_length=64)
    rule = CharField(max_length=64)
    version = CharField(max_length=32)
    valid_from = DayField()
    valid_to = DayField(null=True)
    profile = JsonField(default="{}")
    content = JsonField()
    state = CharField(max_length=16)
    approvals = JsonField(default="[]")
    created_by = CharField(max_length=64)
    created_at = InstantField()
    reason = CharField(max_length=200, default="")

    class Meta:
        indexes = ((("rule", "version"), True),)


class RuleChoice(Table):
    """Which of several contradicting sources the hospital follows, where a plugin leaves the choice."""

    plugin = CharField(max_length=64)
    choice = CharField(max_length=64)
    profile = CharField(max_length=64)
    chosen_by = CharField(max_length=64)
    chosen_at = InstantField()

    class Meta:
        indexes = ((("plugin", "choice"), True),)


class ExamItem(Table):
    code = CharField(max_length=64, unique=True)
    name = CharField(max_length=128)
    name_en = CharField(max_length=128, default="")
    modality = CharField(max_length=16)
    body_part = CharField(max_length=64, default="")
    department = ForeignKeyField(Department)
    attributes = JsonField(default="{}")
    is_active = FlagField(default=1)


class ResourceGroup(Table):
    """Equal resources of one place; every slot of the group is `slice_minutes` long."""

    code = CharField(max_length=64, unique=True)
    name = CharField(max_length=64)
    name_en = CharField(max_length=64, default="")
    department = ForeignKeyField(Department)
    campus = ForeignKeyField(Campus)
    zone = CharField(max_length=64)
    role = CharField(max_length=32, default="room")
    slice_minutes = IntegerField(constraints=[Check("slice_minutes between 5 and 60")])


class Resource(Table):
    code = CharField(max_length=64, unique=True)
    name = CharField(max_length=64)
    name_en = CharField(max_length=64, default="")
    group = ForeignKeyField(ResourceGroup)
    is_active = FlagField(default=1)


class Service(Table):
    """An item at a resource group: for whom, how long, and how it is given out."""

    item = ForeignKeyField(ExamItem)
    group = ForeignKeyField(ResourceGroup)
    minutes = IntegerField(constraints=[Check("minutes > 0")])
    extra_minutes = JsonField(default="{}")
    mode = CharField(max_length=16, default="automatic")
    min_age = IntegerField(null=True)
    max_age = IntegerField(null=True)
    sex = CharField(max_length=8, default="")
    max_weight_kg = IntegerField(null=True)
    encounter_classes = JsonField(default="[]")
    valid_from = DayField(null=True)
    valid_to = DayField(null=True)

    class Meta:
        indexes = ((("item", "group"), True),)


class WalkingTime(Table):
    zone_a = CharField(max_length=64)
    zone_b = CharField(max_length=64)
    minutes = IntegerField()

    class Meta:
        indexes = ((("zone_a", "zone_b"), True),)


# Time and capacity


class CalendarDay(Table):
    """A public holiday, or a make-up workday (调休) with the weekday that applies (1 = Monday)."""

    day = DayField(unique=True)
    kind = CharField(max_length=8)
    weekday_applies = IntegerField(null=True)
    name = CharField(max_length=64, default="")


class Roster(Table):
    """A weekly template: on this weekday (1 = Monday) of week `week` in a cycle, open from start to end of day minutes.

    `ends_minute` beyond 1440 is a shift over midnight: it belongs to the business date it began on.
    """

    resource = ForeignKeyField(Resource)
    weekday = IntegerField(constraints=[Check("weekday between 1 and 7")])
    starts_minute = IntegerField()
    ends_minute = IntegerField()
    capacity = IntegerField(default=1)
    audience = CharField(max_length=16, default="general")
    cycle_weeks = IntegerField(default=1)
    week = IntegerField(default=0)
    valid_from = DayField(null=True)
    valid_to = DayField(null=True)

    class Meta:
        constraints = (Check("ends_minute > starts_minute"),)


class RosterChange(Table):
    """A dated change of the template: stop, swap (with another resource), replace (by another), or add."""

    resource = ForeignKeyField(Resource)
    day = DayField(index=True)
    kind = CharField(max_length=8)
    starts_minute = IntegerField(null=True)
    ends_minute = IntegerField(null=True)
    capacity = IntegerField(null=True)
    audience = CharField(max_length=16, default="general")
    other_resource = ForeignKeyField(Resource, null=True)
    reason = CharField(max_length=200)
    actor = CharField(max_length=64)
    created_at = InstantField()


class Slot(Table):
    """The only truth about capacity. `taken` is the sum of unreleased claims; nothing else consumes it.

    `withheld` seats came free and are not given out yet: they are offered to the waiting list, or returned later.
    """

    resource = ForeignKeyField(Resource, index=False)
    audience = CharField(max_length=16, default="general")
    day = DayField()
    start_at = InstantField()
    end_at = InstantField()
    capacity = IntegerField()
    extra = IntegerField(default=0, constraints=ZERO)
    taken = IntegerField(default=0, constraints=ZERO)
    withheld = IntegerField(default=0, constraints=ZERO)
    closed = FlagField(default=0, constraints=ZERO)
    is_open = FlagField(default=1)

    class Meta:
        constraints = (
            Check("taken >= 0 and withheld >= 0 and taken + withheld <= capacity + extra"),
            Check("end_at > start_at"),
        )
        indexes = ((("resource", "start_at", "audience"), True),)


Slot.add_index(Slot.index(Slot.resource, Slot.audience, Slot.start_at, where=SQL("is_open = 1"), name="slot_open"))
Slot.add_index(Slot.index(Slot.day, Slot.resource, name="slot_day"))


# Patients


class Patient(Table):
    """`version` orders all writes on a patient's orders, gates and appointments."""

    name = CharField(max_length=64)
    sex = CharField(max_length=8, default="unknown")
    birth_date = DayField(null=True)
    phone = CharField(max_length=32, default="", index=True)
    region = CharField(max_length=16, default="")
    out_of_town = FlagField(default=0)
    died_at = InstantField(null=True)
    version = IntegerField(default=1)
    merged_into = ForeignKeyField("self", null=True)


class PatientFact(Table):
    """A clinical fact that holds for the patient whatever is ordered: weight, pregnancy; from a peer or a provider."""

    patient = ForeignKeyField(Patient)
    name = CharField(max_length=48)
    value = JsonField()
    observed_at = InstantField(null=True)
    source = CharField(max_length=64)
    recorded_at = InstantField()

    class Meta:
        indexes = ((("patient", "name", "source"), True),)


class PatientIdentifier(Table):
    patient = ForeignKeyField(Patient)
    kind = CharField(max_length=32)
    value = CharField(max_length=64, index=True)

    class Meta:
        indexes = ((("kind", "value"), True),)


class Encounter(Table):
    number = CharField(max_length=64, unique=True)
    patient = ForeignKeyField(Patient)
    encounter_class = CharField(max_length=16)
    ward = CharField(max_length=64, default="")
    bed = CharField(max_length=32, default="")
    campus = CharField(max_length=32, default="")
    needs = JsonField(default="[]")
    state = CharField(max_length=16, default="open")


# Orders


class Order(Table):
    number = CharField(max_length=64, unique=True)
    patient = ForeignKeyField(Patient)
    encounter = ForeignKeyField(Encounter)
    ordering_department = CharField(max_length=32)
    doctor = CharField(max_length=64, default="")
    priority = CharField(max_length=16, default="routine")
    context = JsonField(default="{}")
    note = TextField(default="")
    drawing = TextField(default="")
    replaces = CharField(max_length=64, default="")
    provisional = FlagField(default=0)
    ordered_at = InstantField()
    version = IntegerField(default=1)

    class Meta:
        table_name = "exam_order"


class OrderItem(Table):
    """One ordered exam. `state` is what the rules said; `release` is the fact that lets it be booked.

    `payable_told`: what the cashier was told last of whether it may be paid.
    """

    key = CharField(max_length=80, unique=True)
    order = ForeignKeyField(Order)
    patient = ForeignKeyField(Patient)
    line = IntegerField()
    item = ForeignKeyField(ExamItem)
    state = CharField(max_length=24, default="received")
    findings = JsonField(default="[]")
    fills = JsonField(default="{}")
    confirmed = JsonField(default="{}")
    earliest_at = InstantField(null=True)
    price = CharField(max_length=20, default="")
    payment = CharField(max_length=16, default="unpaid")
    release = CharField(max_length=16, default="")
    released_at = InstantField(null=True)
    reason = CharField(max_length=64, default="")
    payable_told = FlagField(null=True)

    class Meta:
        indexes = ((("order", "line"), True),)


class Payment(Table):
    """A payment or refund as reported, kept even when its order is unknown."""

    order_number = CharField(max_length=64, index=True)
    order_item = ForeignKeyField(OrderItem, null=True)
    lines = JsonField(default="[]")
    kind = CharField(max_length=16, default="paid")
    amount = CharField(max_length=20, default="")
    settlement = CharField(max_length=64, default="")
    paid_at = InstantField()
    source = CharField(max_length=64)


class Evidence(Table):
    """A fact about a patient, stored without needing an order."""

    patient = ForeignKeyField(Patient)
    kind = CharField(max_length=64)
    outcome = CharField(max_length=32)
    scope = CharField(max_length=80, default="")
    data = JsonField(default="{}")
    observed_at = InstantField()
    valid_until = InstantField(null=True)
    source = CharField(max_length=64)
    recorded_at = InstantField()


class Gate(Table):
    """A condition of an order item, as last answered."""

    order_item = ForeignKeyField(OrderItem)
    kind = CharField(max_length=64)
    state = CharField(max_length=8)
    code = CharField(max_length=64, default="")
    reason = JsonField(default="{}")
    next_action = JsonField(default="{}")
    owner = CharField(max_length=64, default="")
    payable = FlagField(default=0)
    valid_until = InstantField(null=True)
    plugin = CharField(max_length=64, default="")
    evaluated_at = InstantField()

    class Meta:
        indexes = ((("order_item", "kind"), True),)
