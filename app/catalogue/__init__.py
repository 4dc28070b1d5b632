"""What the service offers: the unions of all parameters, and the routes that describe them."""
