"""The tables of a hospital's ordinary day: what changes between order and examination."""

from __future__ import annotations

from peewee import CharField, Check, ForeignKeyField, IntegerField

from examlane.storage.fields import DayField, FlagField, InstantField, JsonField
from examlane.storage.ledger import Appointment, DeskTask
from examlane.storage.models import Patient, Resource, RosterChange, Table

# Orders sent back, changed, refunded; patients updated and merged; wards


class PatientMerge(Table):
    """Two records of one person were joined: everything of `merged` was linked to `kept`, until it is undone.

    `filled`: what `kept` did not know of the person and took over, by column.
    """

    kept = ForeignKeyField(Patient)
    merged = ForeignKeyField(Patient)
    filled = JsonField(default="{}")
    actor = CharField(max_length=64)
    channel = CharField(max_length=16)
    merged_at = InstantField()
    undone_at = InstantField(null=True)
    undone_by = CharField(max_length=64, default="")


class PatientMergeRow(Table):
    """A row that a merge linked to the other patient: exactly these go back when it is undone."""

    merge = ForeignKeyField(PatientMerge)
    table = CharField(max_length=48, column_name="of_table")
    row = IntegerField(column_name="of_row")

    class Meta:
        indexes = ((("merge", "table", "row"), True), (("table", "row"), False))


class MergeOverlap(Table):
    """Two visits that overlap because their patients turned out to be one; accepted while its desk task is open."""

    first = ForeignKeyField(Appointment)
    second = ForeignKeyField(Appointment)
    task = ForeignKeyField(DeskTask)

class PossibleDuplicate(Table):
    """Two records that may be one person, `first` the older one: the desk was told once, whatever came of it."""

    first = ForeignKeyField(Patient)
    second = ForeignKeyField(Patient)
    task = ForeignKeyField(DeskTask)
    found_at = InstantField()

    class Meta:
        indexes = ((("first", "second"), True),)


class PatientRelation(Table):
    """What another person is to a patient: mother, guardian, child."""

    patient = ForeignKeyField(Patient)
    other = ForeignKeyField(Patient)
    kind = CharField(max_length=16)
    actor = CharField(max_length=64)
    created_at = InstantField()

    class Meta:
        indexes = ((("patient", "other", "kind"), True),)


# Arrival: walk-ins, calls, queues, bedside

# No-shows and their consequences

# Suspensions


class Suspension(Table):
    """Time that falls away: a device is down, somebody is absent, a roster or the calendar changes; until it is ended.

    `state`: applying, applied, ending, ended. `department` is empty where it concerns the whole hospital.
    """

    number = CharField(max_length=16, unique=True)
    kind = CharField(max_length=16)
    department = CharField(max_length=32, default="")
    request = JsonField(default="{}")
    starts_at = InstantField()
    ends_at = InstantField()
    roster_change = ForeignKeyField(RosterChange, null=True)
    reason = CharField(max_length=200)
    state = CharField(max_length=16, default="applying", index=True)
    seats_lost = IntegerField(default=0)
    move_back = FlagField(default=0)
    actor = CharField(max_length=64)
    channel = CharField(max_length=16)
    created_at = InstantField()
    applied_at = InstantField(null=True)
    ended_at = InstantField(null=True)
    ended_by = CharField(max_length=64, default="")


class SuspensionScope(Table):
    """The time of a resource that a suspension is about. Where it `closes`, no slot in it is open as long as it lasts.

    With a `day` only the slots of that business date are meant: a shift of the night before is not.
    """

    suspension = ForeignKeyField(Suspension)
    resource = ForeignKeyField(Resource)
    day = DayField(null=True)
    start_at = InstantField()
    end_at = InstantField()
    closes = FlagField(default=1)


class CalendarChange(Table):
    """A business date that became a holiday (no weekday) or a workday with the weekday that applies, while it lasts."""

    suspension = ForeignKeyField(Suspension)
    day = DayField()
    department = CharField(max_length=32, default="")
    weekday_applies = IntegerField(null=True)


class SuspensionVisit(Table):
    """A visit that a suspension concerns, in the order they are served, and what became of it.

    `outcome`: pending, moved, moved_along, suspended, kept, released (a hold), gone (not concerned any more).
    `version` is the appointment's after that; `undone`: restored, moved_back or stays, once the suspension has ended.
    """

    suspension = ForeignKeyField(Suspension)
    appointment = ForeignKeyField(Appointment)
    position = IntegerField()
    rank = CharField(max_length=16)
    outcome = CharField(max_length=16, default="pending")
    old_start_at = InstantField()
    old_group = CharField(max_length=64)
    new_start_at = InstantField(null=True)
    new_group = CharField(max_length=64, default="")
    version = IntegerField(default=0)
    code = CharField(max_length=64, default="")
    reason = JsonField(default="{}")
    flags = JsonField(default="[]")
    undone = CharField(max_length=16, default="")

    class Meta:
        indexes = ((("suspension", "appointment"), True), (("suspension", "outcome", "position"), False))


# Check-up groups


class CheckupContract(Table):
    """What a unit ordered for its people: a package of exams, from when until when, so many people a day and campus.

    `items`: `{"item", "sex"}`, the sex empty for everybody. `quotas`: people a day, by campus. `state`: open, cancelled.
    """

    number = CharField(max_length=32, unique=True)
    unit = CharField(max_length=100)
    items = JsonField()
    quotas = JsonField()
    starts_on = DayField()
    ends_on = DayField()
    state = CharField(max_length=16, default="open")
    version = IntegerField(default=1)
    actor = CharField(max_length=64)
    created_at = InstantField()


class CheckupQuota(Table):
    """The people of a contract on one campus and business date: never more `taken` than `seats`."""

    contract = ForeignKeyField(CheckupContract)
    campus = CharField(max_length=32)
    day = DayField()
    seats = IntegerField()
    taken = IntegerField(default=0)

    class Meta:
        constraints = (Check("taken >= 0 and taken <= seats"),)
        indexes = ((("contract", "campus", "day"), True),)


class CheckupPerson(Table):
    """A person of a contract. `state`: listed, booked (with its quota), desk (no group day was found), left."""

    contract = ForeignKeyField(CheckupContract)
    patient = ForeignKeyField(Patient)
    order_number = CharField(max_length=64, default="")
    state = CharField(max_length=16, default="listed")
    quota = ForeignKeyField(CheckupQuota, null=True)

    class Meta:
        indexes = ((("contract", "patient"), True),)

# Going live: what an external system booked

# Waiting list, withheld seats

# Reminders and the call list

# Context providers
