"""Staff pages: log-in, the matrix of plugins, the day board, the rules. Server-rendered, Chinese first, English second."""

from flask import Flask

from examlane.hospital import Hospital
from examlane_api.pages import site
from examlane_api.pages.board import board
from examlane_api.pages.matrix import matrix, set_mode, set_stage
from examlane_api.pages.rules import choose_source, propose_rule, rule, rules, sign_rule, try_rule, try_source

VIEWS = (
    ("/board", board, ["GET"]),
    ("/board/<department>", board, ["GET"]),
    ("/matrix", matrix, ["GET"]),
    ("/matrix/<department>/plugins/<plugin>", set_stage, ["POST"]),
    ("/matrix/<department>/mode", set_mode, ["POST"]),
    ("/rules", rules, ["GET"]),
    ("/rules/<name>", rule, ["GET"]),
    ("/rules/<name>/trial", try_rule, ["POST"]),
    ("/rules/<name>/versions", propose_rule, ["POST"]),
    ("/rules/<name>/versions/<version>/approvals", sign_rule, ["POST"]),
    ("/rules/sources/<plugin>/<choice>/trial", try_source, ["POST"]),
    ("/rules/sources/<plugin>/<choice>", choose_source, ["POST"]),
)


def register(app: Flask, hospital: Hospital) -> None:
    """Mount all pages on an app."""
    site.register(app, hospital, VIEWS)
