"""Swagger UI: served whole from the package, so that a hospital without a way to the internet reads the document."""

from __future__ import annotations

import re

from tests.api.conftest import Site


def test_the_page_loads_nothing_from_elsewhere(rest: Site) -> None:
    page = rest.get("/docs", caller="")
    assert (page.status_code, page.mimetype) == (200, "text/html")
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert any(name.endswith(".js") for name in loaded)
    assert any(name.endswith(".css") for name in loaded)
    for name in loaded:
        assert re.match(r"/\w", name), name
        with rest.app.test_client().get(name) as asset:
            assert asset.status_code == 200, name
    assert "://" not in page.text
    assert "/api/v1/openapi.json" in page.text


def test_the_page_gives_out_no_other_file(rest: Site) -> None:
    for name in ("../../setup.py", "%2e%2e/__init__.py", "none.js"):
        assert rest.get(f"/docs/{name}", caller="").status_code in (401, 404), name
