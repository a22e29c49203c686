"""The demonstration hospital's files agree with each other and hold enough to show every rule."""

from __future__ import annotations

import csv
import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import date
from functools import cache
from itertools import combinations, permutations
from pathlib import Path
from typing import Any

import pytest

import examlane_api

DATA = Path(examlane_api.__file__).parent / "demo" / "data"
CAMPUSES = {"NORTH", "SOUTH", "EAST"}
MODES = {"automatic", "manual", "walk_in", "bedside"}
ROLES = {"device", "room", "endoscopist", "anaesthetist", "recovery", "sonographer", "chair"}
SEDATION_ROLES = {"room", "endoscopist", "anaesthetist", "recovery"}
FLAGS = {
    "sedation", "bowel_preparation", "full_bladder", "after_meal", "merge", "holter", "treadmill", "ogtt", "ionising",
    "barium", "thyroid_isotope", "thyroid_uptake", "metal_check", "bedside", "oral_mannitol", "no_water", "puncture",
}  # fmt: skip
NUMBERS = {"fasting_hours", "gestation_from_days", "gestation_to_days"}
CHOICES = {
    "fasting_for": {"contrast"},
    "contrast": {"iodine", "gadolinium", "microbubble"},
    "prenatal": {"nt", "anomaly", "growth", "fetal_echo", "nst", "ogtt"},
    "contrast_protocol": {
        "head_ct", "chest_ct", "abdomen_ct", "liver_ct", "head_neck_cta", "coronary_cta", "aorta_cta", "mr",
    },
    "anticoagulant_risk": {"low", "high"},
    "credential": {"prenatal"},
    "route": {"vaginal", "rectal"},
}  # fmt: skip
KEYS = [
    ("campuses", ("code",)),
    ("departments", ("code",)),
    ("groups", ("code",)),
    ("resources", ("code",)),
    ("items", ("code",)),
    ("services", ("item", "group")),
    ("walking", ("zone_a", "zone_b")),
    ("calendar", ("day",)),
]
REFERENCES = [
    ("departments", "campus", "campuses"),
    ("groups", "department", "departments"),
    ("groups", "campus", "campuses"),
    ("resources", "group", "groups"),
    ("items", "department", "departments"),
    ("services", "item", "items"),
    ("services", "group", "groups"),
]


@cache
def rows(name: str) -> list[dict[str, str]]:
    with open(DATA / f"{name}.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def by_code(name: str) -> dict[str, dict[str, str]]:
    return {row["code"]: row for row in rows(name)}


def attributes(item: dict[str, str]) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(item["attributes"])
    return parsed


def minute(text: str) -> int:
    hours, minutes = text.split(":")
    return int(hours) * 60 + int(minutes)


def weekdays(text: str) -> set[int]:
    first, _, last = text.partition("-")
    return set(range(int(first), int(last) + 1)) if last else {int(day) for day in text.split(",")}


def shifts() -> Iterator[tuple[str, dict[str, str]]]:
    """Every roster row of every resource, those of its group included."""
    of_group = defaultdict(list)
    for resource in rows("resources"):
        of_group[resource["group"]].append(resource["code"])
    for row in rows("rosters"):
        target = row["resource"]
        owners = of_group[target.removeprefix("group:")] if target.startswith("group:") else [target]
        yield from ((owner, row) for owner in owners)


def group_of(resource: str) -> dict[str, str]:
    return by_code("groups")[by_code("resources")[resource]["group"]]


def groups_offering(item: str) -> list[dict[str, str]]:
    groups = by_code("groups")
    return [groups[service["group"]] for service in rows("services") if service["item"] == item]


@pytest.mark.parametrize(("name", "key"), KEYS)
def test_no_key_is_given_twice(name: str, key: tuple[str, ...]) -> None:
    counted = Counter(tuple(row[column] for column in key) for row in rows(name))
    assert [value for value, times in counted.items() if times > 1] == []


@pytest.mark.parametrize(("name", "column", "target"), REFERENCES)
def test_every_reference_resolves(name: str, column: str, target: str) -> None:
    assert {row[column] for row in rows(name)} - set(by_code(target)) == set()


def test_every_row_has_all_its_columns() -> None:
    for file in DATA.glob("*.csv"):
        assert [row for row in rows(file.stem) if None in row or None in row.values()] == [], file.name


def test_everything_that_people_read_has_a_name_in_both_languages() -> None:
    for name in ("campuses", "departments", "groups", "resources", "items"):
        assert [row for row in rows(name) if not row["name"] or not row["name_en"].isascii() or not row["name_en"]] == []


def test_the_hospital_is_large_enough_to_be_worth_showing() -> None:
    assert set(by_code("campuses")) == CAMPUSES
    assert len(rows("items")) >= 170
    assert 60 <= len(rows("resources")) <= 90


def test_only_executing_departments_own_items_and_groups() -> None:
    executing = {row["code"] for row in rows("departments") if row["executing"] == "true"}
    assert {row["department"] for row in rows("items")} == executing
    assert {row["department"] for row in rows("groups")} == executing


def test_executing_departments_are_booked_automatically() -> None:
    modes = {row["mode"] for row in rows("departments") if row["executing"] == "true"}
    assert modes == {"automatic"}


def test_attributes_use_only_names_and_values_that_rules_know() -> None:
    for item in rows("items"):
        for name, value in attributes(item).items():
            known = (
                (name in FLAGS and value is True)
                or (name in NUMBERS and type(value) is int and value > 0)
                or value in CHOICES.get(name, ())
            )
            assert known, (item["code"], name, value)


def test_a_gestational_window_opens_before_it_closes() -> None:
    windows = [attributes(item) for item in rows("items") if "gestation_from_days" in item["attributes"]]
    assert windows
    assert all(window["gestation_from_days"] < window["gestation_to_days"] <= 294 for window in windows)


@pytest.mark.parametrize("name", sorted(FLAGS | NUMBERS | set(CHOICES)))
def test_every_attribute_that_a_rule_reads_occurs(name: str) -> None:
    assert any(name in attributes(item) for item in rows("items"))


@pytest.mark.parametrize("modality", ["CT", "MR", "US", "ECG"])
def test_common_exams_are_done_on_every_campus(modality: str) -> None:
    modalities = {row["code"]: row["modality"] for row in rows("items")}
    groups = by_code("groups")
    campuses = {
        groups[service["group"]]["campus"]
        for service in rows("services")
        if modalities[service["item"]] == modality and service["mode"] == "automatic"
    }
    assert campuses == CAMPUSES


def test_ionising_radiation_is_marked_wherever_x_rays_or_tracers_are_used() -> None:
    for item in rows("items"):
        if item["modality"] in {"CT", "DX", "NM"}:
            assert attributes(item).get("ionising"), item["code"]


def test_every_mr_asks_for_metal() -> None:
    assert all(attributes(item).get("metal_check") for item in rows("items") if item["modality"] == "MR")


def test_every_item_can_be_had_in_its_own_department() -> None:
    for item in rows("items"):
        departments = {group["department"] for group in groups_offering(item["code"])}
        assert departments == {item["department"]}, item["code"]


def test_an_item_is_booked_the_same_way_everywhere() -> None:
    modes = defaultdict(set)
    for service in rows("services"):
        modes[service["item"]].add(service["mode"])
    assert [item for item, found in modes.items() if len(found) > 1] == []
    assert set.union(*modes.values()) == MODES


def test_times_are_on_the_five_minute_grid() -> None:
    for service in rows("services"):
        extra = json.loads(service["extra_minutes"]).values()
        assert all(minutes % 5 == 0 and 0 <= minutes <= 30 for minutes in extra), service
        assert 0 < int(service["minutes"]) <= 120, service
        assert int(service["minutes"]) % 5 == 0, service
    assert all(int(group["slice_minutes"]) in {5, 10, 15, 20, 30} for group in rows("groups"))


def test_limits_are_sensible() -> None:
    for service in rows("services"):
        low, high = int(service["min_age"] or 0), int(service["max_age"] or 120)
        assert 0 <= low < high <= 120, service
        assert service["sex"] in {"", "female", "male"}
        assert 100 <= int(service["max_weight_kg"] or 150) <= 300, service


def test_every_ct_and_mr_has_a_weight_limit() -> None:
    limited = [row for row in rows("services") if row["group"].endswith(("-CT", "-MR"))]
    assert limited
    assert all(row["max_weight_kg"] for row in limited)


def test_sedation_finds_every_role_on_its_campus() -> None:
    roles = defaultdict(set)
    for group in rows("groups"):
        roles[group["department"], group["campus"]].add(group["role"])
    for item in rows("items"):
        if attributes(item).get("sedation"):
            for group in groups_offering(item["code"]):
                assert roles[group["department"], group["campus"]] >= SEDATION_ROLES, item["code"]


def test_the_roles_of_a_sedated_exam_begin_on_one_grid() -> None:
    sizes = defaultdict(set)
    for group in rows("groups"):
        if group["role"] in SEDATION_ROLES and group["department"] in {"ES", "HYS"}:
            sizes[group["department"], group["campus"]].add(group["slice_minutes"])
    assert all(len(found) == 1 for found in sizes.values())


def test_prenatal_screening_finds_a_sonographer_on_its_campus() -> None:
    campuses = {group["campus"] for group in rows("groups") if group["role"] == "sonographer"}
    for item in rows("items"):
        if attributes(item).get("credential") == "prenatal":
            assert {group["campus"] for group in groups_offering(item["code"])} <= campuses, item["code"]


def test_every_group_has_a_known_role_and_a_resource() -> None:
    assert {group["role"] for group in rows("groups")} == ROLES
    assert {resource["group"] for resource in rows("resources")} == set(by_code("groups"))


def test_every_zone_lies_on_its_group_s_campus() -> None:
    assert all(group["zone"].startswith(group["campus"] + "-") for group in rows("groups"))


def test_every_resource_has_a_roster_and_every_roster_a_resource() -> None:
    assert {resource for resource, _ in shifts()} == set(by_code("resources"))
    targets = {row["resource"] for row in rows("rosters")}
    assert targets <= set(by_code("resources")) | {f"group:{code}" for code in by_code("groups")}


def test_every_shift_is_a_whole_number_of_slices() -> None:
    for resource, row in shifts():
        length = minute(row["ends"]) - minute(row["starts"])
        assert length > 0, row
        assert length % int(group_of(resource)["slice_minutes"]) == 0, row


def test_every_shift_names_its_weekdays_seats_audience_and_cycle() -> None:
    for row in rows("rosters"):
        assert weekdays(row["weekdays"]) <= set(range(1, 8))
        assert 1 <= int(row["capacity"]) <= 10
        assert row["audience"] in {"general", "inpatient", "emergency"}
        assert 0 <= int(row["week"]) < int(row["cycle_weeks"])
    assert any(int(row["cycle_weeks"]) == 2 for row in rows("rosters"))


def overlap(first: dict[str, str], second: dict[str, str]) -> bool:
    one_day = bool(weekdays(first["weekdays"]) & weekdays(second["weekdays"]))
    one_week = "1" in (first["cycle_weeks"], second["cycle_weeks"]) or first["week"] == second["week"]
    together = minute(first["starts"]) < minute(second["ends"]) and minute(second["starts"]) < minute(first["ends"])
    return one_day and one_week and together


def test_a_seat_is_never_given_to_two_shifts() -> None:
    # Only a head-count resource may have shifts side by side, and then for different audiences.
    by_resource = defaultdict(list)
    for resource, row in shifts():
        by_resource[resource].append(row)
    for resource, found in by_resource.items():
        for first, second in combinations(found, 2):
            if overlap(first, second):
                assert first["audience"] != second["audience"], resource
                assert int(first["capacity"]) + int(second["capacity"]) > 2, resource


def test_every_exam_fits_into_one_shift_of_its_group() -> None:
    longest: Counter[str] = Counter()
    for resource, row in shifts():
        group = group_of(resource)["code"]
        longest[group] = max(longest[group], minute(row["ends"]) - minute(row["starts"]))
    for service in rows("services"):
        extra = sum(json.loads(service["extra_minutes"]).values())
        assert int(service["minutes"]) + extra <= longest[service["group"]], service


def test_recovery_beds_stay_open_after_the_last_exam() -> None:
    last: Counter[tuple[str, str, str]] = Counter()
    for resource, row in shifts():
        group = group_of(resource)
        key = group["department"], group["campus"], group["role"]
        last[key] = max(last[key], minute(row["ends"]))
    for (department, campus, role), ends in last.items():
        if role == "anaesthetist":
            assert last[department, campus, "recovery"] >= ends + 60


def seats_on_a_monday(department: str, role: str | None = None) -> int:
    total = 0
    for resource, row in shifts():
        group = group_of(resource)
        if 1 in weekdays(row["weekdays"]) and group["department"] == department and role in (None, group["role"]):
            length = minute(row["ends"]) - minute(row["starts"])
            total += length // int(group["slice_minutes"]) * int(row["capacity"])
    return total


def test_ordinary_exams_have_room_and_painless_endoscopy_is_tight() -> None:
    assert seats_on_a_monday("US", "room") >= 300
    assert seats_on_a_monday("ECG") >= 300
    assert seats_on_a_monday("ES", "anaesthetist") < seats_on_a_monday("ES", "room") / 2


def walking() -> dict[tuple[str, str], int]:
    given = {(row["zone_a"], row["zone_b"]): int(row["minutes"]) for row in rows("walking")}
    return given | {(b, a): minutes for (a, b), minutes in given.items()}


def test_every_pair_of_zones_has_one_walking_time() -> None:
    zones = {group["zone"] for group in rows("groups")}
    pairs = {frozenset((row["zone_a"], row["zone_b"])) for row in rows("walking")}
    assert pairs == {frozenset(pair) for pair in combinations(zones, 2)}
    assert len(rows("walking")) == len(pairs)


def test_no_walk_is_shorter_by_a_detour() -> None:
    minutes = walking()
    zones = {zone for pair in minutes for zone in pair}
    for a, b, c in permutations(zones, 3):
        assert minutes[a, c] <= minutes[a, b] + minutes[b, c], (a, b, c)


def test_another_campus_is_an_hour_away_and_the_same_campus_is_not() -> None:
    for (a, b), minutes in walking().items():
        same = a.split("-")[0] == b.split("-")[0]
        assert 5 <= minutes <= 20 if same else minutes == 60


def test_prenatal_ultrasound_is_close_enough_for_the_pause_between_two_glucose_draws() -> None:
    assert walking()["NORTH-3F-OB", "NORTH-3F-PRENATAL"] <= 5


def test_make_up_workdays_are_weekend_days_that_stand_for_a_workday() -> None:
    for row in rows("calendar"):
        day = date.fromisoformat(row["day"])
        assert row["kind"] in {"holiday", "workday"}
        if row["kind"] == "workday":
            assert day.isoweekday() > 5
            assert 1 <= int(row["weekday_applies"]) <= 5
        else:
            assert row["weekday_applies"] == ""


def test_both_years_have_every_public_holiday() -> None:
    for year in ("2026", "2027"):
        names = {row["name"] for row in rows("calendar") if row["day"].startswith(year) and row["kind"] == "holiday"}
        assert names == {"元旦", "春节", "清明节", "劳动节", "端午节", "中秋节", "国庆节"}


def test_the_files_say_that_the_hospital_edits_its_calendar() -> None:
    assert all("hospital" in row["comment"] for row in rows("calendar"))
