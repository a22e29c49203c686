"""Sealing the secrets that must be read again: a signature or a digest cannot be checked against a fingerprint."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from pathlib import Path

import click
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

NAME = "EXAMLANE_KEY_FILE"
BYTES = 32


class Keyring:
    """AES-256-GCM under the hospital's key, which is in a file beside the database, never in it."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def seal(self, secret: str, owner: str) -> str:
        """A secret as it may be stored; only its owner's row opens it again."""
        nonce = os.urandom(12)
        return base64.b64encode(nonce + self._cipher.encrypt(nonce, secret.encode(), owner.encode())).decode()

    def open(self, sealed: str, owner: str) -> str:
        """The secret, or an empty text when it was sealed for another owner or under another key."""
        raw = base64.b64decode(sealed)
        try:
            return self._cipher.decrypt(raw[:12], raw[12:], owner.encode()).decode()
        except InvalidTag:
            return ""


def new_key_file(path: Path) -> None:
    """Write a new key that only this account may read. Raises `FileExistsError`: a key is never overwritten."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(base64.b64encode(os.urandom(BYTES)))


def from_environment(environment: Mapping[str, str] | None = None) -> Keyring | None:
    """The keyring of the file that EXAMLANE_KEY_FILE names, or None where none is named."""
    name = (os.environ if environment is None else environment).get(NAME)
    if not name:
        return None
    try:
        key = base64.b64decode(Path(name).read_bytes(), validate=True)
    except (OSError, ValueError) as error:
        raise click.ClickException(f"{NAME}: {name} cannot be read ({error}); `examlane clients key` makes one") from error
    if len(key) != BYTES:
        raise click.ClickException(f"{NAME}: {name} holds no key of {BYTES} bytes; `examlane clients key` makes one")
    return Keyring(key)
