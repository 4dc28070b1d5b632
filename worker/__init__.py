"""The worker half of unlearnd: it trains, forgets and measures. Everything torch lives here."""
