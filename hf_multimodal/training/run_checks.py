# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Finds mistakes in a run's configuration before anything is loaded or written."""

from collections.abc import Callable, Mapping
from dataclasses import fields

from hf_multimodal.data.faulty_rows import POLICIES
from hf_multimodal.data.masking import MaskingSchema, masking_options
from hf_multimodal.evaluation.text_metrics import check_text_libraries
from hf_multimodal.hub.hub_files import HUB_FILES
from hf_multimodal.hub.model_card import CARD_FIELDS, CARD_TEXTS
from hf_multimodal.modeling.configuration_decoder import parse_decoder
from hf_multimodal.modeling.configuration_multimodal import (
    MODALITIES,
    PRETRAINING_OBJECTIVES,
    TOWER_CONFIG_FIELDS,
    MultimodalConfig,
    check_known,
)
from hf_multimodal.training.arguments import MultimodalTrainingArguments
from hf_multimodal.training.distillation import Distillation
from hf_multimodal.training.run_config import DataConfig, RunConfig, check_fields, check_types

# Fields of the model that follow from the data, the towers and the decoder.
_FOLLOWING = ("id2label", "label2id", "num_labels", "problem_type", "tasks", *TOWER_CONFIG_FIELDS.values())


def check_run(config: RunConfig) -> None:
    """Checks a run.

    Raises:
        ValueError: naming the first mistake.
    """
    check_fields(config.towers, MODALITIES, "towers.")
    check_fields(config.model, [f.name for f in fields(MultimodalConfig)], "model.")
    check_fields(config.training, [f.name for f in fields(MultimodalTrainingArguments)], "training.")
    check_fields(config.card, (*CARD_FIELDS, *CARD_TEXTS), "card.")
    check_types(config.training, MultimodalTrainingArguments, "training.")
    if "output_dir" in config.training:
        raise ValueError("training.output_dir is set by the run: set the top-level output_dir.")
    if "train" not in config.data.splits:
        raise ValueError("data.splits names no train split.")
    _check_faulty_rows(config.data)
    if config.data.streaming:
        _check_streaming(config)
    for name in (*_FOLLOWING, "decoder_config"):
        if name in config.model:
            raise ValueError(
                f"model.{name} follows from the data and the towers: leave it out (see data.problem_type)."
            )
    _check_towers(config)
    _check_sections(config)
    _CHECKS[config.task](config)


def _check_faulty_rows(data: DataConfig) -> None:
    check_known("value of data.faulty_rows", data.faulty_rows, POLICIES)
    if data.faulty_rows != "raise" and not data.check_rows and not data.streaming:
        raise ValueError(f"data.faulty_rows={data.faulty_rows} needs to open every row first: leave check_rows true.")
    share = data.max_faulty_share
    if not isinstance(share, (int, float)) or isinstance(share, bool) or not 0 <= share <= 1:
        raise ValueError(f"data.max_faulty_share holds {share!r}: it is a share, from 0 to 1.")


def _check_streaming(config: RunConfig) -> None:
    """Refuses what needs the training rows more than once, or in another order."""
    if "[" in config.data.splits["train"]:
        raise ValueError(
            f"data.splits.train={config.data.splits['train']}: a slice cannot be streamed: name the whole split, or "
            "leave data.streaming out."
        )
    if "train" in config.data.limit:
        raise ValueError(
            "data.limit.train takes rows at random, which a stream cannot: leave it or data.streaming out."
        )
    for name in ("feature_cache", "train_sampling_strategy", "rows_per_picture", "auto_find_batch_size"):
        default = MultimodalTrainingArguments.__dataclass_fields__[name].default
        if config.training.get(name, default) != default:
            raise ValueError(f"training.{name} is not for data.streaming: leave one of them out.")


def _check_towers(config: RunConfig) -> None:
    towers = _towers(config)
    for modality in towers:
        if modality not in config.data.columns:
            raise ValueError(f"The {modality} tower has no column: set data.columns.{modality} to the source's column.")
    if config.start_from is None:
        return
    if towers:
        raise ValueError(
            f"A run has either towers or start_from ({config.start_from!r}), with its towers: leave one out."
        )
    if config.task == "generation":
        raise ValueError("start_from is not for task: generation, whose decoder other models lack: give towers.")


def _towers(config: RunConfig) -> list[str]:
    return [modality for modality, tower in config.towers.items() if tower is not None]


def _check_sections(config: RunConfig) -> None:
    """Refuses what another task reads."""
    if config.decoder and config.task != "generation":
        raise ValueError(f"decoder is for task: generation, not for {config.task}: leave it out.")
    if config.data.masking and config.task != "pretraining":
        raise ValueError(f"data.masking is for task: pretraining, not for {config.task}: leave it out.")
    for kind in config.hub_files:
        check_known("value of hub_files", kind, tuple(HUB_FILES))
    if "space" in config.hub_files and config.task in ("retrieval", "pretraining"):
        raise ValueError(f"hub_files: a Space shows what a pipeline answers, and task: {config.task} has none.")
    if config.distillation:
        _check_distillation(config)
    if "item" in config.data.columns and config.task not in ("retrieval", "pretraining"):
        raise ValueError("data.columns.item is for task: retrieval, where rows of one item match: leave it out.")


def _check_distillation(config: RunConfig) -> None:
    Distillation.from_dict(config.distillation)
    if config.task not in ("classification", "question_answering"):
        raise ValueError(f"distillation is for models that predict the labels of one task, not for {config.task}.")
    if config.data.streaming:
        raise ValueError("distillation asks the teacher about all rows before training: leave data.streaming out.")


def _check_label_smoothing(config: RunConfig, instead: str) -> None:
    if config.training.get("label_smoothing_factor"):
        raise ValueError(f"training.label_smoothing_factor would take the labels away from the model: {instead}.")


def _check_retrieval(config: RunConfig) -> None:
    if config.data.columns.get("label"):
        raise ValueError("task: retrieval has no labels, rows match by their item: leave data.columns.label out.")
    towers = _towers(config)
    if config.start_from is None and len(towers) != 2:
        raise ValueError(f"task: retrieval matches two modalities, but there are {len(towers)} towers: give two.")


def _check_pretraining(config: RunConfig) -> None:
    if config.data.columns.get("label"):
        raise ValueError("task: pretraining has no labels: leave data.columns.label out.")
    if not config.model.get("pretraining_objectives"):
        raise ValueError(
            "task: pretraining needs objectives: model.pretraining_objectives={masked_language: 1, …}. Known: "
            f"{', '.join(PRETRAINING_OBJECTIVES)}."
        )
    _check_label_smoothing(config, "leave it out")
    if config.training.get("rows_per_picture", 1) != 1:
        raise ValueError("training.rows_per_picture is not for pretraining, which hides other parts in each row.")
    options = masking_options(config.data.masking)
    if not isinstance(options["whole_words"], bool):
        raise ValueError(f"data.masking.whole_words holds {options['whole_words']!r}: it is true or false.")
    MaskingSchema((), **options)


def _check_generation(config: RunConfig) -> None:
    parse_decoder(config.decoder)
    check_text_libraries()
    _check_label_smoothing(config, "set model.label_smoothing")
    if config.data.problem_type is not None:
        raise ValueError("data.problem_type is for labels; task: generation writes texts: leave it out.")
    _check_one_task(config)


def _check_one_task(config: RunConfig) -> None:
    labels = _labels(config)
    if not isinstance(labels, str):
        raise ValueError(f"data.columns.label is {labels!r}: for several tasks set task: multi_task.")
    if isinstance(config.data.problem_type, Mapping):
        check_fields(config.data.problem_type, (), "data.problem_type.")


def _check_several_tasks(config: RunConfig) -> None:
    labels = _labels(config)
    if not isinstance(labels, Mapping):
        raise ValueError(
            f"data.columns.label is {labels!r}: task: multi_task takes a mapping of task to column, "
            "{season: season, ...}."
        )
    if config.training.get("label_smoothing_factor"):
        raise ValueError("training.label_smoothing_factor knows one task only: set model.label_smoothing.")
    if isinstance(config.data.problem_type, Mapping):
        check_fields(config.data.problem_type, labels, "data.problem_type.")


def _labels(config: RunConfig) -> object:
    labels = config.data.columns.get("label")
    if not labels:
        raise ValueError("data.columns.label is missing: say which column holds the labels.")
    return labels


# keys: run_config.TASKS
_CHECKS: dict[str, Callable[[RunConfig], None]] = {
    "classification": _check_one_task,
    "question_answering": _check_one_task,
    "multi_task": _check_several_tasks,
    "retrieval": _check_retrieval,
    "generation": _check_generation,
    "pretraining": _check_pretraining,
}


__all__ = ["check_run"]
