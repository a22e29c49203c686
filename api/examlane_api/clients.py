"""Integration clients: registered with a key, two keys live while they rotate, recognised by how each one proves itself.

A client is `bearer` (its key is sent: REST bearer, SOAP Basic or PasswordText) or `signed` (its key never travels: REST
requests are signed with HMAC-SHA256, SOAP uses PasswordDigest). Each client has one of the two, never both.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from examlane.domain import Text
from examlane.errors import NotFound, Refused
from examlane.records import audit
from examlane.records.audit import Actor
from examlane.storage.database import Database
from examlane.storage.fields import dump, epoch, instant, maybe_instant
from examlane.storage.ledger import ApiClient, ClientNonce, ClientSecret
from examlane_api.access import Caller, is_scope
from examlane_api.keyring import Keyring

METHODS = ("bearer", "signed")
SCHEME = "EXAMLANE-HMAC-SHA256"
CLOCKS_DIFFER = timedelta(minutes=5)
"""How far a caller's clock may be from ours; a nonce is remembered for twice that long."""
OVERLAP = timedelta(days=7)
LIVE = 2
NO_KEYRING = Text("未配置密钥文件，不能登记签名客户端", "without EXAMLANE_KEY_FILE no client can sign: make one first")
CLIENT = "SELECT id, role, departments, scopes, method, per_minute, name FROM api_client WHERE code = ? AND disabled = 0"
KEYS = """SELECT s.digest, s.sealed FROM client_secret s WHERE s.client_id = ?
AND (s.expires_at IS NULL OR s.expires_at > ?) ORDER BY s.id DESC"""


@dataclass(frozen=True, slots=True)
class ClientRow:
    """A client as an administrator sees it; of its keys only since when and until when they count."""

    code: str
    name: str
    role: str
    method: str
    departments: tuple[str, ...]
    scopes: tuple[str, ...]
    per_minute: int
    disabled: bool
    keys: tuple[tuple[datetime, datetime | None], ...]


@dataclass(frozen=True, slots=True)
class Signed:
    """What a signed REST request says of itself."""

    method: str
    target: str
    body: bytes
    authorization: str


@dataclass(frozen=True, slots=True)
class _Known:
    id: int
    caller: Caller
    method: str
    keys: tuple[tuple[str, str], ...]


# Registering


def add(
    database: Database, code: str, name: str, role: str = "integration", departments: Sequence[str] = (), *,
    method: str = "bearer", scopes: Sequence[str] = (), per_minute: int = 0, keyring: Keyring | None = None,
    now: datetime | None = None,
) -> str:  # fmt: skip
    """Register a client; returns its key, which is shown this once.

    Raises `Refused` when the code is taken, a scope is none, or the client signs and nothing can seal its key.
    """
    secret = _new_secret()

    def store() -> None:
        if database.value("SELECT 1 FROM api_client WHERE code = ?", code):
            raise Refused("client_exists", Text(f"客户端 {code} 已存在", f"client {code} exists"))
        client = database.insert(
            ApiClient, code=code, name=name, role=role, departments=dump(list(departments)), scopes=dump(list(scopes)),
            method=method, per_minute=per_minute,
        )  # fmt: skip
        _keep(database, client, code, method, secret, keyring, now or datetime.now(UTC))

    if method == "signed" and keyring is None:
        raise Refused("no_keyring", NO_KEYRING)
    if odd := [scope for scope in scopes if not is_scope(scope)]:
        raise Refused("scope_unknown", Text(f"未知的权限范围：{odd[0]}", f"no such scope: {odd[0]}"))
    database.write(store)
    return secret


def rotate(
    database: Database, code: str, actor: Actor, now: datetime, *, overlap: timedelta = OVERLAP,
    keyring: Keyring | None = None,
) -> str:  # fmt: skip
    """Give a client a new key; the present one counts on until the overlap ends. Raises `NotFound`, `Refused`."""
    secret = _new_secret()

    def store() -> None:
        row = database.row("SELECT id, method FROM api_client WHERE code = ?", code)
        if row is None:
            raise NotFound("client", code)
        client, method = row
        if method == "signed" and keyring is None:
            raise Refused("no_keyring", NO_KEYRING)
        _retire(database, client, epoch(now), epoch(now + overlap))
        _keep(database, client, code, method, secret, keyring, now)
        audit.record(database, actor, "client.rotate", "client", code, epoch(now))

    database.write(store)
    return secret


def set_disabled(database: Database, code: str, disabled: bool, actor: Actor, now: datetime) -> None:
    """Shut a client out at once, or let it in again with the keys it has. Raises `NotFound`."""

    def store() -> None:
        changed = database.rows("UPDATE api_client SET disabled = ? WHERE code = ? RETURNING id", int(disabled), code)
        if not changed:
            raise NotFound("client", code)
        action = "client.disable" if disabled else "client.enable"
        audit.record(database, actor, action, "client", code, epoch(now))

    database.write(store)


def overview(database: Database) -> list[ClientRow]:
    """Every client, by code."""
    rows = database.rows(
        "SELECT id, code, name, role, method, departments, scopes, per_minute, disabled FROM api_client ORDER BY code"
    )
    keys = database.rows("SELECT client_id, created_at, expires_at FROM client_secret ORDER BY id")
    return [
        ClientRow(
            code, name, role, method, tuple(json.loads(departments)), tuple(json.loads(scopes)), per_minute, bool(disabled),
            tuple((instant(since), maybe_instant(until)) for owner, since, until in keys if owner == key),
        )
        for key, code, name, role, method, departments, scopes, per_minute, disabled in rows
    ]  # fmt: skip


def _retire(database: Database, client: int, now: int, until: int) -> None:
    """Of the keys only the newest counts on, until the overlap ends: with the new one there are two."""
    newest = database.value("SELECT max(id) FROM client_secret WHERE client_id = ?", client)
    database.rows("DELETE FROM client_secret WHERE client_id = ? AND id <> ? RETURNING id", client, newest)
    database.rows(
        "UPDATE client_secret SET expires_at = ? WHERE id = ? AND (expires_at IS NULL OR expires_at > ?) RETURNING id",
        until, newest, now,
    )  # fmt: skip


def _keep(
    database: Database, client: int, code: str, method: str, secret: str, keyring: Keyring | None, now: datetime
) -> None:
    sealed = keyring.seal(secret, code) if method == "signed" and keyring else ""
    digest = _digest(secret) if method == "bearer" else ""
    database.insert(ClientSecret, client=client, digest=digest, sealed=sealed, created_at=epoch(now))


# Recognising


def of_request(database: Database, keyring: Keyring | None, request: Signed, now: datetime) -> Caller | None:
    """The client of a REST request: by its bearer key, or by its signature. None: not recognised."""
    scheme, _, rest = request.authorization.partition(" ")
    if scheme.upper() == SCHEME:
        return _by_signature(database, keyring, request, rest, now)
    code, _, secret = rest.strip().partition(".")
    return by_key(database, code, secret, "rest", now) if scheme.lower() == "bearer" and secret else None


def caller(database: Database, code: str, channel: str, now: datetime) -> Caller | None:
    """The client with this code, for work that it asked for earlier and that is done now; None if it is shut out."""
    known = _known(database, code, channel, now)
    return known.caller if known else None


def by_key(database: Database, code: str, secret: str, channel: str, now: datetime) -> Caller | None:
    """The bearer client with this code and key, or None."""
    known = _known(database, code, channel, now)
    digests = [digest for digest, _ in known.keys] if known and known.method == "bearer" else []
    sent = _digest(secret)
    matches = [hmac.compare_digest(digest, sent) for digest in digests or [_digest("")]]
    return known.caller if known and digests and any(matches) else None


def by_digest(
    database: Database, keyring: Keyring | None, code: str, nonce: str, created: str, digest: str, now: datetime
) -> Caller | None:
    """The signed client of a WS-Security PasswordDigest: base64(SHA-1(nonce + created + key)), once, within five minutes.

    Source: OASIS Web Services Security UsernameToken Profile 1.1, §3.1.
    """
    known = _known(database, code, "soap", now)
    try:
        raw = base64.b64decode(nonce, validate=True)
    except (binascii.Error, ValueError):
        return None
    right = any(
        hmac.compare_digest(base64.b64encode(hashlib.sha1(raw + created.encode() + key).digest()), digest.encode())
        for key in _opened(known, keyring)
    )
    fresh = right and known is not None and _is_near(created, now) and _first(database, known.id, nonce, now)
    return known.caller if known and fresh else None


def _by_signature(database: Database, keyring: Keyring | None, request: Signed, sent: str, now: datetime) -> Caller | None:
    parts = _parts(sent)
    known = _known(database, parts.get("client", ""), "rest", now)
    content = text_to_sign(request.method, request.target, parts.get("timestamp", ""), parts.get("nonce", ""), request.body)
    signature = parts.get("signature", "").encode()
    right = any(hmac.compare_digest(sign(key, content).encode(), signature) for key in _opened(known, keyring))
    fresh = right and known is not None and _is_near(parts["timestamp"], now)
    return known.caller if known and fresh and _first(database, known.id, parts["nonce"], now) else None


def text_to_sign(method: str, target: str, timestamp: str, nonce: str, body: bytes) -> str:
    """What a signature is made over: method, path with query, instant, nonce and the body's SHA-256, a line each."""
    return "\n".join((method, target, timestamp, nonce, hashlib.sha256(body).hexdigest()))


def sign(key: bytes, content: str) -> str:
    """The HMAC-SHA256 of a text under a key, in hexadecimal."""
    return hmac.new(key, content.encode(), hashlib.sha256).hexdigest()


def _parts(sent: str) -> Mapping[str, str]:
    pairs = (pair.partition("=") for pair in sent.split(","))
    return {name.strip(): value.strip().strip('"') for name, _, value in pairs}


def _known(database: Database, code: str, channel: str, now: datetime) -> _Known | None:
    row = database.row(CLIENT, code) if code.isprintable() else None
    if row is None:
        return None
    key, role, departments, scopes, method, per_minute, name = row
    caller = Caller(code, role, channel, frozenset(json.loads(departments)), name, frozenset(json.loads(scopes)), per_minute)
    return _Known(key, caller, method, tuple(database.rows(KEYS, key, epoch(now))))


def _opened(known: _Known | None, keyring: Keyring | None) -> Iterator[bytes]:
    if known is None or keyring is None or known.method != "signed":
        return
    for _, sealed in known.keys:
        if key := keyring.open(sealed, known.caller.name):
            yield key.encode()


def _is_near(timestamp: str, now: datetime) -> bool:
    try:
        at = datetime.fromisoformat(timestamp)
    except ValueError:
        return False
    return at.tzinfo is not None and abs(at - now) <= CLOCKS_DIFFER


def _first(database: Database, client: int, nonce: str, now: datetime) -> bool:
    """Whether a nonce is seen for the first time, in any process; old ones are forgotten on the way."""
    if not 8 <= len(nonce) <= 128:
        return False

    def remember() -> bool:
        database.rows("DELETE FROM client_nonce WHERE expires_at < ? RETURNING id", epoch(now))
        if database.value("SELECT 1 FROM client_nonce WHERE client_id = ? AND nonce = ?", client, nonce):
            return False
        database.insert(ClientNonce, client=client, nonce=nonce, expires_at=epoch(now + 2 * CLOCKS_DIFFER))
        return True

    return bool(database.write(remember, durable=False))


def _new_secret() -> str:
    return secrets.token_urlsafe(32)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
