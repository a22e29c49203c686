"""Programs written with the SOAP libraries of other makers, each from the WSDL as it is served, book and are refused."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

CLIENTS = ("zeep", "suds", "php", "node", "gsoap")
VERSIONS = ("1.1", "1.2")
BOOKED = {
    "order": ["accepted", "awaiting_payment", "请先缴费，缴费后自动预约"],
    "payment": ["booked", "booked", "超声室", "1"],
    "slots": ["US-N", "true"],
    "check_in": ["checked_in", "2"],
}
PAYABLE = {"payable": ["1", "true", "请先缴费，缴费后自动预约"]}
REFUSED = {
    "fault": [
        "invalid_input", "申请单号和预约号须且只能给出一个", "false", ["query/orderNo", "query/appointmentNo"],
    ]
}  # fmt: skip


def words(told: Any) -> Any:
    """Values as text: the libraries differ in what they make numbers of where the WSDL says it only in words."""
    if isinstance(told, dict):
        return {name: words(value) for name, value in told.items()}
    if isinstance(told, list):
        return [words(value) for value in told]
    return str(told).lower() if isinstance(told, bool) else str(told)


def stored(site: Any) -> tuple[Any, ...]:
    row = site.world.database.row(
        "SELECT p.name, p.birth_date, o.note, y.amount FROM exam_order o JOIN patient p ON p.id = o.patient_id "
        "JOIN payment y ON y.order_number = o.number WHERE o.number = 'O1'"
    )
    return tuple(row)


@pytest.mark.parametrize("authentication", ["basic", "text"])
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_books_checks_in_and_reads_a_typed_fault(
    site: Any, play: Any, client: str, version: str, authentication: str
) -> None:
    assert words(play(site, client, version, authentication, "book")) == BOOKED | REFUSED
    assert stored(site) == ("欧阳·𠮷", "1990-02-28", "第一行\n第二行", "120.50")


@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_finds_the_same_on_each_database(site_on_each: Any, play: Any, client: str) -> None:
    assert words(play(site_on_each, client, "1.1", "basic", "book")) == BOOKED | REFUSED
    assert stored(site_on_each) == ("欧阳·𠮷", "1990-02-28", "第一行\n第二行", "120.50")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_sends_a_digest_of_its_key_and_never_the_key(site: Any, play: Any, client: str, version: str) -> None:
    site.world.order("US-THYROID", number="O1")
    site.world.clock.set(datetime.now(UTC))

    assert words(play(site, client, version, "digest", "ask")) == PAYABLE | REFUSED


@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_with_a_wrong_key_is_told_so_and_writes_nothing(site: Any, play: Any, client: str) -> None:
    before = site.counts()

    assert play(site, client, "1.1", "basic", "book", password="wrong") is None
    assert site.counts() == before
