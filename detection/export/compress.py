"""Compresses the fully connected layers of a trained detector by truncated SVD (Girshick 2015, section 3.1).

    <output_directory>/pipeline.config       the config, with model.truncated_svd
    <output_directory>/model.ckpt-<step>     the checkpoint, with two factors for each of the layers

Both are what every other command takes: evaluation, export, benchmark, and training, which fine-tunes the factors.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from detection import config as configs
from detection.builders import pipeline as pipelines
from detection.checkpoints import checkpoint_files, loading
from detection.config.files import save
from detection.errors import ConfigError
from detection.networks import low_rank
from detection.networks.factors import LEFT, RIGHT, WHOLE
from detection.networks.low_rank import Factors, Spectrum
from detection.tools import tables

PIPELINE_CONFIG = "pipeline.config"


class Compressed(NamedTuple):
    """One layer, before and after."""

    name: str
    inputs: int
    outputs: int
    rank: int
    full_rank: int
    energy: float  # share of the squared singular values that is kept

    @property
    def before(self) -> int:
        """Weights, and multiply-adds for a region, of the layer as one matrix."""
        return self.inputs * self.outputs

    @property
    def after(self) -> int:
        """The same of the two factors."""
        return self.rank * (self.inputs + self.outputs)


class Compression(NamedTuple):
    """What was written."""

    folder: Path
    checkpoint: Path  # prefix
    layers: tuple[Compressed, ...]
    parameters: tuple[int, int]  # of the detector, before and after

    def lines(self) -> Iterator[str]:
        """What is shown."""
        rows = [
            (
                layer.name,
                f"{layer.inputs} x {layer.outputs}",
                f"{layer.rank} of {layer.full_rank}",
                f"{layer.energy:.4f}",
                f"{layer.before:,}",
                f"{layer.after:,}",
                f"{layer.before / layer.after:.1f}",
            )
            for layer in self.layers
        ]
        head = ("layer", "weights", "singular values", "energy", "parameters", "now", "times fewer")
        yield from tables.aligned([head, *rows])
        before, after = self.parameters
        yield f"parameters of the detector: {before:,}, now {after:,} ({after / before - 1:+.1%})"
        yield f"written: {self.checkpoint} and {self.folder / PIPELINE_CONFIG}"


def compress(
    config_path: str,
    checkpoint: str,
    output: str | os.PathLike[str],
    *,
    ranks: Mapping[str, int],
    energy: float | None = None,
    settings: Sequence[str] = (),
    allow_unused: bool = False,
) -> Compression:
    """Compresses the named layers.

    Args:
        config_path: config of the checkpoint.
        checkpoint: its prefix, or a folder, of which the newest is taken.
        output: folder to write to.
        ranks: layer -> singular values to keep; 0: as many as `energy` asks for.
        energy: share of the squared singular values to keep, in (0, 1], for layers of rank 0.
        settings: `path=value` overrides of the config.
        allow_unused: accept a checkpoint of another network than the config's.

    Raises:
        ConfigError: a layer is not fully connected or compressed already, a rank exceeds its weights', the config or
            checkpoint cannot be used, or the folder not be written.
    """
    config, _, places = configs.read_checked(config_path, settings, check_paths=False)
    with places.named():
        detector = pipelines.build(config, read_label_maps=False, source=config_path).detector(
            checkpoint, allow_unused=allow_unused
        )
    values = {name: variable.numpy() for name, variable in loading.by_name(detector).items()}
    paths = _paths(detector, ranks)
    before = sum(value.size for value in values.values())
    layers, changes = [], []
    for name, path in paths.items():
        weights = values.pop(f"{path}/{WHOLE}")
        spectrum = Spectrum(weights)
        rank = ranks[name] or spectrum.rank_of(energy or 1.0)
        if rank > spectrum.full_rank:
            raise ConfigError(f"--svd={name}={rank}: its weights have {spectrum.full_rank} singular values; keep fewer")
        factors: Factors = spectrum.factors(rank)
        values |= {f"{path}/{LEFT}": factors.left, f"{path}/{RIGHT}": factors.right}
        inputs, outputs = math.prod(weights.shape[:-1]), weights.shape[-1]
        layers.append(Compressed(name, inputs, outputs, rank, spectrum.full_rank, factors.energy))
        changes.append(f'model.truncated_svd+={{layer: "{name}" rank: {rank}}}')
    changed = configs.override(config, changes)
    _check(changed, values)
    folder = Path(output)
    prefix = folder / f"model.ckpt-{_step(checkpoint)}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        checkpoint_files.write(prefix, values)
    except OSError as error:
        raise ConfigError(f"--output_directory={folder}: cannot be written: {error.strerror or error}") from error
    save(changed, folder / PIPELINE_CONFIG)
    after = sum(value.size for value in values.values())
    return Compression(folder, prefix, tuple(layers), (before, after))


def _paths(detector, ranks: Mapping[str, int]) -> dict[str, str]:
    """Layer -> the scope of its variables."""
    known = low_rank.fully_connected_layers(detector)
    for name in ranks:
        if name not in known:
            listed = ", ".join(f"{each} ({' x '.join(map(str, layer.kernel.shape))})" for each, layer in known.items())
            raise ConfigError(
                f"--svd: {name!r} is no fully connected layer of this detector; it has: {listed or 'none'}"
            )
        if known[name].rank:
            raise ConfigError(f"--svd: {name!r} is compressed already; compress the detector that it was made of")
    names = {id(variable): name for name, variable in loading.by_name(detector).items()}
    return {name: names[id(known[name].kernel)].removesuffix(f"/{WHOLE}") for name in ranks}


def _check(config, values: Mapping[str, object]) -> None:
    """Builds the compressed detector, so that nothing is written that it would not take."""
    built = loading.by_name(pipelines.build(config, read_label_maps=False).detector())
    assert built.keys() == values.keys(), sorted(built.keys() ^ values.keys())


def _step(checkpoint: str) -> int:
    number = checkpoint_files.locate(checkpoint).rpartition("-")[2]
    return int(number) if number.isdecimal() else 0
