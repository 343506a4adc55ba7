# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Low-rank adapters of towers, by peft: trained in the place of a backbone's weights, saved alone and merged."""

from collections.abc import Mapping
from copy import deepcopy
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from hf_multimodal.modeling.configuration_multimodal import check_known

ADAPTERS = "adapters"  # folder of a run; in it one for each tower
FIELDS = ("r", "alpha", "dropout", "dora", "targets")
_NAME = "default"  # as peft calls the only one


def add_adapters(model: PreTrainedModel, adapters: Mapping[str, Mapping[str, Any]]) -> None:
    """Puts low-rank adapters beside the linear and convolution layers of towers, and freezes the layers themselves.

    What follows the backbones (projections, fusion, head) is trained as before. Checkpoints hold both apart, and are to
    be resumed, not loaded; `MultimodalTrainer.save_model` and a run save them merged, as `merge_adapters` does. LoRA is
    that of Hu et al. 2021, DoRA that of Liu et al. 2024.

    Args:
        model: A `Multimodal*` model.
        adapters: modality -> `r` (rank, 8), `alpha` (the update is scaled by alpha / r; 2 r), `dropout` (0), `dora`
            (whether magnitude and direction are learned apart; false) and `targets` (endings of the names of the layers
            that get one; all linear layers, and convolutions that are not grouped). Under DoRA a layer with a filter of
            zeros, which has no direction, gets none.

    Raises:
        ImportError: if peft is not installed.
        ValueError: if a modality, a field or a target is unknown, a number makes no sense, or a tower is frozen.
    """
    if find_spec("peft") is None:
        raise ImportError('Adapters need peft: pip install "hf_multimodal[adapters]".')
    from peft import LoraConfig, inject_adapter_in_model

    for modality, options in adapters.items():
        tower = _tower(model, modality)
        if tower.frozen:
            raise ValueError(f"The {modality} tower is frozen, so its adapter would not learn: leave frozen out.")
        if _configs(tower):
            raise ValueError(f"The {modality} tower has an adapter already: call merge_adapters first.")
        _check_options(modality, options)
        rank, is_dora = options.get("r", 8), bool(options.get("dora", False))
        config = LoraConfig(
            r=rank,
            lora_alpha=options.get("alpha", 2 * rank),
            lora_dropout=options.get("dropout", 0.0),
            use_dora=is_dora,
            target_modules=_targets(modality, tower.backbone, options.get("targets"), is_dora),
        )
        tower.backbone.requires_grad_(False)
        inject_adapter_in_model(config, tower.backbone)
        tower.keeps_statistics = True  # which no adapter holds
        tower.train(tower.training)


def _check_options(modality: str, options: Any) -> None:  # noqa: ANN401 (any YAML value)
    """Refuses what no adapter is made of."""
    if not isinstance(options, Mapping):
        raise ValueError(f"The {modality} tower's adapter is {options!r}: give its fields, as {{r: 8}}, or {{}}.")
    for name in options:
        check_known(f"field of the {modality} tower's adapter", name, FIELDS)
    rank, dropout, targets = options.get("r", 8), options.get("dropout", 0.0), options.get("targets")
    alpha = options.get("alpha", 1)
    numbers = all(isinstance(x, (int, float)) and not isinstance(x, bool) for x in (rank, dropout, alpha))
    if not numbers or rank != int(rank) or rank < 1 or not 0 <= dropout < 1 or alpha <= 0:
        raise ValueError(
            f"The {modality} tower's adapter has r={rank}, alpha={alpha}, dropout={dropout}: r is a whole number from "
            "1 on, alpha is above 0, dropout is from 0 to below 1."
        )
    if targets is not None and (
        isinstance(targets, str) or not targets or not all(isinstance(x, str) for x in targets)
    ):
        raise ValueError(
            f"The {modality} tower's adapter has targets={targets!r}: give a list of endings of layers' names."
        )


def _tower(model: PreTrainedModel, modality: str) -> Any:  # noqa: ANN401 (a Tower)
    towers = _towers(model)
    check_known("modality of an adapter", modality, tuple(towers))
    return towers[modality]


def _towers(model: PreTrainedModel) -> Any:  # noqa: ANN401 (modality -> Tower)
    body: Any = model.base_model
    return body.towers


def _configs(tower: Any) -> dict[str, Any]:  # noqa: ANN401 (a Tower)
    """What peft keeps of a tower's adapters that are not merged."""
    return getattr(tower.backbone, "peft_config", None) or {}


def _targets(modality: str, backbone: nn.Module, wanted: list[str] | None, divides: bool) -> list[str]:
    """Names the layers that get an adapter: those of a kind that can, and whose filters' norms can be divided by."""
    fitting = [
        name
        for name, module in backbone.named_modules()
        if (isinstance(module, nn.Linear) or (isinstance(module, nn.Conv2d) and module.groups == 1))
        and not (divides and _has_zero_filter(module.weight))
    ]
    if not fitting:
        raise ValueError(
            f"The {modality} tower ({type(backbone).__name__}) has no linear layer or convolution that could get an "
            "adapter: train it whole, or freeze it."
        )
    if wanted is None:
        return fitting
    for ending in wanted:
        if not any(name == ending or name.endswith(f".{ending}") for name in fitting):
            raise ValueError(
                f"The {modality} tower has no linear layer or convolution named {ending!r}: it has "
                f"{', '.join(sorted({name.rpartition('.')[2] for name in fitting}))}."
            )
    return [name for name in fitting if any(name == x or name.endswith(f".{x}") for x in wanted)]


def _has_zero_filter(weight: torch.Tensor) -> bool:
    """Whether an output of a layer is always its bias, as of filters that pretraining has left dead."""
    return not bool((weight.detach().flatten(1) != 0).any(dim=1).all())


def save_adapters(model: PreTrainedModel, folder: str | Path) -> list[str]:
    """Saves what the adapters have learned, a folder for each tower, as peft saves it, and returns the modalities.

    Args:
        model: A model with adapters that are not merged yet.
        folder: Where the folders go.
    """
    from peft.utils import SAFETENSORS_WEIGHTS_NAME, get_peft_model_state_dict
    from safetensors.torch import save_file

    saved = []
    for modality, tower in _towers(model).items():
        if configs := _configs(tower):
            own = Path(folder) / modality
            own.mkdir(parents=True, exist_ok=True)
            weights = get_peft_model_state_dict(tower.backbone)
            whole = {name: x.detach().cpu().contiguous() for name, x in weights.items()}
            save_file(whole, own / SAFETENSORS_WEIGHTS_NAME)
            configs[_NAME].save_pretrained(str(own))
            saved.append(modality)
    return saved


def load_adapters(model: PreTrainedModel, folder: str | Path) -> None:
    """Puts saved adapters beside the layers of the towers that they were trained on; `merge_adapters` adds them.

    Args:
        model: A model whose towers have their pretrained weights.
        folder: As given to `save_adapters`.

    Raises:
        ValueError: if there are none, or they are of another tower.
    """
    from peft import PeftConfig, inject_adapter_in_model
    from peft.utils import SAFETENSORS_WEIGHTS_NAME, set_peft_model_state_dict
    from safetensors.torch import load_file

    found = sorted(path.parent for path in Path(folder).glob("*/adapter_config.json"))
    if not found:
        raise ValueError(f"There are no adapters in {str(folder)!r}: give the folder that save_adapters wrote.")
    for own in found:
        backbone = _tower(model, own.name).backbone
        weights = load_file(own / SAFETENSORS_WEIGHTS_NAME)
        try:
            inject_adapter_in_model(PeftConfig.from_pretrained(str(own)), backbone)
            result: Any = set_peft_model_state_dict(backbone, weights)
        except (RuntimeError, ValueError) as error:
            raise ValueError(f"The adapter in {str(own)!r} does not fit the {own.name} tower: {error}") from error
        if result.unexpected_keys:
            raise ValueError(
                f"The adapter in {str(own)!r} does not fit the {own.name} tower, which lacks "
                f"{result.unexpected_keys[0]!r}."
            )


def has_adapters(model: PreTrainedModel) -> bool:
    """Whether a model has adapters that are not merged."""
    return any(_configs(tower) for tower in _towers(model).values())


def copy_merged(model: PreTrainedModel) -> PreTrainedModel:
    """Returns a copy of a model with its adapters merged, on the CPU; the model itself keeps them apart."""
    copied = deepcopy(model).to("cpu")  # type: ignore[arg-type]  # annotated for a model's class
    merge_adapters(copied)
    return copied


def merge_adapters(model: PreTrainedModel) -> None:
    """Adds every adapter to the layer that it stands beside, and takes it away: the model is a plain one again."""
    if find_spec("peft") is None:
        return
    from peft.tuners.tuners_utils import BaseTunerLayer

    places = [
        (parent, name, child)
        for parent in model.modules()
        for name, child in parent.named_children()
        if isinstance(child, BaseTunerLayer)
    ]
    for parent, name, layer in places:
        layer.merge()
        setattr(parent, name, layer.get_base_layer())
    for tower in _towers(model).values():
        tower.keeps_statistics = False
        tower.backbone.__dict__.pop("peft_config", None)


__all__ = [
    "ADAPTERS",
    "FIELDS",
    "add_adapters",
    "copy_merged",
    "has_adapters",
    "load_adapters",
    "merge_adapters",
    "save_adapters",
]
