"""An HTTP service over one store: an API with tokens and limits, and a page to look at memories.

``agentmem serve`` runs it; `agentmem.service.app.create_app` makes it for a server of your own. It
needs the extra ``serve``.
"""

from __future__ import annotations

from agentmem.errors import MissingExtraError

try:
    import fastapi as _fastapi  # noqa: F401
    import jinja2 as _jinja2  # noqa: F401
    import prometheus_client as _prometheus_client  # noqa: F401
    import python_multipart as _python_multipart  # noqa: F401
    import uvicorn as _uvicorn  # noqa: F401
except ImportError as error:
    raise MissingExtraError(
        "the HTTP service needs FastAPI and more: pip install 'latent-agentmem[serve]'",
        extra="serve",
    ) from error
