# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Trains a run under FSDP2 on CPUs, which accelerate leaves to GPUs: it is told that gloo's processes are such.

accelerate launch --config_file scripts/configs/fsdp2.yaml … tests/training/fsdp_on_cpu.py RUN.yaml
"""

import sys

import torch
from accelerate import PartialState
from accelerate.utils import DistributedType


def _backend_of_gpus(self, cpu=False, *args, **kwargs):
    return "gloo", DistributedType.MULTI_GPU


def _no_gpu(self) -> None:
    self.device = torch.device("cpu")


if __name__ == "__main__":
    PartialState._prepare_backend = _backend_of_gpus
    PartialState.set_device = _no_gpu
    from hf_multimodal.training.run import train
    from hf_multimodal.training.run_config import RunConfig

    train(RunConfig.load(sys.argv[1]), resume="--resume" in sys.argv)
