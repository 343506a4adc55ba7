# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Make transformers' auto classes know this package, without loading torch before someone needs it.

transformers has no plugin entry point: a class is known to `AutoModel` and friends once someone has called
`Auto….register`. Calling it at `import hf_multimodal` would load torch, transformers and timm, which takes seconds.
So registration happens in two steps:

1. A hook on the import system notices when transformers' auto modules have been loaded (before or after this package)
   and registers *stand-ins* there: classes that carry the right name and become the real class as soon as anything
   is asked of them. This imports nothing, hence cannot run into a half-loaded module.
2. The first use of a stand-in, for example `AutoConfig.from_pretrained` on a folder whose `model_type` is
   `hf_multimodal`, or of a public model name of this package, calls `register()`, which puts the real classes in
   place of the stand-ins.

Whoever never opens one of our checkpoints pays for a few dictionary lookups only. Local classes win over code stored
in a checkpoint, since transformers prefers registered classes from outside its own package.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

MODEL_TYPE = "hf_multimodal"

_CONFIG = "hf_multimodal.modeling.configuration_multimodal"
_MODELS = "hf_multimodal.modeling.modeling_multimodal"
_GENERATION = "hf_multimodal.modeling.modeling_generation"
_PRETRAINING = "hf_multimodal.modeling.modeling_pretraining"
_IMAGE_PROCESSOR = "hf_multimodal.modeling.image_processing_multimodal"
_AUDIO_PROCESSOR = "hf_multimodal.modeling.audio_processing_multimodal"
_PROCESSOR = "hf_multimodal.modeling.processing_multimodal"
_PIPELINE = "hf_multimodal.modeling.pipeline_multimodal"
_GENERATION_PIPELINE = "hf_multimodal.modeling.pipeline_generation"

_AUTO = "transformers.models.auto"

# Our model class -> the auto class that loads it; by the module that holds it.
_AUTO_MODEL_OF = {
    _MODELS: {
        "MultimodalModel": "AutoModel",
        "MultimodalForClassification": "AutoModelForSequenceClassification",
        "MultimodalForQuestionAnswering": "AutoModelForVisualQuestionAnswering",
    },
    _GENERATION: {"MultimodalForConditionalGeneration": "AutoModelForImageTextToText"},
    _PRETRAINING: {"MultimodalForPreTraining": "AutoModelForPreTraining"},
}

# Task of `transformers.pipeline` -> its pipeline class, and the auto class that loads its model.
_PIPELINES = {
    "multimodal-classification": ("MultimodalClassificationPipeline", "AutoModelForSequenceClassification"),
    "multimodal-question-answering": ("MultimodalClassificationPipeline", "AutoModelForVisualQuestionAnswering"),
    "multimodal-generation": ("MultimodalGenerationPipeline", "AutoModelForImageTextToText"),
}


class _StandInType(type):
    """Metaclass of stand-ins: whatever is asked of such a class, the real class answers."""

    def __getattr__(cls, name: str) -> Any:  # noqa: ANN401 - forwards any attribute of the real class
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(_real_class(cls), name)

    def __call__(cls, *args: object, **kwargs: object) -> object:
        return _real_class(cls)(*args, **kwargs)

    def __instancecheck__(cls, instance: object) -> bool:
        # Nothing can be an instance before the module of the real class is loaded.
        module = sys.modules.get(_STAND_IN_MODULE[cls.__name__])
        return module is not None and isinstance(instance, getattr(module, cls.__name__, ()))


_STAND_IN_MODULE = {
    "MultimodalAudioProcessor": _AUDIO_PROCESSOR,
    "MultimodalConfig": _CONFIG,
    "MultimodalImageProcessor": _IMAGE_PROCESSOR,
    "MultimodalProcessor": _PROCESSOR,
    "MultimodalClassificationPipeline": _PIPELINE,
    "MultimodalGenerationPipeline": _GENERATION_PIPELINE,
}

# `__module__` of these classes is this module: transformers takes code from outside `transformers.` as the user's own.
_STAND_INS = {name: _StandInType(name, (), {"__module__": __name__}) for name in _STAND_IN_MODULE}


def _real_class(stand_in: type) -> Any:  # noqa: ANN401 - one of several unrelated classes
    register()
    return _real_class_of(stand_in.__name__)


def _real_class_of(name: str) -> Any:  # noqa: ANN401 - as `_real_class`
    return getattr(import_module(_STAND_IN_MODULE[name]), name)


def register() -> None:
    """Register the config, the models, the processors and the pipeline with transformers' auto classes.

    Runs by itself, see the module's text; calling it again changes nothing.
    """
    config_class = import_module(_CONFIG).MultimodalConfig
    for name in _AUTO_MODEL_OF:
        _register_models(import_module(name))

    images = import_module(f"{_AUTO}.image_processing_auto")
    sounds = import_module(f"{_AUTO}.feature_extraction_auto")
    processors = import_module(f"{_AUTO}.processing_auto")
    pipelines = import_module("transformers.pipelines")
    image_processor_class = import_module(_IMAGE_PROCESSOR).MultimodalImageProcessor
    processor_class = import_module(_PROCESSOR).MultimodalProcessor

    images.AutoImageProcessor.register(
        config_class, image_processor_classes={"torchvision": image_processor_class}, exist_ok=True
    )
    sounds.AutoFeatureExtractor.register(
        config_class, import_module(_AUDIO_PROCESSOR).MultimodalAudioProcessor, exist_ok=True
    )
    processors.AutoProcessor.register(config_class, processor_class, exist_ok=True)
    mappings = (images.IMAGE_PROCESSOR_MAPPING, sounds.FEATURE_EXTRACTOR_MAPPING, processors.PROCESSOR_MAPPING)
    for mapping in mappings:
        # There is no public way to take an entry back. A stand-in that stayed would still answer as the real class.
        getattr(mapping, "_extra_content", {}).pop(_STAND_INS["MultimodalConfig"], None)
    _register_pipelines(pipelines, {name: _real_class_of(name) for name, _ in _PIPELINES.values()})


def _register_models(models: ModuleType) -> None:
    config_class = import_module(_CONFIG).MultimodalConfig
    import_module(f"{_AUTO}.configuration_auto").AutoConfig.register(MODEL_TYPE, config_class, exist_ok=True)
    auto_models = import_module(f"{_AUTO}.modeling_auto")
    for name, auto_name in _AUTO_MODEL_OF[models.__name__].items():
        getattr(auto_models, auto_name).register(config_class, getattr(models, name), exist_ok=True)


def _register_pipelines(pipelines: ModuleType, classes: Mapping[str, type]) -> None:
    registry = pipelines.PIPELINE_REGISTRY
    auto_models = import_module(f"{_AUTO}.modeling_auto")
    for task, (name, auto_name) in _PIPELINES.items():
        registry.supported_tasks.pop(task, None)  # registering over an entry logs a warning
        registry.register_pipeline(task, pipeline_class=classes[name], pt_model=getattr(auto_models, auto_name))


def _stand_in_config(configuration_auto: ModuleType) -> None:
    configuration_auto.AutoConfig.register(MODEL_TYPE, _STAND_INS["MultimodalConfig"], exist_ok=True)


def _stand_in_image_processor(image_processing_auto: ModuleType) -> None:
    # `AutoImageProcessor.register` takes subclasses of transformers' base class only; the mapping below it takes any.
    image_processing_auto.IMAGE_PROCESSOR_MAPPING.register(
        _STAND_INS["MultimodalConfig"], {"torchvision": _STAND_INS["MultimodalImageProcessor"]}, exist_ok=True
    )


def _stand_in_audio_processor(feature_extraction_auto: ModuleType) -> None:
    feature_extraction_auto.FEATURE_EXTRACTOR_MAPPING.register(
        _STAND_INS["MultimodalConfig"], _STAND_INS["MultimodalAudioProcessor"], exist_ok=True
    )


def _stand_in_processor(processing_auto: ModuleType) -> None:
    processing_auto.AutoProcessor.register(
        _STAND_INS["MultimodalConfig"], _STAND_INS["MultimodalProcessor"], exist_ok=True
    )


def _stand_in_pipelines(pipelines: ModuleType) -> None:
    _register_pipelines(pipelines, _STAND_INS)


# What to do once a module has been loaded. The last entries serve those who import our modelling files directly.
_ON_LOAD: dict[str, Callable[[ModuleType], None]] = {
    f"{_AUTO}.configuration_auto": _stand_in_config,
    f"{_AUTO}.image_processing_auto": _stand_in_image_processor,
    f"{_AUTO}.feature_extraction_auto": _stand_in_audio_processor,
    f"{_AUTO}.processing_auto": _stand_in_processor,
    "transformers.pipelines": _stand_in_pipelines,
    _MODELS: _register_models,
    _GENERATION: _register_models,
    _PRETRAINING: _register_models,
}


class _NotifyingLoader(Loader):
    """A module's own loader, followed by the entry of `_ON_LOAD` for it."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        _ON_LOAD[module.__name__](module)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - get_source, get_data, … of the wrapped loader
        return getattr(self._loader, name)


class _AutoModuleFinder(MetaPathFinder):
    """Wraps the loaders of the modules in `_ON_LOAD`; leaves every other import alone."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in _ON_LOAD:
            return None
        for finder in sys.meta_path:
            if isinstance(finder, _AutoModuleFinder):
                continue
            spec = finder.find_spec(fullname, path, target)
            if spec is not None and spec.loader is not None:
                spec.loader = _NotifyingLoader(spec.loader)
                return spec
        return None


def install_import_hook() -> None:
    """Have stand-ins registered as soon as transformers' auto modules are loaded, at once if they already are."""
    if any(isinstance(finder, _AutoModuleFinder) for finder in sys.meta_path):
        return
    sys.meta_path.insert(0, _AutoModuleFinder())
    for name, on_load in _ON_LOAD.items():
        module = sys.modules.get(name)
        if module is not None:
            on_load(module)
