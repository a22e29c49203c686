"""A database's files: open while it is used, and no longer."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path

import pytest

from examlane.storage.database import Database


def open_files(folder: Path) -> set[str]:
    """The names of the files below a folder that this process has open."""
    links = (Path("/proc/self/fd") / name for name in os.listdir("/proc/self/fd"))
    targets = (os.readlink(link) for link in links if link.is_symlink())
    return {Path(target).name for target in targets if Path(target).is_relative_to(folder)}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="which files are open is read from Linux's /proc")
def test_a_database_that_is_closed_and_forgotten_leaves_no_file_open(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'hospital.db'}")
    database.create_tables()
    assert {"hospital.db", "hospital.db.lock"} <= open_files(tmp_path)

    database.close()
    del database
    gc.collect()

    assert open_files(tmp_path) == set()
