"""Classes: do the labels of several sources have the same classes, by name?"""

from collections.abc import Iterable, Mapping, Sequence

from syndet_ray.errors import DataError


def check_classes(
    real: Sequence[str],
    other: Sequence[str],
    place: object,
    *,
    other_name: str = "the synthetic data",
    few_boxes: Mapping[str, str] | None = None,
    do: str = "Rename or drop classes on one side.",
) -> None:
    """Raises DataError that names the difference unless both sides have the same class names.

    Their order may differ.

    other_name  the other side, as the message calls it
    few_boxes   for each class with few boxes, how many and where the first is, from the `Dataset`
                of either side
    do          advice for the reader of the message
    """
    only_in = {"the real data": set(real) - set(other), other_name: set(other) - set(real)}
    differences = []
    for side, names in only_in.items():
        if names:
            differences.append(f"{class_words(names, few_boxes or {})} only in {side}")
    if differences:
        rule = f"the real data and {other_name} must have the same classes"
        raise DataError(place, f"{rule}; found {'; '.join(differences)}", do=do)


def class_words(names: Iterable[str], boxes: Mapping[str, str]) -> str:
    """Classes in alphabetical order, with the words for the boxes of some: "bishop (1 box: ...),
    king".
    """
    places = {name: f" ({words})" for name, words in boxes.items()}
    return ", ".join(f"{name}{places.get(name, '')}" for name in sorted(names))
