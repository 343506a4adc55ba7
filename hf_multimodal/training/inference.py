# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""A saved model on new rows: evaluation and prediction, on one process or sharded over several by the Trainer."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import datasets
import numpy as np
from accelerate import PartialState
from accelerate.utils import parse_flag_from_env
from transformers import AutoConfig, AutoProcessor

from hf_multimodal.data.collator import MultimodalCollator
from hf_multimodal.data.labels import LabelSchema, TaskSchemas, check_labels, labels_from_config
from hf_multimodal.data.whole_files import write_whole
from hf_multimodal.evaluation.detailed_scores import ScoredRows, detailed_scores
from hf_multimodal.evaluation.metrics import known_labels, metric_names
from hf_multimodal.evaluation.missing_rates import RATES, RowsWithout, write_missing_rates
from hf_multimodal.evaluation.predictions import METRICS, metrics_json, write_predictions
from hf_multimodal.evaluation.report import SHOWN_WRONG, ReportFacts, present_modalities, write_report
from hf_multimodal.modeling.configuration_multimodal import WEIGHTING_FUSIONS, check_known
from hf_multimodal.modeling.modeling_all import MODELS_WITH_HEAD
from hf_multimodal.modeling.modeling_multimodal import MultimodalPreTrainedModel
from hf_multimodal.modeling.pipeline_multimodal import MultimodalClassificationPipeline
from hf_multimodal.modeling.processing_multimodal import MultimodalProcessor
from hf_multimodal.training.arguments import MultimodalTrainingArguments
from hf_multimodal.training.feature_cache import cache_features
from hf_multimodal.training.output_folder import TRAINING_LOG, is_bundle
from hf_multimodal.training.row_source import RowSource, check_model_name
from hf_multimodal.training.trainer import MultimodalTrainer


def process_state() -> PartialState:
    """The processes this one runs among, on CPUs, too, before any training arguments say so."""
    return PartialState(cpu=parse_flag_from_env("ACCELERATE_USE_CPU"))


def _saved_as(model: str) -> str:
    """Names the class that a model was saved as; `?` where its configuration does not tell."""
    check_model_name(model)
    if is_bundle(model):
        raise ValueError(
            f"{model!r} is an exported bundle, without weights to load: predict, search, serve and open_predictor run "
            "it; give the model that it was exported from here."
        )
    return (AutoConfig.from_pretrained(model).architectures or ["?"])[0]


def kind_of_model(model: str) -> str:
    """Says what a saved model does: `retrieval`, `generation`, `pretraining`, or `prediction` of labels."""
    model_class = MODELS_WITH_HEAD.get(_saved_as(model))
    if getattr(model_class, "learns_unlabelled", False):
        return "pretraining"
    if getattr(model_class, "matches_items", False):
        return "retrieval"
    return "generation" if getattr(model_class, "writes_text", False) else "prediction"


def load_model(model: str) -> tuple[MultimodalPreTrainedModel, MultimodalProcessor]:
    """Loads a saved model with the class it was saved as, and its processor.

    Raises:
        ValueError: if the folder holds no model of this package with a head.
    """
    architecture = _saved_as(model)
    model_class = MODELS_WITH_HEAD.get(architecture)
    if model_class is None:
        raise ValueError(f"{model!r} holds {architecture}, which is not a model with a head of this package.")
    return model_class.from_pretrained(model), AutoProcessor.from_pretrained(model)


def load_predictor(model: str) -> tuple[MultimodalPreTrainedModel, MultimodalProcessor]:
    """Loads a saved model that predicts labels or values, and its processor.

    Raises:
        ValueError: if the model does something else.
    """
    loaded, processor = load_model(model)
    if getattr(loaded, "matches_items", False):
        raise ValueError(f"{model!r} is a model for retrieval, which predicts no labels: use embed, index and search.")
    if getattr(loaded, "learns_unlabelled", False):
        raise ValueError(f"{model!r} is pretrained and has no labels: go on to a task by start_from.")
    if getattr(loaded, "writes_text", False):
        raise ValueError(f"{model!r} is a model that writes, and has no labels: use write_texts, or the command line.")
    return loaded, processor


def evaluation_arguments(scratch: str, batch_size: int) -> MultimodalTrainingArguments:
    """The arguments of a Trainer that trains nothing.

    Args:
        scratch: A folder that it may write to.
        batch_size: Rows per device and step.
    """
    return MultimodalTrainingArguments(
        output_dir=scratch,
        per_device_eval_batch_size=batch_size,
        report_to="none",
        eval_strategy="no",
        save_strategy="no",
        load_best_model_at_end=False,
    )


def _trainer(
    model: str, rows: RowSource, scratch: str, batch_size: int
) -> tuple[MultimodalTrainer, LabelSchema | TaskSchemas]:
    loaded, processor = load_predictor(model)
    schema = labels_from_config(loaded.config)
    arguments = evaluation_arguments(scratch, batch_size)
    collator = MultimodalCollator(processor, schema, rows.columns)
    return MultimodalTrainer(loaded, arguments, processing_class=processor, data_collator=collator), schema


def _predict(trainer: MultimodalTrainer, dataset: datasets.Dataset) -> tuple[Any, dict[str, Any] | None]:
    """Predicts; returns Trainer's result, and modality -> weight per row of the fusions that have any."""
    config: Any = cast(Any, trainer.model).config
    if config.fusion not in WEIGHTING_FUSIONS:
        return trainer.predict(dataset, metric_key_prefix="eval"), None
    ignored = [key for key in config.keys_to_ignore_at_inference if key != "modality_weights"]
    # Any: typed as if the predictions were one array
    result: Any = trainer.predict(dataset, metric_key_prefix="eval", ignore_keys=ignored)
    logits, weights = result.predictions
    return result._replace(predictions=logits), dict(zip(config.modalities, weights.T, strict=True))


def evaluate_model(
    model: str,
    rows: RowSource,
    *,
    output: Path | None = None,
    batch_size: int = 64,
    slices: Sequence[str] = (),
    shown_wrong: int = SHOWN_WRONG,
    feature_cache: str | Path | None = None,
) -> dict[str, float]:
    """Computes the metrics of a saved model on labelled rows.

    Args:
        model: Folder or Hub id.
        rows: The rows.
        output: Folder for `metrics.json`, `predictions.parquet` and `report.html`, or None.
        batch_size: Rows per device and step.
        slices: Columns of the source whose values the report scores one by one.
        shown_wrong: How many of the rows that the model is most wrong about the report shows.
        feature_cache: Folder of features of frozen towers, as `training.feature_cache` keeps them: what
            is there is not computed again, what is not is added.

    Returns:
        Metric -> value; of several tasks named `TASK_METRIC`.

    Raises:
        ValueError: if a label is not one the model knows, or a row is not usable.
    """
    with tempfile.TemporaryDirectory() as scratch:
        trainer, schema = _trainer(model, rows, scratch, batch_size)
        dataset = _labelled(rows, schema, keep=slices)
        if feature_cache is not None:
            loaded, collator = cast(MultimodalPreTrainedModel, trainer.model), cast(Any, trainer.data_collator)
            kept: Any = cache_features(loaded, collator, {"evaluated": dataset}, feature_cache)
            trainer.data_collator = kept
        result, weights = _predict(trainer, dataset)
        tasks = _scored_rows(schema, result.predictions, result.label_ids)
        metrics = {k.removeprefix("eval_"): v for k, v in result.metrics.items()}
        for task in tasks:
            own = detailed_scores(task)
            metrics.update({f"{task.name}_{name}" if task.name else name: value for name, value in own.items()})
        if output is not None and trainer.is_world_process_zero():
            modalities = cast(Any, trainer.model).config.modalities
            write_predictions(
                output,
                row_ids=dataset["row_id"],
                logits=result.predictions,
                schema=schema,
                references=result.label_ids,
                weights=weights,
                present=present_modalities(dataset, modalities),
            )
            write_whole(output / METRICS, metrics_json(metrics))
            facts = ReportFacts(
                model=Path(model).resolve().name,
                source=rows.name,
                split=rows.split,
                modalities=modalities,
                slices=slices,
                history=_training_log(model),
                shown_wrong=shown_wrong,
            )
            write_report(output, dataset, tasks, facts)
    return metrics


def score_rows(model: str, rows: RowSource, *, batch_size: int = 64) -> tuple[ScoredRows, datasets.Dataset]:
    """Predicts labelled rows with a saved model of one task; returns what it said beside the truth, and the rows.

    Args:
        model: Folder or Hub id.
        rows: The rows.
        batch_size: Rows per device and step.

    Raises:
        ValueError: if a row is not usable, or the model has several tasks.
    """
    with tempfile.TemporaryDirectory() as scratch:
        trainer, schema = _trainer(model, rows, scratch, batch_size)
        if not isinstance(schema, LabelSchema):
            raise ValueError(f"{model!r} has several tasks: score each by `evaluate`.")
        dataset = _labelled(rows, schema)
        result, _ = _predict(trainer, dataset)
    return _scored_rows(schema, result.predictions, result.label_ids)[0], dataset


def _scored_rows(schema: LabelSchema | TaskSchemas, logits: Any, labels: Any) -> list[ScoredRows]:  # noqa: ANN401 (arrays, or mappings of task to them)
    """Takes each task's rows that have a label."""
    if isinstance(schema, LabelSchema):
        return [ScoredRows(schema, np.asarray(logits), np.asarray(labels), np.arange(len(labels)))]
    scored = []
    for task, own in schema.schemas.items():
        count = len(logits[task])
        known = np.flatnonzero(known_labels(labels[task])) if task in labels else np.zeros(0, dtype=int)
        references = np.asarray(labels[task])[known] if task in labels else np.zeros(count)[known]
        scored.append(ScoredRows(own, np.asarray(logits[task])[known], references, known, task))
    return scored


def _training_log(model: str) -> list[dict[str, Any]]:
    file = Path(model) / TRAINING_LOG
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else []


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
        dataset = _labelled(rows, schema)
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


def _labelled(rows: RowSource, schema: LabelSchema | TaskSchemas, keep: Sequence[str] = ()) -> datasets.Dataset:
    """Loads rows with labels that the model knows."""
    dataset = rows.load(with_labels=True, keep=keep)
    needed = ["label"] if isinstance(schema, LabelSchema) else [f"label.{task}" for task in schema.schemas]
    for name in dataset.column_names:
        if name.split(".")[0] == "label":
            check_known("label column of this model", name, tuple(needed))
    if not set(needed) & set(dataset.column_names):
        raise ValueError(f"Evaluation needs labels: map them with --column {needed[0]}=COLUMN.")
    check_labels(dataset, schema, columns=rows.columns)
    return dataset


def predict_rows(model: str, rows: RowSource, *, output: Path, batch_size: int = 64) -> int:
    """Writes `predictions.parquet` for rows that need no labels, and returns how many there are.

    Raises:
        ValueError: if a row is not usable.
    """
    with tempfile.TemporaryDirectory() as scratch:
        trainer, schema = _trainer(model, rows, scratch, batch_size)
        dataset = rows.load(with_labels=False)
        result, weights = _predict(trainer, dataset)
        if trainer.is_world_process_zero():
            write_predictions(
                output,
                row_ids=dataset["row_id"],
                logits=result.predictions,
                schema=schema,
                weights=weights,
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
    loaded, processor = load_predictor(model)
    for modality in row:
        check_known("modality of this model", modality, processor.modalities)
    pipeline = MultimodalClassificationPipeline(model=loaded, processor=processor)
    return pipeline(dict(row), top_k=top_k)


__all__ = [
    "RowSource",
    "evaluate_model",
    "evaluation_arguments",
    "kind_of_model",
    "load_model",
    "load_predictor",
    "measure_missing_rates",
    "predict_row",
    "predict_rows",
    "process_state",
    "score_rows",
]
