"""Programs that a test stops by Ctrl-C, also where the tests themselves ignore it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Starts Python with the default of Ctrl-C, which a child of `nohup make test &` would ignore.
RESTORE = (
    "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL);"
    "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
)


def stop(arguments: list[str], once: bytes) -> str:
    """Starts Python in the repository, stops it once it says that, and returns all it said."""
    with subprocess.Popen(
        [sys.executable, "-c", RESTORE, *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as running:
        said = b""
        while once not in said:
            block = os.read(running.stdout.fileno(), 65536)
            assert block, said.decode()
            said += block
        running.send_signal(signal.SIGINT)
        try:
            said += running.communicate(timeout=60)[0]
        finally:
            running.kill()
    assert running.returncode == -signal.SIGINT  # which make and shells show as 130
    return said.decode()
