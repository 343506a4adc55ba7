# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""What the doctor found: each with how bad it is, where, and what to do."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, TypeAlias

SEVERITIES = ("error", "warning", "note")
SHOWN_IDS = 5

# split, row id, and the row's place in the split
Place: TypeAlias = tuple[str, str, int]


@dataclass(frozen=True)
class Finding:
    """One thing that was found.

    Attributes:
        kind: What it is, as in `KINDS`.
        severity: `error` (training would fail, or its numbers would be wrong), `warning`, or `note`.
        message: What was found, with numbers.
        remedy: What to do about it.
        places: The rows, where it is about some.
        drop: Whether a cleaned copy leaves these rows out.
    """

    kind: str
    severity: str
    message: str
    remedy: str = ""
    places: tuple[Place, ...] = field(default=())
    drop: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Returns it as JSON, with every row."""
        values = asdict(self)
        values["places"] = [{"split": split, "row": row} for split, row, _ in self.places]
        return values


# kind -> what is looked for
KINDS: Mapping[str, str] = {
    "configuration": "a configuration, tower or column that cannot be used",
    "unreadable": "media that cannot be opened: truncated, of another format, too large",
    "nothing_there": "rows without any modality",
    "modality_missing": "rows that lack one of their modalities",
    "empty_text": "texts of spaces alone",
    "long_text": "texts that are cut at the tokenizer's length",
    "duplicate_id": "ids that stand twice",
    "duplicate_row": "rows that stand twice in one split",
    "leaked_row": "rows of one split that stand in another",
    "near_duplicate": "rows of two splits whose pictures look alike, the same in all else",
    "shared_media": "the same picture, sound or clip in two splits",
    "many_texts": "pictures that stand in several rows",
    "conflicting_label": "the same content with different labels",
    "bad_label": "labels that are missing or cannot be read",
    "unseen_label": "labels of validation or test that training lacks",
    "imbalance": "labels that are rare, or far more frequent than others",
    "given_away": "labels that one modality tells by itself",
    "small_picture": "pictures smaller than the tower reads",
    "odd_shape": "pictures far from square, which the tower sees squeezed or cut",
    "blank_picture": "pictures of one colour",
    "silence": "sounds without any signal",
    "low_rate": "sounds recorded at a lower rate than the tower reads",
    "broken_series": "series with numbers that are not finite",
    "constant_series": "channels of a series that never change",
    "memory": "what a training step needs, against what there is",
    "versions": "library versions against those this package is tested with",
}


def format_findings(findings: Sequence[Finding]) -> str:
    """Writes findings as an aligned table, the worst first, with the first rows' ids and a line on what to do."""
    if not findings:
        return "Nothing was found."
    lines = []
    for finding in sorted(findings, key=lambda x: SEVERITIES.index(x.severity)):
        lines.append(f"{finding.severity:<8} {finding.kind:<17} {finding.message}")
        if finding.places:
            named = ", ".join(f"{split}/{row}" for split, row, _ in finding.places[:SHOWN_IDS])
            more = len(finding.places) - SHOWN_IDS
            lines.append(f"{'':<26} rows: {named}{f', and {more:,} more' if more > 0 else ''}")
        if finding.remedy:
            lines.append(f"{'':<26} {finding.remedy}")
    counts = [f"{sum(x.severity == level for x in findings)} {level}s" for level in SEVERITIES]
    return "\n".join([*lines, "", ", ".join(counts)])


__all__ = ["KINDS", "SEVERITIES", "Finding", "Place", "format_findings"]
