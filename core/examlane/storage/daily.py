"""The tables of a hospital's ordinary day: what changes between order and examination."""

from __future__ import annotations

from peewee import SQL, CharField, Check, ForeignKeyField, IntegerField, TextField

from examlane.storage.fields import DayField, FlagField, InstantField, JsonField
from examlane.storage.ledger import Appointment
from examlane.storage.models import (
    OrderItem,
    Patient,
    Resource,
    ResourceGroup,
    RosterChange,
    Slot,
    Table,
)

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
