"""Groups of commands, one file a subject; `cli.py` puts them together."""

from __future__ import annotations

from examlane.hospital import Hospital, open_hospital
from examlane.settings import from_environment


def hospital() -> Hospital:
    """The hospital that the environment names."""
    return open_hospital(from_environment())
