//! Which modules of a package name which others.

use crate::tree::Source;
use std::collections::{BTreeMap, BTreeSet};
use syn::visit::{self, Visit};

/// A module by its names from the top of its crate; none for the crate itself.
type Path = Vec<String>;

/// The modules of a package, a file each, and the modules that each names.
pub(crate) struct Graph {
    pub(crate) package: String,
    pub(crate) edges: BTreeMap<String, BTreeSet<String>>,
}

/// Reads the library of a package. Modules for tests are left out, and what is inline belongs to its
/// file. A name that a module only hands on is a name of where it is from, and none of the module's own.
pub(crate) fn of_package(package: &str, sources: &[Source]) -> Graph {
    let mut files = BTreeMap::new();
    for source in sources {
        let (of, within) = source.package();
        if of == package
            && let Some(path) = within.strip_prefix("src/").and_then(module_of)
        {
            files.insert(path, Names::of(source));
        }
    }
    let tests: Vec<Path> = files
        .iter()
        .flat_map(|(path, names)| names.tests.iter().map(|name| child(path, name)))
        .collect();
    files.retain(|path, _| !tests.iter().any(|test| path.starts_with(test)));
    let edges = files
        .iter()
        .map(|(module, names)| {
            let named = names.paths.iter();
            let named = named.filter_map(|path| resolve(&files, module, path, 0));
            let others = named.filter(|other| other != module);
            (name_of(module), others.map(|it| name_of(&it)).collect())
        })
        .collect();
    Graph {
        package: package.to_owned(),
        edges,
    }
}

/// Returns the module that a file of a library holds.
fn module_of(file: &str) -> Option<Path> {
    let name = file.strip_suffix(".rs")?;
    if name.starts_with("bin/") || name == "main" {
        return None;
    }
    let name = name.strip_suffix("/mod").unwrap_or(name);
    Some(match name {
        "lib" => Vec::new(),
        name => name.split('/').map(str::to_owned).collect(),
    })
}

fn name_of(module: &[String]) -> String {
    if module.is_empty() {
        "lib".to_owned()
    } else {
        module.join("::")
    }
}

fn child(path: &[String], name: &str) -> Path {
    [path, &[name.to_owned()]].concat()
}

/// Returns the module that holds what a path names, seen from a module. None outside of the crate.
fn resolve(
    files: &BTreeMap<Path, Names>,
    from: &[String],
    path: &[String],
    depth: usize,
) -> Option<Path> {
    // Names that are handed on in a circle do not compile; this is for what was misunderstood.
    if depth > 16 {
        return None;
    }
    let mut at = from.to_vec();
    let mut rest = path;
    let known = |at: &[String], name: &String| {
        let names = files.get(at);
        files.contains_key(&child(at, name))
            || names.is_some_and(|names| names.imports.contains_key(name))
    };
    match rest.first()?.as_str() {
        "crate" => {
            at.clear();
            rest = &rest[1..];
        }
        "self" => rest = &rest[1..],
        "super" => {}
        _ if known(&at, &rest[0]) => {}
        _ => return None,
    }
    while let [name, after @ ..] = rest {
        if name == "super" {
            at.pop();
        } else if files.contains_key(&child(&at, name)) {
            at.push(name.clone());
        } else if let Some(import) = files.get(&at).and_then(|names| names.imports.get(name)) {
            // An item of another crate that is handed on is at home where it is handed on.
            let Some(home) = resolve(files, &at, import, depth + 1) else {
                return Some(at);
            };
            at = home;
        } else {
            break;
        }
        rest = after;
    }
    files.contains_key(&at).then_some(at)
}

/// What a file names.
#[derive(Default)]
struct Names {
    /// Every path, as seen from the file's module.
    paths: BTreeSet<Path>,
    /// What `use` calls what.
    imports: BTreeMap<String, Path>,
    /// Modules that are compiled for tests only.
    tests: Vec<String>,
    /// What is handed on.
    handed_on: Vec<(String, Path)>,
    /// Names that paths begin with.
    begun: BTreeSet<String>,
    /// How many inline modules around.
    depth: usize,
    /// Within a `use` that hands on.
    is_handing_on: bool,
}

impl Names {
    fn of(source: &Source) -> Self {
        let mut names = Self::default();
        names.visit_file(&source.file);
        let handed_on = core::mem::take(&mut names.handed_on).into_iter();
        let used = handed_on.filter(|(name, _)| names.begun.contains(name));
        names.paths.extend(used.map(|(_, path)| path));
        names
    }

    /// Returns a path as seen from the file's module, if it leads out of inline modules around.
    fn seen(&self, mut path: Path) -> Option<Path> {
        // Within inline modules `super` is nearer, and other names are mostly theirs.
        for _ in 0..self.depth {
            match path.first().map(String::as_str) {
                Some("super") => drop(path.remove(0)),
                Some("crate") => {}
                _ => return None,
            }
        }
        if self.depth > 0
            && path
                .first()
                .is_some_and(|name| name != "crate" && name != "super")
        {
            path.insert(0, "self".to_owned());
        }
        Some(path)
    }

    fn note_use(&mut self, before: &[String], tree: &syn::UseTree) {
        match tree {
            syn::UseTree::Path(path) => {
                let before = child(before, &path.ident.to_string());
                self.note_use(&before, &path.tree);
            }
            syn::UseTree::Name(name) => {
                let name = name.ident.to_string();
                self.note_import(before, &name, &name);
            }
            syn::UseTree::Rename(renamed) => {
                let (name, alias) = (renamed.ident.to_string(), renamed.rename.to_string());
                self.note_import(before, &name, &alias);
            }
            syn::UseTree::Glob(_) => self.paths.extend(self.seen(before.to_vec())),
            syn::UseTree::Group(group) => {
                for tree in &group.items {
                    self.note_use(before, tree);
                }
            }
        }
    }

    fn note_import(&mut self, before: &[String], name: &str, alias: &str) {
        let (path, alias) = if name == "self" {
            (before.to_vec(), before.last().cloned().unwrap_or_default())
        } else {
            (child(before, name), alias.to_owned())
        };
        let Some(path) = self.seen(path) else { return };
        if self.is_handing_on {
            self.handed_on.push((alias.clone(), path.clone()));
        } else {
            self.paths.insert(path.clone());
        }
        if self.depth == 0 && path.len() > 1 {
            self.imports.insert(alias, path);
        }
    }
}

fn is_for_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute
                .parse_args::<syn::Ident>()
                .is_ok_and(|what| what == "test")
    })
}

impl<'ast> Visit<'ast> for Names {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if is_for_tests(&item.attrs) {
            self.tests.push(item.ident.to_string());
        } else if item.content.is_some() {
            self.depth += 1;
            visit::visit_item_mod(self, item);
            self.depth -= 1;
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        if !is_for_tests(&item.attrs) {
            self.is_handing_on = !matches!(item.vis, syn::Visibility::Inherited);
            self.note_use(&[], &item.tree);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Path = path
            .segments
            .iter()
            .map(|it| it.ident.to_string())
            .collect();
        self.begun.extend(names.first().cloned());
        if names.len() > 1 {
            self.paths.extend(self.seen(names));
        }
        visit::visit_path(self, path);
    }

    // How far something is visible is no dependence.
    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}
}

#[test]
fn names_lead_to_where_they_are_at_home() {
    let source = Source::new;
    let graph = of_package(
        "core",
        &[
            source("core/src/lib.rs", "mod a; mod b;"),
            source(
                "core/src/a.rs",
                "mod leaf; mod other; pub use leaf::{Thing as Kept, Way}; pub use other::f;
                 #[cfg(test)] mod tests; struct Own(Way);",
            ),
            source("core/src/a/leaf.rs", "pub struct Thing; pub enum Way {}"),
            source(
                "core/src/a/other.rs",
                "use super::Kept; fn f() { crate::b::g(); }",
            ),
            source("core/src/a/tests.rs", "use crate::b::g;"),
            source(
                "core/src/b.rs",
                "use core::mem; use crate::a::Way; mod inline { use super::super::a; }",
            ),
        ],
    );
    let names = |module: &str| graph.edges[module].iter().cloned().collect::<Vec<_>>();
    assert_eq!(names("a::other"), ["a::leaf", "b"]);
    assert_eq!(names("a"), ["a::leaf"]);
    assert_eq!(names("b"), ["a", "a::leaf"]);
    assert!(!graph.edges.contains_key("a::tests"));
}
