"""Mix: the sources that the batches of a training are made of, and their shares."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from syndet_ray.definitions.scene_parameters import Share
from syndet_ray.definitions.value import Value
from syndet_ray.errors import nearest

REAL = "real"  # the source that is the user's photos
_ROUNDING = 1e-6  # by which written shares, such as three times 0.333333, may miss 1

Schedule = Literal["mixed", "staged", "annealed", "real_only", "synthetic_only"]


class Scenes(Value):
    """A source of rendered scenes that differ in some settings from those of the recipe."""

    kind: Literal["scenes"] = "scenes"
    changes: dict[str, Any] = Field({}, description='such as {"scene.objects": 70}')
    images: int | None = Field(
        None, ge=1, description="number of distinct scenes; none: mix.synthetic_images"
    )

    def overrides(self, path: str) -> bool:
        """True when the source has its own value for a setting.

        path  dotted: a setting of scene, or mix.synthetic_images
        """
        if path == "mix.synthetic_images":
            return self.images is not None
        return path in self.changes


class Photos(Value):
    """A source that is another dataset, such as public photos; its training split is used."""

    kind: Literal["photos"] = "photos"
    folder: str = Field(min_length=1, description="folder of labelled images, of the same classes")


class Synthetic(Value):
    """A source that is a synthetic dataset made elsewhere; its training split is used.

    It takes the place of rendered scenes: settings of scenes do not act on it.
    """

    kind: Literal["synthetic"] = "synthetic"
    folder: str = Field(min_length=1, description="folder of labelled images, of the same classes")


def _count_or_share(value: int | float | str) -> int | float | str:
    if isinstance(value, float) and not 0 < value < 1:
        raise ValueError(f"must be a whole number, a share between 0 and 1, or 'all', got {value}")
    return value


class Mix(Value):
    """The sources of the images that a training sees, their shares, and when each is shown.

    "real" are the user's photos; all other sources count as synthetic. `synthetic` is the share of
    all images seen that is synthetic, `schedule` decides when they are shown. When schedule,
    switch_at or real_images leave no choice, they set `synthetic`.
    """

    synthetic: Share = Field(
        0.5, description="share of all images seen that is synthetic; the rest is real"
    )
    schedule: Schedule = Field(
        "mixed",
        description="mixed: the same share in every batch; staged: first synthetic, then real; "
        "annealed: a falling synthetic share; or only one of the two",
    )
    switch_at: Share | None = Field(
        None,
        description="staged: share of the training after which real images follow; "
        "none: the share `synthetic`",
    )
    anneal: Literal["linear", "cosine"] = Field(
        "linear", description="annealed: how the synthetic share falls"
    )
    real_images: Annotated[int | float | Literal["all"], AfterValidator(_count_or_share)] = Field(
        "all",
        description="number or share of the real training images that is used; "
        "a smaller set is a part of a larger one",
    )
    synthetic_images: int = Field(
        200, ge=1, description="number of distinct scenes that are rendered"
    )
    sources: dict[str, Annotated[Scenes | Photos | Synthetic, Field(discriminator="kind")]] = Field(
        {"synthetic": Scenes()},
        min_length=1,
        description="sources of the synthetic images, by name",
    )
    parts: dict[str, Share] = Field(
        {}, description="how the synthetic share is divided among the sources; empty: evenly"
    )

    @model_validator(mode="before")
    @classmethod
    def _settle(cls, fields: Any) -> Any:
        """The fields, with `synthetic` as the other settings decide it."""
        if not isinstance(fields, dict):
            return fields
        synthetic = _decided_share(fields)
        return fields if synthetic is None else fields | {"synthetic": synthetic}

    @model_validator(mode="after")
    def _sources_agree(self) -> "Mix":
        if REAL in self.sources:
            rule = f"{REAL!r} are the photos that a sweep is given; choose another name"
            raise ValueError(f"sources: {rule}")
        for name in self.parts:
            if name not in self.sources:
                raise ValueError(f"parts: {name!r} is no source. {nearest(name, self.sources)}")
        if self.parts and abs(sum(self.parts.values()) - 1) > _ROUNDING:
            raise ValueError(f"parts must sum to 1, got {self.parts}")
        return self

    @model_validator(mode="after")
    def _enough_real_images(self) -> "Mix":
        least = 1 if self.schedule == "real_only" else 0
        if isinstance(self.real_images, int) and self.real_images < least:
            rule = f"real_images must be at least {least} or 'all'"
            raise ValueError(f"{rule}, got {self.real_images}")
        return self

    def real_count(self, available: int) -> int:
        """The number of real images that are used, of those available.

        A share is rounded to a whole number, and to at least one.
        """
        if self.real_images == "all":
            return available
        if isinstance(self.real_images, float):
            return max(1, round(self.real_images * available))
        return int(self.real_images)

    @property
    def shares(self) -> dict[str, float]:
        """The share of each source in all images of a training; "real" first. They sum to 1."""
        parts = self.parts or dict.fromkeys(self.sources, 1.0)
        total = sum(parts.values())  # 1, but for rounding, which a million images would show
        shares = {REAL: 1 - self.synthetic}
        for name in self.sources:
            shares[name] = self.synthetic * (parts.get(name, 0.0) / total)
        return shares

    @property
    def others_photos(self) -> list[str]:
        """Names of the sources that are other photos and have a share."""
        shares = self.shares
        photos = [name for name, source in self.sources.items() if isinstance(source, Photos)]
        return [name for name in photos if shares[name] > 0]

    def parts_without_photos(self) -> dict[str, float]:
        """The parts of the synthetic share when other photos have none; {} if all are photos.

        The other sources keep their parts in proportion; if these are 0, they are even.
        """
        kept = [name for name, source in self.sources.items() if not isinstance(source, Photos)]
        if not kept:
            return {}
        parts = {name: self.parts.get(name, 0.0) for name in kept}
        if not any(parts.values()):
            parts = dict.fromkeys(kept, 1.0)
        total = sum(parts.values())
        return {name: parts.get(name, 0.0) / total for name in self.sources}


def _decided_share(fields: Mapping[str, Any]) -> float | None:
    """The synthetic share that the fields of a mix leave no choice about; None if they do."""
    schedule, switch_at = fields.get("schedule"), fields.get("switch_at")
    if schedule == "real_only":
        return 0.0
    if schedule == "synthetic_only" or fields.get("real_images") == 0:
        return 1.0
    return switch_at if schedule == "staged" else None
