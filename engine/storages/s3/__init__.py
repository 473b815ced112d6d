"""S3: AWS, and every service that speaks its protocol.

settings.py reads the options, client.py logs in and signs, body.py carries an object's parts up, errors.py says in holdfast's words what the
service said in its own, storage.py is the member.

aioboto3 knows the protocol, the ways to log in (keys, profile, the role of an instance or container) and the regions. Three things are done
here instead: retrying, which is storages/retry.py's; the checksum of what goes up, which is taken once, in a thread, and is the hash that the
signature carries, so that each service refuses bytes that were damaged on the way; and waiting, which is measured from the last byte that
moved, up or down.
"""
