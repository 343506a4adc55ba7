# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""`scripts/read_back` counts what written texts say."""

import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

SCRIPT = Path(__file__).parent.parent / "scripts" / "read_back"


def test_attributes_are_read_from_what_was_written(tmp_path):
    rows = [{"id": i, "text": f"{colour} shirt", "colour": colour} for i, colour in enumerate(["red", "blue"] * 4)]
    for split in ("train", "test"):
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / f"{split}.parquet")
    written = [{"row_id": str(row["id"]), "prediction": "a red thing"} for row in rows]
    pq.write_table(pa.Table.from_pylist(written), tmp_path / "written.parquet")
    command = [sys.executable, str(SCRIPT), str(tmp_path / "written.parquet"), str(tmp_path), "--attribute", "colour"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(result.stdout) == {"rows": 8, "right": {"colour": {"written": 0.5, "true": 1.0}}}
    pq.write_table(pa.Table.from_pylist(written[1:]), tmp_path / "written.parquet")
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode != 0
    assert "lacks 1 rows of test, such as '0'" in result.stderr
