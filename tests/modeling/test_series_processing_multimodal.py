# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Series and table rows: statistics of the training rows, what is unknown, categories, and what is refused."""

import math

import numpy as np
import pytest

from hf_multimodal.modeling.series_processing_multimodal import MultimodalSeriesProcessor, SeriesError, fit_series

TABLE = [
    {"age": 20, "fare": 7.5, "sex": "male", "child": False, "port": 1},
    {"age": None, "fare": 10.0, "sex": None, "child": True, "port": 2},
    {"age": 40, "fare": float("nan"), "sex": "female", "child": None, "port": None},
    None,
]


def test_statistics_of_series_are_those_of_numpy():
    generator = np.random.default_rng(0)
    rows = [generator.normal(5, 3, size=(length, 2)) for length in (4, 9, 1, 30)]
    rows[1][2, 0] = np.nan
    fitted = fit_series([rows[0], None, *rows[1:]])
    together = np.concatenate(rows)
    assert fitted["channels"] == ["channel_0", "channel_1"]
    np.testing.assert_allclose(fitted["mean"], np.nanmean(together, axis=0))
    np.testing.assert_allclose(fitted["std"], np.nanstd(together, axis=0))
    assert fitted["length"] == 30
    processor = MultimodalSeriesProcessor(**fitted)
    made = processor(rows, return_tensors="np")
    values, mask = made["series_values"], made["series_mask"]
    assert values.shape == mask.shape == (4, 30, 2)
    assert mask.sum() == 2 * 44 - 1
    assert mask[1, 2].tolist() == [0, 1]
    assert (values[mask == 0] == 0).all()
    np.testing.assert_allclose(values[mask == 1].mean(), 0, atol=1e-6)
    assert "series_categories" not in made


def test_a_table_tells_numbers_from_categories():
    fitted = fit_series(TABLE, categories=["port"])
    assert fitted["channels"] == ["age", "fare"]
    assert fitted["mean"] == [30.0, 8.75]
    assert fitted["std"] == [10.0, 1.25]
    assert fitted["length"] == 1
    assert fitted["categories"] == {"sex": ["female", "male"], "child": ["False", "True"], "port": ["1", "2"]}
    processor = MultimodalSeriesProcessor(**fitted)
    unseen = {"age": 30, "sex": "other", "port": 2}
    made = processor([*TABLE[:3], unseen], return_tensors="np")
    assert made["series_values"][:, 0].tolist() == [[-1.0, -1.0], [0.0, 1.0], [1.0, 0.0], [0.0, 0.0]]
    assert made["series_mask"][:, 0].tolist() == [[1, 1], [0, 1], [1, 0], [1, 0]]
    # child, port, sex; 0 is the bucket of what is unknown: missing, or never seen
    assert made["series_categories"].tolist() == [[1, 1, 2], [2, 2, 0], [0, 0, 1], [0, 2, 0]]


def test_whole_numbers_are_the_same_categories_with_and_without_gaps():
    """A column of integers with gaps comes as floats."""
    fitted = fit_series(
        [{"x": 0.5, "port": 1.0}, {"x": 1.5, "port": math.nan}, {"x": 1.0, "port": 2.0}], categories=["port"]
    )
    assert fitted["categories"] == {"port": ["1", "2"]}
    processor = MultimodalSeriesProcessor(**fitted)
    made = processor([{"x": 1.0, "port": port} for port in (2, 2.0, np.int64(2), "2", None)], return_tensors="np")
    assert made["series_categories"].tolist() == [[2], [2], [2], [2], [0]]


def test_a_category_never_seen_is_something_known():
    processor = MultimodalSeriesProcessor(**fit_series([{"a": "x"}, {"a": "y"}]))
    assert processor([{"a": "z"}], return_tensors="np")["series_categories"].tolist() == [[0]]
    with pytest.raises(SeriesError, match="nothing in the series is known"):
        processor([{"a": None}])


def test_constant_channels_in_spite_of_rounding():
    assert fit_series([{"x": [0.1] * 10}, {"x": [0.1] * 7}])["std"] == [1.0]


def test_a_table_of_categories_alone():
    fitted = fit_series([{"a": "x"}, {"a": "y"}])
    made = MultimodalSeriesProcessor(**fitted)([{"a": "y"}], return_tensors="np")
    assert made["series_values"].shape == (1, 1, 0)
    assert made["series_categories"].tolist() == [[2]]


def test_rows_of_numbers_without_names():
    fitted = fit_series([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]], length=1)
    assert len(fitted["channels"]) == 3
    assert fitted["std"] == [1.0, 1.0, 1.0]  # a constant column is left at zero
    assert MultimodalSeriesProcessor(**fitted)([[1.0, 2.0, 3.0]])["series_values"].tolist() == [[[-1.0, 0.0, 1.0]]]
    assert len(fit_series([5.0, 7.0])["channels"]) == 1
    assert fit_series([[1, 2, 3], [4, 5]])["length"] == 3


def test_long_series_are_cut_and_short_ones_filled_up():
    processor = MultimodalSeriesProcessor(["x"], length=3)
    made = processor([[1, 2, 3, 4], [5]], return_tensors="np")
    assert made["series_values"][:, :, 0].tolist() == [[1, 2, 3], [5, 0, 0]]
    assert made["series_mask"][:, :, 0].tolist() == [[1, 1, 1], [1, 0, 0]]


def test_saved_and_loaded(tmp_path):
    processor = MultimodalSeriesProcessor(**fit_series(TABLE))
    processor.save_pretrained(tmp_path)
    loaded = MultimodalSeriesProcessor.from_pretrained(tmp_path)
    before, after = (x(TABLE[:3], return_tensors="np") for x in (processor, loaded))
    for name in before:
        np.testing.assert_array_equal(before[name], after[name])


SERIES = MultimodalSeriesProcessor(["x", "y"], length=4)
ROW = MultimodalSeriesProcessor(["x", "y"], length=1, categories={"kind": ["a"]})


@pytest.mark.parametrize(
    ("processor", "value", "message"),
    [
        (SERIES, [[np.nan, np.nan]] * 3, "nothing in the series is known. Use None for an absent one"),
        (ROW, {"x": None, "y": float("nan"), "kind": None}, "nothing in the series is known"),
        (SERIES, [[1e300, 1.0]], "too far from those of training"),
        (SERIES, [[1, 2, 3]], r"of shape \(1, 3\), but wants one or more steps of 2 channels \(x, y\): \(steps, 2\)"),
        (SERIES, np.zeros((2, 3)), "Are steps and channels in the wrong order"),
        (SERIES, [1.0, 2.0], r"of shape \(2,\), but wants"),
        (SERIES, np.zeros((0, 2)), r"of shape \(0, 2\), but wants one or more steps"),
        (SERIES, [[1, np.inf]], "holds infinite values"),
        (SERIES, [[1, 2], [3]], "its lists are of different lengths"),
        (SERIES, [["a", "b"]], "'series' is not made of numbers alone"),
        (SERIES, {"x": [1, 2], "y": [1]}, r"the channels are of different lengths: \{'x': 2, 'y': 1\}"),
        (ROW, {"x": 1, "z": 2}, "has no column 'z'. Columns there are: x, y, kind"),
        (ROW, {"x": "one"}, "'x' is not made of numbers alone"),
    ],
)
def test_what_it_refuses(processor, value, message):
    with pytest.raises(SeriesError, match=message):
        processor.open(value)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([None], "Column 'trace' holds no series in any training row"),
        ([[[1, 2]], [[1, 2, 3]]], r"Row 1, column 'trace': the series is of shape \(1, 3\)"),
        ([{"x": 1, "y": None}, {"x": 2, "y": None}], "Channel 'y' has no known value in any training row"),
    ],
)
def test_what_cannot_be_fitted(rows, message):
    with pytest.raises(SeriesError, match=message):
        fit_series(rows, column="trace")


def test_unknown_column_of_categories():
    with pytest.raises(SeriesError, match="There is no column 'prot' to read as categories. Columns: age, fare"):
        fit_series(TABLE, categories=["prot"])


def test_statistics_must_fit():
    with pytest.raises(ValueError, match="There are 2 channels, but 1 means and 2 deviations"):
        MultimodalSeriesProcessor(["x", "y"], mean=[0.0], std=[1.0, 1.0])
    with pytest.raises(ValueError, match="at least one channel of numbers, or column of categories"):
        MultimodalSeriesProcessor([])
    with pytest.raises(ValueError, match="a standard deviation is above zero"):
        MultimodalSeriesProcessor(["x"], std=[0.0])
    with pytest.raises(SeriesError, match=r"categories is 'port': give a list of columns, \[port\]"):
        fit_series(TABLE, categories="port")
    with pytest.raises(ValueError, match="length=0"):
        MultimodalSeriesProcessor(["x"], length=0)
