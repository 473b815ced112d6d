"""make bench: holdfast's real command line against stock restic, borg, rsync and find, in pairs, on one machine, in one go.

inputs.py makes the data, programs.py says what each program is called with, workloads.py which program does what on which data and the
floors, measure.py runs and watches processes, single.py the rows that compare with nothing, report.py the table. Not collected by pytest.
"""
