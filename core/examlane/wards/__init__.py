"""Wards: admission, transfer, discharge and death, what follows for the exams, and the list of a ward."""
