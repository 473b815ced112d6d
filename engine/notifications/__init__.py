"""Notifications: messages to people through apprise, and pings to dead man's switches.

Why apprise: over a hundred services, kept up by people who use them; hand-written senders rot. It is a library of blocking calls, takes 0.1 s
to import and 0.2 s to find a service, and 50 MiB: so it lives in a child process for as long as one message takes, and is killed when a server
hangs. An address is a secret, for passwords and tokens are parts of it: it goes to the child through its standard input, and what comes back
in words is blotted of every part of it.
"""
