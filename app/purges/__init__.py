"""The end of old weights: what still holds forgotten samples is destroyed, and written down."""
