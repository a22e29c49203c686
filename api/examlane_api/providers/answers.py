"""What every provider's answer must keep: it is about the patient who was asked for, and comes from the address set."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence

import requests

from examlane.orders.context import Config, Unanswered
from examlane.orders.patients import Identifier

LARGEST = 1_000_000
"""Bytes of an answer: more is no answer to a question about one patient."""


def secret(config: Config) -> str:
    """The provider's secret, from the environment; empty where it wants none."""
    return os.environ.get(f"EXAMLANE_PROVIDER_{re.sub('[^A-Z0-9]', '_', config.code.upper())}", "")


def session() -> requests.Session:
    """A connection that sends what it is given to no other address: no proxy, no .netrc, no redirect."""
    made = requests.Session()
    made.trust_env = False
    made.max_redirects = 0
    return made


def check_address(config: Config) -> None:
    """Raise `ValueError` unless the address is one that can be asked."""
    if not config.address.startswith(("http://", "https://")):
        raise ValueError(f"{config.code} has no address")


def same_patient(asked: Sequence[Identifier], answered: Iterable[tuple[str, str]]) -> None:
    """Raise `Unanswered` unless an answer names the patient who was asked for, and nobody else."""
    sent = {(each.kind, each.value) for each in asked}
    named = set(answered)
    strange = {kind for kind, _ in named - sent} & {kind for kind, _ in sent}
    if not named & sent or strange:
        raise Unanswered("wrong_patient")
