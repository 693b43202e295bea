"""Processes that start at once: each is a copy of one that has read the libraries.

A fresh interpreter that imports torch takes two seconds of a core, one that imports Lightning five. What a test wants
of a process (signals, a disk of its own, an end that others see) a copy has too. Tests of what an interpreter
*imports*, or reads of its environment when it starts, start one with `subprocess`.
"""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import traceback
from multiprocessing import forkserver
from pathlib import Path

PRELOADED = (
    "pytest",
    "lightning.fabric",
    "torch._dynamo",  # which optimisers read
    "scenewise.experiments.work",
    "scenewise.cli.decompose",
    "scenewise.cli.data",
    "scenewise.batch.pool",
    "scenewise.decompose.decomposer",
    "scenewise.decompose.export.run",
    "scenewise.models.provide",
)

_NEW_MOUNTS, _NEW_USERS = 0x00020000, 0x10000000  # CLONE_NEWNS and CLONE_NEWUSER of Linux's unshare


def copies() -> multiprocessing.context.ForkServerContext:
    """Return a context whose processes get nothing but their arguments, as with "spawn", and are there at once."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(PRELOADED))
    threads = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    forkserver.ensure_running()
    if threads is None:
        del os.environ["OMP_NUM_THREADS"]
    else:
        os.environ["OMP_NUM_THREADS"] = threads
    return context


def pool(method):
    """Return a pool of two copies of this process ("fork"), or of two that get their arguments alone ("fresh")."""
    return (copies() if method == "fresh" else multiprocessing.get_context(method)).Pool(2)


class Process:
    """A function in a process of its own, with the methods of `subprocess.Popen`.

    Args:
        function: Importable; what it returns is the exit code.
        arguments: Its own.
        cwd: The process's folder, that of this process where None.
        environment: What to set beside what this process has.
    """

    def __init__(self, function, *arguments, cwd=None, environment=None):
        self._streams = tempfile.TemporaryDirectory()
        self._files = [Path(self._streams.name) / name for name in ("out", "err")]
        given = (function, arguments, str(cwd or Path.cwd()), {**os.environ, **(environment or {})})
        self._process = copies().Process(target=_run, args=(*given, [str(file) for file in self._files]))
        self._process.start()
        self.pid = self._process.pid

    def poll(self):
        return self._process.exitcode

    returncode = property(poll)

    def send_signal(self, number):
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self):
        self.send_signal(signal.SIGKILL)

    def wait(self, timeout=120):
        self._process.join(timeout)
        if self.poll() is None:
            self.kill()  # or the end of the tests would wait for it
            raise subprocess.TimeoutExpired(str(self.pid), timeout)
        return self.poll()

    def communicate(self, timeout=120):
        """Wait for the end; returns all that was printed, and all errors."""
        self.wait(timeout)
        out, err = (file.read_text() if file.exists() else "" for file in self._files)
        return out, err


def command(*words, **options):
    """Start `scenewise WORDS`."""
    return Process(main_of, [str(word) for word in words], **options)


def main_of(words):
    from scenewise.cli import main

    return main(words)


def load_from_hub(name):
    """Load a model and print its folder and fingerprint, with the hub's library still to read its settings."""
    import scenewise as sw

    assert "huggingface_hub" not in sys.modules
    model = sw.load(name, "cpu")
    print(model.path, model.fingerprint)
    return 0


def main_on_a_full_disk(words, limit):
    """Run a command that can write so many bytes of a file."""
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    return main_of(words)


def main_on_a_small_disk(words, folder, kilobytes):
    """Run a command in a folder that is a disk of its own, and print what lies there then; 77 where none can be."""
    kernel, (user, group) = ctypes.CDLL(None), (os.getuid(), os.getgid())
    if kernel.unshare(_NEW_USERS | _NEW_MOUNTS):
        return 77
    for file, text in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")):
        Path("/proc/self", file).write_text(text)
    if kernel.mount(b"full", str(folder).encode(), b"tmpfs", 0, f"size={kilobytes}k".encode()):
        return 77
    os.chdir(folder)
    code = main_of(words)
    print(*(str(path) for path in Path().rglob("*") if path.is_file()))
    return code


def main_without(number, words):
    """Run a command that ignores a signal from its start, as under nohup."""
    signal.signal(number, signal.SIG_IGN)
    return main_of(words)


def main_without_streams(words):
    """Run a command that has no standard input, output and errors."""
    for number in (0, 1, 2):
        os.close(number)
    sys.stdin = sys.stdout = sys.stderr = None  # what an interpreter has that starts like this
    return main_of(words)


def main_printing_in(encoding, words):
    """Run a command whose terminal has no other letters than those of an encoding."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding=encoding, errors="strict")
    return main_of(words)


def main_on_terminal(name, words):
    """Run a command that leads the session of a terminal."""
    os.setsid()
    terminal = os.open(name, os.O_RDWR)  # the first that a leader opens is its session's
    os.dup2(terminal, 0)
    _print_into(terminal, terminal)
    return main_of(words)


def _print_into(out, err):
    for number, file in ((1, out), (2, err)):
        os.dup2(file, number)
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", closefd=False, buffering=1, errors="backslashreplace")  # noqa: SIM115


def _run(function, arguments, cwd, environment, files):
    gc.freeze()  # a collection would walk through all that the libraries are, and copy every page of it
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    _print_into(*(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) for name in files))
    try:
        code = function(*arguments)
    except BaseException:
        traceback.print_exc()
        code = 1
    finally:
        for stream in filter(None, (sys.stdout, sys.stderr)):
            stream.flush()
    sys.exit(code)
