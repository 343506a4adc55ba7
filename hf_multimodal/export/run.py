# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""A saved model to a bundle: graphs, configuration, processor and the report of what was lost; whole or not at all."""

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch

from hf_multimodal.data.collator import MultimodalCollator
from hf_multimodal.data.labels import ItemSchema, TextSchema, check_labels, labels_from_config
from hf_multimodal.data.whole_files import aside, whole_folder, write_whole
from hf_multimodal.export.graphs import Graph, graphs_of
from hf_multimodal.export.onnx_files import check_onnx, halve_onnx, quantize_onnx, write_onnx
from hf_multimodal.export.openvino_files import check_openvino, write_openvino
from hf_multimodal.export.parity import (
    BATCH,
    Parity,
    Thresholds,
    answers,
    as_json,
    check_parity,
    compare_answers,
    measure_speed,
    processor_name,
    report_markdown,
)
from hf_multimodal.modeling.configuration_multimodal import check_known
from hf_multimodal.prediction.bundle import MANIFEST, PRECISIONS, RUNTIMES, BundleManifest, GraphInfo, GraphInput
from hf_multimodal.prediction.bundle_rows import open_rows
from hf_multimodal.prediction.graph_predictor import GraphPredictor
from hf_multimodal.prediction.load import open_predictor
from hf_multimodal.prediction.predictor import MultimodalPredictor, TorchPredictor
from hf_multimodal.prediction.rows import OWN_ROWS
from hf_multimodal.training.row_source import RowSource

PARITY = "parity.json"
PARITY_PAGE = "parity.md"
CALIBRATION_ROWS = 256


def export_model(
    model: str,
    output: str | Path,
    rows: RowSource,
    *,
    runtime: str = "onnx",
    precision: str = "fp32",
    thresholds: Thresholds | None = None,
    limit: int | None = None,
    calibration: RowSource | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Writes a saved model as a bundle, which `open_predictor` opens and the service serves.

    Args:
        model: Folder or Hub id.
        output: Folder of the bundle.
        rows: Labelled rows on which the bundle is compared with the model; best those of validation.
        runtime: `onnx` or `openvino`.
        precision: `fp32`; `fp16`: weights of half the size; `int8`: weights of a quarter, and faster.
        thresholds: What it may lose; None takes 0.5 points, and of fp32 a difference of 0.001 at most.
        limit: How many of the rows to take, the first ones; None = all.
        calibration: Rows for OpenVINO's int8, best those of training; None takes those of the comparison.
        overwrite: Whether to replace a bundle that is there.

    Returns:
        The report, as in `parity.json`.

    Raises:
        ParityError: if it lost more than it may; nothing is written then.
        ValueError: if the model, rows or folder are not usable.
        ImportError: if an extra is missing.
    """
    check_known("runtime", runtime, RUNTIMES)
    check_known("precision", precision, PRECISIONS)
    check_onnx()
    if runtime == "openvino":
        check_openvino(precision)
    output = Path(output)
    _check_output(output, overwrite)
    predictor = open_predictor(model, limits=OWN_ROWS, device="cpu")
    if not isinstance(predictor, TorchPredictor):
        raise ValueError(f"{model!r} is a bundle already: export the model that it was made of.")
    predictor.model.float()  # what was saved in half precision is computed, and compared, in float32
    dataset, references, schema = _load(predictor, rows, limit)
    thresholds = thresholds or Thresholds(difference=1e-3 if precision == "fp32" else None)
    with whole_folder(output) as folder:
        batches = _calibration(predictor, calibration or rows) if runtime == "openvino" and precision == "int8" else []
        _write_bundle(predictor, folder, runtime, precision, batches)
        bundle = GraphPredictor(folder, OWN_ROWS, cpu_only=True)
        found = _compared([predictor, bundle], dataset, references, schema)
        check_parity(found, thresholds)
        named = {"name": predictor.name, "runtime": runtime, "precision": precision}
        report = {**named, **_report(predictor, bundle, found, _megabytes(folder), dataset, rows)}
        write_whole(folder / PARITY, json.dumps(report, indent=2) + "\n")
        write_whole(folder / PARITY_PAGE, report_markdown(report))
        earlier = aside(output.with_name(f"{output.name}-earlier")) if output.exists() else None
        if earlier is not None:  # a bundle that may be replaced: gone when the new one is there
            output.rename(earlier)
    if earlier is not None:
        shutil.rmtree(earlier)
    return report


def compare_models(model: str, other: str, rows: RowSource) -> dict[str, Any]:
    """Compares a model with another one of the same labels, such as its student.

    Args:
        model: Folder or Hub id.
        other: The other one's.
        rows: Labelled rows, with all that both read.

    Returns:
        A report as `export_model` makes it; the other model stands in the bundle's place.

    Raises:
        ValueError: if a model or the rows are not usable.
    """
    predictors = [open_predictor(x, limits=OWN_ROWS, device="cpu") for x in (model, other)]
    first, second = predictors
    if not isinstance(first, TorchPredictor) or not isinstance(second, TorchPredictor):
        raise ValueError("Give two models, not bundles.")
    dataset, references, schema = _load(second, rows, None)
    if first.config.id2label != second.config.id2label:
        raise ValueError(f"{model!r} and {other!r} have other labels, or the same in another order.")
    found = _compared(predictors, dataset, references, schema)
    named = {"name": f"{first.name} → {second.name}", "runtime": "torch", "precision": "fp32"}
    return {**named, **_report(first, second, found, _weight_megabytes(second), dataset, rows)}


def _report(
    model: TorchPredictor,
    other: MultimodalPredictor,
    found: Sequence[Parity],
    megabytes: float,
    dataset: datasets.Dataset,
    rows: RowSource,
) -> dict[str, Any]:
    """What a report tells beside its name: the other's losses, its size (in megabytes) and speed beside the model's."""
    predictors = {"model": model, "bundle": other}
    opened = {name: next(open_rows(x, dataset, BATCH)) for name, x in predictors.items()}
    return {
        "revision": model.revision,
        "rows_of": f"{len(dataset)} rows of {rows.name}, {rows.split}",
        "parity": as_json(found),
        "megabytes": {"model": _weight_megabytes(model), "bundle": megabytes},
        "speed": measure_speed(predictors, opened),
        "machine": {
            "processor": processor_name(),
            "threads": str(torch.get_num_threads()),
            "torch": torch.__version__,
        },
    }


def _compared(
    predictors: Sequence[MultimodalPredictor],
    dataset: datasets.Dataset,
    references: Any,  # noqa: ANN401 (labels)
    schema: Any,  # noqa: ANN401 (what they are)
) -> list[Parity]:
    parts = zip(*(open_rows(predictor, dataset, BATCH) for predictor in predictors), strict=True)
    before, after = answers(predictors, parts, references, schema)
    return compare_answers(before, after)


def _check_output(output: Path, overwrite: bool) -> None:
    if output.is_symlink():
        raise ValueError(f"{str(output)!r} is a link: give the folder itself.")
    if not output.exists():
        return
    if not output.is_dir() or (any(output.iterdir()) and not (output / MANIFEST).is_file()):
        raise ValueError(f"{str(output)!r} holds something else than a bundle: give another --output.")
    own = {MANIFEST, PARITY, PARITY_PAGE}
    kinds = (".onnx", ".data", ".xml", ".bin", ".json", ".txt", ".model", ".jinja", ".py")
    if strange := [x.name for x in output.iterdir() if x.is_file() and x.name not in own and x.suffix not in kinds]:
        raise ValueError(f"{str(output)!r} also holds {strange[0]!r}, which is of no bundle: move it, or give another.")
    if any(output.iterdir()) and not overwrite:
        raise ValueError(f"{str(output)!r} holds a bundle already: give --overwrite, or another --output.")


def _load(predictor: TorchPredictor, rows: RowSource, limit: int | None) -> tuple[datasets.Dataset, Any, Any]:
    """Loads rows, their labels, and what these are."""
    dataset = rows.load(with_labels=predictor.kind != "retrieval", text_lists=True)
    dataset = dataset.select(range(min(len(dataset), limit or len(dataset))))
    if not len(dataset):
        raise ValueError("There are no rows to compare the bundle with the model on.")
    if predictor.kind != "retrieval" and not any(name.split(".")[0] == "label" for name in dataset.column_names):
        raise ValueError("Comparing a bundle with its model needs labels: map them with --column label=COLUMN.")
    if predictor.kind == "retrieval":
        items = dataset["item"] if "item" in dataset.column_names else range(len(dataset))
        schema: Any = ItemSchema()
        return dataset, [schema.encode(item, row=i, column="item") for i, item in enumerate(items)], schema
    if predictor.kind == "generation":
        texts = TextSchema.from_dataset(dataset)
        name = rows.columns.get("label", "label")
        return dataset, [texts.references(x, row=i, column=name) for i, x in enumerate(dataset["label"])], texts
    schema = labels_from_config(predictor.config)
    check_labels(dataset, schema, columns=rows.columns)
    collator = MultimodalCollator(predictor.processor, schema, rows.columns)
    labels = dataset.select_columns([name for name in dataset.column_names if name.split(".")[0] == "label"])
    return dataset, collator.labels_of(list(labels), list(range(len(labels)))), schema


def _write_bundle(
    predictor: TorchPredictor, folder: Path, runtime: str, precision: str, batches: Sequence[Mapping[str, Any]]
) -> None:
    predictor.processor.save_pretrained(folder)
    predictor.config.save_pretrained(folder)
    _forget_names(folder / "config.json")
    graphs = graphs_of(predictor)
    infos = {graph.name: _write_graph(graph, folder, runtime, precision, batches) for graph in graphs}
    if predictor.kind == "generation":
        predictor.model.generation_config.save_pretrained(folder)
    BundleManifest(
        runtime=runtime,
        precision=precision,
        kind=predictor.kind,
        name=predictor.name,
        revision=predictor.revision,
        graphs=infos,
        contrastive=predictor.contrastive() if predictor.kind == "retrieval" else {},
    ).save(folder)


def _forget_names(file: Path) -> None:
    """Takes out from where the configurations of the towers were loaded: folders of this machine."""

    def without(told: Any) -> Any:  # noqa: ANN401 (any JSON)
        if isinstance(told, dict):
            return {name: without(value) for name, value in told.items() if name != "_name_or_path"}
        return [without(value) for value in told] if isinstance(told, list) else told

    write_whole(file, json.dumps(without(json.loads(file.read_text(encoding="utf-8"))), indent=2) + "\n")


def _write_graph(
    graph: Graph, folder: Path, runtime: str, precision: str, batches: Sequence[Mapping[str, Any]]
) -> GraphInfo:
    file = folder / f"{graph.name}.onnx"
    write_onnx(graph, file)
    if runtime == "openvino":
        plain, file = file, file.with_suffix(".xml")
        write_openvino(plain, file, precision, _inputs_of(graph, batches))
        plain.unlink()
        plain.with_suffix(".onnx.data").unlink(missing_ok=True)
    elif precision != "fp32":
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            smaller = Path(scratch) / file.name
            (quantize_onnx if precision == "int8" else halve_onnx)(file, smaller)
            file.with_suffix(".onnx.data").unlink(missing_ok=True)
            for part in Path(scratch).iterdir():
                part.replace(folder / part.name)
    inputs = {name: GraphInput(str(x.numpy().dtype), tuple(x.shape)) for name, x in graph.inputs.items()}
    return GraphInfo(file.name, inputs, graph.outputs)


def _calibration(predictor: TorchPredictor, rows: RowSource) -> list[dict[str, torch.Tensor]]:
    dataset = rows.load(with_labels=False)
    dataset = dataset.shuffle(seed=0).select(range(min(len(dataset), CALIBRATION_ROWS)))
    return [dict(predictor.reader.batch(part)) for part in open_rows(predictor, dataset, 8)]


def _inputs_of(graph: Graph, batches: Sequence[Mapping[str, torch.Tensor]]) -> list[dict[str, np.ndarray]]:
    """A graph's share of batches; none of one that reads what other graphs give."""
    whole = [batch for batch in batches if set(graph.inputs) <= set(batch)]
    return [{name: batch[name].numpy() for name in graph.inputs} for batch in whole]


def _weight_megabytes(predictor: TorchPredictor) -> float:
    tensors = {x.data_ptr(): x for x in predictor.model.state_dict().values()}
    return sum(x.numel() * x.element_size() for x in tensors.values()) / 1e6


def _megabytes(folder: Path) -> float:
    kinds = (".onnx", ".data", ".xml", ".bin")
    return sum(file.stat().st_size for file in folder.iterdir() if file.suffix in kinds) / 1e6


__all__ = ["PARITY", "PARITY_PAGE", "compare_models", "export_model"]
