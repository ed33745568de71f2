"""What testers may do to a platform of their own. No wheel holds this package, and no public address starts with it."""
