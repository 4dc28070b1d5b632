"""The keys that sign audit reports: which there are, since when, until when, and which are not to be believed."""
