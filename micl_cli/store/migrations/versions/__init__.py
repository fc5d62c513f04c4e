"""The schema revisions, named by number."""
