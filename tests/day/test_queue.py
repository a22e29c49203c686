"""The order in which patients are called, how many are before each, and when he may expect it."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from examlane.arrival import queue
from examlane.arrival.queue import ELDERLY, EMERGENCY, LATE, ON_TIME, URGENT, WALK_IN, Entry

NOW = 1_000_000


def entry(number: str, rank: int = ON_TIME, turn: int = NOW, **more: object) -> Entry:
    return Entry(number, rank, turn, more.pop("queue_number", 1), more.pop("minutes", 10), **more)  # type: ignore[arg-type]


def numbers(entries: list[Entry]) -> list[str]:
    return [one.number for one in queue.order(entries, NOW)]


def test_emergencies_go_first_walk_ins_last_and_within_a_rank_it_goes_by_turn() -> None:
    ranks = {"walk": WALK_IN, "late": LATE, "old": ELDERLY, "stat": EMERGENCY, "urgent": URGENT, "first": ON_TIME}
    entries = [entry(name, rank) for name, rank in ranks.items()] + [entry("earlier", ON_TIME, NOW - 60)]

    assert numbers(entries) == ["stat", "urgent", "old", "earlier", "first", "late", "walk"]


def test_the_infectious_are_called_last_but_an_emergency_does_not_wait_for_the_cleaning() -> None:
    infectious = [entry("urgent", URGENT, isolated=True), entry("stat", EMERGENCY, isolated=True)]

    assert numbers([*infectious, entry("walk", WALK_IN)]) == ["stat", "walk", "urgent"]


def test_who_is_early_waits_for_those_of_the_running_period_whatever_his_age() -> None:
    early = [entry("old, ten", ELDERLY, NOW + 600), entry("nine", ON_TIME, NOW + 300)]

    assert numbers([*early, entry("walk", WALK_IN), entry("now", ON_TIME)]) == ["now", "walk", "nine", "old, ten"]


def test_of_one_period_who_came_first_is_called_first_whatever_his_queue_number() -> None:
    second, first = entry("b", here_at=NOW - 60, queue_number=1), entry("a", here_at=NOW - 120, queue_number=2)

    assert numbers([second, first]) == ["a", "b"]


def test_who_is_not_ready_busy_or_out_is_not_called() -> None:
    entries = [
        entry("later", ready_at=NOW + 60), entry("ready", ready_at=NOW), entry("busy", busy=True), entry("out", out=True),
    ]  # fmt: skip

    assert numbers(entries) == ["ready"]


def test_expected_times_follow_the_rooms_and_the_cleaning_after_an_infectious_patient() -> None:
    waiting = [entry("a"), entry("b", isolated=True), entry("c")]
    one_room = queue.expected(waiting, [entry("x", busy=True, since=NOW - 300)], 1, NOW, 15)

    assert one_room == [NOW + 300, NOW + 900, NOW + 900 + 25 * 60]
    assert queue.expected(waiting, [], 3, NOW, 15) == [NOW, NOW, NOW]


def test_in_one_room_whoever_is_called_follows_whoever_is_examined() -> None:
    busy = [
        entry("called", busy=True, since=NOW, state="called"),
        entry("examined", busy=True, since=NOW - 300, state="in_progress"),
    ]

    assert queue.expected([entry("a")], busy, 1, NOW, 15) == [NOW + 900]


ENTRIES = st.lists(
    st.tuples(st.integers(0, 5), st.integers(-3, 3), st.booleans(), st.booleans()), min_size=1, max_size=12
).map(
    lambda found: [
        entry(f"N{place}", rank, NOW + 600 * turn, isolated=isolated, queue_number=place, out=out and place > 0)
        for place, (rank, turn, isolated, out) in enumerate(found, 1)
    ]
)  # fmt: skip
"""Many have the same turn: those who came before their period."""


@given(ENTRIES, st.randoms())
def test_the_order_is_the_same_however_the_patients_are_listed(entries: list[Entry], dice: object) -> None:
    shuffled = list(entries)
    dice.shuffle(shuffled)  # type: ignore[attr-defined]

    assert numbers(shuffled) == numbers(entries)
    assert set(numbers(entries)) == {one.number for one in entries if not one.out}


@given(ENTRIES, st.lists(st.tuples(st.integers(0, 11), st.integers(1, 5)), max_size=8))
def test_who_is_called_in_vain_stands_exactly_behind_the_next_few_and_moves_nobody_else(
    entries: list[Entry], absences: list[tuple[int, int]]
) -> None:
    for which, places in absences:
        before = queue.order(entries, NOW)
        if not before:
            return
        absent = before[which % len(before)]
        rest = [one.number for one in before if one.number != absent.number]
        alike = [one.number for one in before if one.number != absent.number and one.last is absent.last]
        place = queue.behind(entries, absent.number, places, NOW)
        entries = [replace(one, place=place) if one.number == absent.number else one for one in entries]
        after = numbers(entries)

        assert [each for each in after if each != absent.number] == rest
        waiting = [each for each in after if each in alike or each == absent.number]
        assert waiting.index(absent.number) == min(places, len(alike))


@given(ENTRIES)
def test_everybody_is_called_once_within_as_many_calls_as_there_are_patients(entries: list[Entry]) -> None:
    called = []
    while waiting := queue.order(entries, NOW):
        called.append(waiting[0].number)
        entries = [one for one in entries if one.number != waiting[0].number]

    assert len(called) == len(set(called))
    assert all(one.out for one in entries)


@given(ENTRIES, st.integers(1, 4))
def test_nobody_is_expected_before_whoever_is_called_before_him(entries: list[Entry], rooms: int) -> None:
    times = queue.expected(queue.order(entries, NOW), [], rooms, NOW, 15)

    assert times == sorted(times)
