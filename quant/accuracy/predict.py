"""Predict the people on one image in COCO's result format, by the kind of decoder, with or without a flip test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from quant.accuracy.boxes import Boxes
from rpi_runtime.decode.choose import crop_decoder_for, decoder_for
from rpi_runtime.decode.crops import crop_settings, select_people
from rpi_runtime.decode.mode import Mode
from rpi_runtime.decode.paf import PafDecoder, PafOptions
from rpi_runtime.decode.tags import TagDecoder
from rpi_runtime.decode.topdown import TopdownDecoder
from rpi_runtime.errors import CardError, UsageError
from rpi_runtime.estimate import Estimator
from rpi_runtime.evaluate.coco import CocoImage
from rpi_runtime.evaluate.coco_pose import box_detection, detection
from rpi_runtime.evaluate.run import confidence
from rpi_runtime.model.card import ModelCard, OutputSpec
from rpi_runtime.model.decoders import PafSettings, TagSettings
from rpi_runtime.model.inference import Inference
from rpi_runtime.model.interpreter import Model
from rpi_runtime.poses import Image, Pose
from rpi_runtime.preprocess.crop import CropWriter, coco_shift, crop_transform
from rpi_runtime.preprocess.letterbox import Preprocessor, Transform

PAF_DECODING = {
    "fast": PafOptions(),
    "exact": PafOptions(mode="exact", upsample=8),
    "fast-score": PafOptions(suppression="score"),
    "fast-merge": PafOptions(merge=True),
    "exact4": PafOptions(mode="exact", upsample=4),
    "exact8": PafOptions(mode="exact", upsample=8),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Procedure:
    """How networks are tested.

    Attributes
    ----------
    decode : str
        A key of `PAF_DECODING`. Empty: the runtime's decoding for PAFs, the papers' for tags and crops. The latter two
        support "fast" and "exact" only.
    flip : bool
        Whether to average with the outputs for the mirrored input. Not for PAFs.
    boxes : Boxes or None
        Where people are, for networks of crops.
    refine : str
        Path of the .tflite that refines the people found, each on a crop; empty for none.
    """

    decode: str = ""
    flip: bool = False
    boxes: Boxes | None = None
    refine: str = ""

    def mode(self, card: ModelCard) -> Mode:
        """How tags and crops are decoded; raises `UsageError` for a way that only PAFs have."""
        if self.decode in ("", "exact"):
            return "exact"
        if self.decode == "fast":
            return "fast"
        raise UsageError(
            f"decode {self.decode!r} with {card.name}, whose decoder is {card.decoder.kind!r}: expected fast or exact"
        )

    def describe(self, card: ModelCard) -> str:
        """Return the procedure for a table."""
        if self.refine:
            return f"refined by {Path(self.refine).stem}, {self.decode or 'exact'}"
        if isinstance(card.decoder, PafSettings):
            return self.decode or "fast"
        if card.decoder.kind == "boxes":
            return "boxes"
        parts = [self.mode(card), *(["flip"] if self.flip else [])]
        if card.sees_crops and self.boxes is not None:
            parts.append(f"boxes {self.boxes.source}")
        return ", ".join(parts)


class Predict(Protocol):
    """Predicts the people of one image."""

    def __call__(self, image: CocoImage, frame: Image) -> list[dict[str, Any]]:
        """Return detections in COCO's result format."""


def predictor(model: Inference, procedure: Procedure) -> Predict:
    """Return the predictor of a model.

    Raises
    ------
    CardError
        The skeleton is not COCO's, or the card does not say which keypoints a mirror swaps.
    UsageError
        The procedure is for another kind of network, or lacks boxes.
    """
    card = model.card
    if procedure.refine:
        if not isinstance(model, Model):
            raise UsageError(f"{model.path}: a pair needs two .tflite files")
        return _Pair(model, procedure)
    if card.decoder.kind == "boxes":
        if procedure.flip or procedure.decode == "fast":
            raise UsageError(f"{model.path}: boxes are decoded in one way, without a flip test; leave it out")
        return _Boxes(model)
    if not card.skeleton.coco:
        raise CardError(f"{model.path}: its skeleton names no COCO keypoints, so COCO cannot score it")
    if isinstance(card.decoder, PafSettings):
        return _Paf(model, procedure)
    if procedure.flip and not getattr(card.decoder, "flip_pairs", ()):
        raise CardError(f"{model.path}: its card names no flip_pairs, so there is no flip test")
    if isinstance(card.decoder, TagSettings):
        return _Tags(model, procedure)
    return _Crops(model, procedure) if card.sees_crops else _Whole(model, procedure)


class _Boxes:
    """A detector of people, scored by its boxes."""

    def __init__(self, model: Inference) -> None:
        self._model, self._prepare = model, Preprocessor(model.card.input)
        self._decode = decoder_for(model.card, "exact")

    def __call__(self, image: CocoImage, frame: Image) -> list[dict[str, Any]]:
        transform = self._prepare(frame, self._model.input)
        self._model.invoke()
        return [box_detection(image.id, pose) for pose in self._decode.read(self._model, transform)]


class _Paf:
    """Scored as Lightweight OpenPose does: by the person's score and its keypoints."""

    def __init__(self, model: Inference, procedure: Procedure) -> None:
        if procedure.flip:
            raise UsageError(f"{model.path}: a flip test of a network with PAFs is not offered; leave it out")
        self._model, self._prepare = model, Preprocessor(model.card.input)
        self._decode = PafDecoder(model.card, PAF_DECODING[procedure.decode or "fast"])

    def __call__(self, image: CocoImage, frame: Image) -> list[dict[str, Any]]:
        transform = self._prepare(frame, self._model.input)
        self._model.invoke()
        poses = self._decode.read(self._model, transform)
        skeleton = self._model.card.skeleton
        return [detection(image.id, p, skeleton, p.score * max(0, int(p.found.sum()) - 1)) for p in poses]


class _Tags:
    """Scored as HigherHRNet and EfficientHRNet do: by the mean of the keypoints' values."""

    def __init__(self, model: Inference, procedure: Procedure) -> None:
        self._model, self._prepare = model, Preprocessor(model.card.input)
        self._decode = TagDecoder(model.card, procedure.mode(model.card))
        self._flip = procedure.flip
        outputs = (*model.card.outputs_of("heatmaps"), *model.card.outputs_of("tags"))
        self._scales = {o.name: model.quantization(o.role, o.stride) for o in outputs}
        self._outputs = outputs

    def __call__(self, image: CocoImage, frame: Image) -> list[dict[str, Any]]:
        model = self._model
        transform = self._prepare(frame, model.input)
        maps, flipped = infer(model, self._outputs, flip=self._flip)
        poses = self._decode.decode(maps, transform, self._scales, flipped=flipped)
        return [detection(image.id, pose, model.card.skeleton, pose.score) for pose in poses]


class _Whole:
    """Detectors with keypoints and networks with centres, scored as published: by the person's score."""

    def __init__(self, model: Inference, procedure: Procedure) -> None:
        if procedure.flip:
            raise UsageError(
                f"{model.path}: a flip test of {model.card.decoder.kind!r} is not offered; leave it out"
            )
        self._model, self._prepare = model, Preprocessor(model.card.input)
        self._decode = decoder_for(model.card, procedure.mode(model.card))

    def __call__(self, image: CocoImage, frame: Image) -> list[dict[str, Any]]:
        transform = self._prepare(frame, self._model.input)
        self._model.invoke()
        poses = self._decode.read(self._model, transform)
        return [detection(image.id, pose, self._model.card.skeleton, pose.score) for pose in poses]


class _Pair:
    """A finder and a network of crops, by the runtime's own cascade: everybody is refined, however long it takes."""

    def __init__(self, model: Model, procedure: Procedure) -> None:
        from rpi_runtime.cascade.cascade import open_cascade
        from rpi_runtime.cascade.spec import RefineConfig

        if procedure.flip or procedure.decode not in ("", "fast", "exact"):
            raise UsageError(f"{procedure.refine}: a pair is decoded fast or exact, without a flip test")
        config = RefineConfig(model=procedure.refine, budget_ms=0, look_every=1)
        cascade = open_cascade(
            config,
            model.card.skeleton,
            threads=model.threads,
            mode="fast" if procedure.decode == "fast" else "exact",
        )
        if not cascade.skeleton.coco:
            raise CardError(
                f"{procedure.refine}: its skeleton names no COCO keypoints, so COCO cannot score it"
            )
        self._estimator, self._finder = Estimator([model], track=False, cascade=cascade), model.card
        self._number = 0

    def __call__(self, image: CocoImage, frame: Image) -> list[dict[str, Any]]:
        self._number += 1
        tracks = self._estimator(frame, self._number).tracks
        return [
            detection(image.id, t.pose, self._estimator.skeleton, confidence(t.pose, self._finder))
            for t in tracks
            if t.pose.found.any()
        ]


class _Crops:
    """Scored as HRNet, LPN and HWL do: box score times keypoint values, similar people suppressed."""

    def __init__(self, model: Inference, procedure: Procedure) -> None:
        if procedure.boxes is None:
            raise UsageError(
                f"{model.path}: sees crops of single people; say where they are with --boxes gt or --boxes FILE.json"
            )
        card = model.card
        self._settings = crop_settings(card)
        self._model, self._boxes, self._flip = model, procedure.boxes, procedure.flip
        self._write = CropWriter(card.input, self._settings)
        self._decode = crop_decoder_for(card, procedure.mode(card))
        if self._flip and not isinstance(self._decode, TopdownDecoder):
            raise UsageError(
                f"{model.path}: a flip test of {card.decoder.kind!r} is not offered; leave it out"
            )
        self._shift = coco_shift(self._settings)

    def __call__(self, image: CocoImage, frame: Image) -> list[dict[str, Any]]:
        boxes = self._boxes.of(image.id)
        card = self._model.card
        transforms = [crop_transform(b.xywh, card.input, self._settings) for b in boxes]
        poses = [self._pose(frame, t, b.score) for t, b in zip(transforms, boxes, strict=True)]
        kept = [poses[i] for i in select_people(card, poses, transforms)]
        return [detection(image.id, pose, card.skeleton, pose.score, shift=self._shift) for pose in kept]

    def _pose(self, frame: Image, transform: Transform, score: float) -> Pose:
        model, decode = self._model, self._decode
        self._write(frame, transform, model.input)
        if not (self._flip and isinstance(decode, TopdownDecoder)):
            model.invoke()
            return decode.read(model, transform, box_score=score)
        maps, flipped = infer(model, (model.card.output("heatmaps"),), flip=True)
        assert flipped is not None
        (heatmaps,), (mirrored,) = maps.values(), flipped.values()
        scale = model.quantization("heatmaps")
        return decode.decode(heatmaps, transform, scale, box_score=score, flipped=mirrored)


def infer(
    model: Inference, outputs: Sequence[OutputSpec], *, flip: bool
) -> tuple[Mapping[str, NDArray[Any]], Mapping[str, NDArray[Any]] | None]:
    """Run the prepared input and, for a flip test, its mirror image; return the outputs by name."""
    mirrored = model.input[:, :, ::-1].copy() if flip else None
    model.invoke()
    plain = {o.name: model.output(o.role, o.stride) for o in outputs}
    if mirrored is None:
        return plain, None
    plain = {name: maps.copy() for name, maps in plain.items()}
    model.input[:] = mirrored
    model.invoke()
    return plain, {o.name: model.output(o.role, o.stride) for o in outputs}
