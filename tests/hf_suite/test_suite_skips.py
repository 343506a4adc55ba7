# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""The table of skipped and overridden tests says what is so."""

import unittest

import pytest

from tests.hf_suite import test_suite_models, test_suite_pipelines, test_suite_processors, upstream
from tests.hf_suite.skips import OVERRIDDEN, SKIPPED

upstream.mount()

SUITES = {
    name: suite
    for module in (test_suite_models, test_suite_pipelines, test_suite_processors)
    for name, suite in vars(module).items()
    if isinstance(suite, type) and issubclass(suite, unittest.TestCase) and suite.__module__ == module.__name__
}


def upstream_tests(suite):
    """Names of the tests that a class has from upstream's mixins."""
    mixins = [base for base in suite.__mro__ if base.__module__.startswith("tests.test_")]
    return {name for mixin in mixins for name in vars(mixin) if name.startswith("test_")}


def test_the_suites_are_there():
    assert set(SKIPPED) | set(OVERRIDDEN) <= set(SUITES)
    assert all(len(upstream_tests(suite)) > 0 for suite in SUITES.values())


@pytest.mark.parametrize(("suite", "name"), [(suite, name) for suite, tests in SKIPPED.items() for name in tests])
def test_skipped(suite, name):
    assert name in upstream_tests(SUITES[suite])
    assert getattr(SUITES[suite], name).__unittest_skip__
    assert getattr(SUITES[suite], name).__unittest_skip_why__ == SKIPPED[suite][name]


@pytest.mark.parametrize("suite", SUITES)
def test_overridden(suite):
    own = {
        name
        for name, test in vars(SUITES[suite]).items()
        if getattr(test, "__module__", "") == SUITES[suite].__module__
    }
    assert own & upstream_tests(SUITES[suite]) == set(OVERRIDDEN.get(suite, ()))
