"""Reading a doctor's note: clauses, which of them speak of what was, and what each asks for of which body part."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

SENTENCE, CLAUSE = re.compile(r"[。;!\n\r]+"), re.compile(r",+")
ENHANCED, PLAIN = "enhanced", "plain"


@dataclass(frozen=True, slots=True)
class Statement:
    """What a clause says of some body parts (none: of the whole order): plain or enhanced; `refused`: no contrast."""

    says: str
    parts: frozenset[str] = frozenset()
    refused: bool = False


@dataclass(frozen=True, slots=True)
class Clause:
    """One clause: `past` speaks of what was, `conditional` leaves it to somebody; `added` are parts to be examined."""

    text: str
    past: bool
    conditional: bool
    asks: bool
    statements: tuple[Statement, ...]
    added: frozenset[str]
    modalities: frozenset[str]


class Reader:
    """Reads notes with the words of one rule version."""

    def __init__(self, words: Mapping[str, Any]) -> None:
        self.words = words
        self._parts = {group: _either(patterns) for group, patterns in words["parts"].items()}
        self._tokens = re.compile("|".join(self._alternatives()))
        self._modalities = {name: re.compile(_either(patterns)) for name, patterns in words["modalities"].items()}

    def _alternatives(self) -> Iterator[str]:
        """The longest forms first: signs that only look alike, both together, refusals, then single words and parts."""
        words = self.words
        enhanced = _either([*words["together"], *words["enhanced"]])
        part = _either(self._parts.values())
        filler = rf"(?:{_either(words['filler'])}|{part}|\s)*?"
        complaint = rf"{part}[^\s,]{{0,2}}?{_either(words['complaints'])}"
        yield f"(?P<idiom>{_either(words['idioms'])}|{complaint})"
        yield f"(?P<refused>{_either(words['refusals'])}{filler}{enhanced}|{enhanced}{_either(words['refused'])})"
        yield f"(?P<together>{_either(words['together'])})"
        yield f"(?P<plain>{_either(words['plain'])})"
        yield f"(?P<enhanced>{_either(words['enhanced'])})"
        yield from (f"(?P<part_{group}>{pattern})" for group, pattern in self._parts.items())

    def clauses(self, note: str) -> Iterator[Clause]:
        """The clauses of a note, each with what it asks for."""
        for sentence in SENTENCE.split(self._spelt(unicodedata.normalize("NFKC", note).casefold())):
            before: Clause | None = None
            for text in filter(None, map(str.strip, CLAUSE.split(sentence))):
                for piece in self._pieces(text):
                    before = self._clause(piece, before)
                    yield before

    def _spelt(self, note: str) -> str:
        for meant, slip in self.words["spellings"].items():
            note = re.sub(slip, meant, note)
        return note

    def _pieces(self, text: str) -> Sequence[str]:
        """A clause that begins with what was and goes on to ask for something is two."""
        for found in re.finditer(_either(self.words["requests"]), text):
            if found.start() and self._is_past(text[: found.start()], None):
                return (text[: found.start()], text[found.start() :])
        return (text,)

    def _clause(self, text: str, before: Clause | None) -> Clause:
        statements = tuple(self._statements(text))
        return Clause(
            text=text,
            past=self._is_past(text, before),
            conditional=self._is_conditional(text, before),
            asks=bool(statements) or self._has("requests", text),
            statements=statements,
            added=self._added(text),
            modalities=frozenset(name for name, pattern in self._modalities.items() if pattern.search(text)),
        )

    def _is_conditional(self, text: str, before: Clause | None) -> bool:
        if self._has("conditions", text) or (before is not None and before.conditional):
            return True
        return before is not None and before.past and self._has("advice", text)

    def _is_past(self, text: str, before: Clause | None) -> bool:
        if self._has("history", text):
            return True
        exam = rf"(?:{_either([*self.words['exams'], *self.words['enhanced'], *self.words['plain']])})"
        if re.search(rf"{exam}[^请需]{{0,6}}?{_either(self.words['results'])}", text):
            return True
        follows = before is not None and before.past and self._has("results", text)
        return follows and not self._has("requests", text)

    def _has(self, list_name: str, text: str) -> bool:
        return re.search(_either(self.words[list_name]), text) is not None

    def _statements(self, text: str) -> Iterator[Statement]:
        """Each plain or enhanced word with the parts before it; parts behind the last word belong to that."""
        parts: set[str] = set()
        found: list[Statement] = []
        for token in self._tokens.finditer(text):
            kind = str(token.lastgroup)
            if kind.startswith("part_"):
                parts.update(self._whole(kind.removeprefix("part_")))
            elif kind != "idiom":
                inside = self.parts_in(token.group()) if kind == "refused" else frozenset()
                says = PLAIN if kind in ("refused", "plain") else ENHANCED
                _say(found, Statement(says, frozenset(parts) | inside, kind == "refused"))
                parts = set()
        if found and parts:
            last = found.pop()
            found.append(Statement(last.says, last.parts | parts, last.refused))
        yield from found

    def parts_in(self, text: str) -> frozenset[str]:
        """The groups of body parts that a text names."""
        named = (group for group, pattern in self._parts.items() if re.search(pattern, text))
        return frozenset(part for group in named for part in self._whole(group))

    def _whole(self, group: str) -> Iterable[str]:
        return tuple(self.words["wholes"].get(group, (group,)))

    def _added(self, text: str) -> frozenset[str]:
        """Parts with an exam's name directly behind them, or that are to be added."""
        exams, additions = _either(self.words["exams"]), _either(self.words["additions"])
        wanted = {
            part
            for group, pattern in self._parts.items()
            if re.search(rf"{pattern}\s*{exams}|{additions}\s*{pattern}", text)
            for part in self._whole(group)
        } | self._listed(text)
        refused = {part for one in self._statements(text) if one.refused for part in one.parts}
        return frozenset(wanted - refused)

    def _listed(self, text: str) -> frozenset[str]:
        """The parts of a list that stands by itself or before an exam: 胸+全腹, 颈椎、腰椎都做."""
        part = _either([*self._parts.values(), *self.words["short_parts"].values()])
        exams = _either(self.words["exams"])
        found = re.search(rf"(?:^|(?<=\s)){part}(?:\s*[+/、和及与]?\s*{part})+\s*(?:{exams}|$)", text)
        if found is None:
            return frozenset()
        short = {group for group, pattern in self.words["short_parts"].items() if re.search(pattern, found.group())}
        return self.parts_in(found.group()) | {each for group in short for each in self._whole(group)}


def _say(found: list[Statement], new: Statement) -> None:
    """A word without parts of its own speaks of those of the word before it; of both, enhanced counts."""
    if found and not new.parts and not new.refused and not found[-1].refused:
        last = found.pop()
        says = ENHANCED if ENHANCED in (last.says, new.says) else PLAIN
        new = Statement(says, last.parts)
    found.append(new)


def _either(patterns: Iterable[str]) -> str:
    return f"(?:{'|'.join(patterns)})"
