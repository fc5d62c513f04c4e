"""Alembic migrations of the store, one file per revision under ``versions``.

A released revision never changes. A new one also needs ``schema.HEAD``, the models, and a store with the new schema in
the test assets.
"""
