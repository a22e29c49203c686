"""The tables of other systems: what they are told, what they sent, what they are asked, what is compared with them."""

from __future__ import annotations

from peewee import SQL, CharField, ForeignKeyField, IntegerField, TextField

from examlane.storage.fields import DayField, FlagField, InstantField, JsonField
from examlane.storage.models import Patient, Table

# What they are told


class Peer(Table):
    """A system that must hear events; `event_types` empty means all of them.

    `sealed` are the keys it checks our signature with, the newest first. `failures` in a row pause it until
    `paused_until`. It is owed what happened after `listens_since`.
    """

    code = CharField(max_length=32, unique=True)
    kind = CharField(max_length=16, default="webhook")
    address = CharField(max_length=300, default="")
    event_types = JsonField(default="[]")
    sealed = JsonField(default="[]")
    enabled = FlagField(default=1)
    timeout_seconds = IntegerField(default=10)
    failures = IntegerField(default=0)
    paused_until = InstantField(default=0)
    listens_since = InstantField(default=0)
    version = IntegerField(default=1)
    created_at = InstantField()


class Event(Table):
    """What a peer must hear about a subject, numbered per subject and peer; sent by the worker."""

    event_id = CharField(max_length=36, unique=True)
    peer = ForeignKeyField(Peer, index=False)
    subject = CharField(max_length=24)
    subject_key = CharField(max_length=80)
    sequence = IntegerField()
    kind = CharField(max_length=48)
    payload = JsonField()
    created_at = InstantField()
    due_at = InstantField()
    lease_until = InstantField(default=0)
    attempts = IntegerField(default=0)
    sent_at = InstantField(null=True)
    dead = FlagField(default=0)
    discarded_at = InstantField(null=True)
    error = CharField(max_length=200, default="")

    class Meta:
        indexes = ((("peer", "subject", "subject_key", "sequence"), True),)


Event.add_index(Event.index(Event.due_at, Event.id, where=SQL("sent_at is null and dead = 0"), name="event_due"))


class Delivery(Table):
    """The message archive: one attempt to tell a peer, with what was sent and what was answered."""

    event = ForeignKeyField(Event)
    at = InstantField(index=True)
    attempt = IntegerField()
    outcome = CharField(max_length=16)
    milliseconds = IntegerField()
    request = TextField(default="")
    answer = TextField(default="")


# What they sent


class ForeignCode(Table):
    """A peer's code that we could not read, or that a person has told us the meaning of (`target`: our own code)."""

    peer = CharField(max_length=32)
    kind = CharField(max_length=16)
    code = CharField(max_length=64)
    name = CharField(max_length=128, default="")
    target = CharField(max_length=64, default="")
    seen = IntegerField(default=0)
    first_seen_at = InstantField()
    last_seen_at = InstantField()
    mapped_by = CharField(max_length=64, default="")
    mapped_at = InstantField(null=True)

    class Meta:
        indexes = ((("peer", "kind", "code"), True),)


class ParkedMessage(Table):
    """A peer's message as it came, kept until what it waits for is known; emptied once it has been read."""

    peer = CharField(max_length=32)
    action = CharField(max_length=64)
    message_id = CharField(max_length=64)
    body = TextField()
    waits_for = JsonField()
    state = CharField(max_length=8, default="parked")
    error = CharField(max_length=300, default="")
    received_at = InstantField()
    settled_at = InstantField(null=True)

    class Meta:
        indexes = ((("state", "peer"), False),)


class NewestMessage(Table):
    """When the newest message that a peer sent about a subject was made: an older one that comes late changes nothing."""

    peer = CharField(max_length=32)
    subject = CharField(max_length=24)
    subject_key = CharField(max_length=80)
    made_at = InstantField()

    class Meta:
        indexes = ((("peer", "subject", "subject_key"), True),)


class VoidedOrder(Table):
    """An order that was voided or replaced before it came: when it comes it is stored as void."""

    number = CharField(max_length=64, unique=True)
    reason = CharField(max_length=200, default="")
    actor = CharField(max_length=64)
    voided_at = InstantField()


class PlacerNumber(Table):
    """The number (医嘱号) under which the ordering system knows a line of an order."""

    order_number = CharField(max_length=64)
    line = IntegerField()
    number = CharField(max_length=64)

    class Meta:
        indexes = ((("order_number", "line"), True),)


# What they are asked


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


# What is compared with them


class ReconciliationSource(Table):
    """Where a peer lists the orders, payments or executions of a day: an address (rest) or a folder of files."""

    code = CharField(max_length=32, unique=True)
    kind = CharField(max_length=8)
    address = CharField(max_length=300)
    subjects = JsonField(default="[]")
    departments = JsonField(default="[]")
    timeout_seconds = IntegerField(default=30)


class Reconciliation(Table):
    """A day compared with a peer: `complete`, or `failed` when it gave no list. `compared` counts rows here and there."""

    peer = CharField(max_length=32)
    day = DayField()
    state = CharField(max_length=8, default="failed")
    error = CharField(max_length=200, default="")
    compared = JsonField(default="{}")
    differences = IntegerField(default=0)
    ran_at = InstantField()
    task = IntegerField(null=True)
    settled_at = InstantField(null=True)
    settled_by = CharField(max_length=64, default="")
    note = CharField(max_length=200, default="")

    class Meta:
        indexes = ((("peer", "day"), True),)


class ReconciliationDifference(Table):
    """Something of that day that is not the same on both sides."""

    reconciliation = ForeignKeyField(Reconciliation)
    subject = CharField(max_length=16)
    key = CharField(max_length=160)
    code = CharField(max_length=16)
    field = CharField(max_length=16, default="")
    here = CharField(max_length=200, default="")
    there = CharField(max_length=200, default="")
