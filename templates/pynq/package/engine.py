"""The same network on this machine's processor alone: the CPU engine's C sources, compiled once.

The library lies in a cache folder, under a name made from sources and compiler, so a package of
another build or another compiler never finds it.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import re
import shlex
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .description import FOLDER, Description, load_description
from .errors import EngineError, whole_number
from .frames import Checker

__all__ = ["CpuEngine", "EngineError", "EngineTiming", "build_library", "is_compiled"]

SOURCES = FOLDER / "cpu"
COMPILERS = ("cc", "gcc", "clang")
# no fused multiply-add: the scores have the same bits on every processor
FLAGS = ("-std=c11", "-O3", "-ffp-contract=off", "-fPIC", "-shared")
# without it a 32-bit ARM compiler leaves NEON out; each board of the Zynq-7000 family has it
ARM_FLAGS = ("-mcpu=cortex-a9", "-mfpu=neon", "-mfloat-abi=hard", "-marm")
COMPILE_SECONDS = 600


@dataclass(frozen=True)
class EngineTiming:
    """What ``throughput_test`` measured on this processor, one thread, best of some repetitions.

    ``fps``: frames a second in a batch, from channels-last frames to scores.  ``latency_seconds``:
    one frame by itself.  ``path``: the instructions that the engine chose.
    """

    machine: str
    path: str
    frames: int
    fps: float
    latency_seconds: float

    def __str__(self) -> str:
        return (
            f"CPU engine ({self.machine}, path {self.path}, one thread): {self.fps:,.0f} frames a second, "
            f"{self.latency_seconds * 1e6:,.1f} us a single frame"
        )


class CpuEngine:
    """The network on this processor; frames, classes and scores as of ``Accelerator``, bit for bit.

    ``compiler``: a command with options, by default the first of cc, gcc and clang.  ``cache``:
    where the compiled library is kept, by default a folder of the user's.  Raises EngineError
    where there is no compiler or the sources do not compile.  Not for several threads at once.
    """

    def __init__(self, compiler: str | None = None, cache: Path | None = None) -> None:
        self._engine = ctypes.c_void_p()
        self._known: Description = load_description()
        self._checker = Checker(self._known)
        prefix = self._known.name
        self._check_header(SOURCES / f"{prefix}_engine.h")
        self._library = build_library(SOURCES, compiler, cache)
        self._call = {name: getattr(self._library, f"{prefix}_{name}") for name in _CALLS}
        for name, (result, arguments) in _CALLS.items():
            self._call[name].restype, self._call[name].argtypes = result, arguments
        self._require(self._call["engine_open"](ctypes.byref(self._engine)))

    @property
    def path(self) -> str:
        """The instructions in use: "avx512", "neon", ..., "plain"."""
        self._check_open()
        return bytes(self._call["engine_path"](self._engine)).decode("ascii")

    def predict(self, x: np.ndarray, layout: str = "CHW") -> np.ndarray:
        """The classes int64 [N] of frames [N, *shape]; ties go to the lowest index."""
        return np.argmax(self.predict_scores(x, layout), axis=1)

    def predict_scores(self, x: np.ndarray, layout: str = "CHW") -> np.ndarray:
        """The scores float32 [N, classes] of frames [N, *shape]; BatchError as ``Accelerator`` raises it."""
        self._check_open()
        return self._run(self._elements(self._checker.check(x, layout), layout))

    def throughput_test(self, x: np.ndarray, frames: int = 256, repetitions: int = 5) -> EngineTiming:
        """Time ``frames`` frames, ``x`` [N, *shape] over and over; the best of ``repetitions``."""
        self._check_open()
        for name, number in (("frames", frames), ("repetitions", repetitions)):
            if whole_number(number, name) < 1:
                raise EngineError("nothing was asked for", module=name, remedy="Ask for one or more")
        kept = self._elements(self._checker.check(x, "CHW"), "CHW")
        many = np.ascontiguousarray(np.resize(kept, (frames, *kept.shape[1:])))
        batch, single = [], []
        self._run(kept[:1])  # the first touch of the memory is no measurement
        for _ in range(repetitions):
            begin = time.perf_counter()
            self._run(many)
            batch.append(time.perf_counter() - begin)
        for i in range(min(frames, 50)):
            begin = time.perf_counter()
            self._run(many[i : i + 1])
            single.append(time.perf_counter() - begin)
        return EngineTiming(platform.machine(), self.path, frames, frames / min(batch), min(single))

    def pack(self, x: np.ndarray, out: np.ndarray, layout: str = "CHW") -> None:
        """Checked frames through the layers in front of the chip: ``out`` uint8 [N, frame bytes]."""
        room = np.empty(self._known.given.chw, x.dtype) if layout == "CHW" else None
        at = None if room is None else room.ctypes.data
        self._check_rows(x, out, np.uint8, self._known.input.bytes)
        self._around("batch_front", x.ctypes.data, len(x), at, out.ctypes.data)

    def scores(self, words: np.ndarray, out: np.ndarray) -> None:
        """Sums int32 [N, C*H*W or more], channels innermost, to the scores: ``out`` float32 [N, classes]."""
        self._check_rows(words, out, np.float32, self._known.classes)
        self._around("batch_back", words.ctypes.data, len(words), words.shape[1], out.ctypes.data)

    def _around(self, name: str, *arguments: object) -> None:
        self._check_open()
        self._require(self._call[name](self._engine, *arguments))

    @staticmethod
    def _check_rows(given: np.ndarray, out: np.ndarray, dtype: type, width: int) -> None:
        """C reads and writes rows one behind the other, and knows no strides."""
        assert given.flags.c_contiguous and out.flags.c_contiguous
        assert out.dtype == dtype and out.shape == (len(given), width)

    def _check_header(self, header: Path) -> None:
        """The C program's elements and frames are the driver's, or nothing is handed over."""
        text = _text(header)
        sizes = {"FRAME_BYTES": self._known.input.bytes, "RESULT_BYTES": self._known.output.bytes}
        for name, size in sizes.items():
            row = re.search(rf"^#define \w+_{name} (\d+)$", text, re.MULTILINE)
            if row is None or int(row[1]) != size:
                raise EngineError(
                    f"the engine has {row[1] if row else 'no'} {name}, this package's accelerator {size}",
                    module=header.name,
                    remedy="Take package and engine from one build",
                )
        found = re.search(r"^typedef (\w+)_t \w+_input_t;$", text, re.MULTILINE)
        if found is None or np.dtype(found[1]) != np.dtype(self._known.given.dtype):
            raise EngineError(
                f"the engine takes {found[1] if found else 'no known'} elements, this package's frames are "
                f"{self._known.given.dtype}",
                module=header.name,
                remedy="Take package and engine from one build",
            )

    def _elements(self, x: np.ndarray, layout: str) -> np.ndarray:
        """Checked frames as the engine takes them: channels last."""
        if layout == "CHW":
            x = x.reshape(-1, *self._known.given.chw).transpose(0, 2, 3, 1)
        return np.ascontiguousarray(x)

    def _run(self, elements: np.ndarray) -> np.ndarray:
        scores = np.empty((len(elements), self._known.classes), np.float32)
        self._require(
            self._call["engine_run_batch"](
                self._engine, elements.ctypes.data, len(elements), scores.ctypes.data
            )
        )
        return scores

    def _require(self, error: int) -> None:
        if error:
            text = bytes(self._call["engine_text"](error)).decode("utf-8", "replace")
            raise EngineError(text.rstrip("."), module="CPU engine", remedy=_REMEDY)

    def _check_open(self) -> None:
        if not self._engine:
            raise EngineError("it was closed", module="CPU engine", remedy="Make another")

    def close(self) -> None:
        """Give the engine's memory back; a second call does nothing."""
        engine, self._engine = self._engine, ctypes.c_void_p()
        if engine:
            self._call["engine_close"](engine)

    def __enter__(self) -> CpuEngine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


_POINTER, _SIZE = ctypes.c_void_p, ctypes.c_size_t
_CALLS = {
    "engine_open": (ctypes.c_int, [ctypes.POINTER(_POINTER)]),
    "engine_close": (None, [_POINTER]),
    "engine_run_batch": (ctypes.c_int, [_POINTER, _POINTER, _SIZE, _POINTER]),
    "engine_path": (ctypes.c_char_p, [_POINTER]),
    "engine_text": (ctypes.c_char_p, [ctypes.c_int]),
    "batch_front": (ctypes.c_int, [_POINTER, _POINTER, _SIZE, _POINTER, _POINTER]),
    "batch_back": (ctypes.c_int, [_POINTER, _POINTER, _SIZE, _SIZE, _POINTER]),
}
_REMEDY = "XH_PATH in the environment forces a path; leave it out to have one chosen"


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise EngineError(
            "this package holds no C sources", module=path.name, remedy="Install the wheel of a newer build"
        ) from error


def _cache() -> Path:
    """The user's own folder for what can be made again."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "xnorhw"


def build_library(
    sources: Path, compiler: str | None = None, cache: Path | None = None, begin: str = ""
) -> ctypes.CDLL:
    """The library made from those ``sources`` whose names begin so, compiled where it is not in the cache."""
    return _loaded(_compiled(sources, compiler, _cache() if cache is None else Path(cache), begin))


def is_compiled(compiler: str | None = None, cache: Path | None = None) -> bool:
    """True where ``CpuEngine`` finds its library and compiles nothing; EngineError without a compiler."""
    return _is_whole(_recipe(SOURCES, compiler, _cache() if cache is None else Path(cache))[0])


def _recipe(
    sources: Path, compiler: str | None, cache: Path, begin: str = ""
) -> tuple[Path, list[str], list[str]]:
    """Where the library lies that is made from ``sources``, by which command, and from which C files."""
    name, *options = _compiler(compiler)
    machine = ARM_FLAGS if re.fullmatch(r"armv[67]l", platform.machine()) else ()
    # the caller's options are the last, so that they hold
    command = [name, *FLAGS, *machine, *options]
    files = sorted(p for p in sources.rglob(f"{begin}*") if p.suffix in (".c", ".h"))
    if not files:
        raise EngineError(
            "this package holds no C sources",
            module=sources.name,
            remedy="Install the wheel of a newer build",
        )
    digest = hashlib.sha256(repr((command, platform.machine())).encode())
    for file in files:
        digest.update(f"{file.relative_to(sources).as_posix()}\0".encode() + file.read_bytes())
    library = cache / f"{begin or 'engine'}-{digest.hexdigest()[:24]}.so"
    return library, command, [str(p) for p in files if p.suffix == ".c"]


def _compiled(sources: Path, compiler: str | None, cache: Path, begin: str = "") -> Path:
    """The library made from ``sources`` (a header, and engine/ with the rest), compiled or found."""
    library, command, files = _recipe(sources, compiler, cache, begin)
    if _is_whole(library):
        return library
    try:
        cache.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            made = Path(folder) / "engine.so"
            _compile([*command, "-o", str(made), f"-I{sources}", f"-I{sources / 'engine'}", *files])
            _seal(made)
            # whoever compiles at the same time puts the same library there
            made.replace(library)
    except OSError as error:
        raise EngineError(
            f"it cannot be compiled there ({error.strerror or error})",
            module=str(cache),
            remedy="Name a folder that you may write to: XDG_CACHE_HOME in the environment, or cache=",
        ) from error
    return library


def _compiler(wished: str | None) -> list[str]:
    if wished is not None:
        words = shlex.split(wished) if isinstance(wished, str) else []
        if words and shutil.which(words[0]):
            return words
        raise EngineError(
            f"there is no command {wished!r}", module="CPU engine", remedy="Pass another compiler"
        )
    for name in COMPILERS:
        if shutil.which(name):
            return [name]
    raise EngineError(
        "there is no C compiler on this machine",
        module="CPU engine",
        remedy="Install one (sudo apt-get install gcc); the accelerator itself needs none",
    )


def _seal(library: Path) -> None:
    """Put the contents' hash behind them: an SD card that loses power leaves files cut off."""
    with library.open("r+b") as file:
        digest = hashlib.sha256(file.read()).digest()
        file.write(digest)
        file.flush()
        os.fsync(file.fileno())


def _is_whole(library: Path) -> bool:
    try:
        data = library.read_bytes()
    except OSError:
        return False
    return hashlib.sha256(data[:-32]).digest() == data[-32:]


def _loaded(library: Path) -> ctypes.CDLL:
    try:
        return ctypes.CDLL(str(library))
    except OSError as error:
        library.unlink(missing_ok=True)
        raise EngineError(
            f"the compiled library cannot be loaded ({error})",
            module=str(library),
            remedy="Pass a compiler for this machine",
        ) from error


def _compile(command: list[str]) -> None:
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=COMPILE_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise EngineError(
            f"the compiler did not end within {COMPILE_SECONDS} s",
            module="CPU engine",
            remedy="Call it again",
        ) from error
    if ended.returncode:
        first = next((line for line in ended.stderr.splitlines() if "error" in line), ended.stderr.strip())
        raise EngineError(
            f"the sources do not compile: {first.strip()}",
            module=command[0],
            remedy="Pass another compiler, or report this with the package",
        )
