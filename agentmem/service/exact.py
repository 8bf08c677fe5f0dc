"""Routes that refuse a request which says something twice, or where nobody reads it.

Of two values one would count, and of a ``user_id`` in the query of a route that reads its body,
none: the scope, or what is forgotten, would be wider than the caller wrote.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Coroutine
from typing import Any, get_origin

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from agentmem.errors import InputError
from agentmem.ingest.unique_keys import keys_once
from agentmem.wire.requests import ReadScope

# Parameters of a query that may be given several times.
_LISTS = {
    name for name, field in ReadScope.model_fields.items() if get_origin(field.annotation) is list
}


class ExactRoute(APIRoute):
    """A route whose requests say everything once, and where it is read."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """See FastAPI."""
        handle = super().get_route_handler()
        # What a GET has too much, its model refuses.
        read = {field.alias for field in self.dependant.query_params}
        known = None if "GET" in (self.methods or ()) else read

        async def exact(request: Request) -> Response:
            _check_query([name for name, _ in request.query_params.multi_items()], known)
            return await handle(_ExactRequest(request.scope, request.receive))

        return exact


class _ExactRequest(Request):
    async def json(self) -> Any:
        """The body, whose objects have each key once."""
        try:
            return json.loads(await self.body(), object_pairs_hook=keys_once)
        except InputError as error:
            raise HTTPException(422, f"body: {error}") from None
        except UnicodeDecodeError as error:
            raise HTTPException(
                422, f"body: not UTF-8 at byte {error.start:,}: send JSON in UTF-8"
            ) from None
        except RecursionError:
            raise HTTPException(422, "body: nested too deeply: send a flatter object") from None


def _check_query(names: list[str], known: Collection[str] | None) -> None:
    for name in names:
        if known is not None and name not in known:
            raise HTTPException(
                422, f"query.{name:.200}: this route does not read it there; give it in the body"
            )
        if names.count(name) > 1 and name not in _LISTS:
            raise HTTPException(422, f"query.{name:.200}: given several times; keep one of them")
