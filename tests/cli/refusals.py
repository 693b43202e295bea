"""How the command line refuses what it cannot use."""

import time

from scenewise.cli import main

SECONDS = 5  # of processor time, so that a busy machine is no failure
LONGEST = 1000  # characters of the line that is printed


def refused(capsys, *words):
    """Run the command line and check how it refuses; return what it said."""
    begin = time.process_time()
    code = main([str(word) for word in words])
    seconds = time.process_time() - begin
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert code == 2
    assert len(errors) == 1, errors
    assert len(errors[0]) < LONGEST
    assert errors[0].isprintable()
    assert seconds < SECONDS
    return errors[0]


def set_in(*keys):
    """Return what sets a value in a file's content: all of `keys` but the last two lead to its place."""
    *path, last, value = keys

    def change(content):
        for key in path:
            content = content[key]
        content[last] = value

    return change
