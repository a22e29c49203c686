"""The tables of who a patient is and where he lies: wards, merged records, relatives, check-up groups."""

from __future__ import annotations

from peewee import CharField, Check, ForeignKeyField, IntegerField

from examlane.storage.fields import DayField, FlagField, InstantField, JsonField
from examlane.storage.ledger import Appointment, DeskTask
from examlane.storage.models import (
    Encounter,
    Patient,
    Table,
)


class EncounterEvent(Table):
    """What was reported of an encounter: admission, transfer, discharge, death. `at` orders them, whenever they came.

    `before` is the encounter as it stood before the first of the facts that count; `effects` are what a withdrawal must
    put back.
    """

    encounter = ForeignKeyField(Encounter)
    kind = CharField(max_length=16)
    at = InstantField()
    ward = CharField(max_length=64, null=True)
    bed = CharField(max_length=32, null=True)
    campus = CharField(max_length=32, null=True)
    needs = JsonField(null=True)
    convert = FlagField(default=0)
    before = JsonField(default="{}")
    effects = JsonField(default="{}")
    actor = CharField(max_length=64)
    recorded_at = InstantField()
    withdrawn_at = InstantField(null=True)
    withdrawn_by = CharField(max_length=64, default="")
    withdrawn_reason = CharField(max_length=200, default="")


class WardAnswer(Table):
    """What a ward said of a visit at the time it had then; the newest of a visit's present time counts."""

    appointment = ForeignKeyField(Appointment)
    answer = CharField(max_length=32)
    reason = CharField(max_length=32, default="")
    note = CharField(max_length=200, default="")
    start_at = InstantField()
    at = InstantField()
    actor = CharField(max_length=64)


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
