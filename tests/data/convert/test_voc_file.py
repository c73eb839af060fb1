"""What is read from one VOC annotation, written as tools and people really write it."""

from __future__ import annotations

import tracemalloc

import pytest

from detection.data.convert import voc_file

BOX = "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>30</xmax><ymax>40</ymax></bndbox>"
SIZE = "<size><width>100</width><height>80</height></size>"


@pytest.fixture
def read(tmp_path):
    def read(content: str | bytes):
        path = tmp_path / "a.xml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return voc_file.read(str(path))

    return read


def corners(file) -> list[tuple[float, ...]]:
    return [box[2:6] for box in file.boxes]


def kinds(file) -> list[str]:
    return [fault.kind for fault in file.faults]


@pytest.mark.parametrize(
    ("objects", "expected", "noted"),
    [
        (f"<object><name>cat</name>{BOX}</object>", (1, 2, 30, 40), []),
        (f"<OBJECT><Name>cat</Name>{BOX.upper()}</OBJECT>", (1, 2, 30, 40), []),
        (f'<object xmlns="http://example.org"><name>cat</name>{BOX}</object>', (1, 2, 30, 40), []),
        (f"<objects><object><name>cat</name>{BOX}</object></objects>", (1, 2, 30, 40), []),
        (
            f"<object><part><name>head</name>{BOX.replace('1', '9')}</part><name>cat</name>{BOX}</object>",
            (1, 2, 30, 40),
            [],
        ),
        (
            (
                "<object><name>cat</name><bndbox><ymax> 40"
                " </ymax><xmax>3e1</xmax><ymin>+2.</ymin><xmin>1.0</xmin></bndbox></object>"
            ),
            (1, 2, 30, 40),
            [],
        ),
        (
            "<object><name>cat</name><bndbox><xmin>1,5</xmin><ymin>2</ymin><xmax>30,25</xmax><ymax>40</ymax></bndbox></object>",
            (1.5, 2, 30.25, 40),
            ["number_comma", "number_comma"],
        ),
        (
            (
                "<object><name>cat</name><polygon><x1>1</x1><y1>2</y1><x2>30</x2><y2>9</y2>"
                "<x3>5</x3><y3>40</y3></polygon></object>"
            ),
            (1, 2, 30, 40),
            ["box_from_shape"],
        ),
        (
            (
                "<object><name>cat</name><deleted>0</deleted><polygon><username>me</username><pt><x>1</x><y>40</y></pt><pt><x>30</x><y>2</y></pt>"
                "</polygon></object><object><name>dog</name><deleted>1</deleted></object>"
            ),
            (1, 2, 30, 40),
            ["box_from_shape"],
        ),
        (
            "<object><name>cat</name><robndbox><cx>10</cx><cy>20</cy><w>6</w><h>4</h><angle>1.5707963267948966</angle></robndbox></object>",
            (8, 17, 12, 23),
            ["box_from_shape"],
        ),
    ],
)
def test_boxes(read, objects, expected, noted):
    file = read(f"<annotation>{SIZE}{objects}</annotation>")
    assert not file.problem and file.size == (100, 80) and file.found_boxes == 1
    assert corners(file) == [pytest.approx(expected)] and kinds(file) == noted


@pytest.mark.parametrize(
    ("inside", "says"),
    [
        (
            "<bndbox><xmin>1,500</xmin></bndbox>",
            "'1,500' is not a number",
        ),  # a thousand and a half, or one and a half?
        ("<bndbox><xmin>1_0</xmin></bndbox>", "'1_0' is not a number"),
        ("<bndbox><xmin>\u0661</xmin></bndbox>", "is not a number"),
        ("<bndbox><xmin>9e999</xmin></bndbox>", "'9e999' is not a number"),
        (f"<bndbox><xmin>{'9' * 100_000}</xmin></bndbox>", "is not a number"),
        (BOX + BOX, "has 2 <bndbox>"),
        ("<bndbox><x>1</x><y>2</y><w>3</w><h>4</h></bndbox>", "<bndbox> has no <xmin>"),
        ('<bndbox xmin="1" ymin="1" xmax="9" ymax="9"/>', "<bndbox> has no <xmin>"),
        ("<polygon><x1>1</x1><y1>2</y1></polygon>", "but <polygon> without usable points"),
        ("<polygon><x1>1</x1><y1>2</y1><x2>3</x2></polygon>", "but <polygon> without usable points"),
        ("<polygon><x1>one</x1></polygon>", "<polygon> <x1> 'one' is not a number"),
        ("<robndbox><cx>1</cx></robndbox>", "<robndbox> <cy> '' is not a number"),
    ],
)
def test_objects_without_usable_numbers(read, inside, says):
    file = read(f"<annotation>{SIZE}<object><name>cat</name>{inside}</object></annotation>")
    (fault,) = file.faults
    assert not file.boxes and file.found_boxes == 1
    assert (
        fault.kind == "box_unreadable"
        and fault.item == "object 1 'cat'"
        and says in fault.value
        and len(fault.value) < 300
    )


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("<annotations/>", "root element is <annotations>, not <annotation>; this looks like CVAT"),
        ("<dataset/>", "this looks like dlib"),
        (f"<{'x' * 5000}/>", "not <annotation>"),
        (f"<annotation>{BOX}</annotation>", "not a VOC annotation: it has no <object>, but <bndbox>"),
        ("<annotation><item><box/></item></annotation>", "no <object>, but <box>"),
        ("<annotation><object><name>&#xD800;</name></object></annotation>", "not well-formed XML"),
        ("<annotation><filename>b & c.jpg</filename></annotation>", "such as & for &amp;"),
        ("<annotation/><annotation/>", "not well-formed XML (junk after document element)"),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), "not well-formed"),
        (b'<?xml version="1.0" encoding="gb2312"?>' + b"\xff", "the encoding is wrong"),
    ],
)
def test_problems(read, content, says):
    file = read(content)
    assert says in file.problem and len(file.problem) < 400 and not file.boxes


@pytest.mark.parametrize("stray", [f"<item><name>cat</name>{BOX}</item>", BOX, f"<list><item>{BOX}</item></list>"])
def test_a_box_outside_of_all_objects_is_reported(read, stray):
    file = read(f"<annotation>{SIZE}{stray}<object><name>cat</name>{BOX}<part>{BOX}</part></object></annotation>")
    (fault,) = file.faults
    assert len(file.boxes) == 1 and file.found_boxes == 2
    assert fault.kind == "box_unreadable" and fault.bad and "outside of every <object>" in fault.value


@pytest.mark.parametrize("length", [5, 30, 60])
def test_a_file_that_breaks_off_says_so(read, length):
    found = read("<annotation><filename>a.jpg</filename><object><name>dog</name>"[:length])
    assert "the file is truncated" in found.problem


def test_a_class_in_another_encoding_is_not_guessed(read):
    file = read(
        f"<annotation>{SIZE}<object><name>ch\u00e8vre</name>{BOX}</object><object><name>cat</name>{BOX}</object></annotation>".encode(
            "latin-1"
        )
    )
    assert [box.name for box in file.boxes] == ["cat"] and kinds(file) == ["encoding_wrong", "class_missing"]
    assert "encoding of its <name> is wrong" in file.faults[1].value


def test_a_wrong_accent_elsewhere_costs_nothing(read):
    content = (
        f"<annotation><filename>\u00e9.jpg</filename>{SIZE}"
        f"<object><name>cat</name><pose>\u00e9</pose>{BOX}</object></annotation>"
    )
    file = read(content.encode("latin-1"))
    assert corners(file) == [(1, 2, 30, 40)] and kinds(file) == ["encoding_wrong"] and "\u00e9.jpg" in file.names


def test_names_in_the_order_of_what_they_are(read):
    file = read(r"<annotation><path>C:\d\a.jpg</path><folder>d</folder><filename> a.jpg </filename></annotation>")
    assert file.names == ("a.jpg", "d/a.jpg", r"C:\d\a.jpg")


@pytest.mark.parametrize(
    "size",
    [
        "<width>0</width><height>80</height>",
        "<width>-1</width><height>80</height>",
        "<width>a</width><height>80</height>",
        "<width>1e99</width><height>80</height>",
    ],
)
def test_sizes_that_are_none(read, size):
    file = read(f"<annotation><size>{size}</size></annotation>")
    assert file.size is None and kinds(file) == ["size_absent"]


def test_hostile_files_take_bounded_memory(read):
    tracemalloc.start()
    try:
        assert read("<annotation>" + "<a>" * 20_000).problem
        nested = "<object>" * 5_000 + "</object>" * 5_000
        assert read(f"<annotation>{nested}</annotation>").found_boxes == 1
        assert "more than" in read(b" " * (2**24 + 1)).problem
        assert "more than 1000000 tags" in read("<annotation>" + "<a/>" * 1_000_001).problem
        assert tracemalloc.get_traced_memory()[1] < 2**28
    finally:
        tracemalloc.stop()
