"""The report: what a run folder holds, as pages that open offline in any browser, on a desk, on a phone and on paper.

In: executed notebooks, figures, tables, results and run.json. Out: index.html, a page per notebook, a PDF. Nothing here
computes or states a result, and nothing that a name, a file or an output says is run: it is shown as text.
"""
