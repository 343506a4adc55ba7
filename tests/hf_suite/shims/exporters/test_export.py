# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Stands in for upstream's `tests/exporters/test_export.py`, which the source distribution leaves out."""

import torch
from transformers import Cache, set_seed
from transformers.exporters.exporter_dynamo import DynamoConfig, DynamoExporter


class ExportTesterMixin:
    """Exports every model class with transformers' own exporter and compares what the graph and the model return."""

    def test_torch_export_static(self):
        for model, inputs in self._models():
            exported = DynamoExporter().export(model, inputs, DynamoConfig())
            _assert_same(exported(**inputs), model(**inputs))

    def test_torch_export_dynamic(self):
        for model, inputs in self._models():
            # Vary the rows, and the length of the text. (Leaving every axis open takes several times longer.)
            of_text = ("input_ids", "attention_mask")
            axes = {name: range(2 if name in of_text else 1) for name in inputs}
            shapes = {name: dict.fromkeys(varying, torch.export.Dim.AUTO) for name, varying in axes.items()}
            exported = DynamoExporter().export(model, inputs, DynamoConfig(dynamic=True, dynamic_shapes=shapes))
            for name, varying in axes.items():
                for axis in varying:
                    inputs[name] = torch.cat([inputs[name], inputs[name]], dim=axis)
            _assert_same(exported(**inputs), model(**inputs))

    def _models(self):
        for model_class in self.all_model_classes:
            with self.subTest(model_class.__name__), torch.no_grad():
                set_seed(0)
                config, inputs = self.model_tester.prepare_config_and_inputs_for_common()
                yield model_class(config).eval(), self._prepare_for_class(inputs, model_class)


def _assert_same(got, expected):
    assert set(got) == set(expected)
    for name in expected:
        if isinstance(expected[name], Cache):
            continue
        torch.testing.assert_close(got[name], expected[name], atol=1e-5, rtol=1e-5)
