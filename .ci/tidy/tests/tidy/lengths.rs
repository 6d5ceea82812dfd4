//! How long functions are.

use crate::exceptions::Finding;
use crate::tree::Source;
use syn::visit::{self, Visit};

/// Lines of a function, from its signature to its closing brace, that fit on a screen.
const LINES_MAX: usize = 70;

/// Returns the functions that are longer.
pub(crate) fn of_functions(source: &Source) -> Vec<Finding> {
    let mut lengths = Lengths {
        path: &source.path,
        found: Vec::new(),
    };
    lengths.visit_file(&source.file);
    lengths.found
}

struct Lengths<'a> {
    path: &'a str,
    found: Vec<Finding>,
}

impl Lengths<'_> {
    fn judge(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let end = block.brace_token.span.close().end().line;
        let lines = end + 1 - signature.fn_token.span.start().line;
        if lines > LINES_MAX {
            let name = format!("{} {}", self.path, signature.ident);
            self.found.push(Finding {
                about: format!("{name} has {lines} lines of {LINES_MAX}"),
                name,
                size: lines,
            });
        }
    }
}

impl<'ast> Visit<'ast> for Lengths<'_> {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.judge(&item.sig, &item.block);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.judge(&item.sig, &item.block);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.judge(&item.sig, block);
        }
        visit::visit_trait_item_fn(self, item);
    }
}

#[test]
fn seventy_lines_pass_and_one_more_does_not() {
    let function = |lines: usize| {
        let body = "    let _ = 1;\n".repeat(lines - 2);
        let text = format!("/// Documentation does not count.\n#[inline]\nfn f() {{\n{body}}}\n");
        of_functions(&Source::new("core/src/x.rs", &text)).len()
    };
    assert_eq!((function(70), function(71)), (0, 1));
}
