"""Work that needs root, done by somebody who isn't: in a small virtual machine that runs this host's own programs."""
