"""Storages behind restic's REST protocol, version 2: servers that speak it (`rest`), and whatever rclone reaches (`rclone`).

Why aiohttp: the object stores bring it already, it speaks over Unix sockets, and moves 512 MiB for 0.3 to 0.8 CPU seconds (measured).

Source: restic doc/REST_backend.rst.
"""
