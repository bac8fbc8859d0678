"""The health check: the store answers a LIST."""

import socket

with socket.create_connection(("127.0.0.1", 7000), timeout=2) as connection:
    connection.sendall(b"LIST\n")
    assert connection.recv(1)
