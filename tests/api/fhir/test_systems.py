"""The file of systems is read as a whole or refused by name; without the extra the façade is not there, and says so."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import structlog

from examlane_api import fhir
from examlane_api.app import create_app
from examlane_api.fhir import systems
from examlane_api.fhir.systems import BadSystems, Systems


def test_without_a_file_the_defaults_count() -> None:
    assert systems.from_environment({}) == Systems()


def test_what_a_file_leaves_out_keeps_its_default(tmp_path: Path) -> None:
    path = tmp_path / "systems.toml"
    path.write_text('order = "urn:oid:1.2"\n[patient]\ncitizen_id = "urn:oid:1.3"\n', "utf-8")

    found = systems.from_environment({systems.SYSTEMS: str(path)})

    assert (found.order, found.item, dict(found.patient)) == ("urn:oid:1.2", Systems().item, {"citizen_id": "urn:oid:1.3"})


@pytest.mark.parametrize(
    ("content", "said"),
    [('colour = "red"', "colour"), ('order = "no uri"', "order"), ("order = 1", "order"), ("patient = 1", "patient"),
     ("[patient]\ncard = 1", r"patient\.card"), ("= 1", "cannot be read")],
)  # fmt: skip
def test_a_file_with_a_mistake_is_refused_by_name(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "systems.toml"
    path.write_text(content, "utf-8")
    with pytest.raises(BadSystems, match=rf"systems\.toml: .*{said}"):
        systems.load(path)


def test_without_the_extra_there_is_no_facade_and_the_log_says_why(rest: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fhir, "installed", lambda: False)
    with structlog.testing.capture_logs() as logged:
        app = create_app(rest.world.hospital, "for tests only")

    answer = app.test_client().get("/fhir/R4/metadata")
    assert answer.status_code == 404
    assert [each["cure"] for each in logged if each["event"] == "fhir_not_served"] == ["pip install 'examlane[fhir]'"]


def test_the_libraries_are_loaded_only_where_they_are_used() -> None:
    """The command line, and with it the worker, imports neither; serving imports FHIR's."""
    look = "import sys, examlane_api.cli; print([name for name in ('fhir.resources', 'hl7apy') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
