"""The one error that the engine answers with: the venue's code and text."""

from __future__ import annotations


class ApiError(Exception):
    """A refusal in the venue's own words: `code` (negative), `message` and the HTTP status it travels with."""

    def __init__(self, code: int, message: str, http_status: int = 400) -> None:
        super().__init__(f"{code} {message}")
        self.code = code
        self.message = message
        self.http_status = http_status


def missing_parameter(name: str) -> ApiError:
    return ApiError(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")


def unwanted_parameter(name: str) -> ApiError:
    return ApiError(-1106, f"Parameter '{name}' sent when not required.")
