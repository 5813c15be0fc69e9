"""Training of each family of networks: targets, losses, outputs."""
