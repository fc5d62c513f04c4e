"""Formats of user data: tables, JSON, Parquet, COCO, VQA, dialogues, folders of media, the datasets library."""
