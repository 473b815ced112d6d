"""The command line: every verb, one file a group.

main.py is the entry point and loads nothing it can do without; verbs.py is the table of verbs; dispatch.py finds the verb, command.py builds
its parser, running.py runs it with its signals. output.py and text.py print, progress.py draws the bar, asking.py asks a person,
diagnostics.py turns errors into exit codes. Only the chosen verb's module is imported. argparse, because it costs a tenth of the others' start.
"""
