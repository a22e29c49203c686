"""Telling an HL7 v2 peer: an event as its SIU message over MLLP, taken when the peer acknowledges it with AA."""

from __future__ import annotations

from collections.abc import Mapping

from examlane.hospital import Hospital
from examlane.records.events import Declined, Message, Sent, Unreachable
from examlane_api.hl7v2 import CURE, installed, mllp, reading
from examlane_api.hl7v2.profiles import Profile
from examlane_api.hl7v2.triggers import trigger

TAKEN = frozenset({"AA", "CA"})
REFUSED = frozenset({"AE", "AR", "CE", "CR"})


class Siu:
    """Appointments as SIU messages, in the profile that bears the peer's code, else as the standard has it."""

    def __init__(self, hospital: Hospital, profiles: Mapping[str, Profile]) -> None:
        self._hospital = hospital
        self._profiles = profiles

    def shown(self, message: Message) -> str:
        return of_event(self._hospital, self._profile(message), message)

    def send(self, message: Message) -> Sent:
        return tell(self._hospital, self._profile(message), message)

    def _profile(self, message: Message) -> Profile:
        if not installed():
            raise Unreachable(f"HL7 v2 is not installed: {CURE}")
        return self._profiles.get(message.peer, Profile())


def tell(hospital: Hospital, profile: Profile, message: Message) -> Sent:
    """Deliver what an event means to the peer; nothing for what it need not hear.

    Raises `Declined` where it answers AE or AR, `Unreachable` where it is down, slow, or its answer is none to this
    message, and `ValueError` where the message breaks the standard's structure: that is not sent.
    """
    text = of_event(hospital, profile, message)
    if not text:
        return Sent()
    try:
        heard = mllp.exchange(message.address, text.encode(profile.encoding), message.to.timeout_seconds)
    except (OSError, mllp.NotMllp) as error:
        raise Unreachable(f"{message.peer}: {type(error).__name__}: {error}"[:200], Sent(text)) from error
    return _acknowledged(profile, message, Sent(text, heard.decode(profile.encoding, "replace")))


def of_event(hospital: Hospital, profile: Profile, message: Message) -> str:
    """The SIU message of an event, or nothing."""
    if message.subject != "appointment" or "version" not in message.payload:
        return ""
    return of_appointment(hospital, profile, message.subject_key, int(message.payload["version"]), message.event_id)


def of_appointment(hospital: Hospital, profile: Profile, number: str, version: int, event: str) -> str:
    """The SIU message of the change that gave an appointment its version, or nothing."""
    from examlane_api.hl7v2 import documents  # the optional library is loaded where it is needed

    versions = reading.history(hospital.database, number, version)
    said = trigger(versions)
    return documents.siu(profile, reading.visit(hospital, number, versions), said, event) if said else ""


def _acknowledged(profile: Profile, message: Message, exchange: Sent) -> Sent:
    from examlane_api.hl7v2 import documents

    try:
        code, about, words = documents.acknowledgement(exchange.answer)
    except ValueError as error:
        raise Unreachable(f"{message.peer}: {error}"[:200], exchange) from error
    if about != documents.control_id(profile, message.event_id):
        raise Unreachable(f"{message.peer}: the answer is for another message", exchange)
    if code in REFUSED:
        raise Declined(f"{message.peer} answered {code} {words}"[:200], exchange)
    if code not in TAKEN:
        raise Unreachable(f"{message.peer}: {code[:10]!r} is no acknowledgement", exchange)
    return exchange
