"""Grids multiply as written: counted by hand and against another way of counting; keys change with what is run and with
nothing else."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detection.config import sweep_file
from detection.errors import ConfigError
from detection.sweep import grid, listing

SHIPPED = Path(__file__).resolve().parents[2] / "configs" / "sweep"
BASES = f"""
bases {{ name: "ssd" config: "{SHIPPED / "ssd_shapes.config"}" }}
bases {{ name: "faster_rcnn" config: "{SHIPPED / "faster_rcnn_shapes.config"}" }}
"""
AXES = """
axes {
  name: "extractor"
  values {
    name: "mobilenet_v1"
  }
  values {
    name: "resnet50"
    override { when { axis: "base" any_of: "ssd" } set: "feature_extractor.type=ssd_resnet50" }
    override { when { axis: "base" none_of: "ssd" } set: "feature_extractor.type=faster_rcnn_resnet50" }
  }
}
axes {
  name: "stride" prefix: "stride"
  when { axis: "base" any_of: "faster_rcnn" }
  values { name: "16" }
  values { name: "8" when { axis: "extractor" any_of: "resnet50" } set: "first_stage_features_stride=8"
           set: "grid_anchor_generator.height_stride=8" set: "grid_anchor_generator.width_stride=8" }
}
axes {
  name: "proposals" prefix: "p" shares_weights: true
  when { axis: "base" none_of: "ssd" }
  values { name: "100" set: "first_stage_max_proposals=100" }
  values { name: "10" set: "first_stage_max_proposals=10" }
}
"""
REST = "training {} evaluation {} benchmark { num_images: 5 }\n"


def load(folder: Path, text: str = BASES + AXES + REST) -> sweep_file.SweepFile:
    path = folder / "my.pbtxt"
    path.write_text(text, encoding="utf-8")
    return sweep_file.load(path)


def by_id(sweep: sweep_file.SweepFile, *args, **kwargs) -> dict[str, grid.Configuration]:
    return {one.id: one for one in grid.expand(sweep, *args, **kwargs)}


def test_a_grid_counted_by_hand(tmp_path):
    found = by_id(load(tmp_path))
    assert list(found) == [
        "ssd-mobilenet_v1",
        "ssd-resnet50",
        "faster_rcnn-mobilenet_v1-stride16-p100",
        "faster_rcnn-mobilenet_v1-stride16-p10",
        "faster_rcnn-resnet50-stride16-p100",
        "faster_rcnn-resnet50-stride16-p10",
        "faster_rcnn-resnet50-stride8-p100",
        "faster_rcnn-resnet50-stride8-p10",
    ]
    one = found["faster_rcnn-resnet50-stride8-p10"]
    assert one.facts == ("faster_rcnn", "resnet50", 128, 8, 10) and not one.refused
    assert one.axes == {"base": "faster_rcnn", "extractor": "resnet50", "stride": "8", "proposals": "10"}
    assert found["ssd-resnet50"].facts == ("ssd", "resnet50", 128, 0, None)
    assert "first_stage_max_proposals: 10\n" in one.text and "first_stage_max_proposals: 100\n" in one.trained_text


def test_weights_are_shared_with_the_first(tmp_path):
    found = by_id(load(tmp_path))
    one, first = found["faster_rcnn-resnet50-stride8-p10"], found["faster_rcnn-resnet50-stride8-p100"]
    assert (
        one.trained_id == first.id == first.trained_id
        and one.group == first.group
        and one.trained_text == first.text == first.trained_text
    )
    assert len({each.group for each in found.values()}) == 5 and len({each.key for each in found.values()}) == 8
    assert one.model_name == first.model_name and one.model_name.startswith(first.id)


@st.composite
def axes_of_names(draw) -> list[tuple[str, bool, tuple, list[tuple[str, tuple]]]]:
    """(axis, shares weights, when, values with their when); a condition is (earlier axis, its allowed values), at most
    one each."""
    made: list[tuple] = [("base", False, (), [("ssd", ()), ("faster_rcnn", ())])]

    def condition() -> tuple:
        if not draw(st.booleans()):
            return ()
        axis, _, _, values = draw(st.sampled_from(made))
        return (axis, draw(st.lists(st.sampled_from([name for name, _ in values]), min_size=1, unique=True)))

    for number in range(draw(st.integers(0, 3))):
        when = condition()
        values = [(f"v{index}", condition()) for index in range(draw(st.integers(1, 3)))]
        made.append((f"axis{number}", draw(st.booleans()), when, values))
    return made


def holds(condition: tuple, names: dict[str, str | None]) -> bool:
    return not condition or names.get(condition[0]) in condition[1]


def as_text(axes: list) -> str:
    def when(condition: tuple) -> str:
        return (
            f'when {{ axis: "{condition[0]}" {" ".join(f"any_of: {name!r}" for name in condition[1])} }}'
            if condition
            else ""
        )

    blocks = [BASES]
    for number, (name, shares, condition, values) in enumerate(axes[1:]):
        # Every value sets a field of its own axis to a number of its own, so that no two configurations are the same.
        field = ("num_steps", "batch_size", "keep_checkpoint_every_n_hours")[number]
        inner = " ".join(
            f'values {{ name: "{value}" {when(only)} set: "train_config.{field}={100 + index}" }}'
            for index, (value, only) in enumerate(values)
        )
        blocks.append(f'axes {{ name: "{name}" shares_weights: {str(shares).lower()} {when(condition)} {inner} }}')
    return "\n".join([*blocks, "training {}"])


@settings(max_examples=40, deadline=None)
@given(axes_of_names())
def test_expansion_is_the_product_filtered(tmp_path_factory, axes):
    """Counted the other way round: all assignments of a value, or none, to every axis, of which the right ones are
    kept."""
    names = [name for name, *_ in axes]
    expected = set()
    for values in itertools.product(*[[*(value for value, _ in each[3]), None] for each in axes]):
        point = dict(zip(names, values, strict=True))
        right = point["base"] is not None
        for position, (name, _, when, choices) in enumerate(axes):
            before = dict(list(point.items())[:position])
            open_values = [value for value, only in choices if holds(when, before) and holds(only, before)]
            right = right and (point[name] in open_values if open_values else point[name] is None)
        if right:
            expected.add(tuple((name, value) for name, value in point.items() if value is not None))
    found = grid.expand(load(tmp_path_factory.mktemp("grid"), as_text(axes)))
    assert {tuple(one.axes.items()) for one in found} == expected
    assert len(found) == len(expected) == len({one.id for one in found})
    shared = {name: choices[0][0] for name, shares, _, choices in axes if shares}
    for members in grid.groups(found):
        assert len({one.trained_id for one in members}) == 1 and len({one.trained_text for one in members}) == 1
        own = [{axis: value for axis, value in one.axes.items() if axis not in shared} for one in members]
        if all(when == () and all(only == () for _, only in values) for _, _, when, values in axes):
            assert all(each == own[0] for each in own) and len(members) == int(len(found) / len(grid.groups(found)))


@settings(max_examples=30, deadline=None)
@given(axes_of_names(), st.integers(1, 5))
def test_shards_are_a_partition_that_keeps_groups_together(tmp_path_factory, axes, count):
    whole = grid.expand(load(tmp_path_factory.mktemp("grid"), as_text(axes)))
    parts = [grid.shard(whole, f"{number}/{count}") for number in range(1, count + 1)]
    assert sorted(one.id for part in parts for one in part) == sorted(one.id for one in whole)
    homes: dict[str, set[int]] = {}
    for number, part in enumerate(parts):
        for one in part:
            homes.setdefault(one.group, set()).add(number)
    assert all(len(numbers) == 1 for numbers in homes.values())
    sizes = [len(grid.groups(part)) for part in parts]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("part", ["0/2", "3/2", "1", "a/b", "1/0", "-1/2"])
def test_a_wrong_shard_is_refused(tmp_path, part):
    with pytest.raises(ConfigError, match="--shard=.*for example 1/4 to 4/4"):
        grid.shard(grid.expand(load(tmp_path)), part)


def keys(sweep: sweep_file.SweepFile, *args, **kwargs) -> dict[str, str]:
    return {one.id: one.key for one in grid.expand(sweep, *args, **kwargs)}


def test_keys_say_what_is_run_and_nothing_else(tmp_path):
    before = keys(load(tmp_path))
    same = REST.replace("training {}", "training { checkpoint_every_n: 7 time_limit_seconds: 60 }").replace(
        "5 }", "5 time_limit_seconds: 9 }"
    )
    assert keys(load(tmp_path, "# another comment\n" + BASES + AXES + same)) == before
    renamed = keys(load(tmp_path, BASES + AXES.replace('prefix: "p"', 'prefix: "proposals"') + REST))
    assert set(renamed.values()) == set(before.values()) and set(renamed) != set(before)
    for other in (
        REST.replace("5", "6"),
        REST.replace("evaluation {}", ""),
        REST.replace("training {}", "training { seed: 2 }"),
    ):
        assert not set(keys(load(tmp_path, BASES + AXES + other)).values()) & set(before.values())
    changed = keys(load(tmp_path), ["train_config.num_steps=7"])
    assert not set(changed.values()) & set(before.values())
    one_value = keys(
        load(tmp_path, BASES + AXES.replace('first_stage_max_proposals=10"', 'first_stage_max_proposals=11"') + REST)
    )
    assert {name for name in before if before[name] != one_value[name]} == {
        name for name in before if name.endswith("-p10")
    }


def test_random_weights_are_another_run(tmp_path):
    before, random = by_id(load(tmp_path)), by_id(load(tmp_path), timing_only=True)
    assert set(before) == set(random) and not {one.key for one in before.values()} & {
        one.key for one in random.values()
    }
    assert {one.weights for one in random.values()} == {grid.RANDOM}


def test_equal_configurations_are_one(tmp_path):
    twice = AXES.replace(
        'values { name: "10" set: "first_stage_max_proposals=10" }',
        'values { name: "hundred" set: "first_stage_max_proposals=100" }',
    )
    assert [name for name in by_id(load(tmp_path, BASES + twice + REST)) if name.endswith("hundred")] == []


def test_only_and_leave_out(tmp_path):
    sweep = load(
        tmp_path,
        BASES
        + AXES
        + REST
        + 'leave_out { when { axis: "stride" any_of: "8" } when { axis: "proposals" any_of: "100" } }',
    )
    assert len(by_id(sweep)) == 7 and "faster_rcnn-resnet50-stride8-p100" not in by_id(sweep)
    assert by_id(sweep)["faster_rcnn-resnet50-stride8-p10"].trained_id == "faster_rcnn-resnet50-stride8-p100"
    assert set(by_id(sweep, only=["ssd-*", "*-stride8-*"])) == {
        "ssd-mobilenet_v1",
        "ssd-resnet50",
        "faster_rcnn-resnet50-stride8-p10",
    }
    with pytest.raises(ConfigError, match=r"--only=vgg\*: matches none of 7 ids, such as ssd-mobilenet_v1"):
        grid.expand(sweep, only=["vgg*"])


def test_checkpoints_may_name_values(tmp_path):
    bases = BASES.replace('name: "ssd"', 'name: "ssd" checkpoint: "zoo/{base}_{extractor}/model.ckpt"')
    found = by_id(load(tmp_path, bases + AXES + REST))
    assert (
        found["ssd-resnet50"].weights == "zoo/ssd_resnet50/model.ckpt"
        and found["faster_rcnn-resnet50-stride8-p10"].weights == grid.TRAINED
    )
    assert len({one.group for one in found.values()}) == 5


def test_what_the_code_refuses_is_told_not_fatal(tmp_path):
    strides = 'set: "grid_anchor_generator.height_stride=8" set: "grid_anchor_generator.width_stride=8"'
    wrong = AXES.replace(strides, strides + ' set: "maxpool_kernel_size=99"')
    assert wrong != AXES
    found = by_id(load(tmp_path, BASES + wrong + REST))
    refused = {name for name, one in found.items() if one.refused}
    assert refused == {"faster_rcnn-resnet50-stride8-p100", "faster_rcnn-resnet50-stride8-p10"}
    assert "maxpool_kernel_size (99) must not exceed" in found["faster_rcnn-resnet50-stride8-p10"].refused
    assert "2 refused" in listing.summary(
        list(found.values())
    ) and "refused: faster_rcnn-resnet50-stride8-p10" in listing.table(list(found.values()))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"my.pbtxt: bases is empty"),
        ("base { }", r"my.pbtxt:1:1: unknown field 'base' in Sweep; did you mean 'bases'\?"),
        (BASES + "\naxes { name: 3 }", r"my.pbtxt:5:14: name in SweepAxis takes a quoted string, not 3"),
        (
            'bases {\n  name: "a"\n  config: "none.config" }',
            r"my.pbtxt:3:11: bases\[0\].config \('none.config'\): no such file",
        ),
        ('bases {\n  name: "a"\n}', r"my.pbtxt:1:1: bases\[0\].config is missing"),
        (BASES + 'axes { name: "a b" }', r"my.pbtxt:4:14: axes\[0\].name \('a b'\) becomes part of ids"),
        (BASES + 'axes { name: "a" }', r"my.pbtxt:4:1: axes\[0\].values is empty"),
        (
            BASES + 'axes { name: "base" values { name: "x" } }',
            r"my.pbtxt:4:14: axes\[0\].name \('base'\) is the name of an earlier axis",
        ),
        (
            BASES + 'axes { name: "a" values { name: "x" }\n values { name: "x" } }',
            r"my.pbtxt:5:17: axes\[0\].values\[1\].name \('x'\) is given twice",
        ),
        (
            BASES + 'axes { name: "a" when { axis: "bases" any_of: "ssd" } values { name: "x" } }',
            r"my.pbtxt:4:31: .*\('bases'\) is not an earlier axis; did you mean 'base'\?",
        ),
        (
            BASES + 'axes { name: "a" when { axis: "base" any_of: "ssd" any_of: "sdd" } values { name: "x" } }',
            r"my.pbtxt:4:60: .*any_of \('sdd'\) is not a value of 'base'; did you mean 'ssd'\?",
        ),
        (
            BASES + 'axes { name: "a" when { axis: "base" } values { name: "x" } }',
            r"any_of and none_of are both missing",
        ),
        (BASES + "leave_out { }", r"my.pbtxt:4:1: leave_out\[0\].when is empty"),
        (BASES + "benchmark { num_images: 0 }", r"my.pbtxt:4:25: benchmark.num_images \(0\) must be at least 1"),
        (BASES + "training { time_limit_seconds: -1 }", r"training.time_limit_seconds \(-1\) must be at least 0"),
    ],
)
def test_a_wrong_grid_is_told_by_line(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, text)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("feature_extractor.tipe=x", r"my.pbtxt:5:8: set: feature_extractor.tipe=x: unknown field"),
        ("train_config.num_steps=many", r"my.pbtxt:5:8: set: train_config.num_steps=many: .*takes a whole number"),
        ("model.faster_rcnn.num_classes=3", r"my.pbtxt:5:8: set: .*the config has ssd where this names faster_rcnn"),
    ],
)
def test_an_override_that_does_not_fit_is_told_by_line(tmp_path, setting, message):
    text = BASES + f'axes {{ name: "a" values {{ name: "x"\n  set: "{setting}" }} }}\ntraining {{}}'
    with pytest.raises(ConfigError, match=message):
        grid.expand(load(tmp_path, text))


def test_weights_must_come_from_somewhere(tmp_path):
    sweep = load(tmp_path, BASES + AXES + "benchmark {}")
    with pytest.raises(ConfigError, match="base 'ssd' has no weights; add training"):
        grid.expand(sweep)
    assert len(grid.expand(sweep, timing_only=True)) == 8
    with pytest.raises(ConfigError, match="--timing_only: .*has no benchmark to run; add benchmark"):
        load(tmp_path, BASES).changed(timing_only=True)
    with pytest.raises(ConfigError, match="--max_seconds=9: .*has no benchmark to run"):
        load(tmp_path, BASES).changed(max_seconds=9)
    changed = load(tmp_path).changed(num_images=3, max_seconds=9, time_limit=7)
    assert (
        changed.benchmark.num_images,
        changed.benchmark.max_seconds,
        changed.training.time_limit,
        changed.evaluation.time_limit,
    ) == (3, 9, 7, 7)


def test_the_survey_s_grid():
    """At least the paper's 147 configurations; every one is accepted by the checker, and axes apply where the survey
    has them."""
    found = grid.expand(sweep_file.load(SHIPPED / "paper.pbtxt"))
    # Six extractors, two of them with two strides: SSD 6 x 2; the others 8 x 2 resolutions x 5 numbers of proposals.
    assert len(found) == 6 * 2 + 3 * 8 * 2 * 5 == 252 and len(grid.groups(found)) == 6 * 2 + 3 * 8 * 2
    assert [one.refused for one in found if one.refused] == []
    assert {one.facts.meta_architecture for one in found} == {"ssd", "faster_rcnn", "rfcn", "fast_rcnn"}
    assert {one.facts.feature_extractor for one in found} == {
        "mobilenet_v1",
        "inception_v2",
        "inception_v3",
        "resnet101",
        "inception_resnet_v2",
        "vgg16",
    }
    assert {one.facts.resolution for one in found} == {300, 600}
    assert {one.facts.feature_extractor for one in found if one.facts.stride == 8} == {
        "resnet101",
        "inception_resnet_v2",
    }
    assert {one.facts.proposals for one in found if one.facts.meta_architecture != "ssd"} == {10, 20, 50, 100, 300}
    for one in found:
        assert all(
            str(one.facts._asdict()[name]) == one.axes[name] for name in ("resolution", "proposals") if name in one.axes
        )
        assert (
            f"/{one.facts.feature_extractor.replace('resnet101', 'resnet_v1_101').replace('vgg16', 'vgg_16')}"
            in one.text
        )  # its checkpoint
        assert re.search(r"num_classes: 90\b", one.text) and "iou_threshold: 0.6\n" in one.text


def test_the_grid_of_shapes():
    found = grid.expand(sweep_file.load(SHIPPED / "shapes.pbtxt"))
    assert [one.refused for one in found if one.refused] == [] and len(found) == 92
    trained = [members[0] for members in grid.groups(found)]
    assert len(trained) == 29 and len({one.facts.feature_extractor for one in trained}) == 4
    assert {one.facts.meta_architecture for one in trained} == {"ssd", "faster_rcnn", "rfcn", "fast_rcnn"}
