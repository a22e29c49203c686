"""What callers cannot foresee, as exceptions. Refusals that a person must read are values (`reasons.py`)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

from examlane.domain import Text


class ExamlaneError(Exception):
    """Base of all errors of this product."""


class Unavailable(ExamlaneError):
    """The database cannot be reached or stays busy; trying again later with the same key is right."""


class NotFound(ExamlaneError):
    """The thing named does not exist, or the caller may not know of it."""

    def __init__(self, subject: str, key: str) -> None:
        super().__init__(f"{subject} {key} is not known")
        self.subject = subject
        self.key = key


@dataclass(frozen=True, slots=True)
class Objection:
    """One thing that stands against a command: the reason's code, its words, and the field it is about.

    `rule` is what a department's plugin or the hospital's rules call it, where one of them objects.
    """

    code: str
    text: Text
    pointer: str = ""
    rule: str = ""


class Refused(ExamlaneError):
    """A command that the rules do not allow: code, words and field of the reason, or of the first of several."""

    def __init__(self, code: str, text: Text, pointer: str = "") -> None:
        super().__init__(text.en)
        self.code = code
        self.text = text
        self.pointer = pointer
        self.objections: tuple[Objection, ...] = (Objection(code, text, pointer),)

    @classmethod
    def by(cls, objections: Sequence[Objection]) -> Self:
        """Refused for all of these together; one at least."""
        first = objections[0]
        refused = cls(first.code, joined(each.text for each in objections), first.pointer)
        refused.objections = tuple(objections)
        return refused


class Conflict(Refused):
    """The thing changed since the caller read it, or its state does not allow the command."""


class InvalidInput(ExamlaneError):
    """Input that cannot be understood: every problem at once, each with the field's JSON pointer."""

    def __init__(self, problems: Sequence[tuple[str, Text]]) -> None:
        super().__init__("; ".join(f"{pointer}: {text.en}" for pointer, text in problems))
        self.problems = tuple(problems)


class StalePlan(ExamlaneError):
    """The patient, the rollout or a slot changed while a plan was made: plan again."""


class SlotTaken(StalePlan):
    """Somebody else took the slot first."""


def joined(words: Iterable[Text]) -> Text:
    """Several texts as one, each said once."""
    told = list(dict.fromkeys(words))
    return Text("；".join(text.zh for text in told), "; ".join(text.en for text in told))
