"""What a kind of patient is: its share of the morning, what it comes with, and whether it comes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from examlane import Text
from examlane_api.demo.draft import Draft


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of patient: its share of the morning, when it arrives (minutes), and whether it comes to its exams."""

    name: str
    share: float
    text: Text
    build: Callable[[Draft], None]
    comes: bool = True
    at_once: bool = False
    arrival: tuple[int, int] | None = None
    together: str = ""
