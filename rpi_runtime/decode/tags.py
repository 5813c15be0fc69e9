"""Turn heatmaps and tags (associative embedding) into people in image coordinates."""

from __future__ import annotations

import threading
from collections.abc import Mapping

import numpy as np

from cython_ext.specs import Floats, Groups, Stored, TagRules
from rpi_runtime.decode.exclusive import exclusive
from rpi_runtime.decode.maps import FLOAT, partners, single
from rpi_runtime.decode.mode import Mode, checked_mode
from rpi_runtime.decode.settings import settings_of
from rpi_runtime.errors import DependencyError, InputError
from rpi_runtime.model.card import ModelCard, OutputSpec
from rpi_runtime.model.decoders import TagSettings
from rpi_runtime.model.inference import NetworkOutputs, Quantization
from rpi_runtime.poses import Pose
from rpi_runtime.preprocess.letterbox import Transform

try:
    from cython_ext.tags import PlaneResizer, TagGrouper, Unpacker
except ImportError as err:
    raise DependencyError(str(err)) from err

ByName = Mapping[str, Stored]  # by the name of the output


class TagDecoder:
    """The decoder of one model: it turns maps into poses in image pixels and keeps its buffers between frames.

    Parameters
    ----------
    card : ModelCard
    mode : {"fast", "exact"}
        "exact": maps enlarged to the network's input, every group a person, every keypoint looked up, as the
        papers evaluate. "fast": maps of the finest stride; a keypoint that a person lacks must reach the card's
        threshold, and a person the card's least number of keypoints and score.
    settings : TagSettings, optional
        Instead of the card's: ``dataclasses.replace(card.decoder, tag_threshold=0.8)``.

    Raises
    ------
    CardError
        The card is of another kind of network.

    Notes
    -----
    Heatmaps of all strides are enlarged to the finest and averaged; tags of all strides make one vector, read
    between cells where their maps are coarser. One decoder serves one thread.
    """

    def __init__(self, card: ModelCard, mode: Mode = "fast", *, settings: TagSettings | None = None) -> None:
        self._mode = checked_mode(mode)
        self.lock = threading.Lock()
        self.settings = settings if settings is not None else settings_of(card, TagSettings, "tags")
        self._keypoints = len(card.skeleton.keypoints)
        self._outputs = *card.outputs_of("heatmaps"), *card.outputs_of("tags")
        size = card.input.height, card.input.width
        fine = _size(card, card.outputs_of("heatmaps")[-1])
        exact = self._mode == "exact"
        self._group = TagGrouper(tag_rules(card, mode, self.settings))
        self._merge = _Merge(card, fine, self.settings, keep_tags=not exact)
        self._project = PlaneResizer(fine, size) if exact else None
        self._heatmaps = np.empty((self._keypoints, *(size if exact else fine)), np.float32)
        self._cell = np.array(
            [size[1] / self._heatmaps.shape[2], size[0] / self._heatmaps.shape[1]], np.float32
        )

    @exclusive
    def decode(
        self,
        outputs: ByName,
        transform: Transform,
        quantization: Mapping[str, Quantization] | None = None,
        *,
        flipped: ByName | None = None,
    ) -> tuple[Pose, ...]:
        """Group one frame's maps into people.

        Parameters
        ----------
        outputs : mapping of str to ndarray, shape (H, W, C) or (1, H, W, C), float32 or int8
            Maps by the outputs' names; views as the interpreter gives them; read, not kept.
        transform : Transform
            Transform of the frame, from `rpi_runtime.preprocess.letterbox.Preprocessor`.
        quantization : mapping of str to Quantization, optional
            Quantization of int8 maps; without it maps are float.
        flipped : mapping, optional
            The same outputs for the mirrored network input: heatmaps are averaged, tags compared side by side.

        Returns
        -------
        tuple of Pose
            In image pixels, in the order in which people were opened.

        Raises
        ------
        InputError
            The maps have a wrong shape or type, or a scale is not above 0.
        """
        try:
            heatmaps, tags = self._merge(outputs, quantization or {}, flipped)
            if self._project is not None:
                self._project(heatmaps, self._heatmaps)
                heatmaps = self._heatmaps
            groups = self._group(heatmaps, tags)
        except (ValueError, TypeError, KeyError) as err:
            raise InputError(f"cannot decode: {err}") from err
        return self._poses(groups, transform)

    def read(self, model: NetworkOutputs, transform: Transform) -> tuple[Pose, ...]:
        """Decode what `model` computed last."""
        maps = {o.name: model.output(o.role, o.stride) for o in self._outputs}
        scales = {o.name: model.quantization(o.role, o.stride) for o in self._outputs}
        return self.decode(maps, transform, scales)

    def _poses(self, groups: Groups, transform: Transform) -> tuple[Pose, ...]:
        keypoints = groups.points.copy()
        keypoints[..., :2] = transform.to_image(groups.points[..., :2] * self._cell)
        keypoints[groups.points[..., 2] <= 0] = 0
        kept = np.ones(len(keypoints), bool)
        if self._mode == "fast":
            kept = (groups.count >= self.settings.min_keypoints) & (groups.score >= self.settings.min_score)
        rows = np.flatnonzero(kept)
        return tuple(Pose(keypoints=keypoints[i], score=float(groups.score[i])) for i in rows)


class _Merge:
    """Merges the maps of all outputs into one set of heatmap planes and one of tag planes.

    Tags stay at their own size where all outputs have the same (`keep_tags`), else they get that of the heatmaps.
    """

    def __init__(self, card: ModelCard, fine: tuple[int, int], spec: TagSettings, *, keep_tags: bool) -> None:
        self._keypoints = len(card.skeleton.keypoints)
        self._heat, self._tag = card.outputs_of("heatmaps"), card.outputs_of("tags")
        sizes = {o.name: _size(card, o) for o in (*self._heat, *self._tag)}
        mirror = partners(spec.flip_pairs, self._keypoints)
        self._unpack = {name: Unpacker(self._keypoints, mirror) for name in sizes}
        self._planes = {name: np.empty((self._keypoints, *size), np.float32) for name, size in sizes.items()}
        self._enlarge = {name: PlaneResizer(size, fine) for name, size in sizes.items() if size != fine}
        self._large = np.empty((self._keypoints, *fine), np.float32)
        self._sum = np.empty((self._keypoints, *fine), np.float32)
        own = {sizes[o.name] for o in self._tag}
        self._own_size = keep_tags and len(own) == 1
        self._tag_size = own.pop() if self._own_size else fine
        self._tags = np.empty((0, self._keypoints, *self._tag_size), np.float32)

    def __call__(
        self, outputs: ByName, quantization: Mapping[str, Quantization], flipped: ByName | None
    ) -> tuple[Floats, Floats]:
        """Return heatmaps (K, H, W) and tags (T, K, h, w): memory that the next call overwrites."""
        sets = [(outputs, False)] + ([(flipped, True)] if flipped is not None else [])
        if len(self._tags) != len(sets) * len(self._tag):
            self._tags = np.empty((len(sets) * len(self._tag), *self._tags.shape[1:]), np.float32)
        row = 0
        for maps, mirrored in sets:
            for output in self._heat:
                planes = self._read(output, maps, quantization, mirrored)
                if not mirrored and output is self._heat[0]:
                    self._fit(output, planes, self._sum)
                else:
                    np.add(self._sum, self._fitted(output, planes), out=self._sum)
            for output in self._tag:
                planes = self._read(output, maps, quantization, mirrored)
                if self._own_size:
                    np.copyto(self._tags[row], planes)
                else:
                    self._fit(output, planes, self._tags[row])
                row += 1
        np.multiply(self._sum, np.float32(1 / (len(sets) * len(self._heat))), out=self._sum)
        return self._sum, self._tags

    def _read(
        self, output: OutputSpec, maps: ByName, quantization: Mapping[str, Quantization], mirrored: bool
    ) -> Floats:
        planes, quant = self._planes[output.name], quantization.get(output.name, FLOAT)
        stored = single(maps[output.name])
        self._unpack[output.name](stored, planes, quant.scale, quant.zero_point, mirrored=mirrored)
        return planes

    def _fit(self, output: OutputSpec, planes: Floats, out: Floats) -> None:
        """Write the planes at the finest stride into `out`."""
        if output.name in self._enlarge:
            self._enlarge[output.name](planes, out)
        else:
            np.copyto(out, planes)

    def _fitted(self, output: OutputSpec, planes: Floats) -> Floats:
        """Return the planes at the finest stride, unchanged if they have it already."""
        if output.name not in self._enlarge:
            return planes
        self._fit(output, planes, self._large)
        return self._large


def tag_rules(card: ModelCard, mode: Mode, settings: TagSettings | None = None) -> TagRules:
    """Return the kernel's rules."""
    spec = settings if settings is not None else settings_of(card, TagSettings, "tags")
    return TagRules(
        keypoints=len(card.skeleton.keypoints),
        peak_threshold=spec.peak_threshold,
        tag_threshold=spec.tag_threshold,
        max_people=spec.max_people,
        joint_order=spec.joint_order,
        nms_size=spec.nms_size,
        adjust=spec.adjust,
        refine=spec.refine,
        refine_least=-np.inf if mode == "exact" else spec.peak_threshold,
    )


def _size(card: ModelCard, output: OutputSpec) -> tuple[int, int]:
    return -(-card.input.height // output.stride), -(-card.input.width // output.stride)
