"""What everything stands on: settings, errors, the database, identifiers, parameters."""
