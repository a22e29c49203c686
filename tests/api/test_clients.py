"""Integration clients prove who they are: a bearer key, a signed request, a WS-Security digest; keys rotate."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import zeep
from click.testing import CliRunner
from werkzeug.serving import make_server
from zeep.wsse.username import UsernameToken

from examlane.errors import NotFound, Refused
from examlane.storage.database import Database
from examlane.testing import MORNING, TESTER, World, small_hospital
from examlane_api import clients, keyring
from examlane_api.app import create_app
from examlane_api.cli import cli
from examlane_api.keyring import Keyring
from examlane_api.soap.service import WSDL

BODY = b'{"mode": "manual"}'


@pytest.fixture
def ring() -> Keyring:
    return Keyring(os.urandom(32))


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    world = small_hospital(database_url)
    yield world
    world.hospital.close()


@pytest.fixture
def ask(world: World, ring: Keyring) -> Callable[..., Any]:
    """Sends a request and answers its status; `sign` and the rest say how it is authorised."""
    app = create_app(world.hospital, "for tests only", keyring=ring)

    def send(path: str = "/api/v1/departments", method: str = "GET", body: bytes = b"", **headers: str) -> Any:
        content = {"data": body, "content_type": "application/json"} if body else {}
        return app.test_client().open(path, method=method, headers=headers, **content)

    return send


def signed(
    key: str, path: str = "/api/v1/departments", method: str = "GET", body: bytes = b"", *, code: str = "his",
    at: Any = MORNING, nonce: str = "nonce-0001",
) -> dict[str, str]:  # fmt: skip
    text = clients.text_to_sign(method, path, at.isoformat(), nonce, body)
    parts = f"client={code},timestamp={at.isoformat()},nonce={nonce},signature={clients.sign(key.encode(), text)}"
    return {"Authorization": f"{clients.SCHEME} {parts}"}


def bearer(code: str, key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {code}.{key}"}


def test_a_signed_request_is_recognised_and_its_key_never_travels(world: World, ring: Keyring, ask: Any) -> None:
    key = clients.add(world.database, "his", "HIS", method="signed", keyring=ring)

    assert ask(**signed(key)).status_code == 200
    assert key not in str(world.database.rows("SELECT digest, sealed FROM client_secret"))


def test_the_path_the_query_the_body_and_the_method_are_signed(world: World, ring: Keyring, ask: Any) -> None:
    key = clients.add(world.database, "console", "信息科", "administrator", method="signed", keyring=ring)
    path, query = "/api/v1/departments/US/mode", "/api/v1/rules?plugin=ecg"
    put = signed(key, path, "PUT", BODY, code="console", nonce="nonce-put1")

    assert ask("/api/v1/departments/CT/mode", "PUT", BODY, **put).status_code == 401
    assert ask(path, "PUT", b'{"mode": "external"}', **put).status_code == 401
    assert ask("/api/v1/departments/US", **signed(key, "/api/v1/departments/US", "PUT", code="console")).status_code == 401
    assert ask(path, "PUT", BODY, **put).status_code == 200
    listed = signed(key, query, code="console", nonce="nonce-query")
    assert ask("/api/v1/rules?plugin=radiology", **listed).status_code == 401
    assert ask(query, **listed).status_code == 200


def test_a_signed_request_counts_once_and_only_for_five_minutes(world: World, ring: Keyring, ask: Any) -> None:
    key = clients.add(world.database, "his", "HIS", method="signed", keyring=ring)
    assert ask(**signed(key)).status_code == 200
    assert ask(**signed(key)).status_code == 401
    for at in (MORNING - timedelta(minutes=6), MORNING + timedelta(minutes=6)):
        assert ask(**signed(key, at=at, nonce=f"nonce-{at:%H%M}")).status_code == 401
    world.clock.advance(timedelta(minutes=11))
    assert ask(**signed(key, at=world.clock.now(), nonce="nonce-0002")).status_code == 200
    assert world.database.rows("SELECT nonce FROM client_nonce") == [("nonce-0002",)]


def test_of_many_processes_that_hear_the_same_request_one_answers_it(world: World, ring: Keyring) -> None:
    key = clients.add(world.database, "his", "HIS", method="signed", keyring=ring)
    request = clients.Signed("GET", "/api/v1/departments", b"", signed(key)["Authorization"])
    found: list[Any] = []

    def hear() -> None:
        database = Database(world.database.url)
        found.append(clients.of_request(database, ring, request, MORNING))
        database.close()

    threads = [threading.Thread(target=hear) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len([caller for caller in found if caller]) == 1


@pytest.mark.parametrize(
    "sent",
    [
        "", "Bearer", "Bearer his", "Bearer his.", "Bearer .x", "Basic aGlzOng=", "EXAMLANE-HMAC-SHA256",
        "EXAMLANE-HMAC-SHA256 client=his", "EXAMLANE-HMAC-SHA256 client=his,timestamp=x,nonce=12345678,signature=ab",
        "EXAMLANE-HMAC-SHA256 =,=,=", "EXAMLANE-HMAC-SHA256 client=his,timestamp=2026-11-23T08:00:00,nonce=,signature=é",
    ],
)  # fmt: skip
def test_whatever_else_is_sent_is_nobody(world: World, ring: Keyring, ask: Any, sent: str) -> None:
    clients.add(world.database, "his", "HIS", method="signed", keyring=ring)

    assert ask(Authorization=sent).status_code == 401


def test_each_client_has_one_way_only(world: World, ring: Keyring, ask: Any) -> None:
    signing = clients.add(world.database, "his", "HIS", method="signed", keyring=ring)
    sending = clients.add(world.database, "mini", "小程序")

    assert ask(**bearer("his", signing)).status_code == 401
    assert ask(**signed(sending, code="mini")).status_code == 401
    assert ask(**bearer("mini", sending)).status_code == 200


def test_two_keys_are_live_while_they_rotate_and_the_old_one_ends(world: World, ask: Any) -> None:
    first = clients.add(world.database, "mini", "小程序", now=MORNING)
    second = clients.rotate(world.database, "mini", TESTER, MORNING)
    assert [ask(**bearer("mini", key)).status_code for key in (first, second)] == [200, 200]
    world.clock.advance(timedelta(days=8))
    assert [ask(**bearer("mini", key)).status_code for key in (first, second)] == [401, 200]


def test_rotating_again_ends_the_oldest_at_once(world: World, ask: Any) -> None:
    keys = [clients.add(world.database, "mini", "小程序", now=MORNING)]
    keys += [clients.rotate(world.database, "mini", TESTER, MORNING) for _ in range(2)]

    assert [ask(**bearer("mini", key)).status_code for key in keys] == [401, 200, 200]
    assert len(clients.overview(world.database)[0].keys) == clients.LIVE


def test_a_disabled_client_is_out_at_once_and_back_with_the_same_key(world: World, ask: Any) -> None:
    key = clients.add(world.database, "mini", "小程序")
    clients.set_disabled(world.database, "mini", True, TESTER, MORNING)
    assert ask(**bearer("mini", key)).status_code == 401
    clients.set_disabled(world.database, "mini", False, TESTER, MORNING)
    assert ask(**bearer("mini", key)).status_code == 200
    with pytest.raises(NotFound):
        clients.set_disabled(world.database, "nobody", True, TESTER, MORNING)


def test_a_scope_narrows_what_the_role_may_and_never_widens_it(world: World, ask: Any) -> None:
    reads = clients.add(world.database, "reads", "只读", scopes=("order.read", "department.*"))
    wide = clients.add(world.database, "wide", "越权", scopes=("department.switch",))

    assert ask(**bearer("reads", reads)).status_code == 200
    assert ask("/api/v1/times?items=O1/1", **bearer("reads", reads)).status_code == 403
    assert ask("/api/v1/departments/US/mode", "PUT", BODY, **bearer("wide", wide)).status_code == 403
    with pytest.raises(Refused, match="scope"):
        clients.add(world.database, "odd", "错", scopes=("order.everything",))


def test_who_asks_too_often_is_told_how_long_to_wait_and_others_are_not_held_up(world: World, ask: Any) -> None:
    fast, other = (clients.add(world.database, code, code, per_minute=3) for code in ("fast", "other"))
    answers = [ask(**bearer("fast", fast)) for _ in range(4)]

    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert answers[-1].json["code"] == "rate_limited"
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 60
    assert ask(**bearer("other", other)).status_code == 200


def test_a_code_is_used_once_and_signing_needs_a_key_file(world: World, ring: Keyring) -> None:
    clients.add(world.database, "his", "HIS")
    with pytest.raises(Refused, match="exists"):
        clients.add(world.database, "his", "HIS")
    with pytest.raises(Refused, match="KEY_FILE"):
        clients.add(world.database, "ris", "RIS", method="signed")
    clients.add(world.database, "ris", "RIS", method="signed", keyring=ring)
    with pytest.raises(Refused, match="KEY_FILE"):
        clients.rotate(world.database, "ris", TESTER, MORNING)


def test_a_sealed_key_opens_only_for_its_owner_and_under_its_keyring(ring: Keyring) -> None:
    sealed = ring.seal("secret", "his")

    assert ring.open(sealed, "his") == "secret"
    assert ring.open(sealed, "ris") == ""
    assert Keyring(os.urandom(32)).open(sealed, "his") == ""


# SOAP


@pytest.fixture
def soap(world: World, ring: Keyring) -> Iterator[Callable[[Any], Any]]:
    """A zeep service that sends a token; the server's clock is the token's."""
    server = make_server("127.0.0.1", 0, create_app(world.hospital, "for tests only", keyring=ring))

    def serve() -> None:
        server.serve_forever()
        world.database.close()

    thread = threading.Thread(target=serve)
    thread.start()
    sessions = []

    def service(token: Any) -> Any:
        client = zeep.Client(str(WSDL), wsse=token)
        sessions.append(client.transport.session)
        binding = "{http://examlane.org/soap/v1}BookingSoap11Binding"
        return client.create_service(binding, f"http://127.0.0.1:{server.server_port}/soap/booking")

    yield service
    for session in sessions:
        session.close()
    server.shutdown()
    thread.join()
    server.server_close()


def digest(key: str, nonce: str = "nonce-0001", **more: Any) -> UsernameToken:
    return UsernameToken("his", key, use_digest=True, nonce=nonce, created=more.pop("created", MORNING), **more)


def fault(service: Any) -> str:
    with pytest.raises(zeep.exceptions.Fault) as raised:
        service.QueryPayable({"orderNo": "O1"})
    return str(raised.value.message)


def test_a_digest_is_recognised_once(world: World, ring: Keyring, soap: Any) -> None:
    key = clients.add(world.database, "his", "HIS", method="signed", keyring=ring)

    assert fault(soap(digest(key))).startswith("not_found")
    assert fault(soap(digest(key))).startswith("unauthenticated")
    assert fault(soap(digest(key, "nonce-0002"))).startswith("not_found")


def test_a_wrong_a_stale_or_a_bearer_clients_digest_is_nobody(world: World, ring: Keyring, soap: Any) -> None:
    key = clients.add(world.database, "his", "HIS", method="signed", keyring=ring)
    assert fault(soap(digest("wrong"))).startswith("unauthenticated")
    assert fault(soap(digest(key, created=MORNING - timedelta(minutes=6)))).startswith("unauthenticated")
    plain = clients.add(world.database, "mini", "小程序")
    token = UsernameToken("mini", plain, use_digest=True, nonce="nonce-0003", created=MORNING)
    assert fault(soap(token)).startswith("unauthenticated")
    assert fault(soap(UsernameToken("mini", plain))).startswith("not_found")


# The command line


def run(url: str, *words: str, **environment: str) -> Any:
    return CliRunner(env={"EXAMLANE_DATABASE": url, **environment}).invoke(cli, ["clients", *words])


def test_clients_are_added_rotated_listed_and_shut_out_on_the_command_line(sqlite_url: str, tmp_path: Path) -> None:
    small_hospital(sqlite_url).hospital.close()
    file = tmp_path / "examlane.key"
    sealing = {keyring.NAME: str(file)}
    assert run(sqlite_url, "key", str(file)).exit_code == 0
    assert run(sqlite_url, "key", str(file)).exit_code == 1
    assert file.stat().st_mode & 0o077 == 0
    first = run(sqlite_url, "add", "mini", "--scope", "order.*", "--per-minute", "600")
    assert first.output.startswith("mini.")
    assert run(sqlite_url, "add", "ris", "--method", "signed", **sealing).exit_code == 0
    rotated = run(sqlite_url, "rotate", "ris", **sealing)
    assert rotated.exit_code == 0
    assert run(sqlite_url, "disable", "mini").exit_code == 0
    listed = run(sqlite_url, "list").output
    assert "disabled" in next(line for line in listed.splitlines() if line.startswith("mini"))
    assert " until " in next(line for line in listed.splitlines() if line.startswith("ris"))
    assert rotated.output.strip() not in listed
    assert run(sqlite_url, "enable", "mini").exit_code == 0


def test_a_key_file_that_is_none_is_named_with_its_cure(sqlite_url: str, tmp_path: Path) -> None:
    small_hospital(sqlite_url).hospital.close()
    for content in (b"short", b"!!!"):
        file = tmp_path / "odd.key"
        file.write_bytes(content)
        answer = run(sqlite_url, "add", "his", "--method", "signed", **{keyring.NAME: str(file)})
        assert answer.exit_code == 1
        assert "examlane clients key" in answer.output
