"""What the suites in Python share: scenarios that run one after the other, and a line of verdict for each."""

import itertools
import os
import socket
import sys
import time
import traceback

BOOTSTRAP = os.environ["BOOTSTRAP"]
#: Where the broker can be asked to restart or crash; absent if it is not ours to restart.
CONTROL = os.environ.get("CONTROL")

_scenarios = []
_numbers = itertools.count(1)


class Skip(Exception):
    """The scenario cannot run here."""


def scenario(function):
    """Registers a scenario; its name is the function's."""
    _scenarios.append(function)
    return function


def unique(word):
    """A name that nobody used before, for a topic or a group."""
    return f"{word}-{os.getpid()}-{next(_numbers)}"


def control(what):
    """Asks for `restart` (stop cleanly, start) or `crash` (kill -9, start); returns when the broker is ready again."""
    if not CONTROL:
        raise Skip("the broker is not ours to restart")
    host, port = CONTROL.rsplit(":", 1)
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(what.encode() + b"\n")
        answer = connection.makefile().readline().strip()
    assert answer == "ok", answer


def until(what, condition, seconds=60):
    """Waits until the condition gives something true, and gives that."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError(f"waited in vain for {what}")


def equal(found, expected):
    """Asserts equality and shows both sides, shortened."""
    if found != expected:
        raise AssertionError(f"expected {str(expected)[:300]}, found {str(found)[:300]}")


def run():
    """Runs the scenarios named on the command line, or all, and ends the process."""
    wanted = sys.argv[1:]
    failed = 0
    for function in _scenarios:
        name = function.__name__
        if wanted and name not in wanted:
            continue
        start = time.monotonic()
        try:
            function()
            print(f"pass {name} {time.monotonic() - start:.1f}s", flush=True)
        except Skip as why:
            print(f"skip {name}: {why}", flush=True)
        except Exception as error:  # whatever a client throws is a finding
            failed += 1
            traceback.print_exc()
            print(f"fail {name}: {type(error).__name__}: {str(error)[:500]}".replace("\n", " "), flush=True)
    # Without waiting for clients' threads: what they still do is of no interest, and some of them never end.
    sys.stdout.flush()
    os._exit(1 if failed else 0)
