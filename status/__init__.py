"""Status: health of every loop, the heartbeat file, the live console. Reads and shows; decides nothing."""
