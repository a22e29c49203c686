"""What an SIU message says of an appointment: valid 2.5.1 whatever stands in the database, and read back as it was."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.parser import parse_message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from examlane.appointments.states import MOVES, START, State
from examlane.domain import EncounterClass
from examlane.orders.patients import Identifier
from examlane_api.hl7v2 import documents, profiles
from examlane_api.hl7v2.profiles import Assigned, BadProfile, Profile
from examlane_api.hl7v2.reading import Coded, Exam, Used, Visit
from examlane_api.hl7v2.triggers import ENDED, FILLER_STATUS, Version, trigger

AT = datetime(2026, 11, 23, 0, 30, tzinfo=UTC)
WORDS = st.text(st.characters(exclude_categories=("Cs",)), max_size=40) | st.sampled_from(["长" * 200, "|^~&\\" * 40])
CODES = st.text("ABCUS0123456789-/#_.:", min_size=1, max_size=64)
INSTANTS = st.datetimes(datetime(2000, 1, 1), datetime(2099, 1, 1)).map(lambda at: at.replace(tzinfo=UTC))
CODED = st.builds(Coded, CODES, WORDS)
VERSIONS = st.builds(
    Version, st.integers(1, 99), st.just(""), st.sampled_from([each.value for each in State]), INSTANTS, INSTANTS,
    st.just(()), WORDS.filter(bool), WORDS, INSTANTS,
)  # fmt: skip
ROLES = st.sampled_from(["device", "room", "chair", "bed", "recovery", "sonographer", "anaesthetist"])
VISITS = st.builds(
    Visit, CODES, VERSIONS, st.sampled_from(["slot", "walk_in", "bedside", "external"]), CODED, CODED, CODES, CODES,
    st.sampled_from([each.value for each in EncounterClass]), WORDS, WORDS,
    st.lists(st.builds(Identifier, st.sampled_from(["card", "patient_id", "citizen_id"]), CODES), max_size=3).map(tuple),
    WORDS.filter(str.strip), st.sampled_from(["female", "male", "unknown"]), st.none() | st.dates(date(1900, 1, 1)),
    st.lists(st.builds(Exam, CODED, CODES, st.just("") | CODES), min_size=1, max_size=4).map(tuple),
    st.lists(st.builds(Used, CODED, ROLES, INSTANTS, INSTANTS), max_size=4).map(tuple),
)  # fmt: skip
TRIGGERS = st.sampled_from(["S12", "S13", "S14", "S15", "S26"])
VISIT = Visit(
    number="7K2M-9QXA", version=Version(1, "", "booked", AT, AT + timedelta(minutes=20), (), "his", "patient asked", AT),
    mode="slot", department=Coded("US", "超声科"), place=Coded("US-N", "超声室"), campus="N", encounter="V1",
    encounter_class="inpatient", ward="内一", bed="12",
    patient=(Identifier("card", "P1"), Identifier("citizen_id", "110101")), name="张三", sex="female",
    birth_date=date(1980, 2, 29), exams=(Exam(Coded("US-HEART", "心脏彩超"), "O1/1", "50001"),),
    resources=(
        Used(Coded("US-N-1", "1检查室"), "room", AT, AT + timedelta(minutes=20)),
        Used(Coded("PROBE", "探头"), "device", AT, AT + timedelta(minutes=10)),
        Used(Coded("D7", "李医生"), "sonographer", AT, AT + timedelta(minutes=20)),
    ),
)  # fmt: skip
EVENT = "0c6f4a1e-8f3e-4b0e-9d0c-1f2b7c1f6a55"


def segments(text: str) -> dict[str, list[str]]:
    """The first segment of each name, by fields."""
    return {line[:3]: line.split("|") for line in reversed(text.strip("\r").split("\r"))}


def unescaped(text: str) -> str:
    """What a receiver makes of a field: by the standard's chapter 2.7."""
    for sign, code in (("|", "F"), ("^", "S"), ("&", "T"), ("~", "R")):
        text = text.replace(f"\\{code}\\", sign)
    return text.replace("\\E\\", "\\")


def test_a_message_says_who_what_where_and_when() -> None:
    found = segments(documents.siu(Profile(receiving_application="RIS"), VISIT, "S12", EVENT))

    assert found["MSH"][2:6] == ["EXAMLANE", "", "RIS", ""]
    assert found["MSH"][6:12] == ["20261123083000+0800", "", "SIU^S12^SIU_S12", EVENT, "P", "2.5.1"]
    assert found["MSH"][17] == "UNICODE UTF-8"
    assert found["SCH"][2] == "7K2M-9QXA^EXAMLANE"
    assert found["SCH"][9:12] == ["20", "min^minute^UCUM", "^^M20^20261123083000+0800^20261123085000+0800"]
    assert found["SCH"][25:28] == ["Booked^^HL70278", "50001", "O1/1^EXAMLANE"]
    assert found["TQ1"][7:9] == ["20261123083000+0800", "20261123085000+0800"]
    assert (found["PID"][3], found["PID"][5], found["PID"][7:9]) == ("P1^^^^MR", "张三^^^^^^L", ["19800229", "F"])
    assert (found["PV1"][2:4], found["PV1"][19]) == (["I", "内一^^12"], "V1")
    assert found["RGS"] == ["RGS", "1", "A"]
    assert found["AIS"][2:5] == ["A", "US-HEART^心脏彩超^EXAMLANE", "20261123083000+0800"]
    assert found["AIG"][3:5] == ["PROBE^探头^EXAMLANE", "device^^EXAMLANE"]
    assert found["AIL"][3] == "US-N^US-N-1^^N^^^^^超声室 1检查室"
    assert found["AIP"][3] == "D7^李医生"


def test_only_identifiers_of_the_profile_are_told() -> None:
    told = Profile(identifiers={"citizen_id": Assigned("NI", "CHN")})
    assert segments(documents.siu(told, VISIT, "S12", EVENT))["PID"][3] == "110101^^^CHN^NI"
    assert "110101" not in documents.siu(Profile(), VISIT, "S12", EVENT)


def test_a_visit_without_seats_still_has_its_place() -> None:
    found = segments(documents.siu(Profile(), replace(VISIT, resources=(), mode="walk_in"), "S12", EVENT))
    assert found["AIL"][3] == "US-N^^^N^^^^^超声室"
    assert found["SCH"][7] == "WALKIN^^HL70276"


@settings(max_examples=60, deadline=None)
@given(VISITS, TRIGGERS)
def test_a_message_is_valid_whatever_stands_in_the_database(visit: Visit, said: str) -> None:
    text = documents.siu(Profile(), visit, said, EVENT)

    assert parse_message(text, validation_level=VALIDATION_LEVEL.STRICT, find_groups=True).validate()
    assert "\n" not in text
    assert documents.siu(Profile(), visit, said, EVENT) == text


@settings(max_examples=80, deadline=None)
@given(WORDS.filter(str.strip))
def test_text_is_read_back_as_it_was_written(words: str) -> None:
    plain = documents.CONTROL.sub(" ", words).strip() or documents.UNNAMED
    whole = len(documents.escaped(words)) < 190
    found = segments(documents.siu(Profile(), replace(VISIT, name=words), "S12", EVENT))

    said = unescaped(found["PID"][5].removesuffix("^^^^^^L"))
    assert said == plain if whole else plain.startswith(said)


@pytest.mark.parametrize(
    ("words", "written"),
    [("a|b^c&d~e", r"a\F\b\S\c\T\d\R\e"), ("C:\\dir", r"C:\E\dir"), ("\\F\\", "\\E\\F\\E\\"), ("一\r\n二 ", "一 二")],
)
def test_separators_and_line_ends_do_not_break_a_message(words: str, written: str) -> None:
    assert documents.escaped(words) == written
    assert written in documents.siu(Profile(), replace(VISIT, name=words), "S12", EVENT)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(max_size=80) | st.text("MSHAERPI|^~\\&\r0123456789.", max_size=80).map(lambda rest: f"MSH|^~\\&|{rest}"))
def test_whatever_a_receiver_answers_is_an_acknowledgement_or_none(words: str) -> None:
    try:
        code, about, said = documents.acknowledgement(words)
    except ValueError:
        return
    assert all(isinstance(each, str) for each in (code, about, said))


@pytest.mark.parametrize("version", ["2.1", "2.3", "2.3.1", "2.4", "2.5", "2.5.1", "2.6", "2.8"])
def test_an_acknowledgement_of_any_version_is_understood(version: str) -> None:
    text = f"MSH|^~\\&|RIS||||2026||ACK|9|P|{version}\rMSA|AA|{EVENT}|好\r"
    assert documents.acknowledgement(text) == ("AA", EVENT, "好")


def test_a_code_that_is_too_long_for_a_location_stands_whole_beside_it() -> None:
    code = "ES-NORTH-ANAESTHETISTS"
    found = segments(documents.siu(Profile(), replace(VISIT, place=Coded(code, "麻醉"), resources=()), "S12", EVENT))
    assert found["AIL"][3] == f"{code[:20]}^^^N^^^^^麻醉^{code}"


# Which message


def versions(*states: str) -> list[Version]:
    """A history through some states. `again` is a booking at a later time, `other` one in another room."""
    found: list[Version] = []
    at, slot = AT, 1
    for number, state in enumerate(states, 1):
        at = at + timedelta(hours=1) if state == "again" else at
        slot = slot + 1 if state in ("again", "other") else slot
        real = "booked" if state in ("again", "other") else state
        taken = ((slot, 1),) if real == "booked" else ()
        before = found[-1].state if found else START
        found.append(Version(number, before, real, at, at + timedelta(minutes=10), taken, "his", "", AT))
    return found


@pytest.mark.parametrize(
    ("states", "said"),
    [
        (("booked",), "S12"),
        (("held",), None),
        (("held", "booked"), "S12"),
        (("held", "expired"), None),
        (("booked", "again"), "S13"),
        (("booked", "other"), "S13"),
        (("booked", "booked"), "S14"),
        (("booked", "tentative"), "S14"),
        (("booked", "tentative", "booked"), "S14"),
        (("booked", "held"), "S14"),
        (("booked", "checked_in"), "S14"),
        (("booked", "checked_in", "called", "in_progress", "fulfilled"), "S14"),
        (("booked", "checked_in", "in_progress", "not_done"), "S15"),
        (("booked", "cancelled"), "S15"),
        (("booked", "cancelled", "booked"), "S12"),
        (("booked", "suspended"), "S15"),
        (("booked", "suspended", "again"), "S12"),
        (("booked", "suspended", "cancelled"), None),
        (("booked", "tentative", "expired"), "S15"),
        (("booked", "replaced"), "S15"),
        (("booked", "no_show"), "S26"),
        (("booked", "no_show", "again"), "S13"),
        (("booked", "no_show", "checked_in"), "S14"),
        (("booked", "no_show", "cancelled"), "S15"),
        (("checked_in",), "S12"),
    ],
)  # fmt: skip
def test_what_a_receiver_knows_decides_which_message_it_is(states: tuple[str, ...], said: str | None) -> None:
    assert trigger(versions(*states)) == said


def test_every_state_has_a_filler_status() -> None:
    assert set(FILLER_STATUS) == set(State)


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_a_receiver_that_follows_the_messages_never_loses_an_appointment(data: st.DataObject) -> None:
    """S12 only for what it does not have, all others only for what it has."""
    has, history, state = False, list[str](), START
    for _ in range(data.draw(st.integers(1, 8))):
        if not MOVES[state]:
            break
        state = data.draw(st.sampled_from(sorted(MOVES[state])))
        history.append(state)
        said = trigger(versions(*history))
        if said is not None:
            assert (said == "S12") is not has
            has = said != "S15"
        assert has is (state not in ENDED and (has or state != "held"))


# Profiles


def test_a_profile_says_who_speaks_in_which_letters(tmp_path: Path) -> None:
    (tmp_path / "RIS.toml").write_text(
        'receiving_application = "RIS"\ncharacter_set = "GB 18030-2000"\nzone = "UTC"\nshort_control_id = true\n'
        '[identifiers.card]\ntype = "MR"\nauthority = "HOSP"\n', encoding="utf-8",
    )  # fmt: skip

    found = profiles.from_environment({profiles.PROFILES: str(tmp_path)})

    assert found == {
        "RIS": Profile(
            receiving_application="RIS", character_set="GB 18030-2000", zone="UTC", short_control_id=True,
            identifiers={"card": Assigned("MR", "HOSP")},
        )
    }  # fmt: skip
    text = documents.siu(found["RIS"], VISIT, "S12", EVENT)
    assert text.encode(found["RIS"].encoding).decode("gb18030") == text
    assert segments(text)["MSH"][6] == "20261123003000+0000"


@pytest.mark.parametrize(
    "content",
    ['colour = "red"', 'character_set = "EBCDIC"', 'zone = "Nowhere/Else"', 'processing = "X"',
     'sending_application = "a|b"', 'sending_facility = "a code that is longer than an IS"',
     'short_control_id = "yes"', '[identifiers.card]\nauthority = "X"', '[identifiers.card]\ntype = "mr"', "= 1"],
)  # fmt: skip
def test_a_profile_with_a_mistake_is_refused_by_name(tmp_path: Path, content: str) -> None:
    (tmp_path / "RIS.toml").write_text(content, encoding="utf-8")
    with pytest.raises(BadProfile, match=r"RIS\.toml"):
        profiles.from_environment({profiles.PROFILES: str(tmp_path)})


def test_a_folder_that_is_not_there_is_a_mistake() -> None:
    assert profiles.from_environment({}) == {}
    with pytest.raises(BadProfile, match="no folder"):
        profiles.from_environment({profiles.PROFILES: "/nowhere/at/all"})


def test_chinese_goes_over_the_wire_in_the_letters_of_the_profile(site: Any) -> None:
    site.profile = Profile(character_set="GB 18030-2000")
    site.receiver.encoding = "gb18030"
    site.booked("CT-HEAD")

    assert site.deliver() == 1
    assert site.receiver.fields(0, "AIS")[0][3] == "CT-HEAD^头颅CT^EXAMLANE"
    assert site.receiver.fields(0, "PID")[0][5] == "患者P1^^^^^^L"
    assert site.receiver.fields(0, "MSH")[0][17] == "GB 18030-2000"
    archived = site.world.database.value("SELECT request FROM delivery")
    assert archived == site.receiver.heard[0]


def test_resources_are_those_of_the_version_that_is_told(site_on_each: Any) -> None:
    """Where the visit was moved before the first message went out, each message has its own seats."""
    site = site_on_each
    number = site.booked("US-HEART")
    first = json.loads(site.world.database.value("SELECT claims FROM appointment_version WHERE version = 1"))
    site.world.clock.advance(timedelta(minutes=1))
    later = site.later_time(number)
    site.move(number, later)
    site.deliver()
    site.deliver()

    assert len(first) == 2
    assert [site.receiver.fields(each, "AIL")[0][6] for each in (0, 1)] == [
        site.receiver.fields(0, "TQ1")[0][7], later.starts_at.astimezone(Profile().timezone).strftime("%Y%m%d%H%M%S%z"),
    ]  # fmt: skip
