"""The tables of appointments, of what was recorded, and of who may ask."""

from __future__ import annotations

from peewee import SQL, CharField, Check, ForeignKeyField, IntegerField, TextField

from examlane.storage.fields import DayField, FlagField, InstantField, JsonField
from examlane.storage.models import Encounter, ExamItem, OrderItem, Patient, Resource, ResourceGroup, Slot, Table

# Appointments


class Itinerary(Table):
    """Appointments planned together."""

    patient = ForeignKeyField(Patient)
    code = CharField(max_length=64)
    reason = JsonField(default="{}")
    proven = FlagField(default=0)
    created_at = InstantField()


class Appointment(Table):
    """One visit of one patient for 1..n order items. Its number never changes; each change is a version.

    `mode`: `slot` takes seats; `walk_in` and `bedside` take none; `external` is booked and changed by another system,
    and takes the seats it is known to need. `queue_at` orders those who are here; `queue_places` are those of who was
    called in vain, the last one counts; `ready_at` is set for who is not ready yet.
    """

    number = CharField(max_length=16, unique=True)
    patient = ForeignKeyField(Patient)
    encounter = ForeignKeyField(Encounter)
    department = CharField(max_length=32)
    group = ForeignKeyField(ResourceGroup, index=False)
    mode = CharField(max_length=16, default="slot")
    state = CharField(max_length=16)
    day = DayField()
    start_at = InstantField()
    end_at = InstantField()
    period_start_at = InstantField()
    period_end_at = InstantField()
    queue_number = IntegerField()
    queue_at = InstantField(null=True)
    queue_places = JsonField(default="[]")
    absences = IntegerField(default=0)
    ready_at = InstantField(null=True)
    version = IntegerField(default=1)
    automatic = FlagField(default=1)
    moved_by_patient = FlagField(default=0)
    fallback = FlagField(default=0)
    hold_expires_at = InstantField(null=True)
    itinerary = ForeignKeyField(Itinerary, null=True, index=False)
    preparation = JsonField(default="[]")
    explanation = JsonField(default="{}")
    no_show = JsonField(default="")
    created_at = InstantField()

    class Meta:
        indexes = ((("patient", "start_at"), False), (("department", "day"), False), (("state", "end_at"), False))


# Most appointments have no itinerary: in a whole index they would all share one key, and the planner would shun it.
Appointment.add_index(
    Appointment.index(Appointment.itinerary, where=SQL("itinerary_id is not null"), name="appointment_itinerary")
)


class AppointmentItem(Table):
    """Which order items a visit serves; an exam split over two days has two sessions.

    `outcome`: how this exam of the visit ended (finished, not_done). `held_until`: its order was sent back or voided,
    and the place is kept for the one that replaces it.
    """

    appointment = ForeignKeyField(Appointment)
    order_item = ForeignKeyField(OrderItem)
    session = IntegerField(default=1)
    active = FlagField(default=1)
    outcome = CharField(max_length=16, default="")
    held_until = InstantField(null=True)


AppointmentItem.add_index(
    AppointmentItem.index(
        AppointmentItem.order_item,
        AppointmentItem.session,
        unique=True,
        where=SQL("active = 1"),
        name="one_active_appointment",
    )
)


class AppointmentSegment(Table):
    appointment = ForeignKeyField(Appointment)
    position = IntegerField()
    name = CharField(max_length=32)
    start_at = InstantField()
    end_at = InstantField()


class Claim(Table):
    """Seats of one slot held for one segment of a visit, until released."""

    appointment = ForeignKeyField(Appointment)
    segment = IntegerField()
    slot = ForeignKeyField(Slot)
    resource = ForeignKeyField(Resource, index=False)
    role = CharField(max_length=32)
    seats = IntegerField(default=1, constraints=[Check("seats > 0")])
    released_at = InstantField(null=True)


class AppointmentVersion(Table):
    """Append-only: what an appointment was, from when, by whom, and on what evidence.

    `told`: whether the patient's reminders of this version have been made.
    """

    appointment = ForeignKeyField(Appointment)
    version = IntegerField()
    from_state = CharField(max_length=16, default="")
    state = CharField(max_length=16)
    start_at = InstantField()
    end_at = InstantField()
    claims = JsonField(default="[]")
    evidence = JsonField(default="{}")
    actor = CharField(max_length=64)
    channel = CharField(max_length=16)
    reason = CharField(max_length=200, default="")
    at = InstantField()
    told = FlagField(default=0)

    class Meta:
        indexes = ((("appointment", "version"), True),)


AppointmentVersion.add_index(
    AppointmentVersion.index(AppointmentVersion.id, where=SQL("told = 0"), name="appointment_version_untold")
)


class AppointmentInterval(Table):
    """A distance that was owed between two visits when one of them was booked, in seconds either way.

    Of a lag `after_seconds` is the shortest and `before_seconds` the longest. `overridden_by`: why it was set aside.
    """

    first = ForeignKeyField(Appointment)
    second = ForeignKeyField(Appointment)
    rule = CharField(max_length=64)
    rule_version = CharField(max_length=32)
    relation = CharField(max_length=8)
    after_seconds = IntegerField(default=0)
    before_seconds = IntegerField(default=0)
    overridden_by = CharField(max_length=64, default="")


class PastExamination(Table):
    """An exam done or booked elsewhere, so that intervals and clusters see it; `number` is the source's own, if told."""

    patient = ForeignKeyField(Patient)
    item = ForeignKeyField(ExamItem)
    start_at = InstantField()
    end_at = InstantField()
    source = CharField(max_length=64)
    number = CharField(max_length=64, default="")


class QueueCounter(Table):
    group = ForeignKeyField(ResourceGroup, index=False)
    day = DayField()
    last = IntegerField(default=0)

    class Meta:
        indexes = ((("group", "day"), True),)


# What was recorded


class DeskTask(Table):
    """Why automation stopped, who owns it, since when, until when, and the next step; `taken_by` works on it now."""

    code = CharField(max_length=64)
    department = CharField(max_length=32)
    owner = CharField(max_length=64, default="registrar")
    patient = ForeignKeyField(Patient, null=True)
    order_item = ForeignKeyField(OrderItem, null=True)
    appointment = ForeignKeyField(Appointment, null=True)
    reason = JsonField(default="{}")
    next_step = JsonField(default="{}")
    opened_at = InstantField()
    deadline_at = InstantField(null=True)
    taken_by = CharField(max_length=64, default="")
    taken_at = InstantField(null=True)
    closed_at = InstantField(null=True)
    closed_by = CharField(max_length=64, default="")
    close_reason = CharField(max_length=200, default="")
    version = IntegerField(default=1)


DeskTask.add_index(
    DeskTask.index(
        DeskTask.order_item, DeskTask.code, unique=True, where=SQL("closed_at is null"), name="one_open_desk_task"
    )
)


class BookingDue(Table):
    """A patient whose facts changed and whose plan is due; deleted by the transaction that books."""

    patient = ForeignKeyField(Patient, unique=True)
    due_at = InstantField(index=True)
    attempts = IntegerField(default=0)
    generation = IntegerField(default=1)


class Tick(Table):
    """A periodic job's next turn, taken by compare-and-set."""

    name = CharField(max_length=32, unique=True)
    due_at = InstantField()


class Audit(Table):
    at = InstantField()
    actor = CharField(max_length=64)
    channel = CharField(max_length=16)
    action = CharField(max_length=48)
    subject = CharField(max_length=24)
    subject_key = CharField(max_length=80)
    version = IntegerField(null=True)
    request_id = CharField(max_length=64, default="")
    detail = JsonField(default="{}")

    class Meta:
        indexes = ((("subject", "subject_key"), False),)


class Receipt(Table):
    """A client's request key with its effect and answer: a repeated request changes nothing."""

    client = CharField(max_length=64)
    key = CharField(max_length=128)
    fingerprint = CharField(max_length=64)
    subject = CharField(max_length=24)
    subject_key = CharField(max_length=80)
    answer = TextField(null=True)
    created_at = InstantField()

    class Meta:
        indexes = ((("client", "key"), True),)


class ShadowDecision(Table):
    """What a plugin in shadow would have said beside what was decided, asked after the commit on the stored input."""

    department = CharField(max_length=32)
    plugin = CharField(max_length=64)
    hook = CharField(max_length=32)
    question = JsonField()
    live = JsonField()
    shadow = JsonField(null=True)
    differs = FlagField(null=True)
    created_at = InstantField()
    asked_at = InstantField(null=True)


# Who may ask


class StaffUser(Table):
    login = CharField(max_length=64, unique=True)
    name = CharField(max_length=64)
    password_hash = CharField(max_length=200)
    role = CharField(max_length=32)
    departments = JsonField(default="[]")
    disabled = FlagField(default=0)
    failures = IntegerField(default=0)
    locked_until = InstantField(null=True)


class StaffSession(Table):
    token_hash = CharField(max_length=64, unique=True)
    user = ForeignKeyField(StaffUser)
    created_at = InstantField()
    seen_at = InstantField()


class ApiClient(Table):
    """A system that speaks to us. `scopes` and `departments` empty: all that its role may; `per_minute` 0: no limit."""

    code = CharField(max_length=64, unique=True)
    name = CharField(max_length=64)
    role = CharField(max_length=32, default="integration")
    method = CharField(max_length=8, default="bearer")
    departments = JsonField(default="[]")
    scopes = JsonField(default="[]")
    per_minute = IntegerField(default=0)
    disabled = FlagField(default=0)


class ClientSecret(Table):
    """A key of a client: its fingerprint, or, where it signs, the key itself sealed under the hospital's."""

    client = ForeignKeyField(ApiClient)
    digest = CharField(max_length=64, default="")
    sealed = CharField(max_length=200, default="")
    created_at = InstantField()
    expires_at = InstantField(null=True)


class ClientNonce(Table):
    """A number used once, so that a signed request that somebody has heard cannot be sent again."""

    client = ForeignKeyField(ApiClient, index=False)
    nonce = CharField(max_length=128)
    expires_at = InstantField(index=True)

    class Meta:
        indexes = ((("client", "nonce"), True),)
