"""The VOC reader: what it takes from XML, which image it finds, and that only our own error ever escapes."""

from __future__ import annotations

import math
from xml.sax.saxutils import escape

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from detection.data.convert import voc
from detection.data.convert.source import Source
from detection.errors import ConfigError, DataError


def kinds(images) -> list[str]:
    return [fault.kind for image in images for fault in image.faults]


def test_reads_every_field(voc_folder):
    more = {"pose": "Left", "truncated": 1, "difficult": 1, "part": "<name>head</name><bndbox><xmin>9</xmin></bndbox>"}
    voc_folder.add("a", [("dog", 1, "2.5", 20, 30, more), (" big  cat ", 3, 4, 5, 6)])
    (image,) = voc_folder.read()
    assert (image.filename, image.source_id, image.declared_size, image.found_boxes, image.faults) == (
        "a.jpg",
        "a.jpg",
        (40, 60),
        2,
        (),
    )
    dog, cat = image.boxes
    assert (dog.name, dog.xmin, dog.ymin, dog.xmax, dog.ymax) == ("dog", 1.0, 2.5, 20.0, 30.0)
    assert (dog.view, dog.truncated, dog.difficult) == ("Left", True, True)
    assert (cat.name, cat.view, cat.truncated, cat.difficult) == ("big cat", "", False, False)


def test_splits_take_ids_in_order_with_or_without_extension_and_sign(voc_folder):
    for name in ("a", "b", "c 1", "d"):
        voc_folder.add(name)
    voc_folder.split("train", "d\n\nb.jpg\nc 1\n a  -1\n")
    assert [image.filename for image in voc_folder.read("train")] == ["d.jpg", "b.jpg", "c 1.jpg", "a.jpg"]
    file = voc_folder.root / "ids.txt"
    file.write_text("b\n")
    assert [image.filename for image in voc_folder.read(split_file=str(file))] == ["b.jpg"]


def test_without_split_everything_by_name(voc_folder):
    voc_folder.add("b")
    voc_folder.add("a")
    voc_folder.image("c.png")
    images = voc_folder.read()
    assert [image.filename for image in images] == ["a.jpg", "b.jpg", "c.png"]
    assert kinds(images) == ["no_annotation"]
    assert images[2].usable and not images[2].boxes


def test_image_of_the_same_name_comes_before_the_filename_tag(voc_folder):
    voc_folder.add("a", filename="b.jpg")
    voc_folder.add("b", filename="b.jpg")
    voc_folder.image("sub/other.JPEG")
    voc_folder.annotate("c", filename="sub/other.JPEG")
    images = voc_folder.read("", split_file=str(voc_folder.split("x", "a\nb\nc\n")))
    assert [image.filename for image in images] == ["a.jpg", "b.jpg", "sub/other.JPEG"]
    assert kinds(images) == ["filename_differs"]


def test_filename_tag_tells_twins_apart(voc_folder):
    voc_folder.image("a.jpg")
    voc_folder.image("a.png")
    voc_folder.annotate("a", filename="a.png")
    left_out, image = voc_folder.read()
    assert image.usable and image.filename == "a.png"
    assert not left_out.usable and left_out.filename == "a.jpg" and "a.xml has its name" in left_out.faults[0].value


def test_accents_match_however_they_are_composed(voc_folder):
    voc_folder.image("cafe\u0301.jpg")
    voc_folder.annotate("caf\u00e9", filename="caf\u00e9.jpg")
    (image,) = voc_folder.read()
    assert image.usable and image.image_path.exists()


def test_images_and_annotations_side_by_side_or_in_named_folders(tmp_path, encode):
    (tmp_path / "a.jpg").write_bytes(encode())
    (tmp_path / "a.xml").write_text("<annotation><filename>a.jpg</filename></annotation>")
    for source in (
        Source(roots=(str(tmp_path),)),
        Source(image_dir=str(tmp_path)),
        Source(image_dir=str(tmp_path), annotations=str(tmp_path)),
    ):
        assert [image.filename for image in voc.read(source).images] == ["a.jpg"]


def test_several_folders_keep_their_names_apart(tmp_path, encode):
    roots = []
    for name in ("VOC2007", "VOC2012"):
        (tmp_path / name / "JPEGImages").mkdir(parents=True)
        (tmp_path / name / "Annotations").mkdir()
        (tmp_path / name / "JPEGImages" / "1.jpg").write_bytes(encode())
        (tmp_path / name / "Annotations" / "1.xml").write_text("<annotation/>")
        roots.append(str(tmp_path / name))
    assert [image.source_id for image in voc.read(Source(roots=tuple(roots))).images] == [
        "VOC2007/1.jpg",
        "VOC2012/1.jpg",
    ]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "line 1"),
        ("<annotation><object></annotation>", "line 1, column 22: not well-formed XML"),
        ("<html></html>", "<html>, not <annotation>"),
        (
            '<!DOCTYPE a [<!ENTITY b "cc"><!ENTITY d "&b;&b;">]><annotation><filename>&d;</filename></annotation>',
            "declares entities",
        ),
        (
            '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotation><filename>&x;</filename></annotation>',
            "declares entities",
        ),
        ('<?xml version="1.0" encoding="no-such"?><annotation/>', "encoding"),
        ("<annotation>\x00</annotation>", "not well-formed"),
    ],
)
def test_unreadable_annotations_are_told(voc_folder, content, says):
    voc_folder.image("a.jpg")
    voc_folder.annotate("a").write_text(content)
    (image,) = voc_folder.read()
    assert not image.usable
    (fault,) = image.faults
    assert fault.kind == "annotation_unreadable" and fault.file.endswith("a.xml") and says in fault.value


@pytest.mark.parametrize(
    ("objects", "kind", "says"),
    [
        ("<object><bndbox/></object>", "class_missing", "no <name>"),
        ("<object><name>dog</name></object>", "box_unreadable", "no <bndbox>"),
        ("<object><name>dog</name><polygon/></object>", "box_unreadable", "but <polygon>"),
        (
            "<object><name>dog</name><bndbox><xmin>1</xmin></bndbox></object>",
            "box_unreadable",
            "<bndbox> has no <ymin>",
        ),
        ([("dog", "one", 2, 3, 4)], "box_unreadable", "'one' is not a number"),
        ([("dog", 1, "nan", 3, 4)], "box_unreadable", "'nan' is not a number"),
        ([("dog", 1, 2, "inf", 4)], "box_unreadable", "'inf' is not a number"),
    ],
)
def test_unreadable_objects_are_told_and_the_others_kept(voc_folder, objects, kind, says):
    extra = "<object><name>cat</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></object>"
    voc_folder.add("a", objects)
    path = voc_folder.root / "Annotations" / "a.xml"
    path.write_text(path.read_text().replace("</annotation>", extra + "</annotation>"))
    (image,) = voc_folder.read()
    assert image.usable and [box.name for box in image.boxes] == ["cat"] and image.found_boxes == 2
    (fault,) = image.faults
    assert fault.kind == kind and "object 1" in fault.item and says in fault.value and fault.action == "box left out"


@pytest.mark.parametrize("size", [None, (0, 0)])
def test_absent_size_is_noted(voc_folder, size):
    voc_folder.add("a", size=size)
    (image,) = voc_folder.read()
    assert image.declared_size is None and kinds([image]) == ["size_absent"]


def test_annotation_without_image_and_id_without_anything(voc_folder):
    voc_folder.annotate("a", filename="nowhere.jpg")
    voc_folder.image("other.jpg")
    voc_folder.split("train", "a\nghost\na\n")
    images = voc_folder.read("train")
    assert kinds(images) == ["image_missing", "image_missing", "listed_twice"]
    assert "nowhere.jpg" in images[0].faults[0].value and "'ghost'" in images[1].faults[0].value
    assert not any(image.usable for image in images)


@pytest.mark.parametrize(
    "tag", ["../../secret.jpg", "/etc/passwd", "C:\\x.jpg", "..\\..\\secret.jpg", "\\\\host\\x.jpg"]
)
def test_names_that_lead_out_are_refused(voc_folder, tag):
    voc_folder.root.parent.joinpath("secret.jpg").write_bytes(b"")
    voc_folder.annotate("a", filename=tag)
    voc_folder.image("other.jpg")
    voc_folder.split("train", "a\n../a\n")
    images = voc_folder.read("train")
    assert kinds(images) == ["unsafe_path", "unsafe_path"]
    assert not any(image.usable for image in images)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (Source(), "no data set given; pass --voc_dir"),
        (Source(roots=("nowhere",)), "nowhere: no such folder of data; check --voc_dir"),
        (Source(image_dir="nowhere"), "nowhere: no such folder of images; check --image_dir"),
    ],
)
def test_missing_folders(source, says):
    with pytest.raises(ConfigError, match=says):
        list(voc.read(source).images)


def test_missing_split_lists_those_there_are(voc_folder):
    voc_folder.add("a")
    voc_folder.split("train", "a")
    voc_folder.split("empty", "\n")
    with pytest.raises(ConfigError, match="tran.txt: no such split; the splits are: empty, train; check --set"):
        voc_folder.read("tran")
    with pytest.raises(DataError, match="empty.txt: the split is empty"):
        voc_folder.read("empty")


def test_images_only_is_an_error(voc_folder):
    voc_folder.image("a.jpg")
    (voc_folder.root / "Annotations").mkdir()
    with pytest.raises(DataError, match="no annotation .* for any of 1 image; check --annotation_dir"):
        voc_folder.read()


_TEXTS = (
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=30)
    | st.floats().map(str)
    | st.integers().map(str)
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=200) | st.lists(_TEXTS.map(escape), min_size=8, max_size=8))
def test_only_our_error_escapes_whatever_the_file_holds(voc_folder, content):
    voc_folder.image("a.jpg")
    path = voc_folder.annotate("a")
    if isinstance(content, str):
        path.write_text(content, encoding="utf-8", errors="surrogatepass")
    else:
        voc_folder.annotate("a", [tuple(content[:5])], size=(content[5], content[6]), filename=content[7])
    (image,) = voc_folder.read()
    assert image.usable or image.faults
    assert len(image.boxes) + sum(fault.action == "box left out" for fault in image.faults) == image.found_boxes
    assert all(math.isfinite(value) for box in image.boxes for value in (box.xmin, box.ymin, box.xmax, box.ymax))


def test_real_data(shared):
    root = shared / "data" / "bccd"
    images = list(voc.read(Source(roots=(str(root),))).images)
    assert len(images) == 364 and sum(image.found_boxes for image in images) == 4888 and not kinds(images)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_splits_in_other_encodings(voc_folder, encoding):
    voc_folder.add("caf\u00e9")
    voc_folder.split("train", "").write_bytes("caf\u00e9\r\n".encode(encoding))
    assert [image.filename for image in voc_folder.read("train")] == ["caf\u00e9.jpg"]
    voc_folder.split("train", "").write_bytes("caf\u00e9\n".encode("latin-1"))
    with pytest.raises(DataError, match="train.txt: cannot read the split: the encoding is wrong: byte 3"):
        voc_folder.read("train")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer; run git lfs pull"),
        (b"\x1f\x8b\x08\x00", "gzip data"),
        (b"dog 1 2 3 4", "text: 'dog 1 2 3 4'"),
    ],
)
def test_what_is_there_instead_of_xml_is_named(voc_folder, content, says):
    voc_folder.image("a.jpg")
    voc_folder.annotate("a").write_bytes(content)
    (image,) = voc_folder.read()
    assert image.faults[0].kind == "annotation_unreadable" and says in image.faults[0].value
