# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""What every tower shares: backbone, then an adapter that turns its features into tokens of the common width.

Shapes: B rows, L tokens, W backbone width, H common width.
"""

import inspect
import math
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 (the field's own abbreviation)
from torch.nn.modules.batchnorm import _BatchNorm
from transformers import PreTrainedConfig, PreTrainedModel
from transformers import initialization as init

from .modeling_outputs import TowerOutput
from .modeling_pretrained_towers import feature_layout

# Standard deviation of learned positions, and of tokens that stand beside those of the towers, at the start: that of
# sine and cosine, about that of the towers' tokens. At the usual 0.02 to 0.04 positions drown in what they are added
# to, and order is learned late or never.
POSITION_STD = 0.7


def sincos_position_2d(
    height: int, width: int, channels: int, *, temperature: float, device: torch.device, dtype: torch.dtype
) -> torch.Tensor:
    """Fixed 2-D sine-cosine position embedding (Vaswani et al. 2017; in two dimensions as in MAE, He et al. 2022).

    Args:
        height: Rows of the grid.
        width: Columns of the grid.
        channels: Width of a token.
        temperature: Wavelengths go from 2 pi cells to this many times as much.
        device: Where to make it.
        dtype: In which type.

    Returns:
        (height * width, channels), rows of the grid one after another. Channels beyond a multiple of four are zero.
    """
    quarter = channels // 4
    frequency = torch.exp(
        -math.log(temperature) * torch.arange(quarter, device=device, dtype=torch.float32) / max(quarter, 1)
    )
    y, x = torch.meshgrid(
        torch.arange(height, device=device, dtype=torch.float32),
        torch.arange(width, device=device, dtype=torch.float32),
        indexing="ij",
    )
    angles = torch.cat([y.reshape(-1, 1) * frequency, x.reshape(-1, 1) * frequency], dim=1)  # (h*w, 2*quarter)
    table = torch.cat([angles.sin(), angles.cos()], dim=1)
    return F.pad(table, (0, channels - table.shape[1])).to(dtype)


def flatten_features(features: torch.Tensor, width: int, channels_last: bool) -> tuple[torch.Tensor, torch.Size | None]:
    """Turns any backbone's features into a token sequence.

    Args:
        features: (B, L, W) tokens, a (B, W, h, w) or (B, h, w, W) feature map, or a (B, W) vector.
        width: W.
        channels_last: Layout of a feature map whose sizes leave it open.

    Returns:
        (B, L, W) tokens, and the (h, w) grid when the features were a map.

    Raises:
        ValueError: if the features have another shape.
    """
    if features.ndim == 4:
        if features.shape[1] != width or (channels_last and features.shape[-1] == width):
            features = features.movedim(-1, 1)  # (B, h, w, W) -> (B, W, h, w)
        if features.shape[1] == width:
            return features.flatten(2).transpose(1, 2), features.shape[2:]
    if features.ndim == 2 and features.shape[1] == width:
        return features.unsqueeze(1), None
    if features.ndim == 3 and features.shape[2] == width:
        return features, None
    raise ValueError(
        f"Cannot read features of shape {tuple(features.shape)} with {width} channels: expected (B, L, {width}), "
        f"(B, {width}, h, w), (B, h, w, {width}) or (B, {width})."
    )


def drop_modalities(modality_mask: torch.Tensor, rates: Sequence[float]) -> torch.Tensor:
    """Takes modalities away at random; a row that would lose all of them keeps what it has.

    Args:
        modality_mask: (B, M) bool, True = present.
        rates: Probability per modality.
    """
    chances = torch.tensor(rates, device=modality_mask.device)
    kept = modality_mask & (torch.rand(modality_mask.shape, device=modality_mask.device) >= chances)
    return torch.where(kept.any(dim=1, keepdim=True), kept, modality_mask)


def required_inputs(backbone: PreTrainedModel, given: set[str]) -> list[str]:
    """Names what a backbone's forward wants beside the inputs given."""
    parameters = inspect.signature(backbone.forward).parameters.values()
    named = [p.name for p in parameters if p.default is p.empty and p.kind == p.POSITIONAL_OR_KEYWORD]
    return [name for name in named if name not in given]


class Tower(nn.Module):
    """A backbone, then layer norm and projection to the common width, with a learned token for an absent modality.

    Args:
        backbone: The encoder.
        config: The whole model's configuration. A frozen tower's backbone is neither trained nor put into training mode
            (dropout, batch statistics).

    Attributes:
        keeps_statistics: Whether batch norm goes on with the statistics that it has, as beside adapters.
        reads_features: Whether the inputs are the backbone's features already, computed earlier by `read`.
    """

    modality: str
    reads_features = False
    keeps_statistics = False

    def __init__(self, backbone: PreTrainedModel, config: PreTrainedConfig) -> None:
        super().__init__()
        self.backbone = backbone
        self.frozen = self.modality in (config.frozen_towers or ())
        self.width, self.channels_last = feature_layout(backbone)
        self.position_temperature = float(config.position_temperature)
        self.norm = nn.LayerNorm(self.width, eps=config.layer_norm_eps)
        self.projection = nn.Linear(self.width, config.hidden_size)
        self.absent_token = nn.Parameter(torch.zeros(1, 1, config.hidden_size))
        self.accepted = frozenset(inspect.signature(backbone.forward).parameters)
        self.freeze()

    def project(self, features: torch.Tensor) -> torch.Tensor:
        """Brings a backbone's features to tokens (B, L, H); those of a map get a fixed 2-D position embedding."""
        features, grid = flatten_features(features, self.width, self.channels_last)
        tokens = self.projection(self.norm(features))
        if grid is None:
            return tokens
        height, width = grid
        return tokens + sincos_position_2d(
            height,
            width,
            tokens.shape[2],
            temperature=self.position_temperature,
            device=tokens.device,
            dtype=tokens.dtype,
        )

    def init_own_parameters(self, std: float) -> None:
        """Draws the absent-modality token."""
        init.normal_(self.absent_token, mean=0.0, std=std)

    def freeze(self) -> None:
        """Stops gradients to a frozen backbone; called again after loading, which makes every parameter trainable."""
        if self.frozen:
            self.backbone.requires_grad_(False)

    def train(self, mode: bool = True) -> "Tower":
        """Sets the training mode, leaving a frozen backbone in evaluation mode."""
        super().train(mode)
        if self.frozen:
            self.backbone.eval()
        if self.keeps_statistics:
            for module in self.backbone.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self

    def absent(self, batch_size: int) -> TowerOutput:
        """Output for a batch in which no row has this modality: the absent-modality token alone."""
        mask = torch.ones(batch_size, 1, dtype=torch.bool, device=self.absent_token.device)
        tokens = self.absent_token.expand(batch_size, -1, -1)
        if self.training:  # a gradient of zero for every parameter: DDP waits for it, while other ranks have rows
            tokens = tokens + 0.0 * sum(p.sum() for p in self.parameters() if p.requires_grad)
        return TowerOutput(tokens=tokens, mask=mask, present=~mask[:, 0])

    def forward(self, present: torch.Tensor | None, **inputs: torch.Tensor) -> TowerOutput:
        """Encodes the rows that have this modality, and those only.

        Args:
            present: (B,) bool, or None when every row has the modality.
            **inputs: As `encode` takes them, a row each.
        """
        if present is None:
            return self.mark_absent(*self._encode_some(inputs), present)
        if torch.compiler.is_compiling() or torch.jit.is_tracing():
            # a number of rows that depends on the data fits into no graph: absent rows are encoded as blanks
            return self.mark_absent(*self.encode(**{k: _blank_absent(x, present) for k, x in inputs.items()}), present)
        rows = present.nonzero().squeeze(1)
        if len(rows) == len(present):
            return self.mark_absent(*self._encode_some(inputs), present)
        if not len(rows):  # a blank one: DDP waits for a gradient of every parameter, be it zero
            rows = rows.new_zeros(1)
        inputs = {name: _blank_absent(x[rows], present[rows]) for name, x in inputs.items()}
        tokens, mask = self._encode_some(inputs)
        tokens = tokens.new_zeros(len(present), *tokens.shape[1:]).index_copy(0, rows, tokens)
        mask = mask.new_zeros(len(present), mask.shape[1]).index_copy(0, rows, mask)
        return self.mark_absent(tokens, mask, present)

    def forward_distinct(
        self, present: torch.Tensor | None, indices: torch.Tensor, **inputs: torch.Tensor
    ) -> TowerOutput:
        """Encodes inputs that several rows share once, and hands their tokens to each of these.

        Args:
            present: (B,) bool, or None when every row has the modality.
            indices: (B,) long, which of the N inputs each row has.
            **inputs: As `encode` takes them, N of each.
        """
        used = None
        if present is not None:
            count = next(iter(inputs.values())).shape[0]
            used = torch.zeros(count, dtype=torch.long, device=indices.device).index_add(0, indices, present.long()) > 0
        output = self(used, **inputs)
        return self.mark_absent(output.tokens[indices], output.mask[indices], present)

    def _encode_some(self, inputs: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        """Encodes rows as `encode` does; in training a single one stands twice, as batch norm takes no single one."""
        if not self.training or next(iter(inputs.values())).shape[0] > 1:
            return self.encode(**inputs)
        tokens, mask = self.encode(**{name: x.repeat_interleave(2, dim=0) for name, x in inputs.items()})
        return tokens[:1], mask[:1]

    def read(self, **inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Runs the backbone alone: its features, as `encode` takes them with `reads_features`, and their mask.

        The tower of series does without it: its backbone is too light to keep what it makes.
        """
        raise NotImplementedError

    def encode(self, **inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Encodes rows that all have this modality into tokens (B, L, H) and their mask (B, L)."""
        raise NotImplementedError

    def mark_absent(self, tokens: torch.Tensor, mask: torch.Tensor, present: torch.Tensor | None) -> TowerOutput:
        """Replaces the tokens of rows without this modality, so that nothing in their padding can reach the result.

        Args:
            tokens: (B, L, H).
            mask: (B, L) bool.
            present: (B,) bool, or None when every row has the modality.
        """
        if present is None:
            if not self.training:
                return TowerOutput(tokens=tokens, mask=mask)
            # The absent-modality token needs a gradient, be it zero, in every step: DDP waits for every parameter.
            present = torch.ones(tokens.shape[0], dtype=torch.bool, device=tokens.device)
        is_first = torch.arange(tokens.shape[1], device=tokens.device) == 0  # (L,)
        replacement = self.absent_token * is_first[None, :, None].to(self.absent_token.dtype)
        tokens = torch.where(present[:, None, None], tokens, replacement.to(tokens.dtype))
        mask = (mask & present[:, None]) | (is_first[None, :] & ~present[:, None])
        return TowerOutput(tokens=tokens, mask=mask, present=present)


def _blank_absent(x: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
    """Zeroes absent rows: what stands there would reach others by batch statistics, and by gradients if not finite."""
    return x.masked_fill(~present.view(-1, *[1] * (x.ndim - 1)), 0)


__all__ = ["POSITION_STD", "Tower", "drop_modalities", "flatten_features", "required_inputs", "sincos_position_2d"]
