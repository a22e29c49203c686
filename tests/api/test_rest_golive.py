"""Going live over REST and from the command line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from examlane.insight import invariants
from examlane.testing import small_hospital
from examlane_api.cli import cli

NINE = "2026-11-24T09:00:00+08:00"


def message(number: str = "R1", card: str = "P1", **more: Any) -> dict[str, Any]:
    return {
        "system": "RIS", "number": number, "state": "booked", "sent_at": "2026-11-23T07:00:00+08:00", "starts_at": NINE,
        "patient": {"identifiers": [{"kind": "card", "value": card}], "name": "患者甲"}, "items": ["US-THYROID"],
        "resource": "US-N-1",
    } | more  # fmt: skip


def line(number: str = "R1", card: str = "P1", **more: Any) -> dict[str, Any]:
    return {"number": number, "patient": f"card={card}", "patient_name": "患者甲", "items": "US-THYROID",
            "resource": "US-N-1", "starts_at": "2026-11-24 09:00"} | more  # fmt: skip


@pytest.fixture
def site(rest_on_each: Any) -> Iterator[Any]:
    rest_on_each.put("/departments/US/mode", {"mode": "external"}, caller="console")
    yield rest_on_each
    world = rest_on_each.world
    assert [each.id for each in invariants.check(world.database, clock=world.clock)] == []


def test_a_report_is_answered_with_our_number_and_with_what_is_not_as_told(site: Any) -> None:
    first = site.post("/external/appointments", message()).json
    second = site.post("/external/appointments", message("R2", "P2")).json

    assert (first["result"], first["problems"]) == ("created", [])
    assert second["problems"] == [{"code": "seat_full", "text": {"zh": "该时间已满", "en": "the time is full"}}]
    shown = site.get(f"/appointments/{first['appointment']}").json
    assert (shown["starts_at"], shown["state"]) == (NINE, "booked")


def test_the_same_key_again_is_the_same_answer_and_changes_nothing(site: Any) -> None:
    first = site.post("/external/appointments", message(), key="a")
    counts = site.counts()
    again = site.post("/external/appointments", message(), key="a")

    assert again.json == first.json
    assert again.headers["Idempotency-Replayed"] == "true"
    assert site.counts() == counts


def test_an_answer_that_was_lost_is_made_anew(site: Any) -> None:
    first = site.post("/external/appointments", message(), key="a").json
    listed = site.post("/external/imports", {"kind": "appointments", "system": "RIS", "lines": [line("R9", "P9")]}, key="b",
                       caller="console").json  # fmt: skip
    database = site.world.database
    database.write(lambda: database.rows("UPDATE receipt SET answer = NULL RETURNING id"))

    again = site.post("/external/appointments", message(), key="a").json
    assert again["appointment"] == first["appointment"]
    body = {"kind": "appointments", "system": "RIS", "lines": [line("R9", "P9")]}
    kept = site.post("/external/imports", body, key="b", caller="console").json
    assert {name: kept[name] for name in ("id", "read", "taken", "refused")} == {
        name: listed[name] for name in ("id", "read", "taken", "refused")
    }


@pytest.mark.parametrize(
    ("more", "pointer"),
    [
        ({"state": "asleep"}, "/state"),
        ({"starts_at": "tomorrow"}, "/starts_at"),
        ({"items": ["NOTHING"]}, "/items/0"),
        ({"items": [], "orders": ["O9/1"]}, "/orders/0"),
        ({"ends_at": "2026-11-24T08:00:00+08:00"}, "/ends_at"),
        ({"number": "x" * 41}, "/number"),
        ({"sequence": -1}, "/sequence"),
        ({"patient": {"identifiers": []}}, "/patient/identifiers"),
        ({"colour": "blue"}, "/colour"),
    ],
)
def test_a_report_that_cannot_be_understood_points_at_the_field(rest: Any, more: dict[str, Any], pointer: str) -> None:
    before = rest.counts()
    answer = rest.post("/external/appointments", message(**more))

    assert (answer.status_code, answer.json["errors"][0]["pointer"]) == (422, pointer)
    assert rest.counts() == before


def test_a_list_is_tried_taken_and_read_again(site: Any) -> None:
    body = {"kind": "appointments", "system": "RIS", "lines": [line(), line("R2", "P2", items="NOTHING"), 7]}
    before = site.counts()
    tried = site.post("/external/imports", body | {"dry_run": True}, caller="console").json
    assert site.counts() == before
    taken = site.post("/external/imports", body, caller="console").json

    assert tried["id"] is None
    assert [(one["line"], one["code"]) for one in taken["refused"]] == [(2, "unknown_item"), (3, "bad_line")]
    assert (tried["read"], tried["taken"]) == (taken["read"], taken["taken"]) == (3, 1)
    kept = site.get(f"/transfers/{taken['id']}", caller="console").json
    assert (kept["finished"], kept["read"], kept["refused"]) == (True, 3, taken["refused"])
    assert site.get("/transfers/999", caller="console").status_code == 404


def test_the_check_the_switch_the_differences_and_the_export(site: Any) -> None:
    order = site.order("O1", "US-THYROID")
    site.post("/orders", order)
    site.post("/payments", site.payment("O1"))
    number = site.post("/external/appointments", message(items=[], orders=["O1/1"])).json["appointment"]
    check = site.get("/departments/US/cutover", caller="console").json
    assert (check["ready"], [one["code"] for one in check["obstacles"]]) == (False, ["no_plugin"])
    exported = site.get("/departments/US/export", caller="console").json["appointments"]
    table = site.get("/departments/US/export", caller="console", Accept="text/csv")

    assert [row["appointment"] for row in exported] == [number]
    assert table.mimetype == "text/csv"
    assert table.text.splitlines()[1].startswith(f"{number},R1,card=P1,US-THYROID,O1/1,US-N-1,US-N,")
    assert site.put("/departments/US/mode", {"mode": "automatic"}, caller="console").json["mode"] == "automatic"
    assert site.post(f"/appointments/{number}/cancel", {"reason": "改期"}).json["state"] == "cancelled"
    found = site.get("/departments/US/differences", caller="desk").json["differences"]
    assert [(one["code"], one["number"], one["there"]) for one in found] == [("missing_here", "R1", NINE)]


def test_an_external_appointment_is_refused_with_its_reason(site: Any) -> None:
    number = site.post("/external/appointments", message()).json["appointment"]

    refused = site.post(f"/appointments/{number}/cancel", {"reason": "改期"})
    assert (refused.status_code, refused.json["code"]) == (409, "booked_elsewhere")
    for path in ("cutover", "differences", "export"):
        assert site.get(f"/departments/NOWHERE/{path}", caller="console").status_code == 404


# The command line


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    url = f"sqlite:///{tmp_path / 'hospital.db'}"
    small_hospital(url, days=3000).hospital.close()
    monkeypatch.setenv("EXAMLANE_DATABASE", url)
    monkeypatch.setenv("EXAMLANE_HORIZON_DAYS", "3000")
    return lambda *words: CliRunner().invoke(cli, [str(word) for word in words])


def test_files_in_either_encoding_are_taken_in_and_given_out(commands: Any, tmp_path: Path) -> None:
    rows = "number,patient,patient_name,items,resource,starts_at\nR1,card=P1,患者甲,US-THYROID,US-N-1,2030-11-25 09:00\n"
    rows += "R2,card=P2,患者乙,NOTHING,US-N-1,2030-11-25 10:00\n"
    file = tmp_path / "list.csv"
    file.write_bytes(rows.encode("gb18030"))
    tried = commands("import", "appointments", file, "--system", "RIS", "--dry-run")
    taken = commands("import", "appointments", file, "--system", "RIS")
    again = commands("import", "appointments", file, "--system", "RIS", "--json")

    assert "1 would be taken" in tried.output
    assert "line 3  R2  unknown_item  unknown item" in taken.output
    assert taken.exit_code == 1
    assert json.loads(again.stdout)["already"] == 1
    assert commands("export", "US").output.splitlines()[1].split(",")[1:4] == ["R1", "card=P1", "US-THYROID"]
    shown = json.loads(commands("export", "US", "--format", "json").output)
    assert shown[0]["items"] == ["US-THYROID"]
    written = commands("export", "US", "--output", tmp_path / "out.csv")
    assert written.output.startswith("1 appointments written")


def test_a_history_file_in_json_is_taken_in(commands: Any, tmp_path: Path) -> None:
    file = tmp_path / "done.json"
    file.write_text(json.dumps([{"number": "H1", "patient": "card=P1", "patient_name": "患者甲", "items": ["CT-HEAD"],
                                 "starts_at": "2026-01-05 09:00"}]))  # fmt: skip
    assert "1 taken" in commands("import", "history", file, "--system", "RIS").output


def test_a_file_that_cannot_be_read_is_one_sentence(commands: Any, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_bytes(b"\xff\xfe\x00\x81")
    (tmp_path / "list.json").write_text("{}")

    for name in ("list.csv", "list.json"):
        answer = commands("import", "appointments", tmp_path / name, "--system", "RIS")
        assert answer.exit_code == 1
        assert answer.output.startswith("Error: list.")
