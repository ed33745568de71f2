"""Calls of the API, with its errors as exceptions, and patience where a call can be repeated without harm."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx

from cryocloud import __version__

API = "/api/v1"
TRIES = 5
FIRST_PAUSE_S = 0.5
PAUSE_MAX_S = 15.0
BUSY = frozenset({429, 502, 503, 504})
UNANSWERED = frozenset({502, 503, 504})


class Refusal(Exception):
    """The server understood and said no; ``fields`` names the values that are to blame."""

    def __init__(self, status: int, message: str, fields: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.fields = fields or {}

    def __str__(self) -> str:
        blamed = "; ".join(f"{name}: {text}" for name, text in self.fields.items())
        return f"{self.args[0]} ({blamed})" if blamed else str(self.args[0])


class Unreachable(Exception):
    """No answer, even after some tries."""


class Connection:
    """One server, one token; usable from several threads."""

    def __init__(self, address: str, token: str) -> None:
        self.address = address.rstrip("/")
        self.http = httpx.Client(
            base_url=self.address,
            headers={"Authorization": f"Bearer {token}", "User-Agent": f"cryocloud/{__version__}"},
            timeout=httpx.Timeout(60.0, connect=10.0),
        )

    def close(self) -> None:
        self.http.close()

    def get(self, path: str, **query: Any) -> Any:
        """Repeated if the network or the server fails."""
        return self._patient("GET", API + path, params=query).json()

    def send(self, method: str, path: str, body: Any = None) -> Any:
        """A change: asked for once, but for an order, which the server recognizes when it comes again."""
        if method == "POST":
            response = self._patient(
                "POST", API + path, json=body, headers={"Idempotency-Key": uuid4().hex}, busy=UNANSWERED
            )
        else:
            try:
                response = self.http.request(method, API + path, json=body)
            except httpx.TransportError as error:
                raise Unreachable(f"{self.address} does not answer: {error}") from error
            raise_refusal(response)
        return response.json() if response.content else None

    def items(self, path: str, **query: Any) -> Iterator[Any]:
        """All items of a list, page after page."""
        after = ""
        while True:
            page = self.get(path, **query, after=after, limit=200)
            yield from page["items"]
            after = page["next"]
            if not after:
                return

    def head(self, path: str, headers: dict[str, str]) -> httpx.Response:
        return self._patient("HEAD", path, headers=headers)

    def _patient(
        self, method: str, path: str, *, busy: frozenset[int] = BUSY, **named: Any
    ) -> httpx.Response:
        for pause_s in pauses():
            try:
                response = self.http.request(method, path, **named)
            except httpx.TransportError as error:
                problem: Exception = error
            else:
                if response.status_code not in busy:
                    raise_refusal(response)
                    return response
                problem = refusal_of(response)
            time.sleep(pause_s)
        if isinstance(problem, Refusal):
            raise problem
        raise Unreachable(f"{self.address} does not answer: {problem}") from problem


def pauses() -> Iterator[float]:
    """How long to wait after each try that failed."""
    for number in range(TRIES):
        yield min(FIRST_PAUSE_S * 2**number, PAUSE_MAX_S)


def raise_refusal(response: httpx.Response) -> None:
    if response.status_code >= 300:
        raise refusal_of(response)


def refusal_of(response: httpx.Response) -> Refusal:
    """From our own error shape, or from whatever stands between the server and us."""
    status = response.status_code
    if 300 <= status < 400:
        return Refusal(status, f"{response.url} leads elsewhere; is that the address of a CryoCloud server?")
    try:
        told = response.json()
        return Refusal(status, str(told["error"]), dict(told.get("fields", {})))
    except (ValueError, KeyError, TypeError):
        return Refusal(status, f"{response.url}: answer {status} {response.reason_phrase}".rstrip())
