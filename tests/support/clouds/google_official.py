"""Google's own Python client against the fake of Cloud KMS: google_official.py ADDRESS FOLDER

FOLDER holds what tests/contract_gcp_kms.rs put there: account.json, external.json, impersonated.json and foreign.json (credentials),
token (a JWT that Keyring Ward signed) with public.pem, ciphertext and bound (a data key that Keyring Ward wrapped). Every
call must be accepted and every answer understood: what is otherwise is printed with MISMATCH, and the program ends with
1. The data key, wrapped anew by this client, is left in FOLDER/again.
"""

import importlib.metadata
import os
import sys
import urllib.request

ADDRESS, FOLDER = sys.argv[1:]
os.environ["GCE_METADATA_HOST"] = os.environ["GCE_METADATA_IP"] = ADDRESS

import google.auth.exceptions
import google.auth.jwt
import jwt
from google.api_core import exceptions
from google.auth import compute_engine, identity_pool
from google.cloud import kms_v1
from google.cloud.kms_v1.services.key_management_service.transports import KeyManagementServiceRestTransport
from google.oauth2 import service_account

RING = "projects/test-only/locations/europe-west3/keyRings/mysql/cryptoKeys"
KEY, OTHER = f"{RING}/keyring", f"{RING}/other"
ACCOUNT = "keyring@test-only.iam.gserviceaccount.com"
SCOPE = "https://www.googleapis.com/auth/cloudkms"
mismatches = 0


def tell(what, right, seen=""):
    global mismatches
    mismatches += not right
    print(f"{'ok' if right else 'MISMATCH'}: {what}{': ' if seen else ''}{seen}")


def read(name):
    with open(os.path.join(FOLDER, name), "rb") as file:
        return file.read()


def set_(name, value):
    request = urllib.request.Request(f"http://{ADDRESS}/_fake/{name}", data=value.encode(), method="PUT")
    urllib.request.urlopen(request).close()


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def client_of(credentials):
    transport = KeyManagementServiceRestTransport(host=ADDRESS, credentials=credentials, url_scheme="http", always_use_jwt_access=True)
    return kms_v1.KeyManagementServiceClient(transport=transport)


def external(name):
    return identity_pool.Credentials.from_file(os.path.join(FOLDER, name), scopes=[SCOPE])


def encrypt(client, plaintext, bound, key=KEY):
    return client.encrypt(
        request={
            "name": key,
            "plaintext": plaintext,
            "plaintext_crc32c": crc32c(plaintext),
            "additional_authenticated_data": bound,
            "additional_authenticated_data_crc32c": crc32c(bound),
        },
        retry=None,
        timeout=10,
    )


def decrypt(client, ciphertext, bound, key=KEY, crc=None):
    return client.decrypt(
        request={
            "name": key,
            "ciphertext": ciphertext,
            "ciphertext_crc32c": crc32c(ciphertext) if crc is None else crc,
            "additional_authenticated_data": bound,
            "additional_authenticated_data_crc32c": crc32c(bound),
        },
        retry=None,
        timeout=10,
    )


def refused(what, kind, words, call):
    try:
        call()
        tell(what, False, "it was accepted")
    except kind as e:
        text = f"{e} {getattr(e, 'reason', None) or ''}"
        tell(what, words in text, f"{type(e).__name__}: {words}" if words in text else text)
    except Exception as e:
        tell(what, False, f"{type(e).__name__}: {e}")


for package in ("google-cloud-kms", "google-auth", "PyJWT"):
    print(f"{package} {importlib.metadata.version(package)}")

# What Keyring Ward signed, by two libraries that have nothing to do with it.
token, public = read("token").decode(), read("public.pem")
claims = jwt.decode(token, public, algorithms=["RS256"], options={"require": ["iss", "sub", "iat", "exp", "scope"]})
right = claims["iss"] == claims["sub"] == ACCOUNT and claims["scope"] == SCOPE and claims["exp"] - claims["iat"] == 3600
tell("PyJWT verifies the service account's token", right, claims)
tell("google.auth.jwt verifies it", google.auth.jwt.decode(token, certs=public) == claims)
header = jwt.get_unverified_header(token)
tell("its header", header["alg"] == "RS256" and header["kid"] == "0123456789abcdef0123456789abcdef01234567", header)
refused("a token with another signature", jwt.InvalidSignatureError, "", lambda: jwt.decode(token[:-8] + "AAAAAAAA", public, algorithms=["RS256"]))

# Each way to log in, by Google's own code.
clients = {}
for name, credentials in [
    ("metadata", compute_engine.Credentials(scopes=[SCOPE])),
    ("federation", external("external.json")),
    ("federation and impersonation", external("impersonated.json")),
    ("service_account", service_account.Credentials.from_service_account_file(os.path.join(FOLDER, "account.json"), scopes=[SCOPE])),
]:
    client = clients[name] = client_of(credentials)
    made = encrypt(client, b"a data key", b"bound")
    right = made.verified_plaintext_crc32c and made.verified_additional_authenticated_data_crc32c
    right = right and made.ciphertext_crc32c == crc32c(made.ciphertext) and made.name == f"{KEY}/cryptoKeyVersions/1"
    tell(f"encrypt by {name}", right, made.name)
    opened = decrypt(client, made.ciphertext, b"bound")
    tell(f"decrypt by {name}", opened.plaintext == b"a data key" and opened.plaintext_crc32c == crc32c(b"a data key"))
client = clients["metadata"]

# What Keyring Ward wrapped, and back.
bound = read("bound")
key = decrypt(client, read("ciphertext"), bound).plaintext
tell("what Keyring Ward wrapped is decrypted", len(key) == 32, f"{len(key)} bytes, bound to {bound.decode()}")
with open(os.path.join(FOLDER, "again"), "wb") as file:
    file.write(encrypt(client, key, bound).ciphertext)

random = client.generate_random_bytes(
    request={"location": "projects/test-only/locations/europe-west3", "length_bytes": 32, "protection_level": kms_v1.ProtectionLevel.HSM}
)
tell("generate_random_bytes", len(random.data) == 32 and random.data_crc32c == crc32c(random.data))

# Rotation: the primary version encrypts, the old one goes on decrypting.
first = encrypt(client, b"x", b"a").ciphertext
set_("primary", "2")
second = encrypt(client, b"x", b"a")
tell("rotation", second.name == f"{KEY}/cryptoKeyVersions/2" and decrypt(client, first, b"a").plaintext == b"x", second.name)
set_("primary", "1")

# What is refused, as Google's client understands it.
wrong = "Decryption failed: verify that 'name' refers to the correct CryptoKey."
refused("another AAD", exceptions.BadRequest, wrong, lambda: decrypt(client, first, b"b"))
refused("another key", exceptions.BadRequest, wrong, lambda: decrypt(client, first, b"a", OTHER))
refused("a changed ciphertext", exceptions.BadRequest, wrong, lambda: decrypt(client, first[:-1] + b"\0", b"a"))
refused("another checksum", exceptions.BadRequest, "The checksum in field ciphertext_crc32c", lambda: decrypt(client, first, b"a", crc=1))
refused("a key that is not there", exceptions.NotFound, "not found", lambda: encrypt(client, b"x", b"a", f"{RING}/nothing"))
for name, value, kind, words in [
    ("state", "DISABLED", exceptions.BadRequest, "current state is: DISABLED"),
    ("state", "DESTROY_SCHEDULED", exceptions.BadRequest, "current state is: DESTROY_SCHEDULED"),
    ("state", "DESTROYED", exceptions.BadRequest, "current state is: DESTROYED"),
    ("deny", "decrypt", exceptions.Forbidden, "cloudkms.cryptoKeyVersions.useToDecrypt"),
    ("api", "disabled", exceptions.Forbidden, "SERVICE_DISABLED"),
    ("api", "unpaid", exceptions.Forbidden, "BILLING_DISABLED"),
    ("api", "perimeter", exceptions.Forbidden, "organization's policy"),
    ("quota", "used", exceptions.TooManyRequests, "Quota exceeded"),
    ("purpose", "ASYMMETRIC_SIGN", exceptions.BadRequest, "purpose"),
    ("fault", "answer 503 {\"error\":{\"code\":503,\"message\":\"m\",\"status\":\"UNAVAILABLE\"}}", exceptions.ServiceUnavailable, "m"),
]:
    set_(name, value)
    refused(f"{name} {value[:20]}", kind, words, lambda: decrypt(client, first, b"a"))
    set_(name, "")
set_("scopes", "https://www.googleapis.com/auth/devstorage.read_only")
poor = client_of(compute_engine.Credentials(scopes=[SCOPE]))
refused("too few scopes", exceptions.Forbidden, "ACCESS_TOKEN_SCOPE_INSUFFICIENT", lambda: decrypt(poor, first, b"a"))
set_("scopes", "")
foreign = client_of(external("foreign.json"))
refused("a subject token for another audience", google.auth.exceptions.OAuthError, "invalid_grant", lambda: decrypt(foreign, first, b"a"))
set_("account", "none")
bare = client_of(compute_engine.Credentials(scopes=[SCOPE]))
refused("no service account", google.auth.exceptions.RefreshError, "404", lambda: decrypt(bare, first, b"a"))
set_("account", "")
tell("after all that it decrypts", decrypt(client, first, b"a").plaintext == b"x")

sys.exit(1 if mismatches else 0)
