# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""The features of frozen towers, computed once for each text, picture, sound and clip, and kept on disk.

A store belongs to one backbone with its weights, one preprocessing and one precision: its folder is named after a hash
of all of them, so that a change of any makes another. In it a value is found by the hash of its content.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from accelerate import PartialState
from safetensors import safe_open
from safetensors.torch import save_file
from torch.nn.utils.rnn import pad_sequence
from tqdm.auto import tqdm
from transformers import BatchFeature

from hf_multimodal.data.collator import BATCH_OPTIONS, MultimodalCollator, Row, presence_mask
from hf_multimodal.data.whole_files import whole_file
from hf_multimodal.modeling.configuration_multimodal import TOWER_INPUTS, check_known
from hf_multimodal.modeling.modeling_multimodal import MultimodalPreTrainedModel
from hf_multimodal.modeling.modeling_tower_base import Tower
from hf_multimodal.modeling.processing_multimodal import MultimodalProcessor

CACHED_MODALITIES = ("text", "image", "audio", "video")
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
SHARD_ROWS = 1024
_COMPONENTS = {
    "text": "tokenizer",
    "image": "image_processor",
    "audio": "feature_extractor",
    "video": "video_image_processor",
}
_READ_AT_ONCE = 64
_FORMAT = 2  # of the files, and of what their folder is named after


def content_key(value: Any) -> str | None:  # noqa: ANN401 (a cell as `load_rows` returns it)
    """Hashes a text, the encoded bytes of a file, or a sound's samples; None where there is no value."""
    if value is None:
        return None
    if isinstance(value, str):
        content = value.encode()
    elif value.get("array") is not None:
        samples = np.ascontiguousarray(value["array"])
        content = f"{value.get('sampling_rate')} {samples.dtype} {samples.shape} ".encode() + samples.tobytes()
    elif value.get("bytes") is not None:
        content = value["bytes"]
    elif value.get("path") is not None:
        content = Path(value["path"]).read_bytes()
    else:
        return None
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def fingerprint(tower: Tower, processor: MultimodalProcessor, dtype: str) -> str:
    """Hashes what features follow from beside the value: weights, architecture, preprocessing, precision."""
    digest = hashlib.blake2b(digest_size=8)
    digest.update(
        json.dumps([_FORMAT, dtype, tower.backbone.config.to_diff_dict()], sort_keys=True, default=str).encode()
    )
    digest.update(json.dumps(_preprocessing(processor, tower.modality), sort_keys=True, default=str).encode())
    for name, tensor in sorted(tower.backbone.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes() if tensor.ndim else b"")
    return digest.hexdigest()


def _preprocessing(processor: MultimodalProcessor, modality: str) -> Any:  # noqa: ANN401 (what JSON can hold)
    """What is done to a value before the tower, the same before and after the processor was saved, loaded and used."""
    component = getattr(processor, _COMPONENTS[modality])
    if hasattr(component, "to_dict"):
        done = component.to_dict()
        return [done, processor.num_frames] if modality == "video" else done
    backend = getattr(component, "backend_tokenizer", None)
    if backend is None:
        rules: Any = [type(component).__name__, component.get_vocab()]
    else:  # how it cuts and pads is that of the last call
        rules = {k: x for k, x in json.loads(backend.to_str()).items() if k not in ("truncation", "padding")}
    return [rules, component.model_max_length, component.truncation_side]


@dataclass
class FeatureStore:
    """One tower's features on disk.

    Args:
        folder: Where its shards are.
        dtype: Precision of the features.
    """

    folder: Path
    dtype: torch.dtype
    _places: dict[str, tuple[str, int, int]] = field(default_factory=dict)  # key -> shard, first line, lines
    _files: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Reads which values are there."""
        self.refresh()

    def __getstate__(self) -> dict[str, Any]:
        """Leaves open files out: the worker processes of a DataLoader open their own."""
        return {**self.__dict__, "_files": {}}

    def __contains__(self, key: str) -> bool:
        return key in self._places

    def __len__(self) -> int:
        return len(self._places)

    def refresh(self) -> None:
        """Takes in the shards that were written since."""
        known = {shard for shard, _, _ in self._places.values()}
        for file in sorted(self.folder.glob("*.safetensors")):
            if file.name in known:
                continue
            with safe_open(file, "pt") as shard:
                keys = json.loads(shard.metadata()["keys"])
                lengths = shard.get_tensor("lengths").tolist()
            start = 0
            for key, length in zip(keys, lengths, strict=True):
                self._places.setdefault(key, (file.name, start, length))
                start += length

    def read(self, key: str) -> torch.Tensor:
        """Reads one value's features."""
        name, start, length = self._places[key]
        if name not in self._files:
            self._files[name] = safe_open(self.folder / name, "pt").get_slice("features")
        return self._files[name][start : start + length].float()

    def write(self, features: Mapping[str, torch.Tensor]) -> None:
        """Writes a shard, whole or not at all.

        Args:
            features: Key -> features, alike in all but the first dimension.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        name = hashlib.blake2b("".join(features).encode(), digest_size=16).hexdigest()
        target = self.folder / f"{name}.safetensors"
        tensors = {
            "features": torch.cat([x.to(self.dtype) for x in features.values()]).contiguous(),
            "lengths": torch.tensor([len(x) for x in features.values()]),
        }
        with whole_file(target, shared=True) as partial:  # runs at the same time may write the same
            save_file(tensors, partial, metadata={"keys": json.dumps(list(features))})


@dataclass
class FeatureCollator(MultimodalCollator):
    """A collator that takes the features of some modalities from their stores, and opens nothing of these.

    Args:
        stores: Modality -> its store.
    """

    stores: Mapping[str, FeatureStore] = field(default_factory=dict)

    def read_value(self, row: Row, row_id: int | str, modality: str) -> Any:  # noqa: ANN401 (as the base class)
        """Hashes the value where its features are kept, else opens it."""
        if modality not in self.stores:
            return super().read_value(row, row_id, modality)
        return content_key(row.get(modality))

    def tensors(self, columns: Mapping[str, list[Any]]) -> BatchFeature:
        """Makes the inputs: features in the place of pixels and of token embeddings."""
        others = {modality: cells for modality, cells in columns.items() if modality not in self.stores}
        batch = self.processor.tensors_of(others, **BATCH_OPTIONS) if others else BatchFeature({})
        for modality, store in self.stores.items():
            batch.update(_batched(modality, [None if key is None else store.read(key) for key in columns[modality]]))
        batch["modality_mask"] = presence_mask(columns)
        return batch


def _batched(modality: str, features: Sequence[torch.Tensor | None]) -> dict[str, torch.Tensor]:
    """Puts rows' features into one tensor, with zeros for absent rows."""
    known = [x for x in features if x is not None]
    if not known:
        return {}
    if modality in ("image", "video") or known[0].ndim > 2:  # all of one shape
        stacked = torch.stack([torch.zeros_like(known[0]) if x is None else x for x in features])
        return {TOWER_INPUTS[modality][0]: stacked}
    nothing = known[0][:0]
    rows = [nothing if x is None else x for x in features]
    lengths = torch.tensor([len(x) for x in rows])
    mask = torch.arange(int(lengths.max()))[None, :] < lengths[:, None]
    values, masks = ("inputs_embeds", "attention_mask") if modality == "text" else TOWER_INPUTS[modality]
    return {values: pad_sequence(rows, batch_first=True), masks: mask.long()}


def cache_features(
    model: MultimodalPreTrainedModel,
    collator: MultimodalCollator,
    splits: Mapping[str, Any],
    folder: str | Path,
    dtype: str = "float32",
) -> FeatureCollator:
    """Computes the features of the frozen towers that are not kept yet, and makes the model read them.

    Several processes share the work. `release_features` makes the model read texts and files again.

    Args:
        model: The model.
        collator: What collates the rows otherwise.
        splits: Role -> rows.
        folder: Where the stores are; runs and splits may share it.
        dtype: Precision the features are kept in.

    Returns:
        The collator of the features.

    Raises:
        ValueError: if no tower is frozen whose features can be kept, or what the towers read changes from step to step.
        RowError: if a row cannot be used.
    """
    kept = open_features(model, collator, folder, dtype, cast(Any, model.config).modalities)
    state = PartialState()
    for modality, store in kept.stores.items():
        missing = _missing(store, modality, collator, splits.values())
        # by the key, not by its place: another process may have written some already
        share = (found for found in missing if int(found[0], 16) % state.num_processes == state.process_index)
        _fill(store, _tower(model, modality), collator, share)
    state.wait_for_everyone()
    for store in kept.stores.values():
        store.refresh()
    return kept


def open_features(
    model: MultimodalPreTrainedModel,
    collator: MultimodalCollator,
    folder: str | Path,
    dtype: str,
    modalities: Sequence[str],
) -> "FeatureCollator":
    """Opens the stores of some modalities' frozen towers, and makes the model read features in their place.

    Args:
        model: The model.
        collator: What collates the rows otherwise.
        folder: Where the stores are.
        dtype: Precision the features are kept in.
        modalities: Whose.

    Returns:
        The collator of the features; it finds those of rows that were given to `cache_features` or `keep_features`.

    Raises:
        ValueError: if none of the towers is frozen, or what they read changes from step to step.
    """
    check_known("feature_cache_dtype", dtype, tuple(DTYPES))
    cacheable = [m for m in modalities if m in CACHED_MODALITIES]
    frozen = [m for m in cacheable if m in (cast(Any, model.config).frozen_towers or ())]
    if not frozen:
        raise ValueError(
            f"The features of frozen {', '.join(CACHED_MODALITIES)} towers can be kept, and of {', '.join(modalities)} "
            f"none is: set {' or '.join(f'towers.{m}.frozen' for m in cacheable or CACHED_MODALITIES)} for the "
            "training, or leave feature_cache out. (A tower that learns has new ones each step.)"
        )
    if getattr(model, "learns_unlabelled", False):
        raise ValueError(
            "training.feature_cache is not for pretraining, which hides other tokens and patches in every step: leave "
            "it out."
        )
    stores = {}
    for modality in frozen:
        name = fingerprint(_tower(model, modality), collator.processor, dtype)
        stores[modality] = FeatureStore(Path(folder) / f"{modality}-{name}", DTYPES[dtype])
        _tower(model, modality).reads_features = True
    return FeatureCollator(collator.processor, collator.label_schema, collator.column_names, stores)


def keep_features(model: MultimodalPreTrainedModel, collator: MultimodalCollator, rows: Sequence[Row]) -> None:
    """Computes what is not kept yet of some rows, in this process alone.

    Args:
        model: The model.
        collator: What `open_features` returned; of any other nothing is kept.
        rows: The rows.

    Raises:
        RowError: if a row cannot be used.
    """
    if not isinstance(collator, FeatureCollator):
        return
    for modality, store in collator.stores.items():
        plain = MultimodalCollator(collator.processor, None, collator.column_names)
        _fill(store, _tower(model, modality), plain, _missing(store, modality, plain, [rows]), quiet=True)
        store.refresh()


def release_features(model: MultimodalPreTrainedModel) -> None:
    """Makes the model read texts and files again."""
    for modality in cast(Any, model.config).modalities:
        _tower(model, modality).reads_features = False


def _tower(model: Any, modality: str) -> Tower:  # noqa: ANN401 (any model of this package)
    return model.base_model.towers[modality]


def _fill(
    store: FeatureStore,
    tower: Tower,
    collator: MultimodalCollator,
    missing: Iterator[tuple[str, Row, int | str]],
    *,
    quiet: bool = False,
) -> None:
    """Computes the features that are missing."""
    state = PartialState()
    was_training, read_features = tower.training, tower.reads_features
    tower.eval().to(state.device)
    tower.reads_features = False
    name = f"Caching {tower.modality} features"
    with tqdm(desc=name, unit="", disable=quiet or not state.is_main_process) as bar:
        shard: dict[str, torch.Tensor] = {}
        while part := list(islice(missing, _READ_AT_ONCE)):
            values = [collator.read_value(row, row_id, tower.modality) for _, row, row_id in part]
            shard.update(zip((key for key, _, _ in part), _features(tower, collator.processor, values), strict=True))
            bar.update(len(part))
            if len(shard) >= SHARD_ROWS:
                store.write(shard)
                shard = {}
        if shard:
            store.write(shard)
    tower.train(was_training)
    tower.reads_features = read_features


def _missing(
    store: FeatureStore, modality: str, collator: MultimodalCollator, splits: Iterable[Any]
) -> Iterator[tuple[str, Row, int | str]]:
    """Goes through the values that the store lacks: key, row and the row's id, each value once."""
    seen = set()
    for rows in splits:
        for number in range(len(rows)):
            row = rows[number]
            key = content_key(row.get(modality))
            if key is not None and key not in seen and key not in store:
                seen.add(key)
                yield key, row, row.get("row_id", number)


@torch.inference_mode()
def _features(tower: Tower, processor: MultimodalProcessor, values: list[Any]) -> list[torch.Tensor]:
    """Runs the backbone on values of one modality: each one's features, of sequences those of real tokens."""
    if tower.modality == "audio" and len(values) > 1:  # alone: what pads a sound to others reaches its features
        return [features for value in values for features in _features(tower, processor, [value])]
    batch = processor.tensors_of({tower.modality: values}, **BATCH_OPTIONS).to(tower.absent_token.device)
    features, mask = tower.read(**batch)
    if tower.modality in ("text", "audio") and features.ndim == 3:
        return [row[real].cpu() for row, real in zip(features, mask, strict=True)]
    return list(features.cpu())


__all__ = [
    "CACHED_MODALITIES",
    "DTYPES",
    "FeatureCollator",
    "FeatureStore",
    "cache_features",
    "content_key",
    "fingerprint",
    "keep_features",
    "open_features",
    "release_features",
]
