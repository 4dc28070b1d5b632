"""The API half of unlearnd: what may be asked, kept and shown. It never needs torch."""
