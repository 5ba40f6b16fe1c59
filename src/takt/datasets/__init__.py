"""Episodes on disk: LeRobot v2.1 and v3.0 reader, v3.0 writer, statistics."""
