"""Groups of commands, one file a subject; `cli.py` puts them together."""

from __future__ import annotations

import getpass

from examlane.hospital import Hospital, open_hospital
from examlane.records.audit import Actor
from examlane.settings import from_environment
from examlane_api.providers import KINDS


def hospital() -> Hospital:
    """The hospital that the environment names."""
    return open_hospital(from_environment(), providers=KINDS)


def actor() -> Actor:
    """Who is at the keyboard, for the audit."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = "unknown"
    return Actor(name, "command")
