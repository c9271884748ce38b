"""Programs that a test stops by Ctrl-C, also where the tests themselves ignore it."""

import sys

# Starts Python with the default of Ctrl-C, which a child of `nohup make test &` would ignore.
RESTORE = (
    "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL);"
    "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
)
STOPPABLE = [sys.executable, "-c", RESTORE]
