# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Tokens of encoded items on disk, for reranking without encoding them again.

A part is a file of float16 numbers, one item's tokens after another's, and a table of where each item's begin. Parts
are written once and never changed.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from hf_multimodal.modeling.modeling_outputs import TowerOutput

_PLACES = ".places.parquet"


class TokenStore:
    """Reads items' tokens from parts.

    Args:
        parts: The parts, without their endings.
        width: Width of a token.
    """

    def __init__(self, parts: Iterable[Path], width: int) -> None:
        self.width = width
        self._maps: list[np.ndarray] = []
        self._places: dict[str, tuple[int, int, int]] = {}
        for number, part in enumerate(parts):
            table = pq.read_table(_with_ending(part, _PLACES)).to_pydict()
            file = _with_ending(part, ".bin")
            self._maps.append(np.memmap(file, np.float16, "r").reshape(-1, width))
            for one, start, length in zip(table["id"], table["start"], table["length"], strict=True):
                self._places[one] = (number, start, length)

    def get(self, ids: Sequence[str]) -> list[np.ndarray]:
        """Returns each item's tokens, (L, H) float16.

        Raises:
            ValueError: naming an item whose tokens are not here.
        """
        found = []
        for one in ids:
            if one not in self._places:
                raise ValueError(f"The tokens of {one!r} are not stored: embed the collection with its tokens.")
            number, start, length = self._places[one]
            found.append(self._maps[number][start : start + length])
        return found


def _with_ending(part: Path, ending: str) -> Path:
    return part.with_name(part.name + ending)


def write_part(part: Path, items: Iterable[Mapping[str, Any]], width: int) -> None:
    """Writes a part.

    Args:
        part: Its path, without endings.
        items: Mappings with `id` and `tokens`, the bytes of (L, H) float16.
        width: H.
    """
    places: dict[str, list] = {"id": [], "start": [], "length": []}
    start, size = 0, 2 * width
    with _with_ending(part, ".bin").open("wb") as file:
        for item in items:
            data: bytes = item["tokens"]
            file.write(data)
            length = len(data) // size
            for name, value in (("id", item["id"]), ("start", start), ("length", length)):
                places[name].append(value)
            start += length
    pq.write_table(pa.table(places), _with_ending(part, _PLACES))


def remove_part(part: Path) -> None:
    """Deletes a part's files."""
    for ending in (".bin", _PLACES):
        _with_ending(part, ending).unlink(missing_ok=True)


def to_bytes(tower: TowerOutput) -> list[bytes]:
    """Turns each row's real tokens into the bytes of (L, H) float16."""
    tokens, mask = tower.tokens.to(torch.float16).cpu(), tower.mask.cpu()
    return [row[real].numpy().tobytes() for row, real in zip(tokens, mask, strict=True)]


def to_tower(tokens: Sequence[np.ndarray], device: torch.device, dtype: torch.dtype) -> TowerOutput:
    """Puts items' tokens, (L, H) each, side by side as a tower would have returned them, (B, L, H) with their mask."""
    lengths = torch.tensor([len(x) for x in tokens])
    padded = torch.nn.utils.rnn.pad_sequence([torch.from_numpy(np.array(x)) for x in tokens], batch_first=True)
    mask = torch.arange(padded.shape[1])[None, :] < lengths[:, None]
    return TowerOutput(tokens=padded.to(device, dtype), mask=mask.to(device))


__all__ = ["TokenStore", "remove_part", "to_bytes", "to_tower", "write_part"]
