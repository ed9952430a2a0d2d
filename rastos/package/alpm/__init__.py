"""libalpm in a child process: messages, the worker (the only importer of pyalpm), and the session that runs it."""
