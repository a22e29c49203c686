"""Playing the morning: messages, arrivals and exams in the order of the clock, over real HTTP and SOAP."""

from __future__ import annotations

import heapq
import itertools
import json
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

from examlane import worker
from examlane.records.events import Send
from examlane_api.demo.cases import Case, Message
from examlane_api.demo.channels import His, HisOverRest, HisOverSoap, Rest, Soap, Surprises
from examlane_api.demo.hospital import Demonstration

MINUTE = timedelta(minutes=1)
COMES_BEFORE = timedelta(minutes=10)
READS_AFTER = timedelta(minutes=2)
KIOSK_AFTER = timedelta(minutes=18)
DRAIN_STEPS = 200
REST_CALLERS = ("his", "queue", "desk", "console")
NUMBER = re.compile(r"\{(O\d+-\d+)\}")
Step = Callable[[], None]


class Morning:
    """One morning: a queue of things to do at instants, and the worker turning every minute."""

    def __init__(self, demonstration: Demonstration, address: str, send: Send, starts: datetime, ends: datetime) -> None:
        self.surprises = Surprises()
        self._hospital = demonstration.hospital
        self._clock = demonstration.clock
        self._send = send
        self._starts, self._ends = starts, ends
        secrets = demonstration.secrets
        self._his = Rest(address, "his", secrets["his"], self.surprises)
        self._queue = Rest(address, "queue", secrets["queue"], self.surprises)
        self._callers = {code: Rest(address, code, secrets[code], self.surprises) for code in REST_CALLERS}
        soap = Soap(address, "platform-soap", secrets["platform-soap"], self.surprises)
        self._channels: dict[str, His] = {"rest": HisOverRest(self._his), "soap": HisOverSoap(soap)}
        self._soap = soap
        self._due: list[tuple[datetime, int, Step]] = []
        self._numbers = itertools.count()

    def play(self, cases: Sequence[Case], progress: Callable[[datetime], None]) -> None:
        """Everything until the morning ends; then the worker finishes what is left to tell."""
        self._plan_worker(progress)
        for case in cases:
            self._plan(case)
        while self._due and self._due[0][0] <= self._ends:
            instant, _, step = heapq.heappop(self._due)
            if instant > self._clock.now():
                self._clock.set(instant)
            step()
        self._clock.set(self._ends)
        self._drain()

    def _at(self, instant: datetime, step: Step) -> None:
        heapq.heappush(self._due, (instant, next(self._numbers), step))

    def _plan_worker(self, progress: Callable[[datetime], None]) -> None:
        def turn(instant: datetime) -> None:
            worker.turn(self._hospital, self._send)
            progress(instant)

        minutes = int((self._ends - self._starts) / MINUTE)
        for minute in range(minutes + 1):
            instant = self._starts + minute * MINUTE
            self._at(instant, lambda instant=instant: turn(instant))  # type: ignore[misc]

    def _drain(self) -> None:
        """Let the worker finish: every event told, every plan made."""
        for _ in range(DRAIN_STEPS):
            if worker.turn(self._hospital, self._send).idle and not self._left():
                return
            self._clock.advance(timedelta(seconds=1))

    def _left(self) -> int:
        return int(
            self._hospital.database.value(
                "SELECT (SELECT count(*) FROM event WHERE sent_at IS NULL AND dead = 0) + (SELECT count(*) FROM booking_due)"
            )
        )

    # What is sent for a patient

    def _plan(self, case: Case) -> None:
        arrives = self._starts + case.arrives * MINUTE
        together = [message for message in case.messages if case.at_once and message.kind == "payment"]
        for place, message in enumerate(case.messages):
            if message not in together:
                self._at(arrives + message.after * MINUTE, self._sending(case, place, message))
        if together:
            self._at(arrives + together[0].after * MINUTE, lambda: self._pay_at_once(case, together))
        last = max(message.after for message in case.messages)
        self._at(arrives + last * MINUTE + READS_AFTER, lambda: self._read(case))

    def _sending(self, case: Case, place: int, message: Message) -> Step:
        return lambda: self._tell(case, f"{case.number}-{place + 1}", message)

    def _tell(self, case: Case, key: str, message: Message) -> None:
        channel, body = self._channels[case.channel], message.body
        if message.kind == "verification":
            self._his.post(f"/orders/{body['order']}/verification", {}, key, twice=message.twice)
        elif message.kind == "request":
            self._request(body, key, message.twice)
        elif message.kind in ("cancellation", "move"):
            change = channel.cancel if message.kind == "cancellation" else channel.move_to_the_last_time
            for appointment in self._appointments([body["order"]]):
                change(appointment, body["reason"], key, message.twice)
        else:
            channel.report(message.kind, body, key, message.twice)

    def _request(self, body: Mapping[str, Any], key: str, twice: bool) -> None:
        """Any other request, with the numbers of appointments filled in."""
        filled = json.loads(NUMBER.sub(self._number_of, json.dumps(body, ensure_ascii=False)))
        rest = self._callers[filled["caller"]]
        rest.send(filled["method"], filled["path"], filled["body"], key, twice=twice and filled["method"] == "POST")

    def _number_of(self, found: re.Match[str]) -> str:
        return next(iter(self._appointments([found[1]])), "none")

    def _pay_at_once(self, case: Case, payments: Sequence[Message]) -> None:
        """All payments of a patient at the same moment, as several cashiers' desks or phones send them."""
        with ThreadPoolExecutor(len(payments)) as desks:
            told = [
                desks.submit(self._tell, case, f"{case.number}-P{place}", message)
                for place, message in enumerate(payments, 1)
            ]
            for each in told:
                each.result()

    # What the patient then does

    def _appointments(self, orders: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        items = [item for number in orders for item in self._his.get(f"/orders/{number}").get("items", [])]
        booked = [item["appointment"] for item in items if item["appointment"]]
        return {appointment["number"]: appointment for appointment in booked}

    def _read(self, case: Case) -> None:
        """The patient reads when and where, and comes or does not come."""
        sent = [m.body if m.kind == "order" else m.body["body"] for m in case.messages if _orders(m)]
        orders = list(dict.fromkeys(body["number"] for body in sent))
        for appointment in self._appointments(orders).values():
            if case.comes:
                self._attend(case, appointment)
            elif case.kind == "misses_the_ecg":
                ends = datetime.fromisoformat(appointment["ends_at"])
                number = appointment["number"]
                self._at(ends + KIOSK_AFTER, lambda number=number: self._at_the_kiosk(case, number))  # type: ignore[misc]

    def _at_the_kiosk(self, case: Case, number: str) -> None:
        moved = self._queue.post(f"/appointments/{number}/rebooking", {}, f"{case.number}-kiosk")
        if moved:
            self._attend(case, moved)

    def _attend(self, case: Case, appointment: Mapping[str, Any]) -> None:
        """Check in, be called, be examined: for whoever's time comes this morning."""
        starts = datetime.fromisoformat(appointment["starts_at"])
        ends = datetime.fromisoformat(appointment["ends_at"])
        number = appointment["number"]
        self._at(max(starts - COMES_BEFORE, self._clock.now() + MINUTE), lambda: self._check_in(case, number))
        self._at(starts, lambda: self._queue_says(number, "call", {}))
        self._at(starts + MINUTE, lambda: self._examined(case, number, "started"))
        self._at(ends, lambda: self._examined(case, number, "finished"))

    def _check_in(self, case: Case, number: str) -> None:
        if case.channel == "soap":
            self._soap.call("CheckIn", {"messageId": f"{number}-check-in", "appointmentNo": number})
        else:
            self._queue_says(number, "check-in", {})

    def _queue_says(self, number: str, what: str, body: Mapping[str, Any]) -> None:
        version = next(self._numbers)
        self._queue.post(f"/appointments/{number}/{what}", body, f"{number}-{what}-{version}")

    def _examined(self, case: Case, number: str, state: str) -> None:
        if case.channel == "soap":
            payload = {"messageId": f"{number}-{state}", "appointmentNo": number, "state": state,
                       "at": self._clock.now().isoformat()}  # fmt: skip
            self._soap.call("ReportExecution", payload)
        else:
            self._queue_says(number, "execution", {"state": state})


def _orders(message: Message) -> bool:
    """Whether a message is an order, a first one or one that replaces another."""
    return message.kind == "order" or (message.kind == "request" and message.body["path"] == "/orders")
