"""Experiments: chapter 6's proposals and the recommended model, trained and judged alike.

A run with its study, saved results and weights go in; frames for figures and tables, and further weights, come out.
"""
