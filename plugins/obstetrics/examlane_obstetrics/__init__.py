"""产科同日集中预约 · Obstetrics, one day for all exams.

All exams of a visit on one day with the shortest stay, gestational windows, and the glucose test with three draws.
"""
