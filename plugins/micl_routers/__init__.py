"""Routers that come with micl: each tells tasks apart in its own way."""
