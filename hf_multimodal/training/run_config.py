# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""One YAML file describes a run: rows, towers, model and training, each field overridable from the command line.

Imports neither torch nor transformers, so that a mistyped key is found before anything slow happens.
"""

import difflib
import importlib.util
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, get_args, get_type_hints

import yaml

from hf_multimodal.data.whole_files import write_whole

TASKS = ("classification", "question_answering", "multi_task", "retrieval", "generation", "pretraining")
SPLITS = ("train", "validation", "test")
DEFAULT_SPLITS = {split: split for split in SPLITS}
PACKAGE_PREFIX = "package:"


_PLAIN = {bool, int, float, str, type(None)}


class _Loader(yaml.SafeLoader):
    """YAML that reads 1e-4 as a number, as YAML 1.2 does (PyYAML follows 1.1, where it is a string)."""


_FLOAT = re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$")
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))


@dataclass(frozen=True)
class DataConfig:
    """Where the rows come from.

    Attributes:
        source: `scenes` (built in), a Hub id, a local folder, or a parquet, csv or json file.
        columns: Canonical name (a modality, `label`, `id`, `item`) -> column of the source; of `series` a list of
            columns, too, of `label` with several tasks a mapping of task to column. `item`, for retrieval, is the same
            in rows that belong together.
        splits: Role (`train`, `validation`, `test`) -> split of the source; leave out what is not there.
        keep: Further columns to carry along.
        options: Arguments for loading (for `scenes`: `num_rows`, `seed`, `image_size`).
        limit: Role -> use only that many rows, the first ones after a shuffle.
        limit_seed: Seed of that shuffle; None takes the run's.
        problem_type: Overrides what the label column's type says; of several tasks a mapping of task to problem type.
        num_answers: Size of the answer set of a question with scored answers: the ones that score most. None keeps all.
        max_length: Longest text in tokens.
        masking: Of `pretraining`: modality -> share of its tokens or patches that is hidden, and `whole_words`.
        check_rows: Whether to open every image and read every text once before training, so that a bad row is found
            before anything is written.
        faulty_rows: What happens to a row that cannot be used: `raise` refuses the run, `skip` leaves the row out,
            `as_missing` leaves out only what of it cannot be read. The ids are in the run's `faulty_rows.jsonl`.
        max_faulty_share: Share of a split's rows that may be faulty under `skip` and `as_missing`; with more of them
            the run is refused.
        streaming: Whether the training rows are read while the model trains on them, from tables, tar files or the Hub,
            and never held or copied whole. Their media are not checked before; `faulty_rows` holds as they come.
        shuffle_buffer: Of a stream: rows held by each worker, of which the next one is drawn.
    """

    source: str
    columns: dict[str, Any]
    splits: dict[str, str] = field(default_factory=DEFAULT_SPLITS.copy)
    keep: list[str] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)
    limit: dict[str, int] = field(default_factory=dict)
    limit_seed: int | None = None
    problem_type: str | dict[str, str] | None = None
    num_answers: int | None = None
    max_length: int | None = None
    masking: dict[str, Any] = field(default_factory=dict)
    check_rows: bool = True
    faulty_rows: str = "raise"
    max_faulty_share: float = 0.01
    streaming: bool = False
    shuffle_buffer: int = 1000


@dataclass(frozen=True)
class RunConfig:
    """One training run.

    Attributes:
        output_dir: Where model, processor, card, metrics and checkpoints go.
        data: The rows.
        towers: modality -> tower, as in `MultimodalModel.from_towers_pretrained`. `path: package:NAME/SUBFOLDER` is a
            folder inside an installed Python package; `tokenizer: from_rows` builds a word tokenizer from the training
            texts. The `preprocessing` of a series tower holds the arguments of `fit_series`, which reads the training
            rows.
        task: `classification` (also regression), `question_answering`, `multi_task`, `retrieval`, `generation`,
            whose label column holds what is to be written, or `pretraining` on rows without labels.
        start_from: Folder or Hub id of a saved model whose processor, towers and fusion this run goes on with, as from
            pretraining to a task; the head starts fresh. Leave towers out then.
        decoder: Of `generation`: fields of `DecoderSpec`. `tokenizer: from_rows` builds a word tokenizer from what is
            to be written.
        model: Fields of `MultimodalConfig`.
        training: Fields of `MultimodalTrainingArguments`.
        card: Fields of the model card's header: license, language, tags, datasets, base_model, co2_eq_emissions; and
            its texts `intended_use` and `limits`.
        distillation: Of `classification` and `question_answering`: fields of `Distillation`; `teacher` names the model
            to learn from.
        hub_files: What the Hub runs the folder by: `endpoint` (handler.py), `space` (app.py).
        seed: Seeds weights, data order and dropout.
    """

    output_dir: str
    data: DataConfig
    towers: dict[str, Any] = field(default_factory=dict)
    task: str = "classification"
    start_from: str | None = None
    decoder: dict[str, Any] = field(default_factory=dict)
    model: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    card: dict[str, Any] = field(default_factory=dict)
    distillation: dict[str, Any] = field(default_factory=dict)
    hub_files: list[str] = field(default_factory=list)
    seed: int = 0

    @classmethod
    def load(cls, path: str | Path, overrides: Iterable[str] = ()) -> "RunConfig":
        """Reads a YAML file and applies `a.b=value` overrides.

        Raises:
            ValueError: if a key is unknown (with the nearest known one), a needed one is missing, or an override is
                malformed.
            FileNotFoundError: if there is no such file.
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"No configuration file {str(path)!r} (working directory {os.getcwd()!r}).")
        values = yaml.load(path.read_text(encoding="utf-8"), _Loader)  # a SafeLoader
        if not isinstance(values, dict):
            raise ValueError(f"{str(path)!r} holds {type(values).__name__}, not a mapping of keys to values.")
        for override in overrides:
            _apply_override(values, override)
        return cls.from_dict(values)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "RunConfig":
        """Builds a run from nested mappings, refusing unknown keys.

        Raises:
            ValueError: as `load`.
        """
        values = dict(values)
        _check_keys(values, cls, "")
        data = values.pop("data")
        if not isinstance(data, Mapping):
            raise ValueError(f"data holds {data!r}: it needs at least source and columns.")
        _check_keys(data, DataConfig, "data.")
        data = _mappings(data, DataConfig, "data.")
        if _is_local_name(data["source"]):
            data["source"] = f"./{data['source']}"  # so that it is never taken for a Hub id, wherever it is read again
        if "splits" in data:
            data["splits"] = {role: split for role, split in data["splits"].items() if split is not None}
        config = cls(data=DataConfig(**data), **_mappings(values, cls, ""))
        if config.task not in TASKS:
            raise ValueError(f"Unknown task {config.task!r}.{_nearest(config.task, TASKS)} Known: {', '.join(TASKS)}.")
        for role in [*config.data.splits, *config.data.limit]:
            if role not in SPLITS:
                raise ValueError(f"Unknown split {role!r} in data.{_nearest(role, SPLITS)} Known: {', '.join(SPLITS)}.")
        for role, limit in config.data.limit.items():
            _check_count(f"data.limit.{role}", limit, 1)
        for name, least in (("max_length", 1), ("num_answers", 2), ("shuffle_buffer", 1)):
            if getattr(config.data, name) is not None:
                _check_count(f"data.{name}", getattr(config.data, name), least)
        return config

    @property
    def limit_seed(self) -> int:
        """Seed of the shuffle that `data.limit` takes the first rows of."""
        return self.seed if self.data.limit_seed is None else self.data.limit_seed

    def save(self, path: str | Path) -> None:
        """Writes the resolved configuration as YAML."""
        write_whole(Path(path), yaml.safe_dump(asdict(self), sort_keys=False))

    def resolved_decoder(self) -> dict[str, Any]:
        """The decoder with `package:` paths turned into folders."""
        return _resolve_packages(self.decoder)

    def resolved_towers(self) -> dict[str, Any]:
        """The towers with `package:` paths turned into folders."""
        return {modality: _resolve_packages(tower) for modality, tower in self.towers.items() if tower is not None}


def check_fields(values: Mapping[str, Any], known: Iterable[str], prefix: str) -> None:
    """Refuses keys that are not among the known ones.

    Raises:
        ValueError: naming the key, the nearest known one, and where to look.
    """
    known = list(known)
    for key in values:
        if key not in known:
            raise ValueError(f"Unknown key {prefix}{key}.{_nearest(key, known)} Known: {', '.join(sorted(known))}.")


def check_types(values: Mapping[str, Any], kind: type, prefix: str) -> None:
    """Refuses values that a dataclass's annotations do not allow, where these are plain numbers, texts and switches.

    Raises:
        ValueError: naming the key, its value, and what it should be.
    """
    hints = get_type_hints(kind)
    for key, value in values.items():
        options = get_args(hints[key]) or (hints[key],)
        if value is None or not set(options) <= _PLAIN:
            continue
        allowed = tuple(option for option in options if option is not type(None))
        fits = isinstance(value, allowed) or (float in allowed and isinstance(value, int))
        if not fits or (isinstance(value, bool) and bool not in allowed):
            names = " or ".join(option.__name__ for option in allowed)
            raise ValueError(f"{prefix}{key} holds {value!r}, which is {type(value).__name__}: it takes {names}.")


def _check_keys(values: Mapping[str, Any], kind: type, prefix: str) -> None:
    check_fields(values, [f.name for f in fields(kind)], prefix)
    needed = [f.name for f in fields(kind) if f.default is f.default_factory]  # both are MISSING
    missing = [prefix + name for name in needed if name not in values]
    if missing:
        raise ValueError(f"The configuration lacks {', '.join(missing)}.")


def _mappings(values: Mapping[str, Any], kind: type, prefix: str) -> dict[str, Any]:
    """Turns empty sections (None in YAML) into empty mappings, and refuses sections that are something else."""
    checked = dict(values)
    sections = {f.name for f in fields(kind) if str(f.type).startswith("dict[")}
    for name in sections & set(checked):
        checked[name] = {} if checked[name] is None else checked[name]
        if not isinstance(checked[name], Mapping):
            raise ValueError(f"{prefix}{name} holds {checked[name]!r}: it is a section of key: value lines.")
    return checked


def _is_local_name(source: Any) -> bool:  # noqa: ANN401 (any YAML value)
    """Whether a source is a file or folder whose name could be a Hub id's."""
    is_plain = isinstance(source, str) and source != "scenes" and not source.startswith((".", "/", "~"))
    return is_plain and Path(source).exists()


def _check_count(name: str, value: Any, least: int) -> None:  # noqa: ANN401 (any YAML value)
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name} holds {value!r}: it is a whole number, {least} or more.")


def _nearest(name: str, known: Iterable[str]) -> str:
    match = difflib.get_close_matches(str(name), list(known), n=1)
    return f" Did you mean {match[0]!r}?" if match else ""


def _apply_override(values: dict[str, Any], override: str) -> None:
    dotted, separator, text = override.partition("=")
    if not separator or not dotted:
        raise ValueError(
            f"Cannot read the override {override!r}: write key=value, for instance training.learning_rate=1e-4."
        )
    *parents, last = dotted.split(".")
    for parent in parents:
        if values.get(parent) is None:
            values[parent] = _default_section(parents) if parent == parents[-1] else {}
        inner = values[parent]
        if isinstance(inner, str) and parent != parents[0]:  # a tower given by its path alone
            inner = values[parent] = {"path": inner}
        if not isinstance(inner, dict):
            raise ValueError(f"Cannot set {dotted}: {parent} is {inner!r}, not a mapping.")
        values = inner
    values[last] = yaml.load(text, _Loader)  # a SafeLoader


def _default_section(path: list[str]) -> dict[str, Any]:
    """What a section holds before an override adds to it."""
    return dict(DEFAULT_SPLITS) if path == ["data", "splits"] else {}


def _resolve_packages(value: Any) -> Any:  # noqa: ANN401 (any YAML value)
    if isinstance(value, Mapping):
        return {key: _resolve_packages(inner) for key, inner in value.items()}
    if not isinstance(value, str) or not value.startswith(PACKAGE_PREFIX):
        return value
    package, _, subfolder = value.removeprefix(PACKAGE_PREFIX).partition("/")
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ValueError(
            f"{value!r} names the Python package {package!r}, which is not installed: pip install {package}."
        )
    return str(Path(spec.submodule_search_locations[0]) / subfolder)


__all__ = ["DEFAULT_SPLITS", "SPLITS", "TASKS", "DataConfig", "RunConfig", "check_fields", "check_types"]
