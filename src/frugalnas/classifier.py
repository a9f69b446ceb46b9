"""A classifier with scikit-learn's manners: `fit` searches, trains and keeps the model. Needs no scikit-learn."""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from frugalnas import config
from frugalnas import fit as whole
from frugalnas.core import InputError, Trial, nearest
from frugalnas.model import Model
from frugalnas.record import load
from frugalnas.tasks.arrays import to_pixels
from frugalnas.tasks.data import DataSource
from frugalnas.tasks.images import Pixels, resized
from frugalnas.tasks.labelled import load_labelled
from frugalnas.tasks.unlabelled import batches, listed


@dataclass(eq=False)
class FrugalClassifier:
    """Images in, classes out: `FrugalClassifier(minutes=30, limits={"params": 200_000}).fit(X, y).predict(X_new)`.

    The arguments are those of `frugalnas fit`. `minutes` of wall time for everything; for the same model every time
    give `trials` and `epochs` instead, and minutes=None. `limits`: the most that a network may cost, by name. `pick`:
    which network of the front is trained. `settings`: trees laid over the preset, as for `frugalnas.search`.
    `validation`: the share of the images that only rates. `resolution`: side of the images in pixels, 0 as they are.
    `out`: a new folder to keep every file in; an interrupted fit of the same images goes on there.

    After `fit`: `classes_`, the labels in the order of the columns of `predict_proba`; `model_`, the
    `frugalnas.model.Model`; `front_`, the trials of the Pareto front; `metrics_`, what the training says of itself.

    In a script guard the call by `if __name__ == "__main__":`, as the workers of the search are spawned processes,
    which import the script. Raises InputError for anything wrong in arguments, images or labels.
    """

    minutes: float | None = 10.0
    limits: Mapping[str, float] | None = None
    trials: int | None = None
    epochs: int | None = None
    pick: str = "most-accurate"
    method: str = "eeea"
    preset: str | None = None
    settings: Sequence[Mapping[str, Any]] = ()
    recipe: str = "short"
    validation: float = 0.2
    resolution: int = 0
    workers: int | None = None
    seed: int = 0
    out: str | Path | None = None
    verbose: bool = False

    classes_: NDArray[Any] = field(init=False, repr=False)
    model_: Model = field(init=False, repr=False)
    front_: tuple[Trial, ...] = field(init=False, repr=False)
    metrics_: Mapping[str, Any] = field(init=False, repr=False)
    scale_: int | None = field(init=False, repr=False)  # that makes 0..255 of floating-point pixels, None: not known

    def fit(self, X: ArrayLike | str | Path, y: ArrayLike | None = None) -> FrugalClassifier:
        """Search, train and keep the model, for images X with labels y.

        X: (N, H, W), (N, H, W, C) or (N, C, H, W), integers in [0, 255] or floats in [0, 1] or [0, 255], with y (N,)
        of integers, texts or truth values; or without y a folder of images by class, an `.npz` file or a known name,
        as for `--data`.
        """
        with self._folder() as folder:
            if isinstance(X, str | Path):
                if y is not None:
                    raise InputError(f"y is given with {str(X)!r}, which has its own labels: expected y=None")
                source, classes, scale = str(X), None, None
            else:
                source, classes, scale = _saved(X, y, folder)
            fitted = whole.fit(self._plan(source), folder, whole.Watch(print) if self.verbose else whole.Watch())
            self.model_ = Model.load(folder / whole.MODEL)
            self.front_ = tuple(load(folder / whole.SEARCH).front)
        self.metrics_, self.scale_ = fitted.metrics, scale
        self.classes_ = np.array(self.model_.classes) if classes is None else classes
        return self

    def predict_proba(self, X: ArrayLike | str | Path) -> NDArray[np.float32]:
        """Probabilities (N, K), a column for each of `classes_`.

        X as in `fit`, or a file or folder of images without labels, sorted by their paths.
        """
        model = self._model()
        if isinstance(X, str | Path):
            return np.concatenate([model.probabilities(pixels) for pixels in _read(Path(X), model)])
        pixels = to_pixels(_whole_numbers(np.asarray(X), self.scale_), "X")
        return model.probabilities(resized(pixels, model.shape[1]))

    def predict(self, X: ArrayLike | str | Path) -> NDArray[Any]:
        """The likeliest of `classes_` for each image, (N,); X as for `predict_proba`."""
        best = self.predict_proba(X).argmax(axis=1)
        labels: NDArray[Any] = self.classes_[best]
        return labels

    def score(self, X: ArrayLike | str | Path, y: ArrayLike | None = None) -> float:
        """The share of the images X that get their class y; without y, X is labelled data as for `fit`.

        Of such data the test part counts or, where there is none, all.
        """
        if y is not None:
            return float(np.mean(self.predict(X) == np.asarray(y)))
        if not isinstance(X, str | Path):
            raise InputError("y is missing: expected a label for each image of X")
        model = self._model()
        channels, side, _ = model.shape
        _, images = load_labelled(DataSource(str(X), resolution=side), model.classes, channels)
        return float(np.mean(model.logits(images.pixels).argmax(axis=1) == images.labels))

    def save(self, path: str | Path) -> None:
        """Write the model, with the labels, as one `.safetensors` file."""
        model = self._model()
        kept = {"labels": self.classes_.tolist(), "scale": self.scale_}
        replace(model, notes={**model.notes, "classifier": kept}).save(Path(path))

    @staticmethod
    def load(path: str | Path) -> FrugalClassifier:
        """A fitted classifier from a file that `save` wrote, or from any model file or folder of a training.

        Raises InputError for any other.
        """
        loaded = FrugalClassifier()
        loaded.model_ = model = Model.load(path)
        kept = model.notes.get("classifier", {"labels": list(model.classes), "scale": None})
        try:
            labels, loaded.scale_ = kept["labels"], kept["scale"]
            if list(map(str, labels)) != list(model.classes) or loaded.scale_ not in (None, 1, 255):
                raise ValueError(f"labels {labels}, scale {loaded.scale_}")
            loaded.classes_ = np.array(labels)
        except (LookupError, TypeError, ValueError) as error:
            reason = " ".join(f"{error}".split())[:300]
            raise InputError(f"{path} was saved by no FrugalClassifier: {reason}") from None
        return loaded

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The arguments of the constructor by name; there is nothing nested that `deep` could add."""
        return {one.name: getattr(self, one.name) for one in fields(self) if one.init}

    def set_params(self, **params: Any) -> FrugalClassifier:
        """Change arguments of the constructor. Raises InputError for an unknown one."""
        known = self.get_params()
        for name, value in params.items():
            if name not in known:
                raise InputError(f"unknown parameter {name!r}: {nearest(name, [*known])}")
            setattr(self, name, value)
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return "model_" in vars(self)

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import ClassifierTags, InputTags, Tags, TargetTags  # which alone asks this

        takes = InputTags(two_d_array=False, three_d_array=True)
        return Tags("classifier", TargetTags(required=False), None, ClassifierTags(), None, input_tags=takes)

    def _model(self) -> Model:
        if not self.__sklearn_is_fitted__():
            raise InputError("this FrugalClassifier is not fitted: call fit first")
        return self.model_

    def _plan(self, source: str) -> whole.Plan:
        given = config.options(data=source, workers=self.workers, seed=self.seed)
        data = {"data": {"validation": self.validation, "resolution": self.resolution}}
        layers = [*self.settings, given, data, {"limits": dict(self.limits or {})}]
        return whole.plan(
            self.method,
            self.preset,
            layers=layers,
            minutes=self.minutes,
            trials=self.trials,
            epochs=self.epochs,
            recipe=self.recipe,
            pick=self.pick,
        )

    @contextmanager
    def _folder(self) -> Iterator[Path]:
        """Where the files of a fit are; a folder that is gone afterwards where the user has not named one."""
        if self.out is not None:
            Path(self.out).mkdir(parents=True, exist_ok=True)
            yield Path(self.out)
        else:
            with tempfile.TemporaryDirectory(prefix="frugalnas-") as folder:
                yield Path(folder)


def _saved(X: ArrayLike, y: ArrayLike | None, folder: Path) -> tuple[str, NDArray[Any], int | None]:
    """Images and labels in a file, which the workers read; its path, the classes and the scale of the pixels.

    The name says what is in the file, so that other images in the same folder are another fit.
    """
    if y is None:
        raise InputError("y is missing: expected a label for each image of X")
    array, labels = np.asarray(X), np.asarray(y)
    if labels.dtype == object and all(isinstance(label, str) for label in labels.flat):
        labels = labels.astype(str)
    if labels.dtype.kind not in "iubU" or labels.shape != array.shape[:1]:
        expected = f"expected integers, texts or truth values of shape {array.shape[:1]}"
        raise InputError(f"y is {labels.dtype} of shape {labels.shape}: {expected}")
    classes, codes = np.unique(labels, return_inverse=True)
    scale = None if array.dtype.kind != "f" else 255 if array.max(initial=0) <= 1 else 1
    pixels = to_pixels(array, "X")
    names = np.array([str(label) for label in classes])
    checksum = zlib.crc32(codes.tobytes(), zlib.crc32(pixels.data, zlib.crc32(names.tobytes())))
    path = folder / f"images-{checksum:08x}.npz"
    np.savez(path, x_train=pixels, y_train=codes, class_names=names)
    return str(path), classes, scale


def _whole_numbers(array: NDArray[Any], scale: int | None) -> NDArray[Any]:
    """Floating-point pixels in 0..255 as those in training were: by themselves dark images could be of either scale."""
    if array.dtype.kind != "f" or scale is None or not np.isfinite(array).all():
        return array
    scaled: NDArray[Any] = np.rint(array * scale).astype(np.int64)
    return scaled


def _read(path: Path, model: Model) -> Iterator[Pixels]:
    channels, side, _ = model.shape
    listing = listed([path])
    for batch in batches(listing.files, channels, side):
        if batch.skipped:
            raise InputError(f"{batch.skipped[0]}: without it the rows would not be those of the files")
        yield batch.pixels
