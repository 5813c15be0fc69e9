"""What is trained, by family: targets, losses, outputs."""
