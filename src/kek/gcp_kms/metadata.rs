//! Tokens of the metadata server: of the service account that a machine, a pod (Workload Identity) or a container has.
//!
//! Owns the question, and the header by which both sides know each other. It must never take an answer without that
//! header for Google's.

use super::answer;
use super::errors::{self, Step};
use super::names::SCOPE;
use crate::deadline::Deadline;
use crate::error::Result;
use crate::kek::cloud::{Metadata, Question, Refusal, encoded, json_object};
use crate::net::{Answer, Method, Request};
use zeroize::Zeroizing;

/// The header of questions and answers.
const FLAVOR: (&str, &str) = ("metadata-flavor", "Google");

/// A token of the default service account.
pub(super) fn token(service: &Metadata, end: Deadline) -> Result<Zeroizing<String>> {
    let url = format!(
        "{}/computeMetadata/v1/instance/service-accounts/default/token?scopes={}",
        service.base(),
        *encoded(SCOPE)
    );
    let request = Request::new(Method::Get, url)
        .header(FLAVOR.0, FLAVOR.1)
        .want(FLAVOR.0);
    let asked = question(service.base());
    read(&asked, &service.send(&asked, request, end)?)
}

/// The question for it.
pub(super) fn question(place: &str) -> Question<'_> {
    Question {
        op: "get a token of Google's metadata server",
        call: "service-accounts/default/token",
        key: SCOPE,
        place,
        service: "Google's metadata server",
        options: "metadata_url",
    }
}

/// The token of an answer.
pub(super) fn read(asked: &Question<'_>, answer: &Answer) -> Result<Zeroizing<String>> {
    let later = matches!(answer.status(), 408 | 429 | 500..);
    if !later && answer.header(FLAVOR.0) != Some(FLAVOR.1) {
        return Err(asked.odd_answer("no Metadata-Flavor: Google"));
    }
    if answer.status() == 200 {
        let members = json_object(answer.body()).unwrap_or_default();
        return answer::token(asked, members, "access_token");
    }
    let table = |refusal: &Refusal<'_>| errors::explain(Step::Metadata, refusal);
    Err(asked.refused(answer, None, Some(words(answer)), table, &[]))
}

/// What it says where it refuses, in a text of its own. Pages for browsers are not shown, and no JSON: a token could be in
/// it.
fn words(answer: &Answer) -> &str {
    let text = std::str::from_utf8(answer.body())
        .unwrap_or_default()
        .trim();
    match text.lines().next() {
        Some(line) if answer.status() >= 400 && !line.starts_with(['<', '{']) => line,
        _ => "no words of its own",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn of(status: u16, flavor: &str, body: &str) -> std::result::Result<String, (Kind, String)> {
        let headers = vec![(FLAVOR.0.to_string(), flavor.to_string())];
        let answer = Answer::new(status, headers, Zeroizing::new(body.into()));
        let token = read(&question("http://169.254.169.254"), &answer);
        token
            .map(|t| t.to_string())
            .map_err(|e| (e.kind(), e.to_string()))
    }

    #[test]
    fn only_the_metadata_server_gives_a_token() {
        const GOOD: &str = r#"{"access_token":"ya29.x","expires_in":3599,"token_type":"Bearer"}"#;
        assert_eq!(of(200, "Google", GOOD).unwrap(), "ya29.x");
        for (status, flavor, body, kind, words) in [
            (200, "", GOOD, Kind::Config, "no Metadata-Flavor"),
            (200, "Amazon", GOOD, Kind::Config, "no Metadata-Flavor"),
            (200, "Google", "<html>", Kind::Config, "no token"),
            (
                200,
                "Google",
                r#"{"access_token":"a\r\nb"}"#,
                Kind::Config,
                "no token",
            ),
            (
                302,
                "Google",
                "",
                Kind::Config,
                "Redirects are not followed",
            ),
            (
                404,
                "Google",
                "<!DOCTYPE html>\n<p>x",
                Kind::Denied,
                "has no service account",
            ),
            (
                404,
                "",
                "<!DOCTYPE html>",
                Kind::Config,
                "no Metadata-Flavor",
            ),
            (
                403,
                "Google",
                "Unable to generate access token; IAM returned 403\nmore",
                Kind::Denied,
                "IAM returned 403 (HTTP",
            ),
            (500, "", "", Kind::Unreachable, "tried again"),
            (503, "Google", "\u{7}busy", Kind::Unreachable, "busy"),
        ] {
            let (got, said) = of(status, flavor, body).unwrap_err();
            assert_eq!(got, kind, "{status} {body}: {said}");
            assert!(said.contains(words), "{words}: {said}");
            assert!(
                !said.contains(char::is_control) && !said.contains("ya29"),
                "{said}"
            );
        }
    }
}
