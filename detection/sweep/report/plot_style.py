"""How configurations look in every figure: one marker a meta-architecture, one colour and fill an extractor, fonts for
the width of a README.

The colours are Okabe and Ito's, which people with any of the usual colour deficiencies tell apart (Wong 2011, "Points
of view: Color blindness"). Networks of one family share a colour and differ in fill, so that nothing hangs on colour
alone.
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
    "text.parse_math": False,  # Names come from data, where a dollar is a dollar.
    "svg.fonttype": "path",
    "svg.hashsalt": "detection",  # Otherwise the names inside an SVG differ from run to run.
}


class Look(NamedTuple):
    """Colour and fill of an extractor; `marker` where the marker does not stand for the meta-architecture."""

    color: str
    fill: str  # matplotlib's fillstyle: full, none, left
    marker: str


_LOOKS = {
    "mobilenet_v1": Look(ORANGE, "full", "o"),
    "mobilenet_v2": Look(ORANGE, "none", "o"),
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
    """The look of an extractor, the same in every figure; one that has none of its own is grey."""
    return _LOOKS.get(extractor, Look(GREY, "full", "h"))


def ordered(names: set[str], known: dict[str, str]) -> list[str]:
    """Those of a table in its order, then the others."""
    return [name for name in known if name in names] + sorted(names - set(known))


@contextlib.contextmanager
def settings() -> Iterator[None]:
    """Within it figures are drawn and saved with these fonts; what the caller has set for its own figures stays as it
    is.

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
    """An empty figure of inches, 8 of which fill a README (1200 pixels: half that on a screen of usual density), drawn
    without a display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    made = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(made)
    axes = list(made.subplots(rows, columns, squeeze=False, **options).flat)
    for axis in axes:
        axis.grid(True, color="#DDDDDD", linewidth=0.7)
        axis.set_axisbelow(True)
    return made, axes


def save(made: Figure, stem: Path) -> list[Path]:
    """Writes `stem`.png and `stem`.svg, the same bytes for the same rows."""
    paths = [stem.with_suffix(".png"), stem.with_suffix(".svg")]
    made.savefig(paths[0], metadata={"Software": None})
    made.savefig(paths[1], metadata={"Date": None})
    return paths


def scatter_style(meta: str, extractor: str, *, size: float = 7.0) -> dict[str, object]:
    """For `Axes.plot`: marker of the meta-architecture, colour and fill of the extractor."""
    color, fill, _ = look(extractor)
    return {"marker": META_MARKERS.get(meta, "h"), "markersize": size, "linestyle": "none", **_faces(color, fill)}


def line_style(extractor: str, *, size: float = 7.0) -> dict[str, object]:
    """For lines of extractors: colour, fill and marker are the extractor's."""
    color, fill, marker = look(extractor)
    return {"marker": marker, "markersize": size, "color": color, **_faces(color, fill)}


def meta_style(meta: str, *, size: float = 7.0) -> dict[str, object]:
    """Where colour and marker are the meta-architecture's."""
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
    """Legend of the markers, in grey where colour stands for something else."""
    names = ordered(metas, METAS)
    grey = {"linestyle": "none", "markersize": 7.0, **_faces("#BBBBBB", "full")}
    return [
        handle(METAS.get(name, name), meta_style(name) if colored else {**grey, "marker": META_MARKERS.get(name, "h")})
        for name in names
    ]


def extractor_handles(extractors: set[str], *, lines: bool = False) -> list[Line2D]:
    """Legend of the colours; `lines` with the markers that lines have."""
    names = ordered(extractors, EXTRACTORS)
    styles = ((line_style(name) if lines else {**scatter_style("", name), "marker": "o"}) for name in names)
    return [handle(extractor_name(name), style) for name, style in zip(names, styles, strict=True)]


def _faces(color: str, fill: str) -> dict[str, object]:
    """A hollow marker has a face all the same: what lies under it would make it look filled."""
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
