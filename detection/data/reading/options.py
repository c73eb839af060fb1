"""Options of an input pipeline."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from detection.data.reading import shard_files
from detection.data.reading.bad_records import BadRecords
from detection.data.reading.proposal_source import ProposalSource
from detection.data.reading.python_data import PythonData
from detection.types import Category


class DifficultObjects(enum.Enum):
    """What becomes of objects marked difficult; metrics of PASCAL VOC know them whatever training does."""

    IGNORE = enum.auto()  # weight 0: neither learnt nor background
    TRAIN = enum.auto()  # objects as any other (Girshick 2015, section 4.3)
    LEAVE_OUT = enum.auto()  # as if they were not annotated


@dataclass(frozen=True, kw_only=True)
class InputOptions:
    """Which records to read and how. Numbers have the names and defaults of the InputReader message."""

    paths: tuple[str, ...]  # globs
    # Relative frequency of each path in training; empty: all records are one data set.
    weights: tuple[float, ...] = ()
    field: str = "tf_record_input_reader.input_path"  # where the paths come from, for messages
    categories: tuple[Category, ...] = ()  # allowed label ids; empty: 1 to num_classes
    text_ids: tuple[tuple[str, int], ...] = ()  # names and display names with their ids; empty: class/text is not used
    num_classes: int = 0  # 0: that of the label map
    label_source: str = "label_map_path"  # where the classes come from, for messages
    # label id -> ids of the classes that it is one of too; empty: boxes have the class that the record says
    ancestors: tuple[tuple[int, tuple[int, ...]], ...] = ()
    descendants: tuple[tuple[int, tuple[int, ...]], ...] = ()  # the other way round, for what is not in an image
    merge_boxes: bool = False  # in training: equal boxes of different classes are one box of several
    # In training: columns of the scores that are learnt where records have them, K or, with the background first,
    # K + 1; 0: boxes are of one class.
    class_scores: int = 0
    sequences: bool = False  # records are tf.SequenceExamples, and each of their frames an image
    frame_index: int = -1  # of them, in training: the frame that is taken; negative: a random one
    extra_channels: int = 0  # of images, behind red, green and blue
    open_images: bool = False  # whether group-of marks and labels of whole images are read
    drop_unknown_labels: bool = False  # as in the TF Object Detection API; otherwise such a box is an error
    difficult: DifficultObjects = DifficultObjects.IGNORE
    max_number_of_boxes: int = 100
    proposals: ProposalSource | None = None  # None: none are read
    max_number_of_proposals: int = 0  # the best of each image
    shuffle: bool = True
    shuffle_buffer_size: int = 2048
    filenames_shuffle_buffer_size: int = 100
    num_epochs: int = 0  # of training; 0: unlimited
    sample_1_of_n_examples: int = 1
    num_readers: int = 64
    read_block_length: int = 32
    num_prefetch_batches: int = 2
    bad_records: BadRecords | None = None  # records to skip; None: a bad record is an error
    # Keep the decoded images in memory during training, 3 bytes per pixel: for small data sets and slow disks or
    # decoders.
    cache: bool = False
    python: PythonData | None = None  # examples from Python, instead of the files of `paths`

    def shards(self) -> tuple[str, ...]:
        """The files, sorted; empty if the data comes from Python. Errors name `field`."""
        return () if self.python is not None else self.listed(self.paths)

    @property
    def label_ids(self) -> tuple[int, ...]:
        """Those of the classes that boxes may have, ascending."""
        known = [category.id for category in self.categories] or range(1, self.num_classes + 1)
        return tuple(sorted(label for label in known if 1 <= label <= (self.num_classes or label)))

    @property
    def label_count(self) -> int:
        """K: of the model's classes, or the largest label id."""
        return self.num_classes or max(self.label_ids, default=0)

    @property
    def boxes_field(self) -> str:
        """Where `max_number_of_boxes` comes from, for messages."""
        return self.field.replace("tf_record_input_reader.input_path", "max_number_of_boxes")

    def listed(self, paths: Sequence[str]) -> tuple[str, ...]:
        """The files of some of the paths."""
        return shard_files.list_shards(paths, self.field, damaged=self.bad_records is not None)
