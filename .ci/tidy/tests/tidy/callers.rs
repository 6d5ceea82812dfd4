//! Public items that nobody names.
//!
//! The compiler tells what is dead within a crate, but takes every public item for used.

use crate::exceptions::Finding;
use crate::tree::Source;
use proc_macro2::{TokenStream, TokenTree};
use std::collections::BTreeMap;
use syn::visit::{self, Visit};

/// Where public items are that must be used, by their package or by others.
const FOLDERS: [&str; 5] = [
    "proto/src/",
    "core/src/",
    "runtime/src/",
    "sim/src/",
    "sim/kit/src/",
];

/// Returns the public items whose name stands nowhere but where they are declared, exported or given
/// methods. It goes by names, so an item that shares its name with another may escape.
pub(crate) fn missing(sources: &[Source]) -> Vec<Finding> {
    let mut names = Names::default();
    for source in sources {
        names.visit_file(&source.file);
    }
    let mut found = Vec::new();
    for source in sources {
        if !FOLDERS.iter().any(|folder| source.path.starts_with(folder)) {
            continue;
        }
        let mut declared = Public::default();
        declared.visit_file(&source.file);
        for name in declared.0 {
            if names.used.get(&name).is_none_or(|uses| *uses == 0) {
                let name = format!("{} {name}", source.path);
                found.push(Finding {
                    about: format!("{name} is public and nobody uses it"),
                    name,
                    size: 1,
                });
            }
        }
    }
    found
}

/// Public items, methods included, in order.
#[derive(Default)]
struct Public(Vec<String>);

impl Public {
    fn note(&mut self, visibility: &syn::Visibility, name: &syn::Ident) {
        if matches!(visibility, syn::Visibility::Public(_)) {
            self.0.push(name.to_string());
        }
    }
}

impl<'ast> Visit<'ast> for Public {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "the other kinds have no name, or no visibility of their own"
        )]
        match item {
            syn::Item::Fn(item) => self.note(&item.vis, &item.sig.ident),
            syn::Item::Const(item) => self.note(&item.vis, &item.ident),
            syn::Item::Static(item) => self.note(&item.vis, &item.ident),
            syn::Item::Struct(item) => self.note(&item.vis, &item.ident),
            syn::Item::Enum(item) => self.note(&item.vis, &item.ident),
            syn::Item::Trait(item) => self.note(&item.vis, &item.ident),
            syn::Item::Type(item) => self.note(&item.vis, &item.ident),
            _ => {}
        }
        visit::visit_item(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.note(&item.vis, &item.sig.ident);
    }

    fn visit_impl_item_const(&mut self, item: &'ast syn::ImplItemConst) {
        self.note(&item.vis, &item.ident);
    }
}

/// How often names are used. A declaration, an import and the head of an `impl` are no use.
#[derive(Default)]
struct Names {
    used: BTreeMap<String, usize>,
}

impl Names {
    fn note(&mut self, name: &syn::Ident) {
        *self.used.entry(name.to_string()).or_default() += 1;
    }

    fn note_tokens(&mut self, tokens: TokenStream) {
        for token in tokens {
            match token {
                TokenTree::Group(group) => self.note_tokens(group.stream()),
                TokenTree::Ident(name) => self.note(&name),
                TokenTree::Literal(literal) => {
                    if let syn::Lit::Str(text) = syn::Lit::new(literal) {
                        self.visit_lit_str(&text);
                    }
                }
                TokenTree::Punct(_) => {}
            }
        }
    }
}

impl<'ast> Visit<'ast> for Names {
    fn visit_path_segment(&mut self, segment: &'ast syn::PathSegment) {
        self.note(&segment.ident);
        visit::visit_path_segment(self, segment);
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        self.note(&call.method);
        visit::visit_expr_method_call(self, call);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.note_tokens(call.tokens.clone());
        visit::visit_macro(self, call);
    }

    fn visit_meta_list(&mut self, list: &'ast syn::MetaList) {
        self.note_tokens(list.tokens.clone());
        visit::visit_meta_list(self, list);
    }

    fn visit_lit_str(&mut self, literal: &'ast syn::LitStr) {
        // Attributes of serde and clap name functions in strings.
        for name in literal.value().split("::") {
            if let Ok(name) = syn::parse_str::<syn::Ident>(name) {
                self.note(&name);
            }
        }
    }

    fn visit_item_use(&mut self, _: &'ast syn::ItemUse) {}

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        if let Some((of, _)) = &item.trait_ {
            self.visit_path(of);
        }
        self.visit_generics(&item.generics);
        for attribute in &item.attrs {
            self.visit_attribute(attribute);
        }
        for inner in &item.items {
            self.visit_impl_item(inner);
        }
    }
}

#[test]
fn an_item_that_is_only_declared_exported_and_given_methods_is_found() {
    let unused = Source::new(
        "core/src/a.rs",
        "pub struct Lonely; impl Lonely { pub fn called(&self) {} pub fn idle(&self) {} }
         pub fn through_a_macro() {}",
    );
    let caller = Source::new(
        "sim/src/b.rs",
        "pub use a::Lonely; fn main() { x.called(); assert!(through_a_macro()); }",
    );
    let found: Vec<_> = missing(&[unused, caller])
        .into_iter()
        .map(|finding| finding.name)
        .collect();
    assert_eq!(found, ["core/src/a.rs Lonely", "core/src/a.rs idle"]);
}
