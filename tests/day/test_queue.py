"""The order in which patients are called, how many are before each, and when he may expect it."""

from __future__ import annotations

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
    entries = [entry(name, rank, NOW + 60) for name, rank in ranks.items()] + [entry("earlier", ON_TIME, NOW)]

    assert numbers(entries) == ["stat", "urgent", "old", "earlier", "first", "late", "walk"]


def test_the_infectious_are_called_last_whatever_their_rank() -> None:
    assert numbers([entry("i", EMERGENCY, isolated=True), entry("w", WALK_IN)]) == ["w", "i"]


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


ENTRIES = st.lists(
    st.builds(
        lambda rank, turn, isolated: (rank, turn, isolated),
        st.integers(0, 5), st.integers(0, 10_000), st.booleans(),
    ),
    min_size=1, max_size=12, unique_by=lambda each: each[1] // 2,
).map(
    lambda found: [
        entry(f"N{place}", rank, NOW + 2 * turn, isolated=isolated, queue_number=place)
        for place, (rank, turn, isolated) in enumerate(found)
    ]
)  # fmt: skip


@given(ENTRIES, st.randoms())
def test_the_order_is_the_same_however_the_patients_are_listed(entries: list[Entry], dice: object) -> None:
    shuffled = list(entries)
    dice.shuffle(shuffled)  # type: ignore[attr-defined]

    assert numbers(shuffled) == numbers(entries)
    assert set(numbers(entries)) == {one.number for one in entries}


@given(ENTRIES, st.integers(1, 5))
def test_who_was_called_in_vain_stands_just_behind_the_next_few(entries: list[Entry], places: int) -> None:
    plain = [entry(one.number, one.rank, one.turn_at, queue_number=one.queue_number) for one in entries]
    absent = queue.order(plain, NOW)[0]
    rank, turn = queue.after(plain, absent.number, places, NOW)
    back = [one for one in plain if one.number != absent.number] + [entry(absent.number, rank, turn, queue_number=99)]

    assert numbers(back).index(absent.number) == min(places, len(plain) - 1)


@given(ENTRIES, st.integers(1, 4))
def test_nobody_is_expected_before_whoever_is_called_before_him(entries: list[Entry], rooms: int) -> None:
    times = queue.expected(queue.order(entries, NOW), [], rooms, NOW, 15)

    assert times == sorted(times)
