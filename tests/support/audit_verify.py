#!/usr/bin/env python3
"""Checks an audit log by docs/reference/audit-log.md alone: audit_verify.py PUBLIC.pem FILE... (the oldest first)."""
import base64
import hashlib
import json
import sys

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization

CONTEXT = b"keyring-ward audit log 1\n"


def fail(where, why):
    sys.exit(f"{where}: {why}")


def no_twins(pairs):
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        raise ValueError("a member stands twice")
    return dict(pairs)


def main(pem, files):
    key = serialization.load_pem_public_key(open(pem, "rb").read())
    raw = key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    key_id = hashlib.sha256(raw).hexdigest()[:16]
    number, previous, change, changes, unsigned = None, None, None, 0, 0
    for n, name in enumerate(files):
        data = open(name, "rb").read()
        *lines, rest = data.split(b"\n")
        if rest and (n + 1 < len(files) or (len(rest) > 16384 and rest.strip(b"\0"))):
            fail(name, "the last line has no end")
        for row, line in enumerate(lines, 1):
            where = f"{name}, row {row}"
            try:
                it = json.loads(line.decode(), object_pairs_hook=no_twins)
                place, before, event = it["line"], it["previous"], it["event"]
            except (ValueError, KeyError, TypeError) as e:
                fail(where, f"no line: {e}")
            if (row == 1) and event != "begin":
                fail(where, "a file begins with its first line")
            anew = row == 1 and place == 1 and before == "0" * 64
            if number is None:
                if (place == 1) != (before == "0" * 64):
                    fail(where, "the first line follows none")
            elif anew:
                print(f"{where}: a new chain begins")
            elif place != number + 1 or before != previous:
                fail(where, "the chain is broken")
            if event == "checkpoint":
                body, mark, signature = line.rpartition(b',"signature":"')
                if not mark or not signature.endswith(b'"}') or it["signer"] != key_id:
                    fail(where, "not signed by this key")
                try:
                    key.verify(base64.b64decode(signature[:-2]), CONTEXT + body)
                except (InvalidSignature, ValueError):
                    fail(where, "the signature is wrong")
            unsigned = 0 if event == "checkpoint" else 1 if anew else unsigned + 1
            if unsigned > 1000:
                fail(where, "more than 1000 lines without a checkpoint")
            if event in ("gap", "dropped", "chain_restarted"):
                print(f"{where}: {event} {it.get('detail', '')} {it.get('count', 1)}")
            if anew or event == "chain_restarted":
                change = None
            if "change" in it:
                position = tuple(int(part) for part in it["change"].split(".")[:2])
                if change is not None and position <= change:
                    fail(where, "a change twice")
                change, changes = position, changes + (event != "gap")
            number, previous = place, hashlib.sha256(line).hexdigest()
    print(f"good to line {number}, {changes} changes, {unsigned} lines behind the last checkpoint")


main(sys.argv[1], sys.argv[2:])
