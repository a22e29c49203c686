"""A peer's lists of a day for the nightly reconciliation: JSON over HTTP, or CSV files that it drops."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Mapping, Sequence
from datetime import date
from functools import partial
from pathlib import Path

import requests

from examlane.hospital import Hospital
from examlane.reconciliation.entries import KEYS, VALUES, DayLists, NoList, Open, Source
from examlane_api.rest.fields import strict_json

LARGEST = 50_000_000
ENCODINGS = ("utf-8-sig", "gb18030")


def open_lists(hospital: Hospital) -> Open:
    """A reader of each source's lists, by its kind."""
    return partial(_open, hospital.settings.exchange_folder)


def _open(root: Path | None, source: Source) -> DayLists:
    if source.kind == "rest":
        return RestLists(source)
    if root is None:
        raise NoList("EXAMLANE_EXCHANGE_FOLDER is not set")
    return FolderLists(root / source.address)


class RestLists:
    """`GET {address}/{subject}?day=2026-11-23` answers `{"day": "2026-11-23", "orders": [{…}, …]}`, all rows at once."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._session = requests.Session()
        self._session.trust_env = False  # peers are inside the hospital: no proxy, no .netrc
        if key := secret(source.code):
            self._session.headers["Authorization"] = f"Bearer {key}"

    def read(self, subject: str, day: date) -> Sequence[Mapping[str, str]]:
        said = strict(self._get(subject, day))
        if not isinstance(said, dict) or said.get("day") != day.isoformat():
            raise NoList(f"{subject}: the answer is not of {day}")
        rows = said.get(subject)
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise NoList(f"{subject}: the answer holds no list")
        return [{name: value if isinstance(value, str) else str(value) for name, value in row.items()} for row in rows]

    def _get(self, subject: str, day: date) -> bytes:
        address = f"{self._source.address.rstrip('/')}/{subject}"
        try:
            with self._session.get(
                address, params={"day": day.isoformat()}, timeout=self._source.timeout_seconds, allow_redirects=False,
                stream=True,
            ) as answer:  # fmt: skip
                body = _body(answer)
        except requests.RequestException as error:
            raise NoList(f"{subject}: {type(error).__name__}") from error
        if answer.status_code != 200:
            raise NoList(f"{subject}: answered {answer.status_code}")
        return body


def _body(answer: requests.Response) -> bytes:
    body = bytearray()
    for part in answer.iter_content(65536):
        body += part
        if len(body) > LARGEST:
            raise NoList(f"more than {LARGEST} bytes")
    return bytes(body)


class FolderLists:
    """`orders-2026-11-23.csv` in the peer's folder, with a header, UTF-8 or GB 18030."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, subject: str, day: date) -> Sequence[Mapping[str, str]]:
        path = self._folder / f"{subject}-{day}.csv"
        try:
            content = path.read_bytes()
        except OSError as error:
            raise NoList(f"{path.name}: {error.strerror}") from error
        return rows(path.name, decoded(path.name, content), {*KEYS[subject], *VALUES[subject]})


def rows(name: str, content: str, wanted: set[str]) -> list[Mapping[str, str]]:
    """The rows of a CSV text. Raises `NoList` without a whole header, or for a row that is shorter or longer."""
    reader = csv.DictReader(io.StringIO(content))
    reader.fieldnames = [(column or "").strip() for column in reader.fieldnames or ()]
    if lacking := sorted(wanted - set(reader.fieldnames)):
        raise NoList(f"{name}: the header has no {lacking[0]}")
    found: list[Mapping[str, str]] = []
    for row in reader:
        if None in row or None in row.values():
            raise NoList(f"{name} line {reader.line_num}: not as many cells as the header")
        found.append({column: value.strip() for column, value in row.items()})
    return found


def decoded(name: str, content: bytes) -> str:
    for encoding in ENCODINGS:
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise NoList(f"{name}: neither UTF-8 nor GB 18030")


def strict(content: bytes) -> object:
    try:
        return strict_json(content)
    except (ValueError, RecursionError) as error:
        raise NoList("the answer is no JSON") from error


def secret(code: str) -> str:
    """The peer's key, from the environment; empty where it wants none."""
    return os.environ.get(f"EXAMLANE_PEER_{re.sub('[^A-Z0-9]', '_', code.upper())}", "")
