"""A department's policy over REST: read, set whole, checked, versioned, effective at once."""

from __future__ import annotations

from typing import Any

from examlane.capacity.policy import DEFAULT

URL = "/departments/US/policy"


def put(rest: Any, policy: dict[str, Any], **more: Any) -> Any:
    return rest.send("PUT", URL, {"policy": policy, **more}, caller="console")


def test_what_is_set_counts_with_the_defaults_for_the_rest(rest: Any) -> None:
    answer = put(rest, {"grace_minutes": 25})

    assert answer.json["policy"] == {"grace_minutes": 25}
    assert answer.json["effective"]["grace_minutes"] == 25
    assert answer.json["effective"]["check_in_opens_minutes"] == DEFAULT.check_in_opens_minutes
    assert rest.world.hospital.catalogues.current().department("US").policy.grace_minutes == 25
    assert rest.world.hospital.catalogues.current().department("CT").policy == DEFAULT


def test_every_mistake_is_named_with_its_pointer_and_nothing_is_stored(rest: Any) -> None:
    answer = put(rest, {"grace_minutes": 1000, "check_in_opens_minutes": "30", "colour": 1})

    assert answer.status_code == 422
    assert {each["pointer"] for each in answer.json["errors"]} == {
        "/policy/grace_minutes", "/policy/check_in_opens_minutes", "/policy/colour",
    }  # fmt: skip
    assert rest.send("GET", URL, None, caller="console").json["policy"] == {}


def test_a_stale_version_sets_nothing(rest: Any) -> None:
    put(rest, {"grace_minutes": 25})
    answer = put(rest, {"grace_minutes": 5}, version=1)

    assert (answer.status_code, answer.json["code"]) == (412, "version_conflict")
    assert rest.send("GET", URL, None, caller="console").json["policy"] == {"grace_minutes": 25}


def test_an_unknown_department_is_not_found(rest: Any) -> None:
    assert rest.send("GET", "/departments/XX/policy", None, caller="console").status_code == 404
    assert rest.send("PUT", "/departments/XX/policy", {"policy": {}}, caller="console").status_code == 404


def test_the_change_is_audited_with_what_changed(rest: Any) -> None:
    put(rest, {"grace_minutes": 25})
    rows = rest.world.database.rows("SELECT actor, subject_key, detail FROM audit WHERE action = 'department.policy'")

    assert rows == [("console", "US", '{"grace_minutes":25}')]
