"""The part finder: one file, made by a study, that names the part in a photo.

In: a run's recommended network, its photos and their names (`calibration.build` writes `models/finder.pt`).
Out: `finder.load_finder(path).identify(photo)`: names with calibrated confidence, look-alikes and refusals.
"""
