use super::*;
use crate::admin::fixture::{config, open};
use crate::caller::Caller;
use crate::key::logical::State;
use crate::keyring::Keyring;
use crate::keyring::logical::Wanted;
use serde_json::Value;
use tempfile::TempDir;

/// A server: its keyring and its uuid.
struct Server(Keyring, ServerId, #[allow(dead_code)] TempDir);

impl Server {
    fn new(number: u8) -> Server {
        let dir = tempfile::tempdir().unwrap();
        let keyring = open(&config(dir.path(), "k.ward"));
        // The file is made by its first key.
        keyring
            .by(&Caller::Unknown)
            .generate(b"first", b"", b"AES", 16)
            .unwrap();
        Server(keyring, ServerId([number; 16]), dir)
    }

    fn run(&self, order: &Order) -> Result<Value> {
        carry_out(&self.0.by(&Caller::Unknown), self.1, order)
    }

    fn does(&self, order: &Order) -> Value {
        self.run(order).unwrap_or_else(|e| panic!("{order:?}: {e}"))
    }

    fn refuses(&self, order: &Order, kind: Kind, sentence: &str) {
        let before = self.everything();
        let said = self.run(order).unwrap_err();
        assert_eq!(said.kind(), kind, "{order:?}: {said}");
        assert!(said.to_string().contains(sentence), "{said}");
        assert_eq!(self.everything(), before, "nothing was changed: {said}");
    }

    /// All keys with their material and what is known of them.
    fn everything(&self) -> Vec<(KeyId, Vec<u8>, Option<Vec<u8>>)> {
        let all = self.0.list_with_material().unwrap().into_iter();
        let mut all: Vec<_> = all
            .map(|k| {
                let version = k.version_bytes().map(<[u8]>::to_vec);
                (k.id.clone(), k.material().to_vec(), version)
            })
            .collect();
        all.sort();
        all
    }

    fn material(&self, name: &str) -> Vec<u8> {
        let key = self.0.read_key(name.as_bytes(), b"app@%").unwrap();
        key.unwrap().material().to_vec()
    }

    fn states(&self) -> Vec<(u32, State)> {
        let key = self.0.logical_key(&ssn()).unwrap();
        let versions = key.logical.versions.iter();
        versions.map(|v| (v.number, v.state)).collect()
    }
}

fn ssn() -> KeyId {
    KeyId::new(b"ssn", b"app@%").unwrap()
}

fn name() -> String {
    "replicas".into()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().into()
}

fn seal(version: u32) -> Order {
    Order::Seal {
        name: name(),
        key: ssn(),
        version,
    }
}

fn accept(message: &Value) -> Order {
    Order::Accept {
        message: text(message),
        fingerprint: None,
    }
}

fn confirm(receipt: &Value) -> Order {
    Order::Confirm {
        receipt: text(receipt),
    }
}

/// The replica gets the transport key.
fn join(source: &Server, replica: &Server) {
    let public = replica.does(&Order::Request { name: name() });
    let handed = source.does(&Order::New {
        name: name(),
        publics: vec![text(&public["public"])],
    });
    assert_eq!(
        handed["messages"][0]["request_fingerprint"],
        public["fingerprint"]
    );
    let taken = replica.does(&Order::Accept {
        message: text(&handed["messages"][0]["message"]),
        fingerprint: Some(text(&handed["fingerprint"])),
    });
    assert_eq!(taken["fingerprint"], handed["fingerprint"]);
}

/// A source with ssn at version 1, and a replica that has the transport key.
fn pair() -> (Server, Server) {
    let (source, replica) = (Server::new(1), Server::new(2));
    let wanted = Wanted {
        rotate_every: Some(90),
        description: "d".into(),
        ..Wanted::default()
    };
    source
        .0
        .by(&Caller::Unknown)
        .create_logical(&ssn(), b"AES", 32, &wanted)
        .unwrap();
    join(&source, &replica);
    (source, replica)
}

#[test]
fn a_version_goes_to_a_replica_and_its_receipt_comes_back() {
    let (source, replica) = pair();
    let first = source.does(&seal(1));
    let taken = replica.does(&accept(&first["message"]));
    assert_eq!(
        (&taken["state"], &taken["new"]),
        (&"active".into(), &true.into())
    );
    assert_eq!(replica.material("ssn@1"), source.material("ssn@1"));
    let known = replica.0.logical_key(&ssn()).unwrap();
    let theirs = source.0.logical_key(&ssn()).unwrap();
    assert_eq!(known.logical.id, theirs.logical.id);
    assert_eq!(
        (known.logical.rotate_every, &*known.logical.description),
        (Some(90), "d")
    );

    // A rotation: pending on both sides, then current on both.
    assert_eq!(
        source.0.by(&Caller::Unknown).rotate(&ssn(), false).unwrap(),
        2
    );
    let pending = source.does(&seal(2));
    let taken = replica.does(&accept(&pending["message"]));
    assert_eq!(replica.states(), [(1, State::Active), (2, State::Pending)]);
    let proved = source.does(&confirm(&taken["receipt"]));
    assert_eq!(proved["replica"], replica.1.to_string());
    assert_eq!(
        (&proved["version"], &proved["state"]),
        (&2.into(), &"pending".into())
    );
    assert_eq!(proved["sha256"], pending["sha256"]);
    // Twice is once.
    assert_eq!(source.does(&confirm(&taken["receipt"])), proved);
    source.0.by(&Caller::Unknown).activate(&ssn(), 2).unwrap();
    let active = source.does(&seal(2));
    let taken = replica.does(&accept(&active["message"]));
    assert_eq!(
        (&taken["switched"], &taken["new"]),
        (&true.into(), &false.into())
    );
    assert_eq!(
        replica.states(),
        [(1, State::Deactivated), (2, State::Active)]
    );
    let before = replica.everything();

    // Every message again, in whatever order: nothing goes back.
    for message in [&pending, &first, &active, &pending, &first] {
        let again = replica.does(&accept(&message["message"]));
        assert_eq!(
            (&again["new"], &again["switched"]),
            (&false.into(), &false.into())
        );
    }
    assert_eq!(replica.everything(), before);
    // It is there after a restart too.
    let here = replica.0.logical_key(&ssn()).unwrap();
    assert_eq!(here.logical.current().unwrap().number, 2);
}

/// What a blind index was computed with on the source finds its rows on the replica.
#[test]
fn the_blind_index_travels_with_the_version() {
    let (source, replica) = pair();
    source.0.by(&Caller::Unknown).rotate(&ssn(), true).unwrap();
    for version in [2, 1] {
        replica.does(&accept(&source.does(&seal(version))["message"]));
    }
    let index = |server: &Server| server.0.index_key(&ssn()).unwrap().mac(b"078-05-1120");
    assert_eq!(index(&source), index(&replica));
    // And outlives a rotation after a promotion.
    let before = index(&replica);
    replica.0.by(&Caller::Unknown).rotate(&ssn(), true).unwrap();
    assert_eq!(index(&replica), before);
    // A plain key with the same material is given it, too.
    let (source, replica) = (Server::new(1), Server::new(2));
    for server in [&source, &replica] {
        server
            .0
            .by(&Caller::Unknown)
            .store_key(b"ssn", b"app@%", b"AES", &[9; 32])
            .unwrap();
    }
    source
        .0
        .by(&Caller::Unknown)
        .adopt(&ssn(), &Wanted::default())
        .unwrap();
    join(&source, &replica);
    replica.does(&accept(&source.does(&seal(1))["message"]));
    assert_eq!(index(&source), index(&replica));
}

/// A new secret that the index was given while the next version waited for its receipts comes with the switch.
#[test]
fn a_new_secret_of_the_blind_index_comes_with_the_switch() {
    let (source, replica) = pair();
    let index = |server: &Server| server.0.index_key(&ssn()).unwrap().mac(b"078-05-1120");
    replica.does(&accept(&source.does(&seal(1))["message"]));
    source.0.by(&Caller::Unknown).rotate(&ssn(), false).unwrap();
    replica.does(&accept(&source.does(&seal(2))["message"]));
    assert_eq!(index(&source), index(&replica));
    source.0.by(&Caller::Unknown).rotate_index(&ssn()).unwrap();
    source.0.by(&Caller::Unknown).activate(&ssn(), 2).unwrap();
    replica.does(&accept(&source.does(&seal(2))["message"]));
    assert_eq!(index(&source), index(&replica));
}

/// A replica that comes late gets the versions in any order, and numbers are not given again.
#[test]
fn a_new_replica_gets_old_versions_behind_new_ones() {
    let (source, replica) = pair();
    for _ in 0..3 {
        source.0.by(&Caller::Unknown).rotate(&ssn(), true).unwrap();
    }
    // 4 is the current one at the source: before it is here, none is.
    for (version, current) in [(3, None), (1, None), (4, Some(4)), (2, Some(4))] {
        replica.does(&accept(&source.does(&seal(version))["message"]));
        let key = replica.0.logical_key(&ssn()).unwrap().logical;
        assert_eq!((key.current().map(|v| v.number), key.highest), (current, 4));
    }
    let expected = [1, 2, 3].map(|n| (n, State::Deactivated));
    assert_eq!(replica.states()[..3], expected);
    assert_eq!(replica.states()[3], (4, State::Active));
    // Promoted: it goes on where the source stood.
    assert_eq!(
        replica.0.by(&Caller::Unknown).rotate(&ssn(), true).unwrap(),
        5
    );
    // And sends to others, the old source among them.
    let sealed = replica.does(&seal(5));
    source.does(&accept(&sealed["message"]));
    assert_eq!(source.material("ssn@5"), replica.material("ssn@5"));
    assert_eq!(source.states()[4], (5, State::Active));
}

#[test]
fn what_was_destroyed_here_does_not_come_back() {
    let (source, replica) = pair();
    source.0.by(&Caller::Unknown).rotate(&ssn(), true).unwrap();
    let (one, two) = (source.does(&seal(1)), source.does(&seal(2)));
    replica.does(&accept(&one["message"]));
    replica.does(&accept(&two["message"]));
    let now = crate::os::unix_seconds();
    let past = now - 40 * crate::key::logical::DAY;
    replica
        .0
        .by(&Caller::Unknown)
        .change_logical(&ssn(), |logical, _| logical.schedule(Some(1), 1, past))
        .unwrap();
    assert_eq!(
        replica
            .0
            .by(&Caller::Unknown)
            .destroy_due(&ssn(), Some(1))
            .unwrap(),
        [1]
    );
    replica.refuses(&accept(&one["message"]), Kind::KeyState, "destroyed here");
}

#[test]
fn another_key_of_that_name_stays_as_it_is() {
    let (source, replica) = pair();
    let message = source.does(&seal(1))["message"].clone();
    // Another logical key.
    replica
        .0
        .by(&Caller::Unknown)
        .create_logical(&ssn(), b"AES", 32, &Wanted::default())
        .unwrap();
    replica.refuses(
        &accept(&message),
        Kind::AlreadyExists,
        "another logical key",
    );
    // A plain key of the bare name, and of the version's.
    for plain in ["ssn", "ssn@1", "ssn@7"] {
        let replica = Server::new(3);
        join(&source, &replica);
        replica
            .0
            .by(&Caller::Unknown)
            .generate(plain.as_bytes(), b"app@%", b"AES", 32)
            .unwrap();
        replica.refuses(&accept(&message), Kind::AlreadyExists, "");
    }
    // The same key under another owner.
    let replica = Server::new(4);
    join(&source, &replica);
    replica.does(&accept(&message));
    let other = KeyId::new(b"ssn", b"other@%").unwrap();
    let record = replica.0.read_key(b"ssn@1", b"app@%").unwrap().unwrap();
    let moved = KeyId::new(b"ssn@1", b"other@%").unwrap();
    replica
        .0
        .by(&Caller::Unknown)
        .restore_moved(record.renamed(moved, replica.0.pool()).unwrap())
        .unwrap();
    replica
        .0
        .by(&Caller::Unknown)
        .remove_moved(&record.id)
        .unwrap();
    assert!(replica.0.logical_key(&other).is_ok());
    replica.refuses(&accept(&message), Kind::AlreadyExists, "is called");
}

/// Somebody copied the plain key by hand before it was made logical.
#[test]
fn a_plain_key_with_the_same_material_becomes_the_version() {
    let (source, replica) = (Server::new(1), Server::new(2));
    for server in [&source, &replica] {
        server
            .0
            .by(&Caller::Unknown)
            .store_key(b"ssn", b"app@%", b"SECRET", b"the same")
            .unwrap();
    }
    source
        .0
        .by(&Caller::Unknown)
        .adopt(&ssn(), &Wanted::default())
        .unwrap();
    source.0.by(&Caller::Unknown).rotate(&ssn(), true).unwrap();
    join(&source, &replica);
    let (one, two) = (source.does(&seal(1)), source.does(&seal(2)));
    replica.refuses(&accept(&two["message"]), Kind::AlreadyExists, "plain key");
    replica.does(&accept(&one["message"]));
    replica.does(&accept(&two["message"]));
    assert_eq!(
        replica.states(),
        [(1, State::Deactivated), (2, State::Active)]
    );
    assert_eq!(replica.material("ssn"), b"the same");
    let served = replica.0.fetch(b"ssn", b"app@%").unwrap().unwrap();
    assert_eq!(served.material(), b"the same");
    // With other material it stays what it is.
    let replica = Server::new(3);
    replica
        .0
        .by(&Caller::Unknown)
        .store_key(b"ssn", b"app@%", b"SECRET", b"another")
        .unwrap();
    join(&source, &replica);
    replica.refuses(
        &accept(&one["message"]),
        Kind::AlreadyExists,
        "other material",
    );
}

#[test]
fn a_transport_key_comes_in_by_a_hand_that_compared_it_only() {
    let (source, replica) = (Server::new(1), Server::new(2));
    let request = replica.does(&Order::Request { name: name() });
    // The same request again, as long as it is not answered.
    assert_eq!(
        replica.does(&Order::Request { name: name() })["public"],
        request["public"]
    );
    let publics = vec![text(&request["public"])];
    let new = Order::New {
        name: name(),
        publics: publics.clone(),
    };
    let handed = source.does(&new);
    let message = &handed["messages"][0]["message"];
    let with = |message: &Value, fingerprint: &str| Order::Accept {
        message: text(message),
        fingerprint: Some(fingerprint.into()),
    };
    replica.refuses(
        &accept(message),
        Kind::InvalidInput,
        "fingerprint is not given",
    );
    replica.refuses(&with(message, "abc"), Kind::InvalidInput, "no fingerprint");
    // An attacker who may write to the table makes a transport key of his own.
    let attacker = Server::new(9);
    let forged = attacker.does(&new);
    let forged = &forged["messages"][0]["message"];
    replica.refuses(
        &accept(forged),
        Kind::InvalidInput,
        "fingerprint is not given",
    );
    replica.refuses(
        &with(forged, handed["fingerprint"].as_str().unwrap()),
        Kind::InvalidInput,
        "of another transport key",
    );
    let print = text(&handed["fingerprint"]);
    // Without its request, and for another one.
    let other = Server::new(3);
    other.refuses(&with(message, &print), Kind::NotFound, "no request");
    other.does(&Order::Request { name: name() });
    other.refuses(
        &with(message, &print),
        Kind::InvalidInput,
        "is for the request",
    );
    let taken = replica.does(&with(message, &print));
    assert_eq!(taken["new"], true);
    assert_eq!(
        replica.does(&with(message, &print))["new"],
        false,
        "accepted twice"
    );
    let listed = replica.does(&Order::List);
    assert_eq!(
        listed["requests"],
        serde_json::json!([]),
        "the secret is gone"
    );
    assert_eq!(listed["transports"][0]["fingerprint"], print);
    // Another one of that name does not take its place.
    let second = attacker.does(&new);
    let theirs = text(&second["fingerprint"]);
    replica.refuses(
        &with(&second["messages"][0]["message"], &theirs),
        Kind::InvalidInput,
        "another transport key here",
    );
    // Who is new gets the same one.
    assert_eq!(source.does(&new)["fingerprint"], print);
    assert_eq!(source.does(&new)["new"], false);
    for bad in [
        vec![],
        vec![String::from("age1x")],
        vec![publics[0].clone(); MAX_PUBLICS + 1],
    ] {
        let order = Order::New {
            name: "unmade".into(),
            publics: bad,
        };
        source.refuses(&order, Kind::InvalidInput, "");
    }
    source.refuses(
        &Order::Request { name: "a/b".into() },
        Kind::InvalidInput,
        "no name",
    );
}

#[test]
fn receipts_prove_one_thing_of_one_server() {
    let (source, replica) = pair();
    source.0.by(&Caller::Unknown).rotate(&ssn(), true).unwrap();
    let one = replica.does(&accept(&source.does(&seal(1))["message"]));
    let two = replica.does(&accept(&source.does(&seal(2))["message"]));
    assert_eq!(source.does(&confirm(&one["receipt"]))["version"], 1);
    assert_eq!(source.does(&confirm(&two["receipt"]))["version"], 2);
    source.refuses(
        &confirm(&source.does(&seal(1))["message"]),
        Kind::InvalidInput,
        "no receipt",
    );
    replica.refuses(&accept(&one["receipt"]), Kind::InvalidInput, "is a receipt");
    // Of another transport key with that name.
    let (others, other) = pair();
    let theirs = other.does(&accept(&others.does(&seal(1))["message"]));
    source.refuses(
        &confirm(&theirs["receipt"]),
        Kind::InvalidInput,
        "another transport key",
    );
    // Every byte of it changed.
    let bytes = from_text(two["receipt"].as_str().unwrap()).unwrap();
    for at in 0..bytes.len() {
        let mut bad = bytes.clone();
        bad[at] ^= 0x20;
        let order = Order::Confirm {
            receipt: transport::to_text(&bad),
        };
        assert!(source.run(&order).is_err(), "byte {at}");
    }
    // Once the transport key is gone, nothing is believed.
    source.does(&Order::Remove { name: name() });
    source.refuses(
        &confirm(&two["receipt"]),
        Kind::NotFound,
        "no transport key",
    );
    source.refuses(&seal(1), Kind::NotFound, "no transport key");
    source.refuses(
        &Order::Remove { name: name() },
        Kind::NotFound,
        "no transport key",
    );
}

/// Whoever has the transport key can write a receipt; what he says of material that he has not got is no proof.
#[test]
fn a_receipt_for_other_material_is_refused() {
    let (source, replica) = pair();
    let message = source.does(&seal(1));
    let taken = replica.does(&accept(&message["message"]));
    let bytes = from_text(taken["receipt"].as_str().unwrap()).unwrap();
    let Message::Receipt(receipt) = transport::read(&bytes).unwrap() else {
        panic!("a receipt")
    };
    let key = replica
        .0
        .read_key(b"transport/replicas", OWNER)
        .unwrap()
        .unwrap();
    let keys = crate::envelope::TransportKeys::derive(replica.0.pool(), key.material()).unwrap();
    let mut said = receipt.said.clone();
    said.digest[0] ^= 1;
    let forged = crate::transport::receipt::Receipt::sign(&keys, said);
    let order = Order::Confirm {
        receipt: transport::to_text(&forged.write()),
    };
    source.refuses(&order, Kind::KeyState, "other material");
    let mut said = receipt.said.clone();
    said.key[0] ^= 1;
    let forged = crate::transport::receipt::Receipt::sign(&keys, said);
    let order = Order::Confirm {
        receipt: transport::to_text(&forged.write()),
    };
    source.refuses(&order, Kind::NotFound, "no logical key here has the id");
    let mut said = receipt.said;
    said.version = 9;
    let forged = crate::transport::receipt::Receipt::sign(&keys, said);
    let order = Order::Confirm {
        receipt: transport::to_text(&forged.write()),
    };
    source.refuses(&order, Kind::NotFound, "no version 9");
}

#[test]
fn what_is_not_there_or_no_accounts_is_not_sealed() {
    let (source, replica) = pair();
    source.refuses(&seal(2), Kind::NotFound, "no version 2");
    let key = KeyId::new(b"nothing", b"app@%").unwrap();
    let order = Order::Seal {
        name: name(),
        key,
        version: 1,
    };
    source.refuses(&order, Kind::NotFound, "no logical key");
    // A transport key is not sent as a key.
    let key = KeyId::new(b"transport/replicas", OWNER).unwrap();
    source
        .0
        .by(&Caller::Unknown)
        .adopt(&key, &Wanted::default())
        .unwrap();
    let order = Order::Seal {
        name: name(),
        key,
        version: 1,
    };
    source.refuses(&order, Kind::InvalidInput, "no account");
    // Without a uuid there is no receipt, and nothing is taken.
    let message = source.does(&seal(1));
    let said = carry_out(
        &replica.0.by(&Caller::Unknown),
        ServerId::default(),
        &accept(&message["message"]),
    );
    assert!(said.unwrap_err().to_string().contains("uuid"));
}
