"""A context provider that answers JSON; its contract is in docs/integration.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError, fields

from examlane.domain import Fact
from examlane.orders.context import Config, Past, Unanswered
from examlane.orders.patients import Identifier
from examlane_api.providers.answers import LARGEST, check_address, same_patient, secret, session
from examlane_api.rest.fields import Code, Instant, strict_json


class _Loose(Schema):
    """A newer provider may say more than we know of."""

    class Meta:
        unknown = EXCLUDE


class _Identifier(_Loose):
    kind = fields.String(required=True)
    value = fields.String(required=True)


class _Patient(_Loose):
    identifiers = fields.List(fields.Nested(_Identifier()), required=True)


class _Fact(_Loose):
    value = fields.Raw(required=True, allow_none=True)
    observed_at = Instant(load_default=None, allow_none=True)
    source = fields.String(load_default="")


class _Facts(_Loose):
    patient = fields.Nested(_Patient(), required=True)
    facts = fields.Dict(fields.String(), fields.Nested(_Fact()), required=True)


class _Examination(_Loose):
    item = Code(required=True)
    starts_at = Instant(required=True)
    ends_at = Instant(required=True)


class _Examinations(_Loose):
    patient = fields.Nested(_Patient(), required=True)
    examinations = fields.List(fields.Nested(_Examination()), required=True)


def connect(config: Config) -> RestProvider:
    """Raises `ValueError` for an address that cannot be asked."""
    check_address(config)
    return RestProvider(config)


class RestProvider:
    """Asks `POST {address}/facts` and `POST {address}/examinations`."""

    def __init__(self, config: Config) -> None:
        self._config = config

    def facts(self, identifiers: Sequence[Identifier], names: Sequence[str]) -> Mapping[str, Fact]:
        answer = self._ask("facts", identifiers, _Facts(), facts=list(names))
        return {
            name: Fact(fact["value"], fact["observed_at"], fact["source"] or self._config.code)
            for name, fact in answer["facts"].items()
            if fact["value"] is not None
        }

    def examinations(self, identifiers: Sequence[Identifier]) -> Sequence[Past]:
        return [Past(**each) for each in self._ask("examinations", identifiers, _Examinations())["examinations"]]

    def _ask(self, what: str, identifiers: Sequence[Identifier], schema: Schema, **more: Any) -> dict[str, Any]:
        asked = {"patient": {"identifiers": [{"kind": each.kind, "value": each.value} for each in identifiers]}, **more}
        try:
            answer: dict[str, Any] = schema.load(strict_json(self._sent(what, asked)))
        except (ValidationError, ValueError) as error:
            raise Unanswered("garbage") from error
        same_patient(identifiers, [(each["kind"], each["value"]) for each in answer["patient"]["identifiers"]])
        return answer

    def _sent(self, what: str, body: Mapping[str, Any]) -> bytes:
        key = secret(self._config)
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        address = f"{self._config.address.rstrip('/')}/{what}"
        with (
            session() as line,
            line.post(
                address, json=body, headers=headers, timeout=self._config.limit, allow_redirects=False, stream=True
            ) as answer,
        ):
            if answer.status_code != 200:
                raise Unanswered(f"status {answer.status_code}")
            content: bytes = answer.raw.read(LARGEST + 1, decode_content=True)
        if len(content) > LARGEST:
            raise Unanswered("garbage")
        return content
