# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""A predictor with the graphs of a bundle behind it, run by ONNX Runtime or OpenVINO.

Shapes: B rows, L tokens, H width.
"""

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoConfig, AutoProcessor, GenerationConfig
from transformers.utils import GENERATION_CONFIG_NAME

from hf_multimodal.modeling.configuration_multimodal import TOWER_INPUTS
from hf_multimodal.modeling.modeling_outputs import TowerOutput
from hf_multimodal.prediction.bundle import BundleManifest, GraphInfo
from hf_multimodal.prediction.graph_writer import EncodedRows, GraphForGeneration
from hf_multimodal.prediction.predictor import Encoded, InputError, Limits, MultimodalPredictor, Outputs
from hf_multimodal.prediction.revision import hash_files

_FILES = ("*.onnx", "*.onnx.data", "*.xml", "*.bin", "config.json", "processor_config.json", "tokenizer*.json")
_FILES_OF_WRITERS = (*_FILES, GENERATION_CONFIG_NAME)
# what reads the prompt again, runs a second model or the towers once more
_NEEDS_MODEL = (
    "assistant_early_exit",
    "assistant_model",
    "encoder_no_repeat_ngram_size",
    "encoder_repetition_penalty",
    "guidance_scale",
)
Run = Callable[[Mapping[str, np.ndarray]], list[np.ndarray]]


def open_graph(file: Path, runtime: str, precision: str, *, cpu_only: bool = False) -> Run:
    """Opens one graph; returns what runs it.

    Args:
        file: The graph.
        runtime: `onnx` or `openvino`.
        precision: Of its weights.
        cpu_only: Whether to leave accelerators alone.

    Raises:
        ImportError: if the runtime is not installed.
        ValueError: if the file is not there, or damaged.
    """
    if not file.is_file():
        raise ValueError(f"The bundle lacks its graph {str(file)!r}: export again.")
    return _open_onnx(file, cpu_only) if runtime == "onnx" else _open_openvino(file, precision)


def _open_onnx(file: Path, cpu_only: bool) -> Run:
    try:
        import onnxruntime
    except ImportError as error:
        raise ImportError('ONNX bundles are run by onnxruntime: pip install "hf_multimodal[onnx]".') from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    try:
        providers = ["CPUExecutionProvider"] if cpu_only else onnxruntime.get_available_providers()
        session = onnxruntime.InferenceSession(file, options, providers=providers)
    except Exception as error:
        raise ValueError(f"The graph {str(file)!r} cannot be read ({error}): export again.") from error
    return lambda inputs: session.run(None, dict(inputs))


def _open_openvino(file: Path, precision: str) -> Run:
    try:
        core = _openvino_core()
    except ImportError as error:
        raise ImportError('OpenVINO bundles are run by openvino: pip install "hf_multimodal[openvino]".') from error
    options: dict[str, Any] = {"INFERENCE_NUM_THREADS": torch.get_num_threads(), "PERFORMANCE_HINT": "LATENCY"}
    if precision != "fp16":  # else it computes in bfloat16 where the processor can
        options["INFERENCE_PRECISION_HINT"] = "f32"
    try:
        compiled = core.compile_model(file, "CPU", options)
    except RuntimeError as error:
        raise ValueError(f"The graph {str(file)!r} cannot be read ({error}): export again.") from error

    def run(inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        results = compiled.create_infer_request().infer(dict(inputs))
        return [results[output] for output in compiled.outputs]

    return run


@functools.cache
def _openvino_core() -> Any:  # noqa: ANN401 (an openvino.Core)
    """Makes what compiles graphs, once a process.

    Each core gives the thread another stack for the handlers of signals; several that end in the order in which they
    were made leave it one that is gone, and the next signal ends the process.
    """
    import openvino

    return openvino.Core()


class GraphPredictor(MultimodalPredictor):
    """A predictor with a bundle behind it.

    Args:
        folder: The bundle.
        limits: What is read of a row.
        cpu_only: Whether to leave accelerators alone.

    Raises:
        ValueError: if the bundle is damaged.
        ImportError: if its runtime is not installed.
    """

    def __init__(self, folder: Path, limits: Limits | None = None, *, cpu_only: bool = False) -> None:
        self.manifest = BundleManifest.load(folder)
        own = self.manifest
        super().__init__(
            AutoProcessor.from_pretrained(folder),
            AutoConfig.from_pretrained(folder),
            kind=own.kind,
            name=own.name,
            revision=hash_files(folder, _FILES_OF_WRITERS if own.kind == "generation" else _FILES),
            limits=limits,
        )
        self._graphs = {
            name: open_graph(folder / graph.file, own.runtime, own.precision, cpu_only=cpu_only)
            for name, graph in own.graphs.items()
        }
        if own.kind == "generation":
            if not (folder / GENERATION_CONFIG_NAME).is_file():
                raise ValueError(f"The bundle {str(folder)!r} lacks its {GENERATION_CONFIG_NAME}: export again.")
            settings = GenerationConfig.from_pretrained(folder)
            self._writer: Any = GraphForGeneration(self.config, settings, self._step)

    @property
    def model_revision(self) -> str:
        """Which weights the model has that it was exported from."""
        return self.manifest.revision

    def call(self, graph: str, tensors: Mapping[str, Any], rows: int) -> dict[str, np.ndarray]:
        """Runs one graph; inputs that no row has are zeros.

        Args:
            graph: Its name.
            tensors: Name -> what there is.
            rows: How many rows there are.
        """
        info = self.manifest.graphs[graph]
        outputs = self._graphs[graph](_inputs(info, tensors, rows))
        return dict(zip(info.outputs, outputs, strict=True))

    def run(self, batch: Mapping[str, torch.Tensor]) -> Outputs:
        """Computes a batch; see the base class."""
        rows = len(batch["modality_mask"])
        if self.kind == "prediction":
            outputs = self.call("model", batch, rows)
            return {"": outputs["logits"]} if "logits" in outputs else outputs
        return {modality: encoded.vectors for modality, encoded in self.encode(batch).items()}

    def encode(self, batch: Mapping[str, torch.Tensor]) -> dict[str, Encoded]:
        """Encodes the modalities of a batch; see the base class."""
        if self.kind != "retrieval":
            return super().encode(batch)
        encoded = {}
        for place, modality in enumerate(self.modalities):
            given = [batch[name] for name in TOWER_INPUTS[modality] if name in batch]
            if not given:
                continue
            told = self.call(modality, batch, len(given[0]))
            if "modality_mask" in batch:  # the graph takes every row to have it
                lacking = ~np.asarray(batch["modality_mask"])[:, place]
                told = {name: np.where(_column(lacking, x.ndim), np.zeros_like(x), x) for name, x in told.items()}
            encoded[modality] = Encoded(told.pop("embedding"), TowerOutput(**_tensors(told)))
        return encoded

    def match(self, towers: Mapping[str, TowerOutput]) -> np.ndarray:
        """Scores pairs; see the base class."""
        if self.kind != "retrieval":
            return super().match(towers)
        named = {f"{m}_{part}": getattr(tower, part) for m, tower in towers.items() for part in ("tokens", "mask")}
        return self.call("match", named, len(named[f"{self.modalities[0]}_tokens"]))["logits"]

    def contrastive(self) -> Mapping[str, float]:
        """Returns scale and bias of cosines; see the base class."""
        return self.manifest.contrastive if self.kind == "retrieval" else super().contrastive()

    @property
    def generation_config(self) -> GenerationConfig | None:
        """How it writes where nothing else is asked for; see the base class."""
        return self._writer.generation_config if self.kind == "generation" else None

    def write(self, batch: Mapping[str, torch.Tensor], options: Mapping[str, Any]) -> torch.Tensor:
        """Writes a text for each row of a batch; see the base class.

        Raises:
            InputError: if an option needs more than the graphs.
        """
        for name in _NEEDS_MODEL:
            if (options.get(name) or getattr(self.generation_config, name, None)) not in (None, 0, 1):
                raise InputError(f"A bundle cannot write with {name}: leave it out, or serve the model.")
        encoded = EncodedRows(**_tensors(self.call("encoder", batch, len(batch["modality_mask"]))))
        return self._writer.generate(encoder_outputs=encoded, attention_mask=encoded.mask, **options)

    def _step(self, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return _tensors(self.call("decoder", tensors, len(tensors["decoder_input_ids"])))


def _column(rows: np.ndarray, ndim: int) -> np.ndarray:
    return rows.reshape(-1, *[1] * (ndim - 1))


def _tensors(outputs: Mapping[str, np.ndarray]) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(values) for name, values in outputs.items()}


def _inputs(info: GraphInfo, tensors: Mapping[str, Any], rows: int) -> dict[str, np.ndarray]:
    inputs = {}
    for name, wanted in info.inputs.items():
        if name in tensors:
            inputs[name] = np.asarray(tensors[name], dtype=wanted.dtype)
        else:
            inputs[name] = np.zeros((rows, *wanted.blank[1:]), dtype=wanted.dtype)
    return inputs


__all__ = ["GraphPredictor", "open_graph"]
