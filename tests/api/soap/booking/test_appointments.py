"""Appointments over SOAP: held, booked, moved, read page by page."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

ITEMS = {"item": [{"orderNo": "O1", "line": 1}]}


def offered(peer: Any, **query: Any) -> dict[str, Any]:
    slot = peer.say("QuerySlots", **query)["slot"][0]
    return {"group": slot["group"], "startAt": slot["startAt"]}


@pytest.fixture
def freed(peer: Any) -> Any:
    """A paid order whose appointment was given up."""
    peer.say("CancelAppointment", appointmentNo=peer.book(), reason="改日")
    return peer


def test_a_time_is_held_and_then_booked(freed: Any) -> None:
    held = freed.say("HoldSlots", items=ITEMS, **offered(freed, orderNo="O1"))
    assert (held["state"], held["items"]["item"]) == ("held", [{"orderNo": "O1", "line": 1}])
    assert held["holdExpiresAt"] > held["startAt"].replace(hour=0)
    booked = freed.say("BookAppointment", appointmentNo=held["appointmentNo"])
    assert (booked["appointmentNo"], booked["state"], booked["holdExpiresAt"]) == (
        held["appointmentNo"], "booked", None,
    )  # fmt: skip
    assert (booked["department"], booked["group"]) == ("US", "US-N")


def test_a_hold_that_has_expired_is_not_booked(freed: Any) -> None:
    held = freed.say("HoldSlots", items=ITEMS, **offered(freed, orderNo="O1"))
    freed.world.later(hours=1)
    assert freed.refused("BookAppointment", appointmentNo=held["appointmentNo"]).code in ("hold_expired", "state_conflict")


def test_a_chosen_time_is_booked_at_once_and_only_once(freed: Any) -> None:
    choice = offered(freed, orderNo="O1")
    booked = freed.say("BookAppointment", items=ITEMS, messageId="b", **choice)
    assert (booked["state"], booked["startAt"]) == ("booked", choice["startAt"])
    assert freed.say("BookAppointment", items=ITEMS, messageId="b", **choice) == booked
    assert freed.refused("BookAppointment", items=ITEMS, **choice).code == "already_booked"


@pytest.mark.parametrize("fields", [{}, {"items": ITEMS}, {"appointmentNo": "A1", "group": "US-N"}])
def test_a_booking_names_a_hold_or_a_time(peer: Any, fields: dict[str, Any]) -> None:
    fault = peer.refused("BookAppointment", **fields)
    assert (fault.code, len(fault.field)) == ("invalid_input", 4)


def test_another_departments_items_are_neither_held_nor_booked(freed: Any) -> None:
    ct, choice = freed.member("ct", "registrar", "CT"), offered(freed, orderNo="O1")
    assert freed.refused("HoldSlots", ct, items=ITEMS, **choice).code == "forbidden"
    assert freed.refused("BookAppointment", ct, items=ITEMS, **choice).code == "forbidden"
    unknown = {"item": [{"orderNo": "O404", "line": 1}]}
    assert freed.refused("HoldSlots", items=unknown, **choice).code == "not_found"


def test_appointments_are_found_by_number_order_patient_and_day(peer_on_each: Any) -> None:
    peer = peer_on_each
    number = peer.book()
    card = {"kind": "card", "value": "P1"}
    day = {"department": "US", "onDay": date(2026, 11, 23)}
    for query in ({"appointmentNo": number}, {"orderNo": "O1"}, {"patientIdentifier": card}, day):
        page = peer.say("QueryAppointments", **query)
        assert [each["appointmentNo"] for each in page["appointments"]["appointment"]] == [number], query
        assert page["next"] is None
    assert peer.say("QueryAppointments", **{**day, "department": "CT"})["appointments"] is None


def test_a_days_appointments_come_page_by_page(peer: Any) -> None:
    booked = [peer.paid(f"O{n}", "US-THYROID", card=f"P{n}") for n in range(3)]
    found, after = [], 0
    while after is not None:
        page = peer.say("QueryAppointments", department="US", after=after, limit=2)
        found += [each["appointmentNo"] for each in page["appointments"]["appointment"]]
        after = page["next"]
    assert found == booked


@pytest.mark.parametrize("query", [{}, {"orderNo": "O1", "department": "US"}, {"orderNo": "O1", "onDay": date(2026, 1, 1)}])
def test_appointments_are_asked_for_in_one_way(peer: Any, query: dict[str, Any]) -> None:
    assert peer.refused("QueryAppointments", **query).code == "invalid_input"


@pytest.mark.parametrize("day", [date(1899, 1, 1), date(9999, 12, 31)])
def test_a_day_out_of_the_world_is_refused(peer: Any, day: date) -> None:
    peer.book()
    assert peer.refused("QuerySlots", orderNo="O1", fromDate=day).field == ["query/fromDate"]
    assert peer.refused("QueryAppointments", department="US", onDay=day).field == ["query/onDay"]


def test_a_cancellation_may_name_the_version_that_was_read(peer: Any) -> None:
    number = peer.book()
    fault = peer.refused("CancelAppointment", appointmentNo=number, reason="改日", version=7)
    assert (fault.code, fault.field) == ("version_conflict", ["cancellation/version"])
    assert peer.say("CancelAppointment", appointmentNo=number, reason="改日", version=1)["state"] == "cancelled"
