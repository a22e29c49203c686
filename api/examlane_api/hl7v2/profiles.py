"""How one HL7 v2 peer is spoken to: defaults, or a TOML file named after the peer. Read once at start."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from marshmallow import Schema, ValidationError, fields, post_load, validate

from examlane.errors import ExamlaneError

PROFILES = "EXAMLANE_HL7_PROFILES"
ENCODINGS = {"UNICODE UTF-8": "utf-8", "GB 18030-2000": "gb18030"}
"""Character sets by their name in HL7's table 0211, as it stands in MSH-18."""


class BadProfile(ExamlaneError):
    """A profile that cannot be used; the text names the file, the place in it, and what is wrong."""


@dataclass(frozen=True, slots=True)
class Assigned:
    """Who gave out a kind of patient identifier (PID-3.4), and its type in HL7's table 0203 (PID-3.5)."""

    type: str
    authority: str = ""


@dataclass(frozen=True, slots=True)
class Profile:
    """A peer. Of a patient's identifiers only the kinds listed are told."""

    sending_application: str = "EXAMLANE"
    sending_facility: str = ""
    receiving_application: str = ""
    receiving_facility: str = ""
    processing: str = "P"
    character_set: str = "UNICODE UTF-8"
    zone: str = "Asia/Shanghai"
    short_control_id: bool = False
    identifiers: Mapping[str, Assigned] = field(
        default_factory=lambda: {"card": Assigned("MR"), "patient_id": Assigned("PI")}
    )

    @property
    def encoding(self) -> str:
        return ENCODINGS[self.character_set]

    @property
    def timezone(self) -> ZoneInfo:
        return ZoneInfo(self.zone)


def _name() -> fields.String:
    """Text that stands in a field as it is."""
    return fields.String(validate=validate.Regexp(r"[^|^~\\&\x00-\x1f\x7f]{0,20}\Z"))


class _Assigned(Schema):
    type = fields.String(required=True, validate=validate.Regexp(r"[A-Z]{1,5}\Z"))
    authority = _name()

    @post_load
    def made(self, data: dict[str, Any], **_: Any) -> Assigned:
        return Assigned(**data)


class _Profile(Schema):
    sending_application = _name()
    sending_facility = _name()
    receiving_application = _name()
    receiving_facility = _name()
    processing = fields.String(validate=validate.OneOf(["P", "T", "D"]))
    character_set = fields.String(validate=validate.OneOf(list(ENCODINGS)))
    zone = fields.String()
    short_control_id = fields.Boolean(truthy={True}, falsy={False})
    identifiers = fields.Dict(keys=fields.String(), values=fields.Nested(_Assigned))


def load(path: Path) -> Profile:
    """One profile. Raises `BadProfile` with all that is wrong."""
    try:
        found = Profile(**_Profile().load(tomllib.loads(path.read_text(encoding="utf-8"))))
        ZoneInfo(found.zone)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadProfile(f"{path.name}: cannot be read: {error}") from error
    except ValidationError as error:
        raise BadProfile(f"{path.name}: {error.messages}") from error
    except (KeyError, ValueError) as error:
        raise BadProfile(f"{path.name}: zone: is not a time zone") from error
    return found


def from_environment(environment: Mapping[str, str] | None = None) -> Mapping[str, Profile]:
    """The profiles of the folder that EXAMLANE_HL7_PROFILES names, by peer. Raises `BadProfile`."""
    folder = (os.environ if environment is None else environment).get(PROFILES, "")
    if not folder:
        return {}
    if not Path(folder).is_dir():
        raise BadProfile(f"{PROFILES}: there is no folder {folder}")
    return {path.stem: load(path) for path in sorted(Path(folder).glob("*.toml"))}
