"""The results of an export: its records, and the report that shows them."""
