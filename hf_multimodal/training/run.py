# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""One run from a `RunConfig`: load rows, build, train, evaluate, save."""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast

import datasets
from accelerate import PartialState
from huggingface_hub import HfApi
from transformers import PreTrainedModel
from transformers.trainer import TRAINING_ARGS_NAME
from transformers.utils import CONFIG_NAME

from hf_multimodal.data.captions import spread_captions
from hf_multimodal.data.collator import MultimodalCollator
from hf_multimodal.data.columns import flatten_columns
from hf_multimodal.data.label_inference import column_values
from hf_multimodal.data.labels import LabelSchema, TaskSchemas, TextSchema, check_labels
from hf_multimodal.data.row_stream import RowStream
from hf_multimodal.data.whole_files import flush, flush_folder, write_whole
from hf_multimodal.evaluation.metrics import ProblemType, choice_metric, metric_names
from hf_multimodal.evaluation.predictions import METRICS, metrics_json
from hf_multimodal.hub.hub_files import write_hub_files
from hf_multimodal.hub.model_card import CardFacts, architecture_of, write_model_card
from hf_multimodal.modeling.configuration_decoder import parse_decoder
from hf_multimodal.modeling.configuration_multimodal import check_known
from hf_multimodal.modeling.configuration_towers import parse_towers, weights_path
from hf_multimodal.modeling.processing_multimodal import MultimodalProcessor
from hf_multimodal.training.adapters import ADAPTERS, merge_adapters, save_adapters
from hf_multimodal.training.arguments import STALL_TIMEOUT, MultimodalTrainingArguments
from hf_multimodal.training.checkpoints import UNFINISHED, list_checkpoints
from hf_multimodal.training.distillation import (
    Distillation,
    DistillingTrainer,
    add_teacher_logits,
)
from hf_multimodal.training.feature_cache import cache_features, release_features
from hf_multimodal.training.generation import score_texts
from hf_multimodal.training.output_folder import (
    CHECKPOINTS,
    RUN_FILE,
    TRAINING_LOG,
    check_output_folder,
    is_restarted,
    prepare_output_folder,
)
from hf_multimodal.training.row_checks import check_splits, count_faulty, tolerant_collator, write_faulty
from hf_multimodal.training.run_checks import check_run
from hf_multimodal.training.run_config import RunConfig
from hf_multimodal.training.run_parts import TEXT_LISTS, build, load_splits, open_stream
from hf_multimodal.training.soup import cook_soup
from hf_multimodal.training.stall_watch import bounded_meeting
from hf_multimodal.training.trainer import MultimodalTrainer


@dataclass(frozen=True)
class RunResult:
    """What a run leaves behind.

    Attributes:
        folder: The run's folder: model, processor, card, `metrics.json`, the resolved configuration, checkpoints.
        metrics: Split -> metric -> value, and `training` -> seconds, epochs, parameters.
        labels: The label names in index order, or the names of the tasks; of retrieval none.
        sizes: Split -> rows.
    """

    folder: Path
    metrics: dict[str, dict[str, float]]
    labels: tuple[str, ...]
    sizes: dict[str, int]


def _training_arguments(
    config: RunConfig, folder: Path, has_validation: bool, problem_type: ProblemType, modalities: Sequence[str]
) -> MultimodalTrainingArguments:
    values = {"seed": config.seed, "hub_model_id": folder.name, **config.training}
    if not has_validation:
        values = {"eval_strategy": "no", "load_best_model_at_end": False, **values}
    elif values.get("load_best_model_at_end", True):
        values.setdefault("metric_for_best_model", choice_metric(problem_type)[0])
        metric = values["metric_for_best_model"].removeprefix("eval_")
        check_known(
            "metric in training.metric_for_best_model", metric, (*metric_names(problem_type, modalities), "loss")
        )
        values.setdefault("greater_is_better", not metric.endswith(("mse", "loss", "rank")))
    with bounded_meeting(values.get("stall_timeout", STALL_TIMEOUT)):
        return MultimodalTrainingArguments(output_dir=str(folder / CHECKPOINTS), **values)


def train(config: RunConfig, *, overwrite: bool = False, resume: bool = False) -> RunResult:
    """Trains, evaluates on every split but the training one, and saves model, processor, metrics and card.

    Args:
        config: The run. With `training.push_to_hub` the whole folder but its checkpoints goes to the Hub in the end.
        overwrite: Whether an earlier run in the folder may be deleted.
        resume: Whether to continue an earlier run in the folder. A run that its launcher has started again
            (`accelerate launch --max_restarts`) continues by itself.

    Raises:
        ValueError: if the configuration, a row or the output folder is not usable; nothing is written then.
    """
    check_run(config)
    folder = Path(config.output_dir)
    if is_restarted(folder):
        overwrite, resume = False, True
    check_output_folder(folder, overwrite=overwrite, resume=resume)
    earlier_seconds = _check_resumed(config, folder) if resume else 0.0
    trainer, splits, rows_of, faulty = _build_trainer(config, folder)
    collator, state = cast(MultimodalCollator, trainer.data_collator), PartialState()
    schema = collator.label_schema
    if state.is_main_process:
        prepare_output_folder(folder, overwrite=overwrite)
        config.save(folder / RUN_FILE)
        write_faulty(folder, faulty, is_streaming=config.data.streaming)
    state.wait_for_everyone()
    has_begun = resume and bool(list_checkpoints(folder / CHECKPOINTS))
    trainer.train(resume_from_checkpoint=True if has_begun else None)
    count = cast(MultimodalTrainingArguments, trainer.args).soup_checkpoints
    soup = cook_soup(trainer, count) if count else []
    facts = trainer.training_facts()
    if cast(MultimodalTrainingArguments, trainer.args).adapters:
        _merge_adapters(trainer, folder)
    _save_model(trainer, folder)  # before scores and card, which may fail; pushed whole, further down
    facts = {**facts, "seconds": facts["seconds"] + earlier_seconds, "soup": soup}
    facts["faulty_rows"] = count_faulty(folder)
    metrics = {"training": facts, **_evaluate(trainer, rows_of)}
    release_features(cast(Any, trainer.model))
    if isinstance(schema, TextSchema):
        _add_text_scores(metrics, trainer.model, collator.processor, splits, schema, config)
    if state.is_main_process:
        _write_results(config, trainer, metrics, rows_of)
        if trainer.args.push_to_hub:
            _push(trainer, folder)
    state.wait_for_everyone()
    names = tuple(schema.schemas) if isinstance(schema, TaskSchemas) else getattr(schema, "names", ())
    return RunResult(folder, metrics, names, _count_rows(rows_of))


def _merge_adapters(trainer: MultimodalTrainer, folder: Path) -> None:
    """Saves the adapters alone, and makes them part of the model."""
    model = cast(PreTrainedModel, trainer.accelerator.unwrap_model(trainer.model))
    if trainer.is_world_process_zero():
        shutil.rmtree(folder / ADAPTERS, ignore_errors=True)
        save_adapters(model, folder / ADAPTERS)
    merge_adapters(model)


def _save_model(trainer: MultimodalTrainer, folder: Path) -> None:
    """Saves model and processor into the run's folder: `config.json`, without which nothing loads, comes last.

    Raises:
        ValueError: if the Trainer saves no whole model.
    """
    unfinished = folder / UNFINISHED
    if trainer.is_world_process_zero():
        shutil.rmtree(unfinished, ignore_errors=True)  # of a process that was killed
    trainer.accelerator.wait_for_everyone()
    trainer.save_model(str(unfinished), _internal_call=True)
    trainer.accelerator.wait_for_everyone()
    if trainer.is_world_process_zero():
        if not unfinished.is_dir():
            raise ValueError(
                "The model was saved in shards only, in the last checkpoint: set fsdp_state_dict_type=FULL_STATE_DICT, "
                "and --resume saves it whole."
            )
        (unfinished / TRAINING_ARGS_NAME).unlink(missing_ok=True)  # a pickle, which run_config.yaml makes superfluous
        (folder / CONFIG_NAME).unlink(missing_ok=True)  # of the run that this one goes on from
        flush_folder(unfinished)
        for path in sorted(unfinished.iterdir(), key=lambda path: path.name == CONFIG_NAME):
            if (folder / path.name).is_dir():
                shutil.rmtree(folder / path.name)
            path.replace(folder / path.name)
        unfinished.rmdir()
        flush(folder)


class _Built(NamedTuple):
    """A run before its first step: its Trainer, role -> rows, role -> rows as they are trained on, and faulty rows."""

    trainer: MultimodalTrainer
    splits: Mapping[str, datasets.Dataset]
    rows_of: dict[str, Any]
    faulty: list[dict[str, Any]]


def _build_trainer(config: RunConfig, folder: Path) -> _Built:
    """Loads the rows, builds the model and checks every row; nothing is left behind if something is not usable."""
    existed = folder.exists()
    stream = open_stream(config) if config.data.streaming else None
    splits: Mapping[str, datasets.Dataset] = load_splits(config, leave_out=("train",) if stream else ())
    if stream is not None:
        splits = {"train": stream.survey.rows, **splits}
    model, processor, schema = build(config, splits["train"])
    for rows in splits.values():
        check_labels(rows, schema, columns=config.data.columns)
    processor.check_model(model.config)
    # The arguments know the processes, under every launcher, so they come before anything is shared out.
    arguments = _training_arguments(
        config, folder, "validation" in splits, schema.problem_type, cast(Any, model.config).modalities
    )
    if arguments.load_best_model_at_end and isinstance(schema, TaskSchemas):
        _check_choice(str(arguments.metric_for_best_model), schema, splits["validation"])
    texts = TEXT_LISTS.get(config.task, "text")
    collator = MultimodalCollator(processor, schema, config.data.columns)
    faulty: list[dict[str, Any]] = []
    if stream is not None:
        splits = {role: rows for role, rows in splits.items() if role != "train"}
    if config.data.check_rows:
        splits, faulty = check_splits(splits, collator, config.data, texts)
    PartialState().wait_for_everyone()  # one with a bad row never comes
    rows_of: dict[str, Any] = {role: spread_captions(rows, column=texts) for role, rows in splits.items()}
    if stream is not None:
        rows_of = {"train": stream.for_process(config, arguments), **rows_of}
        collator = tolerant_collator(collator, config, sum(stream.survey.sizes))
    if arguments.feature_cache is not None:
        collator = cache_features(
            model, collator, rows_of, arguments.feature_cache, dtype=arguments.feature_cache_dtype
        )
    make_trainer = _learn_from_teacher(config, rows_of, collator)
    try:
        trainer = make_trainer(
            model,
            arguments,
            processing_class=processor,
            data_collator=collator,
            train_dataset=rows_of["train"],
            eval_dataset=rows_of.get("validation"),
        )
    except Exception:
        if not existed:  # the Trainer makes its folder first
            shutil.rmtree(folder, ignore_errors=True)
        raise
    return _Built(trainer, splits, rows_of, faulty)


def _learn_from_teacher(
    config: RunConfig, rows_of: dict[str, Any], collator: MultimodalCollator
) -> Callable[..., MultimodalTrainer]:
    """Returns what makes the Trainer; a teacher, if there is one, is asked about its rows."""
    if not config.distillation:
        return MultimodalTrainer
    distillation, schema = Distillation.from_dict(config.distillation), cast(LabelSchema, collator.label_schema)
    rows_of["train"] = add_teacher_logits(rows_of["train"], distillation, schema, config.data.columns)
    return partial(DistillingTrainer, distillation=distillation)


def _check_choice(metric: str, schemas: TaskSchemas, validation: datasets.Dataset) -> None:
    """Refuses to choose a model by a task of which no validation row has a label."""
    for task in schemas.schemas:
        if metric.removeprefix("eval_").startswith(f"{task}_"):
            values = column_values(validation, f"label.{task}") or ()
            if all(schemas.encode(task, value, row=0, column=task) is None for value in values):
                raise ValueError(
                    f"training.metric_for_best_model={metric}, but no validation row has a label of {task!r}: choose "
                    "another metric."
                )


def _check_resumed(config: RunConfig, folder: Path) -> float:
    """Checks that a run to be resumed is the same one, and returns the seconds it has trained, where it was finished.

    Raises:
        ValueError: naming what differs; `training`, `card` and `output_dir` may.
    """
    before, now = asdict(RunConfig.load(folder / RUN_FILE)), asdict(config)
    changed = [
        key
        for key in ("task", "seed", "towers", "start_from", "decoder", "model", "data", "distillation")
        if before[key] != now[key]
    ]
    if changed:
        raise ValueError(
            f"Cannot resume the run in {str(folder)!r}: {', '.join(changed)} differ from its {RUN_FILE}. Give the same "
            "configuration (only training and card may change), or another output_dir."
        )
    file = folder / METRICS
    return json.loads(file.read_text(encoding="utf-8"))["training"]["seconds"] if file.is_file() else 0.0


def _evaluate(trainer: MultimodalTrainer, splits: dict[str, Any]) -> dict[str, dict[str, float]]:
    metrics = {}
    for role, rows in splits.items():
        if role != "train":
            scores = trainer.evaluate(rows, metric_key_prefix=role)
            metrics[role] = {k.removeprefix(f"{role}_"): v for k, v in scores.items() if k.startswith(f"{role}_")}
    return metrics


def _add_text_scores(
    metrics: dict[str, Any],
    model: Any,  # noqa: ANN401 (a model that writes)
    processor: MultimodalProcessor,
    splits: Mapping[str, datasets.Dataset],
    schema: TextSchema,
    config: RunConfig,
) -> None:
    """Adds how good what the model writes is, for every split but the training one."""
    for role in splits:
        if role != "train":
            scores = score_texts(model, processor, splits[role], schema, columns=config.data.columns)
            metrics[role].update(scores)


def _count_rows(rows_of: Mapping[str, Any]) -> dict[str, int]:
    return {role: rows.num_rows if isinstance(rows, RowStream) else len(rows) for role, rows in rows_of.items()}


def _write_results(
    config: RunConfig, trainer: MultimodalTrainer, metrics: dict[str, Any], splits: dict[str, Any]
) -> None:
    folder, model = Path(config.output_dir), cast(PreTrainedModel, trainer.model)
    write_whole(folder / METRICS, metrics_json(metrics))
    write_whole(folder / TRAINING_LOG, metrics_json(trainer.state.log_history))
    facts = CardFacts(
        architecture=architecture_of(model),
        metrics={role: values for role, values in metrics.items() if role != "training"},
        training=metrics["training"],
        sizes=_count_rows(splits),
        source=config.data.source,
        columns=flatten_columns(config.data.columns),
        metadata={**_base_models(config), **config.card},
    )
    write_model_card(folder, model.config, facts)
    if config.hub_files:
        write_hub_files(folder, config.hub_files)


def _base_models(config: RunConfig) -> dict[str, list[str]]:
    """The Hub ids that the weights came from."""
    if config.start_from is not None:
        paths = [config.start_from]
    else:
        specs = parse_towers(config.resolved_towers())
        paths = [weights_path(modality, spec) for modality, spec in specs.items() if spec.loads_weights]
        decoder = parse_decoder(config.resolved_decoder())
        paths += [decoder.path] if decoder.path is not None and decoder.loads_weights else []
    hub_ids = [path for path in paths if not Path(path).exists()]
    return {"base_model": hub_ids} if hub_ids else {}


def _push(trainer: MultimodalTrainer, folder: Path) -> None:
    if trainer.hub_model_id is None:
        trainer.init_hf_repo()
    HfApi(token=trainer.args.hub_token).upload_folder(
        repo_id=cast(str, trainer.hub_model_id),
        folder_path=folder,
        ignore_patterns=[f"{CHECKPOINTS}/*"],
        commit_message="End of training",
    )


__all__ = ["RunResult", "train"]
