"""The command line: parses, calls one domain function, renders. Nothing else prints."""
