//! The guard against foreign web pages: what a browser does at the order of a page that is not
//! ours is refused.
//!
//! Two ways lead from a foreign page to a server on localhost. By **DNS rebinding** a name of the
//! attacker comes to mean 127.0.0.1: such requests carry his name in `Host`, so only addresses,
//! `localhost` and names that were configured pass. By **cross-site requests** a page has the
//! browser send a form or open a WebSocket: these carry the page's `Origin`, and what changes
//! something must not have a content type that forms can have.

use crate::problem::Problem;
use http::request::Parts;
use http::{Method, StatusCode, header};
use std::net::IpAddr;

/// What passes.
#[derive(Debug, Clone, Default)]
pub struct Guard {
    /// Names by which this server may be called, beside `localhost` and addresses.
    pub names: Vec<String>,
}

/// Content types of bodies that change something. A form of a foreign page can have none of them
/// without asking first (Fetch Standard, CORS-safelisted request-header), and we never say yes.
const CONTENT_TYPES: &[&str] = &["application/json", "application/x-ndjson", "text/csv"];

impl Guard {
    /// Looks at the head of a request.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn check(&self, head: &Parts) -> Result<(), Problem> {
        let host = self.check_host(head)?;
        let opens_websocket = head.headers.contains_key(header::UPGRADE);
        let changes = !matches!(head.method, Method::GET | Method::HEAD | Method::OPTIONS);
        if !changes && !opens_websocket {
            return Ok(());
        }
        if let Some(origin) = head.headers.get(header::ORIGIN) {
            let origin = origin.to_str().unwrap_or_default();
            let authority = origin.split_once("://").map(|(_, authority)| authority);
            if authority.is_none_or(|authority| !authority.eq_ignore_ascii_case(host)) {
                return Err(foreign(&format!("the page {origin} is not one of {host}")));
            }
        }
        let site = head.headers.get("sec-fetch-site").map(header::HeaderValue::as_bytes);
        if matches!(site, Some(b"cross-site" | b"same-site")) {
            return Err(foreign("the browser says that another site asks for it"));
        }
        if changes && head.method != Method::DELETE {
            check_content_type(head)?;
        }
        Ok(())
    }

    fn check_host<'a>(&self, head: &'a Parts) -> Result<&'a str, Problem> {
        let mut hosts = head.headers.get_all(header::HOST).iter();
        let host = hosts.next().and_then(|host| host.to_str().ok());
        let (Some(host), None) = (host, hosts.next()) else {
            return Err(foreign("the request has no Host, or several"));
        };
        let name = name_of(host);
        let is_address = name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
        let is_local = name.eq_ignore_ascii_case("localhost");
        let is_configured = self.names.iter().any(|known| known.eq_ignore_ascii_case(name));
        if is_address || is_local || is_configured {
            return Ok(host);
        }
        Err(foreign(&format!("this server does not go by the name {name:?}")).remedy(
            "open it by its address or as localhost, or configure the name as one of its own",
        ))
    }
}

fn check_content_type(head: &Parts) -> Result<(), Problem> {
    let content_type = head.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let content_type = content_type.unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    if CONTENT_TYPES.iter().any(|allowed| allowed.eq_ignore_ascii_case(essence)) {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "INVALID_REQUEST",
        "refused the request",
        format!("its content-type {content_type:?} is none of {}", CONTENT_TYPES.join(", ")),
    )
    .remedy("send JSON, with content-type: application/json"))
}

/// `localhost` of `localhost:8080`, `[::1]` of `[::1]:8080`.
fn name_of(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

fn foreign(why: &str) -> Problem {
    Problem::new(StatusCode::FORBIDDEN, "FOREIGN_ORIGIN", "refused the request", why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(method: &str, headers: &[(&str, &str)]) -> u16 {
        let mut builder = http::Request::builder().method(method).uri("/");
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        let guard = Guard { names: vec!["kafka.example".to_owned()] };
        let (head, ()) = builder.body(()).unwrap().into_parts();
        guard.check(&head).map_or_else(|problem| problem.status.as_u16(), |()| 200)
    }

    #[test]
    fn only_addresses_and_known_names_are_a_host() {
        for host in [
            "localhost",
            "LOCALHOST:8080",
            "127.0.0.1:8080",
            "[::1]:8080",
            "[::1]",
            "10.0.0.7",
            "kafka.example:80",
        ] {
            assert_eq!(check("GET", &[("host", host)]), 200, "{host}");
        }
        for host in ["evil.example", "localhost.evil.example:8080", "", "127.0.0.1.evil.example"] {
            assert_eq!(check("GET", &[("host", host)]), 403, "{host}");
        }
        assert_eq!(check("GET", &[]), 403);
        assert_eq!(check("GET", &[("host", "localhost"), ("host", "127.0.0.1")]), 403);
    }

    #[test]
    fn changes_come_from_our_own_page_or_from_no_page() {
        let host = ("host", "localhost:8080");
        let json = ("content-type", "application/json");
        let cases: &[(&str, &[_], u16)] = &[
            ("no page", &[host, json], 200),
            ("our page", &[host, json, ("origin", "http://localhost:8080")], 200),
            ("another port", &[host, json, ("origin", "http://localhost:8081")], 403),
            ("another site", &[host, json, ("origin", "https://evil.example")], 403),
            ("a sandboxed frame", &[host, json, ("origin", "null")], 403),
            ("told by the browser", &[host, json, ("sec-fetch-site", "cross-site")], 403),
            ("ours, told by the browser", &[host, json, ("sec-fetch-site", "same-origin")], 200),
            ("with a charset", &[host, ("content-type", "application/json; charset=utf-8")], 200),
            ("a form", &[host, ("content-type", "application/x-www-form-urlencoded")], 415),
            ("text, as forms can send", &[host, ("content-type", "text/plain")], 415),
            ("no type", &[host], 415),
        ];
        for (why, headers, expected) in cases {
            assert_eq!(check("POST", headers), *expected, "{why}");
        }
        assert_eq!(check("DELETE", &[host]), 200);
        assert_eq!(check("DELETE", &[host, ("origin", "https://evil.example")]), 403);
        assert_eq!(check("GET", &[host, ("origin", "https://evil.example")]), 200);
        let socket = [host, ("upgrade", "websocket"), ("origin", "https://evil.example")];
        assert_eq!(check("GET", &socket), 403);
    }
}
