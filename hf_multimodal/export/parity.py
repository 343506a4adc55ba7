# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""What a bundle lost: its answers beside the model's on the same rows, and what it gained in size and speed."""

import math
import platform
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hf_multimodal.comparison.statistics import Difference, Estimate, difference, estimate
from hf_multimodal.data.labels import ItemSchema, LabelSchema, TaskSchemas, TextSchema
from hf_multimodal.evaluation.detailed_scores import ScoredRows
from hf_multimodal.evaluation.metrics import known_labels
from hf_multimodal.prediction.predictor import MultimodalPredictor

BATCH = 32
MATCH = "match head"
# whatever the model was saved to do: what chance writes does not compare
_FIRM: dict[str, Any] = {"do_sample": False, "num_return_sequences": 1}
_WARM_UP = 3
_ROUNDS = 15


class ParityError(ValueError):
    """A bundle that lost more than it may."""


@dataclass(frozen=True)
class Thresholds:
    """What a bundle may lose.

    Attributes:
        points: Of the metric, in points of a hundred (of regression: percent by which the squared error may grow).
        difference: Largest difference of a logit or a vector's value, of regression as a share of the largest value
            that the model tells if that is over 1; None looks only whether all are numbers.
        agreement: Least share of the rows with the same answer.
    """

    points: float = 0.5
    difference: float | None = None
    agreement: float = 0.97

    def allowed(self, parity: "Parity") -> float:
        """Largest difference that may be."""
        if self.difference is None:
            return float(np.finfo(np.float64).max)
        return self.difference * (max(1.0, parity.scale) if parity.metric == "mse" else 1.0)


@dataclass(frozen=True)
class Parity:
    """The report of one kind of answer (a task, the search, the texts).

    Attributes:
        name: Of the task; empty where there is one.
        metric: What is measured.
        before: Of the model.
        after: Of the bundle.
        change: The bundle's minus the model's, row by row.
        largest: Largest absolute difference of a logit or a vector's value; None of texts.
        mean: Mean of the absolute differences.
        agreement: Share of the rows with the same answer; None of values.
        scale: Largest absolute logit or value of the model.
        rows: How many there were.
    """

    name: str
    metric: str
    before: Estimate
    after: Estimate
    change: Difference
    largest: float | None
    mean: float | None
    agreement: float | None
    scale: float
    rows: int

    @property
    def lost(self) -> float:
        """What the metric lost, in points of a hundred; of the squared error percent by which it grew."""
        if self.metric != "mse":
            return -100 * self.change.mean
        if not self.before.mean:
            return 0.0 if not self.after.mean else math.inf
        return 100 * (self.after.mean / self.before.mean - 1)


@dataclass(frozen=True)
class Answered:
    """What a predictor said of rows, and how right each is.

    Attributes:
        metric: What `right` means.
        values: Logits, or vectors and the match head's logits; None of texts.
        decisions: (rows,) or (rows, labels) what it decided.
        right: (rows,) how right each is.
    """

    metric: str
    values: np.ndarray | None
    decisions: np.ndarray
    right: np.ndarray


def answers(
    predictors: Sequence[MultimodalPredictor],
    parts: Iterable[Sequence[Sequence[Mapping[str, Any]]]],
    references: Any,  # noqa: ANN401 (described below)
    schema: Any,  # noqa: ANN401 (of any task)
) -> list[dict[str, Answered]]:
    """Asks predictors of one kind about the same rows.

    Args:
        predictors: The model and the bundle.
        parts: Some rows at a time, opened by each of the predictors.
        references: Labels as the collator makes them, of texts the texts of each row.
        schema: What they are.

    Returns:
        For each predictor task (or an empty key) -> what it said.
    """
    told: list[list[Any]] = [[] for _ in predictors]
    for part in parts:
        for predictor, own, rows in zip(predictors, told, part, strict=True):
            if predictor.kind == "generation":
                own += predictor.generate(rows, **_FIRM)
            elif predictor.kind == "retrieval":
                own += _embedded(predictor, rows)
            else:
                own += predictor.compute(rows)
    return [_answered(own, references, schema, predictors[0].modalities) for own in told]


def _embedded(predictor: MultimodalPredictor, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Embeds rows; of those that have both modalities the match head's word as well."""
    pairs = [number for number, row in enumerate(rows) if all(row[m] is not None for m in predictor.modalities)]
    told: list[dict[str, Any]] = list(predictor.compute(rows))
    if pairs:
        logits = predictor.match_pairs([rows[number] for number in pairs])
        for number, logit in zip(pairs, logits, strict=True):
            told[number] = {**told[number], MATCH: logit}
    return told


def _answered(told: list[Any], references: Any, schema: Any, modalities: Sequence[str]) -> dict[str, Answered]:  # noqa: ANN401
    if isinstance(schema, TextSchema):
        right = [float(any(_same(text, one) for one in own)) for text, own in zip(told, references, strict=True)]
        return {"": Answered("exact match", None, np.array(told), np.array(right))}
    if isinstance(schema, ItemSchema):
        return {"": _search(told, np.asarray(references), modalities)}
    schemas: Mapping[str, LabelSchema] = schema.schemas if isinstance(schema, TaskSchemas) else {"": schema}
    answered = {}
    for task, own in schemas.items():
        labels = np.asarray(references[task] if task else references)
        known = np.flatnonzero(known_labels(labels))
        if not len(known):
            continue
        logits = np.stack([told[number][task] for number in known])
        rows = ScoredRows(own, logits, labels[known], known, task)
        metric = "mse" if own.problem_type == "regression" else "accuracy"
        answered[task] = Answered(metric, logits, rows.predictions, rows.right)
    return answered


def _same(text: str, reference: str) -> bool:
    return " ".join(text.lower().split()) == " ".join(reference.lower().split())


def _search(outputs: Sequence[Mapping[str, np.ndarray]], items: np.ndarray, modalities: Sequence[str]) -> Answered:
    """Takes each row's one modality as a query among the others' other one, in both directions."""
    there = [number for number, row in enumerate(outputs) if set(modalities) <= set(row)]
    if not there:
        raise ValueError("Parity of a search needs rows that have both modalities: none has.")
    first, second = (np.stack([outputs[number][m] for number in there]) for m in modalities)
    nearest = np.stack([(first @ second.T).argmax(1), (second @ first.T).argmax(1)], axis=1)
    own = items[there]
    right = (own[nearest] == own[:, None]).mean(1)  # of each row, over both directions
    matches = np.array([outputs[number][MATCH] for number in there])
    return Answered("recall at 1", np.concatenate([first.ravel(), second.ravel(), matches.ravel()]), nearest, right)


def compare_answers(before: Mapping[str, Answered], after: Mapping[str, Answered]) -> list[Parity]:
    """Compares what the model and the bundle said of the same rows."""
    found = []
    for name, old in before.items():
        new = after[name]
        apart = None if old.values is None or new.values is None else np.abs(new.values - old.values)
        same = old.decisions == new.decisions
        same = same.all(1) if same.ndim == 2 else same
        found.append(
            Parity(
                name=name,
                metric=old.metric,
                before=estimate(old.right[None]),
                after=estimate(new.right[None]),
                change=difference(new.right[None], old.right[None]),
                largest=None if apart is None else float(apart.max()),
                mean=None if apart is None else float(apart.mean()),
                agreement=None if old.metric == "mse" else float(np.mean(same)),
                scale=0.0 if old.values is None else float(np.abs(old.values).max()),
                rows=len(old.right),
            )
        )
    return found


def check_parity(found: Sequence[Parity], thresholds: Thresholds) -> None:
    """Refuses a bundle that lost more than it may.

    Raises:
        ParityError: naming what, by how much, and what is allowed.
    """
    if not found:
        raise ParityError("Nothing was compared: none of the rows has a label.")
    wrong = []
    for one in found:
        of = f" of {one.name}" if one.name else ""
        lost = one.lost
        if not lost <= thresholds.points:  # what is no number is too much, too
            wrong.append(f"{one.metric}{of} lost {lost:.2f}, {thresholds.points:g} may be lost (--max-lost)")
        if one.largest is not None and not one.largest <= thresholds.allowed(one):
            wrong.append(
                f"values{of} differ by up to {one.largest:.2g}, {thresholds.allowed(one):.2g} may be (--max-difference)"
            )
        if one.agreement is not None and not one.agreement >= thresholds.agreement:
            wrong.append(
                f"{100 * one.agreement:.1f} % of the answers{of} are the same, {100 * thresholds.agreement:g} % must "
                "be (--min-agreement)"
            )
    if wrong:
        raise ParityError("The bundle lost too much, and was thrown away: " + "; ".join(wrong) + ".")


def processor_name() -> str:
    """Names the processor of this machine."""
    name, info = platform.processor() or platform.machine(), Path("/proc/cpuinfo")
    if info.is_file():
        name = next((x.split(": ")[1] for x in info.read_text().splitlines() if x.startswith("model name")), name)
    return name


def measure_speed(
    predictors: Mapping[str, MultimodalPredictor], opened: Mapping[str, Sequence[Mapping[str, Any]]]
) -> dict[str, dict[str, float]]:
    """Measures predictors in turns, on rows that are opened already.

    Args:
        predictors: Name -> predictor.
        opened: Name -> the same rows, opened by it.

    Returns:
        Name -> `latency_ms` (median time of one row) and `rows_per_second` (in batches of `BATCH`).
    """
    many = {name: [rows[i % len(rows)] for i in range(BATCH)] for name, rows in opened.items()}
    latencies = _in_turns({name: _runner(x, many[name][:1]) for name, x in predictors.items()})
    batches = _in_turns({name: _runner(x, many[name]) for name, x in predictors.items()})
    return {
        name: {"latency_ms": 1000 * latencies[name], "rows_per_second": BATCH / batches[name]} for name in predictors
    }


def _runner(predictor: MultimodalPredictor, rows: Sequence[Mapping[str, Any]]) -> Callable[[], Any]:
    if predictor.kind == "generation":
        return lambda: predictor.generate(rows, **_FIRM)
    return lambda: predictor.compute(rows)


def _in_turns(runs: Mapping[str, Callable[[], Any]]) -> dict[str, float]:
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for index in range(-_WARM_UP, _ROUNDS):
        for name, run in runs.items():
            started = time.perf_counter()
            run()
            if index >= 0:
                seconds[name].append(time.perf_counter() - started)
    return {name: statistics.median(own) for name, own in seconds.items()}


def report_markdown(report: Mapping[str, Any]) -> str:
    """Writes a report as Markdown.

    Args:
        report: What `parity.json` holds.
    """
    lines = [
        f"# {report['name']}: {report['runtime']}, {report['precision']}",
        "",
        f"Against the PyTorch model in float32 (revision {report['revision']}), on {report['rows_of']}.",
        "",
        "| | model | bundle | change |",
        "|---|---|---|---|",
    ]
    for one in report["parity"]:
        of = f" of {one['name']}" if one["name"] else ""
        told = (one["before"], one["after"], one["change"])
        if one["metric"] == "mse":  # what is told of each row is minus its squared error
            cells = [f"{0 - x['mean']:.4g} ({0 - x['high']:.4g} to {0 - x['low']:.4g})" for x in told]
            lines.append(f"| mse{of} | {' | '.join(cells)} |")
        else:
            cells = [f"{100 * x['mean']:.2f} ({100 * x['low']:.2f} to {100 * x['high']:.2f})" for x in told]
            lines.append(f"| {one['metric']}{of}, % | {' | '.join(cells)} |")
        if one["agreement"] is not None:
            lines.append(f"| same answers{of} | | {100 * one['agreement']:.2f} % of {one['rows']} | |")
        if one["largest"] is not None:
            lines.append(f"| difference of values{of} | | largest {one['largest']:.2g}, mean {one['mean']:.2g} | |")
    old, new = report["speed"]["model"], report["speed"]["bundle"]
    size = report["megabytes"]
    lines += [
        f"| size, MB | {size['model']:.1f} | {size['bundle']:.1f} | "
        f"{size['model'] / size['bundle']:.1f} times smaller |",
        f"| latency of one row, ms | {old['latency_ms']:.1f} | {new['latency_ms']:.1f} | "
        f"{old['latency_ms'] / new['latency_ms']:.1f} times as fast |",
        f"| rows a second, {BATCH} at once | {old['rows_per_second']:.0f} | {new['rows_per_second']:.0f} | "
        f"{new['rows_per_second'] / old['rows_per_second']:.1f} times as fast |",
        "",
        f"Measured in turns in one run: {', '.join(f'{k} {v}' for k, v in report['machine'].items())}.",
        "",
    ]
    return "\n".join(lines)


def as_json(found: Sequence[Parity]) -> list[dict[str, Any]]:
    """Turns reports into what JSON holds."""
    return [asdict(one) for one in found]


__all__ = [
    "BATCH",
    "Answered",
    "Parity",
    "ParityError",
    "Thresholds",
    "answers",
    "as_json",
    "check_parity",
    "compare_answers",
    "measure_speed",
    "processor_name",
    "report_markdown",
]
