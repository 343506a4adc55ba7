# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""The cells of a comparison: a variant of the configuration and a seed each, trained once and kept."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq

from hf_multimodal.data.columns import ROW_ID, flatten_columns, named_values
from hf_multimodal.data.whole_files import whole_folder
from hf_multimodal.evaluation.predictions import METRICS
from hf_multimodal.evaluation.report import present_modalities
from hf_multimodal.modeling.configuration_multimodal import FUSIONS, check_known
from hf_multimodal.training.feature_cache import CACHED_MODALITIES
from hf_multimodal.training.output_folder import CHECKPOINTS, RUN_FILE
from hf_multimodal.training.run import train
from hf_multimodal.training.run_config import RunConfig

COMPARED_TASKS = ("classification", "question_answering")
TABLE = "table to text"
_TABLE_FOLDER = "table_to_text"
_ROW_MODALITIES = ("text", "series")  # what can be written out as text


@dataclass(frozen=True)
class Cell:
    """One variant with one seed.

    Attributes:
        variant: Its name.
        kind: `alone`, `table` or `fusion`.
        seed: The seed.
        config: The run.
    """

    variant: str
    kind: str
    seed: int
    config: RunConfig

    @property
    def folder(self) -> Path:
        """Where its run is."""
        return Path(self.config.output_dir)

    @property
    def is_done(self) -> bool:
        """Whether it has been trained to the end."""
        return (self.folder / METRICS).is_file()


def plan_cells(config: RunConfig, output: Path, fusions: Sequence[str], seeds: Sequence[int]) -> list[Cell]:
    """Lists the cells: each modality alone, all columns as text where there are any beside the text, each fusion.

    Args:
        config: The run that is compared.
        output: Folder of the comparison.
        fusions: Their names.
        seeds: Each variant is trained with every one.

    Raises:
        ValueError: if the run has one tower only, is of a task without labels, or a fusion is unknown.
    """
    towers = [m for m, tower in config.towers.items() if tower is not None]
    if config.task not in COMPARED_TASKS:
        raise ValueError(
            f"compare takes runs of {' and '.join(COMPARED_TASKS)}, and this one is of {config.task}: for the others, "
            "train each variant and compare what evaluate says."
        )
    if len(towers) < 2 or config.start_from is not None:
        raise ValueError("There is nothing to compare: the configuration needs two towers or more, and no start_from.")
    for fusion in fusions:
        check_known("fusion", fusion, FUSIONS)
    # the same rows in every cell, whatever its seed
    config = replace(config, data=replace(config.data, limit_seed=config.limit_seed))
    variants: list[tuple[str, str, RunConfig]] = [(f"{m} alone", "alone", _alone(config, m)) for m in towers]
    if "text" in towers and _table_columns(config):
        variants.append((TABLE, "table", _as_text(config, output)))
    variants += [(name, "fusion", replace(config, model={**config.model, "fusion": name})) for name in fusions]
    return [
        Cell(
            name,
            kind,
            seed,
            replace(own, seed=seed, output_dir=str(output / "cells" / f"{name.replace(' ', '_')}-seed{seed}")),
        )
        for name, kind, own in variants
        for seed in seeds
    ]


def run_cell(cell: Cell) -> None:
    """Trains a cell; one that is done is left alone, one that was cut off goes on from its last checkpoint.

    Raises:
        ValueError: if another run is in its folder.
    """
    if cell.is_done:
        _check_same(cell)
        return
    has_begun = (cell.folder / RUN_FILE).is_file()
    resumable = has_begun and any((cell.folder / CHECKPOINTS).glob("checkpoint-*"))
    train(cell.config, resume=resumable, overwrite=has_begun and not resumable)


def _check_same(cell: Cell) -> None:
    before, now = (asdict(x) for x in (RunConfig.load(cell.folder / RUN_FILE), cell.config))
    changed = [name for name in now if name not in ("output_dir", "card") and before[name] != now[name]]
    if changed:
        raise ValueError(
            f"{str(cell.folder)!r} holds a run of another configuration ({', '.join(changed)} differ): give another "
            "--output, or delete it."
        )


def _alone(config: RunConfig, modality: str) -> RunConfig:
    towers = {modality: config.towers[modality]}
    model = {name: value for name, value in config.model.items() if name != "modality_dropout"}
    training = dict(config.training)
    tower = config.towers[modality]
    if modality not in CACHED_MODALITIES or not (isinstance(tower, Mapping) and tower.get("frozen")):
        training.pop("feature_cache", None)  # nothing is left to keep
    columns = {
        name: column
        for name, column in config.data.columns.items()
        if name.split(".")[0] in (modality, "label", "id", "item")
    }
    return replace(config, towers=towers, model=model, training=training, data=replace(config.data, columns=columns))


def _table_columns(config: RunConfig) -> list[str]:
    """The columns beside the text that can be written out."""
    series = [name for name in flatten_columns(config.data.columns) if name.split(".")[0] == "series"]
    return [*series, *config.data.keep]


def _as_text(config: RunConfig, output: Path) -> RunConfig:
    """The run over a copy of the rows whose text holds all their other columns, too, written out."""
    data = config.data
    columns = {name: name if name != "id" else ROW_ID for name in data.columns if name in ("label", "id", "text")}
    copy = replace(
        data,
        source=str((output / _TABLE_FOLDER).resolve()),
        columns=columns,
        keep=[],
        options={},
        limit={},
        max_length=None,
    )
    return _alone(replace(config, data=replace(copy, splits={role: role for role in data.splits})), "text")


def write_table_copy(output: Path, splits: Mapping[str, datasets.Dataset], keep: Sequence[str]) -> None:
    """Writes the rows of the variant `table to text`: whole or not at all, and once.

    Args:
        output: Folder of the comparison.
        splits: Role -> rows of the run that is compared.
        keep: Further columns to write out.
    """
    folder = output / _TABLE_FOLDER
    if folder.is_dir():
        return
    with whole_folder(folder) as partial:
        for role, rows in splits.items():
            names = [name for name in (*_ROW_MODALITIES, *keep) if name in rows.column_names]
            cells = {name: named_values(rows, name) for name in (ROW_ID, "label", *names)}
            written = [
                {
                    ROW_ID: str(cells[ROW_ID][i]),
                    "label": cells["label"][i],
                    "text": row_as_text({name: cells[name][i] for name in names}, keep),
                }
                for i in range(len(rows))
            ]
            pq.write_table(pa.Table.from_pylist(written), partial / f"{role}.parquet")


def check_all_there(splits: Mapping[str, datasets.Dataset], modalities: Sequence[str]) -> None:
    """Refuses rows that lack a modality, of which a model of that modality alone could say nothing.

    Args:
        splits: Role -> rows.
        modalities: Those that are compared.

    Raises:
        ValueError: saying how many rows of which split lack what.
    """
    for role, rows in splits.items():
        present = present_modalities(rows, modalities)
        for modality in modalities:
            lacking = sum(modality not in own for own in present)
            if lacking:
                raise ValueError(
                    f"{lacking:,} of {len(rows):,} rows of {role} have no {modality}, and {modality} alone says "
                    "nothing of them: compare on the rows that have everything. (`evaluate --missing` measures what a "
                    "fused model loses without a modality.)"
                )


def row_as_text(row: Mapping[str, Any], keep: Sequence[str]) -> str:
    """Writes a row's text and its other columns as one text: `Red shirt; year 2012; usage Casual`.

    Args:
        row: A row as `load_rows` returns it.
        keep: Further columns to write out.
    """
    series = row.get("series")
    cells = dict(series) if isinstance(series, Mapping) else {}
    cells.update({name: row.get(name) for name in keep})
    parts = [f"{name.replace('_', ' ')} {value}" for name, value in cells.items() if value is not None]
    return "; ".join([*([str(row["text"])] if row.get("text") else []), *parts]) or "-"


__all__ = [
    "COMPARED_TASKS",
    "TABLE",
    "Cell",
    "check_all_there",
    "plan_cells",
    "row_as_text",
    "run_cell",
    "write_table_copy",
]
