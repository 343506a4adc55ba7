# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""A predictor with the graphs of a bundle behind it, run by ONNX Runtime or OpenVINO.

Shapes: B rows, T tokens of a text, V words of the decoder.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoConfig, AutoProcessor

from hf_multimodal.modeling.configuration_multimodal import TOWER_INPUTS
from hf_multimodal.prediction.bundle import BundleManifest, GraphInfo
from hf_multimodal.prediction.predictor import InputError, Limits, MultimodalPredictor, Outputs, TextPieces
from hf_multimodal.prediction.revision import hash_files

_FILES = ("*.onnx", "*.onnx.data", "*.xml", "*.bin", "config.json", "processor_config.json", "tokenizer*.json")
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
        import openvino
    except ImportError as error:
        raise ImportError('OpenVINO bundles are run by openvino: pip install "hf_multimodal[openvino]".') from error
    options: dict[str, Any] = {"INFERENCE_NUM_THREADS": torch.get_num_threads(), "PERFORMANCE_HINT": "LATENCY"}
    if precision != "fp16":  # else it computes in bfloat16 where the processor can
        options["INFERENCE_PRECISION_HINT"] = "f32"
    try:
        compiled = openvino.Core().compile_model(file, "CPU", options)
    except RuntimeError as error:
        raise ValueError(f"The graph {str(file)!r} cannot be read ({error}): export again.") from error

    def run(inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        results = compiled.create_infer_request().infer(dict(inputs))
        return [results[output] for output in compiled.outputs]

    return run


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
            revision=hash_files(folder, _FILES),
            limits=limits,
        )
        self._graphs = {
            name: open_graph(folder / graph.file, own.runtime, own.precision, cpu_only=cpu_only)
            for name, graph in own.graphs.items()
        }

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
        given = [m for m in self.modalities if any(name in batch for name in TOWER_INPUTS[m])]
        return {modality: self.call(modality, batch, rows)["embedding"] for modality in given}

    def match_pairs(self, rows: Sequence[Mapping[str, Any]]) -> np.ndarray:
        """Scores each opened row's two modalities by the match head; rows need both."""
        if self.kind != "retrieval":
            return super().match_pairs(rows)
        batch = self.reader.batch(rows)
        told = {modality: self.call(modality, batch, len(rows)) for modality in self.modalities}
        return self.match({modality: (one["tokens"], one["mask"]) for modality, one in told.items()})

    def match(self, tokens: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
        """Scores pairs by the match head: (B,) logits.

        Args:
            tokens: Both modalities' tokens (B, L, H) and their masks (B, L), as the graphs give them.
        """
        named = {
            f"{m}_{part}": x for m, pair in tokens.items() for part, x in zip(("tokens", "mask"), pair, strict=True)
        }
        return self.call("match", named, len(next(iter(named.values()))))["logits"]

    def generate(
        self,
        rows: Sequence[Mapping[str, Any]],
        *,
        on_text: Callable[[str], None] | None = None,
        should_stop: Callable[[], bool] | None = None,
        **options: Any,  # noqa: ANN401 (of `generate`)
    ) -> list[str]:
        """Writes the likeliest token after another; see the base class.

        Raises:
            InputError: if the bundle does not write, or more than `max_new_tokens` is asked for.
        """
        if self.kind != "generation":
            raise InputError(f"{self.name} writes no texts.")
        longest = options.pop("max_new_tokens", None) or self.processor.decoder_tokenizer.model_max_length - 1
        asked = {name: value for name, value in options.items() if value is True or value not in (None, False, 1)}
        if asked:
            raise InputError(f"A bundle writes greedily: leave {', '.join(sorted(asked))} out, or serve the model.")
        batch = self.reader.batch(rows)
        encoded = self.call("encoder", batch, len(rows))
        told = self.manifest.generation
        ids = np.full((len(rows), 1), told["decoder_start_token_id"], dtype=np.int64)
        ended = np.zeros(len(rows), dtype=bool)
        pieces = None if on_text is None else TextPieces(self.processor, on_text)
        for _ in range(longest):
            logits = self.call("decoder", {"decoder_input_ids": ids, **encoded}, len(rows))["logits"]  # (B, V)
            following = np.where(ended, told["pad_token_id"], logits.argmax(-1))
            ids = np.concatenate([ids, following[:, None].astype(np.int64)], axis=1)
            ended |= following == told["eos_token_id"]
            if pieces is not None:
                pieces.put(torch.from_numpy(following))
            if ended.all() or (should_stop is not None and should_stop()):
                break
        if pieces is not None:
            pieces.end()
        return [text.strip() for text in self.processor.batch_decode(ids, skip_special_tokens=True)]


def _inputs(info: GraphInfo, tensors: Mapping[str, Any], rows: int) -> dict[str, np.ndarray]:
    inputs = {}
    for name, wanted in info.inputs.items():
        if name in tensors:
            inputs[name] = np.asarray(tensors[name], dtype=wanted.dtype)
        else:
            inputs[name] = np.zeros((rows, *wanted.blank[1:]), dtype=wanted.dtype)
    return inputs


__all__ = ["GraphPredictor", "open_graph"]
