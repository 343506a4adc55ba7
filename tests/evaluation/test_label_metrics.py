# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Metrics of labels: scikit-learn's values, accumulated over batches, combined; and what has no value."""

import multiprocessing
import warnings
from concurrent.futures import ProcessPoolExecutor

import evaluate
import numpy as np
import pytest
from sklearn import metrics as sk

from hf_multimodal.evaluation.label_metrics import LABEL_METRICS, load_metric

RNG = np.random.default_rng(0)
TRUTH = RNG.integers(0, 4, 60)
SCORES = RNG.dirichlet(np.ones(4), 60)
DECIDED = SCORES.argmax(1)
INPUTS = {"predictions": DECIDED, "references": TRUTH, "prediction_scores": SCORES}
SKLEARN = {
    "accuracy": sk.accuracy_score(TRUTH, DECIDED),
    "precision": sk.precision_score(TRUTH, DECIDED, average="macro"),
    "recall": sk.recall_score(TRUTH, DECIDED, average="macro"),
    "f1": sk.f1_score(TRUTH, DECIDED, average="macro"),
    "roc_auc": sk.roc_auc_score(TRUTH, SCORES, multi_class="ovr"),
    "average_precision": sk.average_precision_score(np.eye(4)[TRUTH], SCORES),
    "confusion_matrix": sk.confusion_matrix(TRUTH, DECIDED).tolist(),
}


def inputs_of(module, rows=slice(None)):
    return {name: INPUTS[name][rows].tolist() for name in module._feature_names()}


@pytest.mark.parametrize("name", SKLEARN)
def test_values_are_scikit_learns_in_one_batch_and_in_many(name):
    module = load_metric(name)
    expected = np.array(SKLEARN[name])
    assert module.compute(**inputs_of(module))[name] == pytest.approx(expected)
    for start in range(0, 60, 13):  # the last one is uneven
        module.add_batch(**inputs_of(module, slice(start, start + 13)))
    assert module.compute()[name] == pytest.approx(expected)


def _of_two_processes(rank, folder):
    """What one of two processes gets; the second has fewer rows, and a last batch of one."""
    share = slice(0, 37) if rank == 0 else slice(37, 60)
    found = {}
    for name in SKLEARN:
        module = load_metric(name, num_process=2, process_id=rank, experiment_id="two", cache_dir=folder)
        for start in range(share.start, share.stop, 11):
            module.add_batch(**inputs_of(module, slice(start, min(start + 11, share.stop))))
        found[name] = module.compute()
    return found


def test_values_are_scikit_learns_on_two_processes_of_unequal_shares(tmp_path):
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        main, other = pool.map(_of_two_processes, (0, 1), [str(tmp_path)] * 2)
    assert set(other.values()) == {None}  # the first process alone computes
    for name, expected in SKLEARN.items():
        assert main[name][name] == pytest.approx(np.array(expected))


def test_combined():
    combined = evaluate.combine([load_metric("accuracy"), load_metric("f1"), load_metric("roc_auc")])
    result = combined.compute(**{name: values.tolist() for name, values in INPUTS.items()})
    assert result == pytest.approx({name: SKLEARN[name] for name in ("accuracy", "f1", "roc_auc")})


@pytest.mark.parametrize("average", ["micro", "weighted", None])
def test_averages(average):
    value = load_metric("f1").compute(predictions=DECIDED, references=TRUTH, average=average)["f1"]
    assert value == pytest.approx(sk.f1_score(TRUTH, DECIDED, average=average))
    with pytest.raises(ValueError, match="Unknown average 'mean'. Known: macro"):
        load_metric("f1").compute(predictions=DECIDED, references=TRUTH, average="mean")


def test_values():
    truth, told = RNG.normal(size=(2, 30, 2))
    for name, compute in (
        ("mse", sk.mean_squared_error),
        ("mae", sk.mean_absolute_error),
        ("r2", sk.r2_score),
    ):
        value = load_metric(name, multi_label=True).compute(predictions=told.tolist(), references=truth.tolist())
        assert value[name] == pytest.approx(compute(truth, told))


def test_calibration_by_hand():
    # two sure ones of which one is right; one at 0.6 that is right: (2 · |0.9 − 0.5| + 1 · |0.6 − 1|) / 3
    scores = [[0.9, 0.1], [0.1, 0.9], [0.4, 0.6]]
    value = load_metric("ece").compute(prediction_scores=scores, references=[0, 0, 1])["ece"]
    assert value == pytest.approx((2 * 0.4 + 0.4) / 3)
    # each label by itself: 0.9 and 0.8 (as not there) are right, 0.7 is wrong
    value = load_metric("ece", multi_label=True).compute(
        prediction_scores=[[0.9, 0.2], [0.7, 0.2]], references=[[1, 0], [0, 0]]
    )["ece"]
    assert value == pytest.approx((0.1 + 2 * 0.2 + 0.7) / 4)


def test_several_labels_a_row():
    truth, scores = RNG.integers(0, 2, (40, 3)), RNG.random((40, 3))
    for name, compute in (("roc_auc", sk.roc_auc_score), ("average_precision", sk.average_precision_score)):
        value = load_metric(name, multi_label=True).compute(
            prediction_scores=scores.tolist(), references=truth.tolist()
        )
        assert value[name] == pytest.approx(compute(truth, scores, average="macro"))


def test_curves_are_scikit_learns():
    curves = load_metric("roc_curve").compute(prediction_scores=SCORES.tolist(), references=TRUTH)["roc_curve"]
    for label, curve in enumerate(curves):
        for found, expected in zip(curve.values(), sk.roc_curve(TRUTH == label, SCORES[:, label]), strict=True):
            assert found == pytest.approx(expected)
    one_class = load_metric("roc_curve").compute(prediction_scores=[[0.5, 0.5], [0.9, 0.1]], references=[0, 0])
    assert one_class["roc_curve"] == [None, None]


def test_a_class_that_never_occurs_has_no_curve_and_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scores = {"prediction_scores": [[0.5, 0.3, 0.2], [0.2, 0.7, 0.1], [0.1, 0.8, 0.1]]}
        each = load_metric("roc_auc").compute(**scores, references=[0, 1, 0], average=None)["roc_auc"]
        assert np.isnan(each[2])
        assert load_metric("roc_auc").compute(**scores, references=[0, 1, 0])["roc_auc"] == np.mean(each[:2])
        one_row = {"prediction_scores": [[0.5, 0.3, 0.2]], "references": [1]}
        assert np.isnan(load_metric("roc_auc").compute(**one_row)["roc_auc"])
        assert np.isnan(load_metric("r2").compute(predictions=[1.0], references=[2.0])["r2"])
        assert load_metric("precision").compute(predictions=[0, 0], references=[0, 1])["precision"] == 0.25


def test_mistakes():
    with pytest.raises(ValueError, match="Unknown metric 'bleu'. Known: accuracy"):
        load_metric("bleu")
    for given in ({"predictions": [0.5, 0.7], "references": [0, 1]}, {"predictions": [0, 1], "references": [0, 1.5]}):
        with pytest.raises(ValueError, match=r"holds (0|1)\.5, and f1 takes the numbers of labels"):
            load_metric("f1").compute(**given)
    assert load_metric("f1").compute(predictions=[0.0, 1.0], references=[0, 1])["f1"] == 1.0
    with pytest.raises(ValueError, match="references name labels up to 2, but there are 2 scores"):
        load_metric("ece").compute(prediction_scores=[[0.5, 0.5]], references=[2])
    assert sorted(LABEL_METRICS) == list(LABEL_METRICS)
