"""The tables of a hospital's ordinary day: what changes between order and examination."""

from __future__ import annotations

from peewee import SQL, CharField, ForeignKeyField, IntegerField

from examlane.storage.fields import FlagField, InstantField, JsonField
from examlane.storage.ledger import Appointment
from examlane.storage.models import Encounter, Patient, Table

# Orders sent back, changed, refunded; patients updated and merged; wards


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


# Arrival: walk-ins, calls, queues, bedside

# No-shows and their consequences


class CheckInPause(Table):
    """A stretch in which a department's check-in source was declared offline, or was silent. No-shows wait for it.

    After `ended_at` paper check-ins are entered until `resumes_at`.
    """

    department = CharField(max_length=32)
    kind = CharField(max_length=8)
    since = InstantField()
    reason = CharField(max_length=200, default="")
    actor = CharField(max_length=64)
    noticed_at = InstantField()
    ended_at = InstantField(null=True)
    ended_by = CharField(max_length=64, default="")
    resumes_at = InstantField(null=True)


CheckInPause.add_index(
    CheckInPause.index(CheckInPause.department, unique=True, where=SQL("ended_at is null"), name="one_open_pause")
)


class MissedVisit(Table):
    """A no-show with the time that was missed. `excluded` says why it does not count against the patient."""

    appointment = ForeignKeyField(Appointment)
    patient = ForeignKeyField(Patient)
    department = CharField(max_length=32)
    start_at = InstantField()
    end_at = InstantField()
    excluded = CharField(max_length=16, default="")
    recorded_at = InstantField()
    withdrawn_at = InstantField(null=True)
    withdrawn_by = CharField(max_length=64, default="")


class NoShowRestriction(Table):
    """A department books for this patient at its desk only: from, until, for which missed visits, and the appeal."""

    patient = ForeignKeyField(Patient)
    department = CharField(max_length=32)
    state = CharField(max_length=16, default="active")
    from_at = InstantField()
    until_at = InstantField()
    threshold = IntegerField()
    visits = JsonField()
    appeal = CharField(max_length=200, default="")
    appealed_at = InstantField(null=True)
    appealed_by = CharField(max_length=64, default="")
    decision = CharField(max_length=8, default="")
    decision_reason = CharField(max_length=200, default="")
    decided_at = InstantField(null=True)
    decided_by = CharField(max_length=64, default="")

    class Meta:
        indexes = ((("patient", "department"), False),)


# Suspensions

# Check-up groups

# Going live: what an external system booked

# Waiting list, withheld seats

# Reminders and the call list

# Context providers
