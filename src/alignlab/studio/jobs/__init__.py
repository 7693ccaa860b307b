"""Commands that the studio may start: kinds from a closed list, never a command line."""
