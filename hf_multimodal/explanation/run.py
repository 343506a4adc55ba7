# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Explanations of a saved model's rows, written to a folder: a picture each, and JSON of all."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from hf_multimodal.data.columns import ROW_ID
from hf_multimodal.data.whole_files import write_whole
from hf_multimodal.explanation.drawing import draw_explanation
from hf_multimodal.explanation.explain import Explainer, Explanation, mass_inside, points_into
from hf_multimodal.modeling.image_opening import open_image
from hf_multimodal.training.inference import load_predictor, process_state
from hf_multimodal.training.row_source import RowSource

EXPLANATIONS = "explanations.json"


def explain_rows(
    model: str,
    rows: Any,  # noqa: ANN401 (described below)
    output: str | Path,
    *,
    limit: int | None = None,
    box_column: str | None = None,
    drawn: int = 24,
    **options: Any,  # noqa: ANN401 (of `Explainer.explain`)
) -> dict[str, Any]:
    """Explains rows and writes `explanations.json` and `explanation_N.png`.

    Args:
        model: Folder or Hub id of a model that predicts.
        rows: A `RowSource`, or a list of rows.
        output: Folder for the files.
        limit: Of a source: how many rows, from its first.
        box_column: Column with the box `[left, top, right, bottom]`, in pixels, of what the label depends on; the maps
            are then scored by how often they are highest inside it (pointing game), and how much of them lies inside.
        drawn: How many rows get a picture.
        **options: Of `Explainer.explain`.

    Returns:
        What `explanations.json` holds: `rows`, and with boxes `pointing`.

    Raises:
        ValueError: if a row is not usable, or the model predicts nothing.
    """
    output = Path(output)
    loaded, processor = load_predictor(model)
    explainer = Explainer(loaded.to(process_state().device), processor)
    if isinstance(rows, RowSource):
        loaded_rows = rows.load(with_labels=False, keep=[box_column] if box_column else ())
        rows = [loaded_rows[i] for i in range(min(len(loaded_rows), limit or len(loaded_rows)))]
    output.mkdir(parents=True, exist_ok=True)
    explained, judged = [], []
    for number, row in enumerate(tqdm(rows, desc="Explaining", unit="row", disable=len(rows) < 2)):
        explanation = explainer.explain({ROW_ID: number, **row}, **options)
        explained.append(explanation.to_dict())
        if number < drawn:
            draw_explanation(explanation, output / f"explanation_{number}.png")
        if box_column and row.get(box_column) is not None and explanation.picture is not None:
            judged.append(_judged(explainer, explanation, row, row[box_column]))
    judged = [one for one in judged if one]
    result: dict[str, Any] = {"rows": explained, **({"pointing": _pointing(judged)} if judged else {})}
    write_whole(output / EXPLANATIONS, json.dumps(result, indent=2) + "\n")
    return result


def _judged(
    explainer: Explainer, explanation: Explanation, row: Mapping[str, Any], box: Sequence[float]
) -> dict[str, Any]:
    """How a row's maps stand to its box; nothing where the model does not see any of it."""
    inside = explainer.region(open_image(row["image"]).size, box)
    if not inside.any():
        return {}
    maps = {method: found["image"] for method, found in explanation.maps.items() if "image" in found}
    return {
        "chance": float(inside.mean()),
        "hits": {method: points_into(values, inside) for method, values in maps.items()},
        "mass": {method: mass_inside(values, inside) for method, values in maps.items()},
    }


def _pointing(judged: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The pointing-game score of each method, over the rows that have its map, beside what a random point would get."""
    methods = dict.fromkeys(method for one in judged for method in one["hits"])
    told: dict[str, Any] = {"rows": len(judged), "chance": float(np.mean([one["chance"] for one in judged]))}
    for method in methods:
        own = [one for one in judged if method in one["hits"]]
        told[method] = {
            "rows": len(own),
            "hits": float(np.mean([one["hits"][method] for one in own])),
            "mass": float(np.mean([one["mass"][method] for one in own])),
        }
    return told


__all__ = ["EXPLANATIONS", "explain_rows"]
