# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""A Hub that only notes what would be uploaded."""

from concurrent.futures import Future
from types import SimpleNamespace


def note_uploads(monkeypatch, repo_id):
    """Replaces the calls to the Hub; returns the list that the arguments of every upload go into."""
    uploads = []

    def create_repo(*args, **kwargs):
        return SimpleNamespace(repo_id=repo_id)

    def upload_folder(*args, **kwargs):
        uploads.append(kwargs)
        done = Future()
        done.set_result(None)
        return done

    for call in (create_repo, upload_folder):
        monkeypatch.setattr(f"huggingface_hub.HfApi.{call.__name__}", call)
        # earlier versions of transformers call the library's functions
        monkeypatch.setattr(f"transformers.trainer.{call.__name__}", call, raising=False)
    return uploads
