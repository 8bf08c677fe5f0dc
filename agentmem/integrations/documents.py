"""What a hit becomes in frameworks that have documents, but no memories."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from agentmem.context.hits import Hit

# The key of what the memory knows of a document, beside the caller's own metadata.
ABOUT: Final = "agentmem"


def document_metadata(hit: Hit) -> dict[str, Any]:
    """The caller's own metadata, and under `ABOUT` all else that is known, as JSON values."""
    about = hit.to_dict() | {"score": hit.score, "relevance": hit.relevance}
    del about["text"], about["metadata"]
    return {**hit.metadata, ABOUT: about}
