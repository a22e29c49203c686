"""The free-text note against the coded order: what it asks for that the order does not say."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from examlane import ExamItem
from examlane_radiology import agents
from examlane_radiology.case import Case, contrast_of
from examlane_radiology.clauses import ENHANCED, PLAIN, Clause, Reader, Statement
from examlane_radiology.facts import printable
from examlane_radiology.injection import Plan

LONGEST_QUOTE = 60
NOTHING: dict[str, Any] = {
    "note_contradiction": "none", "note_conditional": False, "note_other_part": False, "note_other_modality": False,
    "note_other_agent": False, "note_other_side": False, "note_skin_test": False, "note_risk": False, "note_clause": "",
}  # fmt: skip


@dataclass
class Reading:
    """What was found in a note for one item, with the clauses it was found in."""

    facts: dict[str, Any] = field(default_factory=lambda: dict(NOTHING))
    clauses: list[str] = field(default_factory=list)

    def tell(self, name: str, value: Any, clause: Clause) -> None:
        self.facts[name] = value
        if clause.text not in self.clauses:
            self.clauses.append(clause.text)

    def done(self) -> dict[str, Any]:
        return {**self.facts, "note_clause": printable("；".join(self.clauses))[:LONGEST_QUOTE]}


def facts(case: Case, plan: Plan) -> dict[str, Any]:
    """What the rules ask of the note, for one item."""
    if not case.order.note.strip():
        return dict(NOTHING)
    words = case.rules["note_words"].table["data"]
    reader, reading = Reader(words), Reading()
    clauses = list(reader.clauses(case.order.note))
    live = [clause for clause in clauses if not clause.past]
    reading.facts["note_skin_test"] = any(re.search("|".join(words["skin_test"]), clause.text) for clause in live)
    if case.item.modality in words["modalities"]:
        _read_contrast(case, reader, live, reading)
        _read_parts(case, reader, live, reading)
        _read_modality(case, live, reading)
    _read_agent(case, plan, words, live, reading)
    _read_side(case, words, live, reading)
    _read_risks(case, words, clauses, reading)
    return reading.done()


def _read_contrast(case: Case, reader: Reader, live: Sequence[Clause], reading: Reading) -> None:
    """Plain or enhanced: what is asked of this item, unless another item of the order is just that."""
    asked: dict[str, Clause] = {}
    for clause in live:
        for statement in _about(case, reader, clause):
            if clause.conditional and statement.says == ENHANCED:
                reading.tell("note_conditional", True, clause)
            elif not _is_covered(case, reader, statement):
                asked.setdefault(statement.says, clause)
            else:
                asked.setdefault(f"covered {statement.says}", clause)
    says = ENHANCED if ENHANCED in asked else PLAIN
    if says in asked and not (says == PLAIN and f"covered {ENHANCED}" in asked):
        reading.tell("note_contradiction", says, asked[says])


def _about(case: Case, reader: Reader, clause: Clause) -> Iterator[Statement]:
    """The statements of a clause that speak of this item: of its part, or of none, and not of another kind of exam."""
    if clause.modalities and case.item.modality not in clause.modalities:
        return
    own = groups(case.item, reader)
    yield from (one for one in clause.statements if not one.parts or one.parts & own)


def _is_covered(case: Case, reader: Reader, statement: Statement) -> bool:
    """Whether an item of the order is what is said; said of parts, only this item and others of the same part count."""
    alike = [other.item for other in case.order.items if other.item.modality == case.item.modality]
    if statement.parts:
        alike = [item for item in alike if groups(item, reader) & groups(case.item, reader) & statement.parts]
    return statement.says in {PLAIN if contrast_of(item) == "none" else ENHANCED for item in alike}


def groups(item: ExamItem, reader: Reader) -> frozenset[str]:
    """The groups of body parts that an item covers, by the catalogue's word and by its name."""
    covers = reader.words["covers"]
    coded = frozenset(group for group, parts in covers.items() if item.body_part in parts)
    named = reader.parts_in(item.name.zh.casefold())
    by_name = item.body_part in reader.words["told_by_name"]["body_parts"]
    return named if by_name and named & coded else named | coded


def _read_parts(case: Case, reader: Reader, live: Sequence[Clause], reading: Reading) -> None:
    """A body part that is to be examined and that no item of the order covers."""
    covered = {group for other in case.order.items for group in groups(other.item, reader)}
    for clause in live:
        if clause.added - covered and not clause.conditional and not _is_other_exam(case, clause):
            reading.tell("note_other_part", True, clause)


def _is_other_exam(case: Case, clause: Clause) -> bool:
    """Whether a clause speaks only of kinds of exams that the order does not hold."""
    return bool(clause.modalities) and not clause.modalities & {other.item.modality for other in case.order.items}


def _read_modality(case: Case, live: Sequence[Clause], reading: Reading) -> None:
    for clause in live:
        if clause.asks and not clause.conditional and _is_other_exam(case, clause):
            reading.tell("note_other_modality", True, clause)


def _read_agent(case: Case, plan: Plan, words: Any, live: Sequence[Clause], reading: Reading) -> None:
    """An agent in the note that is not the one filled in, unless it is named for a reaction."""
    if plan.agent is None:
        return
    for clause in live:
        named = agents.substances(clause.text, case.rules)
        avoided = re.search("|".join((*words["reactions"], *words["refusals"])), clause.text)
        if named and agents.substance(plan.agent) not in named and not avoided:
            reading.tell("note_other_agent", True, clause)


def _read_risks(case: Case, words: Any, clauses: Sequence[Clause], reading: Reading) -> None:
    """A risk that only the note names, of what was as well as of what is, where it matters for this exam."""
    denied = f"(?:{'|'.join(words['denials'])})[^,]{{0,6}}?"
    for fact in (name for name in words["risks"] if _matters(case, name) and not _is_recorded(case, name)):
        risk = f"(?:{'|'.join(words['risks'][fact])})"
        for clause in clauses:
            if re.search(risk, clause.text) and not re.search(denied + risk, clause.text):
                reading.tell("note_risk", True, clause)


def _matters(case: Case, risk: str) -> bool:
    if risk == "pregnant":
        return case.ionising or case.contrast != "none"
    return case.contrast == "iodine" or (case.contrast != "none" and risk in ("renal_history", "contrast_reaction"))


def _is_recorded(case: Case, risk: str) -> bool:
    """Whether the order's facts say of a risk that it is there, so that its own rules speak."""
    injured = risk == "renal_history" and (case.known["acute_kidney_injury"] or case.known["dialysis"])
    return bool(injured) or case.known[risk] not in (None, False, "none")


def _read_side(case: Case, words: Any, live: Sequence[Clause], reading: Reading) -> None:
    """The other side of the item's own part, where its own side is nowhere named."""
    name = case.item.name.zh
    for part in words["sided"].values():
        own = set(re.findall(rf"([左右])侧?{part}", name))
        named = [(clause, set(re.findall(rf"([左右])侧?{part}", clause.text))) for clause in live]
        said = set().union(*(sides for _clause, sides in named))
        if len(own) == 1 and said and not own & said:
            reading.tell("note_other_side", True, next(clause for clause, sides in named if sides))
