"""What an export found: its records, and the report that shows them."""
