"""What one platform speaks, from a TOML file a peer: names, codes, what it is told, where it is. Read once at start."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import cattrs
from cattrs.gen import make_dict_structure_fn

from examlane.domain import EncounterClass, Priority, Sex
from examlane.errors import ExamlaneError

STEPS = (
    "booked", "cancelled", "registered", "unregistered", "started", "finished", "not_done", "no_show", "reported",
)  # fmt: skip
"""What a status code of a platform can mean to us."""
XML_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*", re.ASCII)
NAMESPACE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s<>\"'{}]+", re.ASCII)
CODE = re.compile(r"[a-z0-9][a-z0-9-]{0,31}", re.ASCII)
PROFILES = "EXAMLANE_HIP_PROFILES"


class BadProfile(ExamlaneError):
    """A profile that cannot be used; the text names the file, the place in it, and what is wrong."""


@dataclass(frozen=True)
class StatusCode:
    """A code of the platform's table of examination states. `departments` are ours; none listed means all."""

    code: str
    name: str
    step: str
    departments: tuple[str, ...] = ()


@dataclass(frozen=True)
class Profession:
    """The national code of a department's speciality (诊疗科目), which rosters are told with."""

    code: str
    name: str


@dataclass(frozen=True)
class Outbound:
    """Where the platform is. Its password is in the environment variable named `password_from`, never in the file."""

    address: str = ""
    soap: str = "1.2"
    connect_seconds: float = 5.0
    answer_seconds: float = 10.0
    user: str = ""
    password_from: str = ""

    @property
    def password(self) -> str:
        return os.environ.get(self.password_from, "") if self.password_from else ""


@dataclass(frozen=True)
class Profile:
    """A platform. `departments` and `items` map its codes to ours; a code that is missing there is taken as ours."""

    client: str
    sender: str
    receiver: str
    code: str = ""
    namespace: str = "urn:hl7-org:v3"
    operation: str = "HIPMessageServer"
    parameters: tuple[str, str] = ("action", "message")
    result: str = "HIPMessageServerResult"
    qualified: bool = False
    cdata: bool = True
    zone: str = "Asia/Shanghai"
    schemas: str = ""
    park_unknown: bool = True
    verifier_releases: bool = True
    notes: bool = True
    drawings: bool = False
    death_code: str = "5"
    private: bool = True
    visit_root: str = "1.2.156.112635.1.2.1.6"
    queue_root: str = "1.2.156.112635.1.2.1.21"
    identifiers: Mapping[str, str] = field(default_factory=dict)
    encounter_classes: Mapping[str, str] = field(default_factory=dict)
    sexes: Mapping[str, str] = field(default_factory=dict)
    priorities: Mapping[str, str] = field(default_factory=dict)
    departments: Mapping[str, str] = field(default_factory=dict)
    items: Mapping[str, str] = field(default_factory=dict)
    professions: Mapping[str, Profession] = field(default_factory=dict)
    status: tuple[StatusCode, ...] = ()
    outbound: Outbound = field(default_factory=Outbound)

    @property
    def timezone(self) -> ZoneInfo:
        return ZoneInfo(self.zone)

    @property
    def schema_folder(self) -> Path | None:
        return Path(self.schemas) if self.schemas else None

    def status_code(self, step: str, department: str) -> StatusCode | None:
        """The first code of the table that says this of an exam in our department."""
        return next(
            (row for row in self.status if row.step == step and (not row.departments or department in row.departments)),
            None,
        )

    def department_code(self, ours: str) -> str:
        """The platform's code of one of our departments."""
        return next((theirs for theirs, own in self.departments.items() if own == ours), ours)

    def item_code(self, ours: str) -> str:
        return next((theirs for theirs, own in self.items.items() if own == ours), ours)

    def class_code(self, ours: str) -> str:
        """The platform's code of an encounter class: what it has no code for is 9, other."""
        return next((theirs for theirs, own in self.encounter_classes.items() if own == ours), "9")

    def root_of(self, kind: str) -> str:
        """The OID under which the platform knows a kind of patient identifier, or nothing."""
        return next((root for root, own in self.identifiers.items() if own == kind), "")


def load(path: Path) -> Profile:
    """One profile; its peer is the file's name without its ending. Raises `BadProfile`."""
    try:
        found = parse(path.stem, tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadProfile(f"{path.name}: cannot be read: {error}") from error
    return found


def load_folder(folder: Path) -> dict[str, Profile]:
    """Every profile of a folder, by peer. Raises `BadProfile`."""
    if not folder.is_dir():
        raise BadProfile(f"{PROFILES}: there is no folder {folder}")
    return {path.stem: load(path) for path in sorted(folder.glob("*.toml"))}


def from_environment() -> dict[str, Profile]:
    """The profiles of the folder that EXAMLANE_HIP_PROFILES names; none where it is not set. Raises `BadProfile`."""
    folder = os.environ.get(PROFILES, "")
    return load_folder(Path(folder)) if folder else {}


def parse(code: str, content: Mapping[str, Any]) -> Profile:
    """A profile from its content. Raises `BadProfile` with every problem."""
    try:
        profile = _CONVERTER.structure({**content, "code": code}, Profile)
    except cattrs.BaseValidationError as error:
        raise BadProfile(f"{code}.toml: {'; '.join(cattrs.transform_error(error))}") from error
    if problems := list(_problems(profile)):
        raise BadProfile(f"{code}.toml: {'; '.join(problems)}")
    return profile


def _problems(profile: Profile) -> Sequence[str]:
    found = []
    if not CODE.fullmatch(profile.code):
        found.append("the file's name must be lower-case letters, digits and -, at most 32")
    if not NAMESPACE.fullmatch(profile.namespace):
        found.append("namespace: not a URI")
    for name in ("operation", "result"):
        if not XML_NAME.fullmatch(getattr(profile, name)):
            found.append(f"{name}: not an XML name")
    if not all(map(XML_NAME.fullmatch, profile.parameters)) or len(set(profile.parameters)) != 2:
        found.append("parameters: two different XML names are needed")
    for name in ("sender", "receiver"):
        if not 7 <= len(getattr(profile, name)) <= 36:
            found.append(f"{name}: must have 7 to 36 characters")
    if not profile.client:
        found.append("client: the log-in of the platform is missing")
    if not profile.identifiers:
        found.append("identifiers: no kind of patient identifier is mapped")
    found += _bad_codes(profile)
    found += _bad_places(profile)
    return found


def _bad_codes(profile: Profile) -> Sequence[str]:
    tables: Sequence[tuple[str, Mapping[str, str], Sequence[str]]] = (
        ("encounter_classes", profile.encounter_classes, [str(each) for each in EncounterClass]),
        ("sexes", profile.sexes, [str(each) for each in Sex]),
        ("priorities", profile.priorities, [str(each) for each in Priority]),
        ("status", {row.code: row.step for row in profile.status}, STEPS),
    )
    wrong = [
        f"{table}.{theirs}: {ours!r} is none of {', '.join(allowed)}"
        for table, codes, allowed in tables
        for theirs, ours in codes.items()
        if ours not in allowed
    ]
    codes = [row.code for row in profile.status]
    return wrong + [f"status: {code} stands twice" for code in sorted({c for c in codes if codes.count(c) > 1})]


def _bad_places(profile: Profile) -> Sequence[str]:
    found = []
    try:
        ZoneInfo(profile.zone)
    except (KeyError, ValueError, OSError):
        found.append(f"zone: {profile.zone!r} is not a time zone")
    if profile.schema_folder and not profile.schema_folder.is_dir():
        found.append(f"schemas: there is no folder {profile.schemas}")
    outbound = profile.outbound
    if outbound.address and not outbound.address.startswith(("http://", "https://")):
        found.append("outbound.address: must begin with http:// or https://")
    if outbound.soap not in ("1.1", "1.2"):
        found.append("outbound.soap: must be 1.1 or 1.2")
    if outbound.connect_seconds <= 0 or outbound.answer_seconds <= 0:
        found.append("outbound: the seconds must be more than 0")
    return found


def _exactly(kind: type[Any]) -> Any:
    """Only the type itself: the converter alone would take 1 for "1" and "no" for true."""

    def structure(value: Any, _: Any) -> Any:
        if type(value) is not kind:
            raise ValueError(f"must be {'text' if kind is str else 'true or false'}")
        return value

    return structure


def _converter() -> cattrs.Converter:
    made = cattrs.Converter(forbid_extra_keys=True)
    made.register_structure_hook(str, _exactly(str))
    made.register_structure_hook(bool, _exactly(bool))
    for shape in (StatusCode, Profession, Outbound, Profile):
        made.register_structure_hook(shape, make_dict_structure_fn(shape, made, _cattrs_forbid_extra_keys=True))
    return made


_CONVERTER = _converter()
