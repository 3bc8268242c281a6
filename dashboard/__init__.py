"""What people look at: one page over read-only sessions. It never writes and never imports what trades."""
