# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Which graphs a model is cut into, with examples of what each takes.

Shapes: B rows, L fused tokens, and of the decoder N layers, A attention heads, P tokens read before, D width of a head,
V tokens of the vocabulary.
"""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn
from transformers import DynamicCache, EncoderDecoderCache

from hf_multimodal.modeling.configuration_multimodal import TOWER_INPUTS
from hf_multimodal.modeling.modeling_decoder import CACHE, read_by_decoder
from hf_multimodal.modeling.modeling_outputs import TowerOutput
from hf_multimodal.modeling.processing_multimodal import MultimodalProcessor
from hf_multimodal.prediction.predictor import TorchPredictor

# axes beside the rows whose size depends on what is read
_SEQUENCES = ("input_ids", "attention_mask", "token_type_ids")
ENCODED = ("mask", "cross", "logits", "past")  # what the encoder of one that writes gives
_TEXTS = ("a b c", "a b", "a b c d e")  # of any words: their numbers alone matter


@dataclass(frozen=True)
class Graph:
    """A part of a model that becomes a graph.

    Attributes:
        name: Its name in the bundle.
        module: Takes the inputs one after another.
        inputs: Name -> an example of it.
        outputs: Names of what the module returns.
        dynamic: Name -> axes of any size; the rows are always.
    """

    name: str
    module: nn.Module
    inputs: Mapping[str, torch.Tensor]
    outputs: tuple[str, ...]
    dynamic: Mapping[str, tuple[int, ...]]


class _Predictions(nn.Module):
    def __init__(self, model: Any, names: tuple[str, ...]) -> None:  # noqa: ANN401 (a model that predicts)
        super().__init__()
        self.model, self.names = model, names

    def forward(self, *inputs: torch.Tensor) -> Any:  # noqa: ANN401 (logits, or those of each task)
        logits = self.model(**dict(zip(self.names, inputs, strict=True))).logits
        return tuple(logits.values()) if isinstance(logits, Mapping) else logits


class _Tower(nn.Module):
    def __init__(self, model: Any, modality: str, names: tuple[str, ...]) -> None:  # noqa: ANN401 (of retrieval)
        super().__init__()
        self.model, self.modality, self.names = model, modality, names

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        towers = self.model.encode(**dict(zip(self.names, inputs, strict=True)))
        tower = towers[self.modality]
        return self.model.embed(towers)[self.modality], tower.tokens, tower.mask


class _Match(nn.Module):
    def __init__(self, model: Any) -> None:  # noqa: ANN401 (of retrieval)
        super().__init__()
        self.model = model

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        parts = zip(self.model.config.modalities, inputs[::2], inputs[1::2], strict=True)
        return self.model.match({m: TowerOutput(tokens=tokens, mask=mask) for m, tokens, mask in parts})


class _Encoder(nn.Module):
    def __init__(self, model: Any, names: tuple[str, ...]) -> None:  # noqa: ANN401 (one that writes)
        super().__init__()
        self.model, self.names = model, names

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Returns mask (B, L), cross (B, 2N, A, L, D), and of the first token logits (B, V), past (B, 2N, A, 1, D)."""
        encoded = self.model.model(**dict(zip(self.names, inputs, strict=True)))
        start = torch.full((inputs[0].shape[0], 1), self.model.config.decoder_start_token_id, dtype=torch.long)
        cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
        logits = self.model.head(encoded, start, cache=cache, use_cache=True).logits[:, -1]
        _, mask = read_by_decoder(encoded)  # fusions that write have one
        return mask, _stacked(cache.cross_attention_cache), logits, _stacked(cache.self_attention_cache)  # type: ignore[return-value]


class _Decoder(nn.Module):
    def __init__(self, model: Any) -> None:  # noqa: ANN401 (one that writes)
        super().__init__()
        self.language_model = model.head.language_model
        reads = inspect.signature(self.language_model.forward).parameters
        counts = any(hasattr(part, "create_position_ids_from_input_ids") for part in self.language_model.modules())
        self.takes_positions = "position_ids" in reads and not counts  # of those that count, the first is not 0

    def forward(
        self, decoder_input_ids: torch.Tensor, past: torch.Tensor, cross: torch.Tensor, mask: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Reads one more token: (B, 1), `past` (B, 2N, A, P, D), … -> logits (B, V), `new` (B, 2N, A, 1, D)."""
        cache = EncoderDecoderCache(_unstacked(past), _unstacked(cross))
        width = self.language_model.config.hidden_size
        unread = mask.unsqueeze(-1).expand(-1, -1, width).to(past.dtype)  # their keys and values are in the cache
        own = {"encoder_hidden_states": unread, "encoder_attention_mask": mask, "use_cache": True, CACHE: cache}
        if self.takes_positions:  # left to itself, it slices them in a way whose length the exporter cannot tell
            own["position_ids"] = torch.arange(past.shape[3], past.shape[3] + 1)[None]
        logits = self.language_model(input_ids=decoder_input_ids, return_dict=True, **own).logits[:, -1]
        return logits, _stacked(cache.self_attention_cache)[..., -1:, :]


def _stacked(cache: Any) -> torch.Tensor:  # noqa: ANN401 (a DynamicCache)
    """Keys and values of all layers as one tensor, (B, 2N, A, P, D)."""
    return torch.stack([x for layer in cache.layers for x in (layer.keys, layer.values)], dim=1)


def _unstacked(tensors: torch.Tensor) -> DynamicCache:
    cache = DynamicCache()
    for layer in range(tensors.shape[1] // 2):
        cache.update(tensors[:, 2 * layer], tensors[:, 2 * layer + 1], layer)
    return cache


def example_rows(processor: MultimodalProcessor) -> list[dict[str, Any]]:
    """Makes three rows that have all modalities, with texts and sounds of several lengths."""
    rows: list[dict[str, Any]] = [{} for _ in _TEXTS]
    for number, (row, text) in enumerate(zip(rows, _TEXTS, strict=True)):
        for modality in processor.modalities:
            if modality == "text":
                row[modality] = text
            elif modality == "image":
                row[modality] = Image.new("RGB", (64, 64), (80 * number, 120, 200))
            elif modality == "audio":
                rate = processor.feature_extractor.sampling_rate
                samples = np.random.default_rng(number).normal(size=rate * (number + 2) // 4).astype(np.float32)
                row[modality] = {"array": samples, "sampling_rate": rate}
            elif modality == "video":
                row[modality] = np.full((2, 64, 64, 3), 80 * number, dtype=np.uint8)
            else:
                row[modality] = {name: [float(number), 1.0] for name in processor.series_feature_extractor.channels}
    return rows


@torch.no_grad()
def graphs_of(predictor: TorchPredictor) -> list[Graph]:
    """Cuts a model into graphs.

    Args:
        predictor: The model, on the CPU.
    """
    model, reader = predictor.model, predictor.reader
    batch = dict(reader.batch([reader.open(row) for row in example_rows(predictor.processor)]))
    names = tuple(batch)
    dynamic = {name: _free_axes(name, tensor) for name, tensor in batch.items()}
    if predictor.kind == "prediction":
        outputs = tuple(predictor.config.tasks) if predictor.config.tasks else ("logits",)
        return [Graph("model", _Predictions(model, names), batch, outputs, dynamic)]
    if predictor.kind == "retrieval":
        return _retrieval_graphs(predictor, batch, dynamic)
    encoder = _Encoder(model, names)
    told = dict(zip(ENCODED, encoder(*batch.values()), strict=True))
    read = {
        "decoder_input_ids": told["logits"].argmax(-1, keepdim=True),
        "past": told["past"].repeat(1, 1, 1, 3, 1),  # an axis of one would not be taken as free
        "cross": told["cross"],
        "mask": told["mask"],
    }
    axes = {"decoder_input_ids": (), "past": (3,), "cross": (3,), "mask": (1,)}
    return [
        Graph("encoder", encoder, batch, ENCODED, dynamic),
        Graph("decoder", _Decoder(model), read, ("logits", "new"), axes),
    ]


def _retrieval_graphs(
    predictor: TorchPredictor, batch: Mapping[str, torch.Tensor], dynamic: Mapping[str, tuple[int, ...]]
) -> list[Graph]:
    graphs, pair = [], {}
    for modality in predictor.modalities:
        own = {name: batch[name] for name in TOWER_INPUTS[modality] if name in batch}
        tower = _Tower(predictor.model, modality, tuple(own))
        graphs.append(
            Graph(modality, tower, own, ("embedding", "tokens", "mask"), {name: dynamic[name] for name in own})
        )
        _, pair[f"{modality}_tokens"], pair[f"{modality}_mask"] = tower(*own.values())
    return [*graphs, Graph("match", _Match(predictor.model), pair, ("logits",), dict.fromkeys(pair, (1,)))]


def _free_axes(name: str, tensor: torch.Tensor) -> tuple[int, ...]:
    if name in _SEQUENCES or name == "audio_mask":
        return (1,)
    return (1,) if name == "audio_values" and tensor.ndim == 2 else ()


__all__ = ["ENCODED", "Graph", "example_rows", "graphs_of"]
