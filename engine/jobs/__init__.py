"""Jobs: one file a verb, each of which reads as its own table of contents. runner.py wraps them all.

A job takes a JobContext and a frozen request, tells what happens through `emit`, and returns a frozen result. It knows no terminal.
"""
