# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Rows that cannot be used: found before training, and then refused, left out, or used without what is broken."""

import json
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
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
_LEAST_SEEN = 1000


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

    Args:
        policy: `skip` or `as_missing`, as in `without_faults`.
        allowed: Share of the rows that may be faulty; of fewer than a thousand, as many as of a thousand.
        log: File that gets a line for each, or None.
    """

    policy: str = field(default="skip", kw_only=True)
    allowed: float = field(default=0.01, kw_only=True)
    log: Path | None = field(default=None, kw_only=True)
    _seen: int = field(default=0, init=False)
    _told: dict[str, FaultyRow] = field(default_factory=dict, init=False)

    def __call__(self, rows: Sequence[Row]) -> "BatchFeature":
        """Collates rows; see `MultimodalCollator`.

        Raises:
            RowError: if no row of the batch is left.
            ValueError: if more are faulty than may be.
        """
        self._seen += len(rows)
        try:
            return super().__call__(rows)
        except RowError:
            faulty = find_faulty_rows(rows, self, quiet=True)
            if not faulty:  # a label, say, which no policy is for
                raise
            self._note(faulty)
            whole = self._without(rows, faulty)
            if not whole:
                raise
        return super().__call__(whole)

    def _note(self, faulty: Sequence[FaultyRow]) -> None:
        new = [row for row in faulty if row.row_id not in self._told]
        self._told.update({row.row_id: row for row in new})
        if self.log is not None:
            with self.log.open("a", encoding="utf-8") as lines:
                lines.writelines(json.dumps({"split": "train", **asdict(row)}) + "\n" for row in new)
        for row in new:
            _logger.warning(row.reason)
        if len(self._told) > self.allowed * max(self._seen, _LEAST_SEEN):
            check_share(list(self._told.values()), self._seen, self.allowed, "streamed training")

    def _without(self, rows: Sequence[Row], faulty: Sequence[FaultyRow]) -> list[Row]:
        found = {row.row_id: row for row in faulty}
        kept = []
        for index, row in enumerate(rows):
            fault = found.get(str(row.get(ROW_ID, index)))
            if fault is None:
                kept.append(row)
            elif self.policy == "as_missing" and fault.is_usable:
                kept.append({**row, **dict.fromkeys(fault.modalities)})
        return kept


__all__ = ["POLICIES", "FaultyRow", "TolerantCollator", "check_share", "find_faulty_rows", "without_faults"]
