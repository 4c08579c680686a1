//! What the types forbid: each program in `compile_fail/` must fail to compile, with the errors that its `.stderr` lists.
//! A program may hold several cases, one a function: all of them are checked at once.
//!
//! The programs are examples of this package behind a feature, built by the cargo and the profile that run this test, so
//! that nothing is compiled for them but themselves. `UPDATE_EXPECT=1` writes the lists anew.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

#[test]
fn what_the_types_forbid_does_not_compile() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("it/compile_fail");
    let errors = compile();
    let mut wrong = Vec::new();
    for program in programs(&folder) {
        let name = program
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let found = errors.get(&name).cloned().unwrap_or_default();
        let list = program.with_extension("stderr");
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            std::fs::write(&list, &found).unwrap_or_else(|error| panic!("{}: {error}", list.display()));
        }
        let expected = std::fs::read_to_string(&list).unwrap_or_default();
        if found.is_empty() {
            wrong.push(format!("{name} compiles, or is not in Cargo.toml"));
        } else if found != expected {
            wrong.push(format!("{name}: expected\n{expected}found\n{found}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn programs(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut programs: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect();
    programs.sort();
    assert!(!programs.is_empty(), "{} holds no program", folder.display());
    programs
}

/// The compiler's errors by program: code, line and message. Its explanations are left out, for they quote our sources.
fn compile() -> BTreeMap<String, String> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args([
        "build",
        "--offline",
        "--keep-going",
        "--message-format=json",
        "-p",
        "tests",
    ]);
    cargo.args(["--examples", "--features", "compile_fail"]);
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    let output = cargo
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("the cargo that runs this test can be run again");
    let mut errors: BTreeMap<String, String> = BTreeMap::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let Ok(message) = serde_json::from_str::<Value>(line) else {
            continue;
        };
        if let Some(error) = error(&message) {
            let program = message["target"]["name"].as_str().unwrap_or_default();
            errors.entry(program.to_owned()).or_default().push_str(&error);
        }
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(!errors.is_empty(), "cargo found no errors:\n{complaint}");
    errors
}

fn error(message: &Value) -> Option<String> {
    let message = &message["message"];
    let code = message["code"]["code"].as_str()?;
    if message["level"] != "error" {
        return None;
    }
    let spans = message["spans"].as_array()?;
    let mut span = spans.iter().find(|span| span["is_primary"] == true)?;
    // In a macro: where it is used.
    while span["expansion"]["span"].is_object() {
        span = &span["expansion"]["span"];
    }
    let line = span["line_start"].as_u64()?;
    Some(format!("{code}, line {line}: {}\n", message["message"].as_str()?))
}
