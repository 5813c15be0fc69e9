"""Published milliseconds on a Raspberry Pi, 64 bit, through XNNPACK: what quant.speed is fitted to.

Sources: X, the table in XNNPACK's README (4 threads); N, github.com/NobuoTsukamoto/benchmarks, TensorFlow Lite 2.18's
benchmark_model, mean of 50 (tensorflow/lite/efficentdet/results, revision 339f3bd); A, Arm's model cards on Hugging
Face, ExecuTorch with XNNPACK, read 2026-11-29; their number of threads is taken to be 4.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """One figure; `family` names relatives, which are left out of a fit together."""

    board: str
    int8: bool
    network: str
    threads: int
    ms: float
    source: str

    @property
    def family(self) -> str:
        """The part of the name that relatives share."""
        return self.network.split("-lite")[0]


def _row(board: str, kind: str, network: str, source: str, **ms: float) -> list[Published]:
    return [
        Published(
            board=board, int8=kind == "int8", network=network, threads=int(t[1:]), ms=value, source=source
        )
        for t, value in ms.items()
    ]


FIGURES = [
    *_row("pi4", "float32", "MobileNet v1", "X", t4=77),
    *_row("pi4", "float32", "MobileNet v2", "X", t4=46),
    *_row("pi4", "float32", "MobileNet v3 Large", "X", t4=40),
    *_row("pi4", "float32", "MobileNet v3 Small", "X", t4=15),
    *_row("pi4", "int8", "MobileNet v1", "X", t4=24),
    *_row("pi4", "int8", "MobileNet v2", "X", t4=17),
    *_row("pi4", "float32", "EfficientDet-lite0", "N", t1=328.7, t2=210.2, t3=182.0, t4=175.8),
    *_row("pi4", "float32", "EfficientDet-lite1", "N", t1=648.1, t2=399.6, t3=341.4, t4=330.9),
    *_row("pi4", "float32", "EfficientDet-lite2", "N", t1=1048.8, t2=649.2, t3=552.8),
    *_row("pi4", "int8", "EfficientDet-lite0", "N", t1=197.8, t2=117.0, t3=90.8, t4=78.0),
    *_row("pi4", "int8", "EfficientDet-lite1", "N", t1=372.3, t2=213.3, t3=161.7, t4=138.3),
    *_row("pi4", "int8", "EfficientDet-lite2", "N", t1=601.7, t2=339.0, t3=252.5),
    *_row("pi5", "float32", "EfficientDet-lite0", "N", t1=104.3, t2=72.9, t3=64.3, t4=62.2),
    *_row("pi5", "float32", "EfficientDet-lite1", "N", t1=199.0, t2=135.6, t3=120.6, t4=114.6),
    *_row("pi5", "float32", "EfficientDet-lite2", "N", t1=328.9, t2=220.2),
    *_row("pi5", "int8", "EfficientDet-lite0", "N", t1=44.9, t2=29.3, t3=24.8, t4=22.9),
    *_row("pi5", "int8", "EfficientDet-lite1", "N", t1=81.6, t2=52.6, t3=42.9, t4=39.7),
    *_row("pi5", "int8", "EfficientDet-lite2", "N", t1=123.8, t2=77.0, t3=62.5),
    *_row("pi5", "int8", "ResNet-50", "A", t4=20.6),
    *_row("pi5", "int8", "GoogLeNet", "A", t4=25.3),
    *_row("pi5", "int8", "SqueezeNet 1.0", "A", t4=5.1),
]
