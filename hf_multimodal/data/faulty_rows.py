# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Rows that cannot be used: found before training, and then refused, left out, or used without what is broken."""

import json
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm.auto import tqdm

from hf_multimodal.data.collator import MultimodalCollator, Row, RowError
from hf_multimodal.data.columns import ROW_ID

if TYPE_CHECKING:
    import datasets
    from transformers import BatchFeature

_logger = logging.getLogger(__name__)
POLICIES = ("raise", "skip", "as_missing")


@dataclass(frozen=True)
class FaultyRow:
    """A row that cannot be used as it is.

    Attributes:
        row_id: The row.
        modalities: Those of its modalities that cannot be read; none where it has nothing at all.
        reason: What is wrong, and what to do.
        is_usable: Whether something is left of it without these.
    """

    row_id: str
    modalities: tuple[str, ...]
    reason: str
    is_usable: bool


def find_faulty_rows(
    rows: "datasets.Dataset", collator: MultimodalCollator, description: str = "Checking rows", *, quiet: bool = False
) -> list[FaultyRow]:
    """Opens every row once and returns those that cannot be used.

    Args:
        rows: Rows as `load_rows` returns them.
        collator: Says which modalities are read.
        description: Shown beside the progress bar.
        quiet: Whether to show none.
    """
    faulty = []
    for index, row in enumerate(tqdm(rows, desc=description, leave=False, mininterval=0.5, disable=quiet)):
        row_id, reasons, is_usable = row.get(ROW_ID, index), {}, False
        for modality in collator.processor.modalities:
            try:
                is_usable |= collator.read_value(row, row_id, modality) is not None
            except RowError as error:
                reasons[modality] = str(error)
        if reasons or not is_usable:
            reason = " ".join(reasons.values()) or f"Row {row_id!r} has nothing in any of its columns."
            faulty.append(FaultyRow(str(row_id), tuple(reasons), reason, is_usable))
    return faulty


def check_share(faulty: Sequence[FaultyRow], count: int, allowed: float, role: str) -> None:
    """Warns of faulty rows.

    Args:
        faulty: They.
        count: How many rows there are.
        allowed: Share of them that may be faulty.
        role: What the rows are for.

    Raises:
        ValueError: if there are more.
    """
    if not faulty:
        return
    told = f"{len(faulty):,} of {count:,} {role} rows cannot be used as they are, such as: {faulty[0].reason}"
    if len(faulty) > allowed * count:
        raise ValueError(
            f"{told} That is more than data.max_faulty_share={allowed:g} allows: mend the rows (hf-multimodal doctor "
            "--fix writes a cleaned copy), or raise it."
        )
    _logger.warning(told)


def without_faults(rows: "datasets.Dataset", faulty: Sequence[FaultyRow], policy: str) -> "datasets.Dataset":
    """Returns the rows without those that are faulty, or without what is faulty of them.

    Args:
        rows: The rows.
        faulty: What `find_faulty_rows` found in them.
        policy: `skip` leaves the rows out, `as_missing` only what cannot be read; a row of which nothing is left, too.

    Raises:
        ValueError: if another row has the id of a faulty one.
    """
    if not faulty:
        return rows
    row_ids = [str(row_id) for row_id in rows[ROW_ID]]
    counts = Counter(row_ids)
    double = next((row.row_id for row in faulty if counts[row.row_id] > 1), None)
    if double is not None:
        raise ValueError(f"Several rows have the id {double!r}, one of which cannot be used: ids must be different.")
    gone = {row.row_id for row in faulty if policy == "skip" or not row.is_usable}
    kept = rows.select([place for place, row_id in enumerate(row_ids) if row_id not in gone])
    lacking = {row.row_id: row.modalities for row in faulty if row.row_id not in gone}
    return kept.with_transform(_Lacking(lacking)) if lacking else kept


@dataclass(frozen=True)
class _Lacking:
    """Takes some cells out of rows as they are read; it can be pickled.

    Args:
        modalities: Row id -> the modalities that it loses.
    """

    modalities: dict[str, tuple[str, ...]]

    def __call__(self, columns: dict[str, list[Any]]) -> dict[str, list[Any]]:
        for place, row_id in enumerate(columns.get(ROW_ID, ())):
            for modality in self.modalities.get(str(row_id), ()):
                if modality in columns:
                    columns[modality][place] = None
        return columns


@dataclass
class TolerantCollator(MultimodalCollator):
    """Leaves faulty rows of a stream out of their batch, or what is faulty of them.

    A batch keeps its size, which processes that train together rely on: in the place of a row that is left out stands
    another of the batch, or of an earlier one.

    Args:
        policy: `skip` or `as_missing`, as in `without_faults`.
        allowed: Share of the rows that may be faulty.
        total: How many rows there are.
        log: File that gets a line for each faulty row, by all processes and workers; None counts those of this one.
    """

    policy: str = field(default="skip", kw_only=True)
    allowed: float = field(default=0.01, kw_only=True)
    total: int = field(default=0, kw_only=True)
    log: Path | None = field(default=None, kw_only=True)
    _told: dict[str, FaultyRow] = field(default_factory=dict, init=False)
    _spare: list[Row] = field(default_factory=list, init=False)

    def __call__(self, rows: Sequence[Row]) -> "BatchFeature":
        """Collates rows; see `MultimodalCollator`.

        Raises:
            RowError: if no row of the batch is left, nor was one before.
            ValueError: if more are faulty than may be.
        """
        try:
            batch = super().__call__(rows)
        except RowError:
            faults = [next(iter(find_faulty_rows([row], self, quiet=True)), None) for row in rows]
            if not any(faults):  # a label, say, which no policy is for
                raise
            self._note([fault for fault in faults if fault is not None])
            kept = [self._without(row, fault) for row, fault in zip(rows, faults, strict=True)]
            whole = [row for row in kept if row is not None]
            stand_ins = whole or self._spare
            if not stand_ins:
                raise
            rows = [*whole, *islice(cycle(stand_ins), len(rows) - len(whole))]
            batch = super().__call__(rows)
        self._spare = list(rows[:1])
        return batch

    def for_evaluation(self) -> MultimodalCollator:
        """Returns a collator that refuses faulty rows, as rows that are evaluated were checked."""
        plain = MultimodalCollator(self.processor, self.label_schema, self.column_names, with_row_ids=self.with_row_ids)
        return plain.for_evaluation()

    def _without(self, row: Row, fault: FaultyRow | None) -> Row | None:
        if fault is None:
            return row
        if self.policy == "skip" or not fault.is_usable:
            return None
        return {**row, **dict.fromkeys(fault.modalities)}

    def _note(self, faulty: Sequence[FaultyRow]) -> None:
        known = {**self._told, **(read_faulty_rows(self.log, "train") if self.log is not None else {})}
        new = {row.row_id: row for row in faulty if row.row_id not in known}
        for row in new.values():
            _logger.warning(row.reason)
        if self.log is not None and new:
            with self.log.open("a", encoding="utf-8") as lines:
                lines.writelines(json.dumps({"split": "train", **asdict(row)}) + "\n" for row in new.values())
        self._told = {**known, **new}
        if len(self._told) > self.allowed * self.total:
            check_share(list(self._told.values()), self.total, self.allowed, "train")


def read_faulty_rows(file: Path, split: str) -> dict[str, FaultyRow]:
    """Reads what is known to be faulty in a split: row id -> fault; nothing if there is no such file."""
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    values = [json.loads(line) for line in lines]
    rows = [value for value in values if value.pop("split") == split]
    return {row["row_id"]: FaultyRow(**{**row, "modalities": tuple(row["modalities"])}) for row in rows}


__all__ = [
    "POLICIES",
    "FaultyRow",
    "TolerantCollator",
    "check_share",
    "find_faulty_rows",
    "read_faulty_rows",
    "without_faults",
]
