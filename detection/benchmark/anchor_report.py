"""Whether anchors fit the boxes of a data set, and values that fit them better: `detection anchors`.

Huang et al. 2017, section 2: anchors by clustering the groundtruth boxes, as in MultiBox.
"""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from detection import config as configs
from detection.benchmark import describe
from detection.builders import anchor_fit
from detection.builders import pipeline as pipelines
from detection.builders.anchor_fit import Fit, Maps, Place, Sizes
from detection.config.files import save
from detection.data import image_header
from detection.errors import ConfigError, DataError, number_of
from detection.pipeline import Pipeline
from detection.proposals.searched_images import ImageSource, Records

_GROUPS = 4  # by size, of equal numbers of boxes


class AnchorReport(NamedTuple):
    """The anchors of a config, and those that fit its boxes."""

    place: Place
    sizes: np.ndarray  # height and width of every box, float64 [n, 2], pixels of the resized image
    images: int
    now: Fit
    better: Fit | None  # None: nothing that covers the boxes better was found

    def settings(self) -> list[str]:
        """`path=value` of the better anchors, as `--set` takes them."""
        fields = self.better.settings if self.better else ()
        return [f"{self.place.generator}.{field}={_text(value)}" for field, value in fields]

    def lines(self) -> Iterator[str]:
        """What is shown."""
        matched = self.place.matched
        yield f"  {number_of(len(self.sizes), 'box', 'boxes')} of {number_of(self.images, 'image')}"
        yield f"  {'':24}  {'boxes':>6}  {'set now':>21}" + (f"  {'fitted':>21}" if self.better else "")
        fits = [fit for fit in (self.now, self.better) if fit]
        yield f"  {'sides, pixels':24}  {'':>6}" + f"  {f'IoU < {matched:g}':>10} {'mean IoU':>10}" * len(fits)
        roots = np.sqrt(self.sizes.prod(axis=1))
        groups = np.array_split(np.argsort(roots, kind="stable"), _GROUPS if len(roots) >= 10 * _GROUPS else 1)
        rows = [(f"{roots[group].min():.0f} to {roots[group].max():.0f}", group) for group in groups]
        for name, group in [*rows, ("all", np.arange(len(roots)))]:
            numbers = [f"  {np.mean(fit.ious[group] < matched):>10.1%} {fit.ious[group].mean():>10.3f}" for fit in fits]
            yield f"  {name:24}  {len(group):>6}{''.join(numbers)}"
        yield (
            f"  IoU: the highest with any anchor; below {matched:g} a box is matched by force at best"
            + (", anchors across the image's border left out" if self.place.inside else "")
        )
        yield from (
            ("  better:", *(f"    --set {each}" for each in self.settings()))
            if self.better
            else ("  no values of these fields were found that cover the boxes better",)
        )


def fit(
    path: str, settings: Sequence[str], patterns: Sequence[str] = (), output: str = "", seed: int = 0
) -> AnchorReport:
    """Measures the anchors of a config on its training data, and fits them.

    Args:
        path: the config.
        settings: `path=value` overrides.
        patterns: records with the boxes; empty: those of train_input_reader.
        output: where the config with the better anchors is written; empty: nowhere.
        seed: of the clusters.

    Raises:
        ConfigError: the config is invalid, has no anchors, or the output cannot be written.
        DataError: the records cannot be read, or have no box.
    """
    config, _, places = configs.read_checked(path, settings, check_paths=not patterns)
    place = anchor_fit.find(config)
    if place is None:
        raise ConfigError(f"{path}: its detector has no anchors, so there is nothing to fit")
    with places.named():
        pipeline = pipelines.build(config, read_label_maps=False)
        anatomy = describe.anatomy(pipeline)
    maps = Maps((anatomy.height, anatomy.width), tuple(each[:2] for each in anatomy.maps), place.inside)
    if not patterns and pipeline.train_input is None:
        raise ConfigError(f"{path}: has no train_input_reader; name the records by --input_path")
    records = Records(tuple(patterns or pipeline.train_input.paths))
    boxes, images = _boxes(records, pipeline)
    now, better = anchor_fit.current(place.message, maps, boxes), anchor_fit.fitted(place, maps, boxes, seed)
    sizes = np.concatenate([rows[:, 2:] - rows[:, :2] for rows in boxes.values()])
    found = AnchorReport(place, sizes, images, now, better if _is_better(better, now, place.matched) else None)
    if output:
        save(configs.override(config, found.settings()), output)
    return found


def _is_better(fit: Fit, other: Fit, matched: float) -> bool:
    return anchor_fit.score_of(fit.ious, matched) > anchor_fit.score_of(other.ious, matched)


def _boxes(source: ImageSource, pipeline: Pipeline) -> tuple[Sizes, int]:
    """The boxes in pixels of the resized images, by their size, and the number of images."""
    shape_of = functools.cache(pipeline.resizer.shape_of)
    rows: dict[tuple[int, int], list[np.ndarray]] = defaultdict(list)
    images = 0
    for image in source:
        images += 1
        header = image_header.read(image.encoded)
        if header is None:
            raise DataError(f"{image.where}: the size of its image is not known; `detection validate` lists all faults")
        if image.objects is not None and len(image.objects):
            height, width = (int(side) for side in shape_of(header.height, header.width))
            boxes = np.clip(image.objects, 0, 1).astype(np.float64) * ([height, width] * 2)
            rows[height, width].append(boxes[(boxes[:, 2:] > boxes[:, :2]).all(axis=1)])
    found = {size: np.concatenate(parts) for size, parts in rows.items()}
    found = {size: boxes for size, boxes in found.items() if len(boxes)}
    if not found:
        raise DataError(
            f"there is no box in the {number_of(images, 'image')} of the records; name others by --input_path"
        )
    return found, images


def _text(value: object) -> str:
    return f"[{', '.join(f'{each:g}' for each in value)}]" if isinstance(value, list) else f"{value:g}"
