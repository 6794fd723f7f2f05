"""What a notebook holds: the study (photos, split, seeds, lists) and its run (the folder of figures, tables, weights).

In: the name of a catalogue, and seeds. Out: rows of photos to train and judge on, and files of a run folder, each with
what it needs to be read alone. Figures and drawings are functions from data to a matplotlib Figure.
"""
