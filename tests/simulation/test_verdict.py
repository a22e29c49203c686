"""What counts as caught, as a false alarm, and as a wrong value filled in."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from examlane import Finding, FindingKind, Text
from simulation.contrast_orders import ContrastOrder, stream
from simulation.materials import materials
from simulation.verdict import judge, topics

ORDERS = stream(seed=1)


def _order(error: str, case: str = "") -> ContrastOrder:
    return next(each for each in ORDERS if each.truth.error == error and case in ("", each.truth.case))


def _right(case: str) -> ContrastOrder:
    return next(each for each in ORDERS if each.truth.case == case)


def _finding(kind: FindingKind, zh: str, en: str = "", **more: Any) -> Finding:
    return Finding(kind, "x.y", Text(zh, en), "O/1", **more)


def test_a_question_about_the_kidneys_catches_a_missing_egfr_and_a_hint_does_not() -> None:
    order = _order("egfr_unknown")
    assert judge(order, [_finding(FindingKind.CONFIRM, "无肌酐结果，请确认")]).caught
    hinted = judge(order, [_finding(FindingKind.HINT, "无肌酐结果")])
    assert (hinted.caught, hinted.shown) == (False, True)


def test_an_answer_about_something_else_catches_nothing() -> None:
    assert not judge(_order("severe_reaction"), [_finding(FindingKind.BLOCK, "孕妇", "pregnant")]).caught


def test_a_severe_reaction_is_not_settled_by_a_confirmation() -> None:
    order = _order("severe_reaction")
    assert not judge(order, [_finding(FindingKind.CONFIRM, "曾有过敏")]).caught
    assert judge(order, [_finding(FindingKind.APPROVE, "曾有过敏")]).caught


def test_a_booking_after_the_interval_catches_and_one_before_it_does_not() -> None:
    order = _order("barium_before_ct")
    assert order.truth.safe_from is not None
    assert judge(order, [], order.truth.safe_from).caught
    assert not judge(order, [], order.truth.safe_from - timedelta(hours=1)).caught


def test_a_delay_that_ends_too_early_catches_nothing() -> None:
    order = _order("barium_before_ct")
    assert order.truth.safe_from is not None
    early = _finding(FindingKind.DELAY_UNTIL, "钡剂检查后", until=order.truth.safe_from - timedelta(days=2))
    assert not judge(order, [early]).caught
    assert judge(order, [replace(early, until=order.truth.safe_from)]).caught


def test_a_right_volume_filled_in_corrects_a_coded_dose_but_not_one_in_the_note() -> None:
    order = _order("dose_too_high", "trunk_ct")
    right = _finding(FindingKind.FILL, "", field="volume_ml", value=1.4 * order.person.weight_kg)
    assert judge(order, [replace(right, value=min(110, right.value))]).caught
    assert judge(order, [replace(right, value=300)]).wrong_fills
    assert not judge(_order("dose_too_high", "head_ct_in_the_note"), [replace(right, value=65)]).caught


def test_the_volume_filled_in_is_held_against_the_agent_filled_in() -> None:
    order = _right("poor_kidneys_and_group_two")
    weight = order.person.weight_kg
    agent = _finding(FindingKind.FILL, "", field="agent", value="gadobutrol")
    volume = _finding(FindingKind.FILL, "", field="volume_ml", value=0.2 * weight)
    assert judge(order, [agent, volume]).wrong_fills == (volume,)
    assert not judge(order, [replace(agent, value="gadoterate"), volume]).wrong_fills


def test_a_group_one_agent_filled_in_at_low_egfr_is_wrong() -> None:
    order = _order("gadolinium_low_egfr", "group_one")
    agent = _finding(FindingKind.FILL, "", field="agent", value="钆喷酸葡胺")
    assert judge(order, [agent]).wrong_fills == (agent,)
    assert judge(order, [replace(agent, value="钆布醇")]).caught


def test_stopping_a_right_order_is_a_false_alarm_unless_the_sources_differ_about_it() -> None:
    stop = _finding(FindingKind.CONFIRM, "患者服用二甲双胍")
    assert judge(_right("metformin_for_a_plain_ct"), [stop]).false_alarms == (stop,)
    assert not judge(_right("metformin_with_good_kidneys"), [stop]).false_alarms
    assert judge(_right("无需增强"), [_finding(FindingKind.CONFIRM, "备注与申请不符")]).false_alarms


def test_what_is_not_on_record_may_be_asked_and_a_hint_never_alarms() -> None:
    order = next(each for each in ORDERS if not each.truth.error and "pregnancy" in each.truth.unknown)
    asked = _finding(FindingKind.CONFIRM, "请确认未妊娠")
    assert not judge(order, [asked]).false_alarms
    assert judge(order, [asked]).questions == (asked,)
    assert not judge(_right("无需增强"), [_finding(FindingKind.HINT, "备注")]).false_alarms


def test_an_egfr_nobody_needs_may_not_be_asked_for() -> None:
    order = next(each for each in ORDERS if each.exam.key == "ct_chest_plain" and each.truth.case == "ordinary")
    asked = _finding(FindingKind.CONFIRM, "无肌酐结果，请确认")
    assert judge(order, [asked]).false_alarms == (asked,)


def test_consent_and_metal_questions_are_never_false_alarms() -> None:
    order = _right("metformin_for_gadolinium")
    told = judge(order, [_finding(FindingKind.CONFIRM, "请签知情同意书"), _finding(FindingKind.CONFIRM, "有无金属植入物")])
    assert (told.false_alarms, told.questions) == ((), ())


def test_the_word_agent_tells_the_topic_only_where_nothing_else_does() -> None:
    table = materials()
    assert topics(table, _finding(FindingKind.CONFIRM, "使用对比剂前请查肌酐")) == {"kidney"}
    assert topics(table, _finding(FindingKind.CONFIRM, "", "moderate; wrong contrast agent")) == {"agent"}
