"""Asking one plugin: deadline, breaker, time shared between departments, stuck threads, arguments that stay whole."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from examlane import hookimpl
from examlane.extension import dispatch
from examlane.extension.dispatch import Answer, Budget, Dispatcher
from examlane.extension.plugins import Plugin, Plugins

MINUTE = 60.0


@dataclass
class Bench:
    """A dispatcher on a clock of its own, and one plugin that does what it is told."""

    now: float = 1000.0
    behave: Callable[[Any], Any] = lambda settings: []
    asked: int = 0
    ended: list[str] = field(default_factory=list)
    release: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.dispatcher = Dispatcher(0.05, lambda: self.now, lambda: self.ended.append(threading.current_thread().name))
        self.plugins = {name: self._plugin(name) for name in ("rules", "others", "core")}

    def _plugin(self, name: str) -> Plugin:
        @hookimpl
        def preparation(items: Any, settings: Any) -> Any:
            self.asked += 1
            return self.behave(settings)

        found = Plugins()
        found.register(name, SimpleNamespace(preparation=preparation), trusted=name == "core")
        return found.loaded[name]

    def ask(
        self, department: str = "US", plugin: str = "rules", budget: Budget | None = None, settings: Any = None
    ) -> Answer:
        return self.dispatcher.ask(
            self.plugins[plugin], "preparation", department, {"items": [], "settings": settings},
            lambda value: value, budget or Budget(1.0),
        )  # fmt: skip

    def fail(self, times: int = 1, **of: Any) -> list[str]:
        self.behave = _raise
        return [self.ask(**of).failure for _ in range(times)]

    def hang(self, times: int = 1, **of: Any) -> list[str]:
        self.behave = lambda settings: self.release.wait(20)
        return [self.ask(**of).failure for _ in range(times)]

    def heal(self) -> None:
        self.behave = lambda settings: ["fine"]


def _raise(settings: Any) -> Any:
    raise KeyError("weight")


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.release.set()
    bench.dispatcher.close()


def test_an_answer_says_who_answered_for_which_department_and_is_traced(bench: Bench) -> None:
    bench.heal()
    budget = Budget(1.0)
    answer = bench.ask(budget=budget)

    assert (answer.department, answer.plugin, answer.hook) == ("US", "rules", "preparation")
    assert (answer.value, answer.failure) == (["fine"], "")
    assert budget.trace == [answer]


def test_the_breaker_opens_after_three_failures_and_asks_no_more(bench: Bench) -> None:
    assert bench.fail(3) == ["KeyError: 'weight'"] * 3
    asked = bench.asked
    bench.heal()

    assert bench.ask().failure == "breaker open"
    assert bench.asked == asked
    assert bench.dispatcher.breaker("US", "rules", "preparation").is_open


def test_three_failures_spread_over_more_than_half_a_minute_do_not_open_it(bench: Bench) -> None:
    for _ in range(6):
        bench.fail()
        bench.now += 16
    bench.heal()

    assert bench.ask().value == ["fine"]


def test_after_a_minute_one_probe_goes_through_and_its_failure_keeps_the_breaker_open(bench: Bench) -> None:
    bench.fail(3)
    bench.now += MINUTE

    assert bench.fail(2) == ["KeyError: 'weight'", "breaker open"]
    bench.now += MINUTE - 1
    assert bench.fail() == ["breaker open"]


def test_a_probe_that_succeeds_heals_the_breaker_without_a_restart(bench: Bench) -> None:
    bench.fail(3)
    bench.now += MINUTE
    bench.heal()

    assert [bench.ask().value for _ in range(3)] == [["fine"]] * 3
    assert not bench.dispatcher.breaker("US", "rules", "preparation").is_open
    assert bench.fail(2) == ["KeyError: 'weight'"] * 2


def test_a_plugin_that_is_broken_in_one_department_is_still_asked_in_another(bench: Bench) -> None:
    bench.fail(3)
    bench.heal()

    assert bench.ask("US").failure == "breaker open"
    assert bench.ask("CT").value == ["fine"]


def test_an_error_of_the_core_is_not_hidden_and_never_shuts_it_out(bench: Bench) -> None:
    for _ in range(5):
        with pytest.raises(KeyError):
            bench.fail(1, plugin="core")
    bench.heal()

    assert bench.ask(plugin="core").value == ["fine"]


def test_a_hanging_plugin_is_late_and_two_stuck_threads_ask_for_a_new_process(bench: Bench) -> None:
    assert bench.hang() == ["late"]
    assert not bench.dispatcher.must_recycle
    assert bench.hang() == ["late"]
    assert bench.dispatcher.must_recycle


def test_a_plugin_with_stuck_threads_gets_no_more_of_them_and_the_others_go_on(bench: Bench) -> None:
    bench.hang(2)
    asked = bench.asked

    assert bench.hang(30) == ["earlier calls have not ended"] + ["breaker open"] * 29
    assert bench.asked == asked
    bench.heal()
    assert bench.ask("CT", "others").value == ["fine"]


def test_a_stuck_plugin_that_ends_after_all_is_asked_again(bench: Bench) -> None:
    bench.hang(2)
    bench.release.set()
    for thread in [thread for thread in threading.enumerate() if thread.name == "examlane-hook"]:
        thread.join(0.2)
    bench.heal()

    assert bench.ask().value == ["fine"]
    assert not bench.dispatcher.must_recycle


def test_a_slow_department_uses_up_its_own_time_and_not_that_of_the_others(bench: Bench) -> None:
    budget = Budget(0.1)
    bench.hang(2, budget=budget)
    bench.heal()

    assert bench.ask("US", "others", budget).failure == "no time left"
    assert bench.ask("CT", "others", budget).value == ["fine"]


def test_having_no_time_left_is_not_held_against_a_plugin(bench: Bench) -> None:
    bench.heal()
    for _ in range(5):
        assert bench.ask(budget=Budget(0.0)).failure == "no time left"

    assert bench.ask().value == ["fine"]


def test_finding_no_free_thread_is_not_held_against_a_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "POOL_SIZE", 1)
    bench = Bench()
    bench.hang()
    bench.behave = lambda settings: ["fine"]

    assert [bench.ask("CT", "others").failure for _ in range(3)] == ["no thread is free"] * 3
    assert not bench.dispatcher.breaker("CT", "others", "preparation").is_open
    bench.release.set()
    bench.dispatcher.close()


def test_an_error_that_cannot_be_printed_is_a_failure_like_any_other(bench: Bench) -> None:
    class Unprintable(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    def behave(settings: Any) -> Any:
        raise Unprintable

    bench.behave = behave
    assert [bench.ask().failure for _ in range(3)] == ["Unprintable"] * 3


def test_the_thread_of_a_failed_call_ends_with_all_that_it_left_behind(bench: Bench) -> None:
    bench.heal()
    bench.ask()
    assert bench.ended == []
    bench.fail()
    for thread in [thread for thread in threading.enumerate() if thread.name == "examlane-hook"]:
        thread.join(0.2)

    assert bench.ended == ["examlane-hook"]


def test_what_a_plugin_does_to_its_arguments_does_not_reach_the_next_one(bench: Bench) -> None:
    settings = {"hours": 6, "words": ["a"]}

    def behave(given: Any) -> Any:
        given["words"].append("b")

    bench.behave = behave
    assert bench.ask(settings=settings).failure.startswith("AttributeError")
    assert settings == {"hours": 6, "words": ["a"]}


def test_the_interrupt_of_the_person_at_the_keyboard_is_not_swallowed_by_the_core(bench: Bench) -> None:
    def behave(settings: Any) -> Any:
        raise KeyboardInterrupt

    bench.behave = behave
    with pytest.raises(KeyboardInterrupt):
        bench.ask(plugin="core")
    assert bench.ask().failure == "KeyboardInterrupt: "
