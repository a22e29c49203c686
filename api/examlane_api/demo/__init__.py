"""The demonstration: a hospital is built, a morning is played through real HTTP and SOAP, told, and checked."""

from examlane_api.demo.main import DemoOptions, run

__all__ = ["DemoOptions", "run"]
