"""The generated catalogue: photos of car parts that stand in for photos nobody may ship.

In go a scale such as "demo", a seed and a folder. Out come JPEG files, one folder per category, and their manifest.csv.
"""
