# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""ONNX files to OpenVINO's own, with float16 weights if asked, or calibrated to compute in int8."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np


def check_openvino(precision: str) -> None:
    """Checks that what converts is installed.

    Raises:
        ImportError: naming the extra.
    """
    try:
        import openvino  # noqa: F401

        if precision == "int8":
            import nncf  # noqa: F401
    except ImportError as error:
        raise ImportError(f'OpenVINO bundles need {error.name}: pip install "hf_multimodal[openvino]".') from error


def write_openvino(
    source: Path, target: Path, precision: str, calibration: Sequence[Mapping[str, np.ndarray]] = ()
) -> None:
    """Writes an ONNX graph as an OpenVINO one (.xml, and .bin beside it).

    Args:
        source: The ONNX file.
        target: The .xml file.
        precision: Of the weights.
        calibration: Inputs of batches, from which NNCF learns the ranges of activations for int8; without any, weights
            alone become int8.
    """
    import openvino

    model: Any = openvino.convert_model(source)
    if precision == "int8":
        model = _quantized(model, calibration)
    openvino.save_model(model, target, compress_to_fp16=precision == "fp16")


def _quantized(model: Any, calibration: Sequence[Mapping[str, np.ndarray]]) -> Any:  # noqa: ANN401 (of OpenVINO)
    import logging

    import nncf

    nncf.set_log_level(logging.ERROR)
    if not calibration:
        return nncf.compress_weights(model, mode=nncf.CompressWeightsMode.INT8_SYM)
    return nncf.quantize(
        model,
        nncf.Dataset(list(calibration)),
        model_type=nncf.ModelType.TRANSFORMER,
        subset_size=len(calibration),
        fast_bias_correction=True,
    )


__all__ = ["check_openvino", "write_openvino"]
