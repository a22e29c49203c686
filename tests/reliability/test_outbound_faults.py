"""Peers that fail and workers that are killed: a short run of `benchmarks/outbound.py`, with real processes and HTTP."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

RUN = Path(__file__).resolve().parents[2] / "benchmarks" / "outbound.py"
EVENTS = 400


def test_no_event_is_lost_or_invented_or_out_of_order_and_poison_holds_up_its_own_appointment_only(
    database_url: str,
) -> None:
    command = [sys.executable, str(RUN), "--database", database_url, "--events", str(EVENTS), "--speed", "25"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)

    assert found["events"] == EVENTS
    assert found["kills"] > 0
    assert found["rolled_back"] > 0
    assert found["dead_poison"] > 0
    assert found["answers"]["duplicates"] > 0
    assert set(found["violations"].values()) == {0}
