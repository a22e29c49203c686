"""The tables of a hospital's ordinary day: what changes between order and examination."""

from __future__ import annotations

from peewee import CharField, ForeignKeyField, IntegerField

from examlane.storage.fields import FlagField, InstantField, JsonField
from examlane.storage.ledger import Appointment
from examlane.storage.models import Patient, Table

# Orders sent back, changed, refunded; patients updated and merged; wards

# Arrival: walk-ins, calls, queues, bedside

# No-shows and their consequences

# Suspensions

# Check-up groups

# Going live: what an external system booked


class ExternalAppointment(Table):
    """An appointment as an external system last told it; `appointment` is the one of ours that stands for it.

    `problems` are the codes of what is not as it says. `sequence` orders its messages, or else `sent_at` does.
    `seen_at`: when it was last told or listed.
    """

    system = CharField(max_length=32)
    number = CharField(max_length=64)
    patient = ForeignKeyField(Patient)
    department = CharField(max_length=32, index=True)
    appointment = ForeignKeyField(Appointment, null=True)
    state = CharField(max_length=16)
    start_at = InstantField()
    end_at = InstantField()
    content = JsonField()
    problems = JsonField(default="[]")
    sequence = IntegerField(null=True)
    sent_at = InstantField()
    seen_at = InstantField()

    class Meta:
        indexes = ((("system", "number"), True),)


class Transfer(Table):
    """A list of appointments or exams that was read in, or an export that was kept: by whom, and what became of it.

    `complete`: the list held every future appointment of the department. `report` says how each line ended.
    """

    kind = CharField(max_length=16)
    system = CharField(max_length=32, default="")
    department = CharField(max_length=32, default="")
    complete = FlagField(default=0)
    actor = CharField(max_length=64)
    started_at = InstantField()
    finished_at = InstantField(null=True)
    report = JsonField(default="{}")

# Waiting list, withheld seats

# Reminders and the call list

# Context providers


class ContextProvider(Table):
    """A system that is asked for clinical facts before the rules are: where, for which facts, how long, how often.

    `facts` maps names to what their values must be: number, flag or text. `history`: it knows exams done elsewhere.
    """

    code = CharField(max_length=32, unique=True)
    kind = CharField(max_length=16)
    address = CharField(max_length=300)
    facts = JsonField(default="{}")
    history = FlagField(default=0)
    limit_ms = IntegerField(default=500)
    cache_minutes = IntegerField(default=60)
    enabled = FlagField(default=1)


class ContextAnswer(Table):
    """When a provider last answered for a patient: within its cache age it is not asked again."""

    patient = ForeignKeyField(Patient)
    provider = CharField(max_length=32)
    answered_at = InstantField()

    class Meta:
        indexes = ((("patient", "provider"), True),)
