"""Run the notebooks whose results are not up to date, and tell what stands in a run folder.

In: the notebooks, their parameters, the name of a catalogue. Out: a run folder of executed notebooks, each stamped with
what it depends on and what it wrote; and run.json, from which the run can be repeated.
"""
