"""The national interface of hospital platforms (WS/T 846): `HIPMessageServer(action, message)` with HL7 V3 documents."""
