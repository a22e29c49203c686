"""The operations of the booking contract, by subject; they only translate, the core decides."""

from __future__ import annotations

from collections.abc import Mapping

from examlane.hospital import Hospital
from examlane_api.soap.booking import appointments, arrival, orders, patients, suspensions
from examlane_api.soap.booking.call import Operation, handler
from examlane_api.soap.engine import Handler

OPERATIONS: Mapping[str, Operation] = {
    **orders.OPERATIONS,
    **appointments.OPERATIONS,
    **arrival.OPERATIONS,
    **patients.OPERATIONS,
    **suspensions.OPERATIONS,
}


def handlers(hospital: Hospital) -> dict[str, Handler]:
    """A handler for every operation of the contract."""
    return {name: handler(hospital, operation) for name, operation in OPERATIONS.items()}
