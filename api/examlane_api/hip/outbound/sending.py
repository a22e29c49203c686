"""Telling a platform: an event of ours as its documents, each delivered by `HIPMessageServer` and acknowledged."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date
from typing import Any, Self

import requests
import zeep
from lxml import etree

from examlane.hospital import Hospital
from examlane.records.events import Declined, Message, Send, Sent, Unreachable
from examlane_api.hip import frame
from examlane_api.hip.contract import BINDINGS, NAMES, render
from examlane_api.hip.frame import Ack
from examlane_api.hip.outbound import documents, reading
from examlane_api.hip.outbound.bounded import BoundedTransport, Unbounded
from examlane_api.hip.outbound.reading import Exam, Head
from examlane_api.hip.profiles import Profile
from examlane_api.soap.faults import SoapVersion

ENDED = frozenset({
    "appointment.cancelled", "appointment.expired", "appointment.replaced", "appointment.suspended",
})  # fmt: skip
SCHEDULES = {"schedule.published": True, "schedule.changed": False}
"""What is told of rosters, and whether they are new."""
STEPS = {"appointment.checked_in": "registered", "appointment.no_show": "no_show"}


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One document to be sent, under the action that it is for."""

    action: str
    text: str


def of_event(hospital: Hospital, profile: Profile, message: Message) -> list[Outgoing]:
    """What an event means to the platform; nothing for what it need not hear. The same event gives the same documents."""
    if message.kind in SCHEDULES:
        day, department = date.fromisoformat(message.payload["day"]), message.payload["department"]
        return of_day(hospital, profile, day, department, new=SCHEDULES[message.kind], event=message.event_id)
    if message.subject != "appointment" or "version" not in message.payload:
        return []
    version = int(message.payload["version"])
    return of_appointment(hospital, profile, message.subject_key, message.kind, version, message.event_id)


def of_appointment(hospital: Hospital, profile: Profile, number: str, kind: str, version: int, event: str) -> list[Outgoing]:
    """The documents of a change (`kind`, as events name it) that gave an appointment its `version`."""
    database = hospital.database
    ended = kind in ENDED
    if ended and not reading.was_booked(database, number, version):
        return []
    exams = reading.exams(hospital, number, version, all_of_them=ended or kind == "appointment.no_show")
    if not exams:
        return []
    at = reading.changed_at(database, number, version)
    heads = (Head(frame.derived_id(event, str(position)), at) for position in range(len(exams) + 1))
    if kind in STEPS:
        return _step(profile, next(heads), exams, STEPS[kind])
    if kind == "appointment.rescheduled" or ended:
        told = [_appointment(profile, next(heads), exam, new=False, active=not ended) for exam in exams]
        return told + (_step(profile, next(heads), exams, "cancelled") if ended else [])
    if kind == "appointment.booked":
        told = [_appointment(profile, next(heads), exam, new=True, active=True) for exam in exams]
        return told + _step(profile, next(heads), exams, "booked")
    return []


def of_day(hospital: Hospital, profile: Profile, day: date, department: str, *, new: bool, event: str) -> list[Outgoing]:
    """The rosters of a department on a day, as they are now: SourceAndScheduleInfoAdd (`new`) or Update.

    Nothing where there is no roster. The same content for the same event has the same number.
    """
    days = reading.resource_days(hospital, day, department=department, shut=not new)
    if not days:
        return []
    head = Head(frame.derived_id(event, repr(days)), hospital.clock.now())
    root = documents.schedule(profile, head, days, new=new)
    return [Outgoing(f"SourceAndScheduleInfo{'Add' if new else 'Update'}", frame.to_text(root))]


def _appointment(profile: Profile, head: Head, exam: Exam, *, new: bool, active: bool) -> Outgoing:
    root = documents.appointment(profile, head, exam, new=new, active=active)
    return Outgoing(f"CheckAppointStatusInfo{'Add' if new else 'Update'}", frame.to_text(root))


def _step(profile: Profile, head: Head, exams: Sequence[Exam], step: str) -> list[Outgoing]:
    """The step under the platform's code; a no-show without one in our own document; else nothing to say."""
    said = profile.status_code(step, exams[0].department.code)
    if said is not None:
        return [Outgoing("CheckStatusInfoUpdate", frame.to_text(documents.status(profile, head, exams, said)))]
    if step == "no_show" and profile.private:
        return [Outgoing("NoShowInfoAdd", frame.to_text(documents.no_show(profile, head, exams[0].appointment)))]
    return []


class Platform:
    """A platform as it is called: by our own WSDL of its profile, never fetched, each call within its time."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._local = threading.local()
        self._sessions: list[requests.Session] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for session in self._sessions:
            session.close()

    def send(self, outgoing: Outgoing) -> Ack:
        """Deliver one document.

        Raises `Declined` where it answers AE or the document breaks its schema, and `Unreachable` where it is down, slow
        or answers what is no acknowledgement.
        """
        self._check(outgoing)
        operation, arguments = self._called(outgoing)
        try:
            said = self._service()[operation](**arguments)
        except (requests.RequestException, zeep.exceptions.Error, etree.XMLSyntaxError, Unbounded) as error:
            raise Unreachable(f"{self._profile.code}: {type(error).__name__}: {error}"[:200], Sent(outgoing.text)) from error
        return self._acknowledged(outgoing, said)

    def shown(self, outgoing: Outgoing) -> str:
        """The request that would carry a document."""
        operation, arguments = self._called(outgoing)
        service = self._service()
        envelope = service._client.create_message(service, operation, **arguments)
        return f"POST {self._profile.outbound.address}\n\n{etree.tostring(envelope, encoding='unicode')}"

    def _called(self, outgoing: Outgoing) -> tuple[str, dict[str, Any]]:
        operation = NAMES[1] if outgoing.action == "NoShowInfoAdd" else self._profile.operation
        content = etree.CDATA(outgoing.text) if self._profile.cdata else outgoing.text
        first, second = self._profile.parameters
        return operation, {first: outgoing.action, second: content}

    def _acknowledged(self, outgoing: Outgoing, said: Any) -> Ack:
        exchange = Sent(outgoing.text, str(said))
        try:
            ack = frame.read_ack(said if isinstance(said, str) else "")
        except ValueError as error:
            raise Unreachable(f"{self._profile.code}: {error}"[:200], exchange) from error
        sent = frame.read(outgoing.text, self._profile.timezone).message_id
        if ack.target and ack.target != sent:
            raise Unreachable(f"{self._profile.code}: the answer is for another message", exchange)
        if not ack.taken:
            words = "; ".join(f"{each.code} {each.text}".strip() for each in ack.details)
            raise Declined(f"{self._profile.code} refused {outgoing.action}: {words}"[:200], exchange)
        return ack

    def _check(self, outgoing: Outgoing) -> None:
        """What breaks the standard's schema is not sent: an application number that is no number, for one."""
        folder = self._profile.schema_folder
        if folder is None:
            return
        document = frame.read(outgoing.text, self._profile.timezone)
        if problems := frame.problems(document, folder / f"{outgoing.action}.xsd"):
            why = f"{outgoing.action} breaks its schema: {problems[0][0]}: {problems[0][1]}"
            raise Declined(why[:200], Sent(outgoing.text))

    def _service(self) -> Any:
        """One client a thread, whose connection stays open."""
        if not hasattr(self._local, "service"):
            self._local.service = self._connect()
        return self._local.service

    def _connect(self) -> Any:
        profile, outbound = self._profile, self._profile.outbound
        session = requests.Session()
        session.trust_env = False  # peers are inside the hospital: no proxy, no .netrc
        self._sessions.append(session)
        if outbound.user:
            session.auth = (outbound.user, outbound.password)
        version = SoapVersion.V12 if outbound.soap == "1.2" else SoapVersion.V11
        transport = BoundedTransport(session, outbound.connect_seconds, outbound.answer_seconds)
        settings = zeep.Settings(forbid_dtd=True, forbid_external=True, strict=True)
        wsdl = io.BytesIO(render(profile, frozenset({version}), outbound.address))
        client = zeep.Client(wsdl, transport=transport, settings=settings)  # type: ignore[no-untyped-call]
        binding = f"{{{profile.namespace}}}{BINDINGS[version][1]}"
        return client.create_service(binding, outbound.address)  # type: ignore[no-untyped-call]


@contextmanager
def platform_send(hospital: Hospital, profiles: Mapping[str, Profile], otherwise: Send) -> Iterator[Send]:
    """A sender that speaks to each platform by its profile, and to all other peers as before, until it is left."""
    with ExitStack() as stack:
        platforms = {
            code: stack.enter_context(Platform(profile)) for code, profile in profiles.items() if profile.outbound.address
        }

        def send(message: Message) -> Sent | None:
            platform = platforms.get(message.peer)
            if platform is None:
                return otherwise(message)
            return _send_all(platform, of_event(hospital, profiles[message.peer], message))

        yield send


def _send_all(platform: Platform, told: Sequence[Outgoing]) -> Sent:
    """Deliver an event's documents one after the other; what went and came before a failure is archived with it."""
    done: list[Sent] = []
    for outgoing in told:
        try:
            done.append(Sent(outgoing.text, platform.send(outgoing).text))
        except (Declined, Unreachable) as error:
            raise type(error)(str(error), _together([*done, error.sent])) from error
    return _together(done)


def _together(exchanges: Sequence[Sent]) -> Sent:
    return Sent("\n".join(each.request for each in exchanges), "\n".join(each.answer for each in exchanges))
