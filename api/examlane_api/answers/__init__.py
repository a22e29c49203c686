"""The core's values as plain data, for REST, SOAP and pages: one file a subject."""

from __future__ import annotations

from examlane_api.answers.people import PeopleAnswers
from examlane_api.answers.plain import words
from examlane_api.answers.records import RecordAnswers
from examlane_api.answers.rules import RuleAnswers
from examlane_api.answers.suspensions import SuspensionAnswers

__all__ = ["Answers", "words"]


class Answers(PeopleAnswers, RecordAnswers, RuleAnswers, SuspensionAnswers):
    """Everything that is answered."""
