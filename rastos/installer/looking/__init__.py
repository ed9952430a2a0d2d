"""Looking into images without booting them: what they are made of, what differs, their files."""
