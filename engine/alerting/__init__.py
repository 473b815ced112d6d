"""What is wrong, and what people are told of it, as pure functions: facts, what stands already, settings and the time in; values out.

`engine.model.status` finds what is wrong with a source, `conditions` with everything else, `sizes` whether a backup is oddly large or small.
`standing` turns what was found into alerts that are raised, go on or are over, and decides who hears of it when. `telling` makes messages of
them and of jobs, chooses who gets which, and puts several into one where there would be too many. `templates` words them as a person wants.
"""
