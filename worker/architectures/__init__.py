"""The other half of the architectures: `build(params, seed)` to a network whose weights the two determine."""
