"""What patients are told and when, and whom somebody must call."""
