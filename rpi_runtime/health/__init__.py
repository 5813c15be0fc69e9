"""What the machine and the run are doing: heat, throttling, stage times, status."""
