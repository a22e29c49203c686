"""For tests of plugins and of the core: a small hospital, a plugin's rules and sample, and the conformance checks."""

from examlane.testing.hospital import DATA as DATA
from examlane.testing.hospital import MORNING as MORNING
from examlane.testing.hospital import TESTER as TESTER
from examlane.testing.hospital import World as World
from examlane.testing.hospital import publish as publish
from examlane.testing.hospital import require as require
from examlane.testing.hospital import small_hospital as small_hospital
from examlane.testing.shipped import rule_book as rule_book
from examlane.testing.shipped import sample as sample
