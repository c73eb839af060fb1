"""Style of all figures: a marker for each meta-architecture, colour and fill for each extractor, fonts for a README.

The colours are Okabe and Ito's, which can be distinguished with common colour vision deficiencies (Wong 2011, "Points
of view: Color blindness"). Networks of one family have the same colour and different fills, so that colour is never the
only difference.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from detection.errors import ConfigError
from detection.sweep.quantities import EXTRACTORS, METAS, extractor_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILLION, PURPLE = "#F0E442", "#0072B2", "#D55E00", "#CC79A7"
GREY = "#6B6B6B"
META_COLORS = {"ssd": ORANGE, "faster_rcnn": BLUE, "rfcn": GREEN, "fast_rcnn": PURPLE, "center_net": VERMILLION}
META_MARKERS = {"ssd": "o", "faster_rcnn": "s", "rfcn": "^", "fast_rcnn": "D", "center_net": "v"}
RESOLUTION_COLORS = (SKY, VERMILLION, GREEN, BLACK, PURPLE, YELLOW)
RESOLUTION_MARKERS = ("o", "s", "^", "D", "v", "P")
DPI = 150
_SETTINGS = {
    "font.family": "DejaVu Sans",
    "font.size": 11,
    "axes.titlesize": 12,
    "axes.labelsize": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.fontsize": 9.5,
    "text.parse_math": False,  # Names come from data and may contain a dollar sign.
    "svg.fonttype": "path",
    "svg.hashsalt": "detection",  # Otherwise the ids inside an SVG differ between runs.
}


class Look(NamedTuple):
    """Colour and fill of an extractor; `marker` is used if markers do not stand for meta-architectures."""

    color: str
    fill: str  # matplotlib's fillstyle: full, none, left
    marker: str


_LOOKS = {
    "mobilenet_v1": Look(ORANGE, "full", "o"),
    "mobilenet_v2": Look(ORANGE, "none", "o"),
    "inception_v1": Look(GREEN, "none", "^"),
    "inception_v2": Look(GREEN, "full", "^"),
    "inception_v3": Look(SKY, "full", "v"),
    "resnet50": Look(BLUE, "none", "s"),
    "resnet101": Look(BLUE, "full", "s"),
    "resnet152": Look(BLUE, "left", "s"),
    "inception_resnet_v2": Look(VERMILLION, "full", "D"),
    "vgg16": Look(PURPLE, "full", "P"),
    "vgg_cnn_m_1024": Look(PURPLE, "none", "P"),
    "caffenet": Look(BLACK, "none", "X"),
}


def look(extractor: str) -> Look:
    """The look of an extractor, the same in every figure; unknown extractors are grey."""
    return _LOOKS.get(extractor, Look(GREY, "full", "h"))


def ordered(names: set[str], known: dict[str, str]) -> list[str]:
    """Sorts names: known ones in the order of `known`, then the others."""
    return [name for name in known if name in names] + sorted(names - set(known))


@contextlib.contextmanager
def settings() -> Iterator[None]:
    """A context with these matplotlib settings; the caller's settings are restored at exit.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    try:
        import matplotlib
    except ImportError as error:
        raise ConfigError('figures need matplotlib, which is not installed: pip install "detection[plots]"') from error
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_SETTINGS)
        yield


def figure(
    rows: int = 1, columns: int = 1, *, width: float = 8.0, height: float = 5.0, **options: object
) -> tuple[Figure, list[Axes]]:
    """An empty figure that is drawn without a display.

    Args:
        rows: of panels.
        columns: of panels.
        width: inches; 8 fill the width of a README (1200 pixels).
        height: inches.
        **options: of matplotlib's `Figure.subplots`.

    Returns:
        The figure and its axes, row by row.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure_ = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure_)
    axes = list(figure_.subplots(rows, columns, squeeze=False, **options).flat)
    for axis in axes:
        axis.grid(True, color="#DDDDDD", linewidth=0.7)
        axis.set_axisbelow(True)
    return figure_, axes


def save(figure_: Figure, stem: Path) -> list[Path]:
    """Writes `stem`.png and `stem`.svg; the same rows give the same bytes."""
    paths = [stem.with_suffix(".png"), stem.with_suffix(".svg")]
    figure_.savefig(paths[0], metadata={"Software": None})
    figure_.savefig(paths[1], metadata={"Date": None})
    return paths


def scatter_style(meta: str, extractor: str, *, size: float = 7.0) -> dict[str, object]:
    """Options of `Axes.plot`: marker of the meta-architecture, colour and fill of the extractor."""
    color, fill, _ = look(extractor)
    return {"marker": META_MARKERS.get(meta, "h"), "markersize": size, "linestyle": "none", **_faces(color, fill)}


def line_style(extractor: str, *, size: float = 7.0) -> dict[str, object]:
    """Options of `Axes.plot` for lines: colour, fill and marker of the extractor."""
    color, fill, marker = look(extractor)
    return {"marker": marker, "markersize": size, "color": color, **_faces(color, fill)}


def meta_style(meta: str, *, size: float = 7.0) -> dict[str, object]:
    """Options of `Axes.plot`: colour and marker of the meta-architecture."""
    return {
        "marker": META_MARKERS.get(meta, "h"),
        "markersize": size,
        "linestyle": "none",
        **_faces(META_COLORS.get(meta, GREY), "full"),
    }


def handle(label: str, style: dict[str, object]) -> Line2D:
    """An entry of a legend."""
    from matplotlib.lines import Line2D

    return Line2D([], [], label=label, **style)


def meta_handles(metas: set[str], *, colored: bool) -> list[Line2D]:
    """Legend entries of the meta-architectures' markers; grey if colour stands for something else."""
    names = ordered(metas, METAS)
    grey = {"linestyle": "none", "markersize": 7.0, **_faces("#BBBBBB", "full")}
    return [
        handle(METAS.get(name, name), meta_style(name) if colored else {**grey, "marker": META_MARKERS.get(name, "h")})
        for name in names
    ]


def extractor_handles(extractors: set[str], *, lines: bool = False) -> list[Line2D]:
    """Legend entries of the extractors' colours; with `lines`, with the markers of lines."""
    names = ordered(extractors, EXTRACTORS)
    styles = ((line_style(name) if lines else {**scatter_style("", name), "marker": "o"}) for name in names)
    return [handle(extractor_name(name), style) for name, style in zip(names, styles, strict=True)]


def _faces(color: str, fill: str) -> dict[str, object]:
    """Options for the face of a marker; a hollow one has a white face, so that markers under it do not show through."""
    edge = color if fill != "full" else "#333333"
    faces: dict[str, object] = {"markeredgecolor": edge, "markeredgewidth": 1.5 if fill != "full" else 0.6}
    if fill == "none":
        return {**faces, "markerfacecolor": "white"}
    return {
        **faces,
        "markerfacecolor": color,
        "fillstyle": fill,
        **({"markerfacecoloralt": "white"} if fill == "left" else {}),
    }
