"""What every test may use."""

import argparse
import gc
import os
import shutil
import subprocess
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: spinning threads starve shared cores
os.environ.setdefault("OMP_NUM_THREADS", "1")  # models of tests are small, and workers share the cores

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(  # a busy machine is no failure
    "scenewise", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("scenewise")

_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
os.environ.setdefault("MPLCONFIGDIR", str(_CACHE / "matplotlib"))  # its list of fonts takes seconds to make

argparse._ = str  # which looks on the disk for a translation of every word, a tenth of what a command takes

gc.disable()  # while libraries and tests are read, of which nothing is garbage


def pytest_collection_modifyitems(items):
    """Hold tests of pages in files whose names `make test-browser` knows."""
    strays = [
        item.nodeid for item in items if item.get_closest_marker("browser") and "_in_browser" not in item.path.name
    ]
    if strays:
        raise pytest.UsageError(f"tests of pages belong in files test_..._in_browser.py: {', '.join(strays)}")


def pytest_collection_finish():
    """Leave what was read out of garbage collections, which would walk through it again and again; and have fewer."""
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    gc.enable()


_SHARED_DATA = Path(os.environ.get("SCENEWISE_TEST_DATA") or Path(__file__).parents[2] / "shared" / "data")


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory):
    """Keep pictures and graphs that tests make out of the user's cache, and those of the user out of tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of small real files; tests that need it are skipped where it is absent."""
    if not _SHARED_DATA.is_dir():
        pytest.skip(f"no real files at {_SHARED_DATA}; set SCENEWISE_TEST_DATA to their folder")
    return _SHARED_DATA


@pytest.fixture(scope="session")
def ffmpeg():
    """Run ffmpeg, of the system or of the package imageio-ffmpeg; tests that need it are skipped where neither is."""
    program = shutil.which("ffmpeg")
    if program is None:
        package = pytest.importorskip("imageio_ffmpeg", reason="no ffmpeg here, and no package imageio-ffmpeg")
        program = package.get_ffmpeg_exe()

    def run(*words, **options):
        return subprocess.run([program, "-v", "error", "-y", *map(str, words)], check=True, timeout=120, **options)

    return run
