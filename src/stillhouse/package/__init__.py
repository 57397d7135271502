"""From one teacher's aligned examples to a checked, described and published data set."""
