# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""The model card: what was trained, on what, and what was measured."""

import json
import math
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

import torch
from huggingface_hub import EvalResult, ModelCard, ModelCardData
from transformers import PreTrainedConfig

from hf_multimodal.data.labels import LabelSchema, labels_from_config
from hf_multimodal.modeling.configuration_multimodal import PROCESSOR_ARGUMENTS
from hf_multimodal.modeling.modeling_all import MODELS_WITH_HEAD

CARD_FIELDS = ("license", "license_name", "license_link", "language", "tags", "datasets", "base_model")
LINKED_FILES = {"run_config.yaml": "Configuration", "metrics.json": "Metrics"}
_METRICS = {
    "accuracy": "accuracy",
    "f1": "F1",
    "mse": "mean squared error",
    "bleu": "BLEU-4",
    "rougeL": "ROUGE-L",
    "cider": "CIDEr-D",
    "exact_match": "exact match",
    "vqa_accuracy": "VQA accuracy",
    "distinct": "share of distinct texts",
    "mean_recall": "mean recall",
    "recall@1": "recall@1",
    "recall@5": "recall@5",
    "recall@10": "recall@10",
    "median_rank": "median rank",
    "mrr": "mean reciprocal rank",
    "ndcg@10": "nDCG@10",
}
_MOST_COLUMNS = 8  # of a table; longer ones stand on their side
_SCORES = (*_METRICS, "loss")
_USE = """```python
from transformers import pipeline

# a local folder or a Hub id
predict = pipeline("{pipeline}", model="{location}", trust_remote_code=True)
predict({example})
```

With `hf_multimodal` installed, `import hf_multimodal` first and leave `trust_remote_code` out. From the Hub, pin a
`revision` when you do use it: the folder carries the code that it runs."""
# transformers has no auto class for several tasks
_USE_OF_TASKS = """```python
from hf_multimodal import MultimodalClassificationPipeline, MultimodalForMultiTask, MultimodalProcessor

source = "{location}"  # a local folder or a Hub id
model, processor = (kind.from_pretrained(source) for kind in (MultimodalForMultiTask, MultimodalProcessor))
MultimodalClassificationPipeline(model=model, processor=processor)({example})
```"""
_USE_OF_RETRIEVAL = """```bash
hf-multimodal embed {location} --source ROWS --modality {second} --tokens --output embeddings
hf-multimodal index my_index --embeddings embeddings
hf-multimodal search my_index --{first} {query} --rerank 50
```

```python
from hf_multimodal import MultimodalForRetrieval, MultimodalProcessor

source = "{location}"  # a local folder or a Hub id
model, processor = (kind.from_pretrained(source) for kind in (MultimodalForRetrieval, MultimodalProcessor))
towers = model.encode(**processor({argument}=[{query}], return_tensors="pt"))
model.embed(towers)["{first}"]  # unit vectors
```"""
_USE_OF_PRETRAINED = """```python
from hf_multimodal import MultimodalForClassification, MultimodalProcessor

source = "{location}"  # a local folder or a Hub id
model = MultimodalForClassification.from_pretrained(source, num_labels=2)  # towers and fusion are kept, the head is new
processor = MultimodalProcessor.from_pretrained(source)
```

Or `start_from: {location}` in the configuration of a run."""
_PIPELINE_TAGS = {"MultimodalForQuestionAnswering": "visual-question-answering"}


@dataclass(frozen=True)
class CardFacts:
    """What a card says that the model's configuration does not know.

    Attributes:
        architecture: Name of the model's class, one with a head.
        metrics: Split -> metric -> value, as measured.
        training: `steps`, `epochs`, `processes`, `seed`, `parameters`, `trainable_parameters`, and `seconds` if known.
        sizes: Split -> rows.
        source: Where the rows are from; of a local path only the last part is told.
        columns: Canonical name -> column of the source.
        metadata: Fields of the card's header: those of `CARD_FIELDS`.
    """

    architecture: str
    metrics: Mapping[str, Mapping[str, float]]
    training: Mapping[str, Any]
    sizes: Mapping[str, int] = field(default_factory=dict)
    source: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def dataset_name(self) -> str:
        """The source's name, without the folders of the machine it was read on."""
        if self.source is None:
            return "not recorded"
        is_local = Path(self.source).expanduser().exists() or self.source.startswith((".", "/", "~"))
        return Path(self.source).name if is_local else self.source


def write_model_card(folder: str | Path, config: PreTrainedConfig, facts: CardFacts) -> Path:
    """Writes `README.md` into a model's folder, with the measured metrics also in its machine-readable header.

    Args:
        folder: The folder; its name is the model's.
        config: The model's configuration.
        facts: Everything else.

    Returns:
        The card's path.
    """
    path = Path(folder) / "README.md"
    body = _render(path.parent, config, facts)
    ModelCard(f"---\n{_header(path.parent.resolve().name, config, facts).to_yaml()}\n---\n\n{body}").save(path)
    return path


def _header(name: str, config: PreTrainedConfig, facts: CardFacts) -> ModelCardData:
    split = _reported_split(facts.metrics)
    task = _PIPELINE_TAGS.get(facts.architecture)
    results = [
        EvalResult(
            task_type=task or "other",
            dataset_type=facts.dataset_name,
            dataset_name=facts.dataset_name,
            dataset_split=split,
            metric_type=str(_kind_of(metric)),
            metric_name=_metric_name(metric),
            metric_value=round(value, 4),
        )
        for metric, value in facts.metrics.get(split, {}).items()
        if _kind_of(metric) in _METRICS and math.isfinite(value)
    ]
    metadata = dict(facts.metadata)
    given = metadata.pop("tags", None) or []
    tags = ["hf_multimodal", "multimodal", *config.modalities, *([given] if isinstance(given, str) else given)]
    return ModelCardData(
        model_name=name,
        library_name="transformers",
        pipeline_tag=task,
        tags=list(dict.fromkeys(tags)),
        eval_results=results or None,
        **metadata,
    )


def _kind_of(metric: str) -> str | None:
    """The plain metric behind one that may be a task's own; None of what is no score."""
    return next((kind for kind in _SCORES if metric == kind or (metric.endswith(f"_{kind}"))), None)


def _metric_name(metric: str) -> str:
    kind = str(_kind_of(metric))
    task = metric.removesuffix(kind).removesuffix("_")
    return f"{_METRICS[kind]} of {task.replace('_to_', ' to ')}" if task else _METRICS[kind]


def _reported_split(metrics: Mapping[str, Any]) -> str:
    return next((split for split in ("test", "validation") if split in metrics), "validation")


def _render(folder: Path, config: PreTrainedConfig, facts: CardFacts) -> str:
    template = Template(files("hf_multimodal.hub").joinpath("templates/model_card.md").read_text(encoding="utf-8"))
    training = facts.training
    return template.substitute(
        title=folder.resolve().name,
        summary=(
            f"A {' + '.join(config.modalities)} model that fuses {' and '.join(_towers(config).values())} by "
            f"{config.fusion}, made with hf_multimodal."
        ),
        use=_use(folder, config, facts),
        metrics=_metrics_table(facts.metrics),
        sizes=f"Rows: {', '.join(f'{size:,} {split}' for split, size in facts.sizes.items())}. " if facts.sizes else "",
        training=_training_line(training),
        architecture=facts.architecture,
        labels=_labels(config, facts),
        towers="; ".join(f"{modality}: {name}" for modality, name in _towers(config).items()),
        fusion=config.fusion,
        num_layers=config.num_hidden_layers,
        hidden_size=config.hidden_size,
        parameters=f"{training['parameters']:,}",
        trainable=f"{training['trainable_parameters']:,}",
        modalities=", ".join(config.modalities),
        source=_source_line(facts),
        files=_files_line(folder),
    )


def _use(folder: Path, config: PreTrainedConfig, facts: CardFacts) -> str:
    location = folder.resolve().name
    model_class = MODELS_WITH_HEAD[facts.architecture]
    pipelines = model_class._pipelines
    example = _example(config.modalities, folder)
    if model_class.matches_items:
        first, second = config.modalities
        query = _values(folder)[first]
        argument = PROCESSOR_ARGUMENTS[first]
        return _USE_OF_RETRIEVAL.format(location=location, first=first, second=second, query=query, argument=argument)
    if model_class.learns_unlabelled:
        return _USE_OF_PRETRAINED.format(location=location)
    if not pipelines:
        return _USE_OF_TASKS.format(location=location, example=example)
    return _USE.format(pipeline=next(iter(pipelines)), location=location, example=example)


def _labels(config: PreTrainedConfig, facts: CardFacts) -> str:
    if MODELS_WITH_HEAD[facts.architecture].matches_items:
        return f", embeddings of width {config.embedding_size}, contrastive objective `{config.contrastive_objective}`"
    if MODELS_WITH_HEAD[facts.architecture].learns_unlabelled:
        return f", objectives {', '.join(f'{name} ({x:g})' for name, x in config.pretraining_objectives.items())}"
    if MODELS_WITH_HEAD[facts.architecture].writes_text:
        decoder = config.decoder_config
        return f", a {decoder.model_type} decoder of {decoder.num_hidden_layers} layers, {decoder.vocab_size} tokens"
    schema = labels_from_config(config)
    if isinstance(schema, LabelSchema):
        return _describe(schema)
    tasks = "".join(f"\n  - {task}{_describe(own)}" for task, own in schema.schemas.items())
    return f", {len(schema.schemas)} tasks{tasks}"


def _describe(schema: LabelSchema) -> str:
    return f" (`{schema.problem_type}`), {schema.num_labels} labels: {_shorten(schema.names)}"


def _metrics_table(metrics: Mapping[str, Mapping[str, float]]) -> str:
    if not metrics:
        return "Nothing was measured: there was no validation or test split."
    found = dict.fromkeys(name for values in metrics.values() for name in values)
    names = [name for name in found if _kind_of(name) is not None]
    names.sort(key=lambda name: (name not in _SCORES, _SCORES.index(name) if name in _SCORES else 0))
    if len(names) > _MOST_COLUMNS:
        lines = ["| metric | " + " | ".join(metrics) + " |", "|---" * (len(metrics) + 1) + "|"]
        for name in names:
            values = " | ".join(f"{scores[name]:.4f}" if name in scores else "" for scores in metrics.values())
            lines.append(f"| {name} | {values} |")
        return "\n".join(lines)
    lines = ["| split | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    lines += [
        f"| {split} | " + " | ".join(f"{values[n]:.4f}" if n in values else "" for n in names) + " |"
        for split, values in metrics.items()
    ]
    return "\n".join(lines)


def _training_line(training: Mapping[str, Any]) -> str:
    seconds = f"{training['seconds']} s, " if training.get("seconds") else ""
    return (
        f"Seed {training['seed']}. Training took {seconds}{training['steps']} steps, {round(training['epochs'], 2)} "
        f"epochs, on {training['processes']} process(es) of {_hardware()}."
    )


def _source_line(facts: CardFacts) -> str:
    columns = ", ".join(f"{name} = `{column}`" for name, column in facts.columns.items())
    return f"`{facts.dataset_name}`" + (f", columns {columns}" if columns else "") + "."


def _files_line(folder: Path) -> str:
    there = [f" {what}: [`{name}`]({name})." for name, what in LINKED_FILES.items() if (folder / name).is_file()]
    return "".join(there)


def _example(modalities: tuple[str, ...], folder: Path) -> str:
    values = _values(folder)
    return "{" + ", ".join(f'"{m}": {values[m]}' for m in modalities) + "}"


def _values(folder: Path) -> dict[str, Any]:
    values: dict[str, Any] = {"text": '"a text"', "image": '"picture.png"', "audio": '"sound.wav"'}
    return {**values, "video": '"clip.mp4"', "series": _series_example(folder)}


def _series_example(folder: Path) -> str:
    """A row of the series' mean values, as the processor beside the card knows them."""
    file = folder / "processor_config.json"
    saved = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    series = saved.get("series_feature_extractor", {"channels": [], "mean": [], "categories": {}, "length": 1})
    means = {name: round(mean, 3) for name, mean in zip(series["channels"], series["mean"], strict=True)}
    if series["length"] > 1:
        means = {name: [mean, mean] for name, mean in means.items()}
    return json.dumps({**means, **{name: known[0] for name, known in series["categories"].items() if known}})


def _towers(config: PreTrainedConfig) -> dict[str, str]:
    towers = {modality: config.tower_config(modality) for modality in config.modalities}
    return {
        modality: f"timm {tower.architecture}" if tower.model_type == "timm_wrapper" else str(tower.model_type)
        for modality, tower in towers.items()
    }


def _shorten(labels: tuple[str, ...], shown: int = 20) -> str:
    return ", ".join(labels[:shown]) + (f", and {len(labels) - shown} more" if len(labels) > shown else "")


def _hardware() -> str:
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{torch.get_num_threads()} thread(s) of {platform.machine()}"


__all__ = ["CARD_FIELDS", "CardFacts", "write_model_card"]
