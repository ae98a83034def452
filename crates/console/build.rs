//! Lists the files of `web/dist`, so that they become part of the binary. A tree without them
//! still builds: the console then says that its front end is missing.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a build script runs on the machine that builds, and its failure is the build's"
)]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

fn main() {
    let root =
        PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap()).join("../../web/dist");
    println!("cargo:rerun-if-changed={}", root.display());
    let mut files = Vec::new();
    collect(&root, &mut files);
    files.sort();
    let is_plain = |file: &&PathBuf| {
        let extension = file.extension().and_then(|extension| extension.to_str());
        !matches!(extension, Some("br" | "gz"))
    };
    let count = files.iter().filter(is_plain).count();
    let mut code = format!("static FILES: [Asset; {count}] = [\n");
    for file in files.iter().filter(is_plain) {
        println!("cargo:rerun-if-changed={}", file.display());
        let name = file.strip_prefix(&root).unwrap().to_str().unwrap();
        let compressed = PathBuf::from(format!("{}.br", file.display()));
        let brotli = if files.contains(&compressed) {
            format!("Some(include_bytes!({compressed:?}))")
        } else {
            "None".to_owned()
        };
        writeln!(code, "    Asset::new({name:?}, include_bytes!({file:?}), {brotli}),").unwrap();
    }
    code.push_str("];\n");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").unwrap()).join("front_files.rs");
    std::fs::write(out, code).unwrap();
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else {
            files.push(path);
        }
    }
}
