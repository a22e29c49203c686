"""Finding plugins: a bad one is refused by name and with its reason, and costs nobody else."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace

import pytest

from examlane import hookimpl
from examlane.extension import earliest
from examlane.extension.plugins import CORE, GROUP, Plugins

Discover = Callable[..., Plugins]
GOOD = '''"""好的规则 · Good rules."""
from examlane import hookimpl

@hookimpl
def preparation(items):
    return []
'''
REFUSED = {
    "raises on import": ("raise RuntimeError('no licence')", "RuntimeError: no licence"),
    "exits on import": ("raise SystemExit(3)", "SystemExit: 3"),
    "raises what nobody expects": ("class Odd(BaseException): pass\nraise Odd", "Odd"),
    "does not parse": ("def", "SyntaxError"),
    "lacks a dependency": ("import no_such_library", "ModuleNotFoundError: No module named 'no_such_library'"),
    "misspells a hook": (GOOD.replace("preparation", "preperation"), "unknown hook 'preperation'"),
    "invents an argument": (GOOD.replace("items", "item"), "'item'"),
    "forgets to mark a hook": (GOOD + "\ndef validate_order(order):\n    return []\n", "validate_order lacks @hookimpl"),
    "has no hook at all": ("x = 1", "implements no hook"),
    "wraps the others": (
        GOOD.replace("@hookimpl", "@hookimpl(wrapper=True)").replace("return []", "return (yield)"), "wrapper",
    ),
    "has two of one hook": (
        GOOD + "\n@hookimpl(specname='preparation')\ndef more(items):\n    return []\n", "implemented twice",
    ),
}  # fmt: skip


@pytest.fixture
def discover(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Discover:
    """Discover plugins given as the source of their modules, as if they were installed."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def discover(**sources: str) -> Plugins:
        entries = []
        for name, source in sources.items():
            (tmp_path / f"zoo_{name}.py").write_text(source)
            monkeypatch.delitem(sys.modules, f"zoo_{name}", raising=False)
            entries.append(EntryPoint(name.rstrip("_"), f"zoo_{name}", GROUP))
        return Plugins().discover(entries)

    return discover


@pytest.mark.parametrize("fault", REFUSED)
def test_a_plugin_is_refused_with_the_reason_when_it(fault: str, discover: Discover) -> None:
    source, reason = REFUSED[fault]
    found = discover(before=GOOD, faulty=source, after=GOOD)

    assert set(found.loaded) == {"before", "after"}
    assert reason in found.broken["faulty"]


def test_a_plugin_is_known_by_the_first_line_of_its_documentation(discover: Discover) -> None:
    found = discover(good=GOOD, silent=GOOD.replace("好的规则 · Good rules.", "  "))

    assert (found.loaded["good"].title, found.loaded["silent"].title) == ("好的规则 · Good rules", "silent")


def test_of_two_plugins_of_one_name_neither_is_asked(discover: Discover) -> None:
    found = discover(twin=GOOD, twin_=GOOD, other=GOOD)

    assert set(found.loaded) == {"other"}
    assert found.broken == {"twin": "two plugins have this name"}


def test_nobody_takes_the_place_of_the_core(discover: Discover) -> None:
    found = discover(core=GOOD)
    found.register(CORE, earliest, trusted=True)

    assert found.loaded[CORE].trusted
    assert list(found.loaded[CORE].hooks) == ["allocate"]
    assert list(found.broken.values()) == ["the name belongs to the core"]


def test_the_interrupt_of_the_person_at_the_keyboard_still_stops_the_start(discover: Discover) -> None:
    with pytest.raises(KeyboardInterrupt):
        discover(slow="raise KeyboardInterrupt")


def test_a_plugin_that_raises_while_it_is_looked_at_is_refused() -> None:
    class Sly:
        @hookimpl
        def preparation(self, items: object) -> list[object]:
            return []

        @property
        def __doc__(self) -> str:  # type: ignore[override]
            raise RuntimeError("do not look")

    found = Plugins()
    found.register("sly", Sly())
    found.register("plain", SimpleNamespace(preparation=hookimpl(lambda items: [])))

    assert "plain" in found.loaded
    assert "sly" in {**found.loaded, **found.broken}
