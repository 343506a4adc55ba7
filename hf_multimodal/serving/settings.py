# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""How a service is bounded, and who may use it."""

import os
from dataclasses import dataclass, field
from pathlib import Path

TOKENS_VARIABLE = "HF_MULTIMODAL_TOKENS"
SPARE_THREADS = 16  # for health, metrics, the page, and refusals


@dataclass(frozen=True)
class ServiceSettings:
    """Bounds of a service.

    Attributes:
        max_batch: Rows computed at once; 1 switches micro-batching off.
        max_wait_ms: Milliseconds that the first row of a batch waits for others.
        max_queue: Rows that wait; beyond it requests are refused with 503.
        max_rows: Rows of one request.
        max_body_bytes: Size of a request's body.
        deadline_seconds: Time of one request, beyond which it gets 504.
        max_new_tokens: Longest text a request may ask for.
        tokens: Bearer tokens, any of which opens the service; none means that it is open.
        cors_origins: Origins that browsers may call it from; `*` for all.
        drain_seconds: How long a service that is told to end finishes what has begun; None takes a little longer than
            the time of one request.
    """

    max_batch: int = 16
    max_wait_ms: float = 5.0
    max_queue: int = 64
    max_rows: int = 32
    max_body_bytes: int = 20_000_000
    deadline_seconds: float = 30.0
    max_new_tokens: int = 256
    tokens: tuple[str, ...] = field(default=(), repr=False)
    cors_origins: tuple[str, ...] = ()
    drain_seconds: float | None = None

    def __post_init__(self) -> None:
        """Refuses bounds that leave nothing.

        Raises:
            ValueError: naming the bound.
        """
        for name in ("max_batch", "max_queue", "max_rows", "max_body_bytes", "deadline_seconds", "max_new_tokens"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name}={getattr(self, name)}: it must be positive.")
        if self.max_wait_ms < 0:
            raise ValueError(f"max_wait_ms={self.max_wait_ms}: it cannot be negative.")
        if self.max_rows > self.max_queue:
            raise ValueError(f"max_rows={self.max_rows} is over max_queue={self.max_queue}: such a request never fits.")

    @property
    def max_requests(self) -> int:
        """Requests that are let in at once; those beyond are refused before anything of them is read."""
        return self.max_queue + self.max_batch

    @property
    def threads(self) -> int:
        """Threads of the server: more than requests are let in, so that none waits where nobody counts it."""
        return self.max_requests + SPARE_THREADS


def read_tokens(file: Path | None) -> tuple[str, ...]:
    """Reads bearer tokens, one a line, from a file, or separated by commas from `HF_MULTIMODAL_TOKENS`.

    Raises:
        ValueError: if the file cannot be read or holds none, or a token is too short to be one.
    """
    if file is None:
        found = os.environ.get(TOKENS_VARIABLE, "").split(",")
    else:
        try:
            found = file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"The file of tokens {str(file)!r} cannot be read ({error}).") from error
    tokens = tuple(token for line in found if (token := line.strip()))
    if file is not None and not tokens:
        raise ValueError(f"The file of tokens {str(file)!r} holds none: write one a line.")
    if file is None and TOKENS_VARIABLE in os.environ and not tokens:
        raise ValueError(f"{TOKENS_VARIABLE} is set but holds no token: fill it in, or unset it to serve everybody.")
    if short := [token for token in tokens if len(token) < 16]:
        raise ValueError(
            f"{len(short)} of the tokens are shorter than 16 characters: `openssl rand -hex 32` makes one."
        )
    return tokens


__all__ = ["TOKENS_VARIABLE", "ServiceSettings", "read_tokens"]
