"""The catalogue over REST: items with their services, groups and resources."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, fields

from examlane.reading import masterdata
from examlane_api.rest.api import answers, blueprint, hospital, operation
from examlane_api.rest.fields import CleanText, Code, Flag
from examlane_api.rest.paging import CodePage, Paged, paged
from examlane_api.rest.schemas import Words

blp = blueprint("catalogue", "Items, services, groups and resources")
READ = "catalogue.read"


class ItemQuery(CodePage):
    """`name`: a part of the name in either language, or of the code."""

    department = Code(32, load_default=None)
    modality = Code(16, load_default=None)
    name = CleanText(64, load_default=None)
    active = Flag(load_default=None)


class GroupQuery(CodePage):
    department = Code(32, load_default=None)
    campus = Code(32, load_default=None)


class ResourceQuery(CodePage):
    department = Code(32, load_default=None)
    group = Code(64, load_default=None)
    active = Flag(load_default=None)


class ServiceAnswer(Schema):
    """`extra_minutes`: by need of the patient. Empty `sex` and `encounter_classes`: for everybody."""

    group = fields.String()
    campus = fields.String()
    minutes = fields.Integer()
    mode = fields.String()
    extra_minutes = fields.Dict(fields.String(), fields.Integer())
    min_age = fields.Integer(allow_none=True)
    max_age = fields.Integer(allow_none=True)
    sex = fields.String()
    max_weight_kg = fields.Integer(allow_none=True)
    encounter_classes = fields.List(fields.String())
    valid_from = fields.String(allow_none=True)
    valid_to = fields.String(allow_none=True)


class CatalogueItem(Schema):
    code = fields.String()
    name = fields.Nested(Words)
    modality = fields.String()
    body_part = fields.String()
    department = fields.String()
    attributes = fields.Dict()
    active = fields.Boolean()
    services = fields.List(fields.Nested(ServiceAnswer))


class CatalogueAnswer(Paged):
    items = fields.List(fields.Nested(CatalogueItem))


class GroupAnswer(Schema):
    code = fields.String()
    name = fields.Nested(Words)
    department = fields.String()
    campus = fields.String()
    zone = fields.String()
    role = fields.String()
    slice_minutes = fields.Integer()


class GroupsAnswer(Paged):
    groups = fields.List(fields.Nested(GroupAnswer))


class ResourceAnswer(Schema):
    code = fields.String()
    name = fields.Nested(Words)
    group = fields.String()
    department = fields.String()
    campus = fields.String()
    role = fields.String()
    active = fields.Boolean()


class ResourcesAnswer(Paged):
    resources = fields.List(fields.Nested(ResourceAnswer))


@blp.route("/items", methods=["GET"])
@blp.arguments(ItemQuery(), location="query")
@blp.response(200, CatalogueAnswer())
@operation(READ)
def list_items(query: dict[str, Any]) -> Mapping[str, Any]:
    """Items of the catalogue by code, with where and how long they are done."""
    return _list("items", query, masterdata.items)


@blp.route("/items/<string:code>", methods=["GET"])
@blp.response(200, CatalogueItem())
@operation(READ)
def read_item(code: str) -> Mapping[str, Any]:
    """One item with its services."""
    return answers().row(masterdata.item(hospital().database, code))


@blp.route("/groups", methods=["GET"])
@blp.arguments(GroupQuery(), location="query")
@blp.response(200, GroupsAnswer())
@operation(READ)
def list_groups(query: dict[str, Any]) -> Mapping[str, Any]:
    """Groups of equal resources by code."""
    return _list("groups", query, masterdata.groups)


@blp.route("/groups/<string:code>", methods=["GET"])
@blp.response(200, GroupAnswer())
@operation(READ)
def read_group(code: str) -> Mapping[str, Any]:
    """One group."""
    return answers().row(masterdata.group(hospital().database, code))


@blp.route("/resources", methods=["GET"])
@blp.arguments(ResourceQuery(), location="query")
@blp.response(200, ResourcesAnswer())
@operation(READ)
def list_resources(query: dict[str, Any]) -> Mapping[str, Any]:
    """Devices, rooms and staff by code."""
    return _list("resources", query, masterdata.resources)


@blp.route("/resources/<string:code>", methods=["GET"])
@blp.response(200, ResourceAnswer())
@operation(READ)
def read_resource(code: str) -> Mapping[str, Any]:
    """One resource."""
    return answers().row(masterdata.resource(hospital().database, code))


def _list(name: str, query: dict[str, Any], read: Any) -> Mapping[str, Any]:
    filters = {key: value for key, value in query.items() if key not in ("cursor", "limit")}
    return paged(name, query, lambda **page: read(hospital().database, **filters, **page), answers().row, by="code")
