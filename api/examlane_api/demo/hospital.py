"""Building the demonstration hospital: tables, master data, four weeks of slots, rules switched on, peers and people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any

from examlane import Stage
from examlane.capacity import masterdata
from examlane.clock import SetClock
from examlane.extension import rollout
from examlane.extension.rules import load_all
from examlane.hospital import Hospital, open_hospital
from examlane.records.audit import Actor
from examlane.settings import Settings
from examlane.storage.exchange import Peer
from examlane.storage.fields import dump, epoch
from examlane.storage.models import DepartmentPlugin
from examlane.worker import publish
from examlane_api import clients, identity
from examlane_api.providers import KINDS

DATA = Path(str(files("examlane_api.demo").joinpath("data")))
BUILDER = Actor("demonstration", "command")
CLIENTS = {
    "his": ("医院信息系统 HIS", "integration"),
    "platform-soap": ("集成平台 SOAP", "integration"),
    "queue": ("排队叫号系统", "integration"),
    "desk": ("登记台工作站", "registrar"),
    "console": ("管理工作站", "administrator"),
}
"""The hospital's systems that speak to us, each with its role."""
REGISTRAR_DEPARTMENTS = ("US", "ECG")
# A laptop that is busy with other things may answer late; no rule should fail for that here.
PATIENT = {"search_milliseconds": 2000}
WINDOWS_ONLY = {**PATIENT, "windows_only": True}
SWITCHED_ON: tuple[tuple[str, str, bool, Mapping[str, Any]], ...] = (
    ("RAD", "radiology", True, {}),
    ("NM", "radiology", True, {}),
    ("ES", "endoscopy", True, {}),
    ("HYS", "endoscopy", True, {}),
    ("US", "ultrasound", False, {}),
    ("US", "obstetrics", False, WINDOWS_ONLY),
    ("ECG", "ecg", False, {}),
    ("OB", "obstetrics", False, PATIENT),
    ("OBC", "obstetrics", False, PATIENT),
    ("PE", "obstetrics", False, PATIENT),
)
"""Department, plugin, whether it is required there, and its settings."""
TOLD = {
    "HIS": ("order_item.changed", "appointment.booked", "appointment.rescheduled", "appointment.suspended",
            "appointment.cancelled", "appointment.no_show", "appointment.fulfilled"),
    "RIS": ("appointment.booked", "appointment.rescheduled", "appointment.cancelled", "appointment.checked_in"),
    "QUEUE": ("appointment.checked_in", "appointment.no_show"),
    "GATEWAY": ("patient.message",),
}  # fmt: skip
"""Which events each of the hospital's other systems wants to hear."""


@dataclass(frozen=True)
class Demonstration:
    """The built hospital with what is shown once: the clients' secrets and the staff's one-time passwords."""

    hospital: Hospital
    clock: SetClock
    file: Path
    secrets: Mapping[str, str]
    passwords: Mapping[str, str]
    rules: int
    """How many rule versions were loaded."""


def build(file: Path, clock: SetClock, addresses: Mapping[str, str]) -> Demonstration:
    """A new hospital in a new file, ready to be spoken to."""
    settings = Settings(database=f"sqlite:///{file}", hook_seconds=5.0, booking_seconds=20.0)
    hospital = open_hospital(settings, clock, providers=KINDS)
    hospital.database.create_tables()
    masterdata.load(hospital.database, masterdata.read_folder(DATA))
    publish(hospital)
    loaded = load_all(hospital.database, hospital.plugins, BUILDER, clock.now())
    _switch_on(hospital)
    # A moment before the first patient, so that every event of the morning is owed to every peer.
    _add_peers(hospital, addresses, epoch(clock.now() - timedelta(minutes=1)))
    database = hospital.database
    secrets = {code: clients.add(database, code, *named) for code, named in CLIENTS.items()}
    passwords = {
        "pharmacist": identity.add_user(database, "pharmacist", "药师", "approver", ("pharmacy",)),
        "radiologist": identity.add_user(database, "radiologist", "放射科主任", "approver", ("radiology",)),
        "administrator": identity.add_user(database, "administrator", "系统管理员", "administrator"),
        "registrar": identity.add_user(database, "registrar", "登记员", "registrar", REGISTRAR_DEPARTMENTS),
    }
    return Demonstration(hospital, clock, file, secrets, passwords, sum(map(len, loaded.values())))


def _switch_on(hospital: Hospital) -> None:
    database = hospital.database

    def prepare() -> None:
        departments: dict[str, int] = dict(database.rows("SELECT code, id FROM department"))
        for position, (department, plugin, required, settings) in enumerate(SWITCHED_ON):
            database.insert(
                DepartmentPlugin, department=departments[department], plugin=plugin, required=int(required),
                position=position, settings=dump(dict(settings)),
            )  # fmt: skip

    database.write(prepare)
    now = epoch(hospital.clock.now())
    for department, plugin, _, _ in SWITCHED_ON:
        rollout.set_stage(database, department, plugin, Stage.ON, BUILDER, now)


def _add_peers(hospital: Hospital, addresses: Mapping[str, str], now: int) -> None:
    database = hospital.database

    def insert() -> None:
        for code, address in addresses.items():
            database.insert(Peer, code=code, address=address, event_types=dump(list(TOLD[code])), created_at=now)

    database.write(insert)
