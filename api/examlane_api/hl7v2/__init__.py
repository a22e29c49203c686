"""HL7 v2.5.1 as an outbound format: appointments as SIU messages over MLLP, where `examlane[hl7]` is installed."""

from __future__ import annotations

from importlib.util import find_spec

KIND = "hl7v2"
"""The kind of peer that hears HL7 v2."""
CURE = "pip install 'examlane[hl7]'"


def installed() -> bool:
    """Whether the optional library is here."""
    return find_spec("hl7apy") is not None
