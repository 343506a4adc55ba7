# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""What a run is made of: its rows, its towers with what they take from the rows, model, processor and labels."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any, NamedTuple, cast

import datasets
from huggingface_hub.errors import StrictDataclassError
from transformers import TrainingArguments, set_seed

from hf_multimodal.data.captions import each_text
from hf_multimodal.data.columns import source_name
from hf_multimodal.data.label_inference import column_values
from hf_multimodal.data.labels import ItemSchema, LabelSchema, Schema, TaskSchemas, TextSchema, check_labels
from hf_multimodal.data.loading import is_list_of_texts, limit_rows, load_rows
from hf_multimodal.data.masking import MaskingSchema, masking_options
from hf_multimodal.data.row_stream import RowStream, Survey, survey
from hf_multimodal.data.sources import SplitError
from hf_multimodal.data.word_tokenizer import build_word_tokenizer
from hf_multimodal.modeling.configuration_multimodal import (
    MultimodalConfig,
)
from hf_multimodal.modeling.configuration_towers import parse_tower, tower_config
from hf_multimodal.modeling.modeling_generation import MultimodalForConditionalGeneration
from hf_multimodal.modeling.modeling_multimodal import (
    MultimodalForClassification,
    MultimodalForQuestionAnswering,
    MultimodalModel,
    MultimodalPreTrainedModel,
)
from hf_multimodal.modeling.modeling_pretraining import MultimodalForPreTraining
from hf_multimodal.modeling.modeling_retrieval import MultimodalForRetrieval
from hf_multimodal.modeling.modeling_tasks import MultimodalForMultiTask
from hf_multimodal.modeling.processing_multimodal import MultimodalProcessor
from hf_multimodal.modeling.series_processing_multimodal import fit_series
from hf_multimodal.training.row_source import check_model_name
from hf_multimodal.training.run_config import DEFAULT_SPLITS, RunConfig, check_fields

# keys: run_config.TASKS
MODEL_CLASSES: dict[str, type[MultimodalPreTrainedModel]] = {
    "classification": MultimodalForClassification,
    "question_answering": MultimodalForQuestionAnswering,
    "multi_task": MultimodalForMultiTask,
    "retrieval": MultimodalForRetrieval,
    "generation": MultimodalForConditionalGeneration,
    "pretraining": MultimodalForPreTraining,
}
# Task -> the column that may hold several texts a row.
TEXT_LISTS = {"retrieval": "text", "generation": "label", "pretraining": "text"}


def load_splits(config: RunConfig, *, leave_out: Collection[str] = ()) -> dict[str, datasets.Dataset]:
    """Loads every split the run names, with canonical columns, limited where the configuration says so.

    Where it names none, it takes train, and validation and test if they are there.

    Args:
        config: The run.
        leave_out: Roles that are not loaded, such as that of streamed rows (`open_stream`).
    """
    data = config.data
    splits = {}
    is_default = data.splits == DEFAULT_SPLITS
    for role, split in data.splits.items():
        if role in leave_out:
            continue
        try:
            rows = _load_split(config, split)
        except SplitError as error:
            if is_default and role != "train":
                continue
            raise SplitError(f"{error} Say which to take: data.splits={{train: NAME, validation: NAME}}.") from error
        splits[role] = limit_rows(rows, data.limit.get(role), config.limit_seed)
    return splits


def _load_split(config: RunConfig, split: str, *, streaming: bool = False) -> Any:  # noqa: ANN401 (rows, or a stream)
    data = config.data
    return load_rows(
        data.source,
        split=split,
        columns=data.columns,
        keep=data.keep,
        streaming=streaming,
        text_lists=config.task in ("retrieval", "pretraining"),
        **data.options,
    )


class OpenedStream(NamedTuple):
    """Training rows that are streamed: the stream, all of it but media, and the rows in each of its shards."""

    rows: datasets.IterableDataset
    survey: Survey
    texts: str | None
    has_ids: bool

    def for_process(self, config: RunConfig, arguments: TrainingArguments) -> RowStream:
        """Returns the share of one process, as its training arguments say."""
        return RowStream(
            self.rows,
            self.survey.sizes,
            texts=self.texts,
            has_ids=self.has_ids,
            buffer_size=config.data.shuffle_buffer,
            seed=config.seed,
            batch_size=arguments.train_batch_size,
            workers=arguments.dataloader_num_workers,
            rank=arguments.process_index,
            world_size=arguments.world_size,
        )


def open_stream(config: RunConfig) -> OpenedStream:
    """Opens the training rows as a stream, and goes through it once for labels, words and how many rows there are.

    Raises:
        ValueError: if there is no such split, or it has no rows.
    """
    rows = _load_split(config, config.data.splits["train"], streaming=True).reshard()
    column, has_ids = TEXT_LISTS.get(config.task, "text"), "id" in config.data.columns
    texts = column if is_list_of_texts((rows.features or {}).get(column)) else None
    return OpenedStream(rows, survey(rows, texts=texts, has_ids=has_ids), texts, has_ids)


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
    if config.task == "pretraining":
        return MaskingSchema(tuple(config.model["pretraining_objectives"]))  # the rest follows from the model
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
    labels: dict[str, Any] = {}
    if isinstance(schema, TaskSchemas):
        labels = {"tasks": schema.tasks}
    elif isinstance(schema, LabelSchema):
        labels = {"id2label": schema.id2label, "label2id": schema.label2id, "problem_type": schema.problem_type}
    fields, model_class = {**labels, **config.model}, MODEL_CLASSES[config.task]
    if config.start_from is not None:
        model, processor = _continued(config.start_from, model_class, fields, config.seed)
    else:
        towers = _towers_from_rows(config, train)
        if isinstance(schema, TextSchema):
            towers["decoder"] = _decoder_from_rows(config, train, schema)
        processor = MultimodalProcessor.from_towers_pretrained(**towers)
        set_seed(config.seed)
        model = model_class.from_towers_pretrained(**towers, **fields)
    if config.data.max_length is not None and "text" in processor.modalities:
        processor.tokenizer.model_max_length = config.data.max_length  # saved: texts are cut alike everywhere
    if isinstance(schema, MaskingSchema):
        schema = MaskingSchema.from_config(model.config, **masking_options(config.data.masking))
        schema.check_tokenizer(processor.tokenizer)
    return model, processor, schema


# Fields of a saved configuration that its head and objective read; the rest describe towers and fusion.
_OF_A_TASK = frozenset(
    "architectures auto_map bos_token_id class_weights custom_pipelines decoder_config decoder_start_token_id "
    "eos_token_id focal_gamma id2label is_encoder_decoder label2id label_smoothing num_labels pad_token_id "
    "pretraining_objectives problem_type task_weighting task_weights tasks".split()
)


def _continued(
    folder: str, model_class: type[MultimodalPreTrainedModel], fields: Mapping[str, Any], seed: int
) -> tuple[MultimodalPreTrainedModel, MultimodalProcessor]:
    """Loads a saved model's processor, and its towers and fusion into a model of another class.

    Raises:
        ValueError: if some of these are not in the folder.
    """
    check_model_name(folder)
    body: Any = MultimodalModel.from_pretrained(folder)
    kept = {name: value for name, value in body.config.to_dict().items() if name not in _OF_A_TASK}
    try:
        config = MultimodalConfig.from_dict({**kept, **fields})
    except StrictDataclassError as error:  # not a ValueError; what it wraps says what to do
        raise ValueError(str(error.__cause__ or error)) from error
    set_seed(seed)
    model: Any = model_class(config)
    own, saved = model.model.state_dict(), body.state_dict()
    differing = sorted(name for name in own.keys() | saved.keys() if _shape(own, name) != _shape(saved, name))
    if differing:
        raise ValueError(
            f"The model in {folder!r} has other towers or another fusion than this run asks for: {len(differing)} "
            f"weights differ, among them {', '.join(differing[:3])}. Leave the fields of model out that change them."
        )
    model.model.load_state_dict(saved)
    return model, MultimodalProcessor.from_pretrained(folder)


def _shape(weights: Mapping[str, Any], name: str) -> Any:  # noqa: ANN401 (a size, or None)
    return getattr(weights.get(name), "shape", None)


__all__ = ["MODEL_CLASSES", "TEXT_LISTS", "OpenedStream", "build", "load_splits", "open_stream"]
