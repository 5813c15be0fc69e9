"""How the kernels are built: no Python in loops, nothing allocated, indices checked in the checked build."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.cython_ext.conftest import PACKAGE
from tests.cython_ext.openpose import KEYPOINTS, RULES

DIRECTIVES = "boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False"
SOURCES = sorted(path.name for path in PACKAGE.glob("_*.pyx"))
ANNOTATED = re.compile(r'class="cython line score-(\d+)".*?<span class="">(\d+)</span>')

COUNTER = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>
static long calls;
long allocations(void) { return calls; }
extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
void *malloc(size_t n) { calls++; return __libc_malloc(n); }
void *calloc(size_t m, size_t n) { calls++; return __libc_calloc(m, n); }
void *realloc(void *p, size_t n) { calls++; return __libc_realloc(p, n); }
int posix_memalign(void **p, size_t a, size_t n) {
    static int (*real)(void **, size_t, size_t);
    if (!real) real = dlsym(RTLD_NEXT, "posix_memalign");
    calls++;
    return real(p, a, n);
}
"""

STEADY = """
import ctypes, sys, tracemalloc
sys.path.insert(0, sys.argv[1])
import numpy as np
from cython_ext.heatmaps import PeakFinder
from cython_ext.paf import Grouper
from cython_ext.specs import PeakRules
from tests.cython_ext.openpose import KEYPOINTS, RULES, crowd, quantize
count = ctypes.CDLL(None).allocations
count.restype = ctypes.c_long
start = count()
np.empty(1 << 20)
assert count() > start, "the counter does not count"
maps, pafs = crowd(12)
for upsample in (0, 4, 8):
    for scale in (0.0, 1 / 100):
        heatmaps, fields = (quantize(m, scale, 0) if scale else m for m in (maps, pafs))
        find = PeakFinder(PeakRules(keypoints=KEYPOINTS, upsample=upsample))
        group = Grouper(KEYPOINTS, RULES, upsample)
        def frames(n):
            for _ in range(n):
                people = group(find(heatmaps, scale), fields, scale)
            return len(people.score)
        assert frames(20) >= 10
        before = count()
        frames(100)
        calls = count() - before
        tracemalloc.start()
        frames(20)
        before = tracemalloc.take_snapshot()
        frames(100)
        numpy_data = [tracemalloc.DomainFilter(True, np.lib.tracemalloc_domain)]
        grown = tracemalloc.take_snapshot().filter_traces(numpy_data).compare_to(
            before.filter_traces(numpy_data), "filename")
        tracemalloc.stop()
        print(upsample, scale, calls, sum(s.size_diff for s in grown))
"""


STEADY_ZOO = """
import ctypes, sys
sys.path.insert(0, sys.argv[1])
import numpy as np
from cython_ext.specs import PointRules, TagRules
from cython_ext.tags import PlaneResizer, TagGrouper, Unpacker
from cython_ext.topdown import PointFinder
from tests.cython_ext.openpose import quantize
from tests.cython_ext.tagged import crowd
count = ctypes.CDLL(None).allocations
count.restype = ctypes.c_long
planes, tags, _ = crowd(6, 1)
maps = np.ascontiguousarray(planes.transpose(1, 2, 0))
large = np.empty((17, 64, 96), np.float32)
for scale in (0.0, 1 / 100):
    stored = quantize(maps, scale, 0) if scale else maps
    unpack, enlarge, group = Unpacker(17), PlaneResizer((32, 48), (64, 96)), TagGrouper(TagRules(keypoints=17))
    finders = [PointFinder(PointRules(keypoints=17, beta=beta)) for beta in (0, 160)]
    def frames(n):
        for _ in range(n):
            unpack(stored, planes, scale)
            enlarge(planes, large)
            people = group(large, tags)
            for find in finders:
                find(stored, scale)
                find(stored, scale, flipped=stored)
        return len(people.score)
    assert frames(20) >= 5
    before = count()
    frames(100)
    print(count() - before)
"""


@pytest.mark.parametrize("name", SOURCES)
def test_directives_stand_at_the_head(name: str) -> None:
    first = (PACKAGE / name).read_text().splitlines()[0]
    assert first == f"# cython: language_level=3, {DIRECTIVES}"


@pytest.mark.parametrize("name", SOURCES)
def test_no_python_in_loops(name: str, tmp_path: Path) -> None:
    """`cython -a` marks no line of a function or block without the interpreter's lock."""
    pytest.importorskip("Cython", reason="annotation needs Cython: pip install cython")
    command = [sys.executable, "-m", "cython", "-3", "-a", PACKAGE / name, "-o", tmp_path / "kernel.c"]
    subprocess.run(command, check=True, capture_output=True, cwd=PACKAGE.parent)
    annotated = (tmp_path / "kernel.html").read_text()
    scores = {int(line): int(score) for score, line in ANNOTATED.findall(annotated)}
    lines = (PACKAGE / name).read_text().splitlines()
    without_lock = lines_without_lock(lines)
    assert len(without_lock) > 30
    yellow = [f"{n}: {lines[n - 1]}" for n in without_lock if scores.get(n, 0) > 0]
    assert yellow == []


def lines_without_lock(lines: list[str]) -> list[int]:
    """Numbers of the lines in `nogil` functions and, below their first line, in `with nogil` blocks."""
    found, indent, header = [], -1, ""
    for number, line in enumerate(lines, 1):
        depth = len(line) - len(line.lstrip())
        if line.strip() and depth <= indent and not line.startswith(")"):
            indent = -1
        if depth == 0 and line.startswith("cdef "):
            header = line
        elif header:
            header += line
        if header.rstrip().endswith((":", "nogil")):
            if header.rstrip().endswith("nogil:"):
                indent = 0
            header = ""
        elif line.strip() == "with nogil:":
            indent = depth
            continue
        if indent >= 0:
            found.append(number)
    return found


def test_nothing_is_allocated_in_the_steady_state(tmp_path: Path) -> None:
    """A hundred calls make no call of the C allocator and keep no array memory, in every mode."""
    if sys.platform != "linux" or shutil.which("cc") is None:
        pytest.skip("counting allocations needs Linux and a C compiler")
    (tmp_path / "counter.c").write_text(COUNTER)
    library = tmp_path / "counter.so"
    subprocess.run(
        ["cc", "-shared", "-fPIC", "-O1", "-o", library, tmp_path / "counter.c", "-ldl"], check=True
    )
    environment = {"LD_PRELOAD": str(library), "PATH": "/usr/bin:/bin"}
    printed = []
    for script in (STEADY, STEADY_ZOO):
        command = [sys.executable, "-c", script, PACKAGE.parent]
        run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stderr
        printed.append([line.split() for line in run.stdout.splitlines()])
    pafs, zoo = printed
    assert len(pafs) == 6
    assert [line[2:] for line in pafs] == [["0", "0"]] * 6
    assert zoo == [["0"]] * 2


def test_checked_build_catches_an_index_out_of_bounds(
    checked_build: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(checked_build))
    from checked_ext import _paf  # type: ignore[import-not-found]

    caught: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda problem: caught.append(problem.exc_type))
    buffers = _paf.GroupBuffers(KEYPOINTS, RULES.table(), None, RULES)
    starts = np.arange(KEYPOINTS + 1, dtype=np.int32)  # one peak of each type, but there is one altogether
    _paf.group["float"](buffers, np.zeros((1, 3), np.float32), starts, np.zeros((2, 2, 38), np.float32))
    assert IndexError in caught


@pytest.mark.parametrize(
    ("name", "module"),
    [("heatmaps", "_heatmaps"), ("paf", "_paf"), ("tags", "_planes"), ("topdown", "_topdown")],
)
def test_a_missing_build_says_how_to_make_it(name: str, module: str, tmp_path: Path) -> None:
    shutil.copytree(PACKAGE, tmp_path / "cython_ext", ignore=shutil.ignore_patterns("*.so", "*.c"))
    # an editable installation finds the built modules wherever the package is imported from
    apart = "import sys; sys.meta_path[:] = [f for f in sys.meta_path if 'editable' not in f.__module__]"
    command = [sys.executable, "-c", f"{apart}; import cython_ext.{name}"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode != 0
    assert f"{sys.executable} -m pip install" in run.stderr.splitlines()[-1]
    assert f"No module named 'cython_ext.{module}'" in run.stderr
