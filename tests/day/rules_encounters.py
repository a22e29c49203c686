"""Rules of encounters: admitted, moved, discharged, died, each withdrawn again; and what wards answer."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

from hypothesis import assume
from hypothesis import strategies as st
from hypothesis.stateful import rule

from examlane.testing import TESTER
from examlane.wards import encounters, ward_list
from examlane.wards.consequences import Standing
from examlane.wards.encounters import KINDS, EncounterReport
from tests.day.machine import PATIENTS, WITHDRAWN, Day

WAITING = frozenset({"awaiting_payment", "awaiting_release", "no_time", "pending", "restricted"})
SEATED = frozenset({"booked", "tentative"})
REFUND = "refund_requested"
PLANNED = WAITING | SEATED | {REFUND}
OVER = WITHDRAWN | {"cancelled", "no_show", "not_done", "fulfilled", "in_progress", "discharged"}


class EncounterRules(Day):
    """Every patient of the machine has one encounter, `V-P1` and so on."""

    @rule(
        patient=st.sampled_from(PATIENTS), event=st.sampled_from(KINDS), ward=st.sampled_from(("内一", "外二")),
        campus=st.sampled_from(("N", "S", None)), hours=st.integers(0, 5), convert=st.booleans(),
    )  # fmt: skip
    def something_is_reported(
        self, patient: str, event: str, ward: str, campus: str | None, hours: int, convert: bool
    ) -> None:
        at = self.now() - timedelta(hours=hours)
        report = EncounterReport(f"V-{patient}", event, at, ward=ward, campus=campus, convert=convert)
        self.follows(patient, at, lambda: encounters.report(self.hospital, report, TESTER))

    @rule(patient=st.sampled_from(PATIENTS), event=st.sampled_from(KINDS))
    def it_was_a_mistake(self, patient: str, event: str) -> None:
        number = f"V-{patient}"
        act = partial(encounters.withdraw, self.hospital, number, event, TESTER, reason="误操作")
        self.follows(patient, None, act)

    @rule(data=st.data(), move=st.booleans())
    def the_ward_says_no(self, data: st.DataObject, move: bool) -> None:
        item = self.pick(data, "booked")
        items = self.together(item)
        ward_list.answer(self.hospital, self.number(item), "not_coming", TESTER, reason="condition", move=move)
        self.moves(items, *(("booked", "cancelled") if move else ("cancelled",)))

    @rule(data=st.data())
    def the_ward_says_yes(self, data: st.DataObject) -> None:
        ward_list.answer(self.hospital, self.number(self.pick(data, "booked")), "ready", TESTER)

    def stands_once_ordered(self, patient: str) -> frozenset[str]:
        standing = self.standing(patient)
        if standing.died:
            return frozenset({"deceased"})
        verified = standing.encounter_class == "inpatient"
        return frozenset({"booked", "no_time"}) if verified else super().stands_once_ordered(patient)

    def standing(self, patient: str) -> Standing:
        return encounters.read(self.hospital, f"V-{patient}").standing

    def follows(self, patient: str, at: datetime | None, act: Callable[[], object]) -> None:
        """Do something to a patient's encounter: where each of his items must stand then."""
        if self.refused(lambda: self.standing(patient)):
            assume(False)
        before = self.standing(patient)
        starts = {item.key: self.world.item(item.key).starts_at for item in self.model.values()}
        if self.refused(act):
            return
        after = self.standing(patient)
        for item in self.model.values():
            if item.patient == patient or (before.died != after.died and self.one_person(item.patient, patient)):
                (was,) = item.stands
                item.stands = self.leads_to(was, starts[item.key], at, before, after)

    def leads_to(
        self, was: str, start: datetime | None, at: datetime | None, before: Standing, after: Standing
    ) -> frozenset[str]:
        left = before.state != "discharged" and after.state == "discharged"
        if was == "held" and (after.died or left):  # of the place only: the order is withdrawn already
            return WITHDRAWN if after.died or (at and start and start >= at) else WITHDRAWN | {was}
        if after.died:
            if was == "discharged":  # admitted again, on paper
                return frozenset({was, "deceased"})
            return frozenset({was if was in OVER or was == "deceased" else "deceased"})
        if before.died:
            return PLANNED | {"discharged"} if was == "deceased" else frozenset({was})
        if left:
            if was in WAITING | {REFUND} or (was in SEATED and (at is None or (start and start >= at))):
                return frozenset({"discharged"}) if at else frozenset({"discharged", was})
            return frozenset({was})
        if was == "discharged":
            return PLANNED if after.state != "discharged" else frozenset({was})
        if was in SEATED:
            return SEATED
        if was == REFUND:  # an inpatient's exam waits for his ward as well
            return frozenset({was, "awaiting_release"})
        return PLANNED if was in WAITING else frozenset({was})
