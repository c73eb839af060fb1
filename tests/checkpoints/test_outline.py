"""Trees of variables: what shares a line, in which order, how wide."""

from __future__ import annotations

from detection.checkpoints import outline

_NORM = ("beta", "gamma", "moving_mean", "moving_variance")


def _conv(
    scope: str, *shape: int, kernel: str = "weights", norm: tuple[str, ...] = _NORM
) -> dict[str, tuple[int, ...]]:
    return {f"{scope}/{kernel}": shape, **{f"{scope}/BatchNorm/{part}": (shape[-1],) for part in norm}}


_NET = {
    **_conv("Net/Conv2d_0", 3, 3, 3, 8),
    **{
        name: shape for i in (10, 9, 2, 1) for name, shape in _conv(f"Net/Conv2d_{i}_pointwise", 1, 1, 8, 8 * i).items()
    },
    **{f"Net/Mixed_{block}/Branch_{i}/Conv/biases": (4,) for block in ("3b", "3c") for i in (0, 1)},
    "Net/Logits/Conv2d_1c_1x1/weights": (1, 1, 8, 10),
    "Net/Logits/Conv2d_1c_1x1/biases": (10,),
}


def _rows(shapes: dict, levels: int = 2) -> list[tuple]:
    return [(row.level, row.scope, len(row.shapes), row.details) for row in outline.lines(shapes, levels)]


def test_siblings_that_differ_in_numbers_alone_share_a_line():
    assert _rows(_NET) == [
        (0, "Net", 31, ""),
        (1, "Conv2d_0", 5, "[3, 3, 3, 8], BatchNorm"),
        (1, "Conv2d_{1,2,9,10}_pointwise", 20, "[1, 1, 8, 8-80], BatchNorm"),
        (1, "Logits/Conv2d_1c_1x1", 2, "[1, 1, 8, 10], biases"),
        (1, "Mixed_3b", 2, "Branch_{0-1}"),
        (1, "Mixed_3c", 2, "Branch_{0-1}"),
    ]


def test_levels_say_how_deep_it_goes():
    assert _rows(_NET, 1) == [(0, "Net", 31, "Conv2d_0, Conv2d_{1,2,9,10}_pointwise, Logits, Mixed_3b, Mixed_3c")]
    assert _rows(_NET, 3)[-1] == (2, "Branch_{0-1}/Conv", 2, "biases")


def test_heads_of_several_maps_are_taken_apart_once():
    heads = {
        f"Box_{i}/{part}/biases": (size * (i + 1),) for i in range(3) for part, size in (("Code", 4), ("Class", 7))
    }
    assert _rows({**heads, "Alone/biases": (1,)}) == [
        (0, "Alone", 1, "biases"),
        (0, "Box_{0-2}", 6, ""),
        (1, "Class", 3, "biases"),
        (1, "Code", 3, "biases"),
    ]


def test_layers_say_what_they_lack_and_which_kernels_they_have():
    depthwise = _conv("Net/a", 3, 3, 8, 1, kernel="depthwise_weights", norm=("beta", "moving_mean", "moving_variance"))
    gamma = {"Net/b/BatchNorm/gamma": (8,)}
    separable = {
        "Net/c/depthwise_weights": (7, 7, 3, 8),
        "Net/c/pointwise_weights": (1, 1, 24, 64),
        "Net/c/biases": (64,),
    }
    assert [details for _, _, _, details in _rows(depthwise | gamma | separable)[1:]] == [
        "depthwise [3, 3, 8, 1], BatchNorm without gamma",
        "gamma",
        "depthwise [7, 7, 3, 8], pointwise [1, 1, 24, 64], biases",
    ]


def test_an_extractor_is_taken_together_with_its_network():
    shapes = {
        "FeatureExtractor/Net/a/w": (1,),
        "FeatureExtractor/Net/b/w": (1,),
        "FeatureExtractor/a_l2_norm/scale": (2,),
    }
    assert [(level, scope) for level, scope, _, _ in _rows(shapes)] == [
        (0, "FeatureExtractor/Net"),
        (1, "a"),
        (1, "b"),
        (0, "FeatureExtractor/a_l2_norm"),
    ]


def test_other_children_are_another_line():
    units = {name: shape for i in (1, 2, 3) for name, shape in _conv(f"block1/unit_{i}/conv1", 1, 1, 4, 4).items()}
    assert [scope for _, scope, _, _ in _rows(units | _conv("block1/unit_1/shortcut", 1, 1, 4, 4))] == [
        "block1",
        "unit_1",
        "unit_{2-3}/conv1",
    ]


def test_table_is_at_most_a_hundred_columns():
    shapes = _NET | {f"Net/{'x' * 70}_{i}/weights": (1, 1, 1024, 1024) for i in range(3)}
    table = outline.table(shapes)
    assert max(map(len, table)) == outline.WIDTH and table[-1].endswith("…")
    assert table[1] == "      5         248    Conv2d_0                     [3, 3, 3, 8], BatchNorm"
    assert outline.table({}) == []


def test_a_variable_without_a_scope():
    assert _rows({"w": (2,), "v_1": (3,), "v_2": (4,)}) == [(0, "v_{1-2}", 2, "[3-4]"), (0, "w", 1, "[2]")]
