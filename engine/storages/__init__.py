"""The storages family: places that hold exactly one repository each.

base.py is the contract, registry.py the table of members and the only place where wrappers are put on, retry.py the only code that
retries, throttle.py the bandwidth limits, quota.py what one may hold,
proxy.py the way through a proxy of one's own, turns.py one writer of an object after the other; then one file or package a member. A storage knows keys and bytes, never what they mean.
"""
