"""The contrast stream through the real hospital: every miss is listed, nothing right is stopped without saying why."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from simulation import report
from simulation.play_orders import MISSED, RIGHT, SHOWN
from simulation.report import Orders


@pytest.fixture(scope="module")
def played() -> Orders:
    return report.orders(400, 3, held_out=False)


def test_no_right_order_is_stopped_without_a_rule_and_its_source(played: Orders) -> None:
    assert played.right
    assert not [each.order.number for each in played.right if each.unexplained]
    stops = [finding for each in played.right for finding in each.verdict.false_alarms + each.verdict.questions]
    assert all(each.rule and each.source for each in stops)


def test_every_error_that_nobody_notices_is_listed(played: Orders) -> None:
    listed = {each["order"] for each in played.as_data()["residual"]}
    assert listed == {each.order.number for each in played.played if each.end in (MISSED, SHOWN)}
    assert sum(sum(ends.values()) for ends in played.classes().values()) == len(played.wrong)
    assert {each.end == RIGHT for each in played.right} == {True}


def test_the_goals_are_met_on_the_open_part(played: Orders) -> None:
    assert [asdict(goal) for goal in played.goals("dev") if not goal.met] == []


def test_the_same_seed_is_judged_the_same() -> None:
    first, second = (report.orders(60, 5, held_out=False) for _ in range(2))
    assert [(each.order.number, each.end) for each in first.played] == [
        (each.order.number, each.end) for each in second.played
    ]
    assert first.as_data()["false_alarms"] == second.as_data()["false_alarms"]
