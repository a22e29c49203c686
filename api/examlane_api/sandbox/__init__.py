"""A hospital to try every flow against: examlane, and beside it the systems that speak with it, each with faults."""
