"""An appointment as an SIU message of HL7 v2.5.1, checked against the standard's structure before it is sent."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from zoneinfo import ZoneInfo

from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.exceptions import HL7apyException
from hl7apy.parser import parse_message

from examlane.appointments.states import State
from examlane.reasons import text
from examlane_api.hl7v2.profiles import Profile
from examlane_api.hl7v2.reading import Exam, Used, Visit
from examlane_api.hl7v2.triggers import CANCELLED, FILLER_STATUS, NEW, NO_SHOW

VERSION = "2.5.1"
ESCAPES = {"\\": "\\E\\", "|": "\\F\\", "^": "\\S\\", "&": "\\T\\", "~": "\\R\\"}
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
CLASSES = {"inpatient": "I", "emergency": "E"}
"""Patient classes of HL7's table 0004; all others are outpatients (O)."""
SEXES = {"female": "F", "male": "M"}
PLACES = frozenset({"room", "chair", "bed", "recovery"})
"""Roles of a resource that are a location (AIL); a `device` is AIG, and all others are people (AIP)."""
REASONS = {"walk_in": "WALKIN", "emergency": "EMERGENCY", "checkup": "CHECKUP"}
OURS = "EXAMLANE"
LONGEST_TEXT, LONGEST_CODE = 199, 20
"""Characters of the data types ST and IS in 2.5.1."""
MINUTES = "min^minute^UCUM"
UNNAMED = "-"


class BadMessage(ValueError):
    """A message that the standard's structure does not allow: it is not sent."""


def siu(profile: Profile, visit: Visit, trigger: str, event: str) -> str:
    """The message of one change. The same event makes the same message again. Raises `BadMessage`."""
    written = "\r".join(_segments(profile, visit, trigger, control_id(profile, event)))
    try:
        parse_message(written, validation_level=VALIDATION_LEVEL.STRICT, find_groups=True).validate()
    except (HL7apyException, ValueError) as error:
        raise BadMessage(f"SIU^{trigger} of {visit.number}: {error}") from error
    return written + "\r"


def acknowledgement(text: str) -> tuple[str, str, str]:
    """Code, control id and words of an ACK, of any version of HL7 v2. Raises `ValueError` for what is none."""
    try:
        heard = parse_message(text, validation_level=VALIDATION_LEVEL.TOLERANT, find_groups=False)
        return heard.msa.msa_1.to_er7(), heard.msa.msa_2.to_er7(), heard.msa.msa_3.to_er7()
    except (HL7apyException, AttributeError, IndexError, TypeError) as error:
        raise ValueError(f"what came back is no acknowledgement: {type(error).__name__}") from error


def control_id(profile: Profile, event: str) -> str:
    """MSH-10: the event's id; its first 20 digits for receivers that keep to the field's length in 2.5.1."""
    return event.replace("-", "")[:20] if profile.short_control_id else event


def escaped(text: str, longest: int = LONGEST_TEXT) -> str:
    """Text as it stands in a field: separators escaped, control characters as blanks, cut where the standard ends it."""
    written = ""
    for character in CONTROL.sub(" ", text).strip():
        more = ESCAPES.get(character, character)
        if len(written) + len(more) > longest:
            break
        written += more
    return written


def _segments(profile: Profile, visit: Visit, trigger: str, control: str) -> Iterator[str]:
    zone = profile.timezone
    yield _header(profile, visit, trigger, control)
    yield _schedule(visit, zone)
    yield _segment("TQ1", {1: "1", 7: _time(visit.version.starts_at, zone), 8: _time(visit.version.ends_at, zone)})
    yield _patient(profile, visit)
    yield _encounter(visit)
    action = {NEW: "A", CANCELLED: "D", NO_SHOW: "D"}.get(trigger, "U")
    yield _segment("RGS", {1: "1", 2: action})
    status = _status(visit)
    for position, exam in enumerate(visit.exams, 1):
        yield _service(visit, exam, position, action, status, zone)
    by_segment: dict[str, list[Used]] = {"AIG": [], "AIL": [], "AIP": []}
    for used in visit.resources:
        by_segment[_segment_of(used.role)].append(used)
    for position, used in enumerate(by_segment["AIG"], 1):
        yield _device(used, position, action, status, zone)
    for position, room in enumerate(by_segment["AIL"] or [None], 1):
        yield _location(visit, room, position, action, status, zone)
    for position, used in enumerate(by_segment["AIP"], 1):
        yield _person(used, position, action, status, zone)


def _header(profile: Profile, visit: Visit, trigger: str, control: str) -> str:
    fields = {
        1: "^~\\&", 2: profile.sending_application, 3: profile.sending_facility, 4: profile.receiving_application,
        5: profile.receiving_facility, 6: _time(visit.version.at, profile.timezone), 8: f"SIU^{trigger}^SIU_S12",
        9: control, 10: profile.processing, 11: VERSION, 17: profile.character_set,
    }  # fmt: skip
    return _segment("MSH", fields)  # MSH-1 is the separator itself: what follows is one field earlier


def _schedule(visit: Visit, zone: ZoneInfo) -> str:
    version = visit.version
    minutes = _minutes(version.starts_at, version.ends_at)
    reason = REASONS.get(visit.mode) or REASONS.get(visit.encounter_class, "ROUTINE")
    kind = {State.TENTATIVE: "Tentative", State.HELD: "Tentative", State.FULFILLED: "Complete"}
    placers = [_own(exam.placer, "") for exam in visit.exams if exam.placer]
    return _segment("SCH", {
        2: _own(visit.number),
        6: _coded(f"appointment.{version.state}", text(version.reason).zh),
        7: _coded(reason, "", "HL70276"),
        8: _coded(kind.get(State(version.state), "Normal"), "", "HL70277"),
        9: minutes,
        10: MINUTES,
        11: f"^^M{minutes}^{_time(version.starts_at, zone)}^{_time(version.ends_at, zone)}",
        16: f"{escaped(visit.department.code)}^{escaped(visit.department.name)}",
        20: escaped(version.actor) or OURS,
        25: _status(visit),
        26: "~".join(placers),
        27: "~".join(_own(exam.key) for exam in visit.exams),
    })  # fmt: skip


def _patient(profile: Profile, visit: Visit) -> str:
    numbers = [
        f"{escaped(each.value)}^^^{profile.identifiers[each.kind].authority}^{profile.identifiers[each.kind].type}"
        for each in visit.patient
        if each.kind in profile.identifiers
    ]
    return _segment("PID", {
        1: "1",
        3: "~".join(numbers) or f"{escaped(visit.encounter)}^^^^VN",
        5: f"{escaped(visit.name) or UNNAMED}^^^^^^L",
        7: visit.birth_date.strftime("%Y%m%d") if visit.birth_date else "",
        8: SEXES.get(visit.sex, "U"),
    })  # fmt: skip


def _encounter(visit: Visit) -> str:
    where = _place(visit.ward, bed=visit.bed) if visit.ward or visit.bed else ""
    return _segment("PV1", {1: "1", 2: CLASSES.get(visit.encounter_class, "O"), 3: where, 19: escaped(visit.encounter)})


def _service(visit: Visit, exam: Exam, position: int, action: str, status: str, zone: ZoneInfo) -> str:
    version = visit.version
    return _segment("AIS", {
        1: str(position), 2: action, 3: _coded(exam.item.code, exam.item.name), 4: _time(version.starts_at, zone),
        7: _minutes(version.starts_at, version.ends_at), 8: MINUTES, 10: status,
    })  # fmt: skip


def _device(used: Used, position: int, action: str, status: str, zone: ZoneInfo) -> str:
    return _segment("AIG", {
        1: str(position), 2: action, 3: _coded(used.resource.code, used.resource.name), 4: _coded(used.role, ""),
        8: _time(used.starts_at, zone), 11: _minutes(used.starts_at, used.ends_at), 12: MINUTES, 14: status,
    })  # fmt: skip


def _location(visit: Visit, room: Used | None, position: int, action: str, status: str, zone: ZoneInfo) -> str:
    """Where the patient goes: the place, and the room where one is held for him."""
    starts, ends = (room.starts_at, room.ends_at) if room else (visit.version.starts_at, visit.version.ends_at)
    name = f"{visit.place.name} {room.resource.name}" if room else visit.place.name
    where = _place(visit.place.code, room.resource.code if room else "", campus=visit.campus, name=name)
    return _segment("AIL", {
        1: str(position), 2: action, 3: where, 6: _time(starts, zone), 9: _minutes(starts, ends), 10: MINUTES, 12: status,
    })  # fmt: skip


def _person(used: Used, position: int, action: str, status: str, zone: ZoneInfo) -> str:
    return _segment("AIP", {
        1: str(position), 2: action, 3: f"{escaped(used.resource.code)}^{escaped(used.resource.name)}",
        4: _coded(used.role, ""), 6: _time(used.starts_at, zone), 9: _minutes(used.starts_at, used.ends_at), 10: MINUTES,
        12: status,
    })  # fmt: skip


def _place(code: str, room: str = "", bed: str = "", campus: str = "", name: str = "") -> str:
    """A location (PL). Its codes end at 20 characters: a longer one stands whole in the last component."""
    short = [escaped(each, LONGEST_CODE) for each in (code, room, bed, campus)]
    whole = next((each for each in (room, bed, code) if escaped(each) != escaped(each, LONGEST_CODE)), "")
    return "^".join((*short, "", "", "", "", escaped(name), escaped(whole))).rstrip("^")


def _segment(name: str, fields: Mapping[int, str]) -> str:
    return "|".join((name, *(fields.get(number, "") for number in range(1, max(fields) + 1)))).rstrip("|")


def _segment_of(role: str) -> str:
    if role == "device":
        return "AIG"
    return "AIL" if role in PLACES else "AIP"


def _status(visit: Visit) -> str:
    return _coded(FILLER_STATUS[State(visit.version.state)], "", "HL70278")


def _coded(code: str, name: str, system: str = OURS) -> str:
    return f"{escaped(code)}^{escaped(name)}^{system}"


def _own(number: str, namespace: str = OURS) -> str:
    return f"{escaped(number)}^{namespace}".rstrip("^")


def _minutes(starts_at: datetime, ends_at: datetime) -> str:
    return str(int((ends_at - starts_at).total_seconds() // 60))


def _time(at: datetime, zone: ZoneInfo) -> str:
    return at.astimezone(zone).strftime("%Y%m%d%H%M%S%z")
