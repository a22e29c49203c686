"""心电图规则 · ECG rules.

Short exams on many devices: who misses one re-registers at the kiosk the same day, without a window.
"""
