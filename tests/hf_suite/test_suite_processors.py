# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""transformers' common processor and image processor tests on ours."""

import unittest

from hf_multimodal import MultimodalImageProcessor, MultimodalProcessor
from tests.hf_suite.skips import apply_skips
from tests.hf_suite.upstream import ImageProcessingTester, ImageProcessingTestMixin, ProcessorTesterMixin
from tests.tiny import SIDE, tiny_processor


@apply_skips
class MultimodalProcessorTest(ProcessorTesterMixin, unittest.TestCase):
    processor_class = MultimodalProcessor

    @classmethod
    def _setup_tokenizer(cls):
        return tiny_processor().tokenizer

    @classmethod
    def _setup_image_processor(cls):
        return tiny_processor().image_processor

    @classmethod
    def _setup_feature_extractor(cls):
        return tiny_processor(audio="timm resnet").feature_extractor


class _ImageProcessorTester(ImageProcessingTester):
    def __init__(self, parent):
        square = {"height": SIDE, "width": SIDE}
        super().__init__(parent, size=square, crop_size=square)

    def _get_image_processing_classes(self):
        return {"torchvision": MultimodalImageProcessor}


@apply_skips
class MultimodalImageProcessorTest(ImageProcessingTestMixin, unittest.TestCase):
    image_processor_tester_class = _ImageProcessorTester
