"""Which annotation belongs to which image. No image that may have objects becomes one without, whichever way a folder
is given."""

from __future__ import annotations

import os

import pytest

from detection.data.convert import voc
from detection.data.convert.source import Source
from detection.errors import DataError

BOX = [("dog", 1, 2, 20, 30)]
CVAT = '<annotations><image name="lone.jpg"/></annotations>'


def add(folder, *names: str) -> None:
    for name in names:
        folder.add(name, filename=f"{name}.jpg")


def boxes(images) -> dict[str, int]:
    """Boxes of every usable image."""
    return {image.filename: len(image.boxes) for image in images if image.usable}


def left_out(images) -> dict[str, str]:
    """What was left out, with the kind of its fault."""
    return {image.filename: image.faults[0].kind for image in images if not image.usable}


def ways(folder) -> list[Source]:
    """The same folder as it may be given: by its layout, by its two folders, and by a list of everything in it."""
    pictures, annotations = str(folder.root / "JPEGImages"), str(folder.root / "Annotations")
    names = [str(path.relative_to(pictures)) for path in sorted((folder.root / "JPEGImages").rglob("*.*"))]
    split = folder.root / "split.txt"
    split.write_text("\n".join(names), encoding="utf-8")
    return [
        Source(roots=(str(folder.root),)),
        Source(image_dir=pictures, annotations=annotations),
        Source(image_dir=pictures, annotations=annotations, split_file=str(split)),
    ]


@pytest.mark.parametrize(
    "filename",
    [
        "photo.jpg",
        "photo.JPG",
        "Photo.jpg",
        "photo.png",
        "photo",
        "other/photo.jpg",
        r"C:\data\photo.jpg",
        "/data/photo.jpg",
        "file:///data/photo.jpg",
        "ph%6Fto.jpg",
    ],
)
@pytest.mark.parametrize("tag", ["filename", "path"])
def test_an_annotation_named_otherwise_is_found_by_what_it_says(voc_folder, filename, tag):
    add(voc_folder, "a", "b")
    voc_folder.image("photo.jpg")
    path = voc_folder.annotate("z_1", BOX)
    path.write_text(path.read_text().replace("<filename></filename>", f"<{tag}>{filename}</{tag}>"))
    for source in ways(voc_folder):
        images = list(voc.read(source).images)
        assert boxes(images) == {"a.jpg": 1, "b.jpg": 1, "photo.jpg": 1} and not left_out(images)


@pytest.mark.parametrize(
    ("image", "annotation"),
    [
        ("train/c.jpg", "c"),
        ("c.jpg", "train/c"),
        ("C.JPG", "c"),
        ("c.jpg", "C"),
        ("train/c.jpg", "train/c"),
        ("Train/c.jpg", "train/C"),
    ],
)
def test_an_annotation_of_the_same_name_is_found_in_another_case_or_folder(voc_folder, image, annotation):
    add(voc_folder, "a")
    voc_folder.image(image)
    voc_folder.annotate(annotation, BOX)
    for source in ways(voc_folder):
        assert boxes(voc.read(source).images) == {"a.jpg": 1, image: 1}


def test_folders_of_the_same_names_keep_to_themselves(voc_folder):
    for name in ("x/1", "y/1", "x/2"):
        voc_folder.add(name, filename=f"{name[-1]}.jpg")
    voc_folder.image("y/2.jpg")
    images = voc_folder.read()
    assert boxes(images) == {"x/1.jpg": 1, "x/2.jpg": 1, "y/1.jpg": 1, "y/2.jpg": 0}  # x/2.xml is not that of y/2.jpg
    (voc_folder.root / "JPEGImages" / "x" / "1.jpg").unlink()
    assert boxes(voc_folder.read()) == {"x/2.jpg": 1, "y/1.jpg": 1, "y/2.jpg": 0}


def test_folder_tags_tell_files_of_one_name_apart(voc_folder):
    for folder in ("x", "y"):
        voc_folder.image(f"{folder}/1.jpg")
        path = voc_folder.annotate(f"{folder}_1", BOX if folder == "x" else BOX * 2, filename="1.jpg")
        path.write_text(path.read_text().replace("<filename>", f"<folder>{folder}</folder><filename>"))
    for source in ways(voc_folder):
        assert boxes(voc.read(source).images) == {"x/1.jpg": 1, "y/1.jpg": 2}


@pytest.mark.parametrize("name", ["a (2)", "sub/a"])
def test_two_annotations_of_an_image_count_once_or_not_at_all(voc_folder, name):
    add(voc_folder, "a", "b")
    voc_folder.annotate(name, BOX, filename="a.jpg")
    images = voc_folder.read()
    assert boxes(images) == {"a.jpg": 1, "b.jpg": 1}
    assert [(fault.kind, fault.file.rpartition("Annotations/")[2]) for fault in images[0].faults] == [
        ("annotation_repeated", f"{name}.xml")
    ]
    voc_folder.annotate(name, [("dog", 3, 4, 20, 30)], filename="a.jpg")
    for source in ways(voc_folder):
        images = list(voc.read(source).images)
        assert boxes(images) == {"b.jpg": 1} and left_out(images) == {"a.jpg": "annotation_ambiguous"}
        assert "a.xml" in images[0].faults[0].value and f"{name}.xml" in images[0].faults[0].value


def test_images_that_an_annotation_may_mean_alike_are_left_out_with_it(voc_folder):
    add(voc_folder, "b")
    for name in ("a.jpg", "a.png"):
        voc_folder.image(name)
    voc_folder.annotate("a", BOX, filename="a.bmp")
    images = voc_folder.read()
    assert boxes(images) == {"b.jpg": 1}
    assert left_out(images) == {
        "a.jpg": "annotation_ambiguous",
        "a.png": "annotation_ambiguous",
        "a.xml": "annotation_ambiguous",
    }
    assert sum(image.counts for image in images) == 3 and sum(image.found_boxes for image in images) == 2
    split = voc_folder.split("some", "a\nb\n")
    assert left_out(voc_folder.read("", split_file=str(split))) == {"a.xml": "annotation_ambiguous"}


def test_an_image_that_the_annotation_of_another_names_is_left_out(voc_folder):
    add(voc_folder, "a")
    voc_folder.add("b", filename="old.jpg")
    voc_folder.image("old.jpg")
    images = voc_folder.read()
    assert boxes(images) == {"a.jpg": 1, "b.jpg": 1} and left_out(images) == {"old.jpg": "annotation_uncertain"}


UNUSABLE = {
    "empty": b"",
    "zeros": bytes(100),
    "truncated": b"<annotation><object><name>dog</name>",
    "of CVAT": CVAT.encode(),
    "entities": b'<!DOCTYPE a [<!ENTITY b "c">]><annotation><object><name>&b;</name></object></annotation>',
    "encoding": b'<?xml version="1.0" encoding="nope"?><annotation/>',
    "without objects": b"<annotation><bndbox><xmin>1</xmin></bndbox></annotation>",
    "of a missing image": b"<annotation><filename>gone.jpg</filename></annotation>",
}


@pytest.mark.parametrize("content", UNUSABLE.values(), ids=UNUSABLE)
def test_an_unusable_annotation_makes_no_image_one_without_objects(voc_folder, content):
    add(voc_folder, "a", "b")
    voc_folder.image("lone.jpg")
    assert boxes(voc_folder.read()) == {
        "a.jpg": 1,
        "b.jpg": 1,
        "lone.jpg": 0,
    }  # In a folder where all else is in order it is one.
    voc_folder.annotate("strange").write_bytes(content)
    for number, source in enumerate(ways(voc_folder)):
        images = list(voc.read(source).images)
        assert boxes(images) == {"a.jpg": 1, "b.jpg": 1}
        assert left_out(images)["lone.jpg"] == "annotation_uncertain"
        assert any("strange.xml" in str(fault) for image in images for fault in image.faults)
        assert sum(image.counts for image in images) == 3 and (number == 2 or len(images) == 4)


@pytest.mark.parametrize("content", [content for name, content in UNUSABLE.items() if name != "of a missing image"])
def test_an_unusable_annotation_of_an_image_costs_that_image_only(voc_folder, content):
    add(voc_folder, "a")
    for name in ("lone.jpg", "c.jpg"):
        voc_folder.image(name)
    voc_folder.annotate("c").write_bytes(content)
    for source in ways(voc_folder):
        images = list(voc.read(source).images)
        assert boxes(images) == {"a.jpg": 1, "lone.jpg": 0} and left_out(images) == {"c.jpg": "annotation_unreadable"}


def test_a_damaged_annotation_belongs_to_the_image_that_it_still_names(voc_folder):
    add(voc_folder, "a")
    for name in ("lone.jpg", "c.jpg"):
        voc_folder.image(name)
    voc_folder.annotate("x").write_text("<annotation><filename>c.jpg</filename><object>")
    images = voc_folder.read()
    assert boxes(images) == {"a.jpg": 1, "lone.jpg": 0} and left_out(images) == {"c.jpg": "annotation_unreadable"}
    assert images[1].found_boxes == 1


@pytest.mark.parametrize(
    "line",
    [
        "JPEGImages/a.jpg",
        "/data/JPEGImages/a.jpg",
        r"JPEGImages\a.jpg",
        "A",
        "a.png",
        "a.xml",
        "JPEGImages/a.jpg Annotations/a.xml",
    ],
)
def test_lines_of_a_split_may_be_paths(voc_folder, line):
    add(voc_folder, "a", "b")
    images = voc_folder.read("", split_file=str(voc_folder.split("some", line)))
    assert boxes(images) == {"a.jpg": 1} and len(images) == 1


def test_a_split_that_may_mean_several_images_is_not_guessed(voc_folder):
    add(voc_folder, "b")
    for name in ("x/a.jpg", "y/a.jpg", "c.jpg", "c.png"):
        voc_folder.image(name)
    images = voc_folder.read("", split_file=str(voc_folder.split("some", "a\nb\nc\nb\n9 1")))
    assert left_out(images) == {
        "a": "annotation_ambiguous",
        "c": "annotation_ambiguous",
        "b": "listed_twice",
        "9": "image_missing",
    }
    assert boxes(images) == {"b.jpg": 1} and sum(image.counts for image in images) == 4


def test_nothing_usable_gives_the_reason(voc_folder):
    voc_folder.image("a.jpg")
    voc_folder.annotate("annotations").write_text(CVAT)
    with pytest.raises(
        DataError, match="annotations.xml: not a VOC annotation: the root element is <annotations>.*looks like CVAT"
    ):
        voc_folder.convert()
    voc_folder.root.joinpath("map.pbtxt").write_text('item { id: 1 name: "dog" }')
    with pytest.raises(DataError, match="none of 1 image is usable, first: .*annotations.xml: not a VOC annotation"):
        voc_folder.convert(label_map_path=str(voc_folder.root / "map.pbtxt"))


def test_what_macos_puts_into_archives_is_no_part_of_the_data_set(voc_folder):
    add(voc_folder, "a")
    voc_folder.image("lone.jpg")
    voc_folder.image("._a.jpg", b"\x00\x05\x16\x07\x00")
    voc_folder.annotate("._a").write_bytes(b"\x00\x05\x16\x07\x00")
    assert boxes(voc_folder.read()) == {"a.jpg": 1, "lone.jpg": 0}
    voc_folder.annotate("._a").write_bytes(b"<annotation>")
    assert "lone.jpg" in left_out(voc_folder.read())


@pytest.mark.parametrize(
    "name", ["a.json", "a.jpg.json", "A.JSON", "labels/a.json", "a.txt", "a.xml.bak", "a.xml.txt", "a.xml~"]
)
def test_an_image_annotated_in_another_format_is_not_one_without_objects(voc_folder, name):
    objects = {
        "n": '{"shapes": [{"label": "dog"}]}',
        "t": "0 .5 .5 .25 .25\n",
        "k": "<annotation><object>",
        "~": "<annotation><object>",
    }
    nothing = {"n": '{"shapes": [], "imagePath": "a.jpg"}', "t": "\n", "k": "<annotation/>", "~": "<annotation/>"}
    key = "k" if ".xml." in name else name.lower()[-1]
    voc_folder.add("b")
    path = voc_folder.image("a.jpg").parent / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(objects[key])
    report, told = voc_folder.convert()
    assert report.images == 1 and [fault.kind for fault in report.bad] == ["annotation_unreadable"] and name in told
    path.write_text(nothing[key])
    assert voc_folder.convert(overwrite=True)[0].images == 2


@pytest.mark.parametrize("text", ["a caption of 4 words 1 2 3", "1 2 3 4", "9" * 100_000, "0 1 2 3 x" * 20_000])
def test_texts_beside_an_image_are_not_all_annotations(voc_folder, text):
    voc_folder.add("b")
    (voc_folder.image("a.jpg").parent / "a.txt").write_text(text)
    assert voc_folder.convert()[0].images == 2


def test_polygons_of_dota_are_annotations(voc_folder):
    voc_folder.add("b")
    (voc_folder.image("a.jpg").parent / "a.txt").write_text("imagesource:x\ngsd:1\n1 1 20 1 20 20 1 20 ship 0\n")
    assert voc_folder.convert()[0].images == 1


def test_masks_and_copies_are_no_images_without_objects(voc_folder):
    for name in "ab":
        voc_folder.image(f"photos/{name}.jpg")
        voc_folder.annotate(name, [("dog", 1, 2, 20, 30)], filename=f"{name}.jpg")
        voc_folder.image(f"masks/{name}.png")
    voc_folder.image("photos/c.jpg")
    voc_folder.image("masks/c.png")
    report, told = voc_folder.convert(max_bad_percent=10.0)
    assert (report.found_images, report.images, report.boxes) == (3, 3, 2)
    assert (
        "masks/a.png: photos/a.jpg, in a folder of annotated images, has the same name" in told
        and "masks/c.png: " in told
    )


@pytest.mark.parametrize("folder", [".ipynb_checkpoints", "__MACOSX", "@eaDir/a.jpg", ".thumbnails", "$RECYCLE.BIN"])
def test_folders_of_other_programs_are_no_part_of_the_data_set(voc_folder, folder):
    voc_folder.add("a")
    voc_folder.image(f"{folder}/b.jpg")
    voc_folder.annotate(f"{folder}/c", [])
    report, _ = voc_folder.convert()
    assert report.images == 1 and not report.faults


def test_an_image_of_a_type_that_is_not_read_is_named(voc_folder):
    voc_folder.add("a")
    voc_folder.image("b.HEIC")
    voc_folder.annotate("b", [("dog", 1, 2, 20, 30)], filename="b.HEIC")
    voc_folder.image("c.jfif")
    voc_folder.annotate("c", [("dog", 1, 2, 20, 30)], filename="c.jfif")
    voc_folder.image("d.jpg")  # b.xml is not its annotation.
    report, _ = voc_folder.convert()
    assert report.images == 3 and [fault.kind for fault in report.faults] == ["image_missing", "no_annotation"]
    assert "'b.HEIC' exists, but its type is not supported" in report.faults[0].value


def test_links_are_names_too(voc_folder):
    """Stores of data sets keep each content once, and names as links to it."""
    add(voc_folder, "a", "x/c")
    folder = voc_folder.root / "Annotations"
    for name in ("b.jpg", "y/c.jpg", "none.jpg"):
        voc_folder.image(name)
    (folder / "b.xml").symlink_to("a.xml")
    (folder / "y").symlink_to("x")
    expected = {"a.jpg": 1, "b.jpg": 1, "x/c.jpg": 1, "y/c.jpg": 1, "none.jpg": 0}
    for source in ways(voc_folder):
        assert boxes(voc.read(source).images) == expected


def test_an_image_with_two_names_is_one(voc_folder):
    add(voc_folder, "a", "b")
    pictures = voc_folder.root / "JPEGImages"
    (pictures / "b.jpg").unlink()
    (pictures / "b.jpg").symlink_to("a.jpg")
    assert boxes(voc_folder.read()) == {"a.jpg": 1}
    voc_folder.annotate("b", [("dog", 3, 4, 5, 6)])
    images = voc_folder.read()
    assert boxes(images) == {} and left_out(images) == {"a.jpg": "annotation_ambiguous"}


def test_an_annotation_that_is_no_file_is_not_waited_for(voc_folder):
    add(voc_folder, "a")
    voc_folder.image("b.jpg")
    (voc_folder.root / "Annotations" / "b.xml").mkdir()
    assert boxes(voc_folder.read()) == {"a.jpg": 1, "b.jpg": 0}
    (voc_folder.root / "Annotations" / "b.xml").rmdir()
    (voc_folder.root / "Annotations" / "b.xml").symlink_to("nowhere.xml")
    assert boxes(voc_folder.read()) == {"a.jpg": 1} and left_out(voc_folder.read()) == {
        "b.jpg": "annotation_unreadable"
    }
    (voc_folder.root / "Annotations" / "b.xml").unlink()
    os.mkfifo(voc_folder.root / "Annotations" / "b.xml")
    assert boxes(voc_folder.read()) == {"a.jpg": 1} and left_out(voc_folder.read()) == {
        "b.jpg": "annotation_unreadable"
    }
