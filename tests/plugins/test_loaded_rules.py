"""Rules mean the same whether they come from a plugin's files or from the hospital's database."""

from __future__ import annotations

from examlane.clock import SetClock
from examlane.extension.rules import load_all
from examlane.hospital import open_hospital
from examlane.settings import Settings
from examlane.testing import MORNING, TESTER


def test_every_plugin_is_handed_the_same_rules_before_and_after_they_are_loaded(database_url: str) -> None:
    hospital = open_hospital(Settings(database=database_url), SetClock(MORNING))
    hospital.database.create_tables()
    shipped = hospital.rollouts.at(0, MORNING)
    loaded = load_all(hospital.database, hospital.plugins, TESTER, MORNING)
    kept = hospital.rollouts.at(hospital.database.value("SELECT value FROM setting WHERE name = 'rollout'"), MORNING)

    assert {"core", "ecg", "endoscopy", "obstetrics", "radiology", "ultrasound"} <= set(loaded)
    for name in loaded:
        before, after = shipped.rules(name), kept.rules(name)
        assert dict(before.profiles) == dict(after.profiles)
        assert before.rules
        assert list(before.rules) == list(after.rules)
        for short, rule in before.rules.items():
            assert rule == after.rules[short], rule.id
    hospital.close()
