"""Builds ``pretend.cpp`` once and loads it, which has to happen before torch is imported."""

from __future__ import annotations

import ctypes
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).with_name("pretend.cpp")
BUILT = Path(__file__).parents[2] / "build"
COMPILERS = ("c++", "g++", "clang++")


def load() -> str:
    """Give torch, once it is imported, a device; where nothing can compile the stub, say so in a sentence."""
    if "torch" in sys.modules:
        raise ImportError("the pretended device comes before torch: pytest -p tests.device.pretend")
    compiler = next((path for path in map(shutil.which, COMPILERS) if path), None)
    found = importlib.util.find_spec("torch")
    assert found is not None and found.origin is not None
    torch = Path(found.origin).parent
    version = torch.joinpath("version.py").read_bytes()
    digest = hashlib.sha256(SOURCE.read_bytes() + version).hexdigest()[:16]
    library = BUILT / f"pretended-device-{digest}.so"
    if not library.exists():
        if compiler is None:
            return (
                "the pretended device needs a C++ compiler, and there is none (c++, g++ or clang++)"
            )
        build(compiler, torch, library)
    # The stub is linked against two libraries that torch would load itself, with the first of them
    # in its own folder.
    first = sorted(torch.joinpath("lib").glob("libgomp*"))
    for name in (*first, torch / "lib/libc10.so", torch / "lib/libtorch_cpu.so"):
        ctypes.CDLL(str(name), mode=ctypes.RTLD_GLOBAL)
    ctypes.CDLL(str(library))
    return ""


def build(compiler: str, torch: Path, library: Path) -> None:
    """Compile the stub."""
    library.parent.mkdir(exist_ok=True)
    unfinished = library.with_suffix(f".{os.getpid()}")
    command = [compiler, "-std=c++20", "-shared", "-fPIC", f"-I{torch / 'include'}", str(SOURCE)]
    command += ["-o", str(unfinished), f"-L{torch / 'lib'}", "-lc10", "-ltorch_cpu"]
    subprocess.run(command, check=True)
    unfinished.replace(library)  # several test processes may build it at once
