"""Children that Ctrl-C reaches."""

import signal


def hear_interrupts() -> None:
    """For `preexec_fn`: background jobs of a shell start deaf to Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
