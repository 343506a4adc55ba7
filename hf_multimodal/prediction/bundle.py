# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""A bundle: a model as graphs, which run without PyTorch's code for it, with its configuration and processor."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hf_multimodal.data.whole_files import write_whole
from hf_multimodal.training.output_folder import BUNDLE_MANIFEST

MANIFEST = BUNDLE_MANIFEST
RUNTIMES = ("onnx", "openvino")
PRECISIONS = ("fp32", "fp16", "int8")
_FORMAT = 2


@dataclass(frozen=True)
class GraphInput:
    """An input of a graph.

    Attributes:
        dtype: NumPy's name.
        blank: Sizes of what stands for it where no row has any.
    """

    dtype: str
    blank: tuple[int, ...]


@dataclass(frozen=True)
class GraphInfo:
    """A graph of a bundle.

    Attributes:
        file: Where it is in the folder.
        inputs: Name -> what it takes, in their order.
        outputs: Names of what it gives.
    """

    file: str
    inputs: Mapping[str, GraphInput]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class BundleManifest:
    """What a bundle holds.

    Attributes:
        runtime: Of `RUNTIMES`.
        precision: Of `PRECISIONS`: of the weights.
        kind: `prediction`, `retrieval` or `generation`.
        name: Of the model.
        revision: Fingerprint of the model that it was made of.
        graphs: Name -> graph. Of predictions `model`; of retrieval one per modality, and `match`; of generation
            `encoder` and `decoder`.
        contrastive: Of retrieval: `scale` and `bias`, which make logits of cosines.
        format: Of the files.
    """

    runtime: str
    precision: str
    kind: str
    name: str
    revision: str
    graphs: Mapping[str, GraphInfo]
    contrastive: Mapping[str, float] = field(default_factory=dict)
    format: int = _FORMAT

    @classmethod
    def load(cls, folder: Path) -> "BundleManifest":
        """Reads the manifest of a bundle.

        Raises:
            ValueError: if it is damaged, or of another version of this package.
        """
        try:
            told: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
            if told["format"] != _FORMAT:
                raise ValueError(
                    f"{str(folder / MANIFEST)!r} has format {told['format']}, not {_FORMAT}: export again."
                )
            graphs = {
                name: GraphInfo(
                    graph["file"],
                    {key: GraphInput(x["dtype"], tuple(x["blank"])) for key, x in graph["inputs"].items()},
                    tuple(graph["outputs"]),
                )
                for name, graph in told["graphs"].items()
            }
            return cls(**{**told, "graphs": graphs})
        except (OSError, KeyError, TypeError, json.JSONDecodeError) as error:
            raise ValueError(
                f"{str(folder / MANIFEST)!r} is no manifest of a bundle ({error}): export again."
            ) from error

    def save(self, folder: Path) -> None:
        """Writes the manifest."""
        write_whole(folder / MANIFEST, json.dumps(asdict(self), indent=2) + "\n")


__all__ = ["MANIFEST", "PRECISIONS", "RUNTIMES", "BundleManifest", "GraphInfo", "GraphInput"]
