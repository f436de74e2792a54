//! Asking the servers: one after the other until one answers, each on a connection of its own.
//!
//! Owns how the time is shared among them: a server that is away must not take that of those behind it. It must never keep
//! a connection, a certificate or the memory of who was away beyond one call, and never ask a second server for what the
//! first one refused. A server that is in trouble by its own word has refused nothing.

use super::config::KmipConfig;
use super::errors::Question;
use super::message::{NoAnswer, tag};
use super::ttlv::{HEAD, MAX_MESSAGE, length_behind};
use crate::deadline::Deadline;
use crate::error::{Kind, Result};
use crate::net::{Client, Identity, Options, Proxy, Talk};
use crate::secret_source::Warnings;

/// What `read` finds in the answer to a message. Certificates are read now: they may have been renewed.
pub(super) fn ask<T>(
    config: &KmipConfig,
    question: &Question<'_>,
    message: &[u8],
    deadline: Deadline,
    warnings: &Warnings,
    read: impl Fn(&[u8]) -> std::result::Result<T, NoAnswer>,
) -> Result<std::result::Result<T, NoAnswer>> {
    let client = Client::new(&Options {
        ca_file: config.ca_file.as_deref(),
        identity: Some(Identity {
            chain: &config.certificate,
            key: &config.private_key,
        }),
        proxy: Proxy::None,
        connect: config.connect_timeout,
    })?;
    let (mut failed, mut passed_over, mut trouble) = (Vec::new(), Vec::new(), None);
    for (i, address) in config.addresses.iter().enumerate() {
        let share = deadline.remaining() / (config.addresses.len() - i) as u32;
        let end = Deadline::after(config.attempt_timeout.min(share));
        let talk = Talk {
            host: &address.host,
            port: address.port,
            name: config.server_name.as_deref(),
            message,
            head: HEAD,
            behind: |head| length_behind(head, tag::RESPONSE_MESSAGE),
            limit: MAX_MESSAGE,
        };
        match client.talk(&talk, end) {
            Ok(answer) => match read(&answer) {
                Err(no) if question.may_pass(&no) => {
                    let why = question.told(&no);
                    passed_over.push(format!("{address} answered with {why}"));
                    trouble = trouble.or(Some(no));
                }
                found => {
                    warnings.add(passed_over.iter().map(|why| {
                        format!(
                            "A KMIP server was passed over: {why}. {address} was asked instead."
                        )
                    }));
                    return Ok(found);
                }
            },
            // It is this machine's trouble, not the server's.
            Err(e) if matches!(e.kind(), Kind::Internal | Kind::Io) => {
                return Err(question.unanswered(vec![e]));
            }
            Err(e) => {
                passed_over.push(e.to_string());
                failed.push(e);
            }
        }
    }
    match trouble {
        Some(no) => Ok(Err(no)),
        None => Err(question.unanswered(failed)),
    }
}
