"""A plan becomes files, one target a module.  An emitter prints; it decides nothing.

Every ``files`` function returns a mapping from a path inside the build folder (``rtl/...``,
``rom/...``, ``sim/...``) to its text.
"""
