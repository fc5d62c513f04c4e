"""How a store's schema came to be, one file a revision under ``versions``.

A revision, once released, never changes. A new one comes with ``schema.HEAD``, the models, and a
store of the former revision among the tests' assets.
"""
