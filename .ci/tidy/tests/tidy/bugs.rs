//! Planted bugs that take more than a call.

use crate::tree::Source;
use std::collections::BTreeMap;
use syn::visit::{self, Visit};

/// Where they are listed.
const TABLE: &str = "core/src/planted.rs";

/// Returns what is wrong with where bugs are named: each belongs to one call, whatever the code around
/// looks like.
pub(crate) fn scattered(sources: &[Source]) -> Vec<String> {
    let mut named = BTreeMap::<String, usize>::new();
    let mut listed = Vec::new();
    for source in sources {
        if source.path == TABLE {
            listed = listed_in(&source.file);
        } else if source.path.starts_with("core/src/") {
            let mut bugs = Bugs::default();
            bugs.visit_file(&source.file);
            for name in bugs.0 {
                *named.entry(name).or_default() += 1;
            }
        }
    }
    listed
        .into_iter()
        .filter_map(|name| match named.get(&name).copied().unwrap_or(0) {
            1 => None,
            count => Some(format!(
                "planted bug {name} is named {count} times, not once"
            )),
        })
        .collect()
}

/// Returns the bugs for which more than one statement is kept beside the code that they spoil: what they take
/// beyond a call belongs to a method of a `sabotage` module. Blocks that only run without the bug are the code's own.
pub(crate) fn heavy(sources: &[Source]) -> Vec<String> {
    let core = sources
        .iter()
        .filter(|source| source.path.starts_with("core/src/"));
    core.flat_map(|source| {
        let mut blocks = Blocks::default();
        blocks.visit_file(&source.file);
        let found = blocks.0.into_iter();
        found.map(|(name, count)| {
            let path = &source.path;
            format!("{path} has {count} statements for planted bug {name}, not one")
        })
    })
    .collect()
}

/// Bugs and how many statements their blocks have, of those with several.
#[derive(Default)]
struct Blocks(Vec<(String, usize)>);

impl<'ast> Visit<'ast> for Blocks {
    fn visit_expr_if(&mut self, branch: &'ast syn::ExprIf) {
        let mut asked = Asked::default();
        asked.visit_expr(&branch.cond);
        let count = branch.then_branch.stmts.len();
        if let Some(name) = asked.0
            && count > 1
        {
            self.0.push((name, count));
        }
        visit::visit_expr_if(self, branch);
    }
}

/// A bug that a condition asks for, and not whether it is off.
#[derive(Default)]
struct Asked(Option<String>);

impl<'ast> Visit<'ast> for Asked {
    fn visit_expr_unary(&mut self, unary: &'ast syn::ExprUnary) {
        if !matches!(unary.op, syn::UnOp::Not(_)) {
            visit::visit_expr_unary(self, unary);
        }
    }

    fn visit_expr_path(&mut self, path: &'ast syn::ExprPath) {
        let mut bugs = Bugs::default();
        bugs.visit_path(&path.path);
        self.0 = self.0.take().or_else(|| bugs.0.pop());
    }
}

/// Returns the names in the table: what stands before an equals sign.
fn listed_in(file: &syn::File) -> Vec<String> {
    let table = file.items.iter().find_map(|item| {
        let syn::Item::Macro(item) = item else {
            return None;
        };
        item.mac
            .path
            .is_ident("planted")
            .then_some(&item.mac.tokens)
    });
    let tokens: Vec<_> = table.cloned().into_iter().flatten().collect();
    tokens
        .windows(2)
        .filter(|pair| pair[1].to_string() == "=")
        .map(|pair| pair[0].to_string())
        .collect()
}

#[derive(Default)]
struct Bugs(Vec<String>);

impl<'ast> Visit<'ast> for Bugs {
    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Vec<_> = path
            .segments
            .iter()
            .map(|it| it.ident.to_string())
            .collect();
        if let [.., bug, name] = &names[..]
            && bug == "Planted"
        {
            self.0.push(name.clone());
        }
        visit::visit_path(self, path);
    }
}

#[test]
fn a_bug_that_is_named_twice_or_never_is_found() {
    let source = Source::new;
    let found = scattered(&[
        source(
            TABLE,
            "planted! { One = \"x\", 1, 1; Two = \"y\", 2, 0; Three = \"z\", 1, 1; }",
        ),
        source(
            "core/src/a.rs",
            "fn a() { on(Planted::One); b::on(c::Planted::Two); } fn b() { on(Planted::Two) }",
        ),
        source("sim/src/a.rs", "fn a() { on(Planted::One); }"),
    ]);
    assert_eq!(
        found,
        [
            "planted bug Two is named 2 times, not once",
            "planted bug Three is named 0 times, not once"
        ]
    );
}

#[test]
fn a_bug_with_several_statements_is_found() {
    let source = Source::new(
        "core/src/a.rs",
        "fn a() {
             if x && on(Planted::One) { b(); c(); }
             if on(Planted::Two) { b(); }
             if !on(Planted::Three) { b(); c(); }
             if x && !(y && on(Planted::Four)) { b(); c(); }
         }",
    );
    assert_eq!(
        heavy(&[source]),
        ["core/src/a.rs has 2 statements for planted bug One, not one"]
    );
}
