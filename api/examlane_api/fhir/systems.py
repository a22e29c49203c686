"""Under which systems (URIs) our numbers and codes are told in FHIR: defaults, or a TOML file of the hospital."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from examlane.errors import ExamlaneError

SYSTEMS = "EXAMLANE_FHIR_SYSTEMS"
URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[!-~]{1,200}")


class BadSystems(ExamlaneError):
    """A file that cannot be used; the text names it and what is wrong."""


@dataclass(frozen=True, slots=True)
class Systems:
    """One URI a kind of number or code. `patient`: kinds of identifiers that may be told and asked for, the best first."""

    appointment: str = "urn:examlane:appointment"
    order: str = "urn:examlane:order"
    order_item: str = "urn:examlane:order-item"
    placer: str = "urn:examlane:placer"
    item: str = "urn:examlane:item"
    department: str = "urn:examlane:department"
    place: str = "urn:examlane:place"
    resource: str = "urn:examlane:resource"
    encounter: str = "urn:examlane:encounter"
    extension: str = "urn:examlane:fhir"
    patient: Mapping[str, str] = field(
        default_factory=lambda: {"card": "urn:examlane:patient:card", "patient_id": "urn:examlane:patient:patient_id"}
    )

    def patient_kind(self, system: str) -> str | None:
        """The kind of patient identifier that a system stands for."""
        return next((kind for kind, uri in self.patient.items() if uri == system), None)


def from_environment(environment: Mapping[str, str] | None = None) -> Systems:
    """The systems of the file that EXAMLANE_FHIR_SYSTEMS names, else the defaults. Raises `BadSystems`."""
    named = (os.environ if environment is None else environment).get(SYSTEMS, "")
    return load(Path(named)) if named else Systems()


def load(path: Path) -> Systems:
    """Read a file; what it leaves out keeps its default. Raises `BadSystems` with all that is wrong."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadSystems(f"{path.name}: cannot be read: {error}") from error
    if wrong := list(_problems(content)):
        raise BadSystems(f"{path.name}: {'; '.join(wrong)}")
    return Systems(**content)


def _problems(content: Mapping[str, Any]) -> list[str]:
    known = {each.name for each in fields(Systems)}
    wrong = [f"{name}: there is no such system" for name in content if name not in known]
    patient = content.get("patient", {})
    if not isinstance(patient, dict):
        return [*wrong, "patient: must be a table"]
    named = {name: uri for name, uri in content.items() if name in known - {"patient"}}
    named |= {f"patient.{kind}": uri for kind, uri in patient.items()}
    wrong += [f"{name}: must be a URI" for name, uri in named.items() if not isinstance(uri, str) or not URI.fullmatch(uri)]
    return wrong
