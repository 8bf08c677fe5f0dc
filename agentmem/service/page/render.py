"""Renders templates: everything is escaped, and what is not known is an error."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

from fastapi import Response
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

from agentmem._version import __version__
from agentmem.context.hits import Chunk
from agentmem.errors import CorruptRecordError
from agentmem.service.page.scope import scope_fields

MOST_WORDS = 300
_TITLES = {404: "Not found", 403: "Not allowed", 503: "Not now"}


def render(template: str, *, status: int = 200, **values: Any) -> Response:
    """A page; called by the thread that read what it shows."""
    return HTMLResponse(_environment.get_template(template).render(values), status)


def render_error(problem: Response) -> Response:
    """A page that says what a `agentmem.wire.problems.Problem` says."""
    error = json.loads(bytes(problem.body))["error"]
    title = _TITLES.get(problem.status_code, f"Error {problem.status_code}")
    # What is wrong may be somebody's text with half a character in it, which no page can hold.
    message = error["message"].encode("utf-8", "replace").decode("utf-8")
    status = problem.status_code
    return render("error.html", status=status, caller=None, title=title, message=message)


def link(path: str, given: Mapping[str, Any], **more: Any) -> str:
    """A path with the parameters that are given; those of ``more`` take precedence."""
    merged = {**given, **more}
    words = urlencode(
        {name: value for name, value in merged.items() if value not in (None, "")},
        quote_via=quote,
    )
    return f"{path}?{words}" if words else path


def exact(chunk: Chunk) -> str | None:
    """The text of a memory; None if it is damaged."""
    try:
        return chunk.text
    except CorruptRecordError:
        return None


def _words(chunk: Chunk) -> str | None:
    """The beginning of a memory's text in one line."""
    text = exact(chunk)
    if text is None:
        return None
    line = " ".join(text[: 2 * MOST_WORDS].split())
    cut = len(line) > MOST_WORDS or len(text) > 2 * MOST_WORDS
    return f"{line[:MOST_WORDS].rstrip()}…" if cut else line


def _moment(time: datetime | None) -> str:
    if time is None:
        return "unknown"
    try:
        return f"{time.astimezone(UTC):%Y-%m-%d %H:%M}"
    except OverflowError:
        return f"{time:%Y-%m-%d %H:%M}"


def _ids(scope: Any) -> str:
    """A scope or the use of one in words."""
    names = (("user", scope.user_id), ("agent", scope.agent_id), ("session", scope.session_id))
    return ", ".join(f"{name} {id}" for name, id in names if id is not None) or "no ids"


def _pretty(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)


def _number(value: float) -> str:
    return f"{value:.3f}"


def _joined(values: Iterable[object]) -> str:
    return ", ".join(map(str, values))


_environment = Environment(
    loader=PackageLoader("agentmem.service.page"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.filters |= {
    "words": _words,
    "exact": exact,
    "moment": _moment,
    "ids": _ids,
    "scope_fields": scope_fields,
    "pretty": _pretty,
    "number": _number,
    "joined": _joined,
}
_environment.globals |= {"link": link, "version": __version__}
