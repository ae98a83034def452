//! The built front end, as part of the binary.

use afluente_httpd::assets::Asset;
use afluente_httpd::problem::Problem;
use afluente_httpd::request::Request;
use afluente_httpd::response::Response;

include!(concat!(env!("OUT_DIR"), "/front_files.rs"));

/// Shown where the front end was not built.
static MISSING: Asset = Asset::new(
    "index.html",
    b"<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Afluente</title>\
      <h1>Afluente</h1><p>This binary was built without the console's front end (web/dist). \
      The interface below <code>/api/</code> works: try <a href=\"/api/overview\">/api/overview</a>.",
    None,
);

/// A file, or the page that finds its own way.
pub(crate) fn answer(request: &Request) -> Result<Response, Problem> {
    let path = request.path().trim_start_matches('/');
    let file = FILES.iter().find(|file| file.path == path);
    match file {
        Some(file) => Ok(file.answer(request, path.starts_with("assets/"))),
        None if path.starts_with("assets/") => {
            let why = format!("there is no file {path:?} in this version");
            Err(Problem::not_found("could not find a file of the console", why)
                .remedy("load the page again"))
        }
        None => {
            let index = FILES.iter().find(|file| file.path == "index.html").unwrap_or(&MISSING);
            Ok(index.answer(request, false))
        }
    }
}
