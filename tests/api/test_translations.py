"""Every text of the pages has its English, and what is compiled is what is written."""

from __future__ import annotations

import io
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

import examlane_api

HOME = Path(examlane_api.__file__).parent
CATALOGUE = HOME / "translations/en/LC_MESSAGES/messages.po"
SOURCES = [("**.py", "python"), ("templates/**.html", "jinja2")]


def catalogue() -> Catalog:
    with CATALOGUE.open("rb") as file:
        return read_po(file, locale="en")


def test_every_text_of_the_pages_has_its_english_and_nothing_else_is_translated() -> None:
    found = [message for _, _, message, *_ in extract_from_dir(str(HOME), SOURCES, {"**": {}})]
    used = {message if isinstance(message, str) else message[0] for message in found}
    known = {
        message.id if isinstance(message.id, str) else message.id[0]: message.string for message in catalogue() if message.id
    }

    assert used == set(known)
    assert all(known.values())


def test_the_compiled_catalogue_is_the_written_one() -> None:
    compiled = io.BytesIO()
    write_mo(compiled, catalogue())

    assert CATALOGUE.with_suffix(".mo").read_bytes() == compiled.getvalue()
