"""Oracle's own client (the package oci) against the fake of OCI: oci_official.py ADDRESS KEY_FILE STANZA.

Its requests must be accepted and the answers understood, the refusals as well. STANZA is what our client wrapped: file id,
associated data, commitment and blob in hexadecimal, joined by colons; Oracle's client opens it, and makes another one of
the same kind for ours, after docs/reference/format.md and without anything of ours. It ends with an error where anything
is not as it should be.
"""

import base64
import hashlib
import hmac
import http.client
import os
import sys
import zlib

ADDRESS, KEY_FILE, STANZA = sys.argv[1:]
os.environ["OCI_METADATA_BASE_URL"] = f"http://{ADDRESS}/opc/v2"

import oci  # noqa: E402
from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: E402

TENANCY = "ocid1.tenancy.oc1..aaaaaaaakeyringwardtest"
USER = "ocid1.user.oc1..aaaaaaaakeyringwardtest"
FINGERPRINT = "14:1d:69:be:f2:81:de:de:9f:51:46:19:9d:5f:13:5b"
KEY = "ocid1.key.oc1.eu-frankfurt-1.bbptestaaacuu.abtheljskeyringward"
OTHER_KEY = "ocid1.key.oc1.eu-frankfurt-1.bbptestaaacuu.abtheljsanother"
DEK = bytes([9] * 32)
MODELS = oci.key_management.models


def say(what, result):
    print(f"{what}: {result}", flush=True)


def setting(name, value):
    connection = http.client.HTTPConnection(ADDRESS)
    connection.request("PUT", f"/_fake/{name}", body=value)
    assert connection.getresponse().status == 200


def client(signer=None, **changes):
    config = {"user": USER, "tenancy": TENANCY, "fingerprint": FINGERPRINT, "key_file": KEY_FILE, "region": "eu-frankfurt-1"}
    config.update(changes)
    return oci.key_management.KmsCryptoClient(
        {} if signer else config, f"http://{ADDRESS}", **({"signer": signer} if signer else {}),
        retry_strategy=oci.retry.NoneRetryStrategy(),
        circuit_breaker_strategy=oci.circuit_breaker.NoCircuitBreakerStrategy())


def generate(crypto, bound, key=KEY, length=32):
    shape = MODELS.KeyShape(algorithm="AES", length=length)
    details = MODELS.GenerateKeyDetails(key_id=key, include_plaintext_key=True, key_shape=shape, associated_data=bound)
    return crypto.generate_data_encryption_key(details).data


def decrypt(crypto, ciphertext, bound, key=KEY):
    details = MODELS.DecryptDataDetails(key_id=key, ciphertext=ciphertext, associated_data=bound)
    return crypto.decrypt(details).data


def same(made, opened):
    plaintext = base64.b64decode(made.plaintext)
    assert len(plaintext) == 32 and made.plaintext == opened.plaintext
    assert made.plaintext_checksum == opened.plaintext_checksum == str(zlib.crc32(plaintext))
    assert opened.key_id == KEY and opened.encryption_algorithm == "AES_256_GCM"
    return plaintext


def refused(what, status, code, call):
    try:
        call()
    except oci.exceptions.ServiceError as e:
        assert (e.status, e.code) == (status, code), e
        assert e.request_id.startswith("FAKE/") and e.message, e
        return say(what, f"{status} {code}")
    raise SystemExit(f"{what}: it was not refused")


def derived(data_key):
    """HKDF-SHA256 without salt: the key, and the commitment."""
    info = b"keyring-ward/1 oci_vault"
    key = hmac.new(bytes(32), data_key, hashlib.sha256).digest()
    first = hmac.new(key, info + b"\1", hashlib.sha256).digest()
    return first, hmac.new(key, first + info + b"\2", hashlib.sha256).digest()


say("oci", oci.__version__)
bound = {"product": "keyring-ward", "file-id": "00" * 16}

user = client()
made = generate(user, bound)
same(made, decrypt(user, made.ciphertext, bound))
say("a user: generate_data_encryption_key, decrypt", "the same key")
sealed = user.encrypt(MODELS.EncryptDataDetails(key_id=KEY, plaintext="SEVMTE8gV09STEQ=", associated_data=bound)).data
opened = decrypt(user, sealed.ciphertext, bound)
assert (opened.plaintext, opened.plaintext_checksum) == ("SEVMTE8gV09STEQ=", "2279966299")
say("a user: encrypt, decrypt", "HELLO WORLD")

signer = oci.auth.signers.InstancePrincipalsSecurityTokenSigner(federation_endpoint=f"http://{ADDRESS}/v1/x509")
assert signer.tenancy_id == TENANCY and signer.region == "eu-frankfurt-1"
instance = client(signer)
same(made, decrypt(instance, made.ciphertext, bound))
by_instance = generate(instance, bound)
same(by_instance, decrypt(user, by_instance.ciphertext, bound))
say("an instance: federation, generate_data_encryption_key, decrypt", "the same key")

for what, status, code, call in [
    ("other associated data", 400, "InvalidParameter", lambda: decrypt(user, made.ciphertext, {"product": "x"})),
    ("another key", 400, "InvalidParameter", lambda: decrypt(user, made.ciphertext, bound, OTHER_KEY)),
    ("a key that is not there", 404, "NotAuthorizedOrNotFound", lambda: generate(user, bound, KEY + "x")),
    ("a length in bits", 400, "InvalidParameter", lambda: generate(user, bound, KEY, 256)),
    ("another user", 401, "NotAuthenticated", lambda: generate(client(user=USER + "x"), bound)),
]:
    refused(what, status, code, call)
for name, value, status, code in [
    ("state", "DISABLED", 409, "IncorrectState"),
    ("state", "PENDING_DELETION", 409, "IncorrectState"),
    ("policy", "none", 404, "NotAuthorizedOrNotFound"),
    ("clock", "600", 401, "NotAuthenticated"),
]:
    setting(name, value)
    refused(f"{name} {value}", status, code, lambda: decrypt(user, made.ciphertext, bound))
    setting(name, "")
setting("version", "2")
same(made, decrypt(user, made.ciphertext, bound))
say("after a rotation", "the same key")
setting("version", "1")

file_id, aad, commitment, blob = (bytes.fromhex(part) for part in STANZA.split(":"))
bound["file-id"] = file_id.hex()
ciphertext = base64.b64encode(blob[60:]).decode()
data_key = base64.b64decode(decrypt(user, ciphertext, bound).plaintext)
key, committed = derived(data_key)
assert committed == commitment
assert AESGCM(key).decrypt(blob[:12], blob[12:60], aad) == DEK
say("what our client wrapped", "opened")

made = generate(instance, bound)
key, commitment = derived(base64.b64decode(made.plaintext))
nonce = os.urandom(12)
blob = nonce + AESGCM(key).encrypt(nonce, DEK, aad) + base64.b64decode(made.ciphertext)
say("stanza", f"{commitment.hex()}:{blob.hex()}")
