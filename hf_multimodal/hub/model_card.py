# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""The model card: what was trained, on what, and what was measured."""

import json
import math
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

import torch
from huggingface_hub import EvalResult, ModelCard, ModelCardData
from transformers import PreTrainedConfig

from hf_multimodal.data.labels import LabelSchema, labels_from_config
from hf_multimodal.data.whole_files import write_whole
from hf_multimodal.evaluation.metrics import METRIC_NAMES
from hf_multimodal.modeling.configuration_multimodal import PROCESSOR_ARGUMENTS
from hf_multimodal.modeling.modeling_all import MODELS_WITH_HEAD

CARD_FILE = "card.json"
CARD_FIELDS = (
    "license",
    "license_name",
    "license_link",
    "language",
    "tags",
    "datasets",
    "base_model",
    "co2_eq_emissions",
)
# texts of the card that whoever publishes it writes, and what stands there until then
CARD_TEXTS = {
    "intended_use": "*Not filled in yet (`card.intended_use` of the run): what the model is for, and for whom.*",
    "limits": (
        "*Not filled in yet (`card.limits`): what it was not tried on, where it is known to fail, whom that may hurt.*"
    ),
}
LINKED_FILES = {"run_config.yaml": "Configuration", "metrics.json": "Metrics"}
_MOST_COLUMNS = 8  # of a table; longer ones stand on their side
_SCORES = (*METRIC_NAMES, "loss")
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
        training: `steps`, `epochs`, `processes`, `seed`, `parameters`, `trainable_parameters`, and, if known, `seconds`
            and `emissions`, as `co2_eq_emissions` of the Hub's header.
        sizes: Split -> rows.
        source: Where the rows are from; of a local path only the last part is told.
        columns: Canonical name -> column of the source.
        metadata: Fields of the card's header, those of `CARD_FIELDS`, and its `CARD_TEXTS`.
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


@dataclass(frozen=True)
class CardView:
    """All that a card shows, as plain values: kept beside it as JSON, so that it can be rendered again.

    Attributes:
        name: The model's.
        architecture: Name of its class.
        towers: Modality -> what its tower is.
        fusion: How they meet.
        num_layers: Of the fusion.
        hidden_size: Common width.
        labels: What the class predicts, as the card says it.
        examples: Modality -> a value, as Python source.
        metrics: Split -> metric -> value.
        training: As in `CardFacts`, and the hardware.
        sizes: Split -> rows.
        dataset: Name of the source.
        columns: Canonical name -> column of the source.
        metadata: Fields of the header.
        texts: Those of `CARD_TEXTS`.
        files: Files beside the card that it links.
    """

    name: str
    architecture: str
    towers: Mapping[str, str]
    fusion: str
    num_layers: int
    hidden_size: int
    labels: str
    examples: Mapping[str, str]
    metrics: Mapping[str, Mapping[str, float]]
    training: Mapping[str, Any]
    sizes: Mapping[str, int]
    dataset: str
    columns: Mapping[str, str]
    metadata: Mapping[str, Any]
    texts: Mapping[str, str]
    files: tuple[str, ...] = ()

    @property
    def modalities(self) -> tuple[str, ...]:
        """What the model reads."""
        return tuple(self.towers)


def architecture_of(model: object) -> str:
    """Names a model's class, also where FSDP2 has put a class of its own in its place."""
    return type(model).__name__.removeprefix("FSDP")


def write_model_card(folder: str | Path, config: PreTrainedConfig, facts: CardFacts) -> Path:
    """Writes `README.md` into a model's folder, with the measured metrics also in its machine-readable header.

    Beside it goes `card.json`, all that it shows.

    Args:
        folder: The folder; its name is the model's.
        config: The model's configuration.
        facts: Everything else.

    Returns:
        The card's path.
    """
    path = Path(folder) / "README.md"
    view = _view(path.parent, config, facts)
    ModelCard(render_card(view)).save(path)
    write_whole(path.parent / CARD_FILE, json.dumps(asdict(view), indent=2) + "\n")
    return path


def _view(folder: Path, config: PreTrainedConfig, facts: CardFacts) -> CardView:
    header = {name: value for name, value in facts.metadata.items() if name not in CARD_TEXTS}
    examples = _values(folder)
    return CardView(
        name=folder.resolve().name,
        architecture=facts.architecture,
        towers=_towers(config),
        fusion=config.fusion,
        num_layers=config.num_hidden_layers,
        hidden_size=config.hidden_size,
        labels=_labels(config, facts),
        examples={modality: examples[modality] for modality in config.modalities},
        metrics={split: dict(values) for split, values in facts.metrics.items()},
        training={"hardware": _hardware(), **facts.training},
        sizes=dict(facts.sizes),
        dataset=facts.dataset_name,
        columns=dict(facts.columns),
        metadata=header,
        texts={name: facts.metadata[name] for name in CARD_TEXTS if facts.metadata.get(name)},
        files=tuple(name for name in LINKED_FILES if (folder / name).is_file()),
    )


def render_card(view: CardView) -> str:
    """Renders a card: its header in YAML, then the text."""
    return f"---\n{_header(view).to_yaml()}\n---\n\n{_body(view)}"


def _header(view: CardView) -> ModelCardData:
    split = _reported_split(view.metrics)
    task = _PIPELINE_TAGS.get(view.architecture)
    results = [
        EvalResult(
            task_type=task or "other",
            dataset_type=view.dataset,
            dataset_name=view.dataset,
            dataset_split=split,
            metric_type=str(_kind_of(metric)),
            metric_name=_metric_name(metric),
            metric_value=round(value, 4),
        )
        for metric, value in view.metrics.get(split, {}).items()
        if _kind_of(metric) in METRIC_NAMES and math.isfinite(value)
    ]
    metadata = dict(view.metadata)
    given = metadata.pop("tags", None) or []
    if view.training.get("emissions"):
        metadata.setdefault("co2_eq_emissions", dict(view.training["emissions"]))
    tags = ["hf_multimodal", "multimodal", *view.modalities, *([given] if isinstance(given, str) else given)]
    return ModelCardData(
        model_name=view.name,
        library_name="transformers",
        pipeline_tag=task,
        tags=list(dict.fromkeys(tags)),
        eval_results=results or None,
        **metadata,
    )


def _kind_of(metric: str) -> str | None:
    """The plain metric behind one that may be a task's own; None of what is no score."""
    fitting = [kind for kind in _SCORES if metric == kind or metric.endswith(f"_{kind}")]
    return max(fitting, key=len, default=None)


def _metric_name(metric: str) -> str:
    kind = str(_kind_of(metric))
    task = metric.removesuffix(kind).removesuffix("_")
    return f"{METRIC_NAMES[kind]} of {task.replace('_to_', ' to ')}" if task else METRIC_NAMES[kind]


def _reported_split(metrics: Mapping[str, Any]) -> str:
    return next((split for split in ("test", "validation") if split in metrics), "validation")


def _body(view: CardView) -> str:
    template = Template(files("hf_multimodal.hub").joinpath("templates/model_card.md").read_text(encoding="utf-8"))
    training = view.training
    return template.substitute(
        title=view.name,
        summary=(
            f"{'An' if view.modalities[0][0] in 'aeiou' else 'A'} {' + '.join(view.modalities)} model that fuses "
            f"{' and '.join(view.towers.values())} by {view.fusion}, made with hf_multimodal."
        ),
        use=_use(view),
        metrics=_metrics_table(view.metrics),
        sizes=f"Rows: {', '.join(f'{size:,} {split}' for split, size in view.sizes.items())}. " if view.sizes else "",
        training=_training_line(training),
        architecture=view.architecture,
        labels=view.labels,
        towers="; ".join(f"{modality}: {name}" for modality, name in view.towers.items()),
        fusion=view.fusion,
        num_layers=view.num_layers,
        hidden_size=view.hidden_size,
        parameters=f"{training['parameters']:,}",
        trainable=f"{training['trainable_parameters']:,}",
        modalities=", ".join(view.modalities),
        source=_source_line(view),
        files="".join(f" {LINKED_FILES[name]}: [`{name}`]({name})." for name in view.files),
        **{name: view.texts.get(name, fill_in) for name, fill_in in CARD_TEXTS.items()},
    )


def _use(view: CardView) -> str:
    model_class = MODELS_WITH_HEAD[view.architecture]
    example = "{" + ", ".join(f'"{modality}": {value}' for modality, value in view.examples.items()) + "}"
    if model_class.matches_items:
        first, second = view.modalities
        query, argument = view.examples[first], PROCESSOR_ARGUMENTS[first]
        return _USE_OF_RETRIEVAL.format(location=view.name, first=first, second=second, query=query, argument=argument)
    if model_class.learns_unlabelled:
        return _USE_OF_PRETRAINED.format(location=view.name)
    if not model_class._pipelines:
        return _USE_OF_TASKS.format(location=view.name, example=example)
    return _USE.format(pipeline=next(iter(model_class._pipelines)), location=view.name, example=example)


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
    told = training.get("emissions")
    emitted = f" {told['source']} estimates {told['emissions']:g} g of CO₂-equivalent." if told else ""
    return (
        f"Seed {training['seed']}. Training took {seconds}{training['steps']} steps, {round(training['epochs'], 2)} "
        f"epochs, on {training['processes']} process(es) of {training['hardware']}.{emitted}"
    )


def _source_line(view: CardView) -> str:
    columns = ", ".join(f"{name} = `{column}`" for name, column in view.columns.items())
    return f"`{view.dataset}`" + (f", columns {columns}" if columns else "") + "."


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


__all__ = [
    "CARD_FIELDS",
    "CARD_FILE",
    "CARD_TEXTS",
    "CardFacts",
    "CardView",
    "architecture_of",
    "render_card",
    "write_model_card",
]
