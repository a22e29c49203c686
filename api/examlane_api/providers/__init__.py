"""Context providers over the network: one file a kind. Which are asked, and for what, the table of providers says."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from examlane.orders.context import Connect
from examlane_api.providers import rest, soap

KINDS: Mapping[str, Connect] = MappingProxyType({"rest": rest.connect, "soap": soap.connect})
