"""What is known of a patient clinically when an order is judged."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from examlane.domain import Fact


def known_facts(own: Mapping[str, Fact], ordered_at: datetime, patient: Mapping[str, Fact]) -> Mapping[str, Fact]:
    """An order's facts and its patient's: of each the newest counts, of two of one time the order's own.

    What an order says without a time was known when it was written.
    """
    newer = {
        name: fact
        for name, fact in patient.items()
        if name not in own or (fact.observed_at or ordered_at) > (own[name].observed_at or ordered_at)
    }
    return {**own, **newer} if newer else own
