"""A platform's profile: read whole, checked with every problem named, never half used."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from examlane_api.hip import profiles
from examlane_api.hip.profiles import BadProfile

GOOD: dict[str, Any] = {
    "client": "platform", "sender": "EXAMLANE", "receiver": "HIP0001", "identifiers": {"1.2": "card"},
}  # fmt: skip


def test_the_example_of_the_package_can_be_used() -> None:
    found = profiles.load(Path(str(files("examlane_api.hip") / "example.toml")))
    assert found.code == "example"
    assert found.department_code("US") == "32"
    assert found.department_code("NEW") == "NEW"
    assert found.item_code("US-HEART") == "US002"
    assert (found.class_code("inpatient"), found.class_code("other")) == ("3", "9")
    assert found.root_of("citizen_id") == "2.16.156.10011.1.3"
    said = found.status_code("registered", "CT")
    assert said is not None
    assert said.code == "SC17"
    assert found.status_code("no_show", "CT") is None


def test_few_lines_are_enough() -> None:
    assert profiles.parse("hip", GOOD).operation == "HIPMessageServer"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"colour": "red"}, "extra fields found (colour)"),
        ({"sender": 1}, "$.sender"),
        ({"qualified": "no"}, "$.qualified"),
        ({"sender": "short"}, "sender: must have 7 to 36 characters"),
        ({"client": ""}, "client: the log-in of the platform is missing"),
        ({"namespace": 'urn:"x'}, "namespace: not a URI"),
        ({"operation": "two words"}, "operation: not an XML name"),
        ({"parameters": ["a"]}, "$.parameters"),
        ({"parameters": ["a", "a"]}, "parameters: two different XML names"),
        ({"identifiers": {}}, "identifiers: no kind"),
        ({"zone": "Mars/Phobos"}, "zone: 'Mars/Phobos' is not a time zone"),
        ({"schemas": "/nowhere"}, "schemas: there is no folder"),
        ({"sexes": {"1": "m"}}, "sexes.1: 'm' is none of"),
        ({"encounter_classes": {"1": "day"}}, "encounter_classes.1"),
        ({"priorities": {"1": "high"}}, "priorities.1"),
        ({"status": [{"code": "A", "name": "x", "step": "done"}]}, "status.A: 'done' is none of"),
        ({"status": [{"code": "A", "name": "x", "step": "booked"}] * 2}, "status: A stands twice"),
        ({"status": [{"code": "A"}]}, "$.status[0]"),
        ({"outbound": {"address": "hip:80"}}, "outbound.address: must begin with http"),
        ({"outbound": {"soap": "2"}}, "outbound.soap"),
        ({"outbound": {"answer_seconds": 0}}, "the seconds must be more than 0"),
        ({"outbound": {"password": "x"}}, "extra fields found (password)"),
    ],
)
def test_what_is_wrong_is_named(change: dict[str, Any], words: str) -> None:
    with pytest.raises(BadProfile) as refused:
        profiles.parse("hip", GOOD | change)
    assert words in str(refused.value)
    assert str(refused.value).startswith("hip.toml: ")


def test_a_peer_is_named_by_its_file(tmp_path: Path) -> None:
    content = 'client = "a"\nsender = "EXAMLANE"\nreceiver = "HIP0001"\n[identifiers]\n1 = "x"'
    (tmp_path / "hip-a.toml").write_text(content, "utf-8")
    assert list(profiles.load_folder(tmp_path)) == ["hip-a"]
    (tmp_path / "Bad Name.toml").write_text(content, "utf-8")
    with pytest.raises(BadProfile, match="the file's name"):
        profiles.load_folder(tmp_path)


@pytest.mark.parametrize("content", [b"not toml", b"\xff\xfe"])
def test_a_file_that_is_no_toml_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "hip.toml").write_bytes(content)
    with pytest.raises(BadProfile, match=r"hip\.toml: cannot be read"):
        profiles.load_folder(tmp_path)


def test_the_folder_comes_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(profiles.PROFILES, raising=False)
    assert profiles.from_environment() == {}
    monkeypatch.setenv(profiles.PROFILES, str(tmp_path / "missing"))
    with pytest.raises(BadProfile, match="there is no folder"):
        profiles.from_environment()


def test_a_password_comes_from_the_environment_only(monkeypatch: pytest.MonkeyPatch) -> None:
    found = profiles.parse("hip", GOOD | {"outbound": {"user": "us", "password_from": "HIP_PASSWORD"}})
    monkeypatch.setenv("HIP_PASSWORD", "secret")
    assert found.outbound.password == "secret"
    assert "secret" not in repr(found)
