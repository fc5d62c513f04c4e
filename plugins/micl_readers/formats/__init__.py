"""Formats of users' own data: tables, JSON, Parquet, COCO, VQA, dialogues, folders of media, the datasets library."""
