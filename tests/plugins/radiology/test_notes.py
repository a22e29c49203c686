"""The free-text note against the coded order, in doctors' words: what is asked, what is history, what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examlane import FindingKind

CONTRADICTS = {"note_contradicts_order"}


@pytest.fixture(scope="module")
def items(clinic: Any) -> dict[str, Any]:
    iodine = {"contrast": "iodine", "contrast_protocol": "chest_ct"}
    return {
        "lung": clinic.exam("肺部CT扫描", part="chest"),
        "chest+": clinic.exam("胸部CT增强扫描", part="chest", **iodine),
        "abdomen": clinic.plain_ct,
        "abdomen+": clinic.enhanced_ct,
        "head": clinic.plain_mr,
        "head+": clinic.exam("颅脑MRI增强检查", "MR", "head", contrast="gadolinium", contrast_protocol="mr"),
        "head ct+": clinic.exam("颅脑CT增强扫描", "CT", "head", contrast="iodine", contrast_protocol="head_ct"),
        "upper abdomen": clinic.exam("上腹部CT扫描"),
        "knee": clinic.exam("左膝关节MRI检查", "MR", "knee"),
        "x-ray": clinic.exam("胸部正位", "DX", "chest"),
    }


def said(clinic: Any, items: dict[str, Any], note: str, *names: str) -> set[str]:
    return clinic.codes(*(items[name] for name in names), note=note)


@pytest.mark.parametrize(
    "note",
    [
        "请做增强", "增强", "增强CT", "CT增强扫描", "平扫+增强", "平扫加增强", "平扫增强", "请行CT平扫+增强",
        "CT平扫及增强扫描",
        "肺占位，请增强", "CTA", "CT+C", "C+", "CECT", "CE", "强化扫描", "Enhanced please", "with contrast",
        "外院CT示肺占位，请增强扫描", "外院CT示肺占位请增强", "平扫见结节，现要求增强", "2月前平扫，本次行增强检查",
        "胸部增强", "申请胸部增强CT,明确占位性质", "平扫＋增强", "注射造影剂",
    ],
)  # fmt: skip
def test_a_request_for_contrast_on_a_plain_exam_must_be_confirmed(clinic: Any, items: Any, note: str) -> None:
    assert said(clinic, items, note, "lung") == CONTRADICTS


@pytest.mark.parametrize(
    "note",
    [
        "外院增强CT示肺占位", "曾行增强CT", "2月前增强CT提示结节，复查", "2月前外院行CT，增强见结节",
        "既往增强扫描未见异常",
        "肺癌术后，与2024年5月增强CT对比", "上次增强检查过敏，本次平扫", "去年行胸部增强", "半年前CTA未见异常",
        "3天前已行增强",
        "已预约MRI增强", "增强CT示右肺占位，复查", "平扫见结节，复查", "请结合外院增强CT", "请对比2月前增强CT",
        "增强扫描病灶明显强化",
        "previous enhanced CT, follow-up", "另开增强", "上月我院增强CT：肺结节",
    ],
)  # fmt: skip
def test_what_was_done_before_or_is_ordered_elsewhere_is_history(clinic: Any, items: Any, note: str) -> None:
    assert said(clinic, items, note, "lung") == set()


@pytest.mark.parametrize(
    "note",
    [
        "无需增强", "不做增强", "暂不增强", "不增强", "不需要增强", "不需增强", "勿增强", "拒绝增强",
        "患者拒绝增强扫描", "非增强",
        "不能增强", "暂不做增强", "增强暂缓", "增强不做", "增强扫描不需要", "肾功能差，不宜增强", "不做胸部增强",
        "平扫即可", "平扫",
        "unenhanced", "non-enhanced", "without contrast", "no contrast", "C-",
    ],
)  # fmt: skip
def test_what_is_refused_agrees_with_a_plain_exam_and_contradicts_an_enhanced_one(
    clinic: Any, items: Any, note: str
) -> None:
    assert said(clinic, items, note, "lung") == set()
    assert said(clinic, items, note, "chest+") - {"note_names_risk"} == CONTRADICTS


@pytest.mark.parametrize(
    "note",
    [
        "必要时增强",
        "酌情增强",
        "平扫±增强",
        "增强？",
        "如平扫有异常，加做增强",
        "可考虑增强",
        "外院平扫，建议进一步增强",
        "增强由放射科决定",
    ],
)
def test_contrast_under_a_condition_is_only_said(clinic: Any, items: Any, note: str) -> None:
    assert said(clinic, items, note, "lung") <= {"note_conditional"}
    assert said(clinic, items, note, "chest+") == set()


def test_a_conditional_request_is_a_hint_with_the_clause(clinic: Any, items: Any) -> None:
    (found,) = clinic.ask(items["lung"], note="咳嗽3天，必要时增强")
    assert found.kind is FindingKind.HINT
    assert "必要时增强" in found.text.zh
    assert "咳嗽" not in found.text.zh


@pytest.mark.parametrize(
    "note",
    [
        "", "  ", "右下腹痛", "CEA升高", "双肺纹理增强", "肺纹理增多、增强", "后方回声增强", "免疫增强治疗后",
        "增强体质", "低剂量",
        "胸痛伴咳嗽3天", "丙肝C型", "维生素C", "CT平扫", "咳嗽、咳痰，发热待查", "HRCT",
    ],
)  # fmt: skip
def test_other_words_are_left_alone(clinic: Any, items: Any, note: str) -> None:
    assert said(clinic, items, note, "lung") == set()


@pytest.mark.parametrize(
    "note", ["增强", "平扫+增强", "CTA", "外院已行平扫，今行增强", "外院平扫见占位", "胸部平扫+增强", "先平扫后增强"]
)
def test_a_note_that_agrees_with_an_enhanced_exam_is_left_alone(clinic: Any, items: Any, note: str) -> None:
    assert said(clinic, items, note, "chest+") == set()


@pytest.mark.parametrize(
    "note", ["胸部平扫，腹部增强", "胸部平扫+腹部增强", "胸部不增强腹部增强", "平扫+增强", "腹部增强、胸部平扫", "增强"]
)
def test_a_note_may_speak_of_each_item_as_it_is_ordered(clinic: Any, items: Any, note: str) -> None:
    assert said(clinic, items, note, "lung", "abdomen+") == set()


def test_plain_and_enhanced_that_were_swapped_are_both_flagged(clinic: Any, items: Any) -> None:
    found = clinic.ask(items["lung"], items["abdomen+"], note="胸部增强，腹部平扫")
    flagged = {one.item for one in found if one.code == "radiology.note_contradicts_order"}
    assert flagged == {"O1/1", "O1/2"}


def test_a_note_may_speak_of_another_kind_of_exam_in_the_order(clinic: Any, items: Any) -> None:
    assert said(clinic, items, "头颅MRI平扫，头颅CT增强", "head", "head ct+") == set()


@pytest.mark.parametrize("note", [
    "加扫上腹部", "胸部+上腹部平扫", "胸腹部CT", "胸部及颈椎CT", "同时做头颅", "上腹部一并", "扫描范围包括肾上腺",
])  # fmt: skip
def test_a_second_body_part_that_nobody_ordered_must_be_confirmed(clinic: Any, items: Any, note: str) -> None:
    assert said(clinic, items, note, "lung") == {"note_other_part"}


@pytest.mark.parametrize("note", [
    "上腹痛，胸闷", "肝癌术后", "头晕", "腹部手术史", "外院腹部CT示肝囊肿", "不做腹部", "腹部彩超已约", "盆腔炎",
])  # fmt: skip
def test_a_body_part_in_the_history_or_the_complaint_is_left_alone(clinic: Any, items: Any, note: str) -> None:
    assert said(clinic, items, note, "lung") == set()


@pytest.mark.parametrize("note", ["全腹", "上腹部及盆腔扫描", "肝胆胰脾平扫", "加扫盆腔", "胰腺CT"])
def test_the_whole_abdomen_covers_its_parts(clinic: Any, items: Any, note: str) -> None:
    assert said(clinic, items, note, "abdomen") == set()


def test_another_kind_of_exam_must_be_confirmed(clinic: Any, items: Any) -> None:
    assert said(clinic, items, "请行头颅MRI检查", "lung") >= {"note_other_modality"}
    assert said(clinic, items, "请做CT", "head") == {"note_other_modality"}
    assert said(clinic, items, "外院CT示梗塞，查MRI", "head") == set()
    assert said(clinic, items, "CT示肺炎", "lung") == set()


def test_another_agent_than_is_filled_in_must_be_confirmed(clinic: Any, items: Any) -> None:
    chest = items["chest+"]
    assert clinic.codes(chest, note="请用碘克沙醇", contrast_agent="碘海醇") == {"note_other_agent"}
    assert clinic.codes(chest, note="请用碘海醇", contrast_agent="碘海醇") == set()
    assert clinic.codes(chest, note="碘普罗胺过敏史", contrast_agent="碘海醇") == set()
    assert clinic.codes(chest, note="不用碘帕醇", contrast_agent="碘海醇") == set()
    assert clinic.codes(chest, note="外院曾用碘帕醇", contrast_agent="碘海醇") == set()


@pytest.mark.parametrize(
    ("note", "flagged"),
    [
        ("右膝疼痛3月", True), ("右侧膝关节MRI", True), ("左膝疼痛", False), ("右膝置换术后，左膝痛", False),
        ("双膝疼痛", False),
        ("膝关节疼痛", False), ("右髋疼痛", False),
    ],
)  # fmt: skip
def test_the_wrong_side_must_be_confirmed(clinic: Any, items: Any, note: str, flagged: bool) -> None:
    assert said(clinic, items, note, "knee") == ({"note_other_side"} if flagged else set())


def test_a_wish_for_a_skin_test_is_answered(clinic: Any, items: Any) -> None:
    assert said(clinic, items, "请做碘皮试", "chest+") == {"note_skin_test"}


def test_a_note_on_an_xray_is_not_read_for_contrast(clinic: Any, items: Any) -> None:
    assert said(clinic, items, "增强", "x-ray") == set()


def test_the_clause_is_shown_to_the_doctor(clinic: Any, items: Any) -> None:
    (found,) = clinic.ask(items["lung"], note="咳嗽半月；外院CT示结节，请做增强\x00")
    assert "请做增强" in found.text.zh
    assert "外院" not in found.text.zh


@pytest.mark.parametrize("note", ["需打药", "注射对比剂后扫描", "平+增", "请做曾强", "增強掃描", "建议增强扫描，排除占位"])
def test_contrast_in_other_words_and_with_slips_of_the_pen_is_a_request(clinic: Any, items: Any, note: str) -> None:
    assert said(clinic, items, note, "lung") == CONTRADICTS


@pytest.mark.parametrize("note", ["不打药", "勿注射对比剂", "不用造影剂"])
def test_contrast_in_other_words_is_refused_too(clinic: Any, items: Any, note: str) -> None:
    assert said(clinic, items, note, "lung") == set()
    assert said(clinic, items, note, "chest+") == CONTRADICTS


@pytest.mark.parametrize("note", ["无增强禁忌", "无造影剂过敏", "否认对比剂过敏"])
def test_that_nothing_forbids_contrast_is_no_refusal(clinic: Any, items: Any, note: str) -> None:
    assert said(clinic, items, note, "chest+") == set()


@pytest.mark.parametrize("note", ["胸+腹", "胸部、上腹部都做", "头胸一起做", "胸痛待查 胸部+上腹部", "顺便扫一下上腹部"])
def test_a_list_of_parts_asks_for_each_of_them(clinic: Any, items: Any, note: str) -> None:
    assert said(clinic, items, note, "lung") == {"note_other_part"}


def test_another_part_of_the_spine_is_another_part(clinic: Any) -> None:
    lumbar = clinic.exam("腰椎MRI检查", "MR", "spine")
    assert clinic.codes(lumbar, note="腰椎+颈椎MRI") == {"note_other_part"}
    assert clinic.codes(lumbar, note="腰椎MRI") == set()


def test_the_part_that_hurts_does_not_say_which_part_is_enhanced(clinic: Any) -> None:
    pelvis = clinic.exam("盆腔CT扫描", part="pelvis")
    assert clinic.codes(pelvis, note="下腹痛 增强") == CONTRADICTS


PIECES = st.sampled_from([
    "外院", "CT", "MRI", "增强", "平扫", "不", "请", "示", "，", "。", "胸部", "全腹", "膝", "左", "右", "+", "C",
    "{", "}", "必要时",
    "碘海醇", "皮试", "\n", "CE", "?", "2月前", "加扫", " ", "{note_clause}", "%s", "\ud800", "\x00",
])  # fmt: skip


@settings(max_examples=150)
@given(st.one_of(st.text(max_size=60), st.lists(PIECES, max_size=14).map("".join)))
def test_every_note_can_be_read(clinic: Any, note: str) -> None:
    for item in (clinic.plain_ct, clinic.enhanced_ct, clinic.plain_mr):
        clinic.ask(item, note=note)


RISKS = [
    ("长期口服二甲双胍", {"metformin": False}, True),
    ("长期口服二甲双胍", {"metformin": True}, False),
    ("否认二甲双胍用药史", {"metformin": False}, False),
    ("慢性肾功能不全", {"renal_history": False}, True),
    ("肾功能不全病史", {"renal_history": True}, False),
    ("无肾功能不全", {"renal_history": False}, False),
    ("碘过敏史", {"contrast_reaction": "none"}, True),
    ("否认造影剂过敏", {"contrast_reaction": "none"}, False),
    ("甲亢服药中", {"hyperthyroidism": False}, True),
    ("甲亢服药中", {"hyperthyroidism": True}, False),
]


@pytest.mark.parametrize(("note", "facts", "asked"), RISKS)
def test_a_risk_that_only_the_note_names_must_be_confirmed(
    clinic: Any, items: Any, note: str, facts: dict[str, Any], asked: bool
) -> None:
    assert ("note_names_risk" in clinic.codes(items["chest+"], note=note, **facts)) is asked


def test_a_risk_in_the_note_of_an_exam_it_does_not_concern_is_not_asked_for(clinic: Any, items: Any) -> None:
    assert "note_names_risk" not in said(clinic, items, "碘过敏，勿增强", "lung")
    assert "note_names_risk" not in said(clinic, items, "长期口服二甲双胍", "head+")
    assert "note_names_risk" in said(clinic, items, "停经50天", "lung")
