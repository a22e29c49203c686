"""Staff pages: log-in, the matrix of plugins, the day board. Server-rendered, Chinese first, English second."""

from flask import Flask

from examlane.hospital import Hospital
from examlane_api.pages import site
from examlane_api.pages.board import board
from examlane_api.pages.matrix import matrix, set_mode, set_stage

VIEWS = (
    ("/board", board, ["GET"]),
    ("/board/<department>", board, ["GET"]),
    ("/matrix", matrix, ["GET"]),
    ("/matrix/<department>/plugins/<plugin>", set_stage, ["POST"]),
    ("/matrix/<department>/mode", set_mode, ["POST"]),
)


def register(app: Flask, hospital: Hospital) -> None:
    """Mount all pages on an app."""
    site.register(app, hospital, VIEWS)
