"""Results and lists of tools as HTML, for notebooks.

IPython, Jupyter and editors show what ``_repr_html_`` of a value returns. A server writes every text and
type in it, and the page of a notebook runs scripts. So all of it is escaped and bounded, nothing becomes a
link, and only images of a few raster types are shown, from data that is in the result. No colour but that
of errors is set: the page keeps its own, light or dark.

Read :mod:`.elements` first, then :mod:`.tool_results` and :mod:`.tool_tables`.

Source: https://ipython.readthedocs.io/en/stable/config/integrating.html (Rich display)
"""
