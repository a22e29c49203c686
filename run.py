#!/usr/bin/env python3
"""One command: makes the environment, then plays the demonstration and serves it, or runs the tests.

python3 run.py [--port N] [--check] [--json]      the demonstration hospital
python3 run.py test [arguments for pytest]        all tests
Needs nothing but Python 3.11 or newer.
"""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
HOME = Path(os.environ.get("EXAMLANE_VENV", ROOT / ".venv"))
PYTHON = HOME / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def say(text):
    print(text, file=sys.stderr, flush=True)


def ready(name, packages):
    """Make the environment, and install what is missing; does nothing when the last run did it already."""
    wanted = hashlib.sha256((ROOT / "setup.cfg").read_bytes() + name.encode()).hexdigest()
    mark = HOME / f"installed-{name}"
    if PYTHON.exists() and mark.exists() and mark.read_text() == wanted:
        return
    if not PYTHON.exists():
        say("Making the environment (once, about half a minute) …")
        import venv

        try:
            venv.create(HOME, with_pip=True)
        except (subprocess.CalledProcessError, OSError) as error:
            sys.exit(
                f"The environment cannot be made in {HOME} ({error}).\n"
                "On Debian or Ubuntu: apt install python3-venv. Another place: EXAMLANE_VENV=/some/folder"
            )
    say("Installing what examlane needs …")
    wheels = ROOT / "wheelhouse"
    offline = ["--no-index", "--find-links", str(wheels)] if wheels.is_dir() else []
    command = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *offline, *packages]
    if subprocess.run(command, cwd=ROOT).returncode:
        sys.exit("Installing failed: see pip's words above. Without a network, put the wheels into wheelhouse/.")
    mark.write_text(wanted)


def main():
    if sys.version_info < (3, 11):  # noqa: UP036 - whoever runs this may have an older one
        sys.exit(f"examlane needs Python 3.11 or newer; this is {sys.version.split()[0]}.")
    arguments = sys.argv[1:]
    if arguments[:1] == ["test"]:
        ready("test", ["tox>=4.20"])
        passed = ["--", *arguments[1:]] if arguments[1:] else []
        sys.exit(subprocess.run([str(PYTHON), "-m", "tox", *passed], cwd=ROOT).returncode)
    ready("demo", ["-e", str(ROOT)])
    sys.exit(subprocess.run([str(PYTHON), "-m", "examlane_api.cli", "demo", *arguments], cwd=ROOT).returncode)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
