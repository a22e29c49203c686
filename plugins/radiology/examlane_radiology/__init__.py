"""对比剂规则 · Contrast rules.

Agent, dose and rate at ordering; kidneys, metformin, reactions, pregnancy, thyroid; distances between contrast exams.
"""
