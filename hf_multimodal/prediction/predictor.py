# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""`MultimodalPredictor`: rows in, labels, embeddings or texts out, with PyTorch or with an exported graph behind it.

It knows no web framework. Rows are opened one by one (`open`), so that one bad row fails alone; opened rows, whatever
modalities each has, are computed together (`compute`); what comes out is told row by row (`labels`, `embeddings`).
"""

import copy
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from jinja2 import TemplateError
from transformers import GenerationConfig, StoppingCriteria, StoppingCriteriaList
from transformers.generation.streamers import BaseStreamer

from hf_multimodal.modeling.modeling_multimodal import MultimodalPreTrainedModel
from hf_multimodal.modeling.modeling_outputs import TowerOutput
from hf_multimodal.modeling.pipeline_generation import with_length
from hf_multimodal.modeling.pipeline_multimodal import label_scores
from hf_multimodal.modeling.processing_multimodal import MultimodalProcessor
from hf_multimodal.prediction.rows import InputError, Limits, RowReader

Outputs = Mapping[str, np.ndarray]


class Encoded(NamedTuple):
    """One modality of rows: its unit vectors (B, D), zero where a row lacks it, and its tokens."""

    vectors: np.ndarray
    tower: TowerOutput


class MultimodalPredictor(ABC):
    """What a saved model answers to rows.

    Args:
        processor: The model's processor.
        config: Its configuration.
        kind: `prediction` of labels or values, `retrieval` (embeddings), or `generation` (texts).
        name: What the model is called.
        revision: Which weights it has.
        limits: What is read of a row.
    """

    explains = False  # whether `explainer` gives one

    def __init__(
        self,
        processor: MultimodalProcessor,
        config: Any,  # noqa: ANN401 (a MultimodalConfig)
        *,
        kind: str,
        name: str,
        revision: str,
        limits: Limits | None = None,
    ) -> None:
        self.processor, self.config = processor, config
        self.kind, self.name, self.revision = kind, name, revision
        self.reader = RowReader(processor, limits or Limits())

    @property
    def modalities(self) -> tuple[str, ...]:
        """What a row may have."""
        return self.processor.modalities

    def open(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Opens a row; see `RowReader.open`. A dialogue in the place of a text becomes the text.

        Raises:
            InputError: naming what is wrong.
        """
        row = dict(row)
        dialogue = row.pop("dialogue", None)
        if dialogue is not None:
            if row.get("text") is not None:
                raise InputError("A row has either text or dialogue, not both.", "dialogue")
            try:
                row["text"] = self.processor.fold_dialogue(dialogue)
            except (ValueError, TemplateError) as error:  # chat templates refuse turns in an order they do not know
                raise InputError(str(error), "dialogue") from error
        return self.reader.open(row)

    @abstractmethod
    def run(self, batch: Mapping[str, torch.Tensor]) -> Outputs:
        """Computes a batch: task -> logits (B, C), the key of a single one is empty; or modality -> vectors (B, D)."""

    def compute(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, np.ndarray]]:
        """Computes opened rows together; returns each one's outputs: task -> (C,), or modality it has -> (D,)."""
        outputs = self.run(self.reader.batch(rows))
        own = [{name: values[number] for name, values in outputs.items()} for number in range(len(rows))]
        if self.kind == "retrieval":
            own = [{m: x for m, x in one.items() if row[m] is not None} for one, row in zip(own, rows, strict=True)]
        return own

    def labels(self, outputs: Mapping[str, np.ndarray], top_k: int | None = None) -> Any:  # noqa: ANN401 (a list, or a dict of them)
        """Turns one row's logits into labels with scores, best first, or values; of several tasks task -> these.

        Args:
            outputs: Of `compute`.
            top_k: How many labels; None = all.
        """
        logits = {task: torch.from_numpy(np.asarray(x, dtype=np.float32)) for task, x in outputs.items()}
        return label_scores(logits, self.config, top_k)

    def predict(self, rows: Sequence[Mapping[str, Any]], top_k: int | None = None) -> list[Any]:
        """Predicts rows in one batch, as `MultimodalClassificationPipeline` does.

        Raises:
            InputError: if a row is not usable.
        """
        return [self.labels(one, top_k) for one in self.compute([self.open(row) for row in rows])]

    def embed(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, np.ndarray]]:
        """Embeds rows in one batch: modality -> unit vector (D,) of each that a row has.

        Raises:
            InputError: if a row is not usable.
        """
        return self.compute([self.open(row) for row in rows])

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return torch.device("cpu")

    @property
    def dtype(self) -> torch.dtype:
        """The type of its tokens."""
        return torch.float32

    @property
    def model_revision(self) -> str:
        """Which weights its model has; a bundle's is the one that it was exported from."""
        return self.revision

    def encode(self, batch: Mapping[str, torch.Tensor]) -> dict[str, Encoded]:
        """Encodes the modalities of a batch, of a model for retrieval.

        Args:
            batch: What rows are as tensors.
        """
        raise InputError(f"{self.name} gives no embeddings.")

    def match(self, towers: Mapping[str, TowerOutput]) -> np.ndarray:
        """Scores pairs by the match head of a model for retrieval: (B,) logits.

        Args:
            towers: Both modalities' tokens.
        """
        raise InputError(f"{self.name} matches no pairs.")

    def contrastive(self) -> Mapping[str, float]:
        """Returns `scale` and `bias`, by which the cosines of a model for retrieval become logits."""
        raise InputError(f"{self.name} gives no embeddings.")

    def match_pairs(self, rows: Sequence[Mapping[str, Any]]) -> np.ndarray:
        """Scores each opened row's two modalities by the match head: (B,) logits.

        Raises:
            InputError: if the model is not for retrieval, or a row lacks one of them.
        """
        for number, row in enumerate(rows):
            if missing := [m for m in self.modalities if row[m] is None]:
                raise InputError(f"Pairs have both modalities; row {number} lacks {', '.join(missing)}.", missing[0])
        return self.match({m: encoded.tower for m, encoded in self.encode(self.reader.batch(rows)).items()})

    def generate(
        self,
        rows: Sequence[Mapping[str, Any]],
        *,
        on_text: Callable[[str], None] | None = None,
        should_stop: Callable[[], bool] | None = None,
        **options: Any,  # noqa: ANN401 (of `generate`)
    ) -> list[str]:
        """Writes a text for each opened row.

        Args:
            rows: What `open` returned.
            on_text: Called with each piece of text of a single row, as it is written.
            should_stop: Asked after each token whether to end early.
            **options: Arguments of `generate`: `num_beams`, `do_sample`, `max_new_tokens`, …

        Raises:
            InputError: if this predictor does not write, or pieces of several rows are asked for.
        """
        if self.kind != "generation":
            raise InputError(f"{self.name} writes no texts.")
        if on_text is not None and len(rows) != 1:
            raise InputError("Pieces of text are told of a single row.")
        options = with_length(options, self.processor.decoder_tokenizer.model_max_length - 1, self.generation_config)
        if on_text is not None:
            options["streamer"] = TextPieces(self.processor, on_text)
        if should_stop is not None:
            options["stopping_criteria"] = StoppingCriteriaList([_Stop(should_stop)])
        sequences = self.write(self.reader.batch(rows), options)
        return [text.strip() for text in self.processor.batch_decode(sequences, skip_special_tokens=True)]

    @property
    def generation_config(self) -> GenerationConfig | None:
        """How it writes where nothing else is asked for; None of one that does not."""
        return None

    @abstractmethod
    def write(self, batch: Mapping[str, torch.Tensor], options: Mapping[str, Any]) -> torch.Tensor:
        """Writes a text for each row of a batch: token ids (B, T).

        Args:
            batch: What the rows are as tensors.
            options: Of `GenerationMixin.generate`.
        """

    def explainer_model(self) -> MultimodalPreTrainedModel:
        """Returns a copy of the model for explanations.

        Raises:
            InputError: if there is none, as behind an exported graph.
        """
        raise InputError(f"{self.name} cannot be explained: serve the model it was exported from.")


class _Stop(StoppingCriteria):
    def __init__(self, should_stop: Callable[[], bool]) -> None:
        self.should_stop = should_stop

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> Any:  # noqa: ANN401 (as overridden)
        return torch.full((len(input_ids),), self.should_stop(), dtype=torch.bool, device=input_ids.device)


class TextPieces(BaseStreamer):
    """Hands on what new tokens add to a text, once no later token can change it."""

    def __init__(self, processor: MultimodalProcessor, on_text: Callable[[str], None]) -> None:
        self.processor, self.on_text = processor, on_text
        self.ids: list[int] = []
        self.told = ""

    def put(self, value: torch.Tensor) -> None:
        """Takes in new tokens."""
        self.ids += value.flatten().tolist()
        text = self.processor.decode(self.ids, skip_special_tokens=True).strip()
        if not text.endswith("\ufffd") and text.startswith(self.told):  # half a character, or joined otherwise now
            self._tell(text)

    def end(self) -> None:
        """Hands on what is left."""
        self._tell(self.processor.decode(self.ids, skip_special_tokens=True).strip())

    def _tell(self, text: str) -> None:
        if len(text) > len(self.told):
            self.on_text(text[len(self.told) :])
            self.told = text


class TorchPredictor(MultimodalPredictor):
    """A predictor with the PyTorch model behind it.

    Args:
        model: The model, on its device.
        processor: Its processor.
        kind: As of `MultimodalPredictor`.
        name: What it is called.
        revision: Which weights it has.
        limits: What is read of a row.
    """

    def __init__(
        self,
        model: Any,  # noqa: ANN401 (any model of this package with a head)
        processor: MultimodalProcessor,
        *,
        kind: str,
        name: str,
        revision: str,
        limits: Limits | None = None,
    ) -> None:
        super().__init__(processor, model.config, kind=kind, name=name, revision=revision, limits=limits)
        self.model = model.eval()
        self.explains = kind == "prediction"
        self._copying = threading.Lock()
        self._copy: MultimodalPreTrainedModel | None = None

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.model.device

    @property
    def dtype(self) -> torch.dtype:
        """The type of its tokens."""
        return self.model.dtype

    @torch.inference_mode()
    def run(self, batch: Mapping[str, torch.Tensor]) -> Outputs:
        """Computes a batch; see the base class."""
        if self.kind == "retrieval":
            return {modality: encoded.vectors for modality, encoded in self.encode(batch).items()}
        logits = self.model(**self._placed(batch)).logits
        by_task = logits if isinstance(logits, Mapping) else {"": logits}
        return {task: values.float().cpu().numpy() for task, values in by_task.items()}

    @torch.inference_mode()
    def encode(self, batch: Mapping[str, torch.Tensor]) -> dict[str, Encoded]:
        """Encodes the modalities of a batch; see the base class."""
        if self.kind != "retrieval":
            return super().encode(batch)
        towers = self.model.encode(**self._placed(batch))
        return {m: Encoded(x.float().cpu().numpy(), towers[m]) for m, x in self.model.embed(towers).items()}

    @torch.inference_mode()
    def match(self, towers: Mapping[str, TowerOutput]) -> np.ndarray:
        """Scores pairs; see the base class."""
        return self.model.match(towers).float().cpu().numpy() if self.kind == "retrieval" else super().match(towers)

    def contrastive(self) -> Mapping[str, float]:
        """Returns scale and bias of cosines; see the base class."""
        if self.kind != "retrieval":
            return super().contrastive()
        zero, one = self.model.scaled(torch.tensor([0.0, 1.0], device=self.device)).tolist()
        return {"scale": one - zero, "bias": zero}

    def _placed(self, batch: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {name: tensor.to(self.device) for name, tensor in batch.items()}

    @property
    def generation_config(self) -> GenerationConfig | None:
        """How it writes where nothing else is asked for; see the base class."""
        return getattr(self.model, "generation_config", None)

    def write(self, batch: Mapping[str, torch.Tensor], options: Mapping[str, Any]) -> torch.Tensor:
        """Writes a text for each row of a batch; see the base class."""
        return self.model.generate(**self._placed(batch), **options)

    def explainer_model(self) -> MultimodalPreTrainedModel:
        """Returns a copy of the model, made when it is first asked for: explaining changes how a model attends."""
        with self._copying:
            if self._copy is None:
                self._copy = copy.deepcopy(self.model)
            return self._copy


__all__ = ["Encoded", "InputError", "Limits", "MultimodalPredictor", "TextPieces", "TorchPredictor"]
