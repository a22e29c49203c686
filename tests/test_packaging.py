"""The distribution holds what the folders hold: packages, entry points, data files, and modules that import alone."""

from __future__ import annotations

import configparser
import os
import subprocess
import sys
from importlib import import_module
from importlib.metadata import entry_points
from importlib.resources import files
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HOMES = (ROOT / "core", ROOT / "api", *sorted((ROOT / "plugins").iterdir()))
DATA = (
    *("*.typed", "*.wsdl", "*.xsd", "*.toml", "*.csv", "*.sql", "*.html", "*.css", "*.js"),
    *("*.svg", "*.json", "*.txt", "*.po", "*.mo", "*.jinja"),
)
GROUPS = ("console_scripts", "examlane.plugins")
# Other people's libraries are loaded once; each of our modules is the first of ours in a process of its own.
IMPORT_EACH = """
import importlib, os, sys
import apsw, argon2, click, flask, flask_babel, flask_smorest, flask_wtf, marshmallow, peewee, pluggy
import structlog, waitress, zeep
failed = 0
for name in sys.argv[1:]:
    child = os.fork()
    if not child:
        try:
            importlib.import_module(name)
        except BaseException as error:
            print(f"{name}: {error!r}", file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    failed |= os.waitpid(child, 0)[1]
sys.exit(bool(failed))
"""


def setup() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", "utf-8")
    return parser


def lines(text: str) -> list[str]:
    return [line.strip() for line in text.strip().splitlines()]


def pairs(text: str) -> dict[str, str]:
    return {name.strip(): value.strip() for name, _, value in (line.partition("=") for line in lines(text))}


def packages() -> dict[str, Path]:
    """Every package on disk with its folder."""
    return {
        ".".join(folder.relative_to(home).parts): folder
        for home in HOMES
        for folder in sorted({path.parent for path in home.rglob("__init__.py")})
    }


def modules() -> list[str]:
    found = [
        name if path.stem == "__init__" else f"{name}.{path.stem}"
        for name, folder in packages().items()
        for path in sorted(folder.glob("*.py"))
    ]
    return sorted(found)


def data_files() -> list[tuple[str, str]]:
    """Every file on disk that is no code, with the package above it."""
    tops = {name: folder for name, folder in packages().items() if "." not in name}
    return [
        (name, path.relative_to(folder).as_posix())
        for name, folder in tops.items()
        for pattern in DATA
        for path in sorted(folder.rglob(pattern))
    ]


def test_setup_cfg_names_every_package_and_its_folder() -> None:
    options = setup()["options"]
    found = packages()
    assert lines(options["packages"]) == sorted(found)
    places = {name: folder.relative_to(ROOT).as_posix() for name, folder in found.items() if "." not in name}
    assert pairs(options["package_dir"]) == places


def test_every_entry_point_is_installed_and_resolves() -> None:
    declared = setup()["options.entry_points"]
    for group in GROUPS:
        installed = {point.name: point for point in entry_points(group=group)}
        for name, value in pairs(declared[group]).items():
            assert installed[name].value == value
            assert installed[name].load()


def test_every_department_has_its_entry_point_readme_and_rules() -> None:
    names = set(pairs(setup()["options.entry_points"]["examlane.plugins"]))
    assert names == {home.name for home in (ROOT / "plugins").iterdir()}
    for name in names:
        assert (ROOT / "plugins" / name / "README.md").exists()
        home = files(f"examlane_{name}")
        assert home.joinpath("rules.toml").is_file() or home.joinpath("rules").is_dir()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_every_module_imports_alone_without_a_warning() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", IMPORT_EACH, *modules()], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_every_data_file_is_where_its_package_expects_it() -> None:
    found = data_files()
    assert {Path(name).suffix for _, name in found} >= {".typed", ".wsdl", ".toml", ".csv", ".sql", ".html", ".css", ".mo"}
    missing = [f"{package}: {name}" for package, name in found if not files(package).joinpath(name).is_file()]
    assert missing == []


@pytest.mark.parametrize("package", sorted(name for name in packages() if "." not in name))
def test_every_package_tells_type_checkers_that_it_is_typed(package: str) -> None:
    assert files(package).joinpath("py.typed").is_file()


def test_the_version_is_in_the_changelog() -> None:
    version = import_module("examlane").__version__
    assert f"## [{version}]" in (ROOT / "CHANGELOG.md").read_text("utf-8")
