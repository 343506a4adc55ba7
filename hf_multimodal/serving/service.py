# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""What the routes share: the predictor behind its batchers, who is let in, how long it may take, and the counts."""

import io
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np
from PIL import Image
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

from hf_multimodal.evaluation.page import data_url
from hf_multimodal.explanation.explain import Explainer
from hf_multimodal.prediction.predictor import MultimodalPredictor
from hf_multimodal.prediction.rows import InputError
from hf_multimodal.retrieval.search import Searcher
from hf_multimodal.serving.batcher import DeadlineError, MicroBatcher, OverloadError
from hf_multimodal.serving.settings import ServiceSettings
from hf_multimodal.serving.turns import Turns

_EXPLAINED_BY = ("relevance", "attention")  # without integrated gradients, which take many passes


class Metrics:
    """Counts and times of a service, as Prometheus reads them."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self.requests = Counter("hf_multimodal_requests", "Requests answered.", ["route", "status"], registry=registry)
        self.seconds = Histogram("hf_multimodal_request_seconds", "Time of a request.", ["route"], registry=registry)
        sizes = (1, 2, 4, 8, 16, 32, 64, 128)
        self.batches = Histogram(
            "hf_multimodal_batch_rows", "Rows computed together.", buckets=sizes, registry=registry
        )
        self.waiting = Gauge("hf_multimodal_waiting_rows", "Rows that wait.", registry=registry)
        self.running = Gauge("hf_multimodal_running_requests", "Requests that are let in.", registry=registry)


class Service:
    """A predictor behind bounded batchers.

    Args:
        predictor: Answers rows.
        settings: Bounds.
        searcher: Searches a collection; None where there is none.
    """

    def __init__(
        self, predictor: MultimodalPredictor, settings: ServiceSettings, searcher: Searcher | None = None
    ) -> None:
        self.predictor, self.settings, self.searcher = predictor, settings, searcher
        self.metrics = Metrics()
        self.metrics.waiting.set_function(lambda: sum(len(batcher) for batcher in self.batchers))
        self.metrics.running.set_function(lambda: self._running)
        options: dict[str, Any] = {"max_queue": settings.max_queue, "observe": self.metrics.batches.observe}
        wait = settings.max_wait_ms / 1000
        self._rows = MicroBatcher(
            predictor.compute,
            max_batch=settings.max_batch,
            max_wait=wait,
            expects_more=lambda: self._coming > 0,
            **options,
        )
        # what cannot be computed together: texts told piece by piece, explanations, searches
        self._calls = MicroBatcher(lambda calls: [call() for call in calls], max_batch=1, max_wait=0, **options)
        self.batchers = (self._rows, self._calls)
        # pictures are large while they are opened: few at a time, however many wait
        self._opening = Turns(os.cpu_count() or 1)
        self._explainer: Explainer | None = None
        self._running = self._coming = 0
        self._changed = threading.Condition()
        self.draining = False

    @property
    def is_ready(self) -> bool:
        """Whether a request that comes now would be answered."""
        return not self.draining and all(batcher.is_alive for batcher in self.batchers)

    @contextmanager
    def entered(self) -> Iterator[Callable[[], None]]:
        """Lets a request in, before anything of it is read, and out in the end.

        Yields:
            What is called when its rows have been opened: until then other rows are worth waiting for it.

        Raises:
            OverloadError: if as many as may be are in, or the service is ending.
        """
        with self._changed:
            if self.draining:
                raise OverloadError("The service is shutting down.")
            if self._running >= self.settings.max_requests:
                raise OverloadError(f"{self._running} requests are being answered already, as many as may be.")
            self._running += 1
            self._coming += 1
        is_coming = True

        def arrived() -> None:
            nonlocal is_coming
            if is_coming:
                is_coming = False
                with self._changed:
                    self._coming -= 1

        try:
            yield arrived
        finally:
            arrived()
            self.leave()

    def stay(self) -> None:
        """Keeps a request in whose answer goes out piece by piece; it is followed by `leave`."""
        with self._changed:
            self._running += 1

    def leave(self) -> None:
        """Lets a request out."""
        with self._changed:
            self._running -= 1
            self._changed.notify_all()

    def drain(self) -> bool:
        """Lets no more requests in and waits for those that are; returns whether all have ended in time."""
        own = self.settings
        seconds = own.deadline_seconds + 1 if own.drain_seconds is None else own.drain_seconds
        until = time.monotonic() + seconds
        with self._changed:
            self.draining = True
            while self._running and (left := until - time.monotonic()) > 0:
                self._changed.wait(left)
            return not self._running

    def close(self) -> None:
        """Ends the batchers; what hangs is left behind."""
        for batcher in self.batchers:
            batcher.close(timeout=5)

    @contextmanager
    def opening(self, deadline: float) -> Iterator[None]:
        """Waits for one of the few places where bodies are read.

        Raises:
            DeadlineError: if there is none in time.
        """
        if not self._opening.acquire(deadline - time.monotonic()):
            raise DeadlineError("The request waited too long to be read.")
        try:
            yield
        finally:
            self._opening.release()

    def open(self, rows: Sequence[Mapping[str, Any]]) -> list[Any]:
        """Opens rows: each one opened, or the `InputError` that says why it cannot be.

        Raises:
            InputError: of the only row.
        """
        opened: list[Any] = []
        for row in rows:
            try:
                opened.append(self.predictor.open(row))
            except InputError as error:
                opened.append(error)
        if len(opened) == 1 and isinstance(opened[0], InputError):
            raise opened[0]
        return opened

    def compute(self, opened: Sequence[Any], deadline: float) -> list[Any]:
        """Computes opened rows, together with whatever else has come: each one's outputs, or its error.

        Args:
            opened: What `open` returned.
            deadline: Of `time.monotonic`.

        Raises:
            OverloadError: if there is no room for them.
            DeadlineError: if they are not done in time.
        """
        usable = [row for row in opened if not isinstance(row, InputError)]
        futures = self._rows.submit(usable, deadline - time.monotonic())
        results = iter([_finite(result) for result in _wait(futures, deadline)])
        told = [row if isinstance(row, InputError) else next(results) for row in opened]
        if len(told) == 1 and isinstance(told[0], Exception):
            raise told[0]
        return told

    def call(self, function: Callable[[], Any], deadline: float) -> Any:  # noqa: ANN401 (what it returns)
        """Runs something that is computed alone, after what came before it; see `compute`."""
        (result,) = _wait(self._calls.submit([function], deadline - time.monotonic()), deadline)
        if isinstance(result, Exception):
            raise result
        return result

    def write(self, opened: Sequence[Any], options: Mapping[str, Any], deadline: float) -> list[Any]:
        """Writes texts for opened rows of one request: each one's text, or its error."""
        usable = [row for row in opened if not isinstance(row, InputError)]
        if not usable:
            return list(opened)
        texts = iter(
            self.call(
                lambda: self.predictor.generate(usable, should_stop=lambda: time.monotonic() > deadline, **options),
                deadline,
            )
        )
        return [row if isinstance(row, InputError) else next(texts) for row in opened]

    def stream(self, row: Mapping[str, Any], options: Mapping[str, Any], deadline: float) -> Iterator[str]:
        """Writes a text for one opened row; yields its pieces as they are written, and stops when nobody reads on.

        Raises:
            OverloadError: if there is no room, at once.
            DeadlineError: if it is not done in time.
        """
        pieces: SimpleQueue[str | None] = SimpleQueue()
        left = threading.Event()

        def run() -> None:
            try:
                self.predictor.generate(
                    [row],
                    on_text=pieces.put,
                    should_stop=lambda: left.is_set() or time.monotonic() > deadline,
                    **options,
                )
            finally:
                pieces.put(None)

        future = self._calls.submit([run], deadline - time.monotonic())[0]
        return self._pieces(future, pieces, left, deadline)

    @staticmethod
    def _pieces(
        future: "Future[Any]", pieces: "SimpleQueue[str | None]", left: threading.Event, deadline: float
    ) -> Iterator[str]:
        try:
            while (piece := pieces.get(timeout=max(0.0, deadline - time.monotonic()))) is not None:
                yield piece
            future.result(timeout=1)
            if time.monotonic() > deadline:
                raise DeadlineError("The text was not finished in time.")
        except Empty:
            raise DeadlineError("The text was not finished in time.") from None
        finally:
            left.set()
            future.cancel()

    def explain(self, row: Mapping[str, Any], deadline: float) -> dict[str, Any]:
        """Explains one row, given as it came."""

        def run() -> dict[str, Any]:
            if self._explainer is None:
                self._explainer = Explainer(self.predictor.explainer_model(), self.predictor.processor)
            explanation = self._explainer.explain(row, methods=_EXPLAINED_BY)
            told = explanation.to_dict()
            del told["row_id"]
            if explanation.picture is not None:
                told["picture"] = _png_url(explanation.picture)
            return told

        return self.call(run, deadline)


def _png_url(picture: np.ndarray) -> str:
    """Encodes the picture that maps lie over, (height, width, 3) from 0 to 1, for a page."""
    buffer = io.BytesIO()
    Image.fromarray((255 * picture).round().astype(np.uint8)).save(buffer, "PNG")
    return data_url(buffer.getvalue(), "image/png")


def _finite(result: Any) -> Any:  # noqa: ANN401 (outputs of a row, or its error)
    if isinstance(result, Exception) or all(np.isfinite(values).all() for values in result.values()):
        return result
    return InputError("The model's answer to this row is no number: some of its values are too large.")


def _wait(futures: "Sequence[Future[Any]]", deadline: float) -> list[Any]:
    """Waits for results; one that failed is its error.

    Raises:
        DeadlineError: if they are not there in time.
    """
    results: list[Any] = []
    for future in futures:
        try:
            results.append(future.result(timeout=max(0.0, deadline - time.monotonic())))
        except (FutureTimeout, CancelledError, DeadlineError):
            for other in futures:
                other.cancel()
            raise DeadlineError("The request was not answered in time.") from None
        except Exception as error:  # noqa: BLE001 (told of the row)
            results.append(error)
    return results


__all__ = ["Metrics", "Service"]
