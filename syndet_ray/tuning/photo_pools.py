"""Photo pools: decodes the photos of a sweep, and refuses photos that are in two splits."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from syndet_ray.data.decode import decode
from syndet_ray.data.memory import decoded_bytes, fits_memory, kept_share, lack_words
from syndet_ray.data.pool import Pool
from syndet_ray.data.read import Dataset
from syndet_ray.data.record import Source
from syndet_ray.data.scale import WorkingScale
from syndet_ray.data.splits.looks import Looks
from syndet_ray.data.splits.split import SharedPhoto, cut_by_looks, refuse_copies, selection
from syndet_ray.progress import NamedProgress
from syndet_ray.tuning.notes import SCORED

# Decodes a source, given its name in the progress.
Decoding = Callable[[Source, str], Pool]


@dataclass(frozen=True, kw_only=True)
class Streaming:
    """Decoding of photos that do not all stay in memory.

    note        that they are decoded again, and why
    kept_share  the share of them that stays in memory
    """

    note: str
    kept_share: float


def settle_streaming(
    sources: Sequence[Source], scale: WorkingScale, *, asked: bool
) -> Streaming | None:
    """None if photos are kept in memory.

    asked  True if the user wants the memory for something else, so that none is kept
    """
    if asked:
        kept, why = 0.0, "as asked"
    elif fits_memory(sources, scale.longest_px):
        return None
    else:
        kept = kept_share(sources, scale.longest_px)
        why = f"{lack_words(sources, scale.longest_px)}; {kept:.0%} of them are kept"
    note = f"photos are not kept in memory, but decoded each time they are needed: {why}"
    return Streaming(note=note, kept_share=kept)


def decode_photos(
    source: Source,
    name: str,
    *,
    scale: WorkingScale,
    progress: NamedProgress,
    streaming: Streaming | None,
    looks: Looks,
) -> Pool:
    """A source at the working scale, streamed if photos are; `name` is shown in the progress."""
    decoded = partial(progress, f"decoding {name}")
    if streaming is None:
        return decode(source, scale.longest_px, decoded)
    kept = int(streaming.kept_share * decoded_bytes([source], scale.longest_px))
    return decode(
        source, scale.longest_px, decoded, streamed=True, kept_bytes=kept, look=looks.look
    )


def decode_splits(
    dataset: Dataset,
    first_cut: Mapping[str, Source],
    decoding: Decoding,
    seed: int,
    progress: NamedProgress,
    *,
    allow_near_copies: bool,
    looks: Looks,
) -> tuple[Dataset, dict[str, Pool]]:
    """A dataset with all three splits, and their decoded photos. A val that is cut from train
    shares no photo with it.

    first_cut  the three splits, with val cut without a look at the photos
    """
    if "val" in dataset.splits:
        pools = {split: decoding(dataset.splits[split], split) for split in first_cut}
        return dataset, pools
    given = dataset.splits["train"]
    # Photos that will probably stay together are decoded together: then neither train nor val is
    # copied when it is sent elsewhere.
    whole = replace(given, records=(*first_cut["train"].records, *first_cut["val"].records))
    decoded = decoding(whole, "train")
    looking = partial(progress, "looking for copies of val")
    train = selection(decoded, whole, given)
    dataset = cut_by_looks(
        dataset, train, seed, allowed=allow_near_copies, progress=looking, looks=looks
    )
    pools = {split: selection(decoded, whole, dataset.splits[split]) for split in ("train", "val")}
    pools["test"] = decoding(dataset.splits["test"], "test")
    return dataset, pools


def refuse_shared_photos(
    pools: Mapping[str, Pool],
    others: Mapping[str, Pool],
    place: str,
    progress: NamedProgress,
    *,
    allowed: bool,
    is_val_compared: bool,
    looks: Looks,
) -> dict[str, list[SharedPhoto]]:
    """Photos that are in two places, by "val", "test" or the folder of other photos. Raises
    DataError if they are refused.

    is_val_compared  True if val is known to share no photo with train
    """
    against = {"test": {"train": pools["train"], "val": pools["val"]}}
    if not is_val_compared:
        against = {"val": {"train": pools["train"]}, **against}
    scored = {split: pools[split] for split in SCORED}
    shared = {}
    for split, originals in against.items():
        looking = partial(progress, f"looking for copies of {split}")
        shared[split] = refuse_copies(
            scored[split],
            originals,
            f"{place}, {split}",
            allowed=allowed,
            progress=looking,
            looks=looks,
        )
    for folder, pool in others.items():
        looking = partial(progress, f"looking for copies in {Path(folder).name}")
        shared[folder] = refuse_copies(
            pool,
            scored,
            folder,
            allowed=allowed,
            of_one_dataset=False,
            progress=looking,
            looks=looks,
        )
    return shared


def near_copy_counts(shared: Mapping[str, Sequence[SharedPhoto]]) -> dict[str, int]:
    """The number of scored photos that are also elsewhere, by their split."""
    images: dict[str, set[str]] = {split: set() for split in SCORED}
    for part, photos in shared.items():
        if part in SCORED:
            images[part] |= {photo.image for photo in photos}
        else:
            for photo in photos:
                images[photo.split].add(photo.original)
    return {split: len(copies) for split, copies in images.items() if copies}
