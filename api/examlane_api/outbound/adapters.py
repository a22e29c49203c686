"""The adapter of each kind of peer: what would leave, shown; and how it leaves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

from examlane.hospital import Hospital
from examlane.records.events import Message, Send, Sent, Unreachable
from examlane_api import hl7v2
from examlane_api.hip.outbound.sending import Platform, of_event, platform_send
from examlane_api.hip.profiles import Profile
from examlane_api.hl7v2.profiles import Profile as SiuProfile
from examlane_api.hl7v2.sending import Siu
from examlane_api.keyring import Keyring
from examlane_api.outbound.folder import Folder
from examlane_api.outbound.gateway import Gateway
from examlane_api.peers import Poster, Webhook

KINDS = ("webhook", "hip", hl7v2.KIND, "messages", "folder")


class Adapter(Protocol):
    """How one kind of peer is told."""

    def shown(self, message: Message) -> str:
        """What would leave now, as text."""

    def send(self, message: Message) -> Sent:
        """Deliver a message. Raises `Undelivered`."""


def adapters(hospital: Hospital, keyring: Keyring | None, siu_profiles: Mapping[str, SiuProfile]) -> Mapping[str, Adapter]:
    """An adapter for each kind of peer but platforms, which are told by their profiles."""
    poster = Poster(hospital.clock, keyring)
    return {
        "webhook": Webhook(poster),
        hl7v2.KIND: Siu(hospital, siu_profiles),
        "messages": Gateway(hospital, poster),
        "folder": Folder(hospital.settings.exchange_folder),
    }


@contextmanager
def sender(
    hospital: Hospital, keyring: Keyring | None, profiles: Mapping[str, Profile], siu_profiles: Mapping[str, SiuProfile]
) -> Iterator[Send]:
    """A sender that speaks to each peer as its kind wants it, until it is left."""
    known = adapters(hospital, keyring, siu_profiles)
    with platform_send(hospital, profiles, lambda message: _of_kind(known, message).send(message)) as send:
        yield send


def shown(
    hospital: Hospital, keyring: Keyring | None, profiles: Mapping[str, Profile], siu_profiles: Mapping[str, SiuProfile],
    message: Message,
) -> list[str]:  # fmt: skip
    """Exactly what would go over the wire for an event, request by request; nothing where its peer need not hear it."""
    profile = profiles.get(message.peer)
    if profile is None or not profile.outbound.address:
        return [_of_kind(adapters(hospital, keyring, siu_profiles), message).shown(message)]
    with Platform(profile) as platform:
        return [platform.shown(outgoing) for outgoing in of_event(hospital, profile, message)]


def _of_kind(known: Mapping[str, Adapter], message: Message) -> Adapter:
    """Raises `Unreachable` for a platform without a profile."""
    if message.to.kind not in known:
        raise Unreachable(f"{message.peer}: there is no profile with an address for it")
    return known[message.to.kind]
