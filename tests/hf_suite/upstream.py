# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""transformers' own test mixins, taken from its source distribution at the installed version.

They are downloaded from the package index when the tests are collected, kept in a cache folder and never copied into
the repository. The upstream files import each other as the package `tests`, which is also our own folder's name:
`mount` adds to that package's path their folder and our `shims/`, which stand in for what the source distribution
leaves out.

    from tests.hf_suite.upstream import ModelTesterMixin

does all of it, or skips the importing test module with a word why.
"""

import os
import subprocess
import sys
import tarfile
import tempfile
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from uuid import uuid4

import pytest
from filelock import FileLock

HERE = Path(__file__).resolve().parent
CACHE = Path(os.environ.get("HF_MULTIMODAL_SUITE_CACHE") or HERE.parents[1] / ".cache" / "hf_suite")
SHIMS = HERE / "shims"
RUN = os.environ.get("PYTEST_XDIST_TESTRUNUID") or uuid4().hex

# What the test modules here use, and the upstream module it is in.
MODULE_OF = {
    "ConfigTester": "tests.test_configuration_common",
    "GenerationTesterMixin": "tests.generation.test_utils",
    "ImageProcessingTestMixin": "tests.test_image_processing_common",
    "ImageProcessingTester": "tests.test_image_processing_common",
    "ModelTesterMixin": "tests.test_modeling_common",
    "PipelineTesterMixin": "tests.test_pipeline_mixin",
    "ProcessorTesterMixin": "tests.test_processing_common",
    "TrainingTesterMixin": "tests.test_training_mixin",
    "floats_tensor": "tests.test_modeling_common",
    "ids_tensor": "tests.test_modeling_common",
    "random_attention_mask": "tests.test_modeling_common",
}


class UnavailableError(Exception):
    """The source distribution cannot be had here."""


def __getattr__(name):
    if name not in MODULE_OF:
        raise AttributeError(name)
    mount()
    return getattr(import_module(MODULE_OF[name]), name)


def mount():
    """Makes the upstream mixins importable as `tests.…`; skips the calling test module where they cannot be had."""
    package = import_module("tests")
    if str(SHIMS) in package.__path__:
        return
    try:
        folder = fetch(version("transformers"))
    except UnavailableError as error:
        if os.environ.get("HF_MULTIMODAL_REQUIRE_SUITE"):  # in CI
            raise
        pytest.skip(f"transformers' own test mixins are not at hand: {error}", allow_module_level=True)
    package.__path__ = [*package.__path__, str(folder / "tests"), str(SHIMS)]
    sys.path.append(str(SHIMS / "utils"))  # where test_processing_common looks for fetch_hub_objects_for_ci


def fetch(release):
    """Returns the folder with the mixins of a release, downloading them the first time.

    Raises:
        UnavailableError: if the download fails.
    """
    CACHE.mkdir(parents=True, exist_ok=True)
    (CACHE / ".gitignore").write_text("*\n", encoding="utf-8")
    # Workers of one run must agree on what there is to collect: what the first found out holds for all.
    failure = CACHE / f"failed-{RUN}.txt"
    folder = CACHE / f"transformers-{release}"
    with FileLock(CACHE / "lock"):
        if failure.is_file():
            raise UnavailableError(failure.read_text(encoding="utf-8"))
        if not folder.is_dir():
            for stale in CACHE.glob("failed-*.txt"):
                stale.unlink()
            try:
                _download(release, folder)
            except UnavailableError as error:
                failure.write_text(str(error), encoding="utf-8")
                raise
    return folder


def _download(release, folder):
    """Downloads and unpacks a release; the folder appears whole or not at all."""
    with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", "transformers"]
        command += ["--retries", "1", "--disable-pip-version-check", "--dest", scratch, f"transformers=={release}"]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        archives = list(Path(scratch).glob("*.tar.gz"))
        if run.returncode or not archives:
            words = (run.stderr.strip() or run.stdout.strip() or "no output").splitlines()[-1]
            raise UnavailableError(f"pip download transformers=={release} failed: {words}")
        unpacked = Path(scratch) / "unpacked"
        _unpack(archives[0], unpacked)
        unpacked.rename(folder)


def _unpack(archive, folder):
    (folder / "tests").mkdir(parents=True)
    with tarfile.open(archive) as tar:
        for member in tar:
            parts = Path(member.name).parts
            if member.isfile() and len(parts) == 3 and parts[1] == "tests" and parts[2].endswith(".py"):
                (folder / "tests" / parts[2]).write_bytes(tar.extractfile(member).read())
    # The mixins find transformers by executing an `__init__.py` beside them under its name and then taking what
    # `sys.modules` holds: with empty files that is the installed package.
    for package in ("tests", "src/transformers"):
        (folder / package).mkdir(parents=True, exist_ok=True)
        (folder / package / "__init__.py").touch()
    # What the pipeline mixin knows about models on the Hub.
    (folder / "tests" / "utils").mkdir()
    (folder / "tests" / "utils" / "tiny_model_summary.json").write_text("{}", encoding="utf-8")
