"""The filters, one idea a file: its thresholds, and a function that says what it finds.

Libraries that a filter needs beside the package's own are imported when it runs. May import what
the room may; knows no engine and no store. Read first: `duration`.
"""
