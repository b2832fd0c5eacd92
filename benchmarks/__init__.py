"""What developers measure, from a clone of the repository; not a part of the installed package."""
