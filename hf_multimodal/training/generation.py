# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""What a model writes for many rows, on one process or sharded over several, and how good it is."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from accelerate.utils import gather_object
from tqdm.auto import tqdm

from hf_multimodal.data.collator import MultimodalCollator
from hf_multimodal.data.columns import ROW_ID, Columns, source_name
from hf_multimodal.data.label_inference import column_values
from hf_multimodal.data.labels import TextSchema, check_labels
from hf_multimodal.data.whole_files import whole_file, write_whole
from hf_multimodal.evaluation.consensus import choose_by_consensus
from hf_multimodal.evaluation.predictions import METRICS, PREDICTIONS, metrics_json
from hf_multimodal.evaluation.text_metrics import answer_scores, caption_scores, check_text_libraries
from hf_multimodal.evaluation.text_page import TEXT_PAGE, write_text_page
from hf_multimodal.modeling.configuration_multimodal import check_known
from hf_multimodal.modeling.modeling_generation import MultimodalForConditionalGeneration
from hf_multimodal.modeling.pipeline_generation import MultimodalGenerationPipeline, with_length
from hf_multimodal.training.inference import load_model, process_state
from hf_multimodal.training.row_source import RowSource


def write_texts(
    model: Any,  # noqa: ANN401 (a MultimodalForConditionalGeneration, also as remote code)
    processor: Any,  # noqa: ANN401 (a MultimodalProcessor)
    rows: datasets.Dataset,
    *,
    columns: Columns | None = None,
    batch_size: int = 64,
    num_samples: int = 0,
    **generation: Any,  # noqa: ANN401 (of `generate`)
) -> list[str]:
    """Writes a text for each row; with several processes each writes its share, and all get the whole.

    Args:
        model: Writes; on the device where it is.
        processor: Its processor.
        rows: Rows as `load_rows` returns them.
        columns: The user's own names of the columns, for errors.
        batch_size: Rows written for at a time.
        num_samples: Texts drawn for each row, of which the one that the others agree with most is taken; 0 draws none
            and writes as `generation` says. With the same `batch_size` the same ones are drawn in every call.
        **generation: Arguments of `generate`: `num_beams`, `max_new_tokens`, … By default the longest text is as long
            as the processor's targets may be.

    Raises:
        RowError: if a row cannot be read.
        ValueError: if texts are to be drawn and searched for by beams at once.
    """
    state = process_state()
    if num_samples:
        generation = _drawing(num_samples, generation)
    collator = MultimodalCollator(processor, None, columns)
    generation = with_length(generation, processor.decoder_tokenizer.model_max_length - 1, model.generation_config)
    was_training = model.training
    texts: dict[int, str] = {}
    model.eval()
    starts = range(state.process_index * batch_size, len(rows), state.num_processes * batch_size)
    for start in tqdm(starts, desc="Writing", leave=False, mininterval=0.5, disable=not state.is_main_process):
        numbers = range(start, min(start + batch_size, len(rows)))
        batch = collator([rows[number] for number in numbers]).to(model.device)
        with _chance_of_its_own(start) if num_samples else nullcontext():
            written = processor.batch_decode(model.generate(**batch, **generation), skip_special_tokens=True)
        each = len(written) // len(numbers)
        of_rows = [[text.strip() for text in written[i * each : (i + 1) * each]] for i in range(len(numbers))]
        texts.update(zip(numbers, map(choose_by_consensus, of_rows), strict=True))
    model.train(was_training)
    gathered = dict(item for share in gather_object([list(texts.items())]) for item in share)
    return [gathered[number] for number in range(len(rows))]


@contextmanager
def _chance_of_its_own(seed: int) -> Iterator[None]:
    """Draws from a seed, and leaves the caller's chance as it was."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


def _drawing(num_samples: int, generation: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of `generate` that draw so many texts of each row."""
    if generation.get("num_beams", 1) > 1:
        raise ValueError(
            f"num_samples={num_samples} draws texts, num_beams={generation['num_beams']} searches for them: give one."
        )
    return {**generation, "num_beams": 1, "do_sample": True, "num_return_sequences": num_samples}


def score_texts(
    model: Any,  # noqa: ANN401 (as `write_texts`)
    processor: Any,  # noqa: ANN401 (as `write_texts`)
    rows: datasets.Dataset,
    schema: TextSchema,
    *,
    columns: Columns | None = None,
    **options: Any,  # noqa: ANN401 (of `write_texts`)
) -> dict[str, float]:
    """Writes a text for each row and computes all metrics of texts."""
    texts = write_texts(model, processor, rows, columns=columns, **options)
    return text_scores(texts, _references(rows, schema, columns))


def text_scores(texts: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
    """Computes all metrics of texts, as captions and as answers."""
    return {**caption_scores(texts, references), **answer_scores(texts, references)}


def _references(rows: datasets.Dataset, schema: TextSchema, columns: Columns | None) -> list[list[str]]:
    name = source_name(columns, "label")
    pairs = zip(rows[ROW_ID], column_values(rows, "label") or (), strict=True)
    return [schema.references(value, row=row, column=name) for row, value in pairs]


def evaluate_generation(
    model: str,
    rows: RowSource,
    *,
    num_beams: int = 1,
    num_samples: int = 0,
    output: Path | None = None,
    batch_size: int = 64,
) -> dict[str, float]:
    """Computes the metrics of what a saved model writes.

    Args:
        model: Folder or Hub id.
        rows: Rows with their texts in the column `label`.
        num_beams: Beams of the search; 1 is greedy.
        num_samples: Texts drawn for each row, see `write_texts`.
        output: Folder for `metrics.json`, `predictions.parquet` (each row's text beside its references) and
            `texts.html` (twelve rows as a person would see them), or None.
        batch_size: Rows written for at a time.

    Raises:
        ValueError: if the model writes nothing, or a row is not usable.
    """
    check_text_libraries()
    loaded, processor = load_writer(model)
    dataset = rows.load(with_labels=True)
    schema = TextSchema.from_dataset(dataset)
    check_labels(dataset, schema, columns=rows.columns)
    references = _references(dataset, schema, rows.columns)
    state = process_state()
    loaded.to(state.device)
    options: dict[str, Any] = {"columns": rows.columns, "batch_size": batch_size}
    options.update(num_beams=num_beams, num_samples=num_samples)
    texts = write_texts(loaded, processor, dataset, **options)
    scores = text_scores(texts, references)
    if output is not None and state.is_main_process:
        output.mkdir(parents=True, exist_ok=True)
        write_text_predictions(output, dataset, texts, references)
        write_text_page(output, dataset, texts, references, processor.modalities)
        write_whole(output / METRICS, metrics_json(scores))
    state.wait_for_everyone()
    return scores


def write_text_predictions(
    folder: Path, rows: datasets.Dataset, texts: list[str], references: list[list[str]] | None
) -> None:
    """Writes a line per row."""
    columns: dict[str, list] = {"row_id": [str(x) for x in rows[ROW_ID]], "prediction": texts}
    if references is not None:
        columns["references"] = references
    folder.mkdir(parents=True, exist_ok=True)
    with whole_file(folder / PREDICTIONS) as partial:
        pq.write_table(pa.table(columns), partial)


def predict_texts(
    model: str, rows: RowSource, *, output: Path, batch_size: int = 64, num_beams: int = 1, num_samples: int = 0
) -> int:
    """Writes `predictions.parquet` for rows that need no references, and returns how many there are.

    Raises:
        ValueError: as `evaluate_generation`.
    """
    loaded, processor = load_writer(model)
    dataset = rows.load(with_labels=False)
    state = process_state()
    loaded.to(state.device)
    options: dict[str, Any] = {"columns": rows.columns, "batch_size": batch_size}
    options.update(num_beams=num_beams, num_samples=num_samples)
    texts = write_texts(loaded, processor, dataset, **options)
    if state.is_main_process:
        write_text_predictions(output, dataset, texts, None)
        for stale in (METRICS, TEXT_PAGE):  # of other predictions, overwritten now
            (output / stale).unlink(missing_ok=True)
    state.wait_for_everyone()
    return len(dataset)


def predict_text(
    model: str, row: Mapping[str, Any], *, num_beams: int = 1, num_samples: int = 0
) -> list[dict[str, str]]:
    """Writes the text of one row, as the pipeline does; of `num_samples` drawn ones, if any, as `write_texts` chooses.

    Raises:
        ValueError: if the model writes nothing, a file cannot be read, or the model does not read a modality.
    """
    generation: dict[str, Any] = {"num_beams": num_beams}
    if num_samples:
        generation = _drawing(num_samples, generation)
    loaded, processor = load_writer(model)
    for modality in row:
        check_known("modality of this model", modality, processor.modalities)
    with _chance_of_its_own(0) if num_samples else nullcontext():
        written = MultimodalGenerationPipeline(model=loaded, processor=processor)(dict(row), **generation)
    return [{"generated_text": choose_by_consensus([text["generated_text"] for text in written])}]


def load_writer(model: str) -> tuple[Any, Any]:
    """Loads a saved model that writes, and its processor.

    Raises:
        ValueError: if it is another one.
    """
    loaded, processor = load_model(model)
    if not isinstance(loaded, MultimodalForConditionalGeneration):
        raise ValueError(f"{model!r} holds {type(loaded).__name__}, which writes no text: train with task: generation.")
    return loaded.eval().requires_grad_(False), processor


__all__ = [
    "evaluate_generation",
    "load_writer",
    "predict_text",
    "predict_texts",
    "score_texts",
    "text_scores",
    "write_texts",
]
