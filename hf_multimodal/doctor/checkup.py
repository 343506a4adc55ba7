# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""The whole examination of a run's configuration and rows, and a cleaned copy of the rows."""

import json
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets

from hf_multimodal.data.captions import spread_captions
from hf_multimodal.data.collator import MultimodalCollator
from hf_multimodal.data.columns import flatten_columns
from hf_multimodal.data.whole_files import whole_folder, write_whole
from hf_multimodal.doctor.duplicate_checks import check_duplicates
from hf_multimodal.doctor.environment_checks import check_memory, check_versions
from hf_multimodal.doctor.findings import Finding, Place
from hf_multimodal.doctor.label_checks import check_balance, check_given_away, check_schema, read_labels
from hf_multimodal.doctor.row_checks import (
    check_ids,
    check_pictures,
    check_presence,
    check_series,
    check_sounds,
    check_texts,
)
from hf_multimodal.doctor.scan import RowFacts, scan_rows
from hf_multimodal.modeling.configuration_multimodal import MODALITIES
from hf_multimodal.training.arguments import MultimodalTrainingArguments
from hf_multimodal.training.run_checks import check_run
from hf_multimodal.training.run_config import RunConfig
from hf_multimodal.training.run_parts import TEXT_LISTS, build, load_splits

PREDICTING = ("classification", "question_answering", "multi_task")


@dataclass(frozen=True)
class Examination:
    """What the doctor looked at, and found.

    Attributes:
        findings: What was found.
        rows: Role -> facts of its rows.
        splits: Role -> the rows.
    """

    findings: list[Finding]
    rows: dict[str, list[RowFacts]]
    splits: dict[str, datasets.Dataset]

    @property
    def has_errors(self) -> bool:
        """Whether training would fail, or its numbers would be wrong."""
        return any(finding.severity == "error" for finding in self.findings)

    @property
    def dropped(self) -> set[Place]:
        """The rows that a cleaned copy leaves out."""
        return {place for finding in self.findings if finding.drop for place in finding.places}


def examine(config: RunConfig) -> Examination:
    """Looks at a run's configuration, rows, towers and machine; nothing is trained, and nothing written.

    Args:
        config: The run.
    """
    findings = list(check_versions())
    try:
        check_run(config)
        splits = load_splits(config)
    except (ValueError, OSError) as error:
        findings.append(Finding("configuration", "error", str(error)))
        return Examination(findings, {}, {})
    columns = flatten_columns(config.data.columns)
    modalities = tuple(m for m in MODALITIES if any(name.split(".")[0] == m for name in columns))
    rows = scan_rows(splits, modalities)
    every = [row for part in rows.values() for row in part]
    findings += [*check_presence(every, modalities), *check_ids(every), *check_series(every)]
    labels, label_findings = _labels(config, splits, rows, modalities)
    findings += label_findings
    fine = config.task not in ("retrieval", "pretraining") or "item" in columns
    decided = config.task in PREDICTING
    findings += check_duplicates(rows, labels, one_label_is_right=decided, many_texts_are_fine=fine)
    examination = Examination(findings, rows, splits)
    train = splits["train"].select([i for i, row in enumerate(rows["train"]) if row.place not in examination.dropped])
    findings += _tower_findings(config, train, every)
    return examination


def _labels(
    config: RunConfig,
    splits: Mapping[str, datasets.Dataset],
    rows: Mapping[str, Sequence[RowFacts]],
    modalities: Sequence[str],
) -> tuple[dict[Place, Hashable], list[Finding]]:
    """Checks every label column; returns what each row is labelled in all of them together."""
    together: dict[Place, Hashable] = {}
    findings: list[Finding] = []
    for column in [name for name in splits["train"].column_names if name.split(".")[0] == "label"]:
        types = config.data.problem_type
        task = column.removeprefix("label.")
        problem_type = types.get(task) if isinstance(types, Mapping) else types
        is_answer, is_value = config.task == "question_answering", problem_type == "regression"
        labels, found = read_labels(splits, column, config.data.columns, is_answer=is_answer, is_value=is_value)
        for place, label in labels.items():
            together[place] = (together.get(place), label)
        if config.task not in PREDICTING:  # what is to be written is no label
            findings += [finding for finding in found if finding.kind == "bad_label"]
            continue
        findings += found
        if not found:
            findings += check_schema(splits["train"], column, problem_type)
        if not is_value:
            name = config.data.columns["label"] if column == "label" else task
            findings += check_balance(labels, name)
            findings += check_given_away(rows, labels, name, modalities)
    return together, findings


def _tower_findings(config: RunConfig, train: datasets.Dataset, every: Sequence[RowFacts]) -> Iterator[Finding]:
    """Builds the model as the run would, and checks the rows against what its towers read.

    Args:
        config: The run.
        train: The training rows that can be used.
        every: Facts of all rows.
    """
    processor: Any = None
    try:
        model, processor, schema = build(config, train)
        processor.check_model(model.config)
        training = {**config.training, "eval_strategy": "no", "save_strategy": "no", "load_best_model_at_end": False}
        arguments = MultimodalTrainingArguments(output_dir=config.output_dir, **training)
        collator = MultimodalCollator(processor, schema, config.data.columns)
        spread = spread_captions(train, column=TEXT_LISTS.get(config.task, "text"))
        yield from check_memory(model, collator, spread, arguments.per_device_train_batch_size)
    except (ValueError, TypeError, OSError) as error:
        yield Finding("configuration", "error", str(error))
    yield from check_texts(every, getattr(processor, "tokenizer", None))
    yield from check_pictures(every, _side(getattr(processor, "image_processor", None)))
    yield from check_sounds(every, getattr(getattr(processor, "feature_extractor", None), "sampling_rate", None))


def _side(image_processor: Any) -> int | None:  # noqa: ANN401 (any image processor)
    size = getattr(image_processor, "size", None) or {}
    return size.get("height") or size.get("shortest_edge")


def write_cleaned(config: RunConfig, examination: Examination, output: str | Path) -> dict[str, int]:
    """Writes the rows without those that findings with `drop` name: a parquet file per role, with the source's columns.

    Media become bytes, so that the copy stands by itself; the source is not touched. Columns that are neither mapped
    nor kept (`data.keep`) are left out.

    Args:
        config: The run, whose `data.source` may then be the copy.
        examination: What was found.
        output: A new folder.

    Returns:
        Role -> rows left.

    Raises:
        ValueError: if the folder is there already, or the rows could not be read.
    """
    output = Path(output)
    if not examination.splits:
        raise ValueError("The rows could not be read, so there is nothing to clean: see the findings.")
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise ValueError(f"{str(output)!r} is there already: give a new folder for the cleaned copy.")
    dropped = examination.dropped
    names = flatten_columns(config.data.columns)
    counts = {}
    if output.is_dir():
        output.rmdir()
    with whole_folder(output) as partial:
        for role, rows in examination.splits.items():
            keep = [i for i, facts in enumerate(examination.rows[role]) if facts.place not in dropped]
            _with_own_names(rows.select(keep), names).to_parquet(str(partial / f"{role}.parquet"))
            counts[role] = len(keep)
    return counts


def overrides_for(config: RunConfig, folder: str | Path) -> list[str]:
    """Says how a run takes a cleaned copy: the fields of its configuration to change, as `key=value`.

    Args:
        config: The run.
        folder: The copy.
    """
    changed = [f"data.source={folder}"]
    if any(role != split for role, split in config.data.splits.items()):
        changed.append(f"data.splits={{{', '.join(f'{role}: {role}' for role in config.data.splits)}}}")
    changed += [f"data.{name}=null" for name in ("options", "limit") if getattr(config.data, name)]
    return changed


def _with_own_names(rows: datasets.Dataset, names: Mapping[str, str]) -> datasets.Dataset:
    """Gives columns their names in the source again, and puts files into them."""
    series = {column: name.removeprefix("series.") for name, column in names.items() if name.startswith("series.")}
    if series and "series" in rows.column_names:
        cells = rows["series"]
        rows = rows.remove_columns("series")
        for column, part in series.items():
            rows = rows.add_column(column, [cell.get(part) if cell else None for cell in cells])
    for modality in ("image", "audio", "video"):
        if modality in rows.column_names:
            rows = rows.map(_embedded, fn_kwargs={"column": modality}, desc=f"Reading {modality} files")
    back = {ours: names[canonical] for canonical, ours in _our_names(names).items() if ours in rows.column_names}
    if "id" not in names:
        rows = rows.remove_columns("row_id")
    return rows.rename_columns({ours: own for ours, own in back.items() if ours != own})


def _our_names(names: Mapping[str, str]) -> dict[str, str]:
    return {canonical: "row_id" if canonical == "id" else canonical for canonical in names}


def _embedded(row: dict[str, Any], column: str) -> dict[str, Any]:
    value = row[column]
    if value is not None and value.get("bytes") is None and value.get("path") is not None:
        path = Path(value["path"])
        return {column: {"bytes": path.read_bytes(), "path": path.name}}
    return {column: value}


def save_findings(examination: Examination, file: str | Path) -> None:
    """Writes all findings, with every row they are about, as JSON."""
    found = [finding.to_dict() for finding in examination.findings]
    write_whole(Path(file), json.dumps(found, indent=2) + "\n")


__all__ = ["Examination", "examine", "overrides_for", "save_findings", "write_cleaned"]
