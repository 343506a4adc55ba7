# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""What a run is made of: its rows, its towers with what they take from the rows, model, processor and labels."""

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, cast

import datasets
from transformers import set_seed

from hf_multimodal.data.captions import each_text
from hf_multimodal.data.columns import source_name
from hf_multimodal.data.label_inference import column_values
from hf_multimodal.data.labels import ItemSchema, LabelSchema, Schema, TaskSchemas, TextSchema, check_labels
from hf_multimodal.data.loading import limit_rows, load_rows
from hf_multimodal.data.sources import SplitError
from hf_multimodal.data.word_tokenizer import build_word_tokenizer
from hf_multimodal.hub.model_card import CARD_FIELDS
from hf_multimodal.modeling.configuration_decoder import parse_decoder
from hf_multimodal.modeling.configuration_multimodal import MODALITIES, TOWER_CONFIG_FIELDS, MultimodalConfig
from hf_multimodal.modeling.configuration_towers import parse_tower, tower_config
from hf_multimodal.modeling.modeling_generation import MultimodalForConditionalGeneration
from hf_multimodal.modeling.modeling_multimodal import (
    MultimodalForClassification,
    MultimodalForQuestionAnswering,
    MultimodalPreTrainedModel,
)
from hf_multimodal.modeling.modeling_retrieval import MultimodalForRetrieval
from hf_multimodal.modeling.modeling_tasks import MultimodalForMultiTask
from hf_multimodal.modeling.processing_multimodal import MultimodalProcessor
from hf_multimodal.modeling.series_processing_multimodal import fit_series
from hf_multimodal.training.arguments import MultimodalTrainingArguments
from hf_multimodal.training.run_config import DEFAULT_SPLITS, RunConfig, check_fields, check_types

# keys: run_config.TASKS
MODEL_CLASSES: dict[str, type[MultimodalPreTrainedModel]] = {
    "classification": MultimodalForClassification,
    "question_answering": MultimodalForQuestionAnswering,
    "multi_task": MultimodalForMultiTask,
    "retrieval": MultimodalForRetrieval,
    "generation": MultimodalForConditionalGeneration,
}
# Task -> the column that may hold several texts a row.
TEXT_LISTS = {"retrieval": "text", "generation": "label"}


def load_splits(config: RunConfig) -> dict[str, datasets.Dataset]:
    """Loads every split the run names, with canonical columns, limited where the configuration says so.

    Where it names none, it takes train, and validation and test if they are there.
    """
    data = config.data
    splits = {}
    is_default = data.splits == DEFAULT_SPLITS
    for role, split in data.splits.items():
        try:
            rows = load_rows(
                data.source,
                split=split,
                columns=data.columns,
                keep=data.keep,
                text_lists=config.task == "retrieval",
                **data.options,
            )
        except SplitError as error:
            if is_default and role != "train":
                continue
            raise SplitError(f"{error} Say which to take: data.splits={{train: NAME, validation: NAME}}.") from error
        splits[role] = limit_rows(rows, data.limit.get(role), config.seed)
    return splits


def check_run(config: RunConfig) -> None:
    """Finds mistakes in the configuration before anything is loaded or written.

    Raises:
        ValueError: naming the first one.
    """
    check_fields(config.towers, MODALITIES, "towers.")
    check_fields(config.model, [f.name for f in fields(MultimodalConfig)], "model.")
    check_fields(config.training, [f.name for f in fields(MultimodalTrainingArguments)], "training.")
    check_fields(config.card, CARD_FIELDS, "card.")
    check_types(config.training, MultimodalTrainingArguments, "training.")
    if "output_dir" in config.training:
        raise ValueError("training.output_dir is set by the run: set the top-level output_dir.")
    if "train" not in config.data.splits:
        raise ValueError("data.splits names no train split.")
    for modality in config.towers:
        if config.towers[modality] is not None and modality not in config.data.columns:
            raise ValueError(f"The {modality} tower has no column: set data.columns.{modality} to the source's column.")
    for name in (
        "id2label",
        "label2id",
        "num_labels",
        "problem_type",
        "tasks",
        "decoder_config",
        *TOWER_CONFIG_FIELDS.values(),
    ):
        if name in config.model:
            raise ValueError(
                f"model.{name} follows from the data and the towers: leave it out (see data.problem_type)."
            )
    if config.task == "generation":
        parse_decoder(config.decoder)
    elif config.decoder:
        raise ValueError(f"decoder is for task: generation, not for {config.task}: leave it out.")
    _check_labels_of_run(config)


def _check_labels_of_run(config: RunConfig) -> None:
    labels = config.data.columns.get("label")
    if config.task == "retrieval":
        _check_retrieval(config)
        return
    if config.task == "generation" and config.data.problem_type is not None:
        raise ValueError("data.problem_type is for labels; task: generation writes texts: leave it out.")
    if "item" in config.data.columns:
        raise ValueError("data.columns.item is for task: retrieval, where rows of one item match: leave it out.")
    if not labels:
        raise ValueError("data.columns.label is missing: say which column holds the labels.")
    if config.task == "multi_task" and not isinstance(labels, Mapping):
        raise ValueError(
            f"data.columns.label is {labels!r}: task: multi_task takes a mapping of task to column, "
            "{season: season, ...}."
        )
    if config.task != "multi_task" and not isinstance(labels, str):
        raise ValueError(f"data.columns.label is {labels!r}: for several tasks set task: multi_task.")
    if config.task == "multi_task" and config.training.get("label_smoothing_factor"):
        raise ValueError("training.label_smoothing_factor knows one task only: set model.label_smoothing.")
    types = config.data.problem_type
    if isinstance(types, Mapping):
        check_fields(types, labels if isinstance(labels, Mapping) else (), "data.problem_type.")


def _check_retrieval(config: RunConfig) -> None:
    if config.data.columns.get("label"):
        raise ValueError("task: retrieval has no labels, rows match by their item: leave data.columns.label out.")
    towers = [modality for modality, tower in config.towers.items() if tower is not None]
    if len(towers) != 2:
        raise ValueError(f"task: retrieval matches two modalities, but there are {len(towers)} towers: give two.")


def _towers_from_rows(config: RunConfig, train: datasets.Dataset) -> dict[str, Any]:
    """The tower descriptions, with what they take from the training rows: vocabulary, statistics of series."""
    towers: dict[str, Any] = config.resolved_towers()
    series = towers.get("series")
    series = {"path": series} if isinstance(series, str) else series
    if isinstance(series, dict) and "channels" not in (series.get("preprocessing") or {}):
        column = source_name(config.data.columns, "series")
        options = dict(series.get("preprocessing") or {})
        check_fields(options, ("length", "categories"), "towers.series.preprocessing.")
        options.setdefault("length", _length_of_encoder(series))
        fitted = fit_series(column_values(train, "series") or (), **options, column=column)
        towers = {**towers, "series": {**series, "preprocessing": fitted}}
    return _with_tokenizer(towers, train)


def _length_of_encoder(series: Mapping[str, Any]) -> int | None:
    """The length of series that a pretrained encoder reads, or that its configuration asks for."""
    if series.get("path") is not None:
        return getattr(tower_config("series", parse_tower("series", series)), "context_length", None)
    return (series.get("config") or {}).get("context_length")


def _with_tokenizer(towers: dict[str, Any], train: datasets.Dataset) -> dict[str, Any]:
    text = towers.get("text")
    if not isinstance(text, dict) or text.get("tokenizer") != "from_rows":
        return towers
    if text.get("path") is not None:
        raise ValueError(
            "towers.text.tokenizer: from_rows makes a new vocabulary, which the weights at towers.text.path do not "
            "know: leave the tokenizer out, or give a config instead of the path."
        )
    tokenizer = build_word_tokenizer(each_text(train))
    backbone = dict(text.get("config") or {})
    backbone.setdefault("vocab_size", len(tokenizer))
    backbone.setdefault("pad_token_id", tokenizer.pad_token_id)
    return {**towers, "text": {**text, "tokenizer": tokenizer, "config": backbone}}


def _decoder_from_rows(config: RunConfig, train: datasets.Dataset, schema: TextSchema) -> dict[str, Any]:
    """The decoder's description, with what it takes from the training rows: its vocabulary."""
    decoder = config.resolved_decoder()
    if decoder.get("tokenizer") != "from_rows":
        return decoder
    if decoder.get("path") is not None:
        raise ValueError(
            "decoder.tokenizer: from_rows makes a new vocabulary, which the weights at decoder.path do not know: leave "
            "the tokenizer out, or give a config instead of the path."
        )
    check_labels(train, schema, columns=config.data.columns)
    texts = (schema.encode(value, row="", column="label") for value in each_text(train, "label"))
    return {**decoder, "tokenizer": build_word_tokenizer(texts, max_length=decoder.get("max_length") or 64)}


def _label_schema(config: RunConfig, train: datasets.Dataset) -> Schema:
    """The labels of the training rows."""
    if config.task == "retrieval":
        return ItemSchema()
    if config.task == "generation":
        return TextSchema.from_dataset(train)
    types = config.data.problem_type
    if config.task != "multi_task":
        return _schema_of_one(config, LabelSchema.from_dataset(train, problem_type=cast(str | None, types)), train)
    schemas = {}
    for task in config.data.columns["label"]:
        asked = types.get(task) if isinstance(types, Mapping) else types
        column = f"label.{task}"
        schema = LabelSchema.from_dataset(train, column=column, problem_type=asked)
        names = tuple(name.replace(column, task) for name in schema.names)  # targets are named after their column
        schemas[task] = replace(schema, names=names) if schema.problem_type == "regression" else schema
        if schemas[task].problem_type == "scored_answers":
            raise ValueError(f"Task {task!r} holds scored answers, which are for task: question_answering alone.")
    return TaskSchemas(schemas)


def _schema_of_one(config: RunConfig, schema: LabelSchema, train: datasets.Dataset) -> LabelSchema:
    """Fits a schema to the run's task; several answers to a question are scored ones, as in VQA."""
    if config.task == "question_answering" and schema.problem_type == "multi_label_classification":
        schema = LabelSchema.from_dataset(train, problem_type="scored_answers")
    if schema.problem_type == "scored_answers" and config.data.num_answers is not None:
        schema = LabelSchema(schema.problem_type, schema.names[: config.data.num_answers])
    if config.task == "question_answering" and schema.problem_type == "regression":
        raise ValueError(
            "question_answering needs answers, but the label column holds numbers: use task: classification."
        )
    if config.task != "question_answering" and schema.problem_type == "scored_answers":
        raise ValueError("The label column holds scored answers: use task: question_answering.")
    return schema


def build(config: RunConfig, train: datasets.Dataset) -> tuple[MultimodalPreTrainedModel, MultimodalProcessor, Schema]:
    """Builds model, processor and label schema of a run."""
    schema = _label_schema(config, train)
    towers = _towers_from_rows(config, train)
    if isinstance(schema, TextSchema):
        towers["decoder"] = _decoder_from_rows(config, train, schema)
    processor = MultimodalProcessor.from_towers_pretrained(**towers)
    if config.data.max_length is not None and "text" in processor.modalities:
        processor.tokenizer.model_max_length = config.data.max_length  # saved: texts are cut alike everywhere
    set_seed(config.seed)
    labels: dict[str, Any] = {}
    if isinstance(schema, TaskSchemas):
        labels = {"tasks": schema.tasks}
    elif isinstance(schema, LabelSchema):
        labels = {"id2label": schema.id2label, "label2id": schema.label2id, "problem_type": schema.problem_type}
    model = MODEL_CLASSES[config.task].from_towers_pretrained(**towers, **{**labels, **config.model})
    return model, processor, schema


__all__ = ["MODEL_CLASSES", "build", "check_run", "load_splits"]
