"""Patients merged, parted and updated between all other commands: what stands stays where it is."""

from __future__ import annotations

from datetime import date

from hypothesis import assume
from hypothesis import strategies as st
from hypothesis.stateful import rule

from examlane import Fact
from examlane.orders import patients
from examlane.orders.patients import Identifier
from examlane.patients import merging, updates
from examlane.patients.updates import PatientUpdate
from examlane.records.audit import SYSTEM
from examlane.testing import TESTER
from tests.day.machine import PATIENTS, Day


def card(patient: str) -> Identifier:
    return Identifier("card", patient)


class PeopleRules(Day):
    """Beside the model: a settling may give a place to whom there was none for."""

    def known(self, patient: str) -> bool:
        return patients.find(self.hospital.database, [card(patient)]) is not None

    def died(self, patient: str) -> bool:
        key = patients.get(self.hospital.database, card(patient))
        return self.hospital.database.value("SELECT died_at FROM patient WHERE id = ?", key) is not None

    def settled_again(self) -> None:
        for item in self.model.values():
            if "no_time" in item.stands:
                item.stands = item.stands | {"booked"}

    @rule(keep=st.sampled_from(PATIENTS), gone=st.sampled_from(PATIENTS))
    def merge(self, keep: str, gone: str) -> None:
        assume(keep != gone and self.known(keep) and self.known(gone))
        only_one_died = self.died(keep) != self.died(gone)
        if self.refused(lambda: merging.merge(self.hospital, card(keep), card(gone), TESTER)):
            assert only_one_died
        else:
            assert len({patients.get(self.hospital.database, card(each)) for each in (keep, gone)}) == 1
        self.settled_again()

    @rule()
    def part(self) -> None:
        number = self.hospital.database.value("SELECT max(id) FROM patient_merge WHERE undone_at IS NULL")
        assume(number)
        assert merging.undo(self.hospital, number, TESTER).state == "undone"
        self.settled_again()

    @rule(keep=st.sampled_from(PATIENTS))
    def merge_with_himself(self, keep: str) -> None:
        assume(self.known(keep))
        assert self.refused(lambda: merging.merge(self.hospital, card(keep), card(keep), TESTER))

    @rule(patient=st.sampled_from(PATIENTS), weight=st.integers(40, 90))
    def update_a_patient(self, patient: str, weight: int) -> None:
        assume(self.known(patient))
        reported = PatientUpdate(card(patient), birth_date=date(1980, 1, 1), facts={"weight_kg": Fact(weight)})
        updates.update(self.hospital, reported, TESTER)
        self.settled_again()

    def periodic_work(self) -> None:
        merging.close_resolved(self.hospital, SYSTEM)
        super().periodic_work()
