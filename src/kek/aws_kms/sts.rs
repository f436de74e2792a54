//! STS: one call that gives the credentials of a role.
//!
//! Owns the client for it. Every option that is about STS reaches every call here. It must never keep what it gets.

use super::AwsKmsConfig;
use super::answer;
use super::credentials::Credentials;
use super::endpoint::{self, Service};
use super::errors::{Question, from_answer};
use super::http::Net;
use super::names::Text;
use crate::error::Result;
use crate::kek::cloud::form as form_of;
use crate::kek::token_file;
use crate::net::Answer;
use roxmltree::{Document, Node};
use std::fmt::Display;

/// The version of its interface (AWS STS API Reference).
const VERSION: &str = "2011-06-15";
/// The shortest that STS gives: one call is made with it.
const SECONDS: &str = "900";
/// The field of a web identity token.
const TOKEN: &str = "WebIdentityToken";
/// Longest answer in bytes: the longest token that is taken, and the rest.
const MAX_TEXT: usize = 64 * 1024;
/// Most declarations of name spaces in an answer: STS has one.
const MAX_NAME_SPACES: usize = 8;
/// A session's name where nothing else is said.
const SESSION: &str = "keyring-ward";

/// A text of the configuration, of a file or of the environment, with its place for messages.
pub(super) struct Told<'a> {
    pub(super) text: &'a str,
    pub(super) place: &'a dyn Display,
}

impl<'a> Told<'a> {
    fn checked(&self, kind: Text) -> Result<&'a str> {
        kind.check(self.text, self.place)?;
        Ok(self.text)
    }
}

/// Who asks STS, and where it is.
pub(super) struct Sts<'a> {
    net: &'a Net,
    region: &'a str,
    url: String,
}

impl<'a> Sts<'a> {
    /// Finds out where STS is. No call yet.
    pub(super) fn new(config: &AwsKmsConfig, net: &'a Net, region: &'a str) -> Result<Sts<'a>> {
        Ok(Sts {
            net,
            region,
            url: endpoint::url(Service::Sts, config, region)?,
        })
    }

    fn question<'q>(&self, action: &'static str, role: &'q str) -> Question<'q> {
        Question {
            op: "get a role's credentials from STS",
            action,
            key: role,
            place: self.url.clone(),
            service: "STS",
            of_key: false,
        }
    }

    /// Assumes a role with credentials.
    pub(super) fn assume(
        &self,
        credentials: Credentials,
        role: Told<'_>,
        external_id: Option<Told<'_>>,
        session: Option<Told<'_>>,
    ) -> Result<Credentials> {
        let arn = role.checked(Text::Role)?;
        let external_id = external_id
            .map(|t| t.checked(Text::ExternalId))
            .transpose()?;
        let session = session.map(|t| t.checked(Text::SessionName)).transpose()?;
        let mut form = vec![
            ("Action", "AssumeRole"),
            ("RoleArn", arn),
            ("RoleSessionName", session.unwrap_or(SESSION)),
        ];
        form.extend(external_id.map(|id| ("ExternalId", id)));
        let asked = self.question("sts:AssumeRole", arn);
        self.call(&asked, Some(&credentials), form, role.place)
    }

    /// Assumes a role with a web identity token.
    pub(super) fn assume_with_token(
        &self,
        role: Told<'_>,
        token_file: Told<'_>,
        session: Option<Told<'_>>,
    ) -> Result<Credentials> {
        let arn = role.checked(Text::Role)?;
        let session = session.map(|t| t.checked(Text::SessionName)).transpose()?;
        let token = token_file::read(token_file.text, &token_file.place.to_string())?;
        let whose = format!("the token in '{}' ({})", token_file.text, token_file.place);
        Text::WebIdentity.check(&token, &whose)?;
        let form = vec![
            ("Action", "AssumeRoleWithWebIdentity"),
            ("RoleArn", arn),
            ("RoleSessionName", session.unwrap_or(SESSION)),
            (TOKEN, &token),
        ];
        let asked = self.question("sts:AssumeRoleWithWebIdentity", arn);
        self.call(&asked, None, form, &whose)
    }

    /// A call; `whose` stands before its error.
    fn call(
        &self,
        asked: &Question<'_>,
        credentials: Option<&Credentials>,
        mut form: Vec<(&str, &str)>,
        whose: &dyn Display,
    ) -> Result<Credentials> {
        form.extend([("Version", VERSION), ("DurationSeconds", SECONDS)]);
        let place = (Service::Sts, self.region, &*self.url);
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        let body = form_of(&form);
        let answer = self
            .net
            .post(asked, place, credentials, &headers, body.as_bytes())
            .map_err(|e| e.context(whose))?;
        let token = form.iter().filter(|(name, _)| *name == TOKEN);
        let token = token.map(|(_, value)| *value);
        let of_credentials = credentials.and_then(Credentials::session_token);
        let sent: Vec<&str> = token.chain(of_credentials).collect();
        read(asked, &answer, &sent, whose)
    }
}

/// Reads an answer. `sent`: secrets that the question carried; `whose` stands before its error.
pub(super) fn read(
    asked: &Question<'_>,
    answer: &Answer,
    sent: &[&str],
    whose: &dyn Display,
) -> Result<Credentials> {
    let text = std::str::from_utf8(answer.body()).unwrap_or_default();
    let document = parse(text);
    let root = document.as_ref().map(Document::root_element);
    match root.filter(|_| (200..300).contains(&answer.status())) {
        Some(root) => credentials(asked, root),
        None => {
            let of = |name| root.and_then(|root| inside(root, &["Error", name]));
            let error = from_answer(asked, answer, of("Code"), of("Message"), sent);
            Err(error.context(whose))
        }
    }
}

/// Reads XML that is no longer than STS's, nor stranger: the time that the reader takes grows with the cube of the name
/// spaces that are declared within each other, and with the square of an element's attributes.
fn parse(text: &str) -> Option<Document<'_>> {
    let is_bounded = text.len() <= MAX_TEXT && text.matches("xmlns").count() <= MAX_NAME_SPACES;
    is_bounded.then(|| Document::parse(text).ok())?
}

fn credentials(asked: &Question<'_>, root: Node<'_, '_>) -> Result<Credentials> {
    let of = |name| {
        let result = root.children().find(Node::is_element)?;
        inside(result, &["Credentials", name])
    };
    let found = (of("AccessKeyId"), of("SecretAccessKey"), of("SessionToken"));
    let (Some(id), Some(secret), Some(token)) = found else {
        return Err(asked.odd_answer("no credentials"));
    };
    let place = format!("the answer of STS ({})", asked.place);
    answer::make((id, &place), (secret, &place), Some((token, &place)))
}

/// The text of the element that lies so within `node`.
fn inside<'a>(node: Node<'a, '_>, path: &[&str]) -> Option<&'a str> {
    let found = path.iter().try_fold(node, |node, name| {
        node.children().find(|n| n.tag_name().name() == *name)
    });
    found?.text()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_by_their_structure() {
        let text = "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type>\
                    <Code>AccessDenied</Code><Message>a &lt;b&gt;</Message></Error></ErrorResponse>";
        let document = Document::parse(text).unwrap();
        let root = document.root_element();
        assert_eq!(inside(root, &["Error", "Code"]), Some("AccessDenied"));
        assert_eq!(inside(root, &["Error", "Message"]), Some("a <b>"));
        assert_eq!(inside(root, &["Code"]), None);
        // No entities of its own: an answer can't grow while it is read.
        let bomb = "<!DOCTYPE a [<!ENTITY b \"bbbb\">]><a>&b;</a>";
        assert!(Document::parse(bomb).is_err());
    }

    /// A mebibyte of the first kind would take hours to read, one of the second ten seconds.
    #[test]
    fn an_answer_that_is_dear_to_read_is_not_read() {
        let nested: String = (0..9).map(|i| format!("<a xmlns:b{i}=\"c\">")).collect();
        let whole = format!("{nested}{}", "</a>".repeat(9));
        assert!(Document::parse(&whole).is_ok() && parse(&whole).is_none());
        let attributes: String = (0..8000).map(|i| format!(" a{i}=\"\"")).collect();
        assert!(parse(&format!("<a{attributes}/>")).is_none());
        let deep = "<a>".repeat(5000) + &"</a>".repeat(5000);
        assert!(parse(&deep).is_some());
    }
}
