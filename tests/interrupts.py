"""Children that Ctrl-C reaches."""

import signal


def hear_interrupts() -> None:
    """For `preexec_fn`: a shell's background jobs start deaf to Ctrl-C, and so do their children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
