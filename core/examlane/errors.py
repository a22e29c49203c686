"""What callers cannot foresee, as exceptions. Refusals that a person must read are values (`reasons.py`)."""

from __future__ import annotations

from collections.abc import Sequence

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


class Refused(ExamlaneError):
    """A command that the rules do not allow, with the reason's code, its words, and the field it is about."""

    def __init__(self, code: str, text: Text, pointer: str = "") -> None:
        super().__init__(text.en)
        self.code = code
        self.text = text
        self.pointer = pointer


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
