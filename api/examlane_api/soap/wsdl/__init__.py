"""The booking contract as files: `booking.wsdl`, and the schemas of its messages by subject."""

from pathlib import Path

BOOKING = Path(__file__).with_name("booking.wsdl")
