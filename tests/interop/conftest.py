"""A hospital behind waitress that programs of other makers can call, and those programs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from examlane.storage.tables import TABLES
from examlane.testing import World, small_hospital
from examlane_api import clients
from examlane_api.app import create_app
from examlane_api.demo.serving import Served
from examlane_api.keyring import Keyring

PROGRAMS = Path(__file__).with_name("clients")
BINDINGS = {"1.1": ("wsdl", "BookingSoap11Binding", "1"), "1.2": ("wsdl12", "BookingSoap12Binding", "2")}


@dataclass
class Site:
    """A hospital at an address, with a client that sends its key and one that sends digests."""

    world: World
    address: str
    secrets: dict[str, str]

    @property
    def soap(self) -> str:
        return f"{self.address}/soap/booking"

    def counts(self) -> dict[str, int]:
        """How many rows every table has."""
        names = [table._meta.table_name for table in TABLES]
        row = self.world.database.row("SELECT " + ", ".join(f"(SELECT count(*) FROM {name})" for name in names))
        return dict(zip(names, row, strict=True))


@contextmanager
def serving(url: str) -> Iterator[Site]:
    world = small_hospital(url)
    keyring = Keyring(os.urandom(32))
    secrets = {
        "his": clients.add(world.database, "his", "HIS"),
        "platform": clients.add(world.database, "platform", "集成平台", method="signed", keyring=keyring),
    }
    app = create_app(world.hospital, "for tests only", keyring=keyring)
    app.teardown_request(lambda _: world.database.close())
    served = Served(app)
    yield Site(world, served.address, secrets)
    served.stop()
    world.hospital.close()


@pytest.fixture
def site(sqlite_url: str) -> Iterator[Site]:
    with serving(sqlite_url) as found:
        yield found


@pytest.fixture
def site_on_each(database_url: str) -> Iterator[Site]:
    with serving(database_url) as found:
        yield found


@cache
def node_modules() -> str:
    npm = shutil.which("npm")
    return subprocess.run([npm, "root", "--global"], capture_output=True, text=True).stdout.strip() if npm else ""


def succeeds(*command: str) -> bool:
    environment = {**os.environ, "NODE_PATH": node_modules()}
    return bool(shutil.which(command[0])) and subprocess.run(command, env=environment, capture_output=True).returncode == 0


def lacking(client: str) -> str:
    """What to install so that a client can be tried; empty if nothing."""
    present = {
        "zeep": lambda: True,
        "suds": lambda: find_spec("suds") is not None,
        "php": lambda: succeeds("php", "-r", "exit(extension_loaded('soap') ? 0 : 1);"),
        "node": lambda: succeeds("node", "-e", "require('soap')"),
        "gsoap": lambda: all(shutil.which(name) for name in ("wsdl2h", "soapcpp2", "g++")),
    }
    cure = {
        "suds": "suds is not here: pip install suds-community",
        "php": "PHP's SoapClient is not here: apt-get install php-cli php-soap",
        "node": "npm's soap is not here: npm install --global soap",
        "gsoap": "gSOAP is not here: apt-get install gsoap libgsoap-dev libssl-dev g++",
    }
    return "" if present[client]() else cure[client]


@pytest.fixture(scope="session")
def gsoap(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Path]:
    """Compile the gSOAP client of a SOAP version from the WSDL as it is served."""
    compiled: dict[str, Path] = {}

    def build(address: str, version: str) -> Path:
        if version not in compiled:
            query, binding, number = BINDINGS[version]
            folder = tmp_path_factory.mktemp("gsoap")
            command = ["sh", str(PROGRAMS / "build_gsoap.sh"), f"{address}?{query}", binding, number, str(folder)]
            done = subprocess.run(command, capture_output=True, text=True)
            assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
            compiled[version] = folder / "client"
        return compiled[version]

    return build


Play = Callable[..., Any]


@pytest.fixture
def play(gsoap: Callable[[str, str], Path]) -> Play:
    """Let a client play a story against a site; what it printed, or None if it gave up."""

    def command(client: str, address: str, version: str) -> list[str]:
        wsdl = f"{address}?{BINDINGS[version][0]}"
        return {
            "zeep": lambda: [sys.executable, str(PROGRAMS / "client_zeep.py"), wsdl],
            "suds": lambda: [sys.executable, str(PROGRAMS / "client_suds.py"), wsdl],
            "php": lambda: ["php", str(PROGRAMS / "client.php"), wsdl],
            "node": lambda: ["node", str(PROGRAMS / "client.js"), wsdl],
            "gsoap": lambda: [str(gsoap(address, version)), address],
        }[client]()

    def run(site: Site, client: str, version: str, authentication: str, story: str, password: str = "") -> Any:
        if cure := lacking(client):
            pytest.skip(cure)
        user = "platform" if authentication == "digest" else "his"
        arguments = [user, password or site.secrets[user], authentication, version, story, "O1"]
        environment = {**os.environ, "NODE_PATH": node_modules(), "PYTHONPATH": ""}
        done = subprocess.run(
            [*command(client, site.soap, version), *arguments], env=environment, capture_output=True, encoding="utf-8"
        )
        print(done.stderr)
        return json.loads(done.stdout) if done.returncode == 0 else None

    return run
