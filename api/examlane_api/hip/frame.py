"""The frame of every document: read with the path of each field, checked, acknowledged."""

from __future__ import annotations

import copy
import hashlib
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, tzinfo
from functools import cache
from pathlib import Path
from typing import Any

from lxml import etree
from marshmallow import ValidationError
from marshmallow.fields import Field

from examlane.domain import Text
from examlane.errors import InvalidInput
from examlane_api.problems import CHINESE
from examlane_api.rest.fields import FIRST_YEAR, LAST_YEAR, CleanText, Code
from examlane_api.soap.envelope import Limits, parse_inner
from examlane_api.soap.faults import SoapRefusal, printable
from examlane_api.soap.schema import Schema

V3 = "urn:hl7-org:v3"
NAMESPACES: Any = {None: V3}
PRIVATE = "urn:examlane:hip:1"
MESSAGE_ROOT = "2.16.156.10011.2.5.1.1"
INTERACTION_ROOT = "2.16.156.10011.2.5.1.2"
DEVICE_ROOT = "2.16.156.10011.2.5.1.3"
LIMITS = Limits()
UNSPECIFIED = "00000000000000"
TAKEN = frozenset({"AA", "CA"})
REFUSED = frozenset({"AE", "AR", "CE", "CR"})
MESSAGE_ID = re.compile(r"[A-Za-z0-9{}._-]{32,64}", re.ASCII)
TIME = re.compile(r"\d{8}(\d{2}(\d{2}(\d{2})?)?)?", re.ASCII)
NEVER = datetime(1970, 1, 1, tzinfo=UTC)
"""Stands where a required instant could not be read: the document is refused before anybody uses it."""
MISSING = Text("必填", "is missing")
NOT_A_TIME = Text("时间格式应为 yyyyMMddHHmmss", "must be yyyyMMddHHmmss")
NOT_A_DAY = Text("日期格式应为 yyyyMMdd", "must be yyyyMMdd")


@dataclass(frozen=True)
class Part:
    """An element, present or not, with its path; what is wrong in it is gathered for the whole document."""

    element: etree._Element | None
    path: str
    zone: tzinfo
    problems: list[tuple[str, Text]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return self.element is not None

    def part(self, path: str) -> Part:
        """The first element at a path; an absent one has its path too."""
        found = None if self.element is None else self.element.find(path)
        return self._at(found, path)

    def parts(self, path: str) -> list[Part]:
        """Every element at a path, each numbered in its path."""
        found = [] if self.element is None else self.element.findall(path)
        return [self._at(each, f"{path}[{number}]") for number, each in enumerate(found, 1)]

    def raw(self, path: str, attribute: str = "extension") -> str:
        """An attribute as it stands, trimmed; nothing where element or attribute is absent. `""` is the text itself."""
        found = self.element if not path else self.part(path).element
        if found is None:
            return ""
        return ((found.get(attribute) if attribute else found.text) or "").strip()

    def code(self, path: str, attribute: str = "extension", *, most: int = 64, required: bool = True) -> str:
        """A number or code of another system."""
        return self._read(path, attribute, Code(most), required)

    def words(
        self, path: str, attribute: str = "value", *, most: int = 64, required: bool = False, lines: bool = False
    ) -> str:
        """Words for people."""
        return self._read(path, attribute, CleanText(most, lines=lines), required)

    def instant(self, path: str, attribute: str = "value") -> datetime:
        """yyyyMMddHHmmss in the platform's zone, required."""
        before = len(self.problems)
        found = self.maybe_instant(path, attribute)
        if found is None and len(self.problems) == before:
            self.wrong(path, attribute, MISSING)
        return found or NEVER

    def maybe_instant(self, path: str, attribute: str = "value") -> datetime | None:
        """yyyyMMddHHmmss in the platform's zone; one of zeros says nothing."""
        text = self.raw(path, attribute)
        if not text.strip("0"):
            return None
        try:
            if not TIME.fullmatch(text):
                raise ValueError
            found = datetime.strptime(text.ljust(14, "0"), "%Y%m%d%H%M%S").replace(tzinfo=self.zone)
            if not FIRST_YEAR <= found.year < LAST_YEAR:
                raise ValueError
        except ValueError:
            self.wrong(path, attribute, NOT_A_TIME)
            return None
        return found

    def day(self, path: str, attribute: str = "value") -> date | None:
        """yyyyMMdd, perhaps with a time of day behind it; zeros say nothing."""
        text = self.raw(path, attribute)
        if not text.strip("0"):
            return None
        try:
            if not TIME.fullmatch(text):
                raise ValueError
            found = date.fromisoformat(text[:8])
            if not 1900 <= found.year <= LAST_YEAR:
                raise ValueError
        except ValueError:
            self.wrong(path, attribute, NOT_A_DAY)
            return None
        return found

    def wrong(self, path: str, attribute: str, words: Text) -> None:
        """Note a problem at an attribute."""
        place = "/".join(filter(None, (self.path, path)))
        self.problems.append((f"{place}/@{attribute}" if attribute else place, words))

    def _read(self, path: str, attribute: str, kind: Field[Any], required: bool) -> str:
        text = self.raw(path, attribute)
        if not text:
            if required:
                self.wrong(path, attribute, MISSING)
            return ""
        try:
            return str(kind.deserialize(text))
        except ValidationError as error:
            words = str(error.messages[0]) if isinstance(error.messages, list) else str(error.messages)
            self.wrong(path, attribute, Text(CHINESE.get(words, words), words))
            return ""

    def _at(self, element: etree._Element | None, path: str) -> Part:
        return Part(element, f"{self.path}/{path}".lstrip("/"), self.zone, self.problems)


@dataclass(frozen=True)
class Document:
    """An inner document: as it came, its message id, and its content for reading by local names."""

    source: etree._Element
    message_id: str
    sender: str
    root: Part

    @property
    def fingerprint(self) -> str:
        """What makes it the same document: everything but when it was made, which a sending again may renew."""
        same = copy.deepcopy(self.source)
        for made in same.iterchildren("{*}creationTime", "{*}createdAt"):
            same.remove(made)
        for element in same.iter():
            element.text, element.tail = (element.text or "").strip() or None, None
        return hashlib.sha256(etree.tostring(same, method="c14n")).hexdigest()

    @property
    def made_at(self) -> datetime | None:
        """When its sender made it, where it says so."""
        root = Part(self.root.element, "", self.root.zone)
        return root.maybe_instant("creationTime") or root.maybe_instant("createdAt", "")

    def check(self) -> None:
        """Raise `InvalidInput` with everything that was noted while it was read."""
        if self.root.problems:
            raise InvalidInput(list(dict.fromkeys(self.root.problems)))


def read(text: str, zone: tzinfo, limits: Limits = LIMITS) -> Document:
    """A document from its text. Raises `SoapRefusal` for hostile or malformed XML."""
    source = parse_inner(text, limits)
    local = copy.deepcopy(source)
    for element in local.iter(etree.Element):
        element.tag = etree.QName(element).localname
    root = Part(local, "", zone)
    message_id = root.raw("id") or root.raw("messageId", "")
    sender = root.raw("sender/device/id/item") or root.raw("sender", "")
    return Document(source, message_id if MESSAGE_ID.fullmatch(message_id) else "", sender, root)


def check_file(document: Document, path: Path) -> None:
    """Raise `InvalidInput` unless the document fits a schema; without the file every document passes."""
    if found := problems(document, path):
        raise InvalidInput([(place, Text(f"不符合规范：{words}", words)) for place, words in found])


def problems(document: Document, path: Path) -> list[tuple[str, str]]:
    """Where a document does not fit a schema, and why; nothing without the file."""
    return _schema(path).problems(copy.deepcopy(document.source)) if path.is_file() else []


@cache
def _schema(path: Path) -> Schema:
    parser = etree.XMLParser(no_network=True, resolve_entities=False)
    return Schema(etree.fromstring(path.read_bytes(), parser))


# Acknowledgement


@dataclass(frozen=True)
class Detail:
    """One thing an acknowledgement says: our code, and words a person can act on."""

    code: str
    text: str


@dataclass(frozen=True)
class Ack:
    """What is answered: taken or not, why, to which document, and what a query found (V3 subjects).

    `text` is an acknowledgement that came, whole.
    """

    taken: bool
    details: tuple[Detail, ...]
    target: str = ""
    found: tuple[etree._Element, ...] = ()
    at: str = ""
    text: str = ""


def make(name: str, *children: etree._Element, **attributes: str) -> etree._Element:
    """An element of a V3 document."""
    element = etree.Element(etree.QName(V3, name), attributes, nsmap=NAMESPACES)
    element.extend(children)
    return element


def frame(root: str, message_id: str, at: str, sender: str, receiver: str, *, reply: str = "AL") -> etree._Element:
    """The head that every V3 document begins with."""
    return make(
        root,
        make("id", root=MESSAGE_ROOT, extension=message_id),
        make("creationTime", value=at),
        make("interactionId", root=INTERACTION_ROOT, extension=root),
        make("processingCode", code="P"),
        make("processingModeCode"),
        make("acceptAckCode", code=reply),
        _device("receiver", "RCV", receiver),
        _device("sender", "SND", sender),
        ITSVersion="XML_1.0",
    )


def _device(name: str, kind: str, code: str) -> etree._Element:
    identity = make("id", make("item", root=DEVICE_ROOT, extension=code))
    return make(name, make("device", identity, classCode="DEV", determinerCode="INSTANCE"), typeCode=kind)


def write_ack(ack: Ack, message_id: str, at: str, sender: str, receiver: str) -> str:
    """`MCCI_IN000002UV01`; what a query found stands in its control act, a subject each."""
    root = frame("MCCI_IN000002UV01", message_id, at, sender, receiver, reply="NE")
    target = make("targetMessage", make("id", root=MESSAGE_ROOT, extension=printable(ack.target)))
    details = [
        make("acknowledgementDetail", make("code", code=each.code), make("text", value=printable(each.text)))
        for each in ack.details
    ]
    root.append(make("acknowledgement", target, *details, typeCode="AA" if ack.taken else "AE"))
    if ack.found:
        root.append(make("controlActProcess", *ack.found, classCode="CACT", moodCode="EVN"))
    return to_text(root)


def read_ack(text: str) -> Ack:
    """A platform's acknowledgement. Raises `ValueError` when it is none."""
    try:
        root = read(text, UTC).root
    except SoapRefusal as refusal:
        raise ValueError(f"the answer is not XML: {refusal.words('en')}") from None
    found = root.part("acknowledgement")
    kind = found.raw("", "typeCode") or found.raw("typeCode", "code")
    if kind not in TAKEN | REFUSED:
        raise ValueError("the answer is not an acknowledgement")
    details = tuple(
        Detail(each.raw("code", "code"), each.raw("text", "value") or each.raw("text", ""))
        for each in found.parts("acknowledgementDetail")
    )
    return Ack(kind in TAKEN, details, found.raw("targetMessage/id"), text=text)


def as_data(ack: Ack) -> Mapping[str, Any]:
    """An acknowledgement as it is stored with its request's receipt."""
    return {"taken": ack.taken, "at": ack.at, "details": [[each.code, each.text] for each in ack.details]}


def of_data(data: Mapping[str, Any]) -> Ack:
    return Ack(data["taken"], tuple(Detail(*each) for each in data["details"]), at=data["at"])


def derived_id(*parts: str) -> str:
    """A document's number made from what it is about: made again it is the same number."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, "/".join((PRIVATE, *parts))))


def stamp(moment: datetime, zone: tzinfo) -> str:
    """An instant as documents write it."""
    return f"{moment.astimezone(zone):%Y%m%d%H%M%S}"


def to_text(root: etree._Element) -> str:
    return str(etree.tostring(root, encoding="unicode"))


def texts(problems: Sequence[tuple[str, Text]]) -> str:
    """Problems as one sentence of paths and words."""
    return "；".join(f"{path}：{words.zh}" if path else words.zh for path, words in problems)
