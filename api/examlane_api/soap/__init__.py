"""The SOAP side: `register` mounts the booking contract; `SoapService` serves any contract with plain functions."""

from examlane_api.soap.contract import Contract
from examlane_api.soap.credentials import Credentials
from examlane_api.soap.engine import Handler, SoapService
from examlane_api.soap.envelope import Limits
from examlane_api.soap.faults import FaultKind, SoapRefusal, SoapVersion
from examlane_api.soap.service import register

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
