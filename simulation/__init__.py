"""Synthetic streams with known truth, to measure the hospital's rules against the sources and not against themselves."""
