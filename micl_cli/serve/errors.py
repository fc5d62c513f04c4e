"""Errors of requests, in the form of OpenAI's API."""

from __future__ import annotations

from typing import Any

from micl_cli.errors import MiclError, PlanError, UsageError
from micl_cli.redaction import redact

_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


class ApiError(Exception):
    """A request that is refused or fails, with the HTTP status. ``param`` names the part of the request at fault."""

    def __init__(self, status: int, message: str, *, code: str | None = None, param: str | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.param = status, redact(message), code, param

    def as_json(self) -> dict[str, Any]:
        """Return the body of the response."""
        kind = _TYPES.get(self.status, "server_error" if self.status >= 500 else "invalid_request_error")
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}


def api_error(error: Exception) -> ApiError:
    """Return the response to an exception: 400 for what the user can change, 500 for everything else."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, UsageError | PlanError):
        return ApiError(400, f"{error.message}. {error.hint}".strip(), code="invalid_value")
    if isinstance(error, MiclError):
        return ApiError(500, error.message)
    return ApiError(500, "the answer failed for a reason that was not foreseen; the server's log has it")
