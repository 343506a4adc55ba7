# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Trains or takes all cells of a comparison, scores them on the same rows, and writes the report."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm.auto import tqdm

from hf_multimodal.comparison.cells import Cell, check_all_there, plan_cells, run_cell, write_table_copy
from hf_multimodal.comparison.statistics import Candidate, difference, estimate, verdict
from hf_multimodal.data.collator import MultimodalCollator
from hf_multimodal.data.whole_files import write_whole
from hf_multimodal.evaluation.detailed_scores import ScoredRows
from hf_multimodal.evaluation.page import write_page
from hf_multimodal.evaluation.plots import curves_plot
from hf_multimodal.evaluation.predictions import METRICS
from hf_multimodal.training.inference import load_predictor, measure_missing_rates, process_state, score_rows
from hf_multimodal.training.row_source import RowSource
from hf_multimodal.training.run_config import RunConfig
from hf_multimodal.training.run_parts import load_splits

COMPARISON = "comparison.json"
PAGE = "comparison.html"
TABLE_FILE = "comparison.md"
_TIMED_ROWS = 16
_TIMED_ROUNDS = 3


@dataclass(frozen=True)
class _Measured:
    """A variant with all of its seeds.

    Attributes:
        cells: Its cells.
        right: (seeds, rows) how right each row is, the rows in the order of `row_ids`.
        row_ids: Ids of the rows.
        problem_type: As in the models' configuration.
        facts: Parameters, seconds of training and latency, means over the seeds.
    """

    cells: Sequence[Cell]
    right: np.ndarray
    row_ids: list[str]
    problem_type: str
    facts: dict[str, float]


def compare(
    config: RunConfig,
    output: str | Path,
    *,
    fusions: Sequence[str] = ("cross_attention", "concat"),
    seeds: Sequence[int] = (0, 1, 2),
    split: str = "test",
) -> dict[str, Any]:
    """Compares each modality alone, all columns as text, and each fusion; goes on where it was stopped.

    Args:
        config: The run; its towers, rows and budget are those of every cell.
        output: Folder for the cells, `comparison.json`, `comparison.md` and `comparison.html`.
        fusions: Which fusions.
        seeds: Each variant is trained with every one.
        split: Role of the rows that are scored.

    Returns:
        What `comparison.json` holds.

    Raises:
        ValueError: if the run cannot be compared, or has no such split.
    """
    output = Path(output)
    cells = plan_cells(config, output, fusions, seeds)
    if split not in config.data.splits:
        raise ValueError(f"The run has no split {split!r}: it has {', '.join(config.data.splits)}.")
    state = process_state()
    quiet = not state.is_main_process
    splits = load_splits(config)
    check_all_there(splits, [cell.variant.removesuffix(" alone") for cell in cells if cell.kind == "alone"])
    if any(cell.kind == "table" for cell in cells):
        with state.main_process_first():
            write_table_copy(output, splits, config.data.keep)
    for cell in tqdm(cells, desc="Cells", unit="cell", disable=quiet):
        run_cell(cell)
    variants = dict.fromkeys(cell.variant for cell in cells)
    measured = {
        name: _measure([cell for cell in cells if cell.variant == name], split)
        for name in tqdm(variants, desc="Scoring", unit="variant", disable=quiet)
    }
    first = next(iter(measured.values()))
    for name, own in measured.items():
        if own.row_ids != first.row_ids:
            raise ValueError(f"{name!r} was scored on other rows than the others: give another --output.")
    unit = "mse" if first.problem_type == "regression" else "accuracy"
    candidates = [Candidate(n, m.cells[0].kind, m.right, m.facts["seconds"]) for n, m in measured.items()]
    best, other, sentence = verdict(candidates, unit)
    curves = measure_missing_rates(str(measured[best].cells[0].folder), _rows_of(measured[best].cells[0], split))
    result = {
        "verdict": sentence,
        "metric": unit,
        "split": split,
        "rows": len(first.row_ids),
        "seeds": list(seeds),
        "best_fusion": best,
        "best_other": other,
        "variants": {name: _told(m, measured[other], unit) for name, m in measured.items()},
        "missing": {
            modality: [{"rate": rate, **scores} for rate, scores in curve.items()] for modality, curve in curves.items()
        },
    }
    if not quiet:
        _write(output, result, config)
    return result


def _rows_of(cell: Cell, split: str) -> RowSource:
    return RowSource.for_model(str(cell.folder), source=None, split=split, columns=None)


def _measure(cells: Sequence[Cell], split: str) -> _Measured:
    """Scores a variant's cells, and measures what they cost."""
    right, costs, row_ids, problem_type = [], [], [], ""
    for cell in cells:
        rows, dataset = score_rows(str(cell.folder), _rows_of(cell, split))
        right.append(rows.right)
        row_ids, problem_type = [str(x) for x in dataset["row_id"]], rows.problem_type
        costs.append({**_training_cost(cell), "latency_ms": _latency(cell, dataset, rows)})
    facts = {name: float(np.mean([cost[name] for cost in costs])) for name in costs[0]}
    return _Measured(cells, np.stack(right), row_ids, problem_type, facts)


def _training_cost(cell: Cell) -> dict[str, float]:
    training = json.loads((cell.folder / METRICS).read_text(encoding="utf-8"))["training"]
    return {"parameters": training["parameters"], "seconds": training["seconds"] or 0.0}


def _latency(cell: Cell, dataset: Any, rows: ScoredRows) -> float:  # noqa: ANN401 (a datasets.Dataset)
    """Median milliseconds from raw row to logits, one row at a time."""
    model, processor = load_predictor(str(cell.folder))
    runnable: Any = model.to(process_state().device)
    runnable.eval()
    collator = MultimodalCollator(processor)
    chosen = [dataset[int(i)] for i in rows.rows[:_TIMED_ROWS]]
    times = []
    with torch.inference_mode():
        for _ in range(_TIMED_ROUNDS):
            for row in chosen:
                start = time.perf_counter()
                runnable(**collator([row]).to(runnable.device)).logits.cpu()  # which waits for an accelerator
                times.append(time.perf_counter() - start)
    return 1000 * float(np.median(times))


def _told(variant: _Measured, reference: _Measured, unit: str) -> dict[str, Any]:
    """A variant's line of the report; squared errors get their sign back."""
    sign = -1.0 if unit == "mse" else 1.0
    found = asdict(estimate(sign * variant.right))
    return {
        "kind": variant.cells[0].kind,
        "by_seed": (sign * variant.right.mean(1)).tolist(),
        **found,
        **variant.facts,
        "against_best_other": None if variant is reference else asdict(difference(variant.right, reference.right)),
    }


def _write(output: Path, result: Mapping[str, Any], config: RunConfig) -> None:
    write_whole(output / COMPARISON, json.dumps(result, indent=2) + "\n")
    write_whole(output / TABLE_FILE, comparison_table(result) + "\n")
    metric = result["metric"]
    points = {m: [(100 * x["rate"], x[metric]) for x in curve] for m, curve in result["missing"].items()}
    write_page(
        output / PAGE,
        "comparison.html",
        result=result,
        title=Path(config.data.source).name,
        is_share=metric == "accuracy",
        curves=curves_plot(points, "rows without the modality (%)", metric),
    )


def comparison_table(result: Mapping[str, Any]) -> str:
    """Writes a comparison as a Markdown table, with its verdict above."""
    on_seed = f" (seed {result['seeds'][0]})" if len(result["seeds"]) > 1 else ""
    scale, suffix = (100, " %") if result["metric"] == "accuracy" else (1, "")
    digits = 1 if scale == 100 else 4
    lines = [
        result["verdict"],
        "",
        f"| variant | {result['metric']} | interval | against {result['best_other']} | weights | training | latency |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, x in result["variants"].items():
        mean, low, high = (f"{scale * x[key]:.{digits}f}" for key in ("mean", "low", "high"))
        against = x["against_best_other"]
        gain = ""
        if against:
            gain = f"{scale * against['mean']:+.{digits}f} ({scale * against['low']:.{digits}f} to "
            gain += f"{scale * against['high']:.{digits}f})"
            gain += "" if against["mcnemar"] is None else f", McNemar p {against['mcnemar']:.2g}{on_seed}"
        lines.append(
            f"| {name} | {mean}{suffix} | {low} to {high} by {x['by']} | {gain} | {x['parameters'] / 1e6:.1f} M | "
            f"{x['seconds']:.0f} s | {x['latency_ms']:.1f} ms |"
        )
    return "\n".join(lines)


__all__ = ["COMPARISON", "PAGE", "TABLE_FILE", "compare", "comparison_table"]
