"""The page's table of steps names what there is: calls, operations, actions, events and SIU triggers."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

from examlane.outbound.kinds import KINDS
from examlane_api.hip.actions import ACTIONS
from examlane_api.hl7v2 import triggers
from examlane_api.soap.booking import OPERATIONS

SENT = {f"CheckAppointStatusInfo{verb}" for verb in ("Add", "Update")} | {
    f"SourceAndScheduleInfo{verb}" for verb in ("Add", "Update")
}


def _pages() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_pages", Path(__file__).with_name("docs_pages.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


docs = _pages()


def named(column: int) -> set[str]:
    found = docs.rows(docs.section(docs.page("integration.md"), "Step by step"))
    return {name for row in found for name in re.findall(r"`([^`]+)`", row[column])}


def test_every_message_of_a_step_is_one_that_there_is() -> None:
    calls = docs.rows(docs.section(docs.page("integration.md"), "REST"))
    assert named(1) <= {docs.code(row[0]) for row in calls if len(row) == 3}
    assert named(2) <= set(OPERATIONS)
    assert named(3) <= set(ACTIONS)
    assert named(4) <= set(KINDS)
    assert named(5) <= set(ACTIONS) | SENT
    known = {triggers.NEW, triggers.RESCHEDULED, triggers.MODIFIED, triggers.CANCELLED, triggers.NO_SHOW}
    assert named(6) == known
