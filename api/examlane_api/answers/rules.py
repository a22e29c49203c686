"""Clinical rules, choices between sources and dry runs as plain data."""

from __future__ import annotations

from typing import Any

from examlane.extension.rules import Chosen, KeptVersion
from examlane.insight.trials import Decision, Trial
from examlane.storage.fields import instant, maybe_instant
from examlane_api.answers.plain import PlainAnswers, words


class RuleAnswers(PlainAnswers):
    """What the hospital has decided."""

    def rule_version(self, found: KeptVersion) -> dict[str, Any]:
        version, content = found.version, found.version.content
        return {
            "plugin": found.plugin, "rule": version.rule, "version": version.version, "state": found.state,
            "valid_from": version.valid_from.isoformat(),
            "valid_to": version.valid_to.isoformat() if version.valid_to else None,
            "profile": dict(version.profile), "source": content["source"], "action": content.get("action", ""),
            "text": {"zh": content.get("zh", ""), "en": content.get("en", "")},
            "approvers": list(content["approvers"]), "missing": list(found.missing),
            "approvals": [
                {"role": one.role, "by": one.by, "at": self.time(instant(one.at))} for one in found.approvals
            ],
            "created_by": found.created_by, "created_at": self.time(instant(found.created_at)),
            "reason": found.reason, "content": dict(content),
        }  # fmt: skip

    def choice(self, found: Chosen) -> dict[str, Any]:
        return {
            "plugin": found.plugin, "choice": found.name, "text": words(found.choice.text),
            "profiles": {name: words(text) for name, text in found.choice.profiles.items()},
            "default": found.choice.default, "profile": found.profile, "chosen_by": found.by,
            "chosen_at": self.time(maybe_instant(found.at)),
        }  # fmt: skip

    def trial(self, found: Trial) -> dict[str, Any]:
        return {
            "since": self.time(found.since), "until": self.time(found.until), "orders": found.orders,
            "replayed": found.replayed, "items": found.items, "different": found.different,
            "differences": [
                {
                    "order": one.order, "item": one.item, "name": words(one.name),
                    "ordered_at": self.time(one.ordered_at), "before": _decision(one.before),
                    "after": _decision(one.after),
                }
                for one in found.shown
            ],
            "left_out": [{"reason": words(reason), "items": count} for reason, count in found.left_out.items()],
        }  # fmt: skip


def _decision(found: Decision) -> dict[str, Any]:
    said = [{"kind": one.kind, "code": one.code, "text": words(one.text)} for one in found.said]
    return {"state": found.state, "said": said}
