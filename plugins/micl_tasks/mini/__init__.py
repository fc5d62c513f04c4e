"""The embedded benchmark ``mini``: a small world of shapes, sounds and movements, generated from a seed."""
