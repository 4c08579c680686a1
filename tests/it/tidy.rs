//! House rules that can be checked by looking: which crate may know which, where certain names may occur, how files begin.
//!
//! Each rule is a function over text, shown to fail on a small example beside it, and then run over the repository.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Longest Rust file, in lines.
const LINES_MAX: usize = 1_100;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .canonicalize()
        .unwrap()
}

/// All files below the root with this ending: path from the root, and text. Build output and git's folder are left out.
fn files(ending: &str) -> Vec<(String, String)> {
    let root = root();
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(&root).unwrap().to_str().unwrap();
            if path.is_dir() {
                if !["target", ".git"].contains(&name) {
                    folders.push(path);
                }
            } else if name.ends_with(ending) {
                let text = fs::read_to_string(&path).unwrap();
                found.push((name.to_owned(), text));
            }
        }
    }
    assert!(!found.is_empty(), "no {ending} below {}", root.display());
    found.sort();
    found
}

fn sources() -> Vec<(String, String)> {
    files(".rs")
        .into_iter()
        .filter(|(path, _)| path.contains("/src/"))
        .collect()
}

/// Crates that a crate may depend on, beside those outside of the workspace.
fn allowed(package: &str) -> Option<&'static [&'static str]> {
    match package {
        "state-store" => Some(&[]),
        "streams-core" => Some(&["state-store"]),
        "streams-dsl" => Some(&["streams-core", "state-store"]),
        "broker" | "streams-kafka" => Some(&["streams-core"]),
        "examples" | "tests" | "benches" => None,
        other => panic!("the new crate {other} needs its place in the picture of ARCHITECTURE.md, and here"),
    }
}

fn wrong_arrows(dependencies: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    let mut wrong = Vec::new();
    for (package, uses) in dependencies {
        let Some(allowed) = allowed(package) else { continue };
        let sideways = uses.iter().filter(|used| !allowed.contains(&used.as_str()));
        wrong.extend(sideways.map(|used| format!("{package} -> {used}")));
    }
    wrong
}

#[test]
fn dependencies_point_up() {
    let bad = BTreeMap::from([("broker".to_owned(), BTreeSet::from(["streams-dsl".to_owned()]))]);
    assert_eq!(wrong_arrows(&bad), ["broker -> streams-dsl"]);

    let metadata = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .current_dir(root())
        .output()
        .unwrap();
    let metadata: serde_json::Value = serde_json::from_slice(&metadata.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let names: BTreeSet<&str> = packages
        .iter()
        .map(|package| package["name"].as_str().unwrap())
        .collect();
    let dependencies = packages.iter().map(|package| {
        let all = package["dependencies"].as_array().unwrap().iter();
        let normal = all.filter(|dependency| dependency["kind"].is_null());
        let used = normal.map(|dependency| dependency["name"].as_str().unwrap());
        let used = used
            .filter(|name| names.contains(name))
            .map(str::to_owned)
            .collect();
        (package["name"].as_str().unwrap().to_owned(), used)
    });
    assert_eq!(wrong_arrows(&dependencies.collect()), [""; 0]);
}

/// Lines with this text in files that may not have it.
fn misplaced(files: &[(String, String)], text: &str, may: impl Fn(&str) -> bool) -> Vec<String> {
    let others = files.iter().filter(|(path, _)| !may(path));
    let lines = others.flat_map(|(path, content)| content.lines().map(move |line| (path, line)));
    let code = lines.filter(|(_, line)| !line.trim_start().starts_with("//") && line.contains(text));
    code.map(|(path, line)| format!("{path}: {}", line.trim()))
        .collect()
}

#[test]
fn names_stay_where_they_belong() {
    let example = [(
        "a/src/x.rs".to_owned(),
        "let x: &dyn Any;\n// dyn Any in words\n".to_owned(),
    )];
    assert_eq!(
        misplaced(&example, "dyn Any", |_| false),
        ["a/src/x.rs: let x: &dyn Any;"]
    );
    assert_eq!(
        misplaced(&example, "dyn Any", |path| path == "a/src/x.rs"),
        [""; 0]
    );

    let sources = sources();
    let nothing = [""; 0];
    assert_eq!(
        misplaced(&sources, "dyn Any", |path| path
            == "streams-core/src/topology/wire.rs"),
        nothing
    );
    for clock in ["SystemTime::now", "Instant::now"] {
        assert_eq!(
            misplaced(&sources, clock, |path| path == "streams-core/src/time.rs"),
            nothing
        );
    }
    assert_eq!(
        misplaced(&sources, "rocksdb::", |path| path
            .starts_with("state-store/src/persistent")),
        nothing
    );
    assert_eq!(
        misplaced(&sources, "rdkafka", |path| path.starts_with("streams-kafka/")),
        nothing
    );
    let broker: Vec<_> = sources
        .into_iter()
        .filter(|(path, _)| path.starts_with("broker/"))
        .collect();
    assert_eq!(
        misplaced(&broker, "streams_core", |path| path
            .starts_with("broker/src/embedded")
            // The edge is handed the clock.
            || path.starts_with("broker/src/server")
            || path == "broker/src/main.rs"),
        nothing
    );
}

#[test]
fn nothing_is_left_undone() {
    let markers = [
        concat!("todo", "!("),
        concat!("unimplemented", "!("),
        concat!("#[ign", "ore"),
    ];
    let example = [("x.rs".to_owned(), format!("fn f() {{ {}) }}", markers[0]))];
    assert_eq!(misplaced(&example, markers[0], |_| false).len(), 1);
    for marker in markers {
        assert_eq!(misplaced(&files(".rs"), marker, |_| false), [""; 0]);
    }
}

fn without_paragraph(files: &[(String, String)]) -> Vec<&str> {
    files
        .iter()
        .filter(|(_, text)| !text.starts_with("//!"))
        .map(|(path, _)| path.as_str())
        .collect()
}

#[test]
fn files_say_what_lives_there() {
    assert_eq!(
        without_paragraph(&[("x.rs".to_owned(), "use std::fs;".to_owned())]),
        ["x.rs"]
    );
    assert_eq!(without_paragraph(&sources()), [""; 0]);
}

fn too_long(files: &[(String, String)], lines_max: usize) -> Vec<&str> {
    files
        .iter()
        .filter(|(_, text)| text.lines().count() > lines_max)
        .map(|(path, _)| path.as_str())
        .collect()
}

#[test]
fn files_fit_in_the_head() {
    assert_eq!(too_long(&[("x.rs".to_owned(), "\n".repeat(3))], 2), ["x.rs"]);
    assert_eq!(too_long(&files(".rs"), LINES_MAX), [""; 0]);
}

/// Targets of relative links, without anchors.
fn links(markdown: &str) -> Vec<&str> {
    let targets = markdown
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next());
    let relative = targets.filter(|target| !target.contains("://") && !target.starts_with('#'));
    relative
        .map(|target| target.split('#').next().unwrap_or_default())
        .collect()
}

#[test]
fn links_lead_somewhere() {
    assert_eq!(links("[a](b.md#c) [d](https://e) [f](#g)"), ["b.md"]);
    let pages = files(".md");
    let broken = pages.iter().flat_map(|(path, text)| {
        let folder = root().join(path).parent().unwrap().to_owned();
        let missing = links(text)
            .into_iter()
            .filter(move |target| !folder.join(target).exists());
        missing.map(move |target| format!("{path}: {target}"))
    });
    assert_eq!(broken.collect::<Vec<_>>(), [""; 0]);
}

/// What a user of the DSL can call that has no example on the test driver: public functions, and those whose example is given
/// to a macro, by their name behind it.
fn without_driver(files: &[(String, String)]) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in files {
        let mut docs = String::new();
        let mut is_given_to_macro = false;
        for line in text.lines().map(str::trim) {
            if line.starts_with("///") {
                docs.push_str(line);
                continue;
            }
            if line.starts_with("#[") || line.starts_with("$(#[") {
                is_given_to_macro |= line.starts_with("$(#[");
                continue;
            }
            let name = line.strip_suffix(',').unwrap_or(line);
            let is_name = !docs.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
            let is_item = is_name && !name.is_empty() || line.starts_with("pub fn ") && !is_given_to_macro;
            if is_item && !(docs.contains("TopologyTestDriver::") && docs.contains(".pipe")) {
                found.push(format!("{path}: {line}"));
            }
            docs.clear();
            is_given_to_macro = false;
        }
    }
    found
}

#[test]
fn what_the_dsl_offers_is_shown_on_the_test_driver() {
    let check = |text: &str| without_driver(&[("x.rs".to_owned(), text.to_owned())]);
    let nothing = [""; 0];
    assert_eq!(
        check("/// Says so.\n#[must_use]\npub fn f() {"),
        ["x.rs: pub fn f() {"]
    );
    assert_eq!(check("pub(crate) fn f() {"), nothing);
    assert_eq!(
        check("/// TopologyTestDriver::new; input.pipe(1)\npub fn f() {"),
        nothing
    );
    assert_eq!(check("$(#[$example])+\n#[must_use]\npub fn with() {"), nothing);
    assert_eq!(
        check("options! {\n    Type,\n    /// Given.\n    with\n}"),
        ["x.rs: with"]
    );

    let dsl: Vec<_> = sources()
        .into_iter()
        .filter(|(path, _)| path.starts_with("streams-dsl/"))
        .collect();
    assert_eq!(without_driver(&dsl), nothing);
}
