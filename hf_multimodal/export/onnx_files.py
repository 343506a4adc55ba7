# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Graphs as ONNX files: written by PyTorch's exporter, with float16 or int8 weights if asked."""

import contextlib
import io
import logging
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from packaging.version import Version

from hf_multimodal.export.graphs import Graph

# embeddings and all that multiplies matrices; convolutions get slower (dynamic ones are not vectorised)
_QUANTIZED = ["MatMul", "Gemm", "Gather"]
_OLDEST_TORCH = "2.11"
_LARGE = 1_900_000_000  # bytes of weights; a single ONNX file holds 2 GB
_SMALL = 256  # values of a tensor that is not worth shrinking


def check_onnx() -> None:
    """Checks that what exports is installed.

    Raises:
        ImportError: naming the extra, or the release of PyTorch.
    """
    if Version(torch.__version__) < Version(_OLDEST_TORCH):
        raise ImportError(
            f"Exporting needs torch {_OLDEST_TORCH} or newer, whose exporter follows transformers' models; this is "
            f"{torch.__version__}. What was exported elsewhere runs here."
        )
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ImportError(f'Exporting needs {error.name}: pip install "hf_multimodal[onnx]".') from error


def write_onnx(graph: Graph, file: Path) -> None:
    """Writes a graph in float32, with any number of rows and any length of texts.

    Raises:
        RuntimeError: if PyTorch cannot export the module.
    """
    free = torch.export.Dim.DYNAMIC
    shapes = tuple(dict.fromkeys((0, *graph.dynamic[name]), free) for name in graph.inputs)
    with _quiet():
        program = torch.onnx.export(
            graph.module.eval(),
            tuple(graph.inputs.values()),
            dynamo=True,
            dynamic_shapes=(shapes,) if _takes_any(graph.module) else shapes,
            input_names=list(graph.inputs),
            output_names=[f"output_{name}" for name in graph.outputs],  # other nodes may have the plain ones
            verbose=False,
        )
    assert program is not None
    program.save(str(file))
    _strip(file)


def _strip(file: Path) -> None:
    """Takes out what the exporter notes of each node: where in whose files its code is, as large as a small model."""
    import onnx

    model = onnx.load(file, load_external_data=False)
    for graph in (model.graph, *model.functions):
        for part in (graph, *graph.node, *graph.value_info):
            del part.metadata_props[:]
            part.ClearField("doc_string")
    for value in (*model.graph.input, *model.graph.output, *model.graph.initializer):
        del value.metadata_props[:]
    del model.metadata_props[:]
    onnx.save(model, file)


def _takes_any(module: torch.nn.Module) -> bool:
    """Whether the module's inputs are one starred argument, whose shapes then stand in a tuple of their own."""
    return module.forward.__code__.co_argcount == 1


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps back the exporter's own progress; what fails is raised all the same."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        level = logging.root.manager.disable
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(level)


def _save(model: Any, file: Path) -> bool:  # noqa: ANN401 (an onnx.ModelProto)
    """Writes a model; returns whether its weights lie in a file beside it, as they must from two gigabytes on."""
    import onnx

    is_large = sum(len(tensor.raw_data) for tensor in model.graph.initializer) > _LARGE
    onnx.save(model, file, save_as_external_data=is_large, location=f"{file.name}.data")
    return is_large


def quantize_onnx(source: Path, target: Path) -> None:
    """Writes a copy with int8 weights of matrix products and embeddings; activations are quantized as they come."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model = onnx.load(source)
    del model.graph.value_info[:]  # shapes as the exporter inferred them, at which the quantizer stumbles
    options: dict[str, Any] = {"op_types_to_quantize": _QUANTIZED, "weight_type": QuantType.QInt8, "per_channel": True}
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        plain = Path(scratch) / "plain.onnx"
        options["use_external_data_format"] = _save(model, plain)
        with _quiet():
            quantize_dynamic(plain, target, **options)


def halve_onnx(source: Path, target: Path) -> None:
    """Writes a copy with float16 weights, which are brought back to float32 when it is opened."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load(source)
    casts: list[Any] = []
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if tensor.data_type != TensorProto.FLOAT or values.size < _SMALL or np.abs(values).max() > np.finfo("f2").max:
            continue
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}_half"))
        casts.append(helper.make_node("Cast", [f"{name}_half"], [name], to=TensorProto.FLOAT))
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*casts, *nodes])
    _save(model, target)


__all__ = ["check_onnx", "halve_onnx", "quantize_onnx", "write_onnx"]
