# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""What all pipelines share: rows of raw text, images, sounds and so on in, batches of tensors to the model."""

from collections.abc import Mapping, Sized
from os import PathLike
from typing import Any

from torch.utils.data import DataLoader
from transformers import BatchFeature, Pipeline
from transformers.image_utils import load_image
from transformers.pipelines.pt_utils import PipelineDataset, PipelineIterator

from .audio_opening import open_audio
from .configuration_multimodal import MODALITIES, PROCESSOR_ARGUMENTS, check_known
from .image_opening import open_image
from .video_opening import open_video


def collate_rows(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """Turns rows into columns: the processor makes the tensors of the whole batch at once, so padding fits it."""
    return {key: [row[key] for row in rows] for key in rows[0]}


class RowPipeline(Pipeline):
    """A pipeline over rows with any of the model's modalities.

    A row is a dict with any of the model's modalities: `text`, `image`, `audio`, `video`, `series`. An image is a PIL
    image, an array, encoded bytes, a local path, or a URL, which is fetched: do not hand on URLs of people you do not
    trust. A sound is what `open_audio` takes, a clip what `open_video` takes: encoded bytes, a local path, samples with
    their rate, frames. A series is an array of steps and channels, or a mapping of column to value. A modality that is
    None or missing is absent (`question` is accepted for `text`). Give one row, a list, or a generator of rows.
    """

    # the base class declares these as None
    _load_processor: Any = True
    _load_tokenizer: Any = False
    _load_image_processor: Any = False
    _load_feature_extractor: Any = False
    processor: Any  # a MultimodalProcessor, also when loaded as remote code

    def __call__(  # type: ignore[override]
        self,
        inputs: Any = None,  # noqa: ANN401 (one row or many)
        *,
        text: str | None = None,
        image: Any = None,  # noqa: ANN401 (PIL image, path or URL)
        audio: Any = None,  # noqa: ANN401 (what `open_audio` takes)
        video: Any = None,  # noqa: ANN401 (what `open_video` takes)
        series: Any = None,  # noqa: ANN401 (what `MultimodalSeriesProcessor.open` takes)
        **kwargs: Any,  # noqa: ANN401 (described below)
    ) -> Any:  # noqa: ANN401 (as `inputs`)
        """Predicts one row or many.

        Args:
            inputs: A row, a list of rows, or a generator of rows.
            text: The text of a single row, instead of `inputs`.
            image: The image of a single row, instead of `inputs`.
            audio: The sound of a single row, instead of `inputs`.
            video: The clip of a single row, instead of `inputs`.
            series: The series of a single row, instead of `inputs`.
            **kwargs: `batch_size`, `num_workers`, and what the pipeline's class tells of.

        Returns:
            What the pipeline's class tells of, per row.
        """
        row = {"text": text, "image": image, "audio": audio, "video": video, "series": series}
        return super().__call__(row if inputs is None else inputs, **kwargs)

    def preprocess(self, input_: Mapping[str, Any], **kwargs: Any) -> dict[str, Any]:  # noqa: ANN401
        """Opens a row's media; tensors are made per batch."""
        if not isinstance(input_, Mapping):
            raise TypeError(f"A row is a dict with any of {', '.join(MODALITIES)}, got {type(input_).__name__}.")
        row = {("text" if key == "question" else key): value for key, value in input_.items()}
        for key in row:
            check_known("modality", key, MODALITIES)
        return {m: None if row.get(m) is None else self._open(m, row[m]) for m in self.processor.modalities}

    def _open(self, modality: str, value: Any) -> Any:  # noqa: ANN401 (of any modality)
        if modality == "image":
            if isinstance(value, str) and value.startswith(("http://", "https://")):
                value = load_image(value)
            return open_image(value)
        if modality == "audio":
            return open_audio(value, sampling_rate=self.processor.feature_extractor.sampling_rate)
        if modality == "video":
            return open_video(value, num_frames=self.processor.num_frames)
        if modality == "series":
            return self.processor.series_feature_extractor.open(value)
        return value

    def batch_of(self, rows: Mapping[str, Any]) -> BatchFeature:
        """Makes the tensors of opened rows, on the model's device."""
        columns = {k: v if isinstance(v, list) else [v] for k, v in rows.items()}
        given = {PROCESSOR_ARGUMENTS[m]: columns[m] for m in self.processor.modalities}
        return self.processor(**given, return_tensors="pt").to(self.device)

    def get_iterator(
        self,
        inputs: Any,  # noqa: ANN401 (list or dataset of rows)
        num_workers: int,
        batch_size: int,
        preprocess_params: dict[str, Any],
        forward_params: dict[str, Any],
        postprocess_params: dict[str, Any],
    ) -> PipelineIterator:
        """Iterates over batches of opened rows (the base class would pad tensors made row by row)."""
        dataset_class = PipelineDataset if isinstance(inputs, Sized) else PipelineIterator
        rows = dataset_class(inputs, self.preprocess, preprocess_params)
        loader = DataLoader(rows, num_workers=num_workers, batch_size=batch_size, collate_fn=collate_rows)
        outputs = PipelineIterator(loader, self.forward, forward_params, loader_batch_size=batch_size)
        return PipelineIterator(outputs, self.postprocess, postprocess_params)

    def save_pretrained(self, save_directory: str | PathLike, **kwargs: Any) -> None:  # noqa: ANN401
        """Saves model and processor; both bring their code."""
        self.model.save_pretrained(save_directory, **kwargs)
        self.processor.save_pretrained(save_directory)


__all__ = ["RowPipeline", "collate_rows"]
