"""What people's cameras, disks, clocks, brokers and terminals do to the runtime: see `__main__`."""
