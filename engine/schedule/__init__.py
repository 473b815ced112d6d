"""When schedules are due, as pure functions: rhythm.py reads cron expressions and words and walks their instants; windows.py hours of the day;
zones.py what a zone's clock shows; due.py decides what becomes of each instant; quiet.py finds the quietest time.

A rhythm that names hours (`daily at 02:00`, `0 */6 * * *`) follows the clock on the wall: each wall time counts once, in the hour that
comes twice at its first coming, and one that the clocks pass over at the instant at which they do. One that takes every hour (`hourly`, `*/5 * * * *`)
follows real time. croniter reads the expressions and walks wall times without a zone; with one it runs a fixed hour twice in the fold.
"""
