"""How the page looks, and the little that it does by itself."""

from __future__ import annotations

from importlib.resources import files

from fastapi import APIRouter, Response

router = APIRouter(include_in_schema=False)

_HEADERS = {"Cache-Control": "max-age=300"}


def _text(name: str) -> str:
    return (files("agentmem.service.page") / "static" / name).read_text(encoding="utf-8")


@router.get("/static/style.css")
async def style() -> Response:
    """The style sheet."""
    return Response(_text("style.css"), headers=_HEADERS, media_type="text/css")


@router.get("/static/icon.svg")
async def icon() -> Response:
    """The icon."""
    return Response(_text("icon.svg"), headers=_HEADERS, media_type="image/svg+xml")


@router.get("/static/page.js")
async def script() -> Response:
    """Keys, and ticking all."""
    return Response(_text("page.js"), headers=_HEADERS, media_type="text/javascript")
