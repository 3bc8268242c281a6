"""What is remembered: tables, the one writer, reads, migrations. Knows no strategy, no order logic, no venue."""
