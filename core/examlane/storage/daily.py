"""The tables of a hospital's ordinary day: what changes between order and examination."""

from __future__ import annotations

from peewee import SQL, CharField, Check, ForeignKeyField, IntegerField, TextField

from examlane.storage.fields import DayField, FlagField, InstantField, JsonField
from examlane.storage.ledger import Appointment
from examlane.storage.models import OrderItem, Patient, ResourceGroup, Slot, Table

# Orders sent back, changed, refunded; patients updated and merged; wards

# Arrival: walk-ins, calls, queues, bedside

# No-shows and their consequences

# Suspensions

# Check-up groups

# Going live: what an external system booked

# Waiting list, withheld seats


class FreedTime(Table):
    """A time that an appointment gave up, while its seats are withheld.

    `state`: open; then given (to somebody waiting), returned (to everybody) or lost (closed meanwhile, or passed).
    `return_at`: when the seats are everybody's unless an offer is open; `due_at`: when it is looked at again.
    """

    appointment = ForeignKeyField(Appointment)
    department = CharField(max_length=32)
    group = ForeignKeyField(ResourceGroup, index=False)
    day = DayField()
    start_at = InstantField()
    end_at = InstantField()
    why = CharField(max_length=16)
    state = CharField(max_length=16, default="open")
    since = InstantField()
    return_at = InstantField()
    due_at = InstantField()
    ended_at = InstantField(null=True)


FreedTime.add_index(FreedTime.index(FreedTime.due_at, FreedTime.id, where=SQL("state = 'open'"), name="freed_time_due"))


class WithheldSeat(Table):
    """Seats of one slot that are not given out yet; a slot's `withheld` is the sum of those without `ended_at`."""

    freed = ForeignKeyField(FreedTime)
    slot = ForeignKeyField(Slot)
    seats = IntegerField(constraints=[Check("seats > 0")])
    ended_at = InstantField(null=True)


class WaitingEntry(Table):
    """A patient's word that he takes an earlier time for `appointment`, or any time for its items without one.

    `state`: active, paused (after three times not taken) or ended, with the reason. Urgent ones come first, then
    those ordered first.
    """

    patient = ForeignKeyField(Patient)
    department = CharField(max_length=32)
    appointment = ForeignKeyField(Appointment, null=True)
    from_day = DayField()
    until_day = DayField()
    notice_minutes = IntegerField()
    accepted_campuses = JsonField(default="[]")
    accepted_groups = JsonField(default="[]")
    channel = CharField(max_length=16)
    automatic = FlagField(default=0)
    urgent = FlagField(default=0)
    ordered_at = InstantField()
    state = CharField(max_length=16, default="active")
    reason = CharField(max_length=64, default="")
    declines = IntegerField(default=0)
    created_at = InstantField()
    ended_at = InstantField(null=True)


WaitingEntry.add_index(
    WaitingEntry.index(WaitingEntry.department, WaitingEntry.ordered_at, where=SQL("state = 'active'"), name="waiting_order")
)
WaitingEntry.add_index(
    WaitingEntry.index(
        WaitingEntry.appointment, unique=True, where=SQL("ended_at is null"), name="one_waiting_entry_an_appointment"
    )
)


class WaitingItem(Table):
    """The order items that an entry waits for."""

    entry = ForeignKeyField(WaitingEntry)
    order_item = ForeignKeyField(OrderItem)
    active = FlagField(default=1)


WaitingItem.add_index(
    WaitingItem.index(WaitingItem.order_item, unique=True, where=SQL("active = 1"), name="one_waiting_entry_an_item")
)


class Offer(Table):
    """A freed time offered to somebody who waits: open until it is accepted, declined, expired or gone."""

    freed = ForeignKeyField(FreedTime)
    entry = ForeignKeyField(WaitingEntry)
    group_code = CharField(max_length=64)
    start_at = InstantField()
    state = CharField(max_length=16, default="open")
    made_at = InstantField()
    expires_at = InstantField()
    answered_at = InstantField(null=True)
    message = CharField(max_length=36, default="")


Offer.add_index(Offer.index(Offer.entry, unique=True, where=SQL("state = 'open'"), name="one_open_offer"))


class WaitingLog(Table):
    """Fairness: of each freed time who was considered, in which order, and what came of it, last looked at `at`."""

    freed = ForeignKeyField(FreedTime, index=False)
    entry = ForeignKeyField(WaitingEntry)
    place = IntegerField()
    outcome = CharField(max_length=16)
    reason = CharField(max_length=64, default="")
    at = InstantField()

    class Meta:
        indexes = ((("freed", "entry"), True),)

# Reminders and the call list


class Reminder(Table):
    """What a patient is told of one version of an appointment, by message or else by telephone.

    `kind`: booked, moved, place, tentative, cancelled, suspended, or evening. `state`: pending, sent, delivered,
    failed, superseded. `begins_at`: after this instant an evening reminder comes too late (the last meal).
    """

    appointment = ForeignKeyField(Appointment, index=False)
    version = IntegerField()
    kind = CharField(max_length=16)
    patient = ForeignKeyField(Patient, index=False)
    day = DayField()
    due_at = InstantField()
    begins_at = InstantField(null=True)
    channel = CharField(max_length=16)
    state = CharField(max_length=16, default="pending")
    reason = CharField(max_length=32, default="")
    message = CharField(max_length=36, default="")
    zh = TextField(default="")
    en = TextField(default="")
    made_at = InstantField()
    sent_at = InstantField(null=True)

    class Meta:
        indexes = ((("appointment", "version", "kind"), True), (("message",), False))


Reminder.add_index(Reminder.index(Reminder.due_at, Reminder.id, where=SQL("state = 'pending'"), name="reminder_due"))
Reminder.add_index(Reminder.index(Reminder.patient, Reminder.day, where=SQL("state = 'pending'"), name="reminder_of_day"))
Reminder.add_index(Reminder.index(Reminder.sent_at, where=SQL("state = 'sent'"), name="reminder_sent"))


class CallEntry(Table):
    """A patient whom no message reached and somebody must call; three calls in vain, and the desk has it."""

    department = CharField(max_length=32)
    patient = ForeignKeyField(Patient)
    appointment = ForeignKeyField(Appointment)
    reminder = ForeignKeyField(Reminder)
    reason = CharField(max_length=32)
    opened_at = InstantField()
    next_try_at = InstantField()
    misses = IntegerField(default=0)
    result = CharField(max_length=16, default="")
    closed_at = InstantField(null=True)
    closed_by = CharField(max_length=64, default="")


CallEntry.add_index(
    CallEntry.index(CallEntry.appointment, unique=True, where=SQL("closed_at is null"), name="one_open_call")
)

# Context providers
