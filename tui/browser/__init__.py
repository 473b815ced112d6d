"""The console in a browser of this machine, through textual-serve (the extra `browser`).

One server on loopback; each page that is opened is a console of its own, a child that ends with its page. textual-serve brings the page's
script (xterm.js and the packets to it) and the packets to the child; its own server is not used: it asks nobody who they are, starts its
children through a shell, waits for their end without a bound, and its page loads fonts from elsewhere.

    door.py     who is let in: token, cookie, Host and Origin
    server.py   addresses, the page, the life of the server
    session.py  one child, between its pipes and a websocket
    driver.py   within the child: what is repaired in Textual's driver for browsers
"""
