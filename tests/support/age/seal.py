"""Seals the bytes 0, 1, ... 31 for the public keys of this folder as docs/reference/format.md says, for the file 07 07 ... 07.

Nothing of Keyring Ward's is used: X25519, ChaCha20-Poly1305 and RSA-OAEP are those of the package cryptography, HPKE and the
map from Ed25519 are written from RFC 9180 and RFC 7748. It proves its HPKE with the RFC's vector first.
Usage: python3 seal.py, in this folder. A new run gives other bytes that open as well.
"""

import base64, hashlib, hmac, pathlib, struct
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.serialization import load_ssh_public_key

KEY, FILE = bytes(range(32)), bytes([7]) * 16
KEM = b"KEM" + struct.pack(">H", 0x20)
SUITE = b"HPKE" + struct.pack(">HHH", 0x20, 1, 3)


def extract(suite, salt, label, ikm):
    return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite + label + ikm, "sha256")


def expand(suite, prk, label, info, length):
    """No more than one block of HKDF-Expand is ever needed."""
    return hmac.digest(prk, struct.pack(">H", length) + b"HPKE-v1" + suite + label + info + b"\1", "sha256")[:length]


def hpke(public, info, aad, text, ephemeral=None):
    ephemeral = ephemeral or X25519PrivateKey.generate()
    enc = ephemeral.public_key().public_bytes_raw()
    dh = ephemeral.exchange(X25519PublicKey.from_public_bytes(public))
    shared = expand(KEM, extract(KEM, b"", b"eae_prk", dh), b"shared_secret", enc + public, 32)
    context = b"\0" + extract(SUITE, b"", b"psk_id_hash", b"") + extract(SUITE, b"", b"info_hash", info)
    secret = extract(SUITE, shared, b"secret", b"")
    key, nonce = (expand(SUITE, secret, label, context, n) for label, n in ((b"key", 32), (b"base_nonce", 12)))
    return enc + ChaCha20Poly1305(key).encrypt(nonce, text, aad)


def x25519_of_ed25519(point):
    p = 2**255 - 19
    y = int.from_bytes(point, "little") & (2**255 - 1)
    return ((1 + y) * pow(1 - y, -1, p) % p).to_bytes(32, "little")


def bech32(text):
    bits = "".join(f"{'qpzry9x8gf2tvdw0s3jn54khce6mua7l'.index(c):05b}" for c in text.split("1")[1][:-6])
    return bytes(int(bits[i : i + 8], 2) for i in range(0, 256, 8))


def entry(number, public, sealed):
    return struct.pack(">B32sH", number, hashlib.sha256(public).digest(), len(sealed)) + sealed


rfc = X25519PrivateKey.from_private_bytes(bytes.fromhex("f4ec9b33b792c372c1d2c2063507b684ef925b8c75a42dbcbf57d63ccd381600"))
rfc = hpke(bytes.fromhex("4310ee97d88cc1f088a5576c77ab0cf5c3ac797f3d95139c6c84b5429c59662a"),
           b"Ode on a Grecian Urn", b"Count-0", b"Beauty is truth, truth beauty", rfc)
assert rfc[32:].hex() == "1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db21993c62ce81883d2dd1b51a28"

age = bech32(pathlib.Path("identity.txt").read_text().split("public key: ")[1].split()[0])
entries = [entry(1, age, hpke(age, b"keyring-ward/1 age X25519", FILE, KEY))]
line = pathlib.Path("ed25519.pub").read_bytes()
public = base64.b64decode(line.split()[1])
entries.append(entry(2, public, hpke(x25519_of_ed25519(public[-32:]), b"keyring-ward/1 age ssh-ed25519", FILE, KEY)))
for name in ("rsa-2048", "rsa-4096"):
    line = pathlib.Path(name + ".pub").read_bytes()
    public = base64.b64decode(line.split()[1])
    oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), b"keyring-ward/1 age ssh-rsa" + FILE)
    entries.append(entry(3, public, load_ssh_public_key(line).encrypt(KEY, oaep)))
pathlib.Path("sealed").write_bytes(bytes([1, len(entries)]) + b"".join(entries))
