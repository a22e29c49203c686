"""Planning: what the rules say of a patient's items, which visits they make, and when those can be. Nothing is written."""
