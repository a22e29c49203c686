"""肾功能规则 · Kidney rules, for tests: a small plugin whose every number is a rule."""
