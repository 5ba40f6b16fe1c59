"""Bytes to and from one client."""

import fcntl
import resource
import socket
import ssl
import threading
from pathlib import Path

from takt.runtime.server.peer import ServerPeer


def test_many_open_files_end_no_connection() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(2000, hard), hard))
    here, there = socket.socketpair()
    try:
        high = fcntl.fcntl(here, fcntl.F_DUPFD, 1500)
        with there, here, socket.socket(fileno=high) as far:
            assert not ServerPeer(far).has_data()
            there.send(b"x")
            assert ServerPeer(far).has_data()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_what_is_sent_after_reading_ended_is_still_encrypted(
    certificate: tuple[Path, Path],
) -> None:
    served = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    served.load_cert_chain(*certificate)
    trusted = ssl.create_default_context(cafile=certificate[0])
    here, there = socket.socketpair()
    ours: list[ssl.SSLSocket] = []
    greeting = threading.Thread(
        target=lambda: ours.append(served.wrap_socket(here, server_side=True))
    )
    greeting.start()
    with trusted.wrap_socket(there, server_hostname="localhost") as robot:
        greeting.join()
        peer = ServerPeer(ours[0])
        peer.stop_receiving()
        peer.send(b"a plan")
        assert robot.recv(6) == b"a plan"
        ours[0].close()
