"""`examlane import` and `examlane export`: lists from the department's old system, and the way back."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from examlane.errors import InvalidInput
from examlane.golive import exports, imports
from examlane.golive import lines as reading
from examlane.golive.imports import Options, Tally
from examlane.golive.lines import Line
from examlane.hospital import Hospital
from examlane.reasons import text
from examlane_api.commands import actor, hospital

ENCODINGS = ("utf-8-sig", "gb18030")
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
SHOWN = 50


@click.group("import")
def importing() -> None:
    """Take in lists (CSV or JSON): appointments of another system, and exams done elsewhere."""


@importing.command("appointments")
@click.argument("file", type=FILE)
@click.option("--system", required=True, help="The code of the system that the list is from.")
@click.option("--as-of", type=click.DateTime(), help="When the list was made (local time): what was told later wins.")
@click.option("--department", default="", help="The department, of a complete list.")
@click.option("--complete", is_flag=True, help="The list holds all future appointments of the department.")
@click.option("--extra-seats", is_flag=True, help="Add a seat where the time is full.")
@click.option("--dry-run", is_flag=True, help="Say what would happen, and write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def appointments(file: Path, system: str, as_of: datetime | None, as_json: bool, **options: Any) -> None:
    """Future appointments. Exit 0: all taken, 1: some lines were not."""
    here = hospital()
    when = as_of.replace(tzinfo=here.settings.zone) if as_of else here.clock.now()
    _run(here, "appointments", file, Options(system=system, as_of=when, **options), as_json)


@importing.command("history")
@click.argument("file", type=FILE)
@click.option("--system", required=True, help="The code of the system that the list is from.")
@click.option("--dry-run", is_flag=True, help="Say what would happen, and write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def history(file: Path, system: str, dry_run: bool, as_json: bool) -> None:
    """Exams that patients had, so that distances to them are kept. Exit 0: all taken, 1: some lines were not."""
    here = hospital()
    _run(here, "history", file, Options(system=system, as_of=here.clock.now(), dry_run=dry_run), as_json)


def _run(here: Hospital, kind: str, file: Path, options: Options, as_json: bool) -> None:
    lines = _lines(file)
    with click.progressbar(length=len(lines), label=f"{len(lines)} lines", file=sys.stderr) as bar:
        tally = imports.run(here, kind, lines, options, actor(), progress=bar.update)
    for line in [json.dumps(_data(tally), ensure_ascii=False)] if as_json else _told(tally, options.dry_run):
        click.echo(line)
    sys.exit(bool(tally.refused))


def _lines(file: Path) -> list[Line]:
    content = file.read_bytes()
    for encoding in ENCODINGS:
        try:
            decoded = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        try:
            return reading.from_json(decoded) if file.suffix.lower() == ".json" else reading.from_csv(decoded)
        except InvalidInput as error:
            raise click.ClickException(f"{file.name} cannot be read: {error}") from error
    raise click.ClickException(f"{file.name} is neither UTF-8 nor GB 18030: save it as UTF-8")


def _data(tally: Tally) -> Mapping[str, Any]:
    return {
        "id": tally.id, "read": tally.read, "taken": tally.taken, "already": tally.already, "changed": tally.changed,
        "refused": tally.refused,
    }  # fmt: skip


def _told(tally: Tally, dry_run: bool) -> Sequence[str]:
    taken = "would be taken" if dry_run else "taken"
    counts = (
        f"{tally.read} lines: {tally.taken} {taken}, {tally.already} already there, {tally.changed} changed, "
        f"{len(tally.refused)} not taken"
    )
    refused = [f"line {one['line']}  {one['number']}  {one['code']}  {text(one['code']).en}" for one in tally.refused]
    more = [f"… and {len(refused) - SHOWN} more: see --json"] if len(refused) > SHOWN else []
    kept = [f"kept as transfer {tally.id}"] if tally.id is not None else []
    return [counts, *refused[:SHOWN], *more, *kept]


@click.command("export")
@click.argument("department")
@click.option("--format", "form", type=click.Choice(["csv", "json"]), default="csv", show_default=True)
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="A file; else it is printed.")
def export(department: str, form: str, output: Path | None) -> None:
    """Every future appointment of a department, for its own system. It names patients: keep it safe."""
    rows = exports.future(hospital(), department)
    content = exports.as_csv(rows) if form == "csv" else json.dumps(rows, ensure_ascii=False, indent=2) + "\n"
    if output is None:
        click.echo(content, nl=False)
        return
    # A spreadsheet reads UTF-8 only behind its mark.
    output.write_text(content, encoding="utf-8-sig" if form == "csv" else "utf-8")
    click.echo(f"{len(rows)} appointments written to {output}")
