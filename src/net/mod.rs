//! HTTP, and messages over TLS, for KEKs that are not on this machine: one request, one bounded answer, one deadline.
//!
//! Owns what every service's client needs and none should do for itself: names, connections, proxies, TLS with the
//! system's roots, a `ca_file` and client certificates, limits, Retry-After, and the sentences for what goes wrong.
//! It must never leave a thread behind that anybody would have to join, never follow a redirect, never read an answer
//! without an end, and never show a header or a body. It knows no vendor: what an answer means is its caller's business.

mod answer;
mod client;
mod connect;
mod error;
mod proxy;
mod request;
mod talk;
mod tls;
mod url;

pub use answer::{Answer, MAX_RETRY_AFTER};
pub use client::{Client, Options};
pub use error::{Cause, NetError, ProxyFault, Step};
pub use proxy::Proxy;
pub use request::{MAX_ANSWER, Method, Request};
pub use talk::Talk;
pub use tls::Identity;
pub use url::{MAX_URL, check_endpoint, host, is_here, split_url};

/// The first cause of this type. An io::Error hides what it wraps from `source`.
fn find<'a, T: std::error::Error + 'static>(
    error: &'a (dyn std::error::Error + 'static),
) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(e) = next {
        if let Some(found) = e.downcast_ref::<T>() {
            return Some(found);
        }
        let inner = e
            .downcast_ref::<std::io::Error>()
            .and_then(|io| io.get_ref());
        next = match inner {
            Some(inner) => Some(inner as &(dyn std::error::Error + 'static)),
            None => e.source(),
        };
    }
    None
}
