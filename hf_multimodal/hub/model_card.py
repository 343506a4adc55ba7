# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""The model card: what was trained, on what, and what was measured."""

import platform
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

import torch
from huggingface_hub import EvalResult, ModelCard, ModelCardData
from transformers import AutoConfig, PreTrainedConfig

from hf_multimodal.training.run import RunResult
from hf_multimodal.training.run_config import RunConfig

_SCORES = ("accuracy", "f1", "mse", "loss")
_PIPELINE_TAGS = {"question_answering": "visual-question-answering", "classification": None}


def write_model_card(result: RunResult, run: RunConfig) -> Path:
    """Writes `README.md` beside a saved model, with its measured metrics also in the machine-readable header.

    Args:
        result: The finished run.
        run: Its configuration.

    Returns:
        The card's path.
    """
    config = AutoConfig.from_pretrained(result.folder)
    card = ModelCard(f"---\n{_card_data(result, run).to_yaml()}\n---\n\n" + _render(result, run, config))
    path = result.folder / "README.md"
    card.save(path)
    return path


def _card_data(result: RunResult, run: RunConfig) -> ModelCardData:
    split = "test" if "test" in result.metrics else "validation"
    results = [
        EvalResult(
            task_type=_PIPELINE_TAGS[run.task] or "other",
            dataset_type=run.data.source,
            dataset_name=Path(run.data.source).name,
            dataset_split=split,
            metric_type=name,
            metric_value=round(value, 4),
        )
        for name, value in result.metrics.get(split, {}).items()
        if name in _SCORES[:-1]
    ]
    return ModelCardData(
        model_name=result.folder.name,
        library_name="transformers",
        pipeline_tag=_PIPELINE_TAGS[run.task],
        tags=["hf_multimodal", "multimodal", *sorted(run.towers)],
        eval_results=results or None,
    )


def _render(result: RunResult, run: RunConfig, config: PreTrainedConfig) -> str:
    training = result.metrics["training"]
    template = Template(files("hf_multimodal.hub").joinpath("templates/model_card.md").read_text(encoding="utf-8"))
    return template.substitute(
        title=result.folder.name,
        summary=(
            f"A {' + '.join(config.modalities)} model that fuses {_tower_names(config)} by {config.fusion}, made with "
            "hf_multimodal."
        ),
        pipeline="multimodal-" + run.task.replace("_", "-"),
        location=result.folder.name,
        example=_example(config.modalities),
        metrics=_metrics_table(result.metrics),
        sizes=", ".join(f"{size:,} {split}" for split, size in result.sizes.items()),
        seed=run.seed,
        seconds=training["seconds"],
        steps=training["steps"],
        epochs=round(training["epochs"], 2),
        processes=training["processes"],
        hardware=_hardware(),
        task=run.task,
        problem_type=config.problem_type,
        num_labels=len(result.labels),
        labels=_shorten(result.labels),
        towers="; ".join(f"{m}: {_tower_name(config, m)}" for m in config.modalities),
        fusion=config.fusion,
        num_layers=config.num_hidden_layers,
        hidden_size=config.hidden_size,
        parameters=f"{training['parameters']:,}",
        trainable=f"{training['trainable_parameters']:,}",
        modalities=", ".join(config.modalities),
        source=run.data.source,
        columns=", ".join(f"{name} = `{column}`" for name, column in run.data.columns.items()),
    )


def _metrics_table(metrics: dict[str, dict[str, float]]) -> str:
    splits = [split for split in metrics if split != "training"]
    names = [name for name in _SCORES if any(name in metrics[split] for split in splits)]
    lines = ["| split | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    lines += [
        f"| {s} | " + " | ".join(f"{metrics[s][n]:.4f}" if n in metrics[s] else "" for n in names) + " |"
        for s in splits
    ]
    return "\n".join(lines)


def _example(modalities: tuple[str, ...]) -> str:
    values: dict[str, Any] = {"text": '"a text"', "image": '"picture.png"'}
    return "{" + ", ".join(f'"{m}": {values[m]}' for m in modalities) + "}"


def _tower_name(config: PreTrainedConfig, modality: str) -> str:
    tower = config.tower_config(modality)
    return f"timm {tower.architecture}" if tower.model_type == "timm_wrapper" else str(tower.model_type)


def _tower_names(config: PreTrainedConfig) -> str:
    return " and ".join(_tower_name(config, m) for m in config.modalities)


def _shorten(labels: tuple[str, ...], shown: int = 20) -> str:
    return ", ".join(labels[:shown]) + (f", and {len(labels) - shown} more" if len(labels) > shown else "")


def _hardware() -> str:
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{torch.get_num_threads()} threads of {platform.machine()}"


__all__ = ["write_model_card"]
