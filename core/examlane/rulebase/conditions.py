"""The condition language of rules: plain tables over named facts, true, false or unknown. Nothing is ever evaluated as code.

    when = { contrast = "iodine", egfr = { below = "$below" }, any = [{ metformin = true }, { age = { above = 60 } }] }

All tests of a table must hold. A test is a value (equal), a list (one of), or a table of comparisons: `below`, `at_most`,
`above`, `at_least`, `not` (a value or a list), `known` (true or false). `any` holds when one of its tables does, `none`
when none of them does. `"$name"` stands for the rule's parameter of that name. A fact that is missing, None or of the
wrong kind is unknown, and what is compared with it is unknown too, unless the rest already decides.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

Facts = Mapping[str, Any]
When = Mapping[str, Any]

GROUPS = ("any", "none")
ORDERED: Mapping[str, Callable[[Any, Any], bool]] = {
    "below": operator.lt,
    "at_most": operator.le,
    "above": operator.gt,
    "at_least": operator.ge,
}
COMPARISONS = (*ORDERED, "not", "known")


def holds(when: When, facts: Facts) -> bool | None:
    """Whether a condition holds of some facts; None while an unknown fact decides."""
    return _all(_test(name, test, facts) for name, test in when.items())


def check(when: When) -> None:
    """Raise `ValueError` for a comparison that the language does not have."""
    for name, test in when.items():
        if name in GROUPS:
            if not isinstance(test, list | tuple) or not all(isinstance(inner, Mapping) for inner in test):
                raise ValueError(f"{name} wants a list of tables")
            for inner in test:
                check(inner)
        elif isinstance(test, Mapping) and (unknown := set(test) - set(COMPARISONS)):
            raise ValueError(f"{name} has no comparison {', '.join(sorted(unknown))}")


def filled(when: Any, parameters: Mapping[str, Any]) -> Any:
    """The condition with every `"$name"` replaced by the parameter. Raises `ValueError` for a name there is not."""
    if isinstance(when, Mapping):
        return {name: filled(test, parameters) for name, test in when.items()}
    if isinstance(when, list | tuple):
        return tuple(filled(inner, parameters) for inner in when)
    if isinstance(when, str) and when.startswith("$"):
        if when[1:] not in parameters:
            raise ValueError(f"no parameter {when[1:]}")
        return parameters[when[1:]]
    return when


def borders(when: When) -> Iterator[tuple[str, str, float]]:
    """Every numeric threshold of a filled condition: fact, comparison, number."""
    for name, test in when.items():
        if name in GROUPS:
            for inner in test:
                yield from borders(inner)
        elif isinstance(test, Mapping):
            yield from ((name, word, test[word]) for word in ORDERED if word in test)


def facts_of(when: When) -> Iterator[str]:
    """The names of the facts that a condition reads."""
    for name, test in when.items():
        if name in GROUPS:
            for inner in test:
                yield from facts_of(inner)
        else:
            yield name


def _test(name: str, test: Any, facts: Facts) -> bool | None:
    if name == "any":
        return _any(holds(inner, facts) for inner in test)
    if name == "none":
        return _not(_any(holds(inner, facts) for inner in test))
    value = facts.get(name)
    if isinstance(test, Mapping):
        return _all(_compare(word, wanted, value) for word, wanted in test.items())
    return _equals(value, test)


def _compare(word: str, wanted: Any, value: Any) -> bool | None:
    if word == "known":
        return (value is not None) is wanted
    if word == "not":
        return _not(_equals(value, wanted))
    if not _is_number(value):
        return None
    return ORDERED[word](value, wanted)


def _equals(value: Any, wanted: Any) -> bool | None:
    if value is None:
        return None
    choices = wanted if isinstance(wanted, list | tuple) else (wanted,)
    if not isinstance(value, bool) and all(isinstance(choice, bool) for choice in choices):
        # "yes" or 1 is no answer to a question of yes or no.
        return None
    return any(value == choice and isinstance(value, bool) == isinstance(choice, bool) for choice in choices)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _all(truths: Iterable[bool | None]) -> bool | None:
    found = set(truths)
    return False if False in found else None if None in found else True


def _any(truths: Iterable[bool | None]) -> bool | None:
    return _not(_all(_not(truth) for truth in truths))


def _not(truth: bool | None) -> bool | None:
    return None if truth is None else not truth
