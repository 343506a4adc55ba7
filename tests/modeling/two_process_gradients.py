# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Writes the gradients of one retrieval step, of one process or of several; started by test_modeling_gather.py."""

import json
import os
import sys

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from hf_multimodal import MultimodalForRetrieval
from hf_multimodal.modeling.modeling_gather import num_processes, process_index
from tests.tiny import TEXTS, tiny_model, tiny_pictures, tiny_processor

# rows 1 and 4 show one item, seen by different processes; row 2 has no picture
ITEMS = [1, 2, 3, 4, 2, 5]
LACKING = 2


def main(target: str, settings: str) -> None:
    """Computes the gradients of this process's share of the batch under DDP, and saves them."""
    if "RANK" in os.environ:
        dist.init_process_group("gloo")
    options = json.loads(settings)
    chunk_size = options.pop("chunk_size", None)
    model = tiny_model(MultimodalForRetrieval, embedding_size=8, match_negatives=2, **options).train()
    model.set_chunk_size(chunk_size)
    processor = tiny_processor()
    share = range(len(ITEMS))[process_index() * len(ITEMS) // num_processes() :][: len(ITEMS) // num_processes()]
    # texts of another length on each process
    texts = [*TEXTS[:1] * 3, *TEXTS[1:2] * 2, TEXTS[2]]
    pictures = [None if i == LACKING else x for i, x in enumerate(tiny_pictures(len(ITEMS)))]
    batch = dict(
        processor(
            text=[texts[i] for i in share], images=[pictures[i] for i in share], padding=True, return_tensors="pt"
        )
    )
    batch["labels"] = torch.tensor([ITEMS[i] for i in share])
    trained = DistributedDataParallel(model) if num_processes() > 1 else model
    torch.manual_seed(7)  # of the negatives; the other process's own is not asked
    if process_index():
        torch.manual_seed(8)
    trained(**batch).loss.backward()
    if process_index() == 0:
        torch.save({name: p.grad for name, p in model.named_parameters()}, target)
    if num_processes() > 1:
        dist.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
