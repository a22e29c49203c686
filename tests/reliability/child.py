"""A process of the hospital for the reliability tests: opens the database it is told, obeys one line at a time.

Each command is answered with one line of JSON once it is done, so what was answered is what a client was told.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any, cast

from examlane import reporting
from examlane.appointments import booking, changes, visits
from examlane.clock import SetClock
from examlane.domain import EncounterClass
from examlane.extension.plugins import Plugins
from examlane.hospital import Hospital, open_hospital
from examlane.orders.intake import EncounterData, OrderData, OrderLine
from examlane.orders.patients import Identifier, PatientData
from examlane.orders.release import PaymentData
from examlane.records import receipts
from examlane.records.audit import Actor
from examlane.records.receipts import request_key
from examlane.settings import Settings
from examlane.testing import MORNING
from examlane.waiting import offers

ACTOR = Actor("his", "test")


def connect(url: str, days: int) -> Hospital:
    from examlane_ultrasound import hooks

    plugins = Plugins()
    plugins.register("ultrasound", hooks)
    return open_hospital(Settings(database=url, horizon_days=days), SetClock(MORNING), plugins)


def order(hospital: Hospital, number: str, patient: str, *items: str) -> Any:
    """Submit an order as a hospital information system does; answers the states of its items."""
    data = OrderData(
        number, PatientData((Identifier("card", patient),), "患者"),
        EncounterData(f"V-{patient}", EncounterClass.OUTPATIENT, campus="N"), "CLINIC", MORNING,
        tuple(OrderLine(line, item) for line, item in enumerate(items, 1)),
    )  # fmt: skip
    return [item.reason for item in reporting.submit_order(hospital, data, ACTOR)]


def pay(hospital: Hospital, number: str) -> Any:
    """Report a payment under the key that its number makes; answers its state."""
    key = request_key("his", f"pay {number}", "payment.report", number)
    report = PaymentData(number, MORNING)

    def act(key: receipts.RequestKey) -> dict[str, Any]:
        return {"state": reporting.report_payment(hospital, report, ACTOR, key).state}

    answer, _ = reporting.once(hospital, key, act, lambda _: {"state": reporting.payment_answer(hospital, number).state})
    return answer["state"]


def book(hospital: Hospital, number: str, patient: str, *items: str) -> Any:
    order(hospital, number, patient, *items)
    return pay(hospital, number)


def accept(hospital: Hospital, offer: str) -> Any:
    """Accept an offer of the waiting list; answers the number of the appointment."""
    return offers.accept(hospital, int(offer), ACTOR).number


def expire_holds(hospital: Hospital, seconds: str) -> Any:
    """The worker's part after some seconds: how many holds this process ended."""
    cast(SetClock, hospital.clock).advance(timedelta(seconds=int(seconds)))
    return changes.expire_holds(hospital, ACTOR)


def stop_at(_: Hospital, place: str) -> Any:
    """From now on announce and hang where a test wants to kill this process."""
    owner, name = {
        "the payment is stored": (booking, "settle"),
        "the seats are taken": (visits, "_write_claims"),
        "the visit is booked": (receipts, "answer"),
    }[place]
    setattr(owner, name, hang)
    return "ready"


def hang(*_: Any, **__: Any) -> None:
    print(json.dumps("hangs"), flush=True)
    time.sleep(600)


COMMANDS: dict[str, Callable[..., Any]] = {
    "order": order, "pay": pay, "book": book, "expire_holds": expire_holds, "accept": accept,
    "stop_at": stop_at,
}  # fmt: skip


def main(url: str, days: str) -> None:
    hospital = connect(url, int(days))
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        print(json.dumps(COMMANDS[name](hospital, *arguments)), flush=True)
    hospital.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
