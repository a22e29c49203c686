"""Context providers over REST and SOAP: real servers that are slow, down, wrong, or about somebody else."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import pytest
from click.testing import CliRunner
from lxml import etree

from examlane import Fact
from examlane.hospital import open_hospital
from examlane.orders.context import Config, ContextProvider, Gathered, Past, Providers
from examlane.orders.patients import Identifier
from examlane.settings import Settings
from examlane_api.cli import cli
from examlane_api.providers import KINDS

NOW = datetime(2026, 11, 23, tzinfo=UTC)
CARD = [Identifier("card", "C1001")]
SAID = "2026-11-22T08:00:00+08:00"
SPACE = "http://examlane.org/context/v1"


@dataclass
class Fake:
    """What a fake provider answers, and what it heard; its clients wait while `released` is not set."""

    kind: str
    facts: dict[str, Any] = field(default_factory=lambda: {"egfr": 90, "pregnant": False, "allergy": "none"})
    patient: tuple[tuple[str, str], ...] = (("card", "C1001"),)
    observed_at: str | None = SAID
    status: int = 200
    raw: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)
    heard: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)
    address: str = ""

    def answer(self, path: str, body: bytes) -> tuple[str, bytes]:
        exams = b"xaminations" in body or path.endswith("/examinations")
        if self.kind == "soap":
            return "text/xml; charset=utf-8", self.raw or self._xml(exams)
        return "application/json", self.raw or self._json(exams)

    def _json(self, exams: bool) -> bytes:
        named = {"identifiers": [{"kind": kind, "value": value} for kind, value in self.patient]}
        if exams:
            done = {"item": "CT-HEAD", "starts_at": SAID, "ends_at": "2026-11-22T08:10:00+08:00"}
            return json.dumps({"patient": named, "examinations": [done]}).encode()
        facts = {
            name: {"value": value, "observed_at": self.observed_at, "source": "LIS"} for name, value in self.facts.items()
        }
        return json.dumps({"patient": named, "facts": facts, "more": "later"}).encode()

    def _xml(self, exams: bool) -> bytes:
        named = "".join(
            f"<c:identifier><c:kind>{kind}</c:kind><c:value>{value}</c:value></c:identifier>" for kind, value in self.patient
        )
        if exams:
            done = f"<c:examination><c:itemCode>CT-HEAD</c:itemCode><c:startsAt>{SAID}</c:startsAt>"
            content = f"{done}<c:endsAt>2026-11-22T08:10:00+08:00</c:endsAt></c:examination>"
        else:
            content = "".join(self._fact(name, value) for name, value in self.facts.items())
        name = "QueryExaminationsResponse" if exams else "QueryFactsResponse"
        return (
            f'<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" xmlns:c="{SPACE}"><s:Body>'
            f"<c:{name}><c:patient>{named}</c:patient>{content}</c:{name}></s:Body></s:Envelope>"
        ).encode()

    def _fact(self, name: str, value: Any) -> str:
        tag = "flag" if isinstance(value, bool) else "number" if isinstance(value, int | float) else "text"
        told = str(value).lower() if isinstance(value, bool) else "NaN" if value != value else escape(str(value))
        observed = f"<c:observedAt>{self.observed_at}</c:observedAt>" if self.observed_at else ""
        return f"<c:fact><c:name>{name}</c:name><c:{tag}>{told}</c:{tag}>{observed}</c:fact>"


def served(fake: Fake) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            fake.heard.append((self.path, dict(self.headers), body))
            fake.released.wait(60)
            content_type, content = fake.answer(self.path, body)
            self.send_response(fake.status)
            for name, value in {"Content-Type": content_type, "Content-Length": str(len(content)), **fake.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    fake.address = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    return server


@pytest.fixture(params=["rest", "soap"])
def make(request: pytest.FixtureRequest) -> Iterator[Callable[..., Fake]]:
    servers: list[tuple[Fake, ThreadingHTTPServer]] = []

    def made(**more: Any) -> Fake:
        fake = Fake(request.param, **more)
        fake.released.set()
        servers.append((fake, served(fake)))
        return fake

    yield made
    for fake, server in servers:
        fake.released.set()
        server.shutdown()
        server.server_close()


class Open:
    def admits(self) -> bool:
        return True

    def note(self, succeeded: bool) -> bool:
        return False


def config(fake: Fake, **more: Any) -> Config:
    facts = (("egfr", "number"), ("pregnant", "flag"), ("allergy", "text"))
    usual = {"code": "LIS", "kind": fake.kind, "address": fake.address, "facts": facts, "history": False, "limit": 30.0}
    return Config(**{**usual, "cache": timedelta(hours=1), **more})


def asked(fake: Fake, names: Sequence[str] = ("egfr", "pregnant", "allergy"), **more: Any) -> Gathered:
    providers = Providers(KINDS, Open)
    return providers.gather({config(fake, **more): list(names)}, CARD, NOW)


def test_facts_come_with_their_time_and_nothing_else_is_asked(make: Callable[..., Fake]) -> None:
    fake = make()
    found = asked(fake)

    told = datetime(2026, 11, 22, 0, 0, tzinfo=UTC)
    assert {name: (fact.value, fact.observed_at) for name, fact in found.facts["LIS"].items()} == {
        "egfr": (90, told), "pregnant": (False, told), "allergy": ("none", told),
    }  # fmt: skip
    assert found.unanswered == []
    assert [path for path, _, _ in fake.heard] == ["/facts" if fake.kind == "rest" else "/"]


def test_the_history_of_exams_comes_too(make: Callable[..., Fake]) -> None:
    fake = make()
    found = asked(fake, history=True)

    start = datetime(2026, 11, 22, tzinfo=UTC)
    assert found.exams["LIS"] == [Past("CT-HEAD", start, start + timedelta(minutes=10))]
    assert len(fake.heard) == 2


def test_only_the_identifiers_leave_and_only_to_the_address_that_is_set(make: Callable[..., Fake]) -> None:
    elsewhere = make()
    fake = make(status=307, headers={"Location": f"{elsewhere.address}/facts"})
    found = asked(fake)

    assert elsewhere.heard == []
    assert len(fake.heard) == 1
    assert found.facts == {}
    assert len(found.unanswered) == 1


def test_a_message_holds_identifiers_and_names_of_facts_only(make: Callable[..., Fake]) -> None:
    fake = make()
    asked(fake, ["egfr"])
    body = fake.heard[0][2]
    if fake.kind == "rest":
        assert json.loads(body) == {"patient": {"identifiers": [{"kind": "card", "value": "C1001"}]}, "facts": ["egfr"]}
    else:
        texts = [each for each in etree.fromstring(body).itertext() if each.strip()]
        assert texts == ["card", "C1001", "egfr"]


def test_the_secret_comes_from_the_environment(make: Callable[..., Fake], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXAMLANE_PROVIDER_LIS", "sesame")
    fake = make()
    asked(fake)

    sent = fake.heard[0][1]["Authorization"]
    assert sent == ("Bearer sesame" if fake.kind == "rest" else "Basic TElTOnNlc2FtZQ==")


@pytest.mark.parametrize("patient", [(("card", "C9999"),), (("id", "510"),), (("card", "C1001"), ("card", "C9999"))])
def test_an_answer_about_somebody_else_is_refused_whole(make: Callable[..., Fake], patient: Any) -> None:
    found = asked(make(patient=patient))

    assert (found.facts, found.unanswered) == ({}, [("LIS", "wrong_patient")])


@pytest.mark.parametrize(
    "raw", [b"", b"nonsense", b"{}", b"[]", b"<html>log in</html>", b"\xff\xfe\x00", b"x" * 1_200_000, b"null"]
)
def test_garbage_is_no_answer(make: Callable[..., Fake], raw: bytes) -> None:
    found = asked(make(raw=raw or b" "))

    assert (found.facts, len(found.unanswered)) == ({}, 1)


@pytest.mark.parametrize("status", [401, 404, 500, 503])
def test_a_refusal_is_no_answer(make: Callable[..., Fake], status: int) -> None:
    found = asked(make(status=status, raw=b"no"))

    assert (found.facts, len(found.unanswered)) == ({}, 1)


def test_who_is_down_is_no_answer(make: Callable[..., Fake]) -> None:
    fake = make()
    found = asked(fake, address="http://127.0.0.1:9")

    assert (found.facts, found.unanswered) == ({}, [("LIS", "unreachable")])


def test_who_is_slow_is_not_waited_for(make: Callable[..., Fake]) -> None:
    fake = make()
    fake.released.clear()
    found = asked(fake, limit=0.05)

    assert found.facts == {}
    assert found.unanswered[0][1] in ("late", "unreachable")


@pytest.mark.parametrize(
    ("facts", "observed_at"),
    [
        ({"egfr": float("nan")}, SAID), ({"egfr": "ninety"}, SAID), ({"egfr": True}, SAID), ({"egfr": 1e9}, SAID),
        ({"egfr": 90}, "2027-01-01T00:00:00+08:00"), ({"egfr": 90}, "yesterday"), ({"pregnant": 0}, SAID),
        ({"allergy": "x" * 300}, SAID),
    ],
)  # fmt: skip
def test_a_value_that_makes_no_sense_stays_unknown(make: Callable[..., Fake], facts: Any, observed_at: str) -> None:
    found = asked(make(facts=facts, observed_at=observed_at))

    assert found.known == {}
    assert len(found.unanswered) == 1


def test_a_time_without_offset_stays_unknown(make: Callable[..., Fake]) -> None:
    assert asked(make(observed_at="2026-11-22T08:00:00")).known == {}


def test_a_document_type_is_not_read() -> None:
    bomb = (
        b'<!DOCTYPE x [<!ENTITY a "aaaa">]><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/">&a;</s:Envelope>'
    )
    fake = Fake("soap", raw=bomb)
    fake.released.set()
    server = served(fake)
    found = asked(fake)
    server.shutdown()
    server.server_close()

    assert (found.facts, found.unanswered) == ({}, [("LIS", "garbage")])


def test_an_address_that_cannot_be_asked_stops_nobody(make: Callable[..., Fake]) -> None:
    fake = make()
    providers = Providers(KINDS, Open)

    assert providers.gather({config(fake, address="file:///etc/passwd"): ["egfr"]}, CARD, NOW) == Gathered({}, {}, [])
    assert providers.unanswered["LIS", "cannot be used"] == 1


def test_a_connected_provider_is_one_of_the_protocol(make: Callable[..., Fake]) -> None:
    fake = make()
    provider: ContextProvider = KINDS[fake.kind](config(fake))

    assert isinstance(provider.facts(CARD, ["egfr"])["egfr"], Fact)


def test_providers_are_set_listed_and_checked_from_the_command_line(
    make: Callable[..., Fake], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = make(facts={"egfr": 90})
    url = f"sqlite:///{tmp_path / 'hospital.db'}"
    here = open_hospital(Settings(database=url))
    here.database.create_tables()
    here.close()
    monkeypatch.setenv("EXAMLANE_DATABASE", url)

    def run(*words: str) -> Any:
        return CliRunner().invoke(cli, ["providers", *words])

    described = ("--kind", fake.kind, "--address", fake.address, "--fact", "egfr=number", "--fact", "weight_kg=number")
    assert run("set", "LIS", *described, "--limit-ms", "5000", "--history").output == "LIS is asked\n"
    assert "egfr=number, weight_kg=number, history  5000 ms, 60 min, on, 0 unanswered" in run("list").output
    checked = run("check", "LIS", "--patient", "card=C1001")
    assert checked.output == "LIS knows egfr of egfr, weight_kg\n1 exams of the patient's history\n"
    assert "90" not in checked.output
    assert run("check", "LIS", "--patient", "card=OTHER").exit_code == 1
    assert run("set", "LIS", *described, "--disabled").output == "LIS is not asked\n"
    assert run("check", "LIS", "--patient", "card=C1001").exit_code == 1
    assert run("set", "X", "--kind", "rest", "--address", "ftp://x").exit_code == 1
    assert run("set", "X", "--kind", "rest", "--address", "http://x", "--fact", "egfr=colour").exit_code == 1
