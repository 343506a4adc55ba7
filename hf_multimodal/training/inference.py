# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""A saved model on new rows: evaluation and prediction, on one process or sharded over several by the Trainer."""

import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import datasets
from accelerate import PartialState
from accelerate.utils import parse_flag_from_env
from transformers import AutoConfig, AutoProcessor

from hf_multimodal.data.collator import MultimodalCollator
from hf_multimodal.data.columns import ColumnError, flatten_columns
from hf_multimodal.data.labels import LabelSchema, TaskSchemas, check_labels, labels_from_config
from hf_multimodal.data.loading import limit_rows, load_rows
from hf_multimodal.evaluation.metrics import metric_names
from hf_multimodal.evaluation.missing_rates import RATES, RowsWithout, write_missing_rates
from hf_multimodal.evaluation.predictions import METRICS, write_predictions
from hf_multimodal.modeling.configuration_multimodal import check_known
from hf_multimodal.modeling.modeling_multimodal import MultimodalPreTrainedModel
from hf_multimodal.modeling.modeling_tasks import MODELS_WITH_HEAD
from hf_multimodal.modeling.pipeline_multimodal import MultimodalClassificationPipeline
from hf_multimodal.modeling.processing_multimodal import MultimodalProcessor
from hf_multimodal.training.arguments import MultimodalTrainingArguments
from hf_multimodal.training.output_folder import RUN_FILE
from hf_multimodal.training.run_config import RunConfig
from hf_multimodal.training.trainer import MultimodalTrainer


@dataclass(frozen=True)
class RowSource:
    """Rows to evaluate or predict.

    Attributes:
        source: As in `load_rows`.
        split: Split of the source.
        columns: Canonical name -> column of the source.
        options: Arguments for loading.
        limit: Only that many rows, as `limit_rows` chooses them; None takes all.
        seed: The run's seed.
        is_own: Whether these are the rows of the run that made the model.
    """

    source: str
    split: str | None
    columns: dict[str, str]
    options: dict[str, Any] = field(default_factory=dict)
    limit: int | None = None
    seed: int = 0
    is_own: bool = False

    @classmethod
    def for_model(
        cls, model: str, *, source: str | None, split: str | None, columns: Iterable[str] | None
    ) -> "RowSource":
        """Fills in what the user left out from the run that made the model.

        Args:
            model: The model's folder.
            source: The user's source, or None.
            split: The user's split; None takes the run's test split, or the only one of another source.
            columns: The user's mapping as `canonical=source` items, or None; `canonical=` leaves a column out.

        Raises:
            ValueError: if something is left out and the folder holds no run, or an item is malformed.
        """
        _check_model_name(model)
        run_file = Path(model) / RUN_FILE
        config = RunConfig.load(run_file) if run_file.is_file() else None
        mapping = _parse_columns(columns or ())
        if config is None:
            if source is None or not mapping:
                raise ValueError(
                    f"{_why_no_run(model)}, so nothing says where the rows are: give --source and one "
                    "--column canonical=source per column (--column text=question --column image=image --column "
                    "label=answer)."
                )
            return cls(source=source, split=split, columns=mapping)
        run = config.data
        columns = {name: column for name, column in {**flatten_columns(run.columns), **mapping}.items() if column}
        if source not in (None, run.source):
            return cls(source=source, split=split, columns=columns)
        role = split or "test"
        return cls(
            source=run.source,
            split=run.splits.get(role, role),
            columns=columns,
            options=run.options,
            limit=run.limit.get(role) if source is None else None,
            seed=config.seed,
            is_own=source is None,
        )

    def load(self, *, with_labels: bool) -> datasets.Dataset:
        """Loads the rows, with or without their label column."""
        columns = {k: v for k, v in self.columns.items() if with_labels or k.split(".")[0] != "label"}
        try:
            rows = load_rows(self.source, split=self.split, columns=columns, **self.options)
        except ColumnError as error:
            if self.is_own or error.column != columns.get("id"):
                raise ColumnError(f"{error} Map another one: --column text=YOUR_COLUMN.", error.column) from error
            columns.pop("id")  # other rows need not have ids: they are numbered
            rows = load_rows(self.source, split=self.split, columns=columns, **self.options)
        return limit_rows(rows, self.limit, self.seed)


def _check_model_name(model: str) -> None:
    """Refuses what is neither a folder nor could be a Hub id."""
    looks_local = model.startswith((".", "/", "~")) or model.count("/") > 1
    if looks_local and not Path(model).is_dir():
        raise ValueError(f"There is no folder {model!r} (looked from {str(Path.cwd())!r}): correct the model's path.")


def _why_no_run(model: str) -> str:
    is_hub_id = not Path(model).exists() and len(model.split("/")) <= 2
    return f"{model!r} is not a local folder" if is_hub_id else f"{model!r} holds no {RUN_FILE}"


def _parse_columns(items: Iterable[str]) -> dict[str, str]:
    mapping = {}
    for item in items:
        name, separator, column = item.partition("=")
        if not separator or not name:
            raise ValueError(
                f"Cannot read --column {item!r}: write canonical=source, for instance text=question (text= drops it)."
            )
        mapping[name] = column
    return mapping


def process_state() -> PartialState:
    """The processes this one runs among, on CPUs, too, before any training arguments say so."""
    return PartialState(cpu=parse_flag_from_env("ACCELERATE_USE_CPU"))


def load_model(model: str) -> tuple[MultimodalPreTrainedModel, MultimodalProcessor]:
    """Loads a saved model with the class it was saved as, and its processor.

    Raises:
        ValueError: if the folder holds no model of this package with a head.
    """
    _check_model_name(model)
    config = AutoConfig.from_pretrained(model)
    architecture = (config.architectures or ["?"])[0]
    model_class = MODELS_WITH_HEAD.get(architecture)
    if model_class is None:
        raise ValueError(f"{model!r} holds {architecture}, which is not a model with a head of this package.")
    return model_class.from_pretrained(model), AutoProcessor.from_pretrained(model)


def _trainer(
    model: str, rows: RowSource, scratch: str, batch_size: int
) -> tuple[MultimodalTrainer, LabelSchema | TaskSchemas]:
    loaded, processor = load_model(model)
    schema = labels_from_config(loaded.config)
    arguments = MultimodalTrainingArguments(
        output_dir=scratch,
        per_device_eval_batch_size=batch_size,
        report_to="none",
        eval_strategy="no",
        save_strategy="no",
        load_best_model_at_end=False,
    )
    collator = MultimodalCollator(processor, schema, rows.columns)
    return MultimodalTrainer(loaded, arguments, processing_class=processor, data_collator=collator), schema


def evaluate_model(
    model: str, rows: RowSource, *, output: Path | None = None, batch_size: int = 64
) -> dict[str, float]:
    """Computes the metrics of a saved model on labelled rows.

    Args:
        model: Folder or Hub id.
        rows: The rows.
        output: Folder for `metrics.json` and `predictions.parquet`, or None.
        batch_size: Rows per device and step.

    Returns:
        Metric -> value.

    Raises:
        ValueError: if a label is not one the model knows, or a row is not usable.
    """
    with tempfile.TemporaryDirectory() as scratch:
        trainer, schema = _trainer(model, rows, scratch, batch_size)
        dataset = rows.load(with_labels=True)
        _check_reference(dataset, schema, rows)
        # Any: typed as if the logits could be several arrays
        result: Any = trainer.predict(dataset, metric_key_prefix="eval")
        metrics = {k.removeprefix("eval_"): v for k, v in result.metrics.items()}
        if output is not None and trainer.is_world_process_zero():
            write_predictions(
                output,
                row_ids=dataset["row_id"],
                logits=result.predictions,
                schema=schema,
                references=result.label_ids,
            )
            (output / METRICS).write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
    return metrics


def measure_missing_rates(
    model: str, rows: RowSource, *, modalities: Sequence[str] = (), output: Path | None = None, batch_size: int = 64
) -> dict[str, dict[float, dict[str, float]]]:
    """Computes the metrics of a saved model while more and more rows lack a modality.

    Args:
        model: Folder or Hub id.
        rows: The rows.
        modalities: Whose curves are measured; none means all that the model reads.
        output: Folder for `missing_rates.json` and `missing_rates.png`, or None.
        batch_size: Rows per device and step.

    Returns:
        Modality -> share of the rows without it -> metric -> value.

    Raises:
        ValueError: if the model reads one modality only, or not the one asked for, or a row is not usable.
    """
    with tempfile.TemporaryDirectory() as scratch:
        trainer, schema = _trainer(model, rows, scratch, batch_size)
        read: tuple[str, ...] = cast(Any, trainer.model).config.modalities
        if len(read) < 2:
            raise ValueError(f"{model!r} reads {read[0]} only: nothing is left of a row without it.")
        for modality in modalities:
            check_known("modality of this model", modality, read)
        dataset = rows.load(with_labels=True)
        _check_reference(dataset, schema, rows)
        names = (*metric_names(schema.problem_type), "loss")

        def measure(lacking: Any) -> dict[str, float]:  # noqa: ANN401 (rows, or a view of them)
            scores: Any = trainer.predict(lacking, metric_key_prefix="eval").metrics
            return {name: scores[f"eval_{name}"] for name in names}

        whole = measure(dataset)  # the same for every modality
        curves = {
            modality: {rate: measure(RowsWithout(dataset, modality, rate, read)) if rate else whole for rate in RATES}
            for modality in modalities or read
        }
        if output is not None and trainer.is_world_process_zero():
            write_missing_rates(output, curves, names[0])
    return curves


def _check_reference(dataset: datasets.Dataset, schema: LabelSchema | TaskSchemas, rows: RowSource) -> None:
    needed = ["label"] if isinstance(schema, LabelSchema) else [f"label.{task}" for task in schema.schemas]
    for name in dataset.column_names:
        if name.split(".")[0] == "label":
            check_known("label column of this model", name, tuple(needed))
    if not set(needed) & set(dataset.column_names):
        raise ValueError(f"Evaluation needs labels: map them with --column {needed[0]}=COLUMN.")
    check_labels(dataset, schema, columns=rows.columns)


def predict_rows(model: str, rows: RowSource, *, output: Path, batch_size: int = 64) -> int:
    """Writes `predictions.parquet` for rows that need no labels, and returns how many there are.

    Raises:
        ValueError: if a row is not usable.
    """
    with tempfile.TemporaryDirectory() as scratch:
        trainer, schema = _trainer(model, rows, scratch, batch_size)
        dataset = rows.load(with_labels=False)
        result: Any = trainer.predict(dataset)
        if trainer.is_world_process_zero():
            write_predictions(
                output,
                row_ids=dataset["row_id"],
                logits=result.predictions,
                schema=schema,
            )
            (output / METRICS).unlink(missing_ok=True)  # of other predictions, overwritten now
    return len(dataset)


def predict_row(model: str, row: Mapping[str, Any], *, top_k: int = 5) -> Any:  # noqa: ANN401 (a list, or a dict of them)
    """Predicts one row, as the pipeline does.

    Args:
        model: Folder or Hub id.
        row: Modality -> what there is of it; see `MultimodalClassificationPipeline`.
        top_k: Labels returned.

    Raises:
        ValueError: if a file cannot be read, or the model does not read a modality.
    """
    loaded, processor = load_model(model)
    for modality in row:
        check_known("modality of this model", modality, processor.modalities)
    pipeline = MultimodalClassificationPipeline(model=loaded, processor=processor)
    return pipeline(dict(row), top_k=top_k)


__all__ = [
    "RowSource",
    "evaluate_model",
    "load_model",
    "measure_missing_rates",
    "predict_row",
    "predict_rows",
    "process_state",
]
