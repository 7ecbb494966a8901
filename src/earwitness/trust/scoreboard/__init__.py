"""scoreboard."""
