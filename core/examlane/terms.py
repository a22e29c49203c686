"""The words with a fixed set of values, as they stand in tables and messages."""

from __future__ import annotations

from enum import StrEnum


class EncounterClass(StrEnum):
    """Why the patient is in the hospital."""

    OUTPATIENT = "outpatient"
    INPATIENT = "inpatient"
    EMERGENCY = "emergency"
    CHECKUP = "checkup"


class Sex(StrEnum):
    FEMALE = "female"
    MALE = "male"
    UNKNOWN = "unknown"


class Priority(StrEnum):
    ROUTINE = "routine"
    URGENT = "urgent"
    STAT = "stat"


class BookingMode(StrEnum):
    """How a service is given out; only the first two take a slot before the patient comes."""

    AUTOMATIC = "automatic"
    MANUAL = "manual"
    WALK_IN = "walk_in"
    BEDSIDE = "bedside"
    NONE = "none"


class DepartmentMode(StrEnum):
    EXTERNAL = "external"
    MANUAL = "manual"
    AUTOMATIC = "automatic"


class Stage(StrEnum):
    """How far a plugin counts in a department."""

    OFF = "off"
    SHADOW = "shadow"
    PILOT = "pilot"
    ON = "on"


class FindingKind(StrEnum):
    """What a finding asks for, from harmless to forbidding."""

    FILL = "fill"
    HINT = "hint"
    CONFIRM = "confirm"
    APPROVE = "approve"
    DELAY_UNTIL = "delay_until"
    BLOCK = "block"


class Severity(StrEnum):
    HINT = "hint"
    CONFIRM = "confirm"
    BLOCK = "block"


class Relation(StrEnum):
    """How exams of one patient relate; `IntervalRule` says what each means."""

    EXCLUDE = "exclude"
    BEFORE = "before"
    LAG = "lag"
    SAME_DAY = "same_day"
    COUNT = "count"
    MERGE = "merge"
    REPLACE = "replace"


class NoShowAction(StrEnum):
    RELEASE = "release"
    SELF_REBOOK = "self_rebook"
    MANUAL = "manual"
