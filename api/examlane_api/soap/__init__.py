"""The SOAP side: `register` mounts the booking contract; `SoapService` serves any contract with plain functions."""

from examlane_api.soap.credentials import Credentials
from examlane_api.soap.engine import Handler, SoapService
from examlane_api.soap.envelope import Limits
from examlane_api.soap.faults import FaultKind, SoapRefusal, SoapVersion
from examlane_api.soap.service import register
from examlane_api.soap.typed.contract import Contract

__all__ = [
    "Contract",
    "Credentials",
    "FaultKind",
    "Handler",
    "Limits",
    "SoapRefusal",
    "SoapService",
    "SoapVersion",
    "register",
]
