//! The files of the repository.

use std::path::{Component, Path, PathBuf};
use std::process::Command;
use syn::visit::{self, Visit};

/// The tracked files.
pub(crate) struct Tree {
    root: PathBuf,
    paths: Vec<String>,
}

/// A file of Rust.
pub(crate) struct Source {
    /// From the top of the repository.
    pub(crate) path: String,
    pub(crate) file: syn::File,
}

impl Tree {
    /// Reads what git knows of, as it is on disk.
    pub(crate) fn read() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let list = Command::new("git")
            .args(["ls-files", "-z"])
            .current_dir(&root)
            .output()
            .expect("git is needed to tell which files are tracked");
        assert!(list.status.success(), "git ls-files: {list:?}");
        let list = String::from_utf8(list.stdout).expect("paths are UTF-8");
        let paths: Vec<_> = list
            .split_terminator('\0')
            .filter(|path| root.join(path).exists())
            .map(str::to_owned)
            .collect();
        assert!(paths.len() > 100, "the top of the repository is not there");
        Self { root, paths }
    }

    pub(crate) fn paths(&self) -> &[String] {
        &self.paths
    }

    /// Parses the files of Rust.
    pub(crate) fn sources(&self) -> Vec<Source> {
        let rust = self.paths.iter().filter(|path| path.ends_with(".rs"));
        rust.map(|path| Source::new(path, &self.text(path)))
            .collect()
    }

    pub(crate) fn text(&self, path: &str) -> String {
        std::fs::read_to_string(self.root.join(path))
            .unwrap_or_else(|error| panic!("{path}: {error}"))
    }
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let file = syn::parse_file(text).unwrap_or_else(|error| panic!("{path}: {error}"));
        let path = path.to_owned();
        Self { path, file }
    }

    /// Returns the package's folder, and the path within it.
    pub(crate) fn package(&self) -> (&str, &str) {
        self.path.split_once('/').unwrap_or(("", &self.path))
    }

    /// Returns the `#[path]` attributes that lead out of the package.
    pub(crate) fn foreign_paths(&self) -> Vec<String> {
        let mut found = Paths::default();
        found.visit_file(&self.file);
        let folder = Path::new(&self.path)
            .parent()
            .unwrap_or_else(|| Path::new(""));
        found
            .0
            .iter()
            .filter(|path| !stays_within(&folder.join(path), self.package().0))
            .map(|path| format!("{} takes {path}", self.path))
            .collect()
    }
}

/// Tells whether a path, its `..` worked off, lies in a folder of the top.
fn stays_within(path: &Path, folder: &str) -> bool {
    let mut parts = Vec::new();
    for part in path.components() {
        if part == Component::ParentDir {
            parts.pop();
        } else {
            parts.push(part);
        }
    }
    parts.first() == Some(&Component::Normal(folder.as_ref()))
}

#[derive(Default)]
struct Paths(Vec<String>);

impl<'ast> Visit<'ast> for Paths {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        for attribute in &item.attrs {
            if let syn::Meta::NameValue(pair) = &attribute.meta
                && pair.path.is_ident("path")
                && let syn::Expr::Lit(literal) = &pair.value
                && let syn::Lit::Str(path) = &literal.lit
            {
                self.0.push(path.value());
            }
        }
        visit::visit_item_mod(self, item);
    }
}

#[test]
fn a_path_out_of_the_package_is_found() {
    let source = |path: &str| {
        let text = format!("#[path = \"{path}\"] mod taken;");
        Source::new("fuzz/src/lib.rs", &text).foreign_paths()
    };
    assert_eq!(source("../../core/tests/x.rs").len(), 1);
    assert!(source("../tests/x.rs").is_empty());
}
