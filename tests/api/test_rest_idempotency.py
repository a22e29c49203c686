"""One key, one effect: however often, however parallel and by whomever a write is sent again."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

SENDERS = 20


def at_once(site: Any, sends: list[Callable[[], Any]]) -> list[Any]:
    """The answers of requests sent at the same moment, each on a thread and a connection of its own."""
    ready = threading.Barrier(len(sends))
    answers: list[Any] = []

    def run(send: Callable[[], Any]) -> None:
        ready.wait()
        answers.append(send())
        site.world.database.close()

    threads = [threading.Thread(target=run, args=(send,)) for send in sends]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == len(sends)
    return answers


def test_a_repeated_write_gets_the_same_bytes_and_changes_nothing(rest_on_each: Any) -> None:
    rest = rest_on_each
    order, payment = rest.order("O1", "US-THYROID", "CT-HEAD"), rest.payment("O1")
    first = [rest.post("/orders", order, key="a"), rest.post("/payments", payment, key="b")]
    number = first[1].json["items"][0]["appointment"]["number"]
    first.append(rest.post(f"/appointments/{number}/cancel", {"reason": "改期"}, key="c"))
    before = rest.counts()
    reordered = dict(reversed(order.items()))
    again = [rest.post("/orders", reordered, key="a"), rest.post("/payments", payment, key="b"),
             rest.post(f"/appointments/{number}/cancel", {"reason": "改期"}, key="c")]  # fmt: skip

    assert [answer.data for answer in again] == [answer.data for answer in first]
    assert [answer.status_code for answer in again] == [200, 200, 200]
    assert {answer.headers.get("Idempotency-Replayed") for answer in again} == {"true"}
    assert {answer.headers.get("Idempotency-Replayed") for answer in first} == {None}
    assert again[2].headers["ETag"] == first[2].headers["ETag"] == '"2"'
    assert rest.counts() == before


@pytest.mark.parametrize(
    ("path", "body"),
    [("/orders", {"number": "O9"}), ("/orders", {"note": "另一份"}), ("/payments", None)],
    ids=["another number", "another note", "another operation"],
)
def test_the_same_key_with_another_body_is_422(rest: Any, path: str, body: Any) -> None:
    rest.post("/orders", rest.order("O1"), key="a")
    before = rest.counts()
    other = rest.order("O1") | body if body else rest.payment("O1")
    answer = rest.post(path, other, key="a")

    assert (answer.status_code, answer.json["code"]) == (422, "idempotency_key_reused")
    assert rest.counts() == before


@pytest.mark.parametrize("key", ["", " ", "x" * 129, "a b", "ключ".encode().decode("latin-1"), "a\tb"])
def test_a_write_without_a_proper_key_is_400(rest: Any, key: str) -> None:
    before = rest.counts()
    for path, body in (("/orders", rest.order("O1")), ("/payments", rest.payment("O1"))):
        answer = rest.post(path, body, key=key)
        assert (answer.status_code, answer.json["code"][:15]) == (400, "idempotency_key")
    assert rest.counts() == before


def test_another_client_with_the_same_key_never_sees_the_answer(rest_on_each: Any) -> None:
    rest = rest_on_each
    first = rest.post("/orders", rest.order("O1"), key="a")
    other = rest.post("/orders", rest.order("O2", patient="P2"), key="a", caller="mini")
    same_body = rest.post("/orders", rest.order("O1"), key="a", caller="desk")

    assert [item["order"] for item in other.json["items"]] == ["O2"]
    assert "Idempotency-Replayed" not in other.headers
    assert first.json != other.json
    assert same_body.status_code == 403


def test_a_refused_write_may_be_sent_again_with_the_same_key(rest: Any) -> None:
    number = rest.booked("O1")["number"]
    choice = rest.times(appointment=number)[2]
    body = {"group": choice["group"], "starts_at": choice["starts_at"], "version": 7}
    path = f"/appointments/{number}/reschedule"
    assert rest.post(path, body, key="a").status_code == 412

    assert rest.post(path, body | {"version": 1}, key="a").status_code == 200


@pytest.mark.parametrize("write", ["orders", "payments", "cancel", "book"])
def test_twenty_parallel_sends_of_one_key_have_one_effect(rest_on_each: Any, write: str) -> None:
    rest = rest_on_each
    if write != "orders":
        rest.post("/orders", rest.order("O1"))
    if write in ("cancel", "book"):
        number = rest.post("/payments", rest.payment("O1")).json["items"][0]["appointment"]["number"]
    if write == "book":
        rest.post(f"/appointments/{number}/cancel", {"reason": "改期"})
    path, body = {
        "orders": lambda: ("/orders", rest.order("O1")),
        "payments": lambda: ("/payments", rest.payment("O1")),
        "cancel": lambda: (f"/appointments/{number}/cancel", {"reason": "改期"}),
        "book": lambda: ("/appointments", {"items": ["O1/1"], "group": "US-N", "starts_at": "2026-11-24T09:00:00+08:00"}),
    }[write]()
    before = rest.counts()
    answers = at_once(rest, [lambda: rest.post(path, body, key="same")] * SENDERS)
    after = rest.counts()

    assert Counter(answer.status_code for answer in answers) == {200: SENDERS}
    assert sum("Idempotency-Replayed" not in answer.headers for answer in answers) == 1
    assert len({answer.data for answer in answers}) == 1
    assert rest.post(path, body, key="same").data == answers[0].data
    grown = {name: after[name] - before[name] for name in after if after[name] != before[name]}
    assert grown.pop("receipt") == 1
    assert grown.pop("audit") <= 2
    assert max(grown.values(), default=1) == 1


@pytest.mark.parametrize("same", ["order", "patient", "encounter"])
def test_parallel_first_messages_about_one_thing_are_never_an_internal_error(rest_on_each: Any, same: str) -> None:
    rest = rest_on_each
    bodies = [rest.order("O1" if same == "order" else f"O{n}") for n in range(8)]
    if same == "patient":
        for n, body in enumerate(bodies):
            body["encounter"] = body["encounter"] | {"number": f"V{n}"}
    answers = at_once(rest, [lambda body=body: rest.post("/orders", body) for body in bodies])

    expected = {200: 1, 409: 7} if same == "order" else {200: 8}
    assert Counter(answer.status_code for answer in answers) == expected
    assert rest.counts()["patient"] == 1
    assert rest.counts()["exam_order"] == expected[200]


def test_a_write_whose_sender_died_before_the_answer_is_answered_from_its_effect(
    rest_on_each: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rest = rest_on_each
    from examlane.records import receipts

    rest.post("/orders", rest.order("O1"))
    with monkeypatch.context() as patched:
        patched.setattr(receipts, "answer", lambda *_: (_ for _ in ()).throw(SystemExit))
        with pytest.raises(SystemExit):
            rest.post("/payments", rest.payment("O1"), key="a")
    before = rest.counts()
    answer = rest.post("/payments", rest.payment("O1"), key="a")

    assert (answer.status_code, answer.json["state"]) == (200, "booked")
    assert answer.headers["Idempotency-Replayed"] == "true"
    assert rest.counts() == before
    assert rest.post("/payments", rest.payment("O1"), key="a").data == answer.data
