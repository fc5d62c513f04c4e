"""Alembic migrations of the store, one file per revision under ``versions``.

A released revision never changes. A new one comes with ``schema.HEAD``, the models, and a store of its schema among
the assets of the tests.
"""
