"""The arithmetic of `tinynet/ops` again, quicker: delete this folder and all still works.

An implementation has the interface of the definition that it replaces (for an op: it is a subclass)
and says by `suits(*arrays, **options)` which calls it can serve. `registry.py` decides.
"""
