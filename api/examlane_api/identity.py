"""Staff: accounts, log-in and sessions. No password is stored in clear, none has a default."""

from __future__ import annotations

import hashlib
import json
import secrets
from datetime import datetime, timedelta
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError

from examlane.hospital import Hospital
from examlane.storage.database import Database
from examlane.storage.fields import dump, epoch
from examlane.storage.ledger import StaffSession, StaffUser
from examlane_api.access import Caller

IDLE = timedelta(minutes=30)
ABSOLUTE = timedelta(hours=12)
FAILURES = 5
LOCKED = timedelta(minutes=15)
# 19 MiB, two passes: the OWASP setting; the library's default costs half a second a log-in.
HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
USER = "SELECT id, password_hash, disabled, locked_until FROM staff_user WHERE login = ?"
FAILED = """UPDATE staff_user SET locked_until = CASE WHEN failures + 1 >= ? THEN ? ELSE locked_until END,
failures = CASE WHEN failures + 1 >= ? THEN 0 ELSE failures + 1 END WHERE id = ? RETURNING id"""
ENTERED = """UPDATE staff_user SET failures = 0, locked_until = NULL
WHERE id = ? AND (locked_until IS NULL OR locked_until <= ?) RETURNING id"""
SESSION = """SELECT s.id, s.created_at, s.seen_at, u.login, u.name, u.role, u.departments, u.disabled
FROM staff_session s JOIN staff_user u ON u.id = s.user_id WHERE s.token_hash = ?"""


def add_user(database: Database, login: str, name: str, role: str, departments: tuple[str, ...] = ()) -> str:
    """Register a member of staff; returns a one-time password, which is shown this once."""
    password = secrets.token_urlsafe(12)
    hashed = HASHER.hash(password)
    database.write(
        lambda: database.insert(
            StaffUser, login=login, name=name, role=role, password_hash=hashed, departments=dump(list(departments))
        )
    )
    return password


def log_in(hospital: Hospital, login: str, password: str) -> str | None:
    """Start a session; returns its token, or None. Five failures lock the account for fifteen minutes."""
    database, now = hospital.database, hospital.clock.now()
    row = database.row(USER, login) if login.isprintable() else None
    key, hashed, disabled, locked_until = row or (0, _nobody(), 1, None)
    right = _verify(hashed, password)  # the same work whether the name is known, locked, or neither
    if disabled or (locked_until and locked_until > epoch(now)):
        return None
    if not right:
        locked = epoch(now + LOCKED)
        database.write(lambda: database.rows(FAILED, FAILURES, locked, FAILURES, key))
        return None
    token = secrets.token_urlsafe(32)
    return token if database.write(lambda: _start(database, key, token, now)) else None


def session(hospital: Hospital, token: str, *, touch: bool = True) -> Caller | None:
    """The member of staff behind a session token, while the session is neither idle nor too old."""
    row = hospital.database.row(SESSION, _digest(token))
    now = hospital.clock.now()
    if row is None:
        return None
    key, created, seen, login, name, role, departments, disabled = row
    over = epoch(now) - seen > IDLE.total_seconds() or epoch(now) - created > ABSOLUTE.total_seconds()
    if disabled or over:
        return None
    if touch and epoch(now) - seen > 60:
        hospital.database.write(
            lambda: hospital.database.rows("UPDATE staff_session SET seen_at = ? WHERE id = ? RETURNING id", epoch(now), key)
        )
    return Caller(login, role, "page", frozenset(json.loads(departments)), name)


def log_out(hospital: Hospital, token: str) -> None:
    database = hospital.database
    database.write(lambda: database.rows("DELETE FROM staff_session WHERE token_hash = ? RETURNING id", _digest(token)))


def _start(database: Database, user: int, token: str, now: datetime) -> bool:
    """Write the session, unless other attempts locked the account in the meantime."""
    if not database.rows(ENTERED, user, epoch(now)):
        return False
    database.insert(StaffSession, token_hash=_digest(token), user=user, created_at=epoch(now), seen_at=epoch(now))
    return True


@cache
def _nobody() -> str:
    """A hash that no password is asked for."""
    return HASHER.hash(secrets.token_urlsafe())


def _verify(hashed: str, password: str) -> bool:
    try:
        return HASHER.verify(hashed, password)
    except VerificationError:
        return False


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
