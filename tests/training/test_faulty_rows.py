# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Rows that cannot be used: refused, left out, or used without what is broken, and always told."""

import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from hf_multimodal.training.run import train
from hf_multimodal.training.run_config import RunConfig
from tests.training.tiny_run import tiny_run


def picture():
    file = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def rows(tmp_path):
    """Twelve rows: the picture of two is cut off, one of which has no text either; a third has nothing."""
    whole = picture()
    table = [{"key": f"row {i}", "title": f"a text {i}", "photo": whole, "kind": "xy"[i % 2]} for i in range(12)]
    table[3]["photo"] = whole[:-30]
    table[5].update(photo=whole[:-30], title=None)
    table[7].update(photo=None, title=None)
    for split in ("train", "test"):
        pq.write_table(pa.Table.from_pylist(table), tmp_path / f"{split}.parquet")
    return tmp_path


def run(rows, folder, **data):
    splits = {"train": "train", "test": "test"}
    columns = {"text": "title", "image": "photo", "label": "kind", "id": "key"}
    values = tiny_run(folder, data={"source": str(rows), "columns": columns, "splits": splits, **data})
    return train(RunConfig.from_dict(values))


def told(folder):
    return [json.loads(line) for line in (folder / "faulty_rows.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(("policy", "used"), [("skip", 9), ("as_missing", 10)])
def test_faulty_rows_are_left_out_counted_and_named(rows, tmp_path, policy, used, caplog):
    result = run(rows, tmp_path / "run", faulty_rows=policy, max_faulty_share=0.3)
    assert result.sizes == {"train": used, "test": used}
    assert result.metrics["training"]["faulty_rows"] == 6
    found = [(row["row_id"], row["modalities"], row["is_usable"]) for row in told(tmp_path / "run")]
    expected = [("row 3", ["image"], True), ("row 5", ["image"], False), ("row 7", [], False)]
    assert found == expected * 2
    assert [row["split"] for row in told(tmp_path / "run")] == ["train"] * 3 + ["test"] * 3
    assert "column 'photo'" in told(tmp_path / "run")[0]["reason"]
    assert "3 of 12 train rows cannot be used as they are" in caplog.text


def test_more_than_may_be_faulty_refuse_the_run(rows, tmp_path):
    with pytest.raises(ValueError, match=r"3 of 12 train rows .*Row 'row 3', column 'photo'.*max_faulty_share=0\.2"):
        run(rows, tmp_path / "run", faulty_rows="skip", max_faulty_share=0.2)
    assert not (tmp_path / "run").exists()


def test_ids_that_are_not_unique_are_refused(rows, tmp_path):
    table = pq.read_table(rows / "train.parquet").to_pylist()
    table[4]["key"] = "row 3"
    pq.write_table(pa.Table.from_pylist(table), rows / "train.parquet")
    with pytest.raises(ValueError, match="Several rows have the id 'row 3', one of which cannot be used"):
        run(rows, tmp_path / "run", faulty_rows="skip", max_faulty_share=0.3)


def test_by_default_the_first_one_refuses_the_run(rows, tmp_path):
    with pytest.raises(ValueError, match="Row 'row 3', column 'photo'"):
        run(rows, tmp_path / "run")


def test_nothing_is_written_where_nothing_is_faulty(tmp_path):
    values = tiny_run(tmp_path / "run")
    values["data"]["faulty_rows"] = "skip"
    assert train(RunConfig.from_dict(values)).metrics["training"]["faulty_rows"] == 0
    assert not (tmp_path / "run" / "faulty_rows.jsonl").exists()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"faulty_rows": "drop"}, "Unknown value of data.faulty_rows 'drop'. Known: raise, skip, as_missing"),
        ({"faulty_rows": "skip", "check_rows": False}, "leave check_rows true"),
        ({"max_faulty_share": 3}, "max_faulty_share holds 3: it is a share"),
    ],
)
def test_mistakes(rows, tmp_path, data, message):
    with pytest.raises(ValueError, match=message):
        run(rows, tmp_path / "run", **data)
