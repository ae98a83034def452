//! Static files that are part of the binary: types, compression, caching.

use crate::request::Request;
use crate::response::Response;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{StatusCode, header};
use std::io::Write as _;
use std::sync::OnceLock;

/// A file in the binary, perhaps with its compressed forms beside it.
#[derive(Debug)]
pub struct Asset {
    /// Below the root, as `assets/index-4f2a.js`.
    pub path: &'static str,
    /// As it is.
    pub plain: &'static [u8],
    /// By brotli, where the build made one.
    pub brotli: Option<&'static [u8]>,
    made: OnceLock<Made>,
}

/// What is made of a file when it is first asked for.
#[derive(Debug)]
struct Made {
    etag: String,
    gzip: Option<Vec<u8>>,
}

impl Asset {
    /// A file.
    #[must_use]
    pub const fn new(
        path: &'static str,
        plain: &'static [u8],
        brotli: Option<&'static [u8]>,
    ) -> Self {
        Self { path, plain, brotli, made: OnceLock::new() }
    }

    /// The answer to who asks for this file. `immutable`: its name changes with its content, so
    /// that nobody needs to ask twice.
    #[must_use]
    pub fn answer(&'static self, request: &Request, immutable: bool) -> Response {
        let made = self.made.get_or_init(|| self.make());
        let caching = if immutable { "public, max-age=31536000, immutable" } else { "no-cache" };
        let accepted = request.header("accept-encoding").unwrap_or_default();
        let (bytes, encoding) = match (self.brotli, &made.gzip) {
            (Some(brotli), _) if accepts(accepted, "br") => (brotli, Some("br")),
            (_, Some(gzip)) if accepts(accepted, "gzip") => (gzip.as_slice(), Some("gzip")),
            _ => (self.plain, None),
        };
        let known = request.header("if-none-match").unwrap_or_default();
        let response = if known.split(',').any(|tag| tag.trim() == made.etag) {
            Response::no_content().status(StatusCode::NOT_MODIFIED)
        } else {
            Response::bytes(content_type(self.path), bytes)
        };
        let response = response
            .header(header::CACHE_CONTROL, caching)
            .header(header::ETAG, &made.etag)
            .header(header::VARY, "accept-encoding");
        match encoding {
            Some(encoding) => response.header(header::CONTENT_ENCODING, encoding),
            None => response,
        }
    }

    fn make(&self) -> Made {
        // FNV-1a: tells versions apart, and defends against nobody.
        let hash = self.plain.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let is_text = content_type(self.path).contains("charset");
        Made { etag: format!("W/\"{hash:016x}\""), gzip: is_text.then(|| gzip(self.plain)) }
    }
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(plain.len() / 3), Compression::best());
    encoder.write_all(plain).and_then(|()| encoder.finish()).expect("memory takes everything")
}

/// Whether `Accept-Encoding` allows a coding; `q=0` forbids it.
fn accepts(accepted: &str, coding: &str) -> bool {
    accepted.split(',').any(|item| {
        let mut parts = item.split(';').map(str::trim);
        let is_it = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(coding));
        let quality = parts.find_map(|part| part.strip_prefix("q=")?.parse::<f32>().ok());
        is_it && quality.is_none_or(|quality| quality > 0.0)
    })
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "map" => "application/json; charset=utf-8",
        "svg" => "image/svg+xml; charset=utf-8",
        "txt" => "text/plain; charset=utf-8",
        "webmanifest" => "application/manifest+json; charset=utf-8",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "wasm" => "application/wasm",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_coding_is_used_only_where_it_is_accepted() {
        assert!(accepts("gzip, deflate, br", "br"));
        assert!(accepts("GZIP;q=0.5", "gzip"));
        assert!(!accepts("gzip;q=0, br", "gzip"));
        assert!(!accepts("", "gzip"));
        assert!(!accepts("gzippy", "gzip"));
    }
}
