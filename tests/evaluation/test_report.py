# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""The report: its numbers, its slices, the rows it shows, for every kind of label."""

import html
import re
import warnings

import datasets
import numpy as np
import pytest
from PIL import Image
from sklearn import metrics as sk

from hf_multimodal.data.columns import named_values
from hf_multimodal.data.labels import LabelSchema
from hf_multimodal.data.loading import load_rows
from hf_multimodal.evaluation.detailed_scores import (
    ScoredRows,
    bootstrap,
    class_scores,
    detailed_scores,
    score_intervals,
)
from hf_multimodal.evaluation.report import ReportFacts, most_wrong, present_modalities, write_report
from hf_multimodal.evaluation.slices import slice_scores

NAMES = ("cat", "dog", "<i>$x$</i>")


def make_rows(count=12):
    rng = np.random.default_rng(0)
    tone = {"array": np.sin(np.arange(800) * 0.3).astype(np.float32), "sampling_rate": 8000}
    rows = [
        {
            "picture": Image.fromarray(rng.integers(0, 255, (20, 30, 3), dtype=np.uint8)),
            "title": f"row {i} <b>bold</b>" if i % 3 else None,
            "sound": tone if i % 2 else None,
            "shop": "north" if i < 8 else "south",
            "price": float(i),
        }
        for i in range(count)
    ]
    columns = {"image": "picture", "text": "title", "audio": "sound"}
    return load_rows(rows, split=None, columns=columns, keep=["shop", "price"])


def single(count=12, seed=0):
    rng = np.random.default_rng(seed)
    logits, references = rng.normal(size=(count, 3)), rng.integers(0, 3, count)
    return ScoredRows(LabelSchema("single_label_classification", NAMES), logits, references, np.arange(count))


def facts(**changes):
    return ReportFacts("model", "rows", "test", ("image", "text", "audio"), **changes)


def text_of(page):
    return html.unescape(re.sub(r"<[^>]+>", " ", page))


def test_the_report_of_a_single_label(tmp_path):
    rows, scored = make_rows(), single()
    history = [{"epoch": 1.0, "loss": 2.0}, {"epoch": 1.0, "eval_loss": 1.5, "eval_accuracy": 0.5}]
    file = write_report(tmp_path, rows, [scored], facts(slices=("shop", "price"), history=history))
    page = file.read_text(encoding="utf-8")
    accuracy = sk.accuracy_score(scored.references, scored.predictions)
    assert f"accuracy {accuracy:.4f}" in " ".join(text_of(page).split())
    assert "<b>bold</b>" not in page  # escaped
    assert "&lt;b&gt;bold" in page
    assert "http" not in page.replace("http://www.w3.org/", "")  # names of SVG alone: nothing is fetched
    assert page.count("<svg") == 5
    assert page.count("<audio") == sum(int(rows[i]["audio"] is not None) for i in most_wrong(scored))
    assert page.count("<article>") == (scored.right == 0).sum()
    shared = write_report(tmp_path / "shared", rows, [scored], facts(shown_wrong=0)).read_text(encoding="utf-8")
    assert "<article>" not in shared  # nothing of the rows themselves
    assert "row 1" not in shared
    for slice_name in ("By shop", "By price", "By modalities of the row"):
        assert slice_name in page
    assert "currentColor" in page
    assert "#010203" not in page


def test_scores_are_scikit_learns():
    scored = single(80)
    scores = detailed_scores(scored)
    assert scores["f1"] == sk.f1_score(scored.references, scored.predictions, average="macro")
    assert scores["roc_auc"] == pytest.approx(
        sk.roc_auc_score(scored.references, scored.scores, multi_class="ovr", average="macro")
    )
    per_class = class_scores(scored)
    recalls = sk.recall_score(scored.references, scored.predictions, average=None)
    assert [one["recall"] for one in per_class] == pytest.approx(recalls.tolist())


def test_bootstrap_interval_of_a_mean():
    values = np.random.default_rng(0).normal(size=400)
    low, high = bootstrap(400, lambda chosen: {"mean": values[chosen].mean()}, resamples=500)["mean"]
    error = values.std() / 20
    assert low == pytest.approx(values.mean() - 1.96 * error, abs=0.4 * error)
    assert high == pytest.approx(values.mean() + 1.96 * error, abs=0.4 * error)
    assert np.isnan(bootstrap(3, lambda chosen: {"x": float("nan")})["x"]).all()


def test_slices():
    scored = single()
    parts, more = slice_scores(scored, ["a"] * 4 + [None] * 8)
    assert [(part.value, part.rows, part.score) for part in parts] == [
        ("(none)", 8, scored.right[4:].mean()),
        ("a", 4, scored.right[:4].mean()),
    ]
    assert more == 0
    scored = single(40)
    parts, _ = slice_scores(scored, [*np.arange(39.0).tolist(), None])
    assert [(part.value, part.rows) for part in parts] == [
        ("0 to 9.5", 10),
        ("9.5 to 19", 10),
        ("19 to 28.5", 9),
        ("28.5 to 38", 10),
        ("(none)", 1),
    ]
    parts, more = slice_scores(scored, [f"v{i}" for i in range(40)])
    assert (len(parts), more) == (12, 28)


def test_two_rows_leave_doubt():
    """Wilson's interval by hand, z = 1.96: of 2 right in 2 from 2 / (2 + z²) to 1; of 0 in 2 the mirror image."""
    scored = single()
    for right, (low, high) in ((1, (2 / (2 + 1.96**2), 1.0)), (0, (0.0, 1.96**2 / (2 + 1.96**2)))):
        places = np.flatnonzero(scored.right == right)[:2]
        part = slice_scores(scored.select(places), ["x"] * 12)[0][0]
        assert (part.low, part.high) == pytest.approx((low, high), abs=1e-4)


def test_slices_of_awkward_numbers():
    scored = single(40)
    stamps = [1_700_000_000.0 + i for i in range(40)]
    parts, _ = slice_scores(scored, stamps)
    assert [part.rows for part in parts] == [10, 10, 10, 10]
    labels = datasets.ClassLabel(names=[f"shop {i}" for i in range(20)])
    features = datasets.Features({"shop": labels, "price": datasets.Value("float64")})
    rows = datasets.Dataset.from_dict({"shop": [3, 19, -1], "price": [1.0, float("nan"), None]}, features=features)
    assert named_values(rows, "shop") == ["shop 3", "shop 19", None]
    assert named_values(rows, "price") == [1.0, None, None]


def test_many_labels_get_no_interval_of_areas(monkeypatch):
    monkeypatch.setattr("hf_multimodal.evaluation.detailed_scores._MOST_RANKED", 100)
    intervals = score_intervals(single(40), resamples=3)
    assert "accuracy" in intervals
    assert "roc_auc" not in intervals


def test_the_surest_mistakes_come_first():
    scored = single(50)
    chosen = most_wrong(scored)
    assert (scored.right[chosen] == 0).all()
    sure = scored.scores.max(1)[chosen]
    assert (np.diff(sure) <= 0).all()
    missed = np.setdiff1d(np.flatnonzero(scored.right == 0), chosen)
    assert sure.min() >= scored.scores.max(1)[missed].max()


@pytest.mark.parametrize("kind", ["multi_label_classification", "regression", "scored_answers"])
@pytest.mark.parametrize("count", [1, 12])
def test_other_kinds_and_single_rows(kind, count, tmp_path):
    rng = np.random.default_rng(1)
    references = rng.integers(0, 2, (count, 3)).astype(float)
    if kind == "regression":
        references += rng.normal(size=(count, 3))
    scored = ScoredRows(LabelSchema(kind, NAMES), rng.normal(size=(count, 3)), references, np.arange(count))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        page = write_report(tmp_path, make_rows(count), [scored], facts(slices=("shop",))).read_text(encoding="utf-8")
    assert {"regression": "mean squared error", "scored_answers": "accuracy"}.get(kind, "average precision") in page
    assert "nan" not in re.findall(r"<td>(.*?)</td>", page)


def test_a_task_without_labels(tmp_path):
    empty = ScoredRows(LabelSchema("regression", ("price",)), np.zeros((0, 1)), np.zeros(0), np.arange(0), "price")
    page = write_report(tmp_path, make_rows(), [single(), empty], facts()).read_text(encoding="utf-8")
    assert "Task price" in page
    assert "0 rows have a label" in page


def test_which_modalities_rows_have():
    rows = make_rows(4)
    assert present_modalities(rows, ("image", "text", "audio")) == [
        ["image"],
        ["image", "text", "audio"],
        ["image", "text"],
        ["image", "audio"],
    ]
    assert present_modalities(datasets.Dataset.from_dict({"row_id": [1]}), ("text",)) == [[]]
    bundled = datasets.Dataset.from_list([{"series": {"a": None, "b": 1.0}}, {"series": {"a": None, "b": None}}])
    assert present_modalities(bundled, ("series",)) == [["series"], []]
