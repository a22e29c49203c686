"""What SOAP costs beside JSON: the same order through both in one run, whole and without the work of the core."""

from __future__ import annotations

import argparse
import base64
import itertools
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any
from unittest.mock import patch

from flask.testing import FlaskClient
from lxml import etree

from examlane import reporting
from examlane.appointments import status
from examlane.testing import World, small_hospital
from examlane_api import clients
from examlane_api.app import create_app, new_secret
from examlane_api.rest.api import PREFIX
from examlane_api.soap.service import URL

MOST = 3.0
"""How many times the JSON layer the SOAP layer may cost."""
NAMESPACE = "http://examlane.org/soap/v1"
ENVELOPE = "http://schemas.xmlsoap.org/soap/envelope/"
AT = "2026-11-23T08:00:00+08:00"
Call = Callable[[], None]
Prepare = Callable[[int], Call]


def json_order(number: str, items: int) -> dict[str, Any]:
    return {
        "number": number,
        "patient": {"identifiers": [{"kind": "card", "value": number}], "name": "测试患者", "sex": "female"},
        "encounter": {"number": number, "encounter_class": "outpatient", "campus": "N", "needs": ["wheelchair"]},
        "ordering_department": "CLINIC",
        "priority": "routine",
        "ordered_at": AT,
        "items": [{"line": line, "item": "US-THYROID", "confirmed": ["rules.asked"]} for line in range(1, items + 1)],
        "context": {"weight_kg": {"value": 61.5, "observed_at": AT}},
        "note": "左侧",
    }


def soap_order(number: str, items: int) -> bytes:
    patient = {"identifiers": [("identifier", {"kind": "card", "value": number})], "name": "测试患者", "sex": "female"}
    lines = [
        ("item", {"line": line, "itemCode": "US-THYROID", "confirmed": [("code", "rules.asked")]})
        for line in range(1, items + 1)
    ]
    order = {
        "messageId": number, "orderNo": number, "patient": patient,
        "encounter": {
            "encounterNo": number, "encounterClass": "outpatient", "campus": "N", "needs": [("need", "wheelchair")],
        },
        "orderingDepartment": "CLINIC", "priority": "routine", "orderedAt": AT, "items": lines,
        "facts": [("fact", {"name": "weight_kg", "value": "61.5", "observedAt": AT})], "note": "左侧",
    }  # fmt: skip
    envelope = etree.Element(f"{{{ENVELOPE}}}Envelope")
    message = etree.SubElement(etree.SubElement(envelope, f"{{{ENVELOPE}}}Body"), f"{{{NAMESPACE}}}SubmitOrder")
    _write(message, [("order", order)])
    return etree.tostring(envelope, encoding="utf-8")


def _write(parent: etree._Element, content: Any) -> None:
    if not isinstance(content, dict | list):
        parent.text = str(content)
        return
    for name, value in content.items() if isinstance(content, dict) else content:
        _write(etree.SubElement(parent, f"{{{NAMESPACE}}}{name}"), value)


class Senders:
    """The same order through JSON and through SOAP; every sending has a number of its own."""

    def __init__(self, world: World, items: int) -> None:
        secret = clients.add(world.database, f"his{items}", "HIS")
        self._client: FlaskClient = create_app(world.hospital, new_secret()).test_client()
        self._bearer = f"Bearer his{items}.{secret}"
        self._basic = "Basic " + base64.b64encode(f"his{items}:{secret}".encode()).decode()
        self._items = items

    def json(self, number: int) -> Call:
        headers = {"Authorization": self._bearer, "Idempotency-Key": f"J{self._items}-{number}"}
        body = json.dumps(json_order(f"J{self._items}-{number}", self._items)).encode()
        return partial(self._send, f"{PREFIX}/orders", body, headers, "application/json")

    def soap(self, number: int) -> Call:
        body = soap_order(f"S{self._items}-{number}", self._items)
        return partial(self._send, URL, body, {"Authorization": self._basic}, "text/xml; charset=utf-8")

    def _send(self, path: str, body: bytes, headers: Mapping[str, str], media_type: str) -> None:
        answer = self._client.post(path, data=body, headers=headers, content_type=media_type)
        assert answer.status_code == 200, answer.text


@contextmanager
def answered_at_once(world: World, items: int) -> Iterator[None]:
    """Every order is answered with one that was stored before: what is left is the cost of the layer."""
    stored = status.of_order(world.hospital, f"J{items}-0")

    def once(_hospital: Any, key: Any, act: Callable[[Any], Mapping[str, Any]], _again: Any) -> Any:
        return act(key), False

    with patch.object(reporting, "once", once), patch.object(reporting, "submit_order", lambda *_: stored):
        yield


def measure(ways: Mapping[str, Prepare], rounds: int, times: int, numbers: Iterator[int]) -> dict[str, float]:
    """Milliseconds an order in each way: the median of rounds that take turns."""
    taken: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, prepare in ways.items():
            calls = [prepare(next(numbers)) for _ in range(times)]
            began = time.perf_counter()
            for call in calls:
                call()
            taken[way].append((time.perf_counter() - began) / times * 1000)
    return {way: statistics.median(each) for way, each in taken.items()}


def show(what: str, items: int, found: Mapping[str, float]) -> float:
    ratio = found["soap"] / found["json"]
    print(f"{what:<14} {items:>5} {found['json']:>10.3f} {found['soap']:>10.3f} {ratio:>7.2f}")
    return ratio


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--times", type=int, default=30, help="orders a round, of the layer alone; whole ones are a fifth")
    options = parser.parse_args()
    ratios = []
    print(f"{'':<14} {'items':>5} {'JSON ms':>10} {'SOAP ms':>10} {'ratio':>7}")
    with tempfile.TemporaryDirectory() as folder:
        world = small_hospital(f"sqlite:///{folder}/hospital.db", {})
        for items in (2, 20):
            numbers, senders = itertools.count(), Senders(world, items)
            ways: dict[str, Prepare] = {"json": senders.json, "soap": senders.soap}
            measure(ways, 1, 1, numbers)  # the first ones load and compile
            show("whole order", items, measure(ways, options.rounds, max(1, options.times // 5), numbers))
            with answered_at_once(world, items):
                ratios.append(show("layer alone", items, measure(ways, options.rounds, options.times, numbers)))
        world.hospital.close()
    print(f"The SOAP layer costs at most {max(ratios):.2f} times the JSON layer; {MOST:g} are allowed.")
    return int(max(ratios) > MOST)


if __name__ == "__main__":
    sys.exit(main())
