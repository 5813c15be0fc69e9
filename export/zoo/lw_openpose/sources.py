"""Where trained weights of Lightweight OpenPose are published."""

from __future__ import annotations

from export.weights.download import PublishedWeights, RemoteFile

_OMZ = "https://storage.openvinotoolkit.org/repositories/open_model_zoo/2023.0/models_bin/1/human-pose-estimation-0001/FP32/"
_OSOKIN = "https://download.01.org/opencv/openvino_training_extensions/models/human_pose_estimation/"

SOURCES = {
    "omz": PublishedWeights(
        files=(
            RemoteFile(
                url=_OMZ + "human-pose-estimation-0001.xml",
                size=152_120,
                checksum="sha384:64e24ceca496aba4fb818edbea7c3a1405bc42c3166eac1b4be4f6cc89623c80cb9a1fd4c32d245d423653aa588e1a0b",
                path="omz-2023.0/human-pose-estimation-0001.xml",
            ),
            RemoteFile(
                url=_OMZ + "human-pose-estimation-0001.bin",
                size=16_394_708,
                checksum="sha384:64ef06d261ae522409172a396d927f7345525dbde011e3e2bff487f73e7b1d8cf622091feba9c23c7d4625c0aab0a3e5",
                path="omz-2023.0/human-pose-estimation-0001.bin",
            ),
        ),
        licence="Apache-2.0",
        summary="Open Model Zoo 2023.0, FP32, 16 MB; published AP 42.8",
    ),
    "osokin": PublishedWeights(
        files=(
            RemoteFile(
                url=_OSOKIN + "checkpoint_iter_370000.pth",
                size=0,
                checksum="git:501cface3fb9e929daecb04ec9722d3af91b6c20",
                path="osokin/checkpoint_iter_370000.pth",
            ),
        ),
        licence="Apache-2.0",
        summary="the original repository's checkpoint; published AP 40",
    ),
}
