"""The kinds of patients of the morning: what each comes with, what goes wrong, and how it must end."""

from __future__ import annotations

from typing import Any

from examlane import Text
from examlane_api.demo.draft import Draft
from examlane_api.demo.kinds.kind import Kind

CHEST_XRAY, CHEST_CT, HEAD_CT, ABDOMEN_CT = "210100019-01", "230100011", "230100001", "230300002-A"
ECG, HOLTER, TREADMILL, HEART = "320300001", "320300003", "320300004", "250110010"
ABDOMEN, THYROID, NODES, BREAST = "250110015", "250110008-T", "250110008-L", "250110008-B"
NECK_VESSELS, GYNAECOLOGY, URINARY, EFFUSION = "250130004", "250110021", "250110019", "250120003"
ENHANCED = ("230100011-E", "230200003-E", "230300002-AE")
SEDATED = ("320500003-P", "320500005-P", "320500005-GP")
SEDATED_HYSTEROSCOPY = "HYS1002"
CLINICS = {
    "GAS": (ABDOMEN, "FUN1001", "320500003", ABDOMEN_CT, ECG),
    "NEU": ("240000001", "320100001", "250400001", NECK_VESSELS, HEAD_CT, "240000022-1"),
    "CAR": (ECG, HOLTER, HEART, CHEST_XRAY, NECK_VESSELS),
    "SUR": (THYROID, NODES, ABDOMEN, ECG, CHEST_XRAY, HEAD_CT),
    "RES": (CHEST_CT, "320200001", ECG, CHEST_XRAY, HEART, EFFUSION),
}
ASSESSMENT = "anaesthesia_assessment"
HEALTHY: dict[str, Any] = {
    "egfr": (92, 12), "metformin": False, "contrast_reaction": "none", "hyperthyroidism": False,
    "diabetes": False, "hypertension": False, "renal_history": False,
}  # fmt: skip


# Outpatients


def plain(draft: Draft) -> None:
    clinic = draft.dice.choice(sorted(CLINICS))
    pool = CLINICS[clinic]
    count = min(len(pool), draft.dice.choices((1, 2, 3, 4, 5, 6), (34, 30, 20, 10, 4, 2))[0])
    draft.pay(draft.order(clinic, draft.dice.sample(pool, count)), apart=draft.dice.choice((0, 0, 0, 4)))


def from_out_of_town(draft: Draft) -> None:
    draft.person(out_of_town=True)
    draft.pay(draft.order("CAR", (ECG, HEART, HOLTER, NECK_VESSELS)))


def several_body_parts(draft: Draft) -> None:
    draft.person(sex="female")
    draft.pay(draft.order("SUR", draft.dice.sample((THYROID, NODES, BREAST), 3)))


def pays_at_once(draft: Draft) -> None:
    draft.pay(draft.order("RES", (CHEST_CT, ECG, HEART)))


def pays_before_the_order(draft: Draft) -> None:
    number = draft.order("CAR", (ECG,), after=9)[0]
    draft.pay([number], after=2)


def pays_for_an_unknown_order(draft: Draft) -> None:
    draft.pay(draft.order("SUR", (THYROID,)))
    stray = f"X{draft.arrives:03}-{draft.dice.randint(100000, 999999)}"
    draft.pay([stray], after=30)
    draft.expected[stray] = "stored"


def does_not_pay(draft: Draft) -> None:
    draft.order("CAR", (ECG, HEART), expect="awaiting_payment")


def cancels(draft: Draft) -> None:
    number = draft.order("SUR", (ABDOMEN,))[0]
    draft.pay([number], after=8)
    draft.cancel(number, after=20)


def moves(draft: Draft) -> None:
    number = draft.order("NEU", ("240000001",))[0]
    draft.pay([number], after=8)
    draft.move(number, after=25)


def misses_the_ecg(draft: Draft) -> None:
    draft.pay(draft.order("CAR", (ECG,), expect="rebooked"), after=4)


def misses_the_ultrasound(draft: Draft) -> None:
    draft.pay(draft.order("SUR", (THYROID,), expect="no_show"), after=4)


def runs_the_treadmill(draft: Draft) -> None:
    draft.person(ages=(30, 60))
    number = draft.order("CAR", (TREADMILL,))[0]
    draft.again(number, 12, confirmed=("ecg.treadmill_exclusions",))
    draft.pay([number], after=20)


def by_hand(draft: Draft) -> None:
    draft.person(ages=(30, 60))
    draft.pay(draft.order("CAR", ("250110011",)))


# Contrast


def contrast(draft: Draft, **options: Any) -> str:
    """Order an enhanced CT with everything the rules ask for, unless said otherwise."""
    facts = {**HEALTHY, **options.pop("facts", {})}
    clinic = draft.dice.choice(("GAS", "RES", "SUR"))
    return draft.order(clinic, (draft.dice.choice(ENHANCED),), context=facts, **options)[0]


def enhanced(draft: Draft) -> None:
    draft.pay([contrast(draft)])


def without_weight(draft: Draft) -> None:
    contrast(draft, without=("weight_kg",), expect="rejected:radiology.weight_unknown")


def weight_added(draft: Draft) -> None:
    number = contrast(draft, without=("weight_kg",))
    draft.again(number, 10, weight_kg=draft.weight)
    draft.pay([number], after=20)


def without_kidney_function(draft: Draft) -> None:
    draft.person(ages=(63, 75))
    contrast(draft, without=("egfr",), expect="rejected:radiology.egfr_unknown")


def with_old_kidney_function(draft: Draft) -> None:
    draft.person(ages=(63, 75))
    contrast(draft, facts={"egfr": (80, 200)}, expect="rejected:radiology.egfr_expired")


def note_contradicts(draft: Draft) -> None:
    contrast(draft, note="平扫，不做增强", expect="needs_confirmation:radiology.note_contradicts_order")


def note_confirmed(draft: Draft) -> None:
    number = contrast(draft, note="平扫即可")
    draft.again(number, 10, confirmed=("radiology.note_contradicts_order",))
    draft.pay([number], after=18)


def weak_kidneys(draft: Draft) -> None:
    draft.person(ages=(63, 75))
    contrast(draft, facts={"egfr": (24, 3)}, expect="needs_approval:radiology.kidney_risk")


def weak_kidneys_approved(draft: Draft) -> None:
    draft.person(ages=(63, 75))
    number = contrast(draft, facts={"egfr": (24, 3)})
    draft.evidence("approval", "passed", 15, f"{number}/1", code="radiology.kidney_risk")
    draft.pay([number], after=22)


# Painless endoscopy


def sedated(draft: Draft, **options: Any) -> str:
    """Order a painless endoscopy or hysteroscopy."""
    if draft.sex == "female" and draft.dice.random() < 0.25:
        return draft.order("GYN", (SEDATED_HYSTEROSCOPY,), **options)[0]
    return draft.order("GAS", (draft.dice.choice(SEDATED),), **options)[0]


def assess(draft: Draft, after: int, outcome: str = "passed") -> None:
    assessor = {"assessor_role": "anaesthetist", "assessor_grade": "attending"}
    draft.evidence(ASSESSMENT, outcome, after, asa=draft.dice.choice((1, 2)), **assessor)


def assessed(draft: Draft) -> None:
    number = sedated(draft)
    assess(draft, 20)
    draft.pay([number], after=28)


def paid_then_assessed(draft: Draft) -> None:
    number = sedated(draft)
    draft.pay([number], after=6)
    assess(draft, 40)


def not_assessed(draft: Draft) -> None:
    sedated(draft, expect="awaiting_gate:endoscopy.assessment_missing")


def paid_but_not_assessed(draft: Draft) -> None:
    draft.pay([sedated(draft, expect="awaiting_gate:endoscopy.assessment_missing:paid")], after=6)


def not_fit(draft: Draft) -> None:
    number = sedated(draft, expect="awaiting_gate:endoscopy.assessment_failed:paid")
    draft.pay([number], after=6)
    assess(draft, 30, "failed")


def ward_not_assessed(draft: Draft) -> None:
    refused = "rejected:endoscopy.assessment_required"
    draft.order("IM", (draft.dice.choice(SEDATED),), encounter="inpatient", verified=True, expect=refused)


# Wards, check-ups, emergencies, mothers


def on_the_ward(draft: Draft) -> None:
    items = draft.dice.sample((CHEST_CT, ABDOMEN, ECG, HEART, NECK_VESSELS, CHEST_XRAY), draft.dice.randint(1, 4))
    draft.order("IM", items, encounter="inpatient", verified=True)


def verified_later(draft: Draft) -> None:
    for number in draft.order("IM", (HEART, CHEST_CT), encounter="inpatient"):
        draft.verify(number, 25)


def not_verified(draft: Draft) -> None:
    draft.order("IM", (ABDOMEN,), encounter="inpatient", expect="awaiting_release")


def at_the_bedside(draft: Draft) -> None:
    draft.order("IM", ("320300001-B", "250110010-B"), encounter="inpatient", verified=True)


def check_up(draft: Draft) -> None:
    own = "PE1003" if draft.sex == "female" else "PE1004"
    items = ("PE1001", "PE1002", own, "PE2001", "PE3001")
    draft.order("PE", items[: draft.dice.randint(3, 5)], encounter="checkup")


def emergency(draft: Draft) -> None:
    items = draft.dice.sample((HEAD_CT, CHEST_CT, ECG), 2)
    draft.order("EME", items, encounter="emergency", priority="stat")


def pregnant(draft: Draft) -> None:
    days, items = draft.dice.choice(
        (
            (draft.dice.randint(80, 88), ("250110022-2", ECG, THYROID)),
            (draft.dice.randint(171, 188), ("OB1001", "250400005", ECG)),
            (draft.dice.randint(238, 262), ("320700010-N", "250110022-5", ECG)),
        )
    )
    draft.person(sex="female", ages=(23, 38), out_of_town=draft.dice.random() < 0.2)
    draft.pay(draft.order("OBC", items, context={"gestational_age_days": days, "pregnant": True}))


PLAIN = Kind("plain", 0, Text("门诊患者，开单缴费后自动预约", "outpatient: paid, then booked at once"), plain)
KINDS = (
    Kind("out_of_town", 0.04, Text("外地患者", "from out of town"), from_out_of_town),
    Kind("several_body_parts", 0.03, Text("超声多部位合单", "several ultrasound parts in one visit"),
         several_body_parts, together="one_visit"),
    Kind("pays_at_once", 0.03, Text("几张单子同时缴费", "pays several orders at the same moment"), pays_at_once,
         at_once=True),
    Kind("pays_before_the_order", 0.012, Text("缴费先于申请单到达", "the payment arrives before the order"),
         pays_before_the_order),
    Kind("unknown_order", 0.006, Text("缴费的申请单不存在", "a payment for an order nobody knows"),
         pays_for_an_unknown_order),
    Kind("does_not_pay", 0.02, Text("未缴费", "does not pay"), does_not_pay),
    Kind("cancels", 0.02, Text("取消预约", "cancels"), cancels),
    Kind("moves", 0.03, Text("改约", "moves the appointment"), moves),
    Kind("misses_the_ecg", 0.02, Text("心电图未到，自助改约", "misses the ECG, re-registers at the kiosk"),
         misses_the_ecg, comes=False, arrival=(1, 15), together="today"),
    Kind("misses_the_ultrasound", 0.008, Text("超声未到，转登记台", "misses the ultrasound: desk"),
         misses_the_ultrasound, comes=False, arrival=(1, 12)),
    Kind("treadmill", 0.01, Text("平板运动，医生确认禁忌后预约", "treadmill, confirmed by the doctor"),
         runs_the_treadmill),
    Kind("by_hand", 0.01, Text("人工预约项目", "an exam booked by hand"), by_hand),
    Kind("enhanced", 0.04, Text("增强检查，资料齐全", "contrast exam with complete facts"), enhanced),
    Kind("without_weight", 0.014, Text("增强检查缺体重", "contrast exam without weight"), without_weight),
    Kind("weight_added", 0.014, Text("缺体重，补录后预约", "weight added, then booked"), weight_added),
    Kind("without_kidney_function", 0.012, Text("缺肾功能", "kidney function missing"), without_kidney_function),
    Kind("old_kidney_function", 0.01, Text("肾功能过期", "kidney function too old"), with_old_kidney_function),
    Kind("note_contradicts", 0.008, Text("备注与申请矛盾", "the note contradicts the order"), note_contradicts),
    Kind("note_confirmed", 0.012, Text("备注矛盾，医生确认", "contradicting note, confirmed"), note_confirmed),
    Kind("weak_kidneys", 0.006, Text("肾功能差，待审批", "weak kidneys, approval open"), weak_kidneys),
    Kind("weak_kidneys_approved", 0.01, Text("肾功能差，审批后预约", "weak kidneys, approved"), weak_kidneys_approved),
    Kind("assessed", 0.03, Text("无痛内镜，麻醉评估通过", "painless endoscopy, assessed"), assessed),
    Kind("paid_then_assessed", 0.016, Text("无痛内镜，先缴费后评估", "painless, paid before assessed"),
         paid_then_assessed),
    Kind("not_assessed", 0.012, Text("无痛内镜，未评估", "painless, not assessed"), not_assessed),
    Kind("paid_but_not_assessed", 0.008, Text("无痛内镜，已缴费未评估", "painless, paid but not assessed"),
         paid_but_not_assessed),
    Kind("not_fit", 0.008, Text("无痛内镜，评估未通过", "painless, assessment failed"), not_fit),
    Kind("ward_not_assessed", 0.008, Text("住院无痛内镜，未评估", "ward patient, painless, not assessed"),
         ward_not_assessed),
    Kind("on_the_ward", 0.05, Text("住院患者", "ward patient"), on_the_ward),
    Kind("verified_later", 0.012, Text("住院患者，病区稍后确认", "ward patient, verified later"), verified_later),
    Kind("not_verified", 0.006, Text("住院患者，病区未确认", "ward patient, not verified"), not_verified),
    Kind("at_the_bedside", 0.008, Text("床旁检查", "bedside exams"), at_the_bedside),
    Kind("check_up", 0.03, Text("体检", "check-up"), check_up, together="one_day"),
    Kind("emergency", 0.024, Text("急诊，未缴费即预约", "emergency, booked unpaid"), emergency, arrival=(5, 110),
         together="today"),
    Kind("pregnant", 0.04, Text("孕妇，同日完成", "pregnant: all on one day"), pregnant, together="one_day"),
)  # fmt: skip
