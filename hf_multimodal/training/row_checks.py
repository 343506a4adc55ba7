# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Opens every row of a run before its first step, shared out over the processes."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import datasets
from accelerate import PartialState
from accelerate.utils import gather_object

from hf_multimodal.data.captions import CaptionRows, spread_captions
from hf_multimodal.data.collator import MultimodalCollator, check_rows
from hf_multimodal.data.faulty_rows import check_share, find_faulty_rows, without_faults
from hf_multimodal.training.run_config import DataConfig


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


__all__ = ["check_splits"]
