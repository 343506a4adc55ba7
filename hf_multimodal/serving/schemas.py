# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""The typed requests: they check what comes in, and the OpenAPI document is made of them."""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from apiflask.fields import Boolean, Dict, Float, Integer, List, Nested, Raw, String
from apiflask.validators import Length, OneOf, Range
from marshmallow import RAISE, Schema, ValidationError, validates_schema

from hf_multimodal.prediction.predictor import MultimodalPredictor
from hf_multimodal.serving.settings import ServiceSettings

MEDIA = ("image", "audio", "video")
ENCODINGS = ("float32", "float16", "int8")


class Media(String):
    """The bytes of a file: base64 in JSON (a data URL will do), a file in a form."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:  # noqa: ANN401 (bytes)
        if isinstance(value, bytes):
            return value
        if not isinstance(value, str):
            raise ValidationError("Give the file's bytes as a base64 string.")
        if value.startswith("data:"):
            value = value.partition(",")[2]
        try:
            return base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError) as error:
            raise ValidationError(
                "This is not base64. Give the bytes of the file itself; paths and URLs are not read."
            ) from error


class Bounded(List):
    """A list that is counted before anything of it is read.

    Args:
        item: What it holds.
        least: Fewest items.
        most: Most items.
        **kwargs: As of `List`.
    """

    def __init__(self, item: Any, least: int, most: int, **kwargs: Any) -> None:  # noqa: ANN401 (a field)
        super().__init__(item, validate=Length(min=least, max=most), **kwargs)
        self.most = most

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        if isinstance(value, list) and len(value) > self.most:
            raise ValidationError(f"It has {len(value):,} items; at most {self.most:,} may be sent.")
        return super()._deserialize(value, attr, data, **kwargs)


def _media_field(modality: str) -> Media:
    about = {
        "image": "PNG, JPEG or WebP",
        "audio": "WAV, FLAC, OGG or MP3",
        "video": "MP4, WebM, MKV, AVI, GIF or APNG",
    }
    return Media(allow_none=True, metadata={"format": "byte", "description": f"{about[modality]}, base64."})


def row_fields(predictor: MultimodalPredictor) -> dict[str, Any]:
    """Fields of a row: one per modality of the model, none required."""
    fields: dict[str, Any] = {}
    for modality in predictor.modalities:
        if modality in MEDIA:
            fields[modality] = _media_field(modality)
        elif modality == "text":
            longest = predictor.reader.limits.characters
            fields[modality] = String(allow_none=True, validate=Length(max=longest))
        else:
            made = predictor.processor.series_feature_extractor
            columns = ", ".join([*made.channels, *made.categories])
            about = f"Column -> number, numbers of each step, or category; of {columns}."
            fields[modality] = Dict(
                keys=String(), values=Raw(allow_none=True), allow_none=True, metadata={"description": about}
            )
    return fields


class _Turn(Schema):
    role = String(required=True, validate=OneOf(["system", "user", "assistant"]))
    content = String(required=True)


def _strict(fields: Mapping[str, Any], name: str, base: type[Schema] = Schema) -> type[Schema]:
    """Makes a schema that refuses unknown fields."""
    meta = type("Meta", (), {"unknown": RAISE})
    return type(name, (base,), {**fields, "Meta": meta})


class _OneRowOrMany(Schema):
    @validates_schema(skip_on_field_errors=True)
    def check_rows(self, data: Mapping[str, Any], **kwargs: Any) -> None:  # noqa: ANN401
        """Refuses requests of no row, or of one and of many at once."""
        given = set(data) & set(self.row_names)  # type: ignore[attr-defined]
        if "rows" in data and given:
            raise ValidationError(f"Give either rows, or one row by {', '.join(sorted(given))}; not both.", "rows")
        if "rows" not in data and not given:
            raise ValidationError(f"Give a row, any of {', '.join(self.row_names)}, or rows.", "rows")  # type: ignore[attr-defined]


def rows_schema(
    name: str, row: Mapping[str, Any], settings: ServiceSettings, options: Mapping[str, Any]
) -> type[Schema]:
    """Makes the schema of a request: the fields of one row, or `rows`, and options.

    Args:
        name: Of the schema.
        row: Fields of a row.
        settings: How many rows there may be.
        options: Fields beside.
    """
    many = Bounded(Nested(_strict(row, f"{name}Row")), 1, settings.max_rows)
    base = type(f"{name}Base", (_OneRowOrMany,), {"row_names": tuple(row)})
    return _strict({**row, "rows": many, **options}, name, base)


def predict_schema(predictor: MultimodalPredictor, settings: ServiceSettings) -> type[Schema]:
    """Makes the schema of `/predict`."""
    options = {
        "top_k": Integer(validate=Range(min=1, max=10_000), metadata={"description": "Labels told, best first."}),
        "explain": Boolean(load_default=False, metadata={"description": "Also say why; slower."}),
    }
    return rows_schema("Predict", row_fields(predictor), settings, options)


def embed_schema(predictor: MultimodalPredictor, settings: ServiceSettings) -> type[Schema]:
    """Makes the schema of `/embed`."""
    about = "float32: numbers. float16, int8: little-endian bytes in base64; an int8 value times scale is the float."
    encoding = String(load_default="float32", validate=OneOf(ENCODINGS), metadata={"description": about})
    return rows_schema("Embed", row_fields(predictor), settings, {"encoding": encoding})


def search_schema(predictor: MultimodalPredictor) -> type[Schema]:
    """Makes the schema of `/search`."""
    fields = {
        **row_fields(predictor),
        "k": Integer(load_default=10, validate=Range(min=1, max=1000)),
        "rerank": Integer(load_default=0, validate=Range(min=0, max=1000)),
        "where": Dict(
            keys=String(),
            values=Bounded(Raw(), 1, 1000),
            metadata={"description": "Stored column -> the values it may have."},
        ),
    }
    return _strict(fields, "Search")


def generate_schema(predictor: MultimodalPredictor, settings: ServiceSettings) -> type[Schema]:
    """Makes the schema of `/generate`."""
    row = row_fields(predictor)
    if "text" in row:
        row["dialogue"] = Bounded(Nested(_Turn), 1, 100, allow_none=True)
    options = {
        "max_new_tokens": Integer(validate=Range(min=1, max=settings.max_new_tokens)),
        "num_beams": Integer(validate=Range(min=1, max=16)),
        "do_sample": Boolean(),
        "temperature": Float(validate=Range(min=0.01, max=10)),
        "top_p": Float(validate=Range(min=0.01, max=1)),
        "stream": Boolean(load_default=False, metadata={"description": "Server-sent events, of one row."}),
    }
    return rows_schema("Generate", row, settings, options)


def row_names(predictor: MultimodalPredictor) -> tuple[str, ...]:
    """What a row of a request may hold."""
    dialogue = ("dialogue",) if predictor.kind == "generation" and "text" in predictor.modalities else ()
    return (*predictor.modalities, *dialogue)


__all__ = [
    "ENCODINGS",
    "MEDIA",
    "Bounded",
    "Media",
    "embed_schema",
    "generate_schema",
    "predict_schema",
    "row_names",
    "search_schema",
]
