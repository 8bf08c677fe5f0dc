"""Errors as HTTP status and code, and back: what the service raises, `RemoteMemory` raises too."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from agentmem import errors
from agentmem.errors import AgentMemError, CorruptRecordError, ServiceError, UnknownIdError

# The status and the code of each error. Codes are a promise; the first match counts.
CODES: tuple[tuple[type[AgentMemError], int, str], ...] = (
    (errors.FilterError, 400, "filter"),
    (errors.BlankError, 400, "blank"),
    (errors.InputError, 400, "input"),
    (errors.ArchiveError, 400, "archive"),
    (errors.ConfigError, 400, "config"),
    (errors.UnknownIdError, 404, "unknown_id"),
    (errors.ChangedError, 409, "changed"),
    (errors.StoreBusyError, 503, "store_busy"),
    (errors.StoreUnwritableError, 507, "store_unwritable"),
    (errors.StoreNotFoundError, 503, "store_not_found"),
    (errors.NotAStoreError, 503, "not_a_store"),
    (errors.StoreMovedError, 503, "store_moved"),
    (errors.StoreIncompleteError, 503, "store_incomplete"),
    (errors.KeyRequiredError, 503, "key_required"),
    (errors.WrongKeyError, 503, "wrong_key"),
    (errors.KeyRingError, 503, "key_ring"),
    (errors.StoreKeyError, 503, "store_key"),
    (errors.SchemaVersionError, 503, "schema_version"),
    (errors.CorruptRecordError, 500, "corrupt_record"),
    (errors.StoreError, 503, "store"),
    (errors.IncompatibleModelError, 503, "incompatible_model"),
    (errors.ModelNotFoundError, 503, "model_not_found"),
    (errors.ModelError, 501, "model"),
    (errors.MissingExtraError, 501, "missing_extra"),
    (AgentMemError, 500, "agentmem"),
)
# A request that does not have the form of the API.
INVALID = "invalid_request"
# An argument of a type that JSON has and the memory does not take there.
TYPE = (400, "type")


class ErrorDetail(BaseModel):
    """What went wrong."""

    code: str = Field(description="stable: the kind of error")
    message: str = Field(description="names the value and the way out")
    id: int | None = Field(None, description="of the damaged memory")
    became: list[int] | None = Field(None, description="ids that replaced an unknown one")


class Problem(BaseModel):
    """The body of every answer that is an error."""

    error: ErrorDetail


def describe(error: Exception) -> tuple[int, dict[str, Any]]:
    """The HTTP status of an error of the SDK, and the values of its `ErrorDetail`."""
    message = str(error)
    if isinstance(error, ServiceError):
        return error.status or 500, {"code": error.code or "service", "message": message}
    if not isinstance(error, AgentMemError):
        return TYPE[0], {"code": TYPE[1], "message": message}
    status, code = next((status, code) for kind, status, code in CODES if isinstance(error, kind))
    found: dict[str, Any] = {"code": code, "message": message}
    if isinstance(error, CorruptRecordError):
        found["id"] = error.id
    if isinstance(error, UnknownIdError) and error.became:
        found["became"] = list(error.became)
    return status, found


def restore(status: int, problem: Problem | None) -> Exception:
    """The error that an answer describes, of the same class as in the service.

    Args:
        status: The HTTP status.
        problem: The body; None if it is something else.
    """
    if problem is None:
        return ServiceError(f"the service answered {status} without saying why", status=status)
    detail = problem.error
    if detail.code == TYPE[1]:
        return TypeError(detail.message)
    kinds = {code: kind for kind, _, code in CODES} | {INVALID: errors.InputError}
    kind = kinds.get(detail.code)
    if kind is None or kind in (AgentMemError, errors.MissingExtraError):
        return ServiceError(detail.message, status=status, code=detail.code)
    if kind is CorruptRecordError:
        return CorruptRecordError(detail.message, id=detail.id)
    if kind is UnknownIdError:
        return UnknownIdError(detail.message, became=tuple(detail.became or ()))
    return kind(detail.message)
