"""A policy for robots elsewhere: connections, requests, replies, and whose turn it is."""
