"""Label options: how the labels of a dataset are read, as the person whose data it is says."""

import unicodedata
from dataclasses import dataclass, field, replace
from pathlib import Path

from syndet_ray.data.class_map import ClassMap, is_blank


@dataclass(frozen=True, kw_only=True)
class LabelOptions:
    """Settings for reading labels.

    format    the format, one of `data.read.FORMATS` in any spelling; None recognizes it
    skip_bad  leaves out labels and images that cannot be used, and counts them; else they are an
              error
    classes   new names of classes, by their name in the data: equal names merge classes, None drops
              one; a class that is not named keeps its name
    classes_file  the file of `classes`, for commands that messages propose; None if there is none
    """

    format: str | None = None
    skip_bad: bool = False
    classes: ClassMap = field(default_factory=dict)
    classes_file: Path | None = None

    @property
    def command_words(self) -> list[str]:
        """The words of a command line that make another command read labels in the same way."""
        command = [] if self.format is None else ["--format", self.format]
        command += ["--skip-bad"] if self.skip_bad else []
        command += [] if self.classes_file is None else ["--classes", str(self.classes_file)]
        return command

    def new_name(self, name: str) -> str | None:
        """The name of a class of the data, in composed Unicode; None if it is dropped, "" if it is
        blank and no name is given to it.
        """
        composed = unicodedata.normalize("NFC", name)
        for old, new in self.classes.items():
            if unicodedata.normalize("NFC", old) == composed:
                return None if new is None else unicodedata.normalize("NFC", new)
        return "" if is_blank(name) else composed

    def of_other_data(self) -> "LabelOptions":
        """The options for data of another format."""
        return replace(self, format=None)
