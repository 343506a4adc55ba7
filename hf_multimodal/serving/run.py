# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Runs the service on waitress, and ends it so that what has begun is finished."""

import gc
import logging
import os
import signal
import sys
import threading
import time
from typing import Any

import waitress
from apiflask import APIFlask

from hf_multimodal.serving.service import Service

CONNECTION_LIMIT = 1000  # at waitress' own 100, as many half-open connections shut everybody out
_BACKLOG = 1024
_SWITCH_SECONDS = 0.001
_FLUSH_SECONDS = 0.5  # for the last answers to leave
_logger = logging.getLogger("hf_multimodal.serving")


def avoid_pauses() -> None:
    """Spares this process, once it has loaded all that it needs, two pauses in which it answers nobody.

    A full garbage collection goes through everything that was imported, for a third of a second: what is there now is
    left out of it. And a thread that has an answer ready waits a millisecond for those that compute, not Python's five.
    """
    gc.collect()
    gc.freeze()
    sys.setswitchinterval(_SWITCH_SECONDS)


def run_app(app: APIFlask, host: str, port: int) -> None:
    """Serves an application until SIGTERM or SIGINT, then lets it finish what it has begun.

    Args:
        app: What `create_app` made.
        host: Address to listen at.
        port: Its port; 0 takes a free one, and says which.

    Raises:
        OSError: if the address cannot be had.
    """
    service: Service = app.extensions["hf_multimodal"]
    settings = service.settings
    server = waitress.create_server(
        app,
        host=host,
        port=port,
        threads=settings.threads,
        connection_limit=CONNECTION_LIMIT,
        backlog=_BACKLOG,
        max_request_body_size=2 * settings.max_body_bytes,  # what is a little too large is told by a problem document
        asyncore_use_poll=True,  # select() ends the process at the 1024th open file
        channel_timeout=60,
        clear_untrusted_proxy_headers=True,
        ident=None,
    )
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # it warns of each request that finds no idle thread
    signal.signal(signal.SIGTERM, _ending(service))
    signal.signal(signal.SIGINT, _ending(service))
    avoid_pauses()
    sys.stderr.write(f"{service.predictor.name} at http://{host}:{_port(server)}  (Ctrl+C ends)\n")
    sys.stderr.flush()
    try:
        server.run()
    finally:
        server.close()
        service.close()


def _port(server: Any) -> int:  # noqa: ANN401 (of one address or several)
    listening = getattr(server, "effective_listen", None)
    return listening[0][1] if listening else server.effective_port


def _ending(service: Service) -> Any:  # noqa: ANN401 (a signal's handler)
    """Makes the handler: the first signal drains, the second one, which the drain sends itself, ends."""

    def finish() -> None:
        started = time.monotonic()
        if not service.drain():
            _logger.warning("Some requests had not ended after %.0f s.", time.monotonic() - started)
        time.sleep(_FLUSH_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)

    def handler(number: int, frame: Any) -> None:  # noqa: ANN401 (as signal has it)
        if service.draining:
            raise SystemExit(0)
        threading.Thread(target=finish, name="drain", daemon=True).start()
        service.draining = True

    return handler


__all__ = ["CONNECTION_LIMIT", "avoid_pauses", "run_app"]
