# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Rows of a run that cannot be used: found before its first step, or as they come out of a stream, and written down."""

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import datasets
from accelerate import PartialState
from accelerate.utils import gather_object

from hf_multimodal.data.captions import CaptionRows, spread_captions
from hf_multimodal.data.collator import MultimodalCollator, check_rows
from hf_multimodal.data.faulty_rows import (
    TolerantCollator,
    check_share,
    find_faulty_rows,
    read_faulty_rows,
    without_faults,
)
from hf_multimodal.data.whole_files import write_whole
from hf_multimodal.training.output_folder import FAULTY_ROWS
from hf_multimodal.training.run_config import SPLITS, DataConfig, RunConfig


def check_splits(
    splits: Mapping[str, datasets.Dataset], collator: MultimodalCollator, data: DataConfig, texts: str
) -> tuple[Mapping[str, datasets.Dataset], list[dict[str, Any]]]:
    """Opens every row, each process its share.

    Args:
        splits: Role -> rows.
        collator: Says which modalities are read.
        data: Says what happens to faulty rows.
        texts: The column that may hold several texts.

    Returns:
        The rows that are used, and what is wrong with the others.

    Raises:
        RowError: naming the first row that cannot be used, if there may be none.
        ValueError: if more are faulty than may be.
    """
    state = PartialState()
    used, told = dict(splits), []
    for role, rows in splits.items():
        share = spread_captions(rows.shard(state.num_processes, state.process_index), column=texts, first_only=True)
        about: dict[str, Any] = {"description": f"Checking {role} rows", "quiet": not state.is_local_main_process}
        if data.faulty_rows == "raise":
            check_rows(share, collator, **about)
            continue
        found = gather_object(find_faulty_rows(share, collator, **about))
        if isinstance(share, CaptionRows):
            found = [replace(row, row_id=row.row_id.rpartition("#")[0]) for row in found]
        check_share(found, len(rows), data.max_faulty_share, role)
        used[role] = without_faults(rows, found, data.faulty_rows)
        told += [{"split": role, **asdict(row)} for row in found]
    return used, told


def tolerant_collator(collator: MultimodalCollator, config: RunConfig, total: int) -> MultimodalCollator:
    """Returns the collator of a stream, whose faulty rows are found as they come."""
    data = config.data
    if data.faulty_rows == "raise":
        return collator
    return TolerantCollator(
        collator.processor,
        collator.label_schema,
        collator.column_names,
        policy=data.faulty_rows,
        allowed=data.max_faulty_share,
        total=total,
        log=Path(config.output_dir).resolve() / FAULTY_ROWS,
    )


def write_faulty(folder: Path, faulty: list[dict[str, Any]], *, is_streaming: bool) -> None:
    """Writes down what was found before training, beside what a stream that is resumed has met so far."""
    file = folder / FAULTY_ROWS
    met = read_faulty_rows(file, "train").values() if is_streaming else ()
    told = [*({"split": "train", **asdict(row)} for row in met), *faulty]
    if told:
        write_whole(file, "".join(json.dumps(row) + "\n" for row in told))
    else:
        file.unlink(missing_ok=True)  # of rows that were mended before the run was resumed


def count_faulty(folder: Path) -> int:
    """Counts the rows that were found faulty: two workers may both have written the same down."""
    return sum(len(read_faulty_rows(folder / FAULTY_ROWS, role)) for role in SPLITS)


__all__ = ["check_splits", "count_faulty", "tolerant_collator", "write_faulty"]
